"""Which rank failed first: what peers have said before they left, and how those ended that said nothing."""

import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from resnet18.execution.kernel import oom_kills
from resnet18.execution.worker_ending import RankError
from resnet18.execution.worker_peer import Said

CAUSE_S = 2.0
"""How long rank 0 looks for the cause of an error that it cannot explain: whoever died first is known by then."""


@dataclass(frozen=True)
class Peer:
    """One of the other ranks."""

    number: int
    process: BaseProcess
    link: Connection


def cause(peers: Sequence[Peer], before_ns: int, patience_s: float, kills: int | None) -> RankError | None:
    """Return the failure of a peer that came first, None where rank 0's own did.

    One that was killed comes before all that others said: they met its absence. A peer speaks before it leaves, so
    that only the news of a kill can be late.

    Args:
        peers: all of them.
        before_ns: when rank 0 met its error. What a peer says after that is a consequence.
        patience_s: how long to look, in seconds.
        kills: how many processes the kernel had killed for want of memory before the run.
    """
    end_s, words = time.monotonic() + patience_s, list[tuple[Peer, Said]]()
    while True:
        dead = [peer for peer in peers if peer.process.exitcode is not None]  # before what they said is read
        words += [(peer, said) for peer in peers for said in _all_said(peer)]
        if killed := [peer for peer in dead if (peer.process.exitcode or 0) < 0]:
            return death(killed[0], kills)
        first = _first([one for one in words if one[1].at_ns < before_ns])
        left_s, alive = end_s - time.monotonic(), [one.process.sentinel for one in peers if one not in dead]
        if left_s <= 0 or not alive or (first is not None and first.status != "crashed"):
            break
        wait(alive, left_s)
    silent = [peer for peer in dead if peer.process.exitcode and peer not in [one for one, _ in words]]
    return first or (death(silent[0], kills) if silent else None)


def death(peer: Peer, kills: int | None) -> RankError:
    """Return the failure of a peer that ended without a word."""
    code = peer.process.exitcode
    if code is None or code >= 0:
        return RankError("crashed", f"rank {peer.number} ended with exit code {code}")
    now = oom_kills()
    if code == -signal.SIGKILL and kills is not None and now is not None and now > kills:
        return RankError("oom_host", f"the kernel killed rank {peer.number}: memory had run out")
    return RankError("crashed", f"rank {peer.number} was killed by {signal.Signals(-code).name}")


def _first(words: Sequence[tuple[Peer, Said]]) -> RankError | None:
    if not words:
        return None
    peer, said = min(words, key=lambda one: one[1].at_ns)
    return RankError(said.status or "crashed", f"rank {peer.number}: {said.words}")


def _all_said(peer: Peer) -> Iterator[Said]:
    """Yield what a peer has said of its failure and nobody has read yet."""
    while peer.link.poll() and (said := said_by(peer)) is not None:
        if said.status is not None:
            yield said


def said_by(peer: Peer) -> Said | None:
    """Return a peer's next message, None where it has ended."""
    try:
        return Said.model_validate_json(peer.link.recv_bytes())
    except (EOFError, OSError):  # OSError: it was killed in the middle of a message
        return None
