"""Several processes that train one network: which images each of them takes, and what they tell one another.

Rank r of N takes the r-th of N contiguous parts of every batch. Whatever is added up over ranks is added up in their
order, so that equal runs give equal bits.
"""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]  # which torch does export
from torch.nn.parallel import DistributedDataParallel

from resnet18.spec.experiment import Execution

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
"""What carries tensors between ranks, by kind of device."""
LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = {"linux": "lo", "darwin": "lo0"}
JOINING_LIMIT = timedelta(minutes=5)
"""How long a rank waits for the others to come: rank 0 may compile kernels meanwhile."""
STEP_LIMIT = timedelta(minutes=30)
"""How long a rank waits for another within a step: a checkpoint on a slow disk, images from a slow loader."""


@dataclass(frozen=True)
class Ranks:
    """One of the processes that train a network together."""

    number: int = 0
    count: int = 1


ALONE = Ranks()


def environment(ranks: Ranks, port: int) -> dict[str, str]:
    """Return the variables that torchrun gives a process of one machine."""
    return {
        "RANK": str(ranks.number),
        "LOCAL_RANK": str(ranks.number),
        "WORLD_SIZE": str(ranks.count),
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(port),
    }


def listen() -> socket.socket:
    """Return a socket that listens on a free port, which nobody can take from then on, and no other machine reach."""
    return socket.create_server((LOOPBACK, 0))


def open_store(listener: socket.socket) -> TCPStore:
    """Return rank 0's store, which answers on a socket of the loopback interface that listens already."""
    port: int = listener.getsockname()[1]
    return TCPStore(LOOPBACK, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach())


def store_of_environment() -> TCPStore:
    """Return another rank's view of that store, found by torchrun's variables."""
    return TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timeout=JOINING_LIMIT)


@contextmanager
def joined(ranks: Ranks, device: torch.device, store: Store) -> Iterator[Callable[[], None]]:
    """Be one of the ranks inside; gives what breaks the group off, for a thread that sees another rank fail.

    Where the inside fails the group is broken off: the others' next word fails too.

    Raises:
        RuntimeError: another rank did not come.
    """
    if device.type == "cpu" and sys.platform in LOOPBACK_NAMES:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK_NAMES[sys.platform])
    dist.init_process_group(
        BACKENDS[device.type], store=store, rank=ranks.number, world_size=ranks.count, timeout=JOINING_LIMIT
    )
    group = dist.distributed_c10d._get_default_group()  # noqa: SLF001 - `dist.group.WORLD` is typed as maybe absent
    group.set_timeout(STEP_LIMIT)
    try:
        yield group.abort
    except BaseException:
        with suppress(Exception):  # the first error counts
            group.abort()  # which waits for nobody
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def parallel(model: nn.Module) -> nn.Module:
    """Return the network that is called in training: its gradients are means over the ranks.

    Running statistics are each rank's own until they are shared (`share_buffers`): training does not read them.
    """
    # `find_unused_parameters` keeps the buckets of the first step: torch would arrange them anew after it, three ranks
    # and more add up in an order that depends on the place in a bucket, and a run that goes on would lose its bits.
    return DistributedDataParallel(model, forward_sync_buffers=False, find_unused_parameters=True)


def part(total: int, ranks: Ranks) -> slice:
    """Return the rank's part of so many things: contiguous, in order, the sizes equal or the first ones one larger."""
    each, more = divmod(total, ranks.count)
    start = ranks.number * each + min(ranks.number, more)
    return slice(start, start + each + (ranks.number < more))


def shard(order: NDArray[np.int64], batch_size: int, ranks: Ranks) -> tuple[NDArray[np.int64], int]:
    """Return what a rank takes of an epoch, and how many of these images are its part of a full batch.

    A part of a short last batch is never larger, so that cutting by that number gives the parts of all batches.

    Args:
        order: indices [n] of the images that are left of the epoch.
        batch_size: of all ranks together.
        ranks: which of them.
    """
    if ranks.count == 1:
        return order, batch_size
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    own = [batch[part(len(batch), ranks)] for batch in batches]
    of_a_full_batch = part(batch_size, ranks)
    return np.concatenate([order[:0], *own]), of_a_full_batch.stop - of_a_full_batch.start


def summed(tensor: Tensor, ranks: Ranks) -> Tensor:
    """Add a tensor up over the ranks, in place, and return it. 0 on all ranks but one keeps that one's bits."""
    if ranks.count > 1:
        dist.all_reduce(tensor)
    return tensor


def of_all(tensor: Tensor, ranks: Ranks) -> Tensor:
    """Return [ranks, *shape]: a tensor as each rank has it."""
    rows = torch.zeros(ranks.count, *tensor.shape, dtype=tensor.dtype, device=tensor.device)
    rows[ranks.number] = tensor
    return summed(rows, ranks)


def share_buffers(model: nn.Module, ranks: Ranks) -> None:
    """Give all ranks the running statistics of rank 0."""
    if ranks.count > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def ranks_numerics(execution: Execution, device: torch.device) -> dict[str, str | int | bool]:
    """Return what several ranks add to the numerics fingerprint."""
    if execution.ranks == 1:
        return {}
    return {"ranks": execution.ranks, "ranks_backend": BACKENDS[device.type]}
