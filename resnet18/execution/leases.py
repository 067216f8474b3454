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
"""How often a waiting runner looks whether GPUs have become free."""


@contextmanager
def gpus_leased(names: Sequence[str], count: int) -> Iterator[str | None]:
    """Hold so many of the GPUs, waiting until they are free; yield them as CUDA_VISIBLE_DEVICES lists them.

    Args:
        names: by which CUDA_VISIBLE_DEVICES may call them. With fewer than two there is nothing to choose.
        count: how many; 0 for a run that uses none.
    """
    if len(names) < 2 or not 0 < count <= len(names):
        yield None
        return
    folder = data_home() / "gpus"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        while len(taken := _take(names, count, held)) < count:
            held.close()  # all or none: two runners with half of theirs would wait for each other
            time.sleep(LOOK_S)
        yield ",".join(taken)


def _take(names: Sequence[str], count: int, held: ExitStack) -> list[str]:
    """Hold the first GPUs that are free, and return them: fewer than asked for where too few are."""
    taken: list[str] = []
    for name in names:
        try:
            held.enter_context(FileLock(data_home() / "gpus" / f"{name.replace('/', '_')}.lock", timeout=0))
        except Timeout:
            continue
        taken.append(name)
        if len(taken) == count:
            break
    return taken
