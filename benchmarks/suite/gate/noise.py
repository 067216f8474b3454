"""What a simulated check measures: noise of accuracies, times and memory, and a change of the first case."""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from judged import Floats

CASES = 3
MEMORY = 500e6
"""Bytes of a usual peak."""
PAGE, HUGE_PAGE, ARENA = 4096, 1 << 21, 1 << 26
SHARE_SLOWED, SLOWED = 0.15, 0.35
DRIFT = 0.2
"""Of a machine over one job."""


@dataclass(frozen=True)
class Noise:
    """How values scatter where no code changed."""

    name: str
    accuracy: str = "normal"
    times: str = "normal"
    memory: str = "pages"
    sigma: float = 3.5
    """Of one run's accuracy, points."""
    time: float = 0.03
    """Standard deviation of one run's log time."""
    bytes: float = 0.001
    """The same of its peak memory."""
    step: float = 0.0
    """Of accuracies, points; 0.1 where there are 1,000 images. 0: none."""
    shared: float | None = None
    """Correlation of equal seeds of baseline and head; none are equal if left out."""


@dataclass(frozen=True)
class Change:
    """What the head does to the first case, or to all."""

    points: float = 0.0
    """That accuracy falls by."""
    runs: float = 1.0
    """Share of the seeds that fall."""
    wider: float = 1.0
    """Factor of sigma."""
    slower: float = 0.0
    """Percent."""
    larger: float = 0.0
    everywhere: bool = False


NOTHING = Change()


def accuracies(random: np.random.Generator, noise: Noise, size: tuple[int, int, int]) -> tuple[Floats, Floats]:
    """Return old and new accuracies, percent, around 50.

    Args:
        random: the source.
        noise: of accuracies.
        size: checks, old seeds, new seeds.
    """
    checks, before, after = size
    old = _errors(random, noise.accuracy, (checks, CASES, before))
    new = _errors(random, noise.accuracy, (checks, CASES, after))
    if noise.shared is not None:
        new = noise.shared * old[..., :after] + sqrt(1 - noise.shared**2) * new
    return _rounded(50 + noise.sigma * old, noise.step), _rounded(50 + noise.sigma * new, noise.step)


def _errors(random: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Floats:
    """Return errors whose standard deviation is 1, but for a lower tail, which comes on top."""
    if kind == "t3":
        return random.standard_t(3, shape) / sqrt(3)
    if kind == "exponential":
        return -random.standard_exponential(shape)
    errors = random.standard_normal(shape)
    if kind == "lower tail":
        errors -= 4 * (random.random(shape) < 1 / 20)
    return errors


def _rounded(values: Floats, step: float) -> Floats:
    return np.round(values / step) * step if step else values


def log_times(random: np.random.Generator, noise: Noise, checks: int, pairs: int) -> Floats:
    """Return the logarithms of head by base, of pairs in turns: the base begins even pairs, the head odd ones."""
    shape = (checks, CASES, pairs, 2)
    kind = "t3" if noise.times == "t3" else "normal"
    logs = noise.time * _errors(random, kind, shape)
    if noise.times == "slowed":
        logs += np.log1p(SLOWED * random.random(shape)) * (random.random(shape) < SHARE_SLOWED)
    if noise.times in {"drift", "walk"}:
        logs += _in_turns(_machine(random, noise.times, checks, 2 * pairs * CASES), pairs)
    return logs[..., 1] - logs[..., 0]


def _machine(random: np.random.Generator, kind: str, checks: int, runs: int) -> Floats:
    """Return what the machine adds to each run of a job: a straight line, or a walk that ends as far off."""
    if kind == "drift":
        return np.log1p(DRIFT * np.arange(runs) / (runs - 1))[None, :]
    return np.cumsum(log(1 + DRIFT) / sqrt(runs) * random.standard_normal((checks, runs)), axis=1)


def _in_turns(job: Floats, pairs: int) -> Floats:
    """Give the runs of a job, side by side and all cases of a side, to case, pair, and base or head."""
    turns = job.reshape(len(job), pairs, 2, CASES).copy()
    turns[:, 1::2] = turns[:, 1::2, ::-1]
    return turns.transpose(0, 3, 1, 2)


def log_bytes(random: np.random.Generator, noise: Noise, checks: int, pairs: int, larger: Floats) -> Floats:
    """Return the logarithms of head by base, of peaks that come in whole pages.

    Args:
        random: the source.
        noise: of memory.
        checks: so many.
        pairs: so many.
        larger: factor of the head by case.
    """
    shape = (checks, CASES, pairs, 2)
    peaks = MEMORY * np.exp(noise.bytes * random.standard_normal(shape))
    if noise.memory == "arena":
        peaks += ARENA * (random.random(shape) < 1 / 8)
    peaks[..., 1] *= larger[:, None]
    page = HUGE_PAGE if noise.memory == "huge pages" else PAGE
    peaks = np.ceil(peaks / page) * page
    return np.log(peaks[..., 1] / peaks[..., 0])
