"""Baselines: kept whole, chosen by numerics, refused where they are damaged; and the commands that judge by them."""

import json
import shutil

import pytest
from builders import TOML, make_epoch, make_record, make_toml
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.records import baseline as kept
from resnet18.records.content import seal
from resnet18.records.record import null_keys
from resnet18.records.store import Store
from resnet18.spec.load import load_benchmark
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

GATED = TOML.replace("[table]", "[gate]\nseeds = 2\n\n[table]")
SEEDS = 4


def records_of(toml, seeds=range(SEEDS), *, hits=lambda seed: 10 + seed % 3, commit="a" * 40, dirty=False, **options):
    """Records of both cases; the seed chooses the accuracy."""
    found = []
    for run in plan([load_benchmark(toml)], Request(), seeds, {"cpu": 1}).runs:
        epochs = (make_epoch(1, hits(run.experiment.seed)), make_epoch(2, hits(run.experiment.seed)))
        record = make_record(run.experiment, run.execution, epochs=epochs, **options)
        identity = record.fingerprint.identity.model_copy(update={"commit": commit, "dirty": dirty})
        found.append(with_identity(record, identity))
    return found


def with_identity(record, identity):
    content = record.model_dump(mode="json", by_alias=True, exclude={"record_hash"})
    content["fingerprint"]["identity"] = identity.model_dump(mode="json")
    content["memory"]["rss_peak_bytes"] = 500_000_000
    content["parameters"] = 100
    content["nulls"] = dict.fromkeys(null_keys(content), "none")
    return seal(content)


def fill(folder, records):
    store = Store(folder)
    store.make_writable()
    for record in records:
        store.save(record)
    return folder


@pytest.fixture
def toml(tmp_path):
    return make_toml(tmp_path, GATED)


@pytest.fixture
def root(tmp_path, toml):
    """A folder of baselines with one in it."""
    made = call(
        "check", str(toml), "--keep", "--results", fill(tmp_path / "first", records_of(toml)), baseline=tmp_path
    )
    assert 0 == made.exit_code, made.output
    return tmp_path / "baseline"


def call(*words, baseline):
    return CliRunner().invoke(app, [*map(str, words), "--baseline", str(baseline / "baseline")])


def check(tmp_path, toml, records, *words):
    shutil.rmtree(tmp_path / "head", ignore_errors=True)
    return call("check", toml, "--results", fill(tmp_path / "head", records), *words, baseline=tmp_path)


def test_records_equal_to_the_baseline_pass(root, tmp_path, toml):
    """Exit code 0; the page names the commit."""
    done = check(tmp_path, toml, records_of(toml, range(2)))

    assert 0 == done.exit_code, done.output
    assert "the baseline of commit aaaaaaaaaaaa" in done.output
    assert "No regression found." in done.output


def test_other_bits_are_exit_code_1_first_on_the_page(root, tmp_path, toml):
    """With the value."""
    done = check(tmp_path, toml, records_of(toml, range(2), hits=lambda seed: 11 + seed % 3))

    assert 1 == done.exit_code
    assert done.output.splitlines()[0].startswith("**Regression.** 2 regression")
    assert "seed 0: epoch 1, test as published correct: 10 and 11" in done.output


def test_findings_as_json(root, tmp_path, toml):
    """For a dashboard."""
    done = check(tmp_path, toml, records_of(toml, range(2)), "--json")

    assert {"ok", "not compared"} == {row["verdict"] for row in json.loads(done.output)}


def test_an_absent_baseline_is_exit_code_3(tmp_path, toml):
    """Never a pass."""
    done = check(tmp_path, toml, records_of(toml, range(2)))

    assert 3 == done.exit_code
    assert "no baseline\n  next: make one with: make baseline" in done.output


def test_a_baseline_of_another_class_is_no_baseline(root, tmp_path, toml):
    """Other data, torch or precision: the class that is wanted is named."""
    done = check(tmp_path, toml, records_of(toml, range(2), data="e" * 64))

    assert 3 == done.exit_code
    assert "no baseline of this class (data eeeeeeee…, torch 2.14, precision None)" in done.output


def test_another_processor_is_judged_by_statistics_alone(root, tmp_path, toml):
    """Its bits are its own; its accuracies are not."""
    done = check(tmp_path, toml, records_of(toml, range(2), cpu="another"))

    assert 0 == done.exit_code, done.output
    assert "the baseline is of other numerics: cpu\\_model" in done.output


def test_the_baseline_of_ones_own_numerics_is_taken(root, tmp_path, toml):
    """Though another of the class is larger."""
    other = fill(tmp_path / "second", records_of(toml, range(6), cpu="another"))
    call("check", toml, "--keep", "--results", other, baseline=tmp_path)
    done = check(tmp_path, toml, records_of(toml, range(2)))

    assert 2 == len(list(root.iterdir()))
    assert "equal to the last bit for 2 of 2 seeds" in done.output


def test_no_records_are_exit_code_3(root, tmp_path, toml):
    """Nothing was measured."""
    done = check(tmp_path, toml, [])

    assert 3 == done.exit_code
    assert "no record of mine: nothing was measured" in done.output


def test_a_case_without_records_is_exit_code_3(root, tmp_path, toml):
    """A gate that skipped a case must not pass."""
    done = check(tmp_path, toml, [one for one in records_of(toml, range(2)) if one.spec.experiment.batch_size == 8])

    assert 3 == done.exit_code
    assert "| mine/16 | status | **missing** | no run of the head has a result" in done.output


def test_a_baseline_of_one_seed_is_exit_code_3(tmp_path, toml):
    """It has no spread."""
    call("check", toml, "--keep", "--results", fill(tmp_path / "first", records_of(toml, [0])), baseline=tmp_path)
    done = check(tmp_path, toml, records_of(toml, range(2)))

    assert 3 == done.exit_code
    assert "the baseline has n = 1, its spread takes 4: make baseline" in done.output


@pytest.mark.parametrize(
    ("damage", "code", "says"),
    [
        (lambda folder: (folder / "index.json").write_text("{"), 4, "is no index of a baseline"),
        (
            lambda folder: edit(folder, schema_version=2),
            4,
            "has format 2; this suite reads 1\n  next: update the suite",
        ),
        (lambda folder: edit(folder, cases={"mine/8": {}}), 4, "is no index of a baseline"),
        (lambda folder: next((folder / "records").glob("*.json")).write_text("{}"), 4, "damaged: "),
        (lambda folder: shutil.rmtree(folder / "records"), 3, "the baseline has no records"),
    ],
    ids=["cut short", "newer", "lacks keys", "a record", "no records"],
)
def test_a_damaged_baseline_has_a_message_of_its_own(damage, code, says, root, tmp_path, toml):
    """And is never a pass."""
    (folder,) = root.iterdir()
    damage(folder)
    done = check(tmp_path, toml, records_of(toml, range(2)))

    assert code == done.exit_code, done.output
    assert says in done.output


def edit(folder, **changes):
    content = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize("options", [{"commit": None, "dirty": None}, {"dirty": True}])
def test_code_that_no_commit_names_makes_no_baseline(options, tmp_path, toml):
    """Nobody could make it again."""
    done = call(
        "check", toml, "--keep", "--results", fill(tmp_path / "x", records_of(toml, **options)), baseline=tmp_path
    )

    assert 2 == done.exit_code
    assert "the records are not of one clean commit" in done.output


def test_a_baseline_needs_every_case(tmp_path, toml):
    """Else a check would miss one for ever."""
    half = [one for one in records_of(toml) if one.spec.experiment.batch_size == 8]
    done = call("check", toml, "--keep", "--results", fill(tmp_path / "x", half), baseline=tmp_path)

    assert 3 == done.exit_code
    assert "a baseline needs results of every case" in done.output


def test_a_benchmark_without_a_gate_is_refused():
    """Nothing says how much may change."""
    done = CliRunner().invoke(app, ["check", "batchsize"])

    assert 2 == done.exit_code
    assert "batchsize.toml: has no [gate]" in done.output


def test_a_new_baseline_takes_the_place_of_the_old_one(root, tmp_path, toml):
    """Of the same numerics."""
    newer = fill(tmp_path / "newer", records_of(toml, range(5), commit="b" * 40))
    call("check", toml, "--keep", "--results", newer, baseline=tmp_path)
    (folder,) = root.iterdir()

    assert ("b" * 40, 10) == (kept.read_baseline(folder).index.commit, len(kept.read_baseline(folder).records))


def compare(*words):
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def test_two_folders_of_one_machine_are_compared(tmp_path, toml):
    """Bits, accuracy, time and memory; the page says that they did not run in turns."""
    a, b = (fill(tmp_path / name, records_of(toml)) for name in "ab")
    done = compare(a, b, toml)

    assert 0 == done.exit_code, done.output
    assert "training time head by base 1.0000" in done.output
    assert "did not run in turns" in done.output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"cpu": "another"}, "mine/8: cpu_model is a processor and another"),
        ({"numerics": {"torch": "2.15.0"}}, "mine/8: torch is 2.14.1 and 2.15.0"),
        ({"numerics": {"driver": "580.1"}}, "mine/8: driver is unknown and 580.1"),
        ({"numerics": {"threads": 1}}, "mine/8: threads is 2 and 1"),
        ({"data": "e" * 64}, "mine/8: data_sha256 is dddd"),
        ({"dirty": True}, "the second has records of a checkout with uncommitted changes"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(options, reason, tmp_path, toml):
    """Exit code 2."""
    a, b = fill(tmp_path / "a", records_of(toml)), fill(tmp_path / "b", records_of(toml, **options))
    done = compare(a, b, toml)

    assert 2 == done.exit_code
    assert "cannot be compared" in done.output
    assert reason in done.output


def test_folders_without_a_common_case_are_refused(tmp_path, toml):
    """There is nothing to compare."""
    done = compare(fill(tmp_path / "a", records_of(toml)), fill(tmp_path / "b", []), toml)

    assert 2 == done.exit_code
    assert "no case has records in both" in done.output
