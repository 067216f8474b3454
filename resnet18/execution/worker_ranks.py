"""The other ranks of a run as rank 0 sees them: processes that it starts, tells where to begin, and ends."""

import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

import torch

from resnet18.execution.job import Job
from resnet18.execution.kernel import oom_kills
from resnet18.execution.worker_cause import CAUSE_S, Peer, cause, death, said_by
from resnet18.execution.worker_ending import InterruptedRunError, RankError, TimeLimitError, classify
from resnet18.execution.worker_peer import Begin, enter
from resnet18.training.ranks import BACKENDS, Ranks, environment, joined, listen, open_store
from resnet18.training.results import Position

ENDING_S = 5.0
"""How long a peer may take to leave after its last epoch."""
READY_S = 60.0
"""How long a peer may take to find its device."""


class Peers:
    """The other ranks of a run, from the opening of the context to its end; none where the spec asks for one rank.

    Open it before anything starts a thread or CUDA: on Linux the peers are forked, with torch imported. Where a peer
    was the cause of an error that ends the context, its own takes the place of that error (RankError).
    """

    def __init__(self, job: Job) -> None:
        self.ranks = Ranks(0, job.spec.execution.ranks)
        self._job = job
        self._kills = oom_kills()
        self._failed_ns: int | None = None
        """When rank 0 met its error. What a peer says after that is a consequence."""
        self._peers: list[Peer] = []
        self._listener: socket.socket | None = None

    @property
    def processes(self) -> tuple[int, ...]:
        """The numbers of the peers' processes."""
        return tuple(peer.process.pid for peer in self._peers if peer.process.pid is not None)

    def __enter__(self) -> Self:
        if self.ranks.count > 1:
            self._listener = listen()
            context = _context()
            text, port = self._job.model_dump_json(), self._listener.getsockname()[1]
            try:
                for number in range(1, self.ranks.count):
                    ours, theirs = context.Pipe()
                    variables = environment(Ranks(number, self.ranks.count), port)
                    process = context.Process(target=enter, args=(text, variables, os.getpid(), theirs))
                    process.start()
                    theirs.close()  # the peer holds the only open end: when it ends, reading ends
                    self._peers.append(Peer(number, process, ours))
            except OSError:  # no room for another process
                self._end(0.0)
                raise
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        found = None
        if isinstance(error, Exception) and not isinstance(error, RankError | InterruptedRunError | TimeLimitError):
            patience_s = CAUSE_S if classify(error) == "crashed" else 0.0
            found = cause(self._peers, self._failed_ns or time.monotonic_ns(), patience_s, self._kills)
        self._end(ENDING_S if error is None else 0.0)
        if found is not None:
            raise found  # with rank 0's own error as its context, for the log

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Be rank 0 inside; alone there is nothing to join.

        Raises:
            RankError: a peer failed before it was ready.
        """
        if self._listener is None:
            yield
            return
        for peer in self._peers:
            self._wait_until_ready(peer)
        with joined(self.ranks, device, open_store(self._listener)) as break_off:
            if BACKENDS[device.type] == "nccl":  # gloo notices by itself that a peer is gone
                watch = (break_off, [peer.process for peer in self._peers])
                threading.Thread(target=call_when_one_fails, args=watch, daemon=True).start()
            try:
                yield
            except BaseException:
                self._failed_ns = time.monotonic_ns()
                raise

    def begin(self, position: Position) -> None:
        """Tell the peers where training begins."""
        for peer in self._peers:
            peer.link.send_bytes(Begin.at(position).model_dump_json().encode())

    def _end(self, patience_s: float) -> None:
        """End the peers and wait for them; those that are done with their work get the time to leave by themselves."""
        end_s = time.monotonic() + patience_s
        for peer in self._peers:
            peer.process.join(max(0.0, end_s - time.monotonic()))
        for peer in self._peers:
            peer.process.kill()
        for peer in self._peers:
            peer.process.join()
            peer.link.close()
        if self._listener is not None:
            self._listener.close()

    def _wait_until_ready(self, peer: Peer) -> None:
        """Wait until a peer is about to join: from then on rank 0 notices its end.

        Raises:
            RankError: it failed before.
        """
        if not peer.link.poll(READY_S):
            raise RankError("crashed", f"rank {peer.number} was not ready after {READY_S:.0f} s")
        said = said_by(peer)
        if said is None:
            peer.process.join(CAUSE_S)
            raise death(peer, self._kills)
        if said.status is not None:
            raise RankError(said.status, f"rank {peer.number}: {said.words}")


def _context() -> ForkContext | SpawnContext:
    """Return how peers start. Rank 0 was itself forked from a server without threads, and has started none yet."""
    return multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")


def call_when_one_fails(action: Callable[[], None], processes: Sequence[BaseProcess]) -> None:
    """Wait until all processes have ended; call the action at once where one of them ends badly.

    nccl does not notice that a peer is gone: rank 0 would wait on the device until a timeout of half an hour.
    """
    running = list(processes)
    while running:
        wait([process.sentinel for process in running])
        if any(process.exitcode for process in running):
            action()
            return
        running = [process for process in running if process.exitcode is None]
