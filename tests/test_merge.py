"""Merging: records of several machines in one folder, copied and never edited, with a licence to divide their times."""

import pytest
from builders import fitting, make_epoch, make_experiment, make_record, make_store
from reports import text_of

from resnet18.records.merge import merge
from resnet18.records.store import Store
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

RUN, OTHER = make_record(), make_record(make_experiment(seed=1))
FILE = f"{RUN.run_id}.1.json"
PAPER = Request(scale="paper", data="cifar10-jpeg")
SECONDS = {"cpu": 30.0, "cuda": 1.5}


def record_of(run):
    epochs = (make_epoch(1, train_s=SECONDS[run.execution.device] + run.experiment.seed / 100),)
    numerics = {"device": "cuda", "gpu_model": "a GPU"} if run.execution.device == "cuda" else {}
    made = make_record(run.experiment, run.execution, request=PAPER, epochs=epochs, cpu="a machine", numerics=numerics)
    return fitting(made)


def runs_of(kind):
    runs = plan(load_benchmarks(("device",)), PAPER, range(5), {"cpu": 1, "cuda": 4}).runs
    return [run for run in runs if run.execution.device == kind]


def test_a_machine_without_and_one_with_a_gpu_complete_table_4(tmp_path):
    """No cell of it is left "not run"; the speed-up has an interval, and both machines are named."""
    stores = [make_store(tmp_path / kind, *map(record_of, runs_of(kind))) for kind in ("cpu", "cuda")]
    merge([store.results for store in stores], tmp_path / "both")
    text = text_of(load_benchmarks(("device",)), Store(tmp_path / "both").read().records)

    assert "not run" not in text[text.rindex("## Table 4") : text.index("Peak memory")]
    assert r"measured 19.8 \[19.5, 20\], medians on a GPU, 2 threads and a machine, 2 threads." in text


def test_records_are_copied_byte_for_byte_and_known_the_second_time(tmp_path):
    source, target = make_store(tmp_path / "one", RUN, OTHER), Store(tmp_path / "all")
    source.picture_path(RUN.run_id, 1).write_bytes(b"picture")
    first, second = (merge([source.results], target.results) for _ in range(2))
    there, here = ({path.name: path.read_bytes() for path in store.folder.iterdir()} for store in (source, target))

    assert [(2, 0), (0, 2)] == [(len(done["copied"]), len(done["known"])) for done in (first, second)]
    assert there == here


def test_two_results_of_one_run_on_equal_machines_are_a_conflict(tmp_path):
    other = make_record(epochs=(make_epoch(1, 3),))
    folders = [make_store(tmp_path / name, record).results for name, record in (("a", RUN), ("b", other))]

    (refused,) = merge(folders, tmp_path / "all")["refused"]

    assert "contradicts a record of the same run on an equal machine: epoch.1.as_published.correct: 10 and 3" in refused


@pytest.mark.parametrize(
    "plant",
    [
        lambda one, every, secret: (one / f"{RUN.run_id}.1.png").symlink_to(secret),
        lambda one, every, secret: (every / FILE).symlink_to(secret),
        lambda one, every, secret: (one / "copy.json").write_bytes(secret.read_bytes()),
        lambda one, every, secret: (one / FILE).write_text(secret.read_text().replace('"seed": 0', '"seed": 7')),
    ],
    ids=["picture", "target", "name", "content"],
)
def test_what_was_planted_is_refused_and_the_others_are_merged(plant, tmp_path):
    """A link in place of a picture or of the copy, a record under another's name, and a record that was edited."""
    one, every = make_store(tmp_path / "one", RUN, OTHER), make_store(tmp_path / "all")
    (tmp_path / "secret").write_bytes((one.folder / FILE).read_bytes())
    plant(one.folder, every.folder, tmp_path / "secret")
    merged = merge([one.results], every.results)

    assert 1 == len(merged["refused"])
    assert OTHER in every.read().records
    assert not every.picture_path(RUN.run_id, 1).exists()


def test_a_damaged_attempt_keeps_no_other_out(tmp_path):
    one, every = make_store(tmp_path / "one", RUN), make_store(tmp_path / "all")
    (every.folder / f"{RUN.run_id}.2.json").write_text("{}", encoding="utf-8")

    assert [f"{FILE} of {one.results}"] == merge([one.results], every.results)["copied"]


@pytest.mark.parametrize(("names", "words"), [(["nothing"], "holds no records"), (["all"], "merged into itself")])
def test_folders_that_cannot_be_merged_are_refused(names, words, tmp_path):
    make_store(tmp_path / "all")

    with pytest.raises(SpecError, match=words):
        merge([tmp_path / name for name in names], tmp_path / "all")


@pytest.mark.parametrize(("status", "cpu"), [("crashed", "other"), ("oom_host", "other"), ("ok", "one")])
def test_only_a_result_keeps_attempts_of_another_machine_out(status, cpu, tmp_path):
    """A run that failed on one machine may succeed on another; attempts of one machine belong together."""
    first = make_store(tmp_path / "one", make_record(status=status, cpu="one"))
    second = make_store(tmp_path / "other", make_record(attempt=2, cpu=cpu))

    assert 2 == len(merge([first.results, second.results], tmp_path / "all")["copied"])


@pytest.mark.parametrize("cpus", [("one", "other"), ("unknown", "unknown")])
def test_a_run_of_two_machines_stays_that_of_the_first(cpus, tmp_path):
    """Their times have nothing in common. What is left out is named with its folder; known records are only counted."""
    later = [make_record(cpu=cpus[1], attempt=attempt) for attempt in (1, 2)]
    kept, second = make_record(cpu=cpus[0], epochs=(make_epoch(1, train_s=2.0),)), tmp_path / "other"
    first = make_store(tmp_path / "one", kept, OTHER)
    make_store(second, *later, OTHER)
    merged = merge([first.results, second], tmp_path / "all")

    assert (2, 1, []) == (len(merged["copied"]), len(merged["known"]), merged["refused"])
    assert cpus[0] == Store(tmp_path / "all").load(RUN.run_id, 1).fingerprint.numerics["cpu_model"]
    assert [f"{RUN.run_id}.{attempt}.json of {second}" for attempt in (1, 2)] == merged["left_out"]
