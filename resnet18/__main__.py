"""`python -m resnet18` is the command `resnet18`: signals are heard before anything is imported that takes time."""

import os
import select
import signal
import sys
from contextlib import suppress
from math import inf
from time import monotonic
from types import FrameType

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command."""
APART_S = 1.0
"""Signals that are not so far apart count as one."""


def call() -> None:
    """Carry the command out; where the package cannot be imported, end with 5: Python's 1 is for a regression."""
    try:
        from resnet18.cli.app import call as command  # noqa: PLC0415 - so that its errors are caught
    except Exception as error:  # noqa: BLE001 - whatever a module raises
        sys.stderr.write(
            f"error: the package cannot be imported: {error!r}\n  next: pip install -e . (or: make test)\n"
        )
        sys.exit(5)
    command()


def leave_stuck_readers() -> None:
    """Print nothing more where nobody reads, as behind `less` or Ctrl-S: a full pipe would hold the end up."""
    for stream in (1, 2):
        with suppress(OSError):  # it is closed
            if not select.select([], [stream], [], 0)[1]:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def main() -> None:
    """Run the command. SIGINT, SIGTERM and SIGHUP end it by an interrupt: runs are recorded as interrupted.

    One that was ignored before, as by `nohup`, is ignored, and so are those that come right after another: `timeout`
    sends two, and what they end must not be broken off. At the end none is heard any more: the exit code is that of the
    first, and the children of the command are gone.
    """
    heard, ended, raised_s = list[int](), list[bool](), [-inf]

    def stop(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        if not ended and monotonic() - raised_s[-1] > APART_S:
            raised_s.append(monotonic())
            leave_stuck_readers()
            raise KeyboardInterrupt

    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        call()
    finally:
        ended.append(True)
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)  # first: Python complains of one that it can no longer answer
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        if heard:
            sys.exit(128 + heard[0])


if __name__ == "__main__":
    main()
