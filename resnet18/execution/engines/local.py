"""The local engine: one run after the other, each in a child process of its own."""

from collections import deque
from typing import Self

from resnet18.execution.attempt import Session, run_once
from resnet18.execution.engines.engine import Finished
from resnet18.execution.leases import gpu_leased
from resnet18.execution.lock import RunIsTakenError, run_lock
from resnet18.spec.plan import Run


class LocalEngine:
    """Carries runs out in the order in which they come."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: deque[Run] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def submit(self, run: Run) -> None:
        """Take a run."""
        self._waiting.append(run)

    def wait(self) -> Finished:
        """Carry out the next run, unless another runner does or has done so."""
        run, session = self._waiting.popleft(), self._session
        progress = session.progress
        is_one_of_several = not session.policy.is_exclusive  # they share the runs out so: nothing to tell
        progress.start(run)
        try:
            with run_lock(session.store.results, run.run_id) as left_by:
                status = session.recorded(run)
                if status is not None:
                    progress.skip("" if is_one_of_several else "another runner has recorded it")
                    return Finished(run, status, was_recorded=True)
                if left_by:
                    progress.note(f"taken over from {left_by}, which is gone")
                with gpu_leased(session.policy.gpus if _leases_a_gpu(run) else ()) as gpu:
                    return Finished(run, run_once(run, session, gpu), was_recorded=False)
        except RunIsTakenError as error:
            progress.skip("" if is_one_of_several else f"left to {error}")
            return Finished(run, None, was_recorded=False)

    def cancel(self) -> None:
        """Forget what waits. The run that goes on has been ended by the exception that led here."""
        self._waiting.clear()


def _leases_a_gpu(run: Run) -> bool:
    """Say whether a run leases a GPU where there are several; one that names its own leases none."""
    return run.execution.device in {"auto", "cuda"}
