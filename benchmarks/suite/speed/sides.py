"""One side of a comparison, in a process of its own: it trains as many steps as it is told, and says what they took."""

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from loops import LOOPS
from torch.nn.functional import cross_entropy
from workloads import Workload

from resnet18.data.dataset import read_embedded
from resnet18.measure import Clock
from resnet18.spec.augmentation import clean
from resnet18.spec.experiment import Execution
from resnet18.training.device import ready_device
from resnet18.training.feed import feed_training, to_device
from resnet18.training.loop import evaluate, train
from resnet18.training.results import Position, parameter_count
from resnet18.training.setup import Setup, set_up

WARM_UP = 2


@dataclass(frozen=True)
class Turn:
    """What a side did in a turn, and has taken so far."""

    images: int
    seconds: float
    data_wait_s: float
    peak_bytes: int
    parameters: int
    """That the network computes with."""


def serve(connection: Connection, kind: str, workload: Workload, processors: tuple[int, ...] = ()) -> None:
    """Answer each number of steps with the turn that it made; end at None."""
    if processors:
        os.sched_setaffinity(0, processors)
        torch.set_num_threads(len(processors))
    clock, side = Clock(lambda: None), SIDES[kind]
    steps, parameters = side(workload, clock)
    list(itertools.islice(steps, WARM_UP))
    connection.send(None)
    while (count := connection.recv()) is not None:
        clock.lap()
        start = time.perf_counter_ns()
        images = sum(itertools.islice(steps, count))
        seconds = (time.perf_counter_ns() - start) / 1e9
        connection.send(Turn(images, seconds, clock.lap()["data_wait_s"], _peak_bytes(), parameters))


def _peak_bytes() -> int:
    """Return the largest resident set of this process; getrusage would begin with that of the process it came from."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def reference(workload: Workload, _: Clock) -> tuple[Iterator[int], int]:
    """Return the steps of the workload's reference loop."""
    data = read_embedded()
    loop = LOOPS[workload.loop]
    return loop(np.asarray(data.train.images), data.train.labels, workload.size, workload.batch_size), 0


def suite(workload: Workload, clock: Clock) -> tuple[Iterator[int], int]:
    """Return the steps of the suite's own loop on the fast path, with all that it does between them."""
    setup = _setup(workload)

    def steps() -> Iterator[int]:
        before = 0
        for moment in train(setup, clock):
            if isinstance(moment, Position):
                before = 0 if moment.steps == 1 else before
                yield moment.tally.images - before
                before = moment.tally.images

    return steps(), parameter_count(setup.model)


def bare(workload: Workload, _: Clock) -> tuple[Iterator[int], int]:
    """Return the same steps without clock, positions and whatever else the suite adds to a training."""
    setup = _setup(workload)

    def steps() -> Iterator[int]:
        for epoch in itertools.count(1):
            setup.model.train()
            for batch in feed_training(setup, Position(epoch)):
                images, labels = to_device(batch, setup)
                setup.optimizer.zero_grad()
                logits = setup.network(images)
                loss = cross_entropy(logits, labels)
                loss.item(), (logits.argmax(1) == labels).sum().item()
                loss.backward()
                setup.optimizer.step()
                yield len(labels)
            for operations in (setup.experiment.test_augmentation, clean(setup.experiment.test_augmentation)):
                evaluate(setup, setup.test_indices_epoch, operations, epoch)

    return steps(), parameter_count(setup.model)


def _setup(workload: Workload) -> Setup:
    threads = torch.get_num_threads()
    execution = Execution(device="cpu", path="fast", precision=workload.precision, threads=threads)
    return set_up(workload.experiment, execution, read_embedded(), ready_device(execution))


SIDES = {"reference": reference, "suite": suite, "bare": bare}
