"""The other ranks of a run as rank 0 sees them: processes that it starts, tells where to begin, and ends."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

import torch

from resnet18.execution.job import Job
from resnet18.execution.kernel import oom_kills
from resnet18.execution.worker_ending import RankError, classify
from resnet18.execution.worker_peer import Begin, Said, enter
from resnet18.training.ranks import BACKENDS, Ranks, environment, joined, listen, open_store
from resnet18.training.results import Position

CAUSE_S = 2.0
"""How long rank 0 looks for the cause of an error that it cannot explain: whoever died first is known by then."""
ENDING_S = 5.0
"""How long a peer may take to leave after its last epoch."""
READY_S = 60.0
"""How long a peer may take to find its device."""


@dataclass(frozen=True)
class Peer:
    """One of the other ranks."""

    number: int
    process: BaseProcess
    link: Connection


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
        cause = None
        if isinstance(error, Exception) and not isinstance(error, RankError):
            patience_s = CAUSE_S if classify(error) == "crashed" else 0.0
            cause = self._cause(self._failed_ns or time.monotonic_ns(), patience_s)
        self._end(ENDING_S if error is None else 0.0)
        if cause is not None:
            raise cause  # with rank 0's own error as its context, for the log

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
        said = _said(peer)
        if said is None:
            peer.process.join(CAUSE_S)
            raise self._death(peer)
        if said.status is not None:
            raise RankError(said.status, f"rank {peer.number}: {said.words}")

    def _cause(self, before_ns: int, patience_s: float) -> RankError | None:
        """Return the failure of a peer that came first, None where rank 0's own did.

        One that was killed comes before all that others said: they met its absence. A peer speaks before it leaves, so
        that only the news of a kill can be late.
        """
        end_s, words = time.monotonic() + patience_s, list[tuple[Peer, Said]]()
        while True:
            dead = [peer for peer in self._peers if peer.process.exitcode is not None]  # before what they said is read
            words += [(peer, said) for peer in self._peers for said in _all_said(peer)]
            if killed := [peer for peer in dead if (peer.process.exitcode or 0) < 0]:
                return self._death(killed[0])
            cause = _first([one for one in words if one[1].at_ns < before_ns])
            left_s, alive = end_s - time.monotonic(), [one.process.sentinel for one in self._peers if one not in dead]
            if left_s <= 0 or not alive or (cause is not None and cause.status != "crashed"):
                break
            wait(alive, left_s)
        silent = [peer for peer in dead if peer.process.exitcode and peer not in [one for one, _ in words]]
        return cause or (self._death(silent[0]) if silent else None)

    def _death(self, peer: Peer) -> RankError:
        """Return the failure of a peer that ended without a word."""
        code = peer.process.exitcode
        if code is None or code >= 0:
            return RankError("crashed", f"rank {peer.number} ended with exit code {code}")
        kills = oom_kills()
        if code == -signal.SIGKILL and self._kills is not None and kills is not None and kills > self._kills:
            return RankError("oom_host", f"the kernel killed rank {peer.number}: memory had run out")
        return RankError("crashed", f"rank {peer.number} was killed by {signal.Signals(-code).name}")


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


def _first(words: Sequence[tuple[Peer, Said]]) -> RankError | None:
    if not words:
        return None
    peer, said = min(words, key=lambda one: one[1].at_ns)
    return RankError(said.status or "crashed", f"rank {peer.number}: {said.words}")


def _all_said(peer: Peer) -> Iterator[Said]:
    """Yield what a peer has said of its failure and nobody has read yet."""
    while peer.link.poll() and (said := _said(peer)) is not None:
        if said.status is not None:
            yield said


def _said(peer: Peer) -> Said | None:
    """Return a peer's next message, None where it has ended."""
    try:
        return Said.model_validate_json(peer.link.recv_bytes())
    except (EOFError, OSError):  # OSError: it was killed in the middle of a message
        return None
