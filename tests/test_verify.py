"""`verify`: a recorded run is carried out again, and its record proves itself or does not."""

from dataclasses import replace
from pathlib import Path

import pytest
from builders import TINY_ARGUMENTS, changed, make_experiment, make_record, make_store, make_toml
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.execution.trials import judged, passing_store
from resnet18.records.content import result_hash
from resnet18.records.store import Store
from resnet18.spec.experiment import Execution
from resnet18.spec.identity import code_hash

OTHER = "0" * 64
HERE = f"imagefolder:{Path(__file__).parent}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The record of a real run."""
    folder = tmp_path_factory.mktemp("verify")
    CliRunner().invoke(app, ["run", str(make_toml(folder)), *TINY_ARGUMENTS, "--results", str(folder / "results")])
    return Store(folder / "results").read().records[0]


@pytest.fixture
def verify(recorded, tmp_path):
    """Change the record, seal it again, and verify it."""

    def call(*arguments, **changes):
        record = changed(recorded, **changes)
        path = tmp_path / f"{record.run_id}.1.json"
        path.write_text(record.model_dump_json(), encoding="utf-8")
        return CliRunner().invoke(app, ["verify", str(path), *arguments])

    return call


def fingerprint(recorded, part, **changes):
    content = recorded.fingerprint.model_dump(mode="json")
    return {**content, part: {**content[part], **changes}}


def test_an_honest_record_is_bit_equal_also_where_only_its_code_was_other(verify, recorded):
    done = verify(fingerprint=fingerprint(recorded, "identity", code_hash=OTHER))

    assert 0 == done.exit_code
    assert f": bit-equal: result_hash {recorded.result_hash} came out again\n" in done.stdout


def test_a_record_with_another_result_is_a_mismatch(verify, recorded):
    (epoch,) = recorded.epochs
    epochs = (replace(epoch, train=replace(epoch.train, correct=epoch.train.correct + 1)),)
    content = recorded.model_copy(update={"epochs": epochs}).model_dump(mode="json")
    done = verify(epochs=content["epochs"], result_hash=result_hash(epochs, recorded.confusion, recorded.summary))

    assert 4 == done.exit_code
    assert "mismatch under an equal fingerprint" in done.stdout
    assert "epoch.1.train.correct: " in done.stdout


@pytest.mark.parametrize(
    ("part", "key", "value"), [("numerics", "interop_threads", 64), ("identity", "data_sha256", OTHER)]
)
def test_another_fingerprint_is_named_by_its_fields_and_nothing_is_run(part, key, value, verify, recorded):
    content = fingerprint(recorded, part, **{key: value})
    content["identity"]["code_hash"] = OTHER
    done = verify(fingerprint=content)

    assert 3 == done.exit_code
    assert f"{key}: {value} in the record" in done.stdout
    assert f"code_hash: {OTHER} in the record" in done.stdout
    assert "epoch" not in done.stdout


def test_what_cannot_be_verified_is_an_error(verify, tmp_path):
    failed = make_store(tmp_path).save(make_record(status="crashed"))
    edited, of_other_data = verify(run_id="f" * 16), verify("--data", HERE)
    without_result = CliRunner().invoke(app, ["verify", str(failed)])

    assert [4, 2, 2] == [done.exit_code for done in (edited, of_other_data, without_result)]
    assert "its run_id is not that of its content" in edited.stderr
    assert "the record is of fashion-mnist-mini" in of_other_data.stderr
    assert "ended crashed: it has no result" in without_result.stderr


@pytest.mark.parametrize(
    ("numerics", "exit_code"),
    [
        ({"device": "cuda", "deterministic": False}, 3),
        ({"device": "cuda", "gpu_model": "a GPU", "deterministic": True}, 4),
        ({"device": "cpu", "cpu_model": "a processor", "deterministic": False}, 4),
        ({"device": "cpu", "cpu_model": "unknown", "deterministic": False}, 3),
    ],
)
def test_without_deterministic_algorithms_a_device_promises_no_bits(numerics, exit_code):
    code = code_hash(make_experiment(), Execution())
    records = [
        changed(make_record(code=code), fingerprint={"numerics": numerics}, result_hash=result * 64) for result in "ab"
    ]

    assert exit_code == judged(*records)[0]


def test_a_trial_leaves_nothing_and_removes_what_killed_ones_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in (f".resnet18-trial.{'0' * 16}.tmp", f".of-others.{'0' * 16}.tmp"):
        (tmp_path / name / "records").mkdir(parents=True)
    with passing_store() as store:
        inside = {path.name for path in tmp_path.iterdir()}

    assert {store.results.name, f".of-others.{'0' * 16}.tmp"} == inside
    assert [f".of-others.{'0' * 16}.tmp"] == [path.name for path in tmp_path.iterdir()]
