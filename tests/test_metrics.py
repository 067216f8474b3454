"""Metrics of claims, each on a curve whose answer is plain."""

from math import exp, inf

import pytest
from builders import make_epoch, make_experiment, make_losses, make_record

from resnet18.records.record import Score
from resnet18.spec.experiment import Execution
from resnet18.tables.metrics import comparable_epochs, late_slope, resolution, value_of
from resnet18.tables.selection import machine, mixed


def record_of(accuracies, rates=(), last_images=100):
    """A run whose clean test accuracy is given in percent of 100 images, and of others in the last three epochs."""
    epochs = []
    for at, percent in enumerate(accuracies, 1):
        count = last_images if at > len(accuracies) - 3 else 100
        score = Score(loss=2.0, correct=percent * count // 100, images=count)
        epochs.append(make_epoch(at, clean=score, learning_rate=rates[at - 1] if rates else 0.01))
    return make_record(epochs=tuple(epochs))


@pytest.mark.parametrize(
    ("metric", "accuracies", "expected"),
    [
        ("clean_accuracy", [10, 20, 60, 40, 50], 50.0),
        ("clean_accuracy", [60, 40], 50.0),
        ("epochs_to_plateau", [10, 57, 58, 60, 59], 3.0),
        ("late_gain", [0, 0, 0, 0, 10, 12, 20, 22], 10.0),
        ("late_gain", [1, 2, 3, 4, 5, 6, 7], None),
        ("jitter", [20 + 3 * at + (-1) ** at for at in range(10)], (16 / 6) ** 0.5),
        ("jitter", [10, 20, 30, 40, 50], 0.0),
        ("jitter", [10, 20, 30, 40], None),
        ("gain_at_first_cut", [10, 20, 30], None),
        ("epochs_to_plateau", [10, 20, 30, 40], None),
        ("epochs_to_plateau", [10, 20, 30, 40, 42], 4.0),
        ("late_gain", [90, 9, 9, 9, 9, 9, 1, 2, 3, 5, 7, 9], 5.0),
        ("generalization_gap", [10, 30], 17.5),
        ("process_peak_bytes", [10], None),
        (50.0, [10, 40, 50, 45, 60], 3.0),
        (10.0, [10, 40, 50, 45, 60], 1.0),
        (99.0, [10, 40, 50, 45, 60], inf),
    ],
)
def test_a_metric_of_a_curve(metric, accuracies, expected):
    """None where the curve is too short for it, or nothing was measured.

    Jitter is of noise about a line: +1, -1, +1, … has second differences of 4 points, 16/6 of variance. A level is
    given as a number; where it is never reached, that is after infinitely many epochs.
    """
    metric, level = ("epochs_to_level", metric) if isinstance(metric, float) else (metric, None)

    assert expected == pytest.approx(value_of(metric, record_of(accuracies), level))


def test_curves_leave_out_epochs_that_were_tested_on_more_images():
    """At small scale the last three are: their images are others, and not comparable."""
    record = record_of([10, 20, 90, 70, 80], last_images=1_000)

    assert [1, 2] == [epoch.epoch for epoch in comparable_epochs(record)]
    assert 80.0 == value_of("clean_accuracy", record)


def test_a_metric_knows_its_step():
    """One epoch; one of 200 images; a millisecond."""
    metrics = "epochs_to_plateau", "clean_accuracy", "train_s"

    assert [1.0, 0.5, 0.001] == [resolution(metric, record_of([10], last_images=200)) for metric in metrics]


@pytest.mark.parametrize(
    ("lengths", "first", "last"),
    [
        ((2, 3), None, None),
        ((3, 2), None, None),
        ((6, 6), 10.0, 10.0),
        ((3, 2, 3), None, None),
        ((3, 3, 3, 3), 10.0, 30.0),
        ((2, 3, 3, 3), None, 30.0),
    ],
)
def test_a_gain_at_a_cut_needs_three_epochs_of_each_rate(lengths, first, last):
    """Steps of 10, 20 and 30 points at the cuts; each window ends where the rate changes again."""
    heights = (0, 10, 30, 60)
    accuracies = [heights[at] for at, length in enumerate(lengths) for _ in range(length)]
    rates = [0.1**at for at, length in enumerate(lengths) for _ in range(length)]
    record = record_of(accuracies, rates)

    assert (first, last) == (value_of("gain_at_first_cut", record), value_of("gain_at_last_cut", record))


def test_losses_and_gaps_are_of_first_and_last_epochs():
    """Of training over all epochs, of the test over those of as many images; one epoch has no drop."""
    record = make_record(epochs=make_losses((3.0, 2.5), (2.0, 2.25), (0.5, 9.0), last_images=40))
    metrics = ("train_loss_drop", "test_loss_drop", "final_train_loss", "final_train_accuracy", "generalization_gap")

    assert (2.5, 0.25, 0.5, 95.0, 45.0) == tuple(value_of(metric, record) for metric in metrics)
    assert (None, None) == tuple(value_of(metric, make_record()) for metric in metrics[:2])


def test_a_machine_is_its_device_and_threads():
    records = [make_record(numerics=changes) for changes in ({}, {"threads": 1}, {"gpu_model": "a card"})]

    expected = ["a processor, 2 threads", "a processor, 1 thread", "a card, 2 threads", "unknown machine"]
    assert expected == [machine(record) for record in (*records, make_record(status="crashed"))]


ONE, OTHER_CASE = make_record(), make_experiment(batch_size=8)


@pytest.mark.parametrize(
    ("second", "are_costs", "expected"),
    [
        (ONE, True, None),
        *(
            (make_record(numerics={key: "other"}), True, "several_machines")
            for key in ("torch", "cuda", "cudnn", "driver", "cpu_model", "gpu_model", "threads")
        ),
        (make_record(cpu="other"), False, None),
        (make_record(OTHER_CASE, cpu="other"), True, "several_machines"),
        (make_record(OTHER_CASE, numerics={"threads": 1}), True, None),
        (make_record(execution=Execution(device="cuda"), numerics={"gpu_model": "a card"}), True, None),
        (make_record(cpu="unknown"), True, "unknown_machine"),
        (make_record(data="e" * 64), False, "several_data_sets"),
        (make_record(code="e" * 64), False, "several_codes"),
        (make_record(OTHER_CASE, code="e" * 64), False, None),
        (make_record(OTHER_CASE, shared_code="e" * 64), False, "several_codes"),
    ],
)
def test_results_of_one_origin_alone_are_put_together(second, are_costs, expected):
    """Costs of a case: one machine and number of threads; of one device: one machine and its libraries."""
    assert expected == mixed([ONE, second], are_costs=are_costs, are_compared=True)
    assert (None if expected == "several_codes" else expected) == mixed([ONE, second], are_costs=are_costs)


def test_two_unknown_machines_need_not_be_one():
    unknown = make_record(cpu="unknown")

    assert [None, "unknown_machine"] == [mixed(records, are_costs=True) for records in ([unknown], [unknown] * 2)]


def test_the_second_half_of_six_epochs_is_the_last_three():
    """Of five as well; four are too few for a slope."""
    later = [1.0, exp(-1), exp(-2)]
    slopes = [late_slope([*before, *later]) for before in ([9.0], [9.0, 1.0], [9.0, 1.0, 4.0])]

    assert [None, pytest.approx(-1), pytest.approx(-1)] == slopes
