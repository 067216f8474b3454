"""What stands for Slurm's programs: a queue that never fills, on a made-up cluster in virtual time."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from canned import answer_to
from clock import Clock
from cluster import Cluster, Task, seconds_of

from resnet18.execution.engines.engine import Needs
from resnet18.execution.engines.slurm_queue import Queued
from resnet18.records.parse import file_name


@dataclass
class FakeSlurm:
    """The module `slurm_queue` as the engine sees it. Jobs whose node or process died are begun again."""

    clock: Clock
    cluster: Cluster
    mean_s: float
    records: Path
    """The folder that all nodes write to."""
    tasks: dict[str, dict[int, str]] = field(default_factory=dict)
    """The jobs of each array that have not ended."""
    asked: int = 0
    """How often the queue was listed."""

    def submit(self, folder: Path, name: str, texts: Sequence[str], wanted: Needs, at_once: int) -> None:  # noqa: ARG002 - as the real one
        """Take an array in."""
        with self.clock.apart():
            self.tasks[name] = dict(enumerate(texts))
            for index in range(len(texts)):
                self._begin(name, index)

    def _begin(self, name: str, index: int) -> None:
        text = self.tasks[name][index]
        seconds = seconds_of(json.dumps(json.loads(text)["spec"]), self.mean_s)
        self.cluster.hand_in(
            Task(self.cluster.count.given_out, seconds, lambda lost, _: self._end(name, index, lost is not None))
        )

    def _end(self, name: str, index: int, is_lost: bool) -> None:
        if is_lost:
            self._begin(name, index)
            return
        run_id, record = answer_to(self.tasks[name].pop(index))
        (self.records / file_name(run_id, 1)).write_bytes(record)

    def queued(self, arrays: Collection[str]) -> list[Queued]:
        """Return what has not ended."""
        with self.clock.apart():
            self.asked += 1
            return [Queued(name, index, "R", "None") for name in arrays for index in self.tasks.get(name, ())]

    def end(self, array: str) -> None:
        """Forget an array."""
        self.tasks.pop(array, None)
