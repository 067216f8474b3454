"""`--jobs N`: several runners at once, each on processors of its own, in one results directory.

Each is the command itself, told its processors. The locks of the runs share the work out, and a runner that has come to
its end leaves what others are still at. Runs whose time is the point of their table are left to whoever comes after.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from resnet18.spec.errors import SpecError
from resnet18.spec.plan import Plan


def shares(jobs: int, processors: Collection[int]) -> list[list[int]]:
    """Return the processors of each of so many runners: shared out evenly, without overlap.

    Raises:
        SpecError: fewer processors than runners, whose threads would stand in each other's way.
    """
    if not 1 <= jobs <= len(processors):
        raise SpecError(f"--jobs {jobs}", "there is a runner to a processor", allowed=[f"1 to {len(processors)}"])
    ours, each = sorted(processors), len(processors) // jobs
    return [ours[number * each : (number + 1) * each] for number in range(jobs)]


def run_side_by_side(groups: Sequence[Sequence[int]], arguments: Sequence[str], only: Sequence[str] = ()) -> None:
    """Start a runner on each group of processors, and wait for the last; they print as they go on.

    Args:
        groups: numbers of processors.
        arguments: of the command line, after the program's name.
        only: more of them, which leave out what a budget left out.
    """
    command = [sys.executable, "-m", "resnet18", *arguments, *only, "--on-processors"]
    # Groups of their own: Ctrl-C reaches this process alone, which passes it on once; twice would end them at once.
    runners = [subprocess.Popen([*command, ",".join(map(str, group))], process_group=0) for group in groups]
    try:
        for runner in runners:
            runner.wait()
    except (KeyboardInterrupt, SystemExit):
        for runner in runners:
            with suppress(ProcessLookupError):
                runner.send_signal(signal.SIGTERM)
        for runner in runners:
            runner.wait()
        raise


def pin(text: str) -> None:
    """Keep this process, and all that it starts, to the processors that `--on-processors` names.

    Raises:
        SpecError: no list of processors that this process may use.
    """
    try:
        os.sched_setaffinity(0, {int(number) for number in text.split(",")})
    except (ValueError, OverflowError, OSError, AttributeError):
        raise SpecError(f"--on-processors {text}", "these cannot be used", allowed=["numbers, as in 0,1"]) from None


def without_timed_runs(plan: Plan) -> Plan:
    """Return a plan without the runs whose times are compared: those need the machine for themselves."""
    return replace(plan, runs=tuple(run for run in plan.runs if not run.is_timed))
