"""Properties of the statistics: what must not matter does not, and Holm stands between Bonferroni and no correction."""

import itertools
from dataclasses import replace
from math import isclose

import pytest
from builders import make_benchmark, make_epoch, make_record
from hypothesis import given
from hypothesis import strategies as st

from resnet18.judge.sample import CannotJudgeError, check_comparable
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.tables.selection import select
from resnet18.tables.speedup import speed_up
from resnet18.tables.statistics import (
    ALPHA,
    Region,
    contrast,
    correlation,
    holm_levels,
    paired_contrast,
    ratio_of_medians,
)

VALUES = st.lists(st.floats(-50, 50).map(lambda value: round(value, 3)), min_size=2, max_size=8)
GROUPS = st.lists(VALUES, min_size=1, max_size=4)
PS = st.lists(st.floats(0, 1) | st.floats(0, ALPHA), min_size=1, max_size=7)
SECONDS = st.lists(st.integers(1, 10_000).map(lambda ticks: ticks / 64), min_size=1, max_size=8)


def same(one, other):
    """Two estimates are equal but for the order in which floats were added."""
    fields = ("value", "se", "df", "n", "run_variance")
    return all(isclose(getattr(one, field), getattr(other, field), rel_tol=1e-6, abs_tol=1e-9) for field in fields)


def weights_of(groups):
    return [(-1) ** at * (at + 1) / 2 for at in range(len(groups))]


@given(GROUPS, st.data())
def test_the_order_of_values_and_groups_changes_no_estimate(groups, data):
    """Records come in the order of their file names, which means nothing."""
    weights = weights_of(groups)
    shuffled = [data.draw(st.permutations(group)) for group in groups]
    order = data.draw(st.permutations(range(len(groups))))
    start = contrast(groups, weights)

    assert same(start, contrast(shuffled, weights))
    assert same(start, contrast([groups[at] for at in order], [weights[at] for at in order]))


@given(VALUES.flatmap(lambda one: st.tuples(st.just(one), st.permutations(one), st.permutations(range(len(one))))))
def test_the_order_of_pairs_changes_no_paired_estimate(drawn):
    """As long as the pairs stay together."""
    first, second, order = drawn
    moved = [[group[at] for at in order] for group in (first, second)]

    assert same(paired_contrast([first, second], [1, -1]), paired_contrast(moved, [1, -1]))
    assert isclose(correlation(first, second), correlation(*moved), rel_tol=1e-6, abs_tol=1e-6)


@given(GROUPS, st.floats(-10, 10))
def test_what_every_run_has_more_shows_in_no_difference(groups, shift):
    """Weights that sum to nothing: the value stays, and so does its error."""
    groups = [*groups, groups[0]]
    weights = [1.0, *[0.0] * (len(groups) - 2), -1.0]
    shifted = [[value + shift for value in group] for group in groups]

    assert same(contrast(groups, weights), contrast(shifted, weights))


@given(VALUES, VALUES, st.floats(-5, 5), st.floats(0, 5))
def test_a_claim_turned_round_has_the_same_p(first, second, low, width):
    """One above the other, or the other below the one."""
    there, back = contrast([first, second], [1, -1]), contrast([second, first], [1, -1])
    region, turned = Region(low, low + width), Region(-low - width, -low)

    assert isclose(region.p_inside(there), turned.p_inside(back), rel_tol=1e-6, abs_tol=1e-12)
    assert isclose(region.p_outside(there), turned.p_outside(back), rel_tol=1e-6, abs_tol=1e-12)


def rejected(ps, levels):
    return {at for at, (p, level) in enumerate(zip(ps, levels, strict=True)) if p <= level}


@given(PS)
def test_holm_rejects_what_bonferroni_does_and_nothing_that_no_correction_would_keep(ps):
    """It lies between the two."""
    found = rejected(ps, holm_levels(ps))

    assert rejected(ps, [ALPHA / len(ps)] * len(ps)) <= found <= rejected(ps, [ALPHA] * len(ps))


@given(PS, st.data())
def test_a_smaller_p_takes_nothing_back(ps, data):
    """Holm is monotone: evidence that grows rejects what was rejected, and perhaps more."""
    at = data.draw(st.integers(0, len(ps) - 1))
    smaller = [*ps[:at], data.draw(st.floats(0, ps[at])), *ps[at + 1 :]]

    assert rejected(ps, holm_levels(ps)) <= rejected(smaller, holm_levels(smaller))


@given(PS, st.data())
def test_levels_go_with_their_p(ps, data):
    """Whichever claim stands first in the file."""
    order = data.draw(st.permutations(range(len(ps))))

    assert rejected([ps[at] for at in order], holm_levels([ps[at] for at in order])) == {
        place for place, at in enumerate(order) if at in rejected(ps, holm_levels(ps))
    }


@given(PS, st.floats(0.001, 0.5))
def test_a_level_is_a_whole_part_of_alpha(ps, alpha):
    """Alpha by the number of claims that are not rejected yet: from all of them to one."""
    levels = holm_levels(ps, alpha)

    assert all(alpha / len(ps) <= level <= alpha for level in levels)
    assert {round(alpha / level, 9) for level in levels} <= {float(count) for count in range(1, len(ps) + 1)}
    assert [levels[at] for at in sorted(range(len(ps)), key=ps.__getitem__)] == sorted(levels)


@given(SECONDS, SECONDS)
def test_a_speed_up_and_its_inverse_multiply_to_one(slow, fast):
    """Sp(a, b) times Sp(b, a)."""
    there, back = ratio_of_medians(slow, fast), ratio_of_medians(fast, slow)

    assert isclose(1.0, there[0] * back[0])
    assert there[1] <= there[0] <= there[2]


@given(SECONDS, st.sampled_from([0.25, 2.0, 1024.0]))
def test_a_speed_up_has_no_unit(seconds, factor):
    """Minutes by minutes or seconds by seconds, interval and all."""
    other = [second + 1 for second in seconds]

    assert ratio_of_medians(seconds, other) == ratio_of_medians(
        [second * factor for second in seconds], [second * factor for second in other]
    )


def test_golden_ratio_of_medians():
    """By hand: 5 by 2. Its interval goes from the least median by the greatest to the other way round."""
    ratio, low, high = ratio_of_medians([4.0, 5.0, 6.0], [1.0, 2.0, 4.0])

    assert 2.5 == ratio
    assert (1.0, 6.0) == (low, high)


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    return make_benchmark(tmp_path_factory.mktemp("mine"))


def records_of(mine, seconds):
    """Each case's runs, by batch size, with their times."""
    return [
        make_record(run.experiment, run.execution, epochs=(make_epoch(1, train_s=seconds[run.experiment.batch_size]),))
        for run in plan([mine], Request(), range(3), {"cpu": 1}).runs
    ]


def case_records(mine, records):
    (view,) = select([mine], Request(), records)
    return view.cases


def test_speed_ups_of_arms_are_inverse_to_each_other(mine):
    """Of one experiment: as the table and a reader who turns it round have it."""
    one, other = case_records(mine, records_of(mine, {8: 6.0, 16: 1.5}))
    other = replace(other, experiment=one.experiment)

    assert (4.0, 0.25) == (speed_up(one, other, "train_s").ratio, speed_up(other, one, "train_s").ratio)


@given(st.permutations(range(6)))
def test_the_order_of_records_changes_no_arm(mine, order):
    """They come from a folder."""
    records = records_of(mine, {8: 6.0, 16: 1.5})

    assert case_records(mine, records) == case_records(mine, [records[at] for at in order])


def test_a_seed_that_is_there_twice_is_refused(mine):
    """Its two records are one draw; averaged, they would look like two."""
    records = records_of(mine, {8: 6.0, 16: 1.5})
    again = make_record(records[0].spec.experiment, records[0].spec.execution, attempt=2)
    arms = case_records(mine, records)
    doubled = replace(arms[0], records=(*arms[0].records, again))

    check_comparable(arms)
    with pytest.raises(CannotJudgeError, match="seed_twice"):
        check_comparable([doubled, *arms[1:]])


def brute_force(ps, alpha):
    """Holm's procedure as his paper words it: go through the ordered p until one is above its level, then stop."""
    found, left = set(), len(ps)
    for at in sorted(range(len(ps)), key=ps.__getitem__):
        if ps[at] > alpha / left:
            break
        found.add(at)
        left -= 1
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_holm_is_the_procedure_of_the_paper_on_every_grid(count):
    """Every combination of p that lie on, just above and just below a level."""
    levels = {ALPHA / left for left in range(1, count + 1)}
    grid = sorted({0.0, 1.0, *levels, *(level * 1.01 for level in levels), *(level * 0.99 for level in levels)})

    for ps in itertools.product(grid, repeat=count):
        assert brute_force(ps, ALPHA) == rejected(ps, holm_levels(ps))
