"""Statistics, each against another way of computing it: scipy's tests, brute force, simulation, or by hand."""

import itertools
from dataclasses import replace
from math import inf, isclose, sqrt
from statistics import fmean, variance

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from resnet18.judge.samples import priors_of
from resnet18.spec.experiment import TESTED_AT
from resnet18.tables.statistics import (
    ALPHA,
    POWER,
    Estimate,
    Region,
    blocked_contrast,
    chance,
    contrast,
    holm_levels,
    paired_contrast,
    range_p,
    ratio_of_medians,
    sequential_p,
)
from resnet18.tables.variances import WELCH, Prior, Scatter, prior_of

NUMBERS = st.floats(-50, 50).map(lambda value: round(value, 3))
VALUES = st.lists(NUMBERS, min_size=3, max_size=8, unique=True)


def two_sided(estimate):
    return min(1, 2 * min(estimate.p_above(0), estimate.p_below(0)))


# Estimates


@given(VALUES, VALUES)
def test_a_difference_is_welchs_t(first, second):
    """Degrees of freedom, p and interval agree with scipy's."""
    mine = contrast([first, second], [1, -1])
    theirs = stats.ttest_ind(first, second, equal_var=False)

    assert isclose(theirs.df, mine.df, rel_tol=1e-6)
    assert isclose(theirs.pvalue, two_sided(mine), rel_tol=1e-6, abs_tol=1e-12)
    assert np.allclose(theirs.confidence_interval(), mine.interval(), rtol=1e-6)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=8))
def test_a_paired_difference_is_the_paired_t(pairs):
    first, second = zip(*pairs, strict=True)
    if len({round(a - b, 6) for a, b in pairs}) > 1:
        mine, theirs = paired_contrast([first, second], [1, -1]), stats.ttest_rel(first, second)
        assert isclose(theirs.pvalue, two_sided(mine), rel_tol=1e-6, abs_tol=1e-12)


@pytest.mark.parametrize(
    ("variances", "df", "expected"),
    [
        ([0.5, 0.9, 1.4, 2.2, 7.5, 0.12], 2, Prior(1.6047720021939131, 7.405120561235765, 6)),
        ([1.0, 1.1, 0.9, 1.05], 4, Prior(1.0125, inf, 4)),
        ([0.02, 0.4, 9.0, 1.7, 30.0, 0.6, 2.5], 9, Prior(0.37524991338078834, 0.9554270893924229, 7)),
        ([2.0], 2, WELCH),
    ],
)
def test_groups_lend_each_other_what_limma_says(variances, df, expected):
    """Figures of `squeezeVar` in InMoose 0.9.1, a port of limma 3.55.1, but for the cap: all degrees of freedom."""
    assert vars(expected) == pytest.approx(vars(prior_of(np.array(variances), df)))


def test_nothing_shrinks_below_its_own_variance_or_gets_more_degrees_of_freedom_than_there_are():
    wide, narrow = [0.0, 4.0, 8.0], [1.0, 1.1, 1.2]

    assert (16.0, 6.0) == Prior(1.0, 4.0, 6).moderate(variance(wide), 2)
    assert (pytest.approx((4 * 1.0 + 2 * 0.01) / 6), 5) == Prior(1.0, 4.0, 2.5).moderate(variance(narrow), 2)
    assert [(16.0, 12), (1.0, 12)] == [Prior(1.0, inf, 6).moderate(variance(group), 2) for group in (wide, narrow)]
    assert 12 == contrast([narrow, narrow], [1, -1], prior=Prior(1.0, inf, 6)).df


TIMES = [[3.1, 2.9, 2.4], [3.3, 3.0, 2.8], [3.0, 3.1, 2.3], [3.2, 2.7, 2.5]]
"""Logarithms of times: a row for each group, a column for each seed."""


def test_a_drift_that_all_runs_of_a_seed_share_is_no_noise():
    """The residual variance of a linear model of groups and seeds, by least squares; the drift changes nothing."""
    rows, columns = np.indices(np.shape(TIMES)).reshape(2, -1)
    model = np.hstack([np.equal.outer(rows, range(4)), np.equal.outer(columns, range(1, 3))]).astype(float)
    _, (squares,), *_ = np.linalg.lstsq(model, np.ravel(TIMES))
    plain, drifting = (blocked_contrast(rows, rows[:2], [1, -1]) for rows in (TIMES, np.add(TIMES, [0.0, 1.0, 5.0])))

    assert (pytest.approx(plain.value), pytest.approx(plain.se)) == (drifting.value, drifting.se)
    assert (6, pytest.approx(2 * squares / 6)) == (plain.df, plain.run_variance)


def test_two_groups_in_blocks_are_the_paired_t_and_a_wide_pair_keeps_its_own_variance():
    pair, wide = TIMES[:2], [[0.0, 0.0, 0.0], [1.0, 5.0, 9.0], *TIMES]

    alone, in_blocks = (
        replace(found, scatter=Scatter())
        for found in (paired_contrast(pair, [1, -1]), blocked_contrast(pair, pair, [1, -1]))
    )
    assert vars(alone) == pytest.approx(vars(in_blocks))
    assert 16.0 == pytest.approx(blocked_contrast(wide, wide[:2], [1, -1]).run_variance)


def test_golden_welch():
    """By hand: means 2 and 4, variances 1 and 4, three each; weights enter by their square."""
    mine, weighted = (contrast([[1, 2, 3], [2, 4, 6]], weights) for weights in ([1, -1], [2, -3]))

    assert (-2.0, sqrt(5 / 3), 3, 5.0) == (mine.value, mine.se, mine.n, mine.run_variance)
    assert isclose(25 / 8.5, mine.df)
    assert (-8.0, 40.0, pytest.approx(sqrt(40 / 3))) == (weighted.value, weighted.run_variance, weighted.se)


def test_runs_that_agree_to_the_step_of_their_metric_are_not_taken_for_certain():
    """Epochs 3, 3, 3 against 5, 5, 5: the variance of rounding is left, in a paired sum too."""
    same = [[3, 3, 3], [5, 5, 5]]
    paired = paired_contrast([[3, 4, 5], [2, 3, 4]], [1, -1], resolution=1.0)

    assert isclose(sqrt(2 / 12 / 3), contrast(same, [1, -1], resolution=1.0).se)
    assert (1.0, pytest.approx(sqrt(1 / 36)), 2.0) == (paired.value, paired.se, paired.df)
    assert (0.0, 5) == (contrast(same, [1, -1]).se, contrast([[1, 1, 1], [2, 2, 2, 2]], [1, -1]).df)


def test_a_further_run_scatters_more_than_a_mean():
    """The prediction interval: s times the root of 1 + 1/n, in the half widths that docs/methodology.md gives."""
    predicted = [Estimate(0.0, 1 / sqrt(n), n - 1, n, 1.0).for_one_more_run() for n in (3, 5, 10)]

    assert [5.0, 3.0, 2.4] == [round(found.interval()[1], 1) for found in predicted]


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_as_they_say(n):
    """95 % of 2,000 differences of groups with unequal variances, seeded: between 93 and 97 %."""
    groups = np.random.default_rng(n).normal(size=(2_000, 2, n)) * [[1.0], [1.5]]
    intervals = [contrast(pair, [1, -1]).interval() for pair in groups.tolist()]

    assert 0.93 <= sum(low < 0 < high for low, high in intervals) / 2_000 <= 0.97


# Regions and their p


def test_equivalence_is_two_one_sided_tests():
    """Both of scipy's one-sided Welch tests against shifted data: at 5 % a 90 % interval inside the margin."""
    first, second, margin = [75.1, 75.6, 74.9, 75.3], [75.4, 75.0, 75.2, 75.9], 1.0
    above = stats.ttest_ind(np.add(first, margin), second, equal_var=False, alternative="greater").pvalue
    below = stats.ttest_ind(np.subtract(first, margin), second, equal_var=False, alternative="less").pvalue
    estimate = contrast([first, second], [1, -1])
    reach = max(map(abs, estimate.interval(0.9)))

    assert isclose(max(above, below), Region(-margin, margin).p_inside(estimate))
    assert Region(-reach * 1.001, reach * 1.001).p_inside(estimate) < 0.05
    assert Region(-reach * 0.999, reach * 0.999).p_inside(estimate) > 0.05


def test_a_direction_is_tested_two_sided_for_and_against():
    """The two p are of the two tails; a region with two bounds is not doubled."""
    first, second = [1.0, 2.0, 4.0], [3.0, 6.0, 5.0]
    estimate, other = contrast([first, second], [1, -1]), Estimate(1.0, 0.25, 4, 3, 3.0)
    p = stats.ttest_ind(first, second, equal_var=False).pvalue

    assert isclose(p, Region(low=0).p_outside(estimate))
    assert isclose(min(1, 2 - p), Region(low=0).p_inside(estimate))
    assert [2, 2, 1] == pytest.approx(
        [region.p_inside(other) / stats.t.sf(4.0, 4) for region in (Region(low=0), Region(high=2), Region(0, 2))]
    )


def test_one_test_of_the_range_is_tukeys():
    """Against a margin of 0: scipy's Tukey test of the pair that is furthest apart; of two groups Student's t."""
    groups = [[1.0, 2.0, 4.0], [3.0, 6.0, 5.0], [2.0, 2.5, 4.5]]
    pooled = fmean(map(variance, groups))
    widest = Estimate(fmean(groups[1]) - fmean(groups[0]), sqrt(pooled * 2 / 3), 6, 3, 2 * pooled)

    assert isclose(stats.tukey_hsd(*groups).pvalue[0, 1], range_p(widest, 0.0, 3), rel_tol=1e-6)
    assert isclose(two_sided(widest), range_p(widest, 0.0, 2), rel_tol=1e-6)
    assert [1.0, 0.0] == [range_p(Estimate(2.0, se, 6, 3, 1.0), margin, 3) for se, margin in ((1.0, 2.0), (0.0, 1.0))]


# The error over several tests and claims


def test_constants_of_the_plan():
    """Level, power and the spending of the error are promises of docs/methodology.md."""
    assert (0.05, 0.8, {3: 0.1, 5: 0.3, 10: 0.6}) == (ALPHA, POWER, TESTED_AT)


def test_interim_analyses_are_paid_for():
    """A p is divided by the share of its analysis; the smallest counts, capped at 1."""
    ps = {3: 0.001}, {3: 0.02, 5: 0.03, 10: 0.9}, {3: 0.9, 10: 0.7}

    assert [0.01, 0.1, 1.0] == pytest.approx([sequential_p(of_claim) for of_claim in ps])


def test_three_interim_analyses_keep_the_error():
    """2,000 simulated series without a difference, seeded: at most 5 % ever fall under 5 %."""
    random, wrong = np.random.default_rng(0), 0
    for first, second in random.normal(size=(2_000, 2, 10)).tolist():
        estimates = {n: contrast([first[:n], second[:n]], [1, -1]) for n in TESTED_AT}
        wrong += sequential_p({n: Region(0).p_outside(found) for n, found in estimates.items()}) <= ALPHA

    assert 0.02 < wrong / 2_000 <= 0.05


def closed_testing(ps, alpha=ALPHA):
    """Reject a hypothesis where every set of hypotheses that holds it is rejected by Bonferroni."""
    sets = [chosen for size in range(1, len(ps) + 1) for chosen in itertools.combinations(range(len(ps)), size)]
    found = {chosen for chosen in sets if min(ps[at] for at in chosen) <= alpha / len(chosen)}
    return {at for at in range(len(ps)) if all(chosen in found for chosen in sets if at in chosen)}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_holm_is_closed_testing_with_bonferroni(count):
    """By brute force, over every combination of p that lie on, just above and just below a level."""
    levels = [ALPHA / left for left in range(1, count + 1)]
    grid = [0.0, 1.0, *(level * factor for level in levels for factor in (0.99, 1.0, 1.01))]

    for ps in itertools.product(grid, repeat=count):
        assert closed_testing(ps) == {at for at, level in enumerate(holm_levels(ps)) if ps[at] <= level}
    assert [0.0125, 0.05 / 3, 0.025, 0.05] == holm_levels([0.001, 0.01, 0.02, 0.06])


# The chance of a verdict, each against simulated runs that are judged

STANDARD_ERRORS = 3.5


def agree(hits, of, chances):
    """Whether shares of simulated comparisons are as likely as computed, to 3 points besides their own error."""
    errors = [0.03 + STANDARD_ERRORS * sqrt(found * (1 - found) / of) for found in chances]
    return all(abs(hit / of - found) <= error for hit, found, error in zip(hits, chances, errors, strict=True))


def test_the_chance_is_the_share_of_comparisons_that_the_rule_decides():
    """Two of 24 arms of one standard deviation, three of them apart; priors and tests as for a report; 18 claims."""
    reports, level, apart = 250, ALPHA / 18, 3.0
    hits = dict.fromkeys(TESTED_AT, 0)
    for arms in np.random.default_rng(3).normal(size=(reports, 24, 10)):
        arms[::2] += apart
        by_arm = arms.tolist()
        priors = priors_of(by_arm)
        for at, n in itertools.product(range(0, 6, 2), TESTED_AT):
            found = contrast([by_arm[at][:n], by_arm[at + 1][:n]], [1, -1], prior=priors[n])
            hits[n] += Region(0).p_inside(found) / TESTED_AT[n] <= level
    lent = Estimate(apart, 0.0, 0.0, 3, 2.0, Scatter(2, Prior(2.0, inf, 24)))

    assert agree(hits.values(), 3 * reports, [chance(lent, Region(0), n, level) for n in TESTED_AT])


ALONE = Scatter(2)
BLOCKS = Scatter(2, in_blocks=True)


@pytest.mark.parametrize(
    ("means", "scatter", "region", "one_run", "p_of"),
    [
        ((2.0, 0.0), ALONE, Region(0), False, lambda found: Region(0).p_inside(found)),
        ((0.0, 0.0), ALONE, Region(-2.5, 2.5), False, lambda found: Region(-2.5, 2.5).p_inside(found)),
        ((5.0, 0.0), ALONE, Region(-2.5, 2.5), False, lambda found: Region(-2.5, 2.5).p_outside(found)),
        ((6.0, 0.0), ALONE, Region(-1, 1), True, lambda found: Region(-1, 1).p_outside(found.for_one_more_run())),
        ((2.0, 0.0, 0.0), BLOCKS, Region(0), False, lambda found: Region(0).p_inside(found)),
    ],
    ids=["a direction", "near", "not near", "one further run", "in blocks"],
)
def test_the_chance_is_that_of_each_kind_of_question(means, scatter, region, one_run, p_of):
    """1,500 simulated comparisons a kind, five seeds, at a level of 10 %."""
    of, hits = 1_500, 0
    for runs in np.random.default_rng(4).normal(size=(of, len(means), 5)):
        groups = (runs + np.array(means)[:, None]).tolist()
        compared = groups[:2], [1, -1]
        found = blocked_contrast(groups, *compared) if scatter.in_blocks else contrast(*compared)
        hits += p_of(found) <= TESTED_AT[5] * 0.1
    true = Estimate(means[0] - means[1], 0.0, 0.0, 3, 2.0, scatter)

    assert agree([hits], of, [chance(true, region, 5, 0.1, one_run=one_run)])


@pytest.mark.parametrize(("means", "margin"), [((0.0, 0.0, 0.0, 0.0), 3.0), ((0.0, 6.0, 3.0, 0.0), 3.0)])
def test_the_chance_that_many_cases_are_near_or_not_is_that_of_their_range(means, margin):
    """200 simulated comparisons of four cases of ten seeds: all pairs by two tests, their range by Tukey's."""
    of, hits, alpha, region = 200, 0, 0.1, Region(-margin, margin)
    is_near = max(means) < margin
    for runs in np.random.default_rng(5).normal(size=(of, 4, 10)):
        groups = sorted((runs + np.array(means)[:, None]).tolist(), key=fmean)
        widest = contrast([groups[-1], groups[0]], [1, -1])
        every = [contrast(pair, [1, -1]) for pair in itertools.combinations(groups, 2)]
        p = max(map(region.p_inside, every)) if is_near else range_p(widest, margin, 4)
        hits += p <= TESTED_AT[10] * alpha
    true = Estimate(max(means), 0.0, 0.0, 3, 2.0, ALONE)

    assert agree([hits], of, [chance(true, region, 10, alpha, means=means)])


def test_a_chance_without_noise_is_certain_and_none_is_above_the_level_at_the_bound():
    certain, at_the_bound = Estimate(1.0, 0.0, 4, 3, 0.0), Estimate(0.0, 0.0, 4, 3, 2.0)

    assert [1.0, 1.0, 0.0] == [chance(certain, Region(low), 5, 0.05) for low in (0, 2, 1)]
    assert chance(at_the_bound, Region(0), 10, 0.05) == pytest.approx(0.6 * 0.05 / 2, abs=0.005)


def test_more_seeds_do_not_add_to_what_others_lend():
    """Four degrees of freedom stay four: the chance is far from that of arms which lend all that they have."""
    chances = [
        chance(Estimate(4.0, 0, 0, 3, 2.0, Scatter(2, Prior(2.0, df, 24))), Region(0), 3, 0.003) for df in (4, inf)
    ]

    assert chances[0] < chances[1] - 0.15


# Ratios of medians


def test_the_bootstrap_of_a_ratio_of_medians_covers_at_five_repeats():
    """Log-normal noise of 5 %, seeded: between 93 and 99 %. The resamples are a fixed sequence, and so the figures."""
    draws = np.exp(np.random.default_rng(5).normal(size=(400, 2, 5)) * 0.05 + [[0.5], [0.0]])
    ends = [ratio_of_medians(*sides)[1:] for sides in draws.tolist()]

    assert (2.5, 1.0, 6.0) == pytest.approx(ratio_of_medians([4.0, 5.0, 6.0], [1.0, 2.0, 4.0]))
    assert 0.93 <= sum(low <= np.exp(0.5) <= high for low, high in ends) / 400 <= 0.99
