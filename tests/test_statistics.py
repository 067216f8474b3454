"""Statistics, each against another way of computing it: scipy's tests, brute force, or simulation."""

import itertools
from math import inf, isclose, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from resnet18.tables.statistics import (
    ALPHA,
    MOST_SEEDS,
    POWER,
    TESTED_AT,
    Estimate,
    Region,
    contrast,
    correlation,
    holm_levels,
    p_above,
    p_below,
    paired_contrast,
    power,
    ratio_of_medians,
    sampling_error,
    seeds_needed,
    sequential_p,
)

VALUES = st.lists(st.floats(-50, 50).map(lambda value: round(value, 3)), min_size=3, max_size=8, unique=True)


@given(VALUES, VALUES)
def test_a_difference_is_welchs_t(first, second):
    """Value, degrees of freedom, p and interval agree with scipy's."""
    mine = contrast([first, second], [1, -1])
    theirs = stats.ttest_ind(first, second, equal_var=False)

    assert isclose(theirs.df, mine.df, rel_tol=1e-6)
    assert isclose(theirs.pvalue, min(1, 2 * min(p_above(mine, 0), p_below(mine, 0))), rel_tol=1e-6, abs_tol=1e-12)
    assert np.allclose(theirs.confidence_interval(), mine.interval(), rtol=1e-6)


@given(VALUES.flatmap(lambda one: st.tuples(st.just(one), st.permutations(one))))
def test_a_paired_difference_is_the_paired_t(pair):
    """Of equal seeds."""
    first, second = pair
    shifted = [one + 0.25 * at for at, one in enumerate(second)]
    if len({round(a - b, 6) for a, b in zip(first, shifted, strict=True)}) < 2:
        return
    mine = paired_contrast([first, shifted], [1, -1])
    theirs = stats.ttest_rel(first, shifted)

    assert isclose(theirs.pvalue, min(1, 2 * min(p_above(mine, 0), p_below(mine, 0))), rel_tol=1e-6, abs_tol=1e-12)


def test_golden_welch():
    """Worked by hand: means 2 and 4, variances 1 and 4, three each."""
    mine = contrast([[1, 2, 3], [2, 4, 6]], [1, -1])

    assert (-2.0, sqrt(5 / 3), 3) == (mine.value, mine.se, mine.n)
    assert isclose(25 / 8.5, mine.df)
    assert 5.0 == mine.run_variance


def test_equivalence_is_two_one_sided_tests():
    """Both of scipy's one-sided Welch tests against shifted data."""
    first, second, margin = [75.1, 75.6, 74.9, 75.3], [75.4, 75.0, 75.2, 75.9], 1.0
    above = stats.ttest_ind(np.add(first, margin), second, equal_var=False, alternative="greater").pvalue
    below = stats.ttest_ind(np.subtract(first, margin), second, equal_var=False, alternative="less").pvalue

    assert isclose(max(above, below), Region(-margin, margin).p_inside(contrast([first, second], [1, -1])))


def test_equivalence_is_a_90_percent_interval_inside_the_margin():
    """At level 5 %."""
    estimate = contrast([[1.0, 2.0, 1.5], [1.2, 1.9, 1.4]], [1, -1])
    low, high = estimate.interval(0.9)
    reach = max(abs(low), abs(high))

    assert Region(-reach * 1.001, reach * 1.001).p_inside(estimate) < 0.05
    assert Region(-reach * 0.999, reach * 0.999).p_inside(estimate) > 0.05


def test_a_direction_is_tested_two_sided_for_and_against():
    """The two p are of the two tails."""
    estimate = contrast([[1.0, 2.0, 4.0], [3.0, 6.0, 5.0]], [1, -1])
    p = stats.ttest_ind([1.0, 2.0, 4.0], [3.0, 6.0, 5.0], equal_var=False).pvalue

    assert isclose(p, Region(low=0).p_outside(estimate))
    assert isclose(min(1, 2 - p), Region(low=0).p_inside(estimate))


def test_runs_that_agree_to_the_step_of_their_metric_are_not_taken_for_certain():
    """Epochs 3, 3, 3 against 5, 5, 5: the variance of rounding is left."""
    estimate = contrast([[3, 3, 3], [5, 5, 5]], [1, -1], resolution=1.0)

    assert isclose(sqrt(2 / 12 / 3), estimate.se)
    assert 0.0 == contrast([[3, 3, 3], [5, 5, 5]], [1, -1]).se


def test_a_further_run_scatters_more_than_a_mean():
    """The prediction interval: s times the root of 1 + 1/n."""
    values = [75.0, 75.8, 74.9]
    predicted = contrast([values], [1]).for_one_more_run()

    assert isclose(np.std(values, ddof=1) * sqrt(1 + 1 / 3), predicted.se)


@pytest.mark.parametrize(("n", "half"), [(3, 5.0), (5, 3.0), (10, 2.4)])
def test_half_widths_of_prediction_intervals_are_those_of_the_plan(n, half):
    """In units of s."""
    low, high = Estimate(0.0, 1 / sqrt(n), n - 1, n, 1.0).for_one_more_run().interval()

    assert half == round((high - low) / 2, 1)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_as_they_say(n):
    """95 % of 4,000 differences of groups with unequal variances, seeded: between 93 and 97 %."""
    random = np.random.default_rng(n)
    covered = 0
    for _ in range(4_000):
        low, high = contrast([random.normal(1, 1, n).tolist(), random.normal(0, 1.5, n).tolist()], [1, -1]).interval()
        covered += low < 1 < high

    assert 0.93 <= covered / 4_000 <= 0.97


def test_the_bootstrap_of_a_ratio_of_medians_covers_at_five_repeats():
    """Log-normal noise of 5 %, seeded: between 93 and 99 %."""
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        one, other = np.exp(random.normal(0.5, 0.05, 5)), np.exp(random.normal(0, 0.05, 5))
        _, low, high = ratio_of_medians(one, other)
        covered += low <= np.exp(0.5) <= high

    assert 0.93 <= covered / 400 <= 0.99


def closed_testing(ps, alpha=0.05):
    """Reject a hypothesis where every set of hypotheses that holds it is rejected by Bonferroni."""
    everything = range(len(ps))
    sets = [chosen for size in range(1, len(ps) + 1) for chosen in itertools.combinations(everything, size)]
    rejected = {chosen for chosen in sets if min(ps[at] for at in chosen) <= alpha / len(chosen)}
    return [all(chosen in rejected for chosen in sets if at in chosen) for at in everything]


@given(st.lists(st.floats(0, 0.1), min_size=1, max_size=6))
def test_holm_is_closed_testing_with_bonferroni(ps):
    """The definition, by brute force."""
    assert closed_testing(ps) == [p <= level for p, level in zip(ps, holm_levels(ps), strict=True)]


def test_golden_holm():
    """Three of four are rejected."""
    assert [0.0125, 0.05 / 3, 0.025, 0.05] == holm_levels([0.001, 0.01, 0.02, 0.06])


@given(st.dictionaries(st.sampled_from(sorted(TESTED_AT)), st.floats(0, 1), min_size=1))
def test_looks_are_paid_for(ps):
    """A p of a look is divided by its share; the smallest counts, capped at 1."""
    assert min(1.0, *[p / TESTED_AT[n] for n, p in ps.items()], 1.0) == sequential_p(ps)


def test_shares_of_the_looks_add_up_to_one():
    """Else the error would."""
    assert isclose(1.0, sum(TESTED_AT.values()))


def test_three_looks_keep_the_error():
    """4,000 simulated series without a difference: at most 5 % ever fall under 5 %."""
    random = np.random.default_rng(0)
    wrong = 0
    for _ in range(4_000):
        one, other = random.normal(size=(2, 10)).tolist()
        estimates = {n: contrast([one[:n], other[:n]], [1, -1]) for n in TESTED_AT}
        wrong += (
            min(
                sequential_p({n: Region(low=0).p_inside(e) for n, e in estimates.items()}),
                sequential_p({n: Region(low=0).p_outside(e) for n, e in estimates.items()}),
            )
            <= 0.05
        )

    assert wrong / 4_000 <= 0.05


@pytest.mark.parametrize(("shift", "n"), [(1.0, 5), (2.0, 5), (3.0, 3), (0.5, 20)])
def test_power_is_that_of_the_noncentral_t(shift, n):
    """Where scipy's own distribution can be trusted."""
    critical, center = stats.t.ppf(0.975, 2 * n - 2), shift * sqrt(n / 2)

    assert isclose(
        stats.nct.sf(critical, 2 * n - 2, center),
        power(shift / sqrt(2), inf, n, 2 * n - 2, 0.025),
        abs_tol=1e-4,
    )


def test_power_of_equivalence_is_what_simulation_finds():
    """Margin 1 point, standard deviation 0.56, seven seeds: 0.87 of the plan's table."""
    assert 0.87 == round(power(1 / 0.56 / sqrt(2), 1 / 0.56 / sqrt(2), 7, 12, 0.05), 2)


def test_seeds_needed_have_the_power_that_they_promise():
    """The smallest such number beyond the looks: one fewer is not enough."""
    estimate = Estimate(value=0.5, se=0.4, df=4, n=3, run_variance=2.0)
    seeds = seeds_needed(estimate, Region(low=0), 0.05)
    chances = [power(0.5 / sqrt(2), inf, n, 2 * n - 2, 0.025 * TESTED_AT[10]) for n in (seeds - 1, seeds)]

    assert chances[0] < 0.8 <= chances[1]


@pytest.mark.parametrize(
    ("value", "region", "seeds"),
    [
        (3.0, Region(low=0), 5),
        (-3.0, Region(low=0), 5),
        (0.0, Region(low=0), None),
        (0.0, Region(-2.0, 2.0), 5),
        (1.99, Region(-2.0, 2.0), None),
        (5.0, Region(-2.0, 2.0), 5),
    ],
)
def test_seeds_are_those_that_settle_it_either_way(value, region, seeds):
    """Inside or outside; on the bound no number is enough. Never as few as there are already."""
    assert seeds == seeds_needed(Estimate(value, 0.4, 4, 3, 0.5), region, 0.05)


def test_seeds_grow_with_the_number_of_claims():
    """The corrected level is lower."""
    estimate = Estimate(value=1.0, se=0.4, df=4, n=3, run_variance=2.0)
    alone, among_many = (seeds_needed(estimate, Region(low=0), alpha) for alpha in (0.05, 0.05 / 18))

    assert alone < among_many


def test_correlation_is_pearsons():
    """And 0 where one group does not vary."""
    first, second = [1.0, 2.0, 4.0], [2.0, 3.0, 9.0]

    assert isclose(np.corrcoef(first, second)[0, 1], correlation(first, second))
    assert 0.0 == correlation(first, [1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("accuracy", "images", "points"),
    [(0.5, 10_000, 0.50), (0.75, 10_000, 0.43), (0.9, 10_000, 0.30), (0.9, 1_000, 0.95)],
)
def test_sampling_error_is_binomial(accuracy, images, points):
    """The figures of the plan."""
    assert points == round(100 * sampling_error(accuracy, images), 2)


@pytest.mark.parametrize(("value", "above", "below"), [(-0.5, 1.0, 0.0), (0.0, 1.0, 1.0), (0.5, 0.0, 1.0)])
def test_without_an_error_a_side_is_certain(value, above, below):
    """On the bound neither is shown."""
    certain = Estimate(value, 0.0, 4, 3, 0.0)

    assert (above, below) == (p_above(certain, 0.0), p_below(certain, 0.0))


@pytest.mark.parametrize("value", [-100.0, -0.1, 0.0, 0.1, 100.0])
@pytest.mark.parametrize("region", [Region(low=0), Region(high=0), Region(-1, 1)])
def test_a_p_is_a_probability(value, region):
    """Doubled ones are capped at 1."""
    estimate = Estimate(value, 1.0, 4, 3, 3.0)

    assert 0 <= min(region.p_inside(estimate), region.p_outside(estimate))
    assert 1 >= max(region.p_inside(estimate), region.p_outside(estimate))


def test_a_claim_that_is_wide_of_the_mark_has_a_p_of_one():
    """For it where the value lies outside, against it where it lies inside."""
    estimate = Estimate(-5.0, 1.0, 4, 3, 3.0)

    assert (1.0, 1.0) == (Region(low=0).p_inside(estimate), Region(high=0).p_outside(estimate))


@pytest.mark.parametrize(("region", "doubled"), [(Region(low=0), 2), (Region(high=2), 2), (Region(0, 2), 1)])
def test_a_direction_alone_is_doubled(region, doubled):
    """At 1 of 0 to 2 both bounds have the same p."""
    estimate = Estimate(1.0, 0.25, 4, 3, 3.0)

    assert doubled * stats.t.sf(4.0, 4) == pytest.approx(region.p_inside(estimate))


def test_a_paired_sum_believes_no_less_than_its_rounding():
    """As an unpaired one."""
    estimate = paired_contrast([[3, 4, 5], [2, 3, 4]], [1, -1], resolution=1.0)

    assert (1.0, sqrt(1 / 36), 2.0) == (estimate.value, pytest.approx(estimate.se), estimate.df)


def test_degrees_of_freedom_without_any_spread_are_those_of_the_groups():
    """Three and four values: five."""
    assert 5 == contrast([[1, 1, 1], [2, 2, 2, 2]], [1, -1]).df


def test_weights_enter_a_sum_by_their_square():
    """Twice one less three times another, variances 1 and 4, three each."""
    mine = contrast([[1, 2, 3], [2, 4, 6]], [2, -3])

    assert (-8.0, 40.0) == (mine.value, mine.run_variance)
    assert 40 / 3 == pytest.approx(mine.se**2)


def test_correlation_does_not_depend_on_scale_or_sign_of_a_group():
    """A falling line has -1."""
    assert [1.0, -1.0] == pytest.approx([correlation([1, 2, 3, 4], [at * one for at in range(4)]) for one in (7, -7)])


def expected_power(low, high, n, df, alpha):
    """By integrating over the chi distribution of the estimated standard deviation."""
    critical = stats.t.ppf(1 - alpha, df)

    def inside(scaled):
        margin = critical * scaled / sqrt(df)
        width = stats.norm.cdf(high * sqrt(n) - margin) - stats.norm.cdf(margin - low * sqrt(n))
        return max(width, 0) * stats.chi.pdf(scaled, df)

    return integrate.quad(inside, 0, 20, limit=200)[0]


@pytest.mark.parametrize(
    ("low", "high", "n", "df", "alpha"),
    [
        (1.0, inf, 5, 8, 0.025),
        (inf, 1.0, 5, 8, 0.025),
        (1.0, 2.0, 5, 8, 0.05),
        (2.0, 1.0, 5, 8, 0.05),
        (1.5, 1.5, 3, 2.5, 0.01),
        (0.3, 0.3, 3, 4, 0.05),
    ],
)
def test_power_is_an_expectation_over_the_estimated_scatter(low, high, n, df, alpha):
    """The last: where a region is narrow it is mostly too wide an interval that keeps an estimate out."""
    assert expected_power(low, high, n, df, alpha) == pytest.approx(power(low, high, n, df, alpha), abs=3e-4)


@pytest.mark.parametrize(("low", "high"), [(inf, inf), (0.0, 0.0), (-1.0, 1.0)])
def test_power_is_a_probability(low, high):
    """1 where nothing bounds the value, 0 where nothing lies between the bounds."""
    assert float(low == inf) == power(low, high, 5, 8, 0.05)


@pytest.mark.parametrize(
    ("value", "n", "one_run", "expected"),
    [
        (0.5, 3, False, 74),
        (1.0, 3, False, 20),
        (1.5, 3, False, 10),
        (2.2, 3, False, 10),
        (2.2, 10, False, 11),
        (4.0, 3, False, 5),
        (4.0, 5, False, 10),
        (4.0, 12, False, 13),
        (4.0, 3, True, None),
        (5.0, 3, True, 10),
        (9.0, 3, True, 5),
    ],
)
def test_golden_seeds_needed(value, n, one_run, expected):
    """A difference with a variance of 2 for single runs; the one after those there are, where that would do."""
    estimate = Estimate(value, 0.4, 2 * (n - 1), n, 2.0)

    assert expected == seeds_needed(estimate, Region(low=0), 0.05, one_run=one_run)


@pytest.mark.parametrize("value", [-3.0, 3.0])
def test_seeds_are_the_same_on_either_side_of_a_bound(value):
    """And of a region's other bound."""
    estimate, mirrored = (Estimate(one, 0.4, 4, 3, 2.0) for one in (value, -value))

    assert seeds_needed(estimate, Region(low=0), 0.05) == seeds_needed(mirrored, Region(high=0), 0.05)
    assert seeds_needed(estimate, Region(-1, 2), 0.05) == seeds_needed(mirrored, Region(-2, 1), 0.05)


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_a_value_on_a_bound_is_not_settled_by_any_number(value):
    """Neither inside nor outside is true of it."""
    assert seeds_needed(Estimate(value, 0.4, 4, 3, 2.0), Region(0.0, 2.0), 0.05) is None


def test_a_certain_estimate_takes_the_next_look():
    """With no variance any number is enough."""
    assert [5, 10, 11] == [seeds_needed(Estimate(1.0, 0.0, 4, n, 0.0), Region(low=0), 0.05) for n in (3, 5, 10)]


def test_golden_ratio_of_medians():
    """The resamples are a fixed sequence: the figures of a report do not change from one printing to the next."""
    found = ratio_of_medians([10.0, 11.0, 12.0, 13.0, 14.0], [5.0, 5.5, 6.0, 6.5, 7.0])

    assert (2.0, 11 / 7, 28 / 11) == pytest.approx(found)


def test_the_interval_of_a_ratio_of_medians_leaves_out_a_fortieth_on_either_side():
    """Of 4,000 resamples of 41 spread values, drawn one after the other from one sequence."""
    one, other = np.geomspace(1, 3, 41), np.geomspace(2, 5, 41)
    random = np.random.default_rng(0)
    above = np.median(random.choice(one, (4_000, 41)), axis=1)
    below = np.median(random.choice(other, (4_000, 41)), axis=1)
    ratios = sorted(above / below)

    assert (ratios[100], ratios[-101]) == pytest.approx(ratio_of_medians(one, other)[1:], rel=1e-3)


def test_no_looks_no_evidence():
    """A p of 1."""
    assert 1.0 == sequential_p({})


def test_constants_of_the_plan():
    """Level, power, most seeds and the spending of the looks are promises of docs/methodology.md."""
    assert (0.05, 0.8, 1_000, {3: 0.1, 5: 0.3, 10: 0.6}) == (ALPHA, POWER, MOST_SEEDS, TESTED_AT)
