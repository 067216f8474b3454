"""How often verdicts err: made-up reports in which no claim is true, judged as `resnet18 report` judges, and counted.

    python benchmarks/suite/verdict_errors.py [--to FOLDER] [--reports N] [--jobs N]

A report has 24 arms and 18 claims, some of them without runs (verdict_worlds.py). No claim is true, but each nearly is:
means are equal, or as far apart as the margin, or the mean is the number. Claims are judged at 3, 5 and 10 seeds, and a
report is wrong where one of them is supported. The exit code is 1 where more than 6 % of the reports of a world are
wrong. Such a claim may also be contradicted, which is wrong, too: the page counts this in a column.
"""

import argparse
import json
import sys
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from tabulate import tabulate
from verdict_worlds import MANY, SINGLE, TESTED, WORLDS, Claims, Floats

from resnet18.judge.checks import compare_samples
from resnet18.judge.samples import Samples, priors_of
from resnet18.judge.verdict import CheckResult, Word, outcome_of, p_of_claim, word_of
from resnet18.spec.claim import Equivalent, cases_of
from resnet18.spec.metric import METRICS
from resnet18.tables.statistics import holm_levels

MOST_WRONG = 0.06
KINDS = {"greater": "a direction", "ranking": "a ranking", "equivalent": "many equal", "trend": "a trend"}


def words(runs: Floats, claims: Claims, *, alone: bool = False) -> list[Word]:
    """Return the verdict on each claim of a report of so many seeds; `alone`: by Welch's t."""
    by_arm = runs.tolist()
    priors = {} if alone or claims.are_of_times else priors_of(by_arm)
    compared = list[CheckResult]()
    for check in claims.checks:
        by_case = {name: by_arm[int(name)] for name in cases_of(check)}
        samples = Samples(by_case, priors, in_blocks=claims.are_of_times)
        compared.append(CheckResult(check, tuple(compare_samples(check, METRICS[check.metric], samples))))
    ps = [p_of_claim([found]) for found in compared] + [1.0] * (TESTED - len(compared))
    return [_word(found, level) for found, level in zip(compared, holm_levels(ps), strict=False)]


def _word(found: CheckResult, level: float) -> Word:
    parts = found.comparisons
    judged = tuple(replace(part, holds=outcome_of(part, level, len(parts))) for part in parts)
    return word_of([replace(found, comparisons=judged)])


def wrong(claims: Claims, found: list[Word]) -> list[str]:
    """Return how each verdict is wrong: the word, or nothing.

    A contradiction is not counted where two arms differ by the margin: their means are not equal.
    """
    pairs = [isinstance(check, Equivalent) and len(check.cases) == 2 for check in claims.checks]
    wrongly = [{"supported"} if is_pair else {"supported", "contradicted"} for is_pair in pairs]
    return [word if word in never else "" for word, never in zip(found, wrongly, strict=True)]


def drawn(random: np.random.Generator, draw: Callable[[np.random.Generator], Floats], claims: Claims) -> Floats:
    """Return the runs of a report in which no claim is true."""
    runs = draw(random)
    for arm, mean in claims.means.items():
        runs[arm] += mean
    return runs


def wrong_reports(world: int, reports: int, part: int) -> list[int]:
    """Return how many of so many reports are wrong in a world: by Welch's t, as reports judge, either way; one part."""
    random, found = np.random.default_rng([world, part]), np.zeros(3, dtype=np.int64)
    for _ in range(reports):
        runs = drawn(random, WORLDS[world].draw, SINGLE)
        alone, judged = (wrong(SINGLE, words(runs, SINGLE, alone=alone)) for alone in (True, False))
        found += ["supported" in alone, "supported" in judged, any(judged)]
    return found.tolist()


def wrong_reports_of_many(world: int, reports: int, part: int) -> list[int]:
    """Return how many reports with claims of many comparisons are wrong: as reports judge, either way.

    Then in how many a claim of each of `KINDS` is wrongly supported, and in how many it is wrong either way.
    """
    (scatter, claims), random = MANY[world], np.random.default_rng([len(WORLDS) + world, part])
    found = np.zeros(2 + 2 * len(KINDS), dtype=np.int64)
    for _ in range(reports):
        runs = drawn(random, scatter.draw, claims)
        judged = wrong(claims, words(runs, claims))
        found[:2] += ["supported" in judged, any(judged)]
        for at, kind in enumerate(KINDS):
            of_kind = [word for word, check in zip(judged, claims.checks, strict=True) if check.kind == kind]
            found[2 + 2 * at : 4 + 2 * at] += ["supported" in of_kind, any(of_kind)]
    return found.tolist()


def claims_found(world: int, reports: int, part: int) -> list[int]:
    """Return how many of 9 differences of 5 standard deviations are found: by Welch's t, as reports judge; n = 3, 5."""
    random, found = np.random.default_rng([world, part]), [0, 0, 0, 0]
    for _ in range(reports):
        runs = WORLDS[world].draw(random)
        runs[:18:2] += 5 * np.sqrt(np.mean(runs.var(axis=1, ddof=1)))
        ways = [(seeds, alone) for alone in (True, False) for seeds in (3, 5)]
        hits = (words(runs[:, :seeds], SINGLE, alone=alone)[:9].count("supported") for seeds, alone in ways)
        found = [count + hit for count, hit in zip(found, hits, strict=True)]
    return found


MARKDOWN = """# How often verdicts err

Made by `make verdict-errors`; the counts are in verdicts.json beside this page. Reports are made up, judged as
`resnet18 report` judges, and counted. At most 5 % of them may be wrong. Where more than {limit:g} % wrongly support a
claim, the program ends with an error, save in three rows without a limit.

## No claim is true

A report has 24 cases, 12 claims that are just not true, and 6 without runs: 9 that a case is above another whose mean
is the same, 2 that two cases differ by less than a margin, by which they differ, and one that a case is above its own
mean. % of reports in which a claim is ever supported, at 3, 5 or 10 seeds; in brackets Wilson's 95 % interval. The last
column counts also reports in which a claim about equal means is contradicted. {reports:,} reports a row. The last row
but one has no limit: where runs of some cases collapse and those of others do not, no test of means is right.
Accuracies are therefore compared by the median of a run's last three epochs, which is the last row.

{wrong}

## No claim of many comparisons is true

*Rankings and trends*: 9 claims on accuracies, and 9 without runs: a ranking of four cases of which the first two have
equal means, and a ranking of four whose means are all equal; a trend of three with equal means; that four cases differ
by less than a margin, by which the highest and the lowest differ; 4 that a case is above another whose mean is the
same, and one that a case is above its own mean.

*Times*: 8 claims, and 10 without runs: 6 that a case takes longer than another, whose mean is the same; that seven
cases differ by less than 16 %, by which the slowest and the fastest differ; and that five cases, whose means are equal,
fall in the order given. A time has a standard deviation of 1 %, and what all runs of a seed share, since the machine
drifts, has one of 5 %.

{of_many:,} reports a row. By kind of claim: % of reports in which one is supported; and in which one is supported or
contradicted. Two rows have no limit. A case of which one run in ten is disturbed has means equal to the others' only
if its undisturbed runs are 2.6 % faster, and where no disturbed run is among the ten, that is what tests find. In the
row before, the cases are equal but for the disturbance. Runs that are known to be disturbed have unreliable times,
which decide nothing.

The last row is the worst that was found, and above what is declared: 3 claims, each that eight cases take less than
twice as long as each other, where the slowest takes twice as long as the fastest and alone scatters three times as
much as the others (docs/decisions/0017-cases-lend-each-other-their-variance.md says why the rule stays).

{many}

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
    each, of_many, fewer = (max(1, reports // parts // of) for of in (1, 4, 10))
    with ProcessPoolExecutor(jobs) as pool:

        def summed(count: Callable[[int, int, int], list[int]], world: int, size: int) -> list[int]:
            return [sum(hits) for hits in zip(*pool.map(partial(count, world, size), range(parts)), strict=True)]

        many = {world.name: summed(wrong_reports_of_many, at, of_many) for at, (world, _) in enumerate(MANY)}
        wrong = {world.name: summed(wrong_reports, at, each) for at, world in enumerate(WORLDS)}
        found = {world.name: summed(claims_found, at, fewer) for at, world in enumerate(WORLDS[:6])}
    counted = {"reports": each * parts, "wrong": wrong, "differences": 9 * fewer * parts, "found": found}
    return {**counted, "reports_of_many": of_many * parts, "wrong_of_many": many}


def _row_of_many(hits: list[int], reports: int, kinds: Collection[str]) -> list[str]:
    pairs = zip(hits[2::2], hits[3::2], KINDS, strict=True)
    shares = [f"{100 * supported / reports:.2f}; {100 * either / reports:.2f}" for supported, either, _ in pairs]
    by_kind = [found if kind in kinds else "" for found, kind in zip(shares, KINDS, strict=True)]
    return [*(share(count, reports) for count in hits[:2]), *by_kind]


def page(found: dict[str, Any]) -> str:
    """Return the figures as markdown."""
    reports, of_many, first = found["reports"], found["reports_of_many"], "how runs scatter"
    wrong = [[name, *(share(hits, reports) for hits in counts)] for name, counts in found["wrong"].items()]
    kinds = {world.name: {check.kind for check in claims.checks} for world, claims in MANY}
    many = [[name, *_row_of_many(hits, of_many, kinds[name])] for name, hits in found["wrong_of_many"].items()]
    shares = {name: [f"{100 * hits / found['differences']:.0f}" for hits in by] for name, by in found["found"].items()}
    heads = ["Welch, n = 3", "Welch, n = 5", "moderated, n = 3", "moderated, n = 5"]
    ways = ["supported", "supported or contradicted"]
    plain = partial(tabulate, tablefmt="github", disable_numparse=True)
    return MARKDOWN.format(
        limit=100 * MOST_WRONG,
        reports=reports,
        of_many=of_many,
        wrong=plain(wrong, [first, "Welch: supported", "moderated: supported", ways[1]]),
        many=plain(many, [first, *ways, *KINDS.values()]),
        found=tabulate([[name, *by] for name, by in shares.items()], [first, *heads], "github"),
    )


def is_wrong_too_often(found: dict[str, Any]) -> bool:
    """Return whether more reports than may be wrongly support a claim, in a world that has a limit."""
    shares = [found["wrong"][world.name][1] / found["reports"] for world in WORLDS if world.is_limited]
    of_many = [found["wrong_of_many"][world.name][0] for world, _ in MANY if world.is_limited]
    return any(wrongly > MOST_WRONG for wrongly in [*shares, max(of_many) / found["reports_of_many"]])


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
    return int(is_wrong_too_often(found))


if __name__ == "__main__":
    sys.exit(main())
