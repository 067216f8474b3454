"""Metrics of claims, each on a curve whose answer is plain."""

import pytest
from builders import make_epoch, make_record
from hypothesis import given
from hypothesis import strategies as st

from resnet18.analysis.metrics import comparable_epochs, resolution, slope, turning_epoch, value_of
from resnet18.records.record import Score


def record_of(accuracies, rates=None, images=100, last_images=100, **changes):
    """A run whose clean test accuracy after each epoch is given in percent of 100 images."""
    epochs = []
    for at, percent in enumerate(accuracies, 1):
        count = last_images if at == len(accuracies) else images
        score = Score(loss=2.0, correct=round(percent * count / 100), images=count)
        rate = rates[at - 1] if rates else 0.01
        epochs.append(make_epoch(at, clean=score, as_published=score, learning_rate=rate, **changes))
    return make_record(epochs=tuple(epochs))


@pytest.mark.parametrize(
    ("metric", "accuracies", "expected"),
    [
        ("best_accuracy", [10, 60, 40], 60.0),
        ("last_clean_accuracy", [10, 60, 40], 40.0),
        ("epochs_to_plateau", [10, 57, 58, 60, 59], 3.0),
        ("late_gain", [0, 0, 0, 0, 10, 12, 20, 22], 10.0),
        ("late_gain", [1, 2, 3, 4, 5, 6, 7], None),
        ("jitter", [10, 20, 30, 40, 50], 0.0),
        ("jitter", [10, 20, 30], None),
        ("gain_at_first_cut", [10, 20, 30], None),
    ],
)
def test_a_metric_of_a_curve(metric, accuracies, expected):
    """None where the curve is too short for it."""
    assert expected == value_of(metric, record_of(accuracies))


def test_jitter_is_the_standard_deviation_of_independent_noise():
    """+1, -1, +1, … about a line: second differences of 4 points, 16/6 of variance."""
    noisy = [20 + 3 * at + (-1) ** at for at in range(10)]

    assert (16 / 6) ** 0.5 == pytest.approx(value_of("jitter", record_of(noisy)))


@pytest.mark.parametrize(("level", "expected"), [(50.0, 3.0), (10.0, 1.0), (99.0, 6.0)])
def test_a_level_that_is_never_reached_counts_as_one_epoch_more_than_all(level, expected):
    """Of five."""
    assert expected == value_of("epochs_to_level", record_of([10, 40, 50, 45, 60]), level)


@pytest.mark.parametrize(("metric", "expected"), [("gain_at_first_cut", 20.0), ("gain_at_last_cut", 3.0)])
def test_a_gain_at_a_cut_compares_five_epochs_on_either_side(metric, expected):
    """Fewer where another cut is nearer."""
    accuracies = [0] * 3 + [50] * 5 + [70] * 6 + [73] * 4
    rates = [0.1] * 8 + [0.01] * 6 + [0.001] * 4

    assert expected == pytest.approx(value_of(metric, record_of(accuracies, rates)))


def test_a_cut_too_near_the_end_has_no_gain():
    """Three epochs on either side are the least."""
    assert value_of("gain_at_first_cut", record_of([10] * 8, [0.1] * 6 + [0.01] * 2)) is None


def test_losses_and_gaps_are_of_first_and_last_epochs():
    """Training loss 2.0 throughout, 15 of 40 training images right, 40 % of test images."""
    record = record_of([10, 40])

    assert (0.0, 0.0, 2.0, 37.5, -2.5) == tuple(
        value_of(metric, record)
        for metric in (
            "train_loss_drop",
            "test_loss_drop",
            "final_train_loss",
            "final_train_accuracy",
            "generalization_gap",
        )
    )


def test_curves_leave_out_an_epoch_that_was_tested_on_more_images():
    """At small scale the last one is: its images are others, and not comparable."""
    record = record_of([10, 20, 90], last_images=1_000)

    assert [1, 2] == [epoch.epoch for epoch in comparable_epochs(record)]
    assert 90.0 == value_of("last_clean_accuracy", record)


def test_the_turning_epoch_has_the_lowest_test_loss():
    """Not the highest accuracy."""
    losses = [3.0, 1.0, 2.0]
    epochs = tuple(
        make_epoch(at, clean=Score(loss=loss, correct=10 + at, images=20)) for at, loss in enumerate(losses, 1)
    )

    assert 2 == turning_epoch(make_record(epochs=epochs))


@pytest.mark.parametrize(
    ("metric", "step"), [("epochs_to_plateau", 1.0), ("last_clean_accuracy", 1.0), ("train_s", 0.0)]
)
def test_a_metric_knows_its_step(metric, step):
    """One epoch; one of 100 images; none for times."""
    assert step == resolution(metric, record_of([10]))


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(2, 20))
def test_the_slope_of_a_line_is_its_slope(offset, rise, count):
    """Whatever its length."""
    assert rise == pytest.approx(slope([offset + rise * at for at in range(count)]), abs=1e-9)


def test_memory_that_was_not_measured_has_no_value():
    """Never 0."""
    assert value_of("process_peak_bytes", make_record()) is None
