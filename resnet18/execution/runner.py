"""The runner has a plan carried out, one record a run; the local engine does so here, some runs at a time."""

import subprocess
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from math import inf
from typing import Literal

from resnet18.data.dataset import subset
from resnet18.data.source import open_data
from resnet18.execution.attempt import ChildProcess, child_processes, run_lock, wait_for
from resnet18.execution.job import DEFAULT, Engine, Finished, Job, Policy
from resnet18.execution.processes import fork_server
from resnet18.execution.progress import Progress
from resnet18.records import disk
from resnet18.records.checkpoints import Checkpoints
from resnet18.records.record import Identity, Record
from resnet18.records.store import Store, last_attempts
from resnet18.spec.errors import LockedError, SpecError
from resnet18.spec.experiment import CountOrAll, DataSource, data_folder
from resnet18.spec.identity import PACKAGE, code_hash, shared_code_hash
from resnet18.spec.metric import how_many
from resnet18.spec.plan import Plan, Run, check_last_batch
from resnet18.spec.resolve import Request

LOOK_S = 0.2  # how often a run that waits for a GPU looks whether one has become free
Processors = tuple[int, ...]  # their numbers; none: all that this process may use
ALL: Processors = ()


def run_plan(  # noqa: PLR0913, PLR0917 - each is another thing that the command decides
    plan: Plan,
    request: Request,
    source: DataSource,
    engine: Engine,
    store: Store,
    records: Iterable[Record],
    progress: Progress,
    policy: Policy,
) -> tuple[Finished, ...]:
    """Carry out every run of the plan that is not done, and return how all of them stand.

    Runs that another runner carries out in the same results directory are left to it. `records` are those of the store,
    which has been read just now; what was added since is seen run by run. A SuiteError is raised where the results
    directory cannot be written, or the data set is missing, damaged or too small.
    """
    store.make_writable()
    store.check_pages()  # for the report after the runs
    known = last_attempts(records)
    jobs = make_jobs(plan.runs, request, source, checked_data(source, plan.runs), store, policy)
    done = {job.run.run_id: job.run for job in jobs if job.is_done_by(known.get(job.run.run_id))}
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
    """Return the hash of a data set that is whole, and large enough for these runs; otherwise raise a SuiteError."""
    data = open_data(source, verify=True)
    sizes = dict[tuple[Literal["train", "test"], CountOrAll], None]()
    for run in runs:
        experiment = run.experiment
        sizes["train", experiment.train_images] = None
        sizes["test", experiment.test_images_epoch] = sizes["test", experiment.test_images_last] = None
        if experiment.train_images == "all":  # the plan could not know how many these are
            check_last_batch(run.labels[0], experiment, len(data.train.labels))
    for which, size in sizes:
        subset(data, which, size)
    return data.sha256


def make_jobs(
    runs: Iterable[Run], request: Request, source: DataSource, data_sha256: str, store: Store, policy: Policy = DEFAULT
) -> list[Job]:
    """Return what is to be carried out of each run, without the number of its attempt."""
    place = replace(source, path=None if source.path is None else source.path.resolve())
    commit, is_dirty = git_commit()
    jobs, results = list[Job](), store.results.resolve()
    for run in runs:
        specs = run.experiment, run.execution
        hashes = {"code_hash": code_hash(*specs), "shared_code_hash": shared_code_hash(*specs)}
        identity = Identity(**hashes, commit=commit, dirty=is_dirty, data_sha256=data_sha256)
        jobs.append(Job(run=run, request=request, source=place, identity=identity, results=results, policy=policy))
    return jobs


def exit_code_of(finished: Collection[Finished]) -> int:
    """Return 0; 3 where a run did not end ok or there was nothing to run; 75 where another runner has some of them."""
    # Running out of memory where the report did is a finding.
    found = {
        result.status for result in finished if result.status != "oom_device" or not result.run.may_run_out_of_memory
    }
    if not finished or found - {"ok", None}:
        return 3
    return LockedError.exit_code if None in found else 0


def summary(finished: Collection[Finished], plan: Plan) -> str:
    """Return what happened, in a few lines."""
    counts = Counter(result.status or "being run by another runner" for result in finished)
    before = sum(result.was_recorded for result in finished)
    lines = [
        f"{how_many(len(finished), 'run')} ({before} recorded before): "
        + (", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing was measured")
    ]
    return "\n".join(lines + [f"not run: {label}: {reason}" for label, reason in plan.not_planned.items()])


def git_commit() -> tuple[str | None, bool | None]:
    """Return the commit that tracks the package, and whether files differ from it; None where git knows none.

    A new file counts where the package lies, unless git ignores it.
    """
    changes = ("status --porcelain --untracked-files=no", "ls-files --others --exclude-standard")
    questions = ("ls-files --error-unmatch __init__.py", "rev-parse HEAD", *changes)
    commands = [["git", "-C", str(PACKAGE), *question.split()] for question in questions]
    ask = partial(subprocess.run, capture_output=True, text=True, timeout=30, check=True)
    try:
        _, commit, *found = (ask(command).stdout.strip() for command in commands)
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, any(found)


def shares(jobs: int, processors: Collection[int]) -> list[Processors]:
    """Return the processors of each of so many runs at a time, without overlap; SpecError where there are fewer."""
    if not 1 <= jobs <= len(processors):
        raise SpecError(f"--jobs {jobs}", "there is a run to a processor", allowed=[f"1 to {len(processors)}"])
    ours, each = sorted(processors), len(processors) // jobs
    return [ALL] if jobs == 1 else [tuple(ours[number * each : (number + 1) * each]) for number in range(jobs)]


def lease_gpu(names: Sequence[str], held: ExitStack) -> str | None:
    """Take the first GPU that no run has, until `held` is closed, and return its name; None where none is free."""
    folder = data_folder() / "gpus"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        with suppress(disk.LockIsTakenError):
            held.enter_context(disk.lock(folder / f"{name.replace('/', '_')}.lock"))
            return name
    return None


def take(job: Job, progress: Progress, held: ExitStack) -> Job | Finished:
    """Hold a run's lock and return its next attempt; or return how the run stands that another runner has."""
    run = job.run
    try:
        left_by = held.enter_context(run_lock(job.results, run.run_id))
    except disk.LockIsTakenError as error:
        return progress.end(run, None, f"left to {error}")
    if (status := job.recorded()) is not None:
        return progress.end(run, status, "another runner has recorded it", was_recorded=True)
    if left_by:
        progress.say(f"taken over from {left_by}, which is gone", run)
    return job.next()


class LocalEngine(Engine):
    """Carries runs out here, each on its share of the processors and a GPU of its own; timed runs alone, at the end."""

    def __init__(self, shares: Sequence[Processors] = (ALL,), gpus: Sequence[str] = ()) -> None:
        self._shares, self._gpus, self.devices, self._awaits_gpu = shares, gpus, None, False

    def prepare(self, runs: Sequence[Run]) -> None:
        """Start the process that children are forked from."""
        if runs:
            fork_server(runs)

    def carry_out(self, jobs: Sequence[Job], progress: Progress) -> list[Finished]:
        """Carry out runs that are not done; see `Engine`."""
        if len(self._shares) == 1:
            return self._at_once(jobs, self._shares, progress)
        timed = [job for job in jobs if job.run.is_timed]
        others = [job.model_copy(update={"is_exclusive": False}) for job in jobs if not job.run.is_timed]
        return self._at_once(others, self._shares, progress) + self._at_once(timed, [ALL], progress)

    def _at_once(self, jobs: Sequence[Job], shares: Sequence[Processors], progress: Progress) -> list[Finished]:
        """Carry out as many runs at a time as there are shares."""
        waiting, free, finished = deque(jobs), list(shares), list[Finished]()
        with child_processes() as going:
            while waiting or going:
                while waiting and free and (begun := self._begin(waiting[0], free[0], progress)) is not None:
                    waiting.popleft()
                    if isinstance(begun, Finished):
                        finished.append(begun)
                    else:
                        free.pop(0)
                        going.append(begun)
                if waiting or going:
                    ended = wait_for(going, LOOK_S if waiting and free else inf)
                    for job, status in ((child.job, child.status) for child in ended):
                        free.append(job.processors)
                        finished.append(progress.end(job.run, status, "" if status == "ok" else f"see {job.log}"))
        return finished

    def _begin(self, job: Job, share: Processors, progress: Progress) -> ChildProcess | Finished | None:
        """Begin a run, unless another runner carries it out or has recorded it; None where no GPU is free."""
        run, gpu = job.run, None
        with ExitStack() as held:
            taken = take(job, progress, held)
            if isinstance(taken, Finished):
                return taken
            if self._gpus and run.execution.device in {"auto", "cuda"}:  # a run that names its own leases none
                gpu = lease_gpu(self._gpus, held)
                if gpu is None:
                    if not self._awaits_gpu:
                        progress.say(f"waits until one of {len(self._gpus)} GPUs is free: runs hold all of them", run)
                    self._awaits_gpu = True
                    return None
                self._awaits_gpu = False
            progress.start(run)
            taken = taken.model_copy(update={"processors": share, "gpus": gpu})
            return ChildProcess(taken, partial(progress.hear, run), held.pop_all())
