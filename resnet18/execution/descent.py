"""A child process ends with its parent, however that one died (Linux; elsewhere a pipe that closes tells)."""

import ctypes
import os
import signal
import sys


def die_with_the_parent(parent: int | None = None) -> None:
    """Ask Linux to kill this process when its parent ends.

    Args:
        parent: the parent's number, where it is known: if that one has died already, so does this process now.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
