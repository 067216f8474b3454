"""A stand-in for the module `ray`, as far as the engine uses it: said nodes, and tasks that end as told."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from resnet18.execution.job import Job

PENDING = object()
"""A task that has not ended."""


class RayError(Exception):
    """A process or a node is gone, or the task was cancelled before it began."""


class RayTaskError(RayError):
    """The task raised an exception."""


class OutOfMemoryError(RayError):
    """Ray ended the worker for want of memory."""


@dataclass(eq=False)
class Task:
    """A task that was given out, and the reference to what it will return."""

    job: Job
    options: dict[str, Any]
    outcome: Any = PENDING
    was_cancelled: bool = False


@dataclass
class FakeRay:
    """The module.

    Args:
        script: says how a task ends: with (node, text), an exception, or not yet (`PENDING`); asked at every wait.
        rows: the nodes, as `node_row` makes them.
        at_cancel: the same for a task that is cancelled.
    """

    script: Any
    rows: list[dict[str, Any]]
    at_cancel: Any = lambda task: RayError("cancelled")
    sent: list[Task] = field(default_factory=list)
    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError, OutOfMemoryError=OutOfMemoryError)

    def nodes(self):
        return self.rows

    def remote(self, **options):
        return lambda function: SimpleNamespace(
            options=lambda **more: SimpleNamespace(remote=lambda text: self._send(text, {**options, **more}))
        )

    def _send(self, text, options):
        self.sent.append(Task(Job.model_validate_json(text), options))
        return self.sent[-1]

    def wait(self, refs, *, num_returns=1, timeout=None):
        """Ask the script how tasks end."""
        for task in refs:
            if task.outcome is PENDING:
                task.outcome = self.script(task)
        back = [task for task in refs if task.outcome is not PENDING][:num_returns]
        assert back or timeout, "the engine waits for ever"
        return back, [task for task in refs if task not in back]

    def get(self, task):
        """Return what a task returned, with its node's address, or raise what it raised."""
        if isinstance(task.outcome, BaseException):
            raise task.outcome
        node, text = task.outcome
        return node, f"address-{node}", text

    def cancel(self, task, *, force=False):
        assert not force
        task.was_cancelled = True
        if task.outcome is PENDING:
            task.outcome = self.at_cancel(task)


def node_row(name, cpus=4, gpus=0, *, alive=True):
    resources = {"CPU": float(cpus), **({"GPU": float(gpus)} if gpus else {})}
    return {"NodeID": name, "NodeManagerAddress": f"address-{name}", "Alive": alive, "Resources": resources}
