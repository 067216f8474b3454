"""The local engine: so many runs at a time, each in a child process on processors of its own."""

from collections import deque
from collections.abc import Collection, Sequence
from contextlib import ExitStack

from filelock import FileLock, Timeout

from resnet18.execution import child
from resnet18.execution.attempt import Attempt, attempts, claim, wait_for
from resnet18.execution.engine import Engine, Finished, Job, Message
from resnet18.execution.progress import Progress
from resnet18.spec.data import data_home
from resnet18.spec.errors import SpecError
from resnet18.spec.plan import Run

LOOK_S = 0.2
"""How often a run that waits for a GPU looks whether one has become free."""
Share = tuple[int, ...]
"""Numbers of processors; none: all that this process may use."""
ALL: Share = ()


def shares(jobs: int, processors: Collection[int]) -> list[Share]:
    """Return the processors of each of so many runs at a time: shared out evenly, without overlap.

    Raises:
        SpecError: fewer processors than runs, whose threads would stand in each other's way.
    """
    if not 1 <= jobs <= len(processors):
        raise SpecError(f"--jobs {jobs}", "there is a run to a processor", allowed=[f"1 to {len(processors)}"])
    ours, each = sorted(processors), len(processors) // jobs
    return [ALL] if jobs == 1 else [tuple(ours[number * each : (number + 1) * each]) for number in range(jobs)]


def lease_gpu(names: Sequence[str], held: ExitStack) -> str | None:
    """Take the first GPU that no run has, until `held` is closed, and return its name; None where none is free."""
    folder = data_home() / "gpus"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        try:
            held.enter_context(FileLock(folder / f"{name.replace('/', '_')}.lock", timeout=0))
        except Timeout:
            continue
        return name
    return None


class LocalEngine(Engine):
    """Carries runs out here: one at a time on each share of the processors, and timed runs alone, after the others.

    Where the machine has several GPUs, each run leases its own.
    """

    def __init__(self, shares: Sequence[Share] = (ALL,), gpus: Sequence[str] = ()) -> None:
        self._shares, self._gpus, self.devices = shares, gpus, None

    def prepare(self, runs: Sequence[Run]) -> None:
        """Start the process that children are forked from."""
        if runs:
            child.start_server(runs)

    def carry_out(self, jobs: Sequence[Job], progress: Progress) -> list[Finished]:
        """Carry out runs that are not done; see `Engine`."""
        if len(self._shares) == 1:
            return self._at_once(jobs, self._shares, progress)
        timed = [job for job in jobs if job.run.is_timed]
        others = [job.model_copy(update={"is_exclusive": False}) for job in jobs if not job.run.is_timed]
        return self._at_once(others, self._shares, progress) + self._at_once(timed, [ALL], progress)

    def _at_once(self, jobs: Sequence[Job], shares: Sequence[Share], progress: Progress) -> list[Finished]:
        """Carry out as many runs at a time as there are shares."""
        waiting, free, finished = deque(jobs), list(shares), list[Finished]()
        with attempts() as going:
            while waiting or going:
                while waiting and free and (begun := self._begin(waiting[0], free[0], progress)) is not None:
                    waiting.popleft()
                    if isinstance(begun, Finished):
                        finished.append(begun)
                    else:
                        free.pop(0)
                        going.append(begun)
                if going or waiting:
                    ended = wait_for(going, LOOK_S if waiting and free else None)
                    free += [attempt.job.processors for attempt in ended]
                    finished += [_finished(attempt, progress) for attempt in ended]
        return finished

    def _begin(self, job: Job, share: Share, progress: Progress) -> Attempt | Finished | None:
        """Begin a run, unless another runner carries it out or has recorded it; None where no GPU is free."""
        run, gpu = job.run, None

        def show(message: Message) -> None:
            if message.epoch is not None:
                progress.epoch(run, message.epoch)
            if message.note is not None:
                progress.note(run, message.note)

        with ExitStack() as held:
            claimed = claim(job, progress, held)
            if isinstance(claimed, Finished):
                return claimed
            if self._gpus and run.execution.device in {"auto", "cuda"}:  # one that names its own leases none
                gpu = lease_gpu(self._gpus, held)
                if gpu is None:
                    return None
            progress.start(run)
            return Attempt(claimed.model_copy(update={"processors": share, "gpus": gpu}), show, held.pop_all())


def _finished(attempt: Attempt, progress: Progress) -> Finished:
    """Tell how an attempt ended; its log goes where it says nothing."""
    run, status = attempt.job.run, attempt.status
    log = attempt.job.store.log_path(run.run_id, attempt.job.attempt)
    if status == "ok" and log.is_file() and log.stat().st_size == 0:
        log.unlink()
    progress.end(run, status, "" if status == "ok" else f"see {log}")
    return Finished(run, status)
