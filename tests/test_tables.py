"""Tables: measured beside reported where that is honest, and a reason where there is no number."""

from dataclasses import replace

import pytest
from builders import changed, make_case, make_epoch, make_experiment, make_record
from reports import PAPER, record_all

from resnet18.records.record import Score
from resnet18.spec.experiment import Execution
from resnet18.spec.load import load_benchmarks
from resnet18.spec.resolve import Request
from resnet18.tables.cells import Text, Value, mean, middle, speed_up
from resnet18.tables.selection import reported_head, select
from resnet18.tables.tables import build_table, rows_of, run_rows

DASH = "\N{EN DASH}"
ACCURACY = "Accuracy, measured on cifar10-jpeg (median of the last three epochs, clean)"
TIME = "Time, measured on cifar10-jpeg (s)"


@pytest.fixture(scope="module")
def device():
    return load_benchmarks(("device",))[0]


def cells(benchmark, records, request=PAPER):
    """The texts of the cells of all that was measured, by (title, case)."""
    (selection,) = select([benchmark], request, records)
    table = build_table(selection, request, as_printed=False)
    return {
        (column.title, row[0].text): cell.text
        for row in table.rows
        for column, cell in zip(table.columns[1:], row[1:], strict=True)
    }


def two_epochs(run):
    """Clean 50, 60 or 70 % by seed, with 60 % in an epoch as published."""
    correct = 10 + 2 * run.experiment.seed
    return make_epoch(1, correct, published=12), make_epoch(2, correct)


def test_measured_stands_beside_reported_as_it_was_printed(mine):
    """Mean and 95 % interval over three seeds, optimism gap, both errors, times, n, and the report's own strings."""
    table = cells(mine, record_all([mine], seeds=(0, 1, 2), epochs=two_epochs))

    assert {
        "Accuracy, reported": "70%",
        "Accuracy, measured on cifar10-jpeg (best epoch, as published)": "63.33 % [48.99, 77.68]",
        ACCURACY: "60.00 % [35.16, 84.84]",
        "Optimism gap (points)": "+3.33 [-11.01, +17.68]",
        "Standard deviation over seeds, clean (points)": "10.00",
        "Error of the test set (points)": "10.95",
        "Time, reported": "12.5",
        TIME: "3.25",
        "n (seeds)": "3",
    } == {title: text for (title, case), text in table.items() if case == "8"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (mean([75.49]), "75.49 %"),
        (mean([75, 76, 77]), "76.00 % [73.52, 78.48]"),
        (mean([98, 99, 100]), "99.00 % [96.52, 100.00]"),
        (mean([0, -1, -2], "points"), "-1.00 [-3.48, +1.48]"),
        (mean([-100, -50], "points"), "-75.00 [-100.00, +100.00]"),
        (middle([3.14159]), "3.14"),
        (middle([12.0, 11.0, 40.0]), "12.0 [11.0 to 40.0]"),
        (middle([999.94]), "999.9"),
        (middle([1000.0]), "1000"),
        (middle([5.001, 5.002]), "5.00"),
        (middle([5.0, 6.0], is_unreliable=True), "5.50 [5.00 to 6.00] \N{DAGGER}"),
        (middle([1000.0, 3000.0], "mebibytes"), "2,000 [1,000 to 3,000]"),
        (Text(), DASH),
    ],
)
def test_a_cell_shows_a_number_with_its_spread(value, text):
    """Means with their interval, cut at what a share can be; medians with the ends, where they differ as printed."""
    assert text == value.text


@pytest.mark.parametrize(
    ("request_", "head"),
    [
        (Request(scale="paper"), "reported"),
        (PAPER, "reported"),
        (Request(scale="small"), "reported, CIFAR-10, full size"),
        (Request(scale="smoke"), "reported, CIFAR-10, full size"),
        (Request(scale="paper", data="my-photos"), "reported, CIFAR-10, full size"),
        (Request(scale="paper", overrides=("epochs=3",)), "reported, CIFAR-10, full size"),
        (Request(scale="paper", overrides=("threads=1", "--device=cpu")), "reported"),
    ],
)
def test_reported_values_say_what_they_are_of_where_the_measured_ones_are_of_something_else(request_, head):
    assert head == reported_head(request_)


@pytest.mark.parametrize(("status", "word"), [("oom_host", "Out of Memory (host)"), ("timeout", "timed out")])
def test_a_run_without_a_result_is_a_word_in_its_cell(status, word, mine):
    one, other = record_all([mine])
    table = cells(mine, [one, make_record(other.spec.experiment, request=PAPER, status=status)])

    assert (word, f"0 + 1 {word}") == (table[ACCURACY, "16"], table["n (seeds)", "16"])


def test_a_case_without_records_says_that_it_was_not_run_and_why(mine, device):
    """Table 4 on a machine without a GPU."""
    table = cells(device, [one for one in record_all([device]) if one.spec.execution.device == "cpu"])

    assert "not run" == cells(mine, record_all([mine])[:1])[TIME, "16"]
    assert "not run: no CUDA device" == table["Run Time (s), measured on cifar10-jpeg", "GPU"]
    assert "791.5949" == table["Run Time (s), reported", "GPU"]


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ({}, {"cpu": "another processor"}, "several machines or installations: not averaged"),
        ({"cpu": "unknown"}, {"cpu": "unknown"}, "an unknown machine: not averaged"),
        ({}, {"data": "e" * 64}, "several data sets of one name: not averaged"),
    ],
)
def test_runs_of_two_machines_are_not_averaged(first, second, text, mine):
    """Nor those of an unknown machine, or of two data sets of one name; one run alone has its time."""
    alone, both = record_all([mine], **first), record_all([mine], seeds=(1,), **second)

    assert "1.62" == cells(mine, alone)[TIME, "8"]
    assert text == cells(mine, alone + both)[TIME, "8"]


def test_records_of_two_code_versions_are_counted_as_such(mine):
    """They stand together only where stale records were accepted."""
    records = record_all([mine]) + record_all([mine], seeds=(1,), code="e" * 64)

    assert "2 (of 2 code versions)" == cells(mine, records)["n (seeds)", "8"]


def test_table_1_has_the_reports_columns_and_a_size():
    """Rows are cases; operations have the lab report's signs."""
    (augmentation,) = load_benchmarks(("augmentation",))
    (selection,) = select([augmentation], PAPER, record_all([augmentation]))
    table = build_table(selection, PAPER)
    rows = [[cell.text for cell in row[:9]] for row in table.rows]

    assert ["none", *["X"] * 6, "32", "75.49%"] == rows[0]
    assert ["all", *["\N{SQUARE ROOT}"] * 6, "224", "80.66%"] == rows[4]
    assert ["text", *["factor"] * 7, *["number"] * 4] == [column.kind for column in table.columns]


def test_a_table_whose_cases_are_columns_has_a_row_for_each_on_small_screens(mine):
    (selection,) = select([mine], PAPER, record_all([mine]))
    table = build_table(selection, PAPER)

    assert ["Batch", "8", "16"] == [column.title for column in table.columns]
    assert [("8", "70%"), ("16", "Out of Memory")] == [(row[0].text, row[1].text) for row in table.turned.rows]


def timed(name, *times, **changes):
    """A case of runs that took so long."""
    records = tuple(
        make_record(make_experiment(seed=seed), epochs=(make_epoch(1, train_s=one),), **changes)
        for seed, one in enumerate(times)
    )
    return make_case(name, records, make_experiment())


def test_a_speed_up_divides_the_slow_by_the_fast():
    """Medians; with an interval from five runs a side on."""
    few = speed_up(timed("a", 6.0, 6.0, 6.0, 9.0), timed("b", *[2.0] * 5), "train_s")
    many = speed_up(timed("a", *[6.0] * 5), timed("b", *[2.0] * 6), "train_s")

    assert ["3 (n = 4 and 5: no interval)", "3 [3, 3]"] == [few.text, many.text]


def flagged(case, *flags):
    return replace(case, records=tuple(record.model_copy(update={"flags": flags}) for record in case.records))


LONGER = make_case("b", (make_record(epochs=(make_epoch(1), make_epoch(2))),), make_experiment())


@pytest.mark.parametrize(
    ("fast", "metric", "reason"),
    [
        (timed("b"), "train_s", "no time of b"),
        (replace(timed("b", 1.0), experiment=make_experiment(width=3)), "train_s", "the experiments differ"),
        (timed("b", 1.0, shared_code="e" * 64), "train_s", "several versions of the code"),
        (timed("b", 1.0, cpu="other"), "train_s", "several machines or installations"),
        (LONGER, "train_s", "epochs differ"),
        (flagged(timed("b", 1.0), "resumed"), "train_s", "times are unreliable (flags: resumed)"),
        (flagged(timed("b", 1.0), "resumed"), "process_peak_bytes", "a time of 0 s"),
        (timed("b", 0.0), "train_s", "a time of 0 s"),
        (flagged(timed("b", 1.0), "no_learning"), "train_s", None),
        (timed("b", 1.0, cpu="other", execution=Execution(device="cuda")), "train_s", None),
        (timed("b", 1e-9), "train_s", None),
    ],
)
def test_a_speed_up_that_means_nothing_is_not_computed(fast, metric, reason):
    """The reason stands in its place; between devices, and of runs that learned nothing, it means something."""
    found = speed_up(timed("a", 6.0), fast, metric)

    assert (f"not computed: {reason}" if reason else found.text) == found.text
    assert (reason is None) == isinstance(found, Value)


OPTIONS = ("train_images=640", "epochs=2", "test_images_last=20")
SLICE = Request(scale="paper", data="cifar10-jpeg", overrides=OPTIONS)
FULL = "Run Time (s), extrapolated to full size"


def record_slices(device, seconds, request=SLICE, path="reference"):
    """A record of the processor for each time of an epoch of 640 images, of which a run has two."""

    def epochs(run):
        train = Score(loss=2.0, correct=15, images=640)
        return tuple(make_epoch(at, train_s=seconds[run.experiment.seed], train=train) for at in (1, 2))

    records = record_all([device], request, range(len(seconds)), epochs)
    return [one for one in records if (one.spec.execution.device, one.spec.execution.path) == ("cpu", path)]


def test_a_slice_is_extrapolated_by_the_images_that_pass_through_training(device):
    """25.6 s for 640 images, 500,000 images in ten epochs: 20,000 s; 31.25 s more for each 0.04 s an epoch.

    Times 25.6, 26.0 and 25.2 s an epoch: mean 20,000 s, standard deviation 312.5, times 4.3027 / sqrt(3).
    """
    table = cells(device, record_slices(device, (25.6, 26.0, 25.2)), SLICE)

    assert ("20,000 [19,224, 20,776]", "not run: no CUDA device") == (table[FULL, "CPU"], table[FULL, "GPU"])
    assert "34933.53377" == table["Run Time (s), reported, CIFAR-10, full size", "CPU"]


@pytest.mark.parametrize(
    "request_",
    [
        Request(scale="small", data="cifar10-jpeg"),  # another size of images
        Request(scale="paper", data="cifar10-jpeg", overrides=(*OPTIONS, "width=16")),
        Request(scale="paper", data="my-photos", overrides=OPTIONS),  # nobody counted these
        Request(scale="paper", data="cifar10-jpeg", overrides=("train_images=50000",)),
    ],
)
def test_only_a_slice_is_extrapolated(device, request_):
    """What differs in anything but how much is run takes another time for an image."""
    assert (FULL, "CPU") not in cells(device, record_slices(device, (25.6,), request_), request_)


def test_an_unreliable_time_is_not_extrapolated(device):
    """Where every time is unreliable, the table has no such column."""
    alone, text = record_slices(device, (25.6,)), "not extrapolated \N{DAGGER}"
    beside = [changed(one, flags=["not_exclusive"]) for one in record_slices(device, (2.56,), path="fast")]
    both = cells(device, [*alone, *beside], SLICE)

    assert ("20,000 (n = 1: no interval)", text) == (both[FULL, "CPU"], both[FULL, "CPU, tuned"])
    assert (FULL, "CPU") not in cells(device, beside, SLICE)


def test_a_table_of_runs_has_a_row_for_each_run(mine):
    """Accuracies in percent, seconds and bytes; a run without a result has its status and its wall time."""
    one, other = record_all([mine], epochs=two_epochs)
    crashed = make_record(other.spec.experiment, request=PAPER, status="crashed")
    table = {row["case"]: row for row in run_rows(rows_of([mine], [one, crashed]))}

    keys = "status", "best_accuracy", "clean_accuracy", "train_s", "whole_program_s", "wall_s"
    assert ["ok", 60.0, 50.0, 2.0, 3.25, 11.25] == [table["8"][key] for key in keys]
    assert ("crashed", None) == (table["16"]["status"], table["16"]["train_s"])
