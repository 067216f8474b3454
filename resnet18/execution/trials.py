"""Runs whose records are thrown away: a few steps that tell how fast a run goes, and a recorded run carried out again.

Equal bits are promised inside one fingerprint alone: the same code, data, numerics, and on an accelerator the
deterministic algorithms. Whatever differs outside it is named, and says nothing against the record.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import NamedTuple

from resnet18.data.source import open_data
from resnet18.execution.attempt import carry_out
from resnet18.execution.job import Job, Message
from resnet18.execution.progress import Progress
from resnet18.execution.runner import LocalEngine, make_jobs
from resnet18.records.content import first_difference, promises_bits
from resnet18.records.record import Epoch, Record
from resnet18.records.store import Store
from resnet18.spec.errors import SpecError, UnfinishedError
from resnet18.spec.experiment import DataSource, Experiment
from resnet18.spec.optimizer import Constant
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request

TIMED_EPOCHS = 4  # the first warms up
KIND_LIMIT_S = 4.0  # for timing one kind of run, the start of its process and of its device included
LEAST_S = 0.5  # with less left no process is started
MOST_TEST_IMAGES = 100  # of a run that is timed
MOST_PIXELS = 150_000  # of a timed step on the CPU, at width 64 and the ImageNet stem: 2 images of 224 px, 146 of 32 px
OTHER_FINGERPRINT = "another fingerprint, under which equal bits are not promised:"
IDENTITY = {"data_sha256", "code_hash"}  # the commit does not matter
CIFAR_STEM_WORK = 16  # the stem of CIFAR leaves maps of four times the side


class Timing(NamedTuple):
    """Seconds of a run beside its epochs, and for each image."""

    prepare_s: float
    train_image_s: float
    eval_image_s: float


def timed(
    runs: Sequence[Run], source: DataSource, data_sha256: str, limit_s: float, devices: Collection[str]
) -> dict[str, Timing]:
    """Return how fast runs go on this machine, by run id, as far as they can be timed in so many seconds.

    Those that fail are left out, and those of which only the first step ended: on a fresh machine it compiles kernels
    and warms libraries, which may take a hundred times as long as a step does.
    """
    found, end_s = dict[str, Timing](), monotonic() + limit_s
    with TemporaryDirectory(prefix="resnet18-timing-") as folder:
        store = Store(Path(folder))
        store.make_writable()
        short = [_few_steps(run, devices) for run in runs]
        jobs = make_jobs(short, Request(data=source.label), source, data_sha256, store)
        for run, job in zip(runs, jobs, strict=True):
            if (left_s := end_s - monotonic()) < LEAST_S:
                break
            if (timing := time_epochs(job, min(KIND_LIMIT_S, left_s))) is not None:
                found[run.run_id] = timing
    return found


def _few_steps(run: Run, devices: Collection[str]) -> Run:
    is_on_cpu = run.execution.device == "cpu" or (run.execution.device == "auto" and not set(devices) - {"cpu"})
    images = min(run.experiment.batch_size, images_at_most(run.experiment)) if is_on_cpu else run.experiment.batch_size
    execution = run.execution.model_copy(update={"compile": False})
    return replace(shortened(run, images, TIMED_EPOCHS), execution=execution)


def shortened(run: Run, images: int, epochs: int) -> Run:
    """Return a run as fast as this one, of so many epochs of a single step on so many images."""
    sizes = dict.fromkeys(("test_images_epoch", "test_images_last"), min(images, MOST_TEST_IMAGES))
    sizes |= {"batch_size": images, "train_images": images, "epochs": epochs}
    return replace(run, experiment=run.experiment.model_copy(update={**sizes, "schedule": Constant()}))


def images_at_most(experiment: Experiment) -> int:
    """Return how many images a timed step may have on the CPU; batch norm needs two."""
    stem = CIFAR_STEM_WORK if experiment.stem == "cifar" else 1
    return max(2, int(MOST_PIXELS / (experiment.image_size**2 * experiment.width / 64 * stem)))


def time_epochs(job: Job, limit_s: float) -> Timing | None:
    """Return how fast a job's last epoch went that ended in time; None where that was the first, which warms up."""
    told: list[tuple[float, Epoch]] = []

    def hear(message: Message) -> None:
        if message.epoch is not None:
            told.append((monotonic(), message.epoch))

    begin_s = monotonic()
    carry_out(job, hear, limit_s)
    if len(told) < 2:
        return None
    (first_s, first), (_, last) = told[0], told[-1]
    return Timing(
        prepare_s=first_s - begin_s - first.train_s,
        train_image_s=(last.train_s + (last.statistics_s or 0.0)) / last.train.images,
        eval_image_s=(last.eval_as_published_s + last.eval_clean_s) / (last.as_published.images + last.clean.images),
    )


class Verification(NamedTuple):
    """What carrying a run out again says of its record."""

    exit_code: int
    """0: the same bits; 3: another fingerprint, under which none are promised; 4: other bits under the same one."""
    text: str


def verify(record: Record, source: DataSource, progress: Progress) -> Verification:
    """Carry a record's run out again, in a folder that is gone afterwards; a SuiteError where that is impossible."""
    spec = record.spec
    if record.result_hash is None:
        raise SpecError(f"record of {record.run_id}", f"ended {record.status}: it has no result that could be verified")
    if source.label != spec.experiment.data:
        what, next_step = f"the record is of {spec.experiment.data}", "name that data set with --data"
        raise SpecError(f"data set {source.label}", what, next_step=next_step)
    labels, assumptions = (f"run {record.run_id}",), spec.assumptions
    run = Run(record.run_id, record.arm_id, spec.experiment, spec.execution, labels, assumptions, False)
    data_sha256 = open_data(source, verify=True).sha256
    with TemporaryDirectory(prefix="resnet18-verify-") as folder, progress.of((run,)):
        store = Store(Path(folder))
        store.make_writable()
        request = Request(record.scale, source.label, spec.overrides)
        job, trial = make_jobs([run, shortened(run, 2, 1)], request, source, data_sha256, store)
        carry_out(trial, lambda _: None)
        differing = _differing(record, _ended_ok(store.read().records[0]))
        differing.pop("code_hash", None)  # that of another schedule
        if differing.keys() - {"driver"}:  # hours of training would prove nothing
            return Verification(3, "\n".join([OTHER_FINGERPRINT, *differing.values()]))
        LocalEngine().carry_out([job], progress)
        return judged(record, _ended_ok(store.load(record.run_id, 1)))


def _ended_ok(record: Record) -> Record:
    if record.status != "ok":
        message = "" if record.failure is None else f": {record.failure.message}"
        raise UnfinishedError(f"run {record.run_id}", f"ended {record.status} this time{message}")
    return record


def judged(record: Record, again: Record) -> Verification:
    """Return what a second record of the same run says of the first."""
    if record.result_hash == again.result_hash:
        return Verification(0, f"bit-equal: result_hash {record.result_hash} came out again")
    difference, numerics = first_difference(record, again), again.fingerprint.numerics or {}
    if differing := _differing(record, again):
        lines = [OTHER_FINGERPRINT, *differing.values(), f"  and other results: {difference}"]
        return Verification(3, "\n".join(lines))
    if not promises_bits(numerics):
        words = "other results, as may be without deterministic algorithms on"
        return Verification(3, f"{words} {numerics.get('device')}: {difference}")
    return Verification(4, f"mismatch under an equal fingerprint: {difference}")


def _differing(record: Record, again: Record) -> dict[str, str]:
    """Return the fields of the fingerprint in which two records differ, each with a line that says how."""
    there, here = (
        {**(each.fingerprint.numerics or {}), **each.fingerprint.identity.model_dump(include=IDENTITY)}
        for each in (record, again)
    )
    differing = {key: (there.get(key), value) for key, value in here.items() if value != there.get(key)}
    return {key: f"  {key}: {theirs} in the record, {ours} here" for key, (theirs, ours) in differing.items()}
