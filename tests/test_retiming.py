"""`run --retime`: unreliable times are taken again here, and what else is recorded stays."""

import pytest
from builders import TINY, TINY_ARGUMENTS, TOML, changed, make_benchmark, make_record, make_toml
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.cli.retime import Unreliable, unreliable_times
from resnet18.records.store import Store, last_attempts
from resnet18.spec.identity import code_hash
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

REQUEST = Request(overrides=TINY)
UNTIMED = (
    TOML.replace(', { metric = "whole_program_s", title = "Time" }', "")
    .replace(', whole_program_s = "12.5"', "")
    .replace(', whole_program_s = "Out of Memory"', "")
)


@pytest.fixture
def retimed(tmp_path):
    """Return what is to be taken again of the two cases of a table, the records of which are changed in some way."""

    def of(*changes, text=TOML, is_here=lambda _: True, code=None):
        benchmark = make_benchmark(tmp_path, text)
        planned = plan([benchmark], REQUEST, [0], {"cpu": 1})
        records = [
            changed(
                make_record(
                    run.experiment,
                    run.execution,
                    request=REQUEST,
                    code=code or code_hash(run.experiment, run.execution),
                ),
                **change,
            )
            for run, change in zip(planned.runs, changes, strict=False)
        ]
        return unreliable_times([benchmark], planned, records, is_here)

    return of


@pytest.mark.parametrize("flag", ["unreliable", "not_exclusive", "resumed"])
def test_an_unreliable_time_is_taken_again(flag, retimed):
    """Whatever made it so; the one beside it is not."""
    assert [1] == list(retimed({"flags": [flag]}, {}).again.values())


@pytest.mark.parametrize(
    "change", [{}, {"flags": ["no_learning"]}], ids=["no flag", "a flag that says nothing of the time"]
)
def test_a_time_that_counts_is_not_taken_again(change, retimed):
    """Its run is done."""
    assert Unreliable() == retimed(change)


def test_a_table_without_times_has_none_to_take_again(retimed):
    """Its runs may well go on beside others."""
    assert Unreliable() == retimed({"flags": ["not_exclusive"]}, text=UNTIMED)


def test_times_of_other_machines_are_left_alone(retimed):
    """One taken here could not be set beside the others there: the command says how many there are."""
    found = retimed({"flags": ["unreliable"]}, {"flags": ["resumed"]}, is_here=lambda _: False)

    assert Unreliable({}, 2) == found
    assert "taken again: 0. Of other or unknown machines, and left alone: 2." in found.text


def test_a_time_of_other_code_is_another_matter(retimed):
    """Its run is stale: it is run again without being asked for, or kept with all its table."""
    assert Unreliable() == retimed({"flags": ["unreliable"]}, code="0" * 64)


def test_a_table_whose_claim_is_about_time_has_times(retimed):
    """Though it prints none."""
    claim = """
    [[claim]]
    id = "X1"
    says = "16 is faster"
    check = [{ kind = "less", metric = "train_s", case = "16", than = "8" }]
    """

    assert 1 == len(retimed({"flags": ["unreliable"]}, text=UNTIMED + claim).again)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--jobs", "2"], "one run at a time, not 2"),
        (["--engine", "ray"], "not on ray's nodes"),
        (["--budget", "1h"], "leave one of them out"),
    ],
)
def test_times_are_not_taken_again_where_they_would_mean_nothing(options, words):
    """Beside other runs they would be unreliable again, and of a cluster's nodes nothing is known."""
    result = CliRunner().invoke(app, ["run", "basic", "--retime", *options])

    assert (2, True) == (result.exit_code, words in result.stderr)


@pytest.fixture
def retime(tmp_path):
    """Record two runs with unreliable times; return what takes them again, and the folder they are in."""
    command = ["run", str(make_toml(tmp_path)), *TINY_ARGUMENTS, "--results", str(tmp_path / "results")]
    store = Store(tmp_path / "results")
    CliRunner().invoke(app, command)
    for record in store.read().records:
        (store.folder / f"{record.run_id}.1.json").unlink()
        store.save(changed(record, flags=["unreliable"]))
    return lambda *options: CliRunner().invoke(app, [*command, "--retime", *options]), store


def test_both_attempts_are_kept_and_the_last_counts(retime):
    """The second is of the same bits, so that the two contradict each other in nothing."""
    again, store = retime
    result = again()
    readings = store.read()

    assert "Unreliable times, taken again: 2." in result.stdout
    assert ((), [1, 1, 2, 2]) == (readings.refused, sorted(record.attempt for record in readings.records))
    assert 2 == len({record.result_hash for record in readings.records})
    assert {2} == {record.attempt for record in last_attempts(readings.records).values()}


def test_one_that_was_given_up_hides_nothing_and_begins_anew(retime):
    """What was known stays known; going on from a checkpoint would make the time unreliable once more."""
    again, store = retime
    again("--time-limit", "0.001")
    given_up, checkpoints = store.read().records, list((store.results / "checkpoints").iterdir())
    again()
    records = store.read().records

    assert ["timeout"] * 2 == [record.status for record in given_up if record.attempt == 2]
    assert {1} == {record.attempt for record in last_attempts(given_up).values()}
    assert 2 <= len(checkpoints)
    assert {(3, "ok", False)} == {
        (one.attempt, one.status, "resumed" in one.flags) for one in records if one.attempt > 2
    }
