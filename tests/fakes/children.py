"""Child processes that differ from a run's own in one thing, and questions that only such a process can answer.

Whatever starts here is found by its name in a fresh process of the local engine's server.
"""

import contextlib
import errno
import gc
import itertools
import os
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import torch
from builders import embedded, epochs_of, make_experiment
from fakes.accelerator import DEVICE, NAME, install
from fakes.disk import FaultyOs

from resnet18.execution import attempt, worker
from resnet18.execution.job import Job
from resnet18.execution.processes import fork_server
from resnet18.measure import Clock
from resnet18.records import disk
from resnet18.records.checkpoints import Checkpoints
from resnet18.spec.experiment import Execution
from resnet18.training import feed, loop
from resnet18.training.device import synchronize
from resnet18.training.feed import AugmentedImages
from resnet18.training.loop import train
from resnet18.training.results import parameters_sha256, restore, snapshot
from resnet18.training.setup import Setup, set_up

ENTER = attempt._enter
"""The real start of a child, which tests put another in place of."""


def with_loader_that_is_killed(*arguments: Any) -> None:
    """Start a child whose loader processes die by a signal when they are asked for an image."""
    AugmentedImages.__getitem__ = lambda images, index: os.kill(os.getpid(), signal.SIGKILL)
    ENTER(*arguments)


def with_loader_that_hangs(*arguments: Any) -> None:
    """Start a child whose loader processes wait for ever, and which waits for them one second."""
    AugmentedImages.__getitem__ = lambda images, index: signal.pause()
    feed.LOADER_TIMEOUT_S = 1
    torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.1  # how long torch waits for such a process to end
    ENTER(*arguments)


def with_full_disk(*arguments: Any) -> None:
    """Start a child that can write nothing."""
    disk.os = FaultyOs(1, persistent=True)
    ENTER(*arguments)


def without_room_for_checkpoints(*arguments: Any) -> None:
    """Start a child in which there is room for records alone."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Checkpoints.save = refuse
    ENTER(*arguments)


def that_hangs(*arguments: Any) -> None:
    """Start a child that waits for ever and hears no wish."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def that_is_ended_by_a_real_time_signal(*_: Any) -> None:
    """Start a child that dies by a signal without a name."""
    os.kill(os.getpid(), 40)


def that_exits(*_: Any) -> None:
    """Start a child that ends without a word."""
    os._exit(7)


def that_falls_silent(_text: str, sender: Connection, _log: str) -> None:
    """Start a child that lets go of its runner, and lives."""
    sender.close()
    signal.pause()


def that_sends_no_messages(_text: str, sender: Connection, _log: str) -> None:
    """Start a child that writes something else where messages go, as a library may that mistakes a descriptor."""
    os.write(sender.fileno(), b"Warning: something else\n")
    signal.pause()


def answer(question: Callable[..., Any], *arguments: Any) -> Any:
    """Return a question's answer from a fresh process; its errors are raised here."""
    with ProcessPoolExecutor(max_workers=1, mp_context=fork_server()) as pool:
        return pool.submit(question, *arguments).result()


def train_with_labels_on_the_host() -> None:
    """Train with a transfer forgotten."""
    install()
    forgetful = loop.to_device
    loop.to_device = lambda batch, setup: (forgetful(batch, setup)[0], batch[1])
    list(epochs_of(_setup()))


def waits(path: str) -> dict[str, dict[str, int]]:
    """How often the host waits for the device inside each scope of the clock, over one epoch of three steps."""
    device, scopes = install(), list[str]()
    found: dict[str, Counter[str]] = {}

    class Marking(Clock):
        @contextlib.contextmanager
        def scope(self, name, **how):
            with super().scope(name, **how):  # the clock's own waits, before and after it reads, lie outside the marks
                scopes.append(name)
                found.setdefault(name, Counter())
                yield
                scopes.pop()

    setup = _setup(path)
    device.on_wait = lambda kind: found[scopes[-1]].update([kind]) if scopes else None
    list(epochs_of(setup, Marking(lambda: synchronize(setup.device))))
    return {scope: dict(counts) for scope, counts in found.items()}


def carry_out(jobs: list[Job], capacity: int | None = None) -> list[int]:
    """Carry out jobs in one process: on the accelerator, of so many bytes, or on the CPU. Bytes taken after each."""
    if capacity:
        install(capacity)
    left = []
    for job in jobs:
        worker.run_job(job, lambda message: None)
        gc.collect()
        left.append(DEVICE.allocated)
    return left


def digests_of_resuming(optimizer: dict[str, Any], path: str) -> tuple[str, str]:
    """Digests of the parameters of a training on the accelerator: in one piece, and stopped after its second step."""
    install()
    whole, first, second = (_setup(path, optimizer=optimizer) for _ in range(3))
    list(train(whole, Clock(lambda: None)))
    clock = Clock(lambda: None)
    loop.FIRST_STEPS = 1  # so that there is a position inside the epoch
    position = next(itertools.islice(train(first, clock), 1 if path == "reference" else 0, None))
    moment, arrays = snapshot(first, position, clock)
    begin = restore(second, clock, moment, {name: array.copy() for name, array in arrays.items()})
    list(train(second, clock, begin))
    return parameters_sha256(whole.model), parameters_sha256(second.model)


def _setup(path: str = "reference", **changes: Any) -> Setup:
    torch.set_num_threads(1)
    return set_up(make_experiment(**changes), Execution(path=path), embedded(), torch.device(NAME))
