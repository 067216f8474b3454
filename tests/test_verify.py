"""`verify`: a recorded run is carried out again, and its record proves itself or does not."""

import json
from pathlib import Path

import pytest
from builders import TINY_ARGUMENTS, make_experiment, make_record, make_toml
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.execution.trials import judged
from resnet18.records.content import result_hash, seal
from resnet18.records.record import Record
from resnet18.records.store import Store
from resnet18.spec.experiment import Execution
from resnet18.spec.identity import code_hash

OTHER = "0" * 64
HERE = f"imagefolder:{Path(__file__).parent}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with the records of two real runs."""
    folder = tmp_path_factory.mktemp("verify")
    CliRunner().invoke(app, ["run", str(make_toml(folder)), *TINY_ARGUMENTS, "--results", str(folder / "results")])
    return Store(folder / "results")


@pytest.fixture
def verify(recorded, tmp_path):
    """Change the first record's JSON, seal it again, and verify it."""

    def call(change=lambda content: None, arguments=()):
        record = recorded.read().records[0]
        content = record.model_dump(mode="json", by_alias=True)
        change(content)
        path = tmp_path / f"{record.run_id}.1.json"
        path.write_text(json.dumps(seal(content).model_dump(mode="json")), encoding="utf-8")
        return CliRunner().invoke(app, ["verify", str(path), *arguments])

    return call


def set_in(*keys, value):
    """A change of one value of a record."""

    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def test_an_honest_record_is_bit_equal(verify, recorded):
    done = verify()

    assert (0, f"bit-equal: result_hash {recorded.read().records[0].result_hash}") == (
        done.exit_code,
        done.stdout.splitlines()[-1].split(": ", 1)[1].removesuffix(" came out again"),
    )


def test_a_record_with_another_result_is_a_mismatch(verify):
    def change(content):
        content["epochs"][0]["clean"]["correct"] += 1
        record = Record.model_validate(content)
        content["result_hash"] = result_hash(record.epochs, record.confusion, record.summary)

    done = verify(change)

    assert 4 == done.exit_code
    assert "mismatch under an equal fingerprint" in done.stdout
    assert "epoch.1.clean.correct: " in done.stdout


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("fingerprint", "numerics", "torch"), "1.0.0"),
        (("fingerprint", "numerics", "threads"), 64),
        (("fingerprint", "identity", "data_sha256"), OTHER),
    ],
)
def test_another_fingerprint_is_named_by_its_fields_and_nothing_is_run(keys, value, verify):
    done = verify(set_in(*keys, value=value))

    assert 3 == done.exit_code
    assert f"{keys[-1]}: {value} in the record" in done.stdout
    assert "epoch" not in done.stdout


def test_other_code_that_gives_the_same_bits_is_bit_equal(verify):
    assert 0 == verify(set_in("fingerprint", "identity", "code_hash", value=OTHER)).exit_code


def test_what_cannot_be_verified_is_an_error(verify, tmp_path):
    store = Store(tmp_path)
    store.make_writable()
    failed = store.save(make_record(status="crashed"))
    edited = verify(set_in("run_id", value="f" * 16))
    of_other_data = verify(arguments=("--data", HERE))
    without_result = CliRunner().invoke(app, ["verify", str(failed)])

    assert [4, 2, 2] == [done.exit_code for done in (edited, of_other_data, without_result)]
    assert "its run_id is not that of its content" in edited.stderr
    assert "the record is of fashion-mnist-mini" in of_other_data.stderr
    assert "ended crashed: it has no result" in without_result.stderr


@pytest.mark.parametrize(
    ("numerics", "exit_code"),
    [
        ({"device": "cuda", "deterministic": False}, 3),
        ({"device": "cuda", "deterministic": True}, 4),
        ({"device": "cpu", "deterministic": False}, 4),
    ],
)
def test_without_deterministic_algorithms_a_device_promises_no_bits(numerics, exit_code):
    code = code_hash(make_experiment(), Execution())
    records = []
    for result in ("a" * 64, "b" * 64):
        content = make_record(code=code).model_dump(mode="json")
        content["fingerprint"]["numerics"] = numerics
        records.append(seal({**content, "result_hash": result}))

    assert exit_code == judged(*records).exit_code
