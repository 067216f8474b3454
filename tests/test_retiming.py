"""`run --retime`: times that are marked are taken again here, and what else is recorded stays."""

import pytest
from builders import TINY, TINY_ARGUMENTS, TOML, changed, make_benchmark, make_record, make_toml
from typer.testing import CliRunner

from resnet18.cli import app
from resnet18.records.store import Store
from resnet18.retiming import Marked, marked_times
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

REQUEST = Request(overrides=TINY)
UNTIMED = (
    TOML.replace(', { metric = "whole_program_s", title = "Time" }', "")
    .replace(', whole_program_s = "12.5"', "")
    .replace(', whole_program_s = "Out of Memory"', "")
)


@pytest.fixture
def marked(tmp_path):
    """Return what is to be taken again of the two cases of a table, the records of which are changed in some way."""

    def of(*changes, text=TOML, is_here=lambda _: True):
        benchmark = make_benchmark(tmp_path, text)
        planned = plan([benchmark], REQUEST, [0], {"cpu": 1})
        records = [
            changed(make_record(run.experiment, run.execution, request=REQUEST), **change)
            for run, change in zip(planned.runs, changes, strict=False)
        ]
        return marked_times([benchmark], planned, records, is_here)

    return of


@pytest.mark.parametrize("flag", ["contaminated", "not_exclusive", "resumed"])
def test_a_marked_time_is_taken_again(flag, marked):
    """Whatever it was marked for; the one beside it is not."""
    assert [1] == list(marked({"flags": [flag]}, {}).again.values())


@pytest.mark.parametrize(
    "change", [{}, {"flags": ["no_learning"]}], ids=["unmarked", "a mark that says nothing of the time"]
)
def test_a_time_that_counts_is_not_taken_again(change, marked):
    """It settles its run."""
    assert Marked() == marked(change)


def test_a_table_without_times_has_none_to_take_again(marked):
    """Its runs may well go on beside others."""
    assert Marked() == marked({"flags": ["not_exclusive"]}, text=UNTIMED)


def test_times_of_other_machines_are_left_alone(marked):
    """One taken here could not be set beside the others there: the command says how many there are."""
    found = marked({"flags": ["contaminated"]}, {"flags": ["resumed"]}, is_here=lambda _: False)

    assert Marked({}, 2) == found
    assert "Left alone: 2 from other machines" in found.text


@pytest.mark.parametrize("options", [["--jobs", "2"], ["--engine", "ray"]])
def test_times_are_not_taken_again_where_they_would_mean_nothing(options):
    """Beside other runs they would be marked again, and of a cluster's nodes nothing is known."""
    result = CliRunner().invoke(app, ["run", "basic", "--retime", *options])

    assert 2 == result.exit_code
    assert "--retime" in result.stderr


def test_both_attempts_are_kept_and_the_last_counts(tmp_path):
    """The second is of the same bits, so that the two contradict each other in nothing."""
    command = ["run", str(make_toml(tmp_path)), *TINY_ARGUMENTS, "--results", str(tmp_path / "results")]
    store = Store(tmp_path / "results")
    CliRunner().invoke(app, command)
    for record in store.read().records:
        (store.folder / f"{record.run_id}.1.json").unlink()
        store.save(changed(record, flags=["contaminated"]))
    again = CliRunner().invoke(app, [*command, "--retime"])
    readings = store.read()

    assert "2 of the recorded runs" in again.stdout
    assert ((), [1, 1, 2, 2]) == (readings.refused, sorted(record.attempt for record in readings.records))
    assert 2 == len({record.result_hash for record in readings.records})
