"""How often verdicts err: made-up reports in which no claim is true, judged as `resnet18 report` judges, and counted.

    python benchmarks/suite/verdict_errors.py [--to FOLDER] [--reports N] [--jobs N]

A report has 24 arms and 18 claims: 9 that an arm is above another, 2 that two arms differ by less than a margin, one
that an arm is above a number, and 6 without runs. No claim is true, but each nearly is: the two means are equal, or as
far apart as the margin, or the mean is the number. Claims are judged at 3, 5 and 10 seeds, and a report is wrong where
one of them is ever supported. The exit code is 1 where more than 6 % of the reports of a world are wrong. A claim about
equal means may also be contradicted, which says that the other arm is above: the page counts this in a column.
"""

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from tabulate import tabulate

from resnet18.judge.checks import Comparison
from resnet18.judge.samples import Samples, priors_of
from resnet18.judge.verdict import CheckResult, p_of_claim
from resnet18.spec.claim import Difference
from resnet18.spec.experiment import TESTED_AT
from resnet18.tables.statistics import Region, holm_levels

ARMS, RUNS, EMPTY = 24, max(TESTED_AT), 6
MOST_WRONG = 0.06
COLLAPSE = 0.1
UP, NEAR = Region(low=0), Region(-20, 20)
CLAIMS = [*(((at, at + 1), UP) for at in range(0, 18, 2)), ((18, 19), NEAR), ((20, 21), NEAR), ((22,), UP)]
"""Arms, by number, and where their difference, or the only one's mean, is claimed to lie."""
ABOVE = Difference(kind="greater", metric="clean_accuracy", case="a", than="b")
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator], Floats]


class World(NamedTuple):
    """How the runs of arms scatter: an array [arms, seeds]."""

    name: str
    draw: Draw
    is_limited: bool = True
    """Whether more wrong reports than `MOST_WRONG` are an error of the rule."""


def _scaled(deviations: Callable[[np.random.Generator], Floats]) -> Draw:
    return lambda random: deviations(random)[:, None] * random.standard_normal((ARMS, RUNS))


def _two_wide_arms(_: np.random.Generator) -> Floats:
    deviations = np.ones(ARMS)
    deviations[[0, 2]] = 10.0  # of two claims: neighbours are compared
    return deviations


def _collapsing(random: np.random.Generator, *, arms: int = ARMS, epochs: int = 1) -> Floats:
    """Return runs of which one in ten epochs falls by 10 standard deviations; a run's value is the epochs' median."""
    falls = random.random((ARMS, RUNS, epochs)) < COLLAPSE
    falls[np.arange(ARMS) % (ARMS // arms) > 0] = False
    fallen = np.median(falls, axis=-1)
    chance = COLLAPSE if epochs == 1 else 3 * COLLAPSE**2 - 2 * COLLAPSE**3  # of a median of three
    shift = np.where(np.arange(ARMS) % (ARMS // arms) > 0, 0.0, 10 * chance)[:, None]  # its mean is 0 again
    return np.asarray(random.standard_normal((ARMS, RUNS)) - 10 * fallen + shift)


WORLDS = (
    World("equal standard deviations", _scaled(lambda _: np.ones(ARMS))),
    World("standard deviations log-uniform over a factor of 10", _scaled(lambda random: 10 ** random.random(ARMS))),
    World("standard deviations of 0.3 and 3", _scaled(lambda random: random.choice([0.3, 3.0], ARMS))),
    World("two arms with 10 times the standard deviation", _scaled(_two_wide_arms)),
    World("variances inverse chi-square, 1.5 df", _scaled(lambda random: np.sqrt(1.5 / random.chisquare(1.5, ARMS)))),
    World("t with 3 degrees of freedom", lambda random: random.standard_t(3, (ARMS, RUNS))),
    World("a run in ten collapses by 10 standard deviations", _collapsing),
    World("the same in a third of the arms", partial(_collapsing, arms=ARMS // 3), is_limited=False),
    World("the same, and a run's value is the median of three epochs", partial(_collapsing, arms=ARMS // 3, epochs=3)),
)


def comparisons(runs: Floats, looks: int, *, alone: bool = False) -> list[Comparison]:
    """Return what each claim of a report compares after so many interim analyses; `alone`: by Welch's t."""
    by_arm, seeds, found = runs.tolist(), list(TESTED_AT)[:looks], []
    priors = {} if alone else priors_of(by_arm)
    for arms, region in CLAIMS:
        samples = Samples({str(arm): by_arm[arm] for arm in arms}, priors)
        names = tuple(samples.by_case)
        estimates = {n: samples.estimate(names, [1, -1][: len(names)], n) for n in seeds}
        found.append(Comparison(ABOVE, names, "", region, "points", estimates))
    return found


def supported(parts: list[Comparison], *, or_contradicted: bool = False) -> list[bool]:
    """Return whether each claim is supported, or, where means are equal, decided either way."""
    ps = [*(p_of_claim([CheckResult(ABOVE, (part,))]) for part in parts), *[1.0] * EMPTY]
    found = [part.p_for <= level for part, level in zip(parts, holm_levels(ps), strict=False)]
    if or_contradicted:
        sides = zip(parts, holm_levels(ps), found, strict=False)
        found = [is_in or (part.region == UP and part.p_against <= level) for part, level, is_in in sides]
    return found


def wrong_reports(world: int, reports: int, part: int) -> list[int]:
    """Return how many of so many reports are wrong in a world: by Welch's t, as reports judge, either way; one part."""
    random, found = np.random.default_rng([world, part]), np.zeros(3, dtype=np.int64)
    for _ in range(reports):
        runs = WORLDS[world].draw(random)
        runs[[18, 20]] += NEAR.high
        alone, judged = (comparisons(runs, len(TESTED_AT), alone=alone) for alone in (True, False))
        found += [any(supported(alone)), any(supported(judged)), any(supported(judged, or_contradicted=True))]
    return found.tolist()


def claims_found(world: int, reports: int, part: int) -> list[int]:
    """Return how many of 9 differences of 5 standard deviations are found: by Welch's t, as reports judge; n = 3, 5."""
    random, found = np.random.default_rng([world, part]), [0, 0, 0, 0]
    for _ in range(reports):
        runs = WORLDS[world].draw(random)
        runs[:18:2] += 5 * np.sqrt(np.mean(runs.var(axis=1, ddof=1)))
        ways = [(looks, alone) for alone in (True, False) for looks in (1, 2)]
        hits = (sum(supported(comparisons(runs, looks, alone=alone))[:9]) for looks, alone in ways)
        found = [count + hit for count, hit in zip(found, hits, strict=True)]
    return found


MARKDOWN = """# How often verdicts err

Made by `make verdict-errors`; the counts are in verdicts.json beside this page. Reports are made up, judged as
`resnet18 report` judges, and counted.

## No claim is true

A report has 24 cases, 12 claims that are just not true, and 6 without runs: 9 that a case is above another whose mean
is the same, 2 that two cases differ by less than a margin, by which they differ, and one that a case is above its own
mean. % of reports in which a claim is ever supported, at 3, 5 or 10 seeds; in brackets Wilson's 95 % interval. The last
column counts also reports in which a claim about equal means is contradicted. {reports:,} reports a row. Declared are
at most 5 %. Above {limit:g} % of supported claims the program ends with an error, save where runs of some cases
collapse and those of others do not: no test of means is right there. Accuracies are therefore compared by the median of
a run's last three epochs, which is the last row. Not simulated: times, ranges of many cases, claims of several parts.

{wrong}

## Differences of 5 standard deviations

% of 9 such differences that are found.

{found}
"""


def share(hits: int, of: int) -> str:
    """Return a share in percent with Wilson's 95 % interval."""
    low, high = binomtest(hits, of).proportion_ci(method="wilson")
    return f"{100 * hits / of:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def figures(reports: int, jobs: int) -> dict[str, Any]:
    """Return the wrong reports of each world, and the differences that are found."""
    parts = 8  # each with random numbers of its own, whatever the number of processes
    each, fewer = max(1, reports // parts), max(1, reports // parts // 10)
    with ProcessPoolExecutor(jobs) as pool:

        def summed(count: Callable[[int, int, int], list[int]], world: int, size: int) -> list[int]:
            return [sum(hits) for hits in zip(*pool.map(partial(count, world, size), range(parts)), strict=True)]

        wrong = {world.name: summed(wrong_reports, at, each) for at, world in enumerate(WORLDS)}
        found = {world.name: summed(claims_found, at, fewer) for at, world in enumerate(WORLDS[:6])}
    return {"reports": each * parts, "wrong": wrong, "differences": 9 * fewer * parts, "found": found}


def page(found: dict[str, Any]) -> str:
    """Return the figures as markdown."""
    wrong = [[name, *(share(hits, found["reports"]) for hits in both)] for name, both in found["wrong"].items()]
    rows = [
        [name, *(f"{100 * hits / found['differences']:.0f}" for hits in by_way)]
        for name, by_way in found["found"].items()
    ]
    heads = ["Welch, n = 3", "Welch, n = 5", "moderated, n = 3", "moderated, n = 5"]
    return MARKDOWN.format(
        limit=100 * MOST_WRONG,
        reports=found["reports"],
        wrong=tabulate(
            wrong,
            ["how runs scatter", "Welch: supported", "moderated: supported", "supported or contradicted"],
            "github",
            disable_numparse=True,
        ),
        found=tabulate(rows, ["how runs scatter", *heads], "github"),
    )


def main() -> int:
    """Simulate, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=4_000, help="reports of each world")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--to", type=Path, default=Path("results/local"), help="folder for the two files")
    asked = parser.parse_args()
    found = figures(asked.reports, asked.jobs)
    asked.to.mkdir(parents=True, exist_ok=True)
    (asked.to / "verdicts.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (asked.to / "verdicts.md").write_text(page(found), encoding="utf-8")
    print(page(found))  # noqa: T201 - a script
    limited = [found["wrong"][world.name][1] for world in WORLDS if world.is_limited]
    return int(max(limited) > MOST_WRONG * found["reports"])


if __name__ == "__main__":
    sys.exit(main())
