"""Two sides in turns, and what their turns say."""

import math
import multiprocessing
import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from scipy.stats import t as student
from sides import Turn, serve
from workloads import Workload

CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Ratio:
    """Geometric mean over the rounds, with Student's 95 % interval of the logarithms."""

    value: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Comparison:
    """Rates are medians over the rounds, in images/s."""

    reference_rate: float
    fast_rate: float
    ratio: Ratio
    data_wait_share: float
    """Of the fast side's time."""
    fast_peak_bytes: int
    """Resident memory of the fast side; the largest of its processes."""
    parameters: int


@contextmanager
def side(kind: str, workload: Workload, processes: int = 1) -> Iterator[list[Connection]]:
    """Start the processes of a side, warm; several of them have processors of their own."""
    ours = sorted(os.sched_getaffinity(0))
    each = len(ours) // processes
    children, ends = [], []
    for number in range(processes):
        end, other = CONTEXT.Pipe()
        own = tuple(ours[number * each : (number + 1) * each]) if processes > 1 else ()
        child = CONTEXT.Process(target=serve, args=(other, kind, workload, own))
        child.start()
        children.append(child)
        ends.append(end)
    for end in ends:
        end.recv()
    try:
        yield ends
    finally:
        for end in ends:
            end.send(None)
        for child in children:
            child.join()


def turn(ends: list[Connection], steps: int) -> list[Turn]:
    """Let all processes of a side train at once."""
    for end in ends:
        end.send(steps)
    return [end.recv() for end in ends]


def rate(turns: list[Turn]) -> float:
    """Return the images/s of the processes together."""
    return sum(one.images / one.seconds for one in turns)


def compare(workload: Workload, rounds: int, kinds: tuple[str, str] = ("reference", "suite")) -> Comparison:
    """Measure both sides in turns; the order alternates."""
    with side(kinds[0], workload) as theirs, side(kinds[1], workload, workload.processes) as ours:
        first, second = [], []
        for number in range(rounds):
            for which in (0, 1) if number % 2 == 0 else (1, 0):
                (first, second)[which].append(turn((theirs, ours)[which], workload.steps))
    wait = sum(one.data_wait_s for turns in second for one in turns)
    last = second[-1]
    return Comparison(
        reference_rate=statistics.median(map(rate, first)),
        fast_rate=statistics.median(map(rate, second)),
        ratio=ratio_of([rate(one) for one in first], [rate(one) for one in second]),
        data_wait_share=wait / sum(one.seconds for turns in second for one in turns),
        fast_peak_bytes=max(one.peak_bytes for one in last),
        parameters=last[0].parameters,
    )


def ratio_of(below: list[float], above: list[float]) -> Ratio:
    """Return the ratio of pairs of rates."""
    logs = [math.log(upper / lower) for upper, lower in zip(above, below, strict=True)]
    half = float(student.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    middle = statistics.fmean(logs)
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half), len(logs))
