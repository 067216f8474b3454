"""Runs in a folder that is gone afterwards: `timed` tells from a few steps how fast they go, `verify` repeats one.

Equal bits are promised inside one fingerprint alone: the same code, data, numerics, and on an accelerator the
deterministic algorithms. Whatever differs outside it is named, and says nothing against the record.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from time import monotonic
from typing import Any

from resnet18.data.source import open_data
from resnet18.execution.attempt import carry_out
from resnet18.execution.job import Job, Message
from resnet18.execution.progress import Progress
from resnet18.execution.runner import LocalEngine, make_jobs
from resnet18.records import disk
from resnet18.records.record import Epoch, Identity, Record
from resnet18.records.store import Store, first_difference, promises_bits
from resnet18.spec.errors import SpecError, UnfinishedError
from resnet18.spec.experiment import DataSource
from resnet18.spec.optimizer import Constant
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request

KIND_LIMIT_S = 4.0  # for timing one kind of run, the start of its process and of its device included
LEAST_S = 0.5  # with less left no process is started
MOST_TEST_IMAGES = 100  # of a run that is shortened
OTHER_FINGERPRINT = "another fingerprint, under which equal bits are not promised:"
IDENTITY = {"data_sha256", "code_hash"}  # the commit does not matter


@contextmanager
def passing_store() -> Iterator[Store]:
    """Yield a store that is gone afterwards, and remove those of commands that were killed."""
    folder = Path(gettempdir()) / "resnet18-trial"
    disk.sweep(folder.parent, folder.name)
    with disk.new_folder(folder) as own:
        own.chmod(0o700)  # it lies where everybody can look
        store = Store(own)
        store.make_writable()
        yield store


def shortened(run: Run, images: int, epochs: int) -> Run:
    """Return a run as fast as this one, of so many epochs of a single step on so many images."""
    sizes = dict.fromkeys(("test_images_epoch", "test_images_last"), min(images, MOST_TEST_IMAGES))
    sizes |= {"batch_size": images, "train_images": images, "epochs": epochs}
    return replace(run, experiment=run.experiment.model_copy(update={**sizes, "schedule": Constant()}))


def timed(
    runs: Sequence[Run], source: DataSource, data_sha256: str, limit_s: float
) -> dict[str, tuple[list[Epoch], float]]:
    """Return the epochs of short runs, and the seconds until the last of them ended, by run id.

    Runs are left out that fail, for which there is no time, and of which only the first epoch ended: on a fresh machine
    it compiles kernels and warms libraries, which may take a hundred times as long as a step does.
    """
    found, end_s = dict[str, tuple[list[Epoch], float]](), monotonic() + limit_s
    with passing_store() as store:
        for run, job in zip(runs, make_jobs(runs, Request(data=source.label), source, data_sha256, store), strict=True):
            if (left_s := end_s - monotonic()) < LEAST_S:
                break
            epochs, wall_s = time_epochs(job, min(KIND_LIMIT_S, left_s))
            if len(epochs) > 1:
                found[run.run_id] = epochs, wall_s
    return found


def time_epochs(job: Job, limit_s: float) -> tuple[list[Epoch], float]:
    """Return the epochs of a job that end in time, and the seconds until the last of them has."""
    heard, begin_s = list[tuple[Message, float]](), monotonic()
    carry_out(job, lambda message: heard.append((message, monotonic())), limit_s)
    ended = [(message.epoch, at_s - begin_s) for message, at_s in heard if message.epoch is not None]
    return [epoch for epoch, _ in ended], ended[-1][1] if ended else 0.0


def verify(record: Record, source: DataSource, progress: Progress) -> tuple[int, str]:
    """Carry a record's run out again, in a folder that is gone afterwards; a SuiteError where that is impossible.

    Returns an exit code with the reason: 0 for the same bits, 3 for another fingerprint, under which none are promised,
    4 for other bits under the same one.
    """
    spec = record.spec
    if record.result_hash is None:
        raise SpecError(f"record of {record.run_id}", f"ended {record.status}: it has no result that could be verified")
    if source.label != spec.experiment.data:
        what, next_step = f"the record is of {spec.experiment.data}", "name that data set with --data"
        raise SpecError(f"data set {source.label}", what, next_step=next_step)
    labels = (f"run {record.run_id}",)
    run = Run(record.run_id, record.arm_id, spec.experiment, spec.execution, labels, spec.assumptions, False)
    data_sha256 = open_data(source, verify=True).sha256
    with passing_store() as store, progress.of((run,)):
        request = Request(record.scale, source.label, spec.overrides)
        job, trial = make_jobs([run, shortened(run, 2, 1)], request, source, data_sha256, store)
        carry_out(trial, lambda _: None)
        numerics = _ended_ok(store.read().records[0]).fingerprint.numerics
        differing = _differing(record, numerics, job.identity)
        if differing.keys() - {"driver", "code_hash"}:  # hours of training would prove nothing
            return 3, "\n".join([OTHER_FINGERPRINT, *differing.values()])
        LocalEngine().carry_out([job], progress)
        return judged(record, _ended_ok(store.load(record.run_id, 1)))


def _ended_ok(record: Record) -> Record:
    if record.failure is not None:
        raise UnfinishedError(f"run {record.run_id}", f"ended {record.status} this time: {record.failure.message}")
    return record


def judged(record: Record, again: Record) -> tuple[int, str]:
    """Return what a second record of the same run says of the first."""
    if record.result_hash == again.result_hash:
        return 0, f"bit-equal: result_hash {record.result_hash} came out again"
    difference, numerics = first_difference(record, again), again.fingerprint.numerics
    if differing := _differing(record, numerics, again.fingerprint.identity):
        lines = [OTHER_FINGERPRINT, *differing.values(), f"  and other results: {difference}"]
        return 3, "\n".join(lines)
    if promises_bits(numerics):
        return 4, f"mismatch under an equal fingerprint: {difference}"
    return 3, f"other results, as may be on an unknown machine or without deterministic algorithms: {difference}"


def _differing(record: Record, numerics: Mapping[str, Any] | None, identity: Identity) -> dict[str, str]:
    """Return the fields of the fingerprint in which a record differs from what is here, each with a line for it."""
    recorded = record.fingerprint
    there = {**(recorded.numerics or {}), **recorded.identity.model_dump(include=IDENTITY)}
    here = {**(numerics or {}), **identity.model_dump(include=IDENTITY)}
    differing = {key: (there.get(key), value) for key, value in here.items() if value != there.get(key)}
    return {key: f"  {key}: {theirs} in the record, {ours} here" for key, (theirs, ours) in differing.items()}
