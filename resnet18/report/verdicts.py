"""Verdicts in words, and how the claims of a report stand. Every sentence about who wins is made here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil, exp, expm1, inf, log, log10
from operator import mul
from typing import assert_never, get_args

from resnet18.judge.checks import UP, Comparison
from resnet18.judge.reason import reason_text, reasons_text
from resnet18.judge.verdict import CheckResult, Verdict, Word
from resnet18.spec.claim import (
    Close,
    Difference,
    Equivalent,
    Overfits,
    Ranking,
    Ratio,
    RunStatus,
    Trend,
    cases_of,
    orders,
)
from resnet18.spec.experiment import TESTED_AT
from resnet18.spec.metric import METRICS, parse_printed
from resnet18.tables.cells import COSTS, NOTHING, STATUS_TEXT
from resnet18.tables.statistics import Estimate

VERDICTS: tuple[Word, ...] = get_args(Word)
AT_SEEDS = ", ".join(str(seeds) for seeds in sorted(TESTED_AT)[:-1]) + f" and {max(TESTED_AT)} seeds"
OUTCOMES = {True: "holds", False: "fails", None: "inconclusive"}
NEAR_ONE = 0.2
"""Logarithm of a ratio up to which it is written as a difference in percent."""


def evidence_of(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Yield what became of every part of a claim: whether it holds, with its estimate, interval and n."""
    for result in verdict.results:
        if result.reason is not None:
            text = f"{_asserted(result)}: {reason_text(result.reason, with_metric=False)}"
            no_situation = result.reason.bearing == "no situation"
            yield "not judgeable" if no_situation else "not run" if result.is_missing else OUTCOMES[None], text
            continue
        if result.status_holds is not None:
            yield OUTCOMES[result.status_holds], _asserted(result)
        for part in result.comparisons:
            if part.counts or part is verdict.deciding:
                yield OUTCOMES[part.holds], comparison_text(part)


def decisive(verdict: Verdict) -> str:
    """Return what decides a verdict: what fails, what would decide it first, or what held by the least."""
    if verdict.here == "not run" or (verdict.reasons and verdict.here != "contradicted"):
        seeds = outlook(verdict) if verdict.here == "inconclusive" else ""
        return "; ".join(filter(None, (reasons_text(verdict.reasons), seeds)))
    if (shown := decisive_comparison(verdict)) is not None:
        return comparison_text(shown)
    endings = (_asserted(result) for result in verdict.results if result.status_holds is (verdict.here == "supported"))
    return next(endings, reasons_text(verdict.reasons))


def decisive_comparison(verdict: Verdict) -> Comparison | None:
    """Return the surest failure, the least sure part that holds, or the open part that would decide first."""
    holds = verdict.here == "supported"
    settled = [part for part in verdict.comparisons if part.holds is holds]
    if verdict.here == "inconclusive":
        return verdict.deciding
    if holds:
        return max(settled, key=lambda part: part.p_for, default=None)
    return min(settled, key=lambda part: part.p_against, default=None) if verdict.here == "contradicted" else None


def outlook(verdict: Verdict) -> str:
    """Return the seeds that would decide a claim, and which way, if estimates were the truth; empty: ten do not."""
    seeds, deciding = seeds_of(verdict), verdict.deciding
    return f"{seeds} seeds: {'supported' if deciding.is_inside else 'contradicted'}" if seeds and deciding else ""


def seeds_of(verdict: Verdict) -> int | None:
    """Return the seeds that would decide a claim with power .8, if estimates were the truth."""
    return verdict.deciding.seeds if verdict.deciding else None


def _seeds_text(comparison: Comparison) -> str:
    """Return how many seeds would decide a comparison: a number at which claims are tested, or that none is enough."""
    if comparison.seeds:
        return f"{comparison.seeds} seeds"
    return f"more than {max(TESTED_AT)} seeds; claims are tested at {AT_SEEDS} only, so more runs will not settle it"


def comparison_text(comparison: Comparison) -> str:
    """Return what a comparison found: estimate, n, what is claimed, and the seeds that would decide it."""
    text = f"{compared(comparison)}: {estimate_text(comparison)}, n = {comparison.last.n}"
    if comparison.correlation is not None:
        text += f", paired (correlation {comparison.correlation:.2f})"
    text += claimed(comparison)
    return text if comparison.holds is not None else f"{text}; a verdict would need {_seeds_text(comparison)}"


def _asserted(result: CheckResult) -> str:
    """Return what a check is about, as far as it is known without a number: an ending, a comparison or a metric."""
    check, comparisons = result.check, result.comparisons
    if isinstance(check, RunStatus):
        return f'every run of "{check.case}" ends {STATUS_TEXT[check.status].lower()}'
    if isinstance(check, Overfits):
        return f'"{check.case}" overfits'
    if not comparisons:
        return METRICS[check.metric].title if check.metric in METRICS else check.metric
    return compared(comparisons[0]) + (f" (and {len(comparisons) - 1} more)" if len(comparisons) > 1 else "")


def compared(comparison: Comparison) -> str:
    """Return what a comparison compares: a quantity of one case, or of two, the first beside the last."""
    first, *_, last = (f'"{name}"' for name in (*comparison.about, comparison.about[-1]))
    joined = "to" if isinstance(comparison.check, Trend) else "relative to" if comparison.is_log else "minus"
    return f"{comparison.what}: {first}" + (f" {joined} {last}" if len(comparison.about) > 1 else "")


def claimed(comparison: Comparison) -> str:
    """Return where the value is claimed to lie, after what was found; of a trend, the quantity says so already."""
    check, region = comparison.check, comparison.region
    match check:
        case Trend() | RunStatus():  # how runs end is compared with nothing
            return ""
        case Equivalent():
            text = f"within {_margin(check.margin, comparison)}"
        case Close():
            text = f"{check.reported or f'{check.value:g}'} within {_margin(check.margin, comparison)}"
        case Ratio():
            text = f"{check.low:g} to {check.high:g} times"
        case Overfits() | Difference(than=None):
            text = f"above {region.low:g}" if region.high == inf else f"below {region.high:g}"
        case Difference(by=by) if by > 0:
            text = f"at least {_margin(by, comparison)}"
        case Difference() | Ranking():
            text = "larger" if comparison.is_log else "above 0"
        case _:
            assert_never(check)
    return f"; claimed: {text}"


def _margin(margin: float, comparison: Comparison) -> str:
    return f"{margin:g} {comparison.unit.removesuffix('s') if margin == 1 else comparison.unit}".rstrip()


def estimate_text(comparison: Comparison) -> str:
    """Return an estimate with its 95 % interval, in its unit: a difference with a sign, a ratio, or a level.

    Two digits of its standard error are shown, and of a number without one (as a report prints it) no interval.
    """
    check, ends = comparison.check, (comparison.last.value, *comparison.last.interval())
    is_exact = comparison.last.se == 0
    if comparison.falls:
        ends = -ends[0], -ends[2], -ends[1]
    unit, sign = comparison.unit, "+"
    if comparison.is_log and isinstance(check, Close):
        unit, scale, _ = COSTS[comparison.facts.quantity]
        ends, sign = (exp(ends[0]) / scale, exp(ends[1]) / scale, exp(ends[2]) / scale), ""
    elif comparison.is_log and max(abs(ends[1]), abs(ends[2])) < NEAR_ONE:
        ends = 100 * expm1(ends[0]), 100 * expm1(ends[1]), 100 * expm1(ends[2])
    elif comparison.is_log:
        text = "{:.3g} times" if is_exact else "{:.3g} times [{:.3g}, {:.3g}]"
        return text.format(*map(exp, ends))
    elif len(comparison.about) == 1 and comparison.facts.is_share:
        unit, sign = "%", ""
    elif len(comparison.about) == 1 and comparison.facts.quantity == "epochs":
        sign = ""
    se = (ends[2] - ends[1]) / 4
    digits = min(max(ceil(1 - log10(se)), 1), 5) if se > 0 else 2
    value, low, high = (f"{end:{sign}.{digits}f}" for end in ends)
    return " ".join(filter(None, (value, unit, "" if is_exact else f"[{low}, {high}]")))


def reported_text(verdict: Verdict) -> str:
    """Return the same of the numbers that the report printed, as far as it printed those that a claim is about."""
    parts = (part for result in verdict.results for part in result.comparisons)
    shown = decisive_comparison(verdict) or next(parts, None)
    check = shown.check if shown else verdict.claim.checks[0]
    if isinstance(check, Close):
        return check.reported or NOTHING
    cases = {case.name: case.reported for case in verdict.benchmark.cases}
    if isinstance(check, RunStatus):
        return next(iter(cases[check.case].values()), NOTHING)
    if isinstance(check, Overfits):
        return NOTHING
    pair = next(orders(check), cases_of(check))
    if (
        shown is None and len(pair) == 2 and check.metric in METRICS
    ):  # nothing was run: of two cases, the claim alone says how they are compared
        shown = Comparison(check, pair, METRICS[check.metric], UP, (1.0, -1.0))
    is_of_all = isinstance(check, Ranking) or (isinstance(check, Equivalent) and len(check.cases) > 2)
    names = cases_of(check) if is_of_all else shown.about if shown else ()
    values = [_printed(cases[name], check.metric) for name in names]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return NOTHING
    if isinstance(check, Ranking):
        return f"{sum(first > second for first, second in pairwise(known))} of {len(known) - 1} steps hold"
    return NOTHING if shown is None else _sum_text(shown, known)


def _sum_text(shown: Comparison, reported: Sequence[float]) -> str:
    """Return what a comparison gives of reported numbers: of many near ones the range, else their weighted sum."""
    if shown.is_log and min(reported) <= 0:
        return NOTHING
    numbers = [*map(log, reported)] if shown.is_log else reported
    total = max(numbers) - min(numbers) if shown.widest_of > 2 else sum(map(mul, shown.weights, numbers))
    return estimate_text(replace(shown, estimates={1: Estimate(total, 0.0, 1.0, 1, 0.0)}))


def _printed(reported: Mapping[str, str], metric: str) -> float | None:
    """Return what a case's row prints of a metric, or of its like: a report has one accuracy and one time."""
    facts = METRICS.get(metric)
    likes = ["best_accuracy"] if metric == "clean_accuracy" else []
    likes = ["train_s", "whole_program_s"] if facts and facts.quantity == "seconds" else likes
    printed = [parse_printed(reported[name]) for name in (metric, *likes) if name in reported]
    return printed[0].value if printed and printed[0] else None
