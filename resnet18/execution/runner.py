"""The runner: takes a plan and has it carried out, one record for each run."""

import subprocess
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Literal, NamedTuple

from resnet18.data.dataset import subset
from resnet18.data.source import open_data
from resnet18.execution.attempt import Attempt
from resnet18.execution.engine import DEFAULT, Engine, Finished, Job, Message, Policy
from resnet18.execution.progress import Progress
from resnet18.records.arrays import Checkpoints
from resnet18.records.record import Epoch, Identity, Record
from resnet18.records.store import Store, is_done, last_attempts
from resnet18.spec.code import PACKAGE
from resnet18.spec.data import DataSource
from resnet18.spec.errors import LockedError
from resnet18.spec.experiment import CountOrAll, Experiment
from resnet18.spec.identity import code_hash, shared_code_hash
from resnet18.spec.optimizer import Constant
from resnet18.spec.plan import Plan, Run, check_last_batch
from resnet18.spec.resolve import Request

TIMED_EPOCHS = 4
"""The first warms up."""
KIND_LIMIT_S = 4.0
"""For timing one kind of run, the start of its process and of its device included."""
LEAST_S = 0.5
"""With less left no process is started."""
MOST_TEST_IMAGES = 100
"""Of a run that is timed."""
MOST_PIXELS = 150_000
"""Of a timed step on the CPU, at width 64 and the ImageNet stem: 2 images of 224 px, 146 of 32 px."""
CIFAR_STEM_WORK = 16
"""The stem of CIFAR leaves maps of four times the side."""


def run_plan(  # noqa: PLR0913, PLR0917 - each is another thing that the command decides
    plan: Plan,
    request: Request,
    source: DataSource,
    engine: Engine,
    store: Store,
    progress: Progress,
    policy: Policy = DEFAULT,
    *,
    records: Iterable[Record] | None = None,
) -> tuple[Finished, ...]:
    """Carry out every run of the plan that is not done, and return how all of them stand.

    Runs that another runner carries out in the same results directory are left to it.

    `records` are those of the store, where it has been read just now; what was added since is seen run by run.

    Raises:
        EnvironmentMissingError: the results directory cannot be written, or the data set is missing.
        IntegrityError: the data set is damaged.
        SpecError: the data set is too small for the plan.
    """
    store.make_writable()
    known = last_attempts(store.read().records if records is None else records)
    engine.prepare([run for run in plan.runs if run.run_id not in known])
    jobs = make_jobs(plan.runs, request, source, checked_data(source, plan.runs), store, policy)
    done = {job.run.run_id: job.run for job in jobs if is_done(known.get(job.run.run_id), *job.accepted)}
    finished = [Finished(run, known[run_id].status, was_recorded=True) for run_id, run in done.items()]
    # A runner may have died between the record and this; and a time that is taken again is taken from the start.
    for run_id in (*done, *policy.again):
        Checkpoints(store.results, run_id).clear()
    pending = {job.run.run_id: job for job in jobs if job.run.run_id not in done}
    with progress.of([job.run for job in pending.values()]):
        for result in engine.carry_out(list(pending.values()), progress):
            if result.status is None and (status := pending[result.run.run_id].recorded()):  # another runner's, by now
                finished.append(Finished(result.run, status, was_recorded=True))
            else:
                finished.append(result)
    return tuple(finished)


def checked_data(source: DataSource, runs: Iterable[Run]) -> str:
    """Return the hash of a data set that is whole, and large enough for these runs; otherwise raise a SuiteError.

    It is decoded here, where no decoded copy is kept.
    """
    data = open_data(source, verify=True)
    sizes: list[tuple[Literal["train", "test"], CountOrAll]] = []
    for run in runs:
        experiment = run.experiment
        sizes += [("train", experiment.train_images), ("test", experiment.test_images_epoch)]
        sizes.append(("test", experiment.test_images_last))
        if experiment.train_images == "all":  # the plan could not know how many these are
            check_last_batch(run.labels[0], experiment, len(data.train.labels))
    for which, size in dict.fromkeys(sizes):
        subset(data, which, size)
    return data.sha256


def make_jobs(
    runs: Iterable[Run], request: Request, source: DataSource, data_sha256: str, store: Store, policy: Policy
) -> list[Job]:
    """Return what is to be carried out of each run, without the number of its attempt."""
    place = replace(source, path=None if source.path is None else source.path.resolve())
    commit, is_dirty = git_commit()
    return [
        Job(
            run=run,
            request=request,
            source=place,
            identity=Identity(
                code_hash=code_hash(run.experiment, run.execution),
                shared_code_hash=shared_code_hash(run.experiment, run.execution),
                commit=commit,
                dirty=is_dirty,
                data_sha256=data_sha256,
            ),
            results=store.results.resolve(),
            policy=replace(policy, again={key: value for key, value in policy.again.items() if key == run.run_id}),
        )
        for run in runs
    ]


class Timing(NamedTuple):
    """Seconds of a run beside its epochs, and for each image."""

    prepare_s: float
    train_image_s: float
    eval_image_s: float


def shortened(run: Run, images: int, epochs: int) -> Run:
    """Return a run as fast as this one, of so many epochs of a single step on so many images."""
    sizes = dict.fromkeys(("test_images_epoch", "test_images_last"), min(images, MOST_TEST_IMAGES))
    sizes |= {"batch_size": images, "train_images": images, "epochs": epochs}
    return replace(run, experiment=run.experiment.model_copy(update={**sizes, "schedule": Constant()}))


def images_at_most(experiment: Experiment) -> int:
    """Return how many images a timed step may have on the CPU; batch norm needs two."""
    stem = CIFAR_STEM_WORK if experiment.stem == "cifar" else 1
    return max(2, int(MOST_PIXELS / (experiment.image_size**2 * experiment.width / 64 * stem)))


def timed(
    runs: Sequence[Run], source: DataSource, data_sha256: str, limit_s: float, devices: Collection[str]
) -> dict[str, Timing]:
    """Return how fast runs go on this machine, by run id, as far as they can be timed in so many seconds.

    Those that fail are left out, and those of which only the first step ended: on a fresh machine it compiles kernels
    and warms libraries, which may take a hundred times as long as a step does.
    """
    found, end_s, short = dict[str, Timing](), monotonic() + limit_s, list[Run]()
    for run in runs:
        is_on_cpu = run.execution.device == "cpu" or (run.execution.device == "auto" and not set(devices) - {"cpu"})
        images = run.experiment.batch_size
        images = min(images, images_at_most(run.experiment)) if is_on_cpu else images
        execution = run.execution.model_copy(update={"compile": False})
        short.append(replace(shortened(run, images, TIMED_EPOCHS), execution=execution))
    with TemporaryDirectory(prefix="resnet18-timing-") as folder:
        store = Store(Path(folder))
        store.make_writable()
        jobs = make_jobs(short, Request(data=source.label), source, data_sha256, store, DEFAULT)
        for run, job in zip(runs, jobs, strict=True):
            if (left_s := end_s - monotonic()) < LEAST_S:
                break
            if (timing := time_epochs(job, min(KIND_LIMIT_S, left_s))) is not None:
                found[run.run_id] = timing
    return found


def time_epochs(job: Job, limit_s: float) -> Timing | None:
    """Return how fast a job's last epoch went that ended in time; None where that was the first, which warms up."""
    told: list[tuple[float, Epoch]] = []

    def hear(message: Message) -> None:
        if message.epoch is not None:
            told.append((monotonic(), message.epoch))

    begin_s = monotonic()
    attempt = Attempt(job, hear)
    try:
        attempt.hear_out(begin_s + limit_s)
    finally:
        attempt.close()
    if len(told) < 2:
        return None
    (first_s, first), (_, last) = told[0], told[-1]
    return Timing(
        prepare_s=first_s - begin_s - first.train_s,
        train_image_s=(last.train_s + (last.statistics_s or 0.0)) / last.train.images,
        eval_image_s=(last.eval_as_published_s + last.eval_clean_s) / (last.as_published.images + last.clean.images),
    )


def exit_code_of(finished: Collection[Finished]) -> int:
    """Return 0; 3 where a run did not end ok or there was nothing to run; 75 where another runner has some of them."""
    if not finished or any(result.is_failure for result in finished):
        return 3
    return LockedError.exit_code if any(result.status is None for result in finished) else 0


def summary(finished: Collection[Finished], plan: Plan) -> str:
    """Return what happened, in a few lines."""
    counts = Counter(result.status or "being run by another runner" for result in finished)
    before = sum(result.was_recorded for result in finished)
    lines = [
        f"{len(finished)} run{'' if len(finished) == 1 else 's'} ({before} recorded before): "
        + (", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing was measured")
    ]
    lines += [f"not run: {case.label}: {case.reason}" for case in plan.not_planned]
    return "\n".join(lines)


def git_commit() -> tuple[str | None, bool | None]:
    """Return the commit that the package lies in, and whether tracked files differ from it; None where git knows none.

    A virtual environment may lie inside a checkout of something else: the package itself must be tracked.
    """
    try:
        _git("ls-files", "--error-unmatch", str(PACKAGE / "__init__.py"))
        return _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PACKAGE.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
