"""A stand-in for Slurm: a queue that holds what was submitted until a test says."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from resnet18.execution.job import Job
from resnet18.spec.errors import EnvironmentMissingError


class Submitted(NamedTuple):
    """An array that was submitted."""

    name: str
    jobs: list[Job]
    wanted: Any
    at_once: int


@dataclass
class FakeSlurm:
    """Stands for `submit`, `queued` and `answer` of the engine, and for the time: it passes where the engine sleeps.

    Args:
        begins: called with each job when its array is submitted; what it returns is the task's state, "" for gone.
    """

    begins: Callable[[Job], str]
    now_s: float = 1000.0
    arrays: list[Submitted] = field(default_factory=list)
    tasks: dict[tuple[str, int], str] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    is_silent: bool = False
    slept: Callable[[], None] = lambda: None
    """Called whenever the engine sleeps: what happens meanwhile."""

    def submit(self, folder, texts, wanted, at_once):
        """Take an array in."""
        jobs = [Job.model_validate_json(text) for text in texts]
        written = json.loads((folder / "array.json").read_text())
        assert written == [job.run.run_id for job in jobs], "what an array holds is not written before it is submitted"
        self.arrays.append(Submitted(folder.name, jobs, wanted, at_once))
        for index, job in enumerate(jobs):
            if state := self.begins(job):
                self.tasks[folder.name, index] = state

    def queued(self, arrays):
        """Tell of the tasks of these arrays that have not ended."""
        if arrays and self.is_silent:
            raise EnvironmentMissingError("--engine slurm", "squeue: Socket timed out")
        return {key for key, state in self.tasks.items() if key[0] in arrays and state != "CG"}

    def answer(self, command):
        """Remember that an array was to end."""
        if self.is_silent:
            raise EnvironmentMissingError("--engine slurm", f"{command[0]}: no answer")
        self.ended.append(command[1].removeprefix("--name="))

    def end(self, leave):
        """Let the jobs of the first array leave something, and forget all tasks."""
        for job in self.arrays[0].jobs if self.tasks else ():
            leave(job)
        self.tasks.clear()

    def monotonic(self):
        """Tell the time."""
        return self.now_s

    def sleep(self, seconds):
        """Let time pass."""
        assert self.now_s < 100_000, "the engine waits for ever"
        self.now_s += seconds
        self.slept()
