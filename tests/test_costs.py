"""What stands beside times and memory: daggers, warnings, sources and reasons."""

import pytest
from builders import TOML, changed, make_benchmark, make_epoch, make_record

from resnet18.records.store import Readings
from resnet18.report.costs import loader_notes, memory_lines, unreliable_notes
from resnet18.report.report import write_report
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.tables.selection import select
from resnet18.tables.tables import build_table

PAPER = Request(scale="paper", data="cifar10-jpeg")
FOUR = TOML + "".join(f'[[case]]\nname = "{size}"\nexperiment = {{ batch_size = {size} }}\n' for size in (32, 128))
MEMORY = '[printed]\nmemory = [{ case = "8", printed = "2141 MiB" }]\n'


def records_of(mine, epoch=lambda run: make_epoch(1), **changes):
    """One record a case; `changes` are laid over each record's content."""
    found = []
    for run in plan([mine], PAPER, [0], {"cpu": 1}).runs:
        record = make_record(run.experiment, run.execution, request=PAPER, epochs=(epoch(run),))
        found.append(changed(record, **changes))
    return found


def view_of(mine, records):
    (view,) = select([mine], PAPER, records)
    return view


def test_a_time_taken_beside_other_work_has_a_dagger(tmp_path):
    """In its cell; the number stays."""
    mine = make_benchmark(tmp_path)
    records = records_of(mine, flags=["unreliable"], unreliable_because=["other processes took 80 % of the processors"])
    table = build_table(view_of(mine, records), PAPER).set_index("Batch")

    assert "1.62 \N{DAGGER}" == table.loc["Time, measured on cifar10-jpeg (s)", "8"]


def test_a_dagger_is_explained_with_its_causes(tmp_path):
    """Each once, and what it means for verdicts."""
    mine = make_benchmark(tmp_path)
    records = records_of(mine, flags=["unreliable"], unreliable_because=["other <b>processes</b> took 80 %"])

    explained = (
        "- \N{DAGGER}: the times of 2 of 2 runs are unreliable: they decide no verdict and enter no speed-up. "
        r"other \<b\>processes\</b\> took 80 %."
    )

    assert [explained] == unreliable_notes(view_of(mine, records))


def test_a_quiet_time_has_no_dagger(tmp_path):
    """And nothing to explain."""
    mine = make_benchmark(tmp_path)

    assert [] == unreliable_notes(view_of(mine, records_of(mine)))


def test_times_that_measure_the_data_loader_are_called_so(tmp_path):
    """Where more than half of the training time is waiting for data, case by case."""
    mine = make_benchmark(tmp_path)
    waits = {8: 0.9, 16: 0.5}
    records = records_of(mine, lambda run: make_epoch(1, data_wait_s=waits[run.experiment.batch_size]))

    assert [
        '- These times measure the data loader, not the device (share of training spent waiting): "8" (90 %).'
    ] == loader_notes(view_of(mine, records))


def test_an_epochs_time_is_split_into_images_and_steps(tmp_path):
    """10 s for the images, 5 ms for each step: a line through three sizes or more."""
    mine = make_benchmark(tmp_path, FOUR)

    def epoch(run):
        steps = 8_192 // run.experiment.batch_size
        return make_epoch(1, steps=steps, train_s=10 + 0.005 * steps)

    split = (
        "- An epoch takes 10 s for its images and 5 ms for each step (a line through the medians of 4 batch sizes); "
        "2 % of the training time is waiting for data."
    )

    assert [split] == loader_notes(view_of(mine, records_of(mine, epoch)))


def test_two_sizes_make_no_line_to_believe(tmp_path):
    """Any two points have one."""
    mine = make_benchmark(tmp_path)

    assert [] == loader_notes(view_of(mine, records_of(mine)))


def test_memory_stands_by_source_beside_what_was_printed(tmp_path):
    """In MiB; the device's peak less its baseline."""
    mine = make_benchmark(tmp_path, TOML + MEMORY)
    memory = {
        "allocated_peak_bytes": 1000 * 2**20,
        "reserved_peak_bytes": 1200 * 2**20,
        "device_peak_bytes": 2155 * 2**20,
        "device_baseline_bytes": 14 * 2**20,
        "process_peak_bytes": 2140 * 2**20,
        "rss_peak_bytes": 3000 * 2**20,
    }
    text = "\n".join(memory_lines(view_of(mine, records_of(mine, memory=memory)), PAPER))

    assert "| 8       | 2141 MiB   |" in text
    for number in ("1,000", "1,200", "2,141", "2,140", "3,000"):
        assert number in text


def test_a_source_that_gave_nothing_says_why(tmp_path):
    """Never 0."""
    mine = make_benchmark(tmp_path, TOML + MEMORY)
    text = "\n".join(memory_lines(view_of(mine, records_of(mine)), PAPER))

    assert "- process (NVML): the attempt ended as ok before this was known." in text
    assert " 0 " not in text[: text.index("- ")]


@pytest.mark.parametrize(("request_", "cell"), [(PAPER, "2141 MiB"), (Request(), "\N{EN DASH}")])
def test_printed_memory_stands_only_where_it_may_be_compared(request_, cell, tmp_path):
    """As every reported value."""
    mine = make_benchmark(tmp_path, TOML + MEMORY)
    (run, *_) = plan([mine], request_, [0], {"cpu": 1}).runs
    (view,) = select([mine], request_, [make_record(run.experiment, run.execution, request=request_)])

    assert cell in next(one for one in memory_lines(view, request_) if one.startswith("| Batch")).splitlines()[2]


def test_a_table_whose_report_says_nothing_of_memory_has_no_memory_table(tmp_path):
    """It would hold what nobody asked for."""
    mine = make_benchmark(tmp_path)

    assert [] == memory_lines(view_of(mine, records_of(mine)), PAPER)


def test_the_first_epoch_stands_apart(tmp_path):
    """3 s, then 2 s and 2 s."""
    mine = make_benchmark(tmp_path)
    records = [
        make_record(
            run.experiment,
            run.execution,
            request=PAPER,
            epochs=tuple(make_epoch(at, train_s=seconds) for at, seconds in enumerate((3.0, 2.0, 2.0), 1)),
        )
        for run in plan([mine], PAPER, [0], {"cpu": 1}).runs
    ]

    assert ["- The first epoch takes +50 % beside the later ones (median of 2 runs)."] == loader_notes(
        view_of(mine, records)
    )


@pytest.mark.parametrize("accepted", [False, True])
def test_unreliable_times_count_only_where_asked_for(accepted, tmp_path):
    """And the report says so."""
    mine = make_benchmark(tmp_path)
    records = records_of(mine, flags=["unreliable"], unreliable_because=["other work"])
    path = write_report(tmp_path / "results", [mine], Readings(tuple(records), ()), accept_unreliable=accepted)
    text = path.read_text(encoding="utf-8")

    assert (accepted, not accepted) == ("`--accept-unreliable`" in text, "\N{DAGGER}" in text)
