"""Leases of GPUs: where a machine has several, each run gets its own, whoever else is running there.

A lease is a lock file beside the data, held by the runner for as long as the run goes on; the kernel lets go of it when
the runner ends, however it ends.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from filelock import FileLock, Timeout

from resnet18.spec.data import data_home

LOOK_S = 0.2
"""How often a waiting runner looks whether a GPU has become free."""


@contextmanager
def gpu_leased(names: Sequence[str]) -> Iterator[str | None]:
    """Hold one of the GPUs, waiting until one is free; yield its name.

    Args:
        names: by which CUDA_VISIBLE_DEVICES may call them. With fewer than two there is nothing to choose.
    """
    if len(names) < 2:
        yield None
        return
    (data_home() / "gpus").mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        while (name := _take(names, held)) is None:
            time.sleep(LOOK_S)
        yield name


def _take(names: Sequence[str], held: ExitStack) -> str | None:
    """Hold the first GPU that is free, and return its name; None where none is."""
    for name in names:
        try:
            held.enter_context(FileLock(data_home() / "gpus" / f"{name.replace('/', '_')}.lock", timeout=0))
        except Timeout:
            continue
        return name
    return None
