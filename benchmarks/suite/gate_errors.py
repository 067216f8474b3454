"""How often the regression check errs: made-up checks, judged as `resnet18 check` judges, and counted.

    python benchmarks/suite/gate_errors.py [--to FOLDER] [--equal N] [--changed N]

Thresholds are those of benchmarks/suite/regress.toml. Writes gate.json (the figures) and gate.md (a page of them).
Arrays have a row for each check and a column for each case; values by seed are the last axis.
"""

import argparse
import json
from dataclasses import dataclass
from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr
from scipy.stats import binomtest
from tabulate import tabulate

from resnet18.gate.check import RESOLUTION
from resnet18.spec.benchmark import Gate
from resnet18.spec.load import load_benchmark

SPEC = Path(__file__).with_name("regress.toml")
CASES, METRICS = 3, ("accuracy", "time", "memory")
SEEDS = (3, 5, 8, 12, 20)
CHUNK = 80_000
"""Seeds drawn at once: some tens of megabytes."""
MEMORY, PAGE, HUGE_PAGE, ARENA = 500e6, 4096, 1 << 21, 1 << 26
"""Bytes of a usual peak, and the steps that it comes in."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """How values scatter where no code changed, and what the head does to the first case."""

    name: str
    accuracy: str = "normal"
    times: str = "normal"
    memory: str = "pages"
    sigma: float = 3.5
    time: float = 0.03
    bytes: float = 0.001
    """Standard deviations of one run's accuracy (points), log time and log peak memory."""
    step: float = 0.0
    """Of accuracies, in points; 0.1 where there are 1,000 test images. 0: none."""
    drop: float = 0.0
    slower: float = 0.0
    larger: float = 0.0
    """What changes: accuracy (points), time and memory (percent)."""
    slowed: int = 1
    """Cases of which the time changes; of accuracy and memory it is the first alone."""


EQUAL = (
    World("normal"),
    World("normal, times scatter by 6 %", time=0.06),
    World("heavy tails (t, 3 degrees of freedom) of accuracies and times", accuracy="t3", times="t3"),
    World("accuracies with a lower tail (1 run in 20 falls by 4 sigma)", accuracy="tail"),
    World("skewed accuracies (exponential, downwards)", accuracy="exponential"),
    World("accuracies in steps of 0.1 points, sigma 0.05 points", sigma=0.05, step=0.1),
    World("15 % of runs slowed by up to 35 %", times="slowed"),
    World("memory in steps of 2 MiB", memory="huge pages"),
    World("memory: 1 run in 8 holds 64 MiB more", memory="arena"),
    World("lower tail, slowed runs and 64 MiB more at once", accuracy="tail", times="slowed", memory="arena"),
)
CHANGED = (
    ("accuracy", World("accuracy falls by 2 sigma", drop=7.0)),
    ("accuracy", World("accuracy falls by 1 point, sigma 1 point", sigma=1.0, drop=1.0)),
    ("time", World("training takes 10 % longer, 3 % a run", slower=10.0)),
    ("time", World("the same, 15 % of runs slowed by up to 35 %", times="slowed", slower=10.0)),
    ("time", World("training takes 10 % longer, 6 % a run", time=0.06, slower=10.0)),
    ("time of all", World("training of every case takes 10 % longer, 6 % a run", time=0.06, slower=10.0, slowed=CASES)),
    ("time of all", World("the same, 10 % a run", time=0.1, slower=10.0, slowed=CASES)),
    ("memory", World("peak memory grows by 2 %, 0.3 % a run", bytes=0.003, larger=2.0)),
    ("memory", World("peak memory grows by 5 %, 1 % a run", bytes=0.01, larger=5.0)),
    ("memory", World("the same, 1 run in 8 holds 64 MiB more", memory="arena", larger=5.0)),
)


def _errors(random: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Floats:
    """Return errors whose standard deviation is 1, but for a lower tail, which comes on top."""
    if kind == "t3":
        return random.standard_t(3, shape) / sqrt(3)
    if kind == "exponential":
        return -random.standard_exponential(shape)
    fallen = 4 * (random.random(shape) < 1 / 20) if kind == "tail" else 0.0
    return np.asarray(random.standard_normal(shape) - fallen)


def accuracies(random: np.random.Generator, world: World, checks: int, seeds: int) -> tuple[Floats, Floats]:
    """Return accuracies in percent of a baseline of twice the seeds, and of the head."""
    old, new = (50 + world.sigma * _errors(random, world.accuracy, (checks, CASES, n)) for n in (2 * seeds, seeds))
    new[:, 0] -= world.drop
    if world.step:
        old, new = (np.round(side / world.step) * world.step for side in (old, new))
    return old, new


def log_times(random: np.random.Generator, world: World, checks: int, pairs: int) -> Floats:
    """Return the logarithms of head by base, of pairs that ran at the same time: what slows both is not simulated."""
    shape = (checks, CASES, pairs, 2)
    logs = world.time * _errors(random, "t3" if world.times == "t3" else "normal", shape)
    if world.times == "slowed":
        logs += np.log1p(0.35 * random.random(shape)) * (random.random(shape) < 0.15)
    logs[:, : world.slowed, :, 1] += log(1 + world.slower / 100)
    return np.asarray(logs[..., 1] - logs[..., 0])


def log_bytes(random: np.random.Generator, world: World, checks: int, pairs: int) -> Floats:
    """Return the logarithms of head by base, of peaks that come in whole pages."""
    shape = (checks, CASES, pairs, 2)
    peaks = MEMORY * np.exp(world.bytes * random.standard_normal(shape))
    if world.memory == "arena":
        peaks += ARENA * (random.random(shape) < 1 / 8)
    peaks[:, 0, :, 1] *= 1 + world.larger / 100
    page = HUGE_PAGE if world.memory == "huge pages" else PAGE
    peaks = np.ceil(peaks / page) * page
    return np.asarray(np.log(peaks[..., 1] / peaks[..., 0]))


def p_of_change(old: Floats, new: Floats, step: float) -> Floats:
    """Return the p of `check.prediction`, for all checks and cases at once."""
    n, k = old.shape[-1], new.shape[-1]
    squares = (n - 1) * old.var(-1, ddof=1) + (k - 1) * new.var(-1, ddof=1)
    se = np.sqrt(np.maximum(squares / (n + k - 2), step**2 / 12) * (1 / k + 1 / n))
    gap = np.abs(new.mean(-1) - old.mean(-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(n + k - 2, -gap / se)
    return np.where(se == 0, np.where(gap == 0, 1.0, 0.0), p)


def p_of_growth(logs: Floats, overlooked_percent: float) -> Floats:
    """Return the p of `check.growth` beyond what is overlooked."""
    se = np.maximum(logs.std(-1, ddof=1), RESOLUTION / sqrt(12)) / sqrt(logs.shape[-1])
    return np.asarray(stdtr(logs.shape[-1] - 1, (log(1 + overlooked_percent / 100) - logs.mean(-1)) / se))


def alarms(ps: Floats, rate: float) -> NDArray[np.bool_]:
    """Return what Holm's procedure rejects in each row."""
    order = np.argsort(ps, axis=-1)
    levels = rate / np.arange(ps.shape[-1], 0, -1)
    passed = np.logical_and.accumulate(np.take_along_axis(ps, order, -1) <= levels, axis=-1)
    found = np.empty_like(passed)
    np.put_along_axis(found, order, passed, -1)
    return found


def counted(random: np.random.Generator, gate: Gate, world: World, seeds: int, checks: int) -> NDArray[np.int64]:
    """Return in how many checks a metric of a case alarms (cases by metrics), the time of all cases, and any."""
    hits = np.zeros(CASES * len(METRICS) + 2, dtype=np.int64)
    for start in range(0, checks, at_once := max(1, CHUNK // seeds)):
        size = min(at_once, checks - start)
        times = log_times(random, world, size, seeds)
        ps = [
            p_of_change(*accuracies(random, world, size, seeds), world.step),
            p_of_growth(times, gate.slower_percent),
            p_of_growth(log_bytes(random, world, size, seeds), gate.larger_percent),
        ]
        of_all = p_of_growth(times.reshape(size, -1), gate.slower_percent)
        every = np.column_stack([np.stack(ps, axis=-1).reshape(size, -1), of_all])
        found = alarms(every, gate.false_alarm_rate)
        hits += [*found.sum(0), found.any(1).sum()]
    return hits


def figures(equal: int, changed: int) -> dict[str, Any]:
    """Return in how many simulated checks anything is found where no code changed, and a change by seeds."""
    gate = load_benchmark(SPEC).gate or Gate()
    false_alarms, found = dict[str, int](), dict[str, dict[str, int]]()
    for world in EQUAL:
        false_alarms[world.name] = int(counted(np.random.default_rng(0), gate, world, gate.seeds, equal)[-1])
    for metric, world in CHANGED:
        for seeds in SEEDS:
            hits = counted(np.random.default_rng(0), gate, world, seeds, changed)
            of_case = metric in METRICS
            found.setdefault(world.name, {})[str(seeds)] = int(hits[METRICS.index(metric) if of_case else -2])
    about = {"gate": gate.model_dump(mode="json"), "checks": {"equal": equal, "changed": changed}}
    return {**about, "false_alarms": false_alarms, "found": found}


MARKDOWN = """# How often the regression check errs

Made by `python benchmarks/suite/gate_errors.py`; the counts are in gate.json beside this page. Checks are made up,
judged as `resnet18 check` judges, and counted: % of checks, in brackets Wilson's 95 % interval.

A check has three cases of three metrics and the time of all cases together, {seeds} seeds and a baseline of twice as
many; it overlooks {slower_percent:g} % of time and {larger_percent:g} % of memory. If nothing else is said, a run's
accuracy scatters by 3.5 points, its time by 3 %, its memory by 0.1 %. Where the bits are equal, accuracies are not
judged: seven tests are left, and both rates are better than here.

## No code changed

Checks that find anything; declared are at most {declared:g} %. {equal:,} checks a row.

{false_alarms}

## The first of three cases changed, or the time of all

Checks that find it, by seeds of the head (pairs for costs). {changed:,} checks each.

{found}
"""


def page(figures: dict[str, Any]) -> str:
    """Return the figures as markdown."""
    gate, checks = figures["gate"], figures["checks"]
    quiet = [[name, share(hits, checks["equal"])] for name, hits in figures["false_alarms"].items()]
    found = [
        [name, *(share(hits, checks["changed"]) for hits in by_seeds.values())]
        for name, by_seeds in figures["found"].items()
    ]
    return MARKDOWN.format(
        **gate,
        **checks,
        declared=100 * gate["false_alarm_rate"],
        false_alarms=tabulate(quiet, ["how values scatter", "false alarms"], "github"),
        found=tabulate(found, ["change", *(f"n = {seeds}" for seeds in SEEDS)], "github"),
    )


def share(hits: int, of: int) -> str:
    """Return a share in percent with Wilson's 95 % interval."""
    low, high = binomtest(hits, of).proportion_ci(method="wilson")
    return f"{100 * hits / of:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


def main() -> None:
    """Simulate, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--equal", type=int, default=200_000, help="checks of equal codes in each scenario")
    parser.add_argument("--changed", type=int, default=20_000, help="checks of each change")
    parser.add_argument("--to", type=Path, default=Path("results/local"), help="folder for gate.json and gate.md")
    asked = parser.parse_args()
    found = figures(asked.equal, asked.changed)
    asked.to.mkdir(parents=True, exist_ok=True)
    (asked.to / "gate.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (asked.to / "gate.md").write_text(page(found), encoding="utf-8")
    print(page(found))  # noqa: T201 - a script


if __name__ == "__main__":
    main()
