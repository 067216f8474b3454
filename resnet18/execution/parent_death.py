"""A child process ends with its parent, however that one died (Linux; elsewhere a pipe that closes tells)."""

import ctypes
import signal
import sys


def die_with_the_parent() -> None:
    """Ask Linux to kill this process when its parent ends."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
