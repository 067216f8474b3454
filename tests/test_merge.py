"""Merging: records of several machines in one folder, copied and never edited, with a licence to divide their times."""

import pytest
from builders import make_epoch, make_experiment, make_record
from reports import text_of

from resnet18.records.store import Store, merge
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

RUN, OTHER = make_record(), make_record(make_experiment(seed=1))
PAPER = Request(scale="paper", data="cifar10-jpeg")
SECONDS = {"cpu": 30.0, "cuda": 1.5}


def record_of(run):
    epochs = (make_epoch(1, train_s=SECONDS[run.execution.device] + run.experiment.seed / 100),)
    numerics = {"device": "cuda", "gpu_model": "a GPU"} if run.execution.device == "cuda" else {}
    return make_record(run.experiment, run.execution, request=PAPER, epochs=epochs, cpu="a machine", numerics=numerics)


def runs_of(kind):
    runs = plan(load_benchmarks(("device",)), PAPER, range(5), {"cpu": 1, "cuda": 4}).runs
    return [run for run in runs if run.execution.device == kind]


def store_of(folder, records):
    store = Store(folder)
    store.make_writable()
    for record in records:
        store.save(record)
    return folder


def test_a_machine_without_and_one_with_a_gpu_complete_table_4(tmp_path):
    """No cell of it is left "not run"; the speed-up has an interval, and both machines are named."""
    cpu = store_of(tmp_path / "cpu", [record_of(run) for run in runs_of("cpu")])
    gpu = store_of(tmp_path / "gpu", [record_of(run) for run in runs_of("cuda")])
    merge([cpu, gpu], tmp_path / "both")
    text = text_of(load_benchmarks(("device",)), Store(tmp_path / "both").read().records)

    assert "not run" not in text[text.index("### Table 4") : text.index("Peak memory")]
    assert r"measured 19.8 \[19.5, 20\], medians on a GPU, 2 threads and a machine, 2 threads." in text


def test_records_are_copied_byte_for_byte_and_known_the_second_time(tmp_path):
    source = store_of(tmp_path / "one", [RUN, OTHER])
    Store(source).picture_path(RUN.run_id, 1).write_bytes(b"picture")
    counts = [
        (len(done["copied"]), len(done["known"])) for done in (merge([source], tmp_path / "all") for _ in range(2))
    ]
    folders = (source / "records", tmp_path / "all" / "records")
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]

    assert [(2, 0), (0, 2)] == counts
    assert files[0] == files[1]


def test_two_results_of_one_run_on_equal_machines_are_a_conflict(tmp_path):
    folders = [store_of(tmp_path / "a", [RUN]), store_of(tmp_path / "b", [make_record(epochs=(make_epoch(1, 3),))])]

    (refused,) = merge(folders, tmp_path / "all")["refused"]

    assert "contradicts a record of the same run on an equal machine: epoch.1.as_published.correct: 10 and 3" in refused


@pytest.mark.parametrize(
    "plant",
    [
        lambda one, every, secret: (one / "records" / f"{RUN.run_id}.1.png").symlink_to(secret),
        lambda one, every, secret: (every / "records" / f"{RUN.run_id}.1.json").symlink_to(secret),
        lambda one, every, secret: (one / "records" / "copy.json").write_bytes(secret.read_bytes()),
        lambda one, every, secret: (one / "records" / f"{RUN.run_id}.1.json").write_bytes(
            secret.read_bytes().replace(b'"seed": 0', b'"seed": 7')
        ),
    ],
    ids=["picture", "target", "name", "content"],
)
def test_what_was_planted_is_refused_and_the_others_are_merged(plant, tmp_path):
    """A link in place of a picture or of the copy, a record under another's name, and a record that was edited."""
    one, every = store_of(tmp_path / "one", [RUN, OTHER]), store_of(tmp_path / "all", [])
    (tmp_path / "secret").write_bytes((one / "records" / f"{RUN.run_id}.1.json").read_bytes())
    plant(one, every, tmp_path / "secret")
    merged = merge([one], every)

    assert 1 == len(merged["refused"])
    assert OTHER in Store(every).read().records
    assert not (every / "records" / f"{RUN.run_id}.1.png").exists()


@pytest.mark.parametrize(("names", "words"), [(["nothing"], "holds no records"), (["all"], "merged into itself")])
def test_folders_that_cannot_be_merged_are_refused(names, words, tmp_path):
    store_of(tmp_path / "all", [])

    with pytest.raises(SpecError, match=words):
        merge([tmp_path / name for name in names], tmp_path / "all")


@pytest.mark.parametrize(
    ("status", "cpu", "is_kept"),
    [("crashed", "other", False), ("oom_host", "other", False), ("ok", "other", True), ("ok", "one", False)],
)
def test_only_a_result_keeps_attempts_of_another_machine_out(status, cpu, is_kept, tmp_path):
    """A run that failed on one machine may succeed on another; attempts of one machine belong together."""
    first = store_of(tmp_path / "one", [make_record(status=status, cpu="one")])
    second = store_of(tmp_path / "other", [make_record(attempt=2, cpu=cpu)])
    merged = merge([first, second], tmp_path / "all")

    assert ((1, 1) if is_kept else (2, 0)) == (len(merged["copied"]), len(merged["left_out"]))


def test_a_run_of_two_machines_stays_that_of_the_first(tmp_path):
    """Their times have nothing in common. What is left out is named with its folder; known records are only counted."""
    first = store_of(tmp_path / "one", [make_record(cpu="one"), OTHER])
    second = store_of(tmp_path / "other", [make_record(cpu="other"), OTHER])
    merged = merge([first, second], tmp_path / "all")

    assert (2, 1, []) == (len(merged["copied"]), len(merged["known"]), merged["refused"])
    assert "one" == Store(tmp_path / "all").load(RUN.run_id, 1).fingerprint.numerics["cpu_model"]
    assert [f"{RUN.run_id}.1.json of {second}"] == merged["left_out"]
