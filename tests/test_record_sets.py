"""Which records may be compared: seeds without a gap and once each, of one data set and one version of the code."""

from dataclasses import replace

import pytest
from builders import make_case, make_experiment, make_record

from resnet18.judge.reason import CannotJudgeError, check_comparable, measured_in_order


def seeded(*seeds, **changes):
    return tuple(make_record(make_experiment(seed=seed), **changes) for seed in seeds)


def test_an_arm_that_holds_a_seed_twice_decides_nothing():
    with pytest.raises(CannotJudgeError, match="seed_twice"):
        check_comparable([make_case("a", seeded(0, 0, 1))])


def test_seeds_count_in_order_as_far_as_there_is_no_gap():
    assert [[0, 1], []] == [
        [record.seed for record in measured_in_order(make_case("a", seeded(*seeds)))] for seeds in ((0, 1, 3), (1, 2))
    ]


def test_arms_without_fault_may_be_compared():
    failed = make_case("b", seeded(0, status="crashed", data="e" * 64))

    assert check_comparable([make_case("a", seeded(0, 1)), replace(failed, arm_id="b")]) is None


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        (make_case("b", ()), "no_records_of_case"),
        (replace(make_case("b", ()), absent="no CUDA device"), "no_device"),
        (make_case("b", seeded(0, data="e" * 64)), "several_data_sets"),
        (make_case("b", seeded(0, shared_code="e" * 64)), "several_codes"),
    ],
)
def test_arms_with_a_fault_may_not_be_compared(arm, reason):
    with pytest.raises(CannotJudgeError, match=reason):
        check_comparable([make_case("a", seeded(0)), replace(arm, arm_id="b")])


@pytest.mark.parametrize("flag", ["unreliable", "not_exclusive", "resumed", "no_learning"])
def test_only_flags_of_disturbance_make_a_time_unreliable(flag):
    assert (flag != "no_learning") == make_record().model_copy(update={"flags": (flag,)}).has_unreliable_times
