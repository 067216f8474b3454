"""What stands for the module `ray`: the calls that the engine makes, on a made-up cluster in virtual time."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self

from canned import answer_to
from clock import Clock
from cluster import Cluster, Task, seconds_of

from resnet18.execution.job import Delivery


class RayError(Exception):
    """As Ray's."""


class RayTaskError(RayError):
    """As Ray's."""


class OutOfMemoryError(RayError):
    """As Ray's."""


class WorkerCrashedError(RayError):
    """As Ray's."""


class NodeDiedError(RayError):
    """As Ray's."""


LOSSES = {"WorkerCrashedError": WorkerCrashedError, "NodeDiedError": NodeDiedError}


@dataclass(frozen=True)
class Answer:
    """What a task came to."""

    lost: str | None
    node: str


@dataclass(frozen=True)
class Remote:
    """A task function; each call becomes a task of the cluster."""

    ray: "FakeRay"

    def options(self, **_: object) -> Self:
        """Every node is alike: what is asked for is not looked at."""
        return self

    def remote(self, job: str) -> int:
        """Hand a job in."""
        with self.ray.clock.apart():
            return self.ray.hand_in(job)


class FakeRay:
    """The module.

    Args:
        clock: virtual time.
        cluster: that carries tasks out.
        mean_s: how long runs take.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError, OutOfMemoryError=OutOfMemoryError)

    def __init__(self, clock: Clock, cluster: Cluster, mean_s: float) -> None:
        self.clock, self.cluster, self.mean_s = clock, cluster, mean_s
        self.most_in_flight = 0
        self._jobs: dict[int, str] = {}
        self._back: dict[int, Answer] = {}

    def nodes(self) -> list[dict[str, Any]]:
        """Return the nodes that are thought to live, as Ray describes them."""
        with self.clock.apart():
            return [
                {
                    "NodeID": str(number),
                    "NodeManagerAddress": f"node {number}",
                    "Alive": True,
                    "Resources": {"CPU": 1.0},
                }
                for number in self.cluster.machines
            ]

    def remote(self, **_: object) -> Callable[[object], Remote]:
        """Stand for the decorator; the function is never called."""
        return lambda _: Remote(self)

    def hand_in(self, job: str) -> int:
        """Give a task to the cluster and return what stands for it."""
        number = self.cluster.count.given_out
        self._jobs[number] = job
        self.most_in_flight = max(self.most_in_flight, len(self._jobs))
        seconds = seconds_of(json.dumps(json.loads(job)["spec"]), self.mean_s)
        self.cluster.hand_in(Task(number, seconds, lambda lost, node: self._come_back(number, lost, node)))
        return number

    def _come_back(self, number: int, lost: str | None, node: str) -> None:
        if number in self._jobs:
            self._back[number] = Answer(lost, node)

    def wait(self, refs: list[int], *, num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        """Let virtual time pass until so many have come back, or the time is over."""
        with self.clock.apart():
            self.clock.run_until(self.clock.now_s + timeout, lambda: len(self._back) >= num_returns)
            back = list(self._back)[:num_returns]
            return back, [ref for ref in refs if ref not in self._back]

    def get(self, ref: int) -> tuple[str, str]:
        """Return the node and the delivery of a task that has come back, or raise how it was lost."""
        with self.clock.apart():
            answer, job = self._back.pop(ref), self._jobs.pop(ref)
            if answer.lost is not None:
                raise LOSSES[answer.lost](answer.lost)
            _, record = answer_to(job)
            return answer.node, Delivery(record=record.decode(), log="").model_dump_json()

    def cancel(self, ref: int, *, force: bool = False) -> None:  # noqa: ARG002 - as Ray's
        """Forget a task."""
        self._jobs.pop(ref, None)
        self._back.pop(ref, None)
