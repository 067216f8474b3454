"""A cluster that can be thought of: nodes that die and come, workers that die, tasks that take a drawn time."""

import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from clock import Clock


@dataclass(frozen=True)
class Faults:
    """What goes wrong, and how fast it is seen."""

    worker_dies: float = 0.01
    """Chance of a worker to die in a run."""
    node_mtbf_s: float = 86_400.0
    """Mean life of a node."""
    seen_s: float = 20.0
    """From a node's death until it is known."""
    replaced_s: float = 300.0
    """From a node's death until another comes."""


NONE = Faults(worker_dies=0.0, node_mtbf_s=math.inf)


@dataclass
class Task:
    """A run that was handed in."""

    number: int
    seconds: float
    """That it takes where nothing goes wrong."""
    done: Callable[[str | None, str], None]
    """Is told how the task was lost, None where it was not, and on which node."""


@dataclass
class Machine:
    """A node with one processor."""

    number: int
    task: Task | None = None
    is_alive: bool = True


@dataclass
class Count:
    """What happened."""

    given_out: int = 0
    workers_lost: int = 0
    nodes_died: int = 0
    runs_lost_with_nodes: int = 0
    worked_s: float = 0.0
    """Virtual seconds of tasks that ended well."""
    longest_s: float = 0.0
    last_s: float = 0.0
    """When the last of them ended."""


@dataclass
class Cluster:
    """So many nodes of one processor, and a queue before them."""

    clock: Clock
    size: int
    faults: Faults
    random: random.Random
    queue: deque[Task] = field(default_factory=deque)
    machines: dict[int, Machine] = field(default_factory=dict)
    idle: deque[Machine] = field(default_factory=deque)
    count: Count = field(default_factory=Count)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        for _ in range(self.size):
            self._come()

    def hand_in(self, task: Task) -> None:
        """Let a task wait for a node."""
        self.count.given_out += 1
        self.queue.append(task)
        self._begin()

    def _come(self) -> None:
        machine = Machine(next(self.numbers))
        self.machines[machine.number] = machine
        self.idle.append(machine)
        if self.faults.node_mtbf_s < math.inf:
            self.clock.after(self.random.expovariate(1 / self.faults.node_mtbf_s), lambda: self._die(machine))
        self._begin()

    def _begin(self) -> None:
        while self.queue and self.idle:
            machine = self.idle.popleft()
            if machine.is_alive:
                self._begin_on(machine, self.queue.popleft())

    def _begin_on(self, machine: Machine, task: Task) -> None:
        machine.task = task
        if self.random.random() < self.faults.worker_dies:
            self.clock.after(
                self.random.random() * task.seconds, lambda: self._end(machine, task, "WorkerCrashedError")
            )
        else:
            self.clock.after(task.seconds, lambda: self._end(machine, task, None))

    def _end(self, machine: Machine, task: Task, how: str | None) -> None:
        if not machine.is_alive:
            return
        machine.task = None
        self.idle.append(machine)
        if how is None:
            self.count.worked_s += task.seconds
            self.count.longest_s = max(self.count.longest_s, task.seconds)
            self.count.last_s = self.clock.now_s
        else:
            self.count.workers_lost += 1
        task.done(how, str(machine.number))
        self._begin()

    def _die(self, machine: Machine) -> None:
        machine.is_alive = False
        self.count.nodes_died += 1
        task, machine.task = machine.task, None
        self.clock.after(self.faults.seen_s, lambda: self._is_seen(machine, task))
        self.clock.after(self.faults.replaced_s, self._come)

    def _is_seen(self, machine: Machine, task: Task | None) -> None:
        del self.machines[machine.number]
        if task is not None:
            self.count.runs_lost_with_nodes += 1
            task.done("NodeDiedError", str(machine.number))


def seconds_of(run_id: str, mean_s: float, spread: float = 0.5) -> float:
    """Return how long a run takes: lognormal, the same whenever it is asked for.

    Args:
        run_id: the run.
        mean_s: of all runs.
        spread: standard deviation of the logarithm.
    """
    drawn = random.Random(run_id).gauss(-(spread**2) / 2, spread)  # noqa: S311 - no secret
    return mean_s * math.exp(drawn)
