"""Verdicts in words: what was found, what was measured and reported, and where it holds."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from math import ceil, exp, expm1, inf, log, log10
from typing import assert_never

from resnet18.judge.checks import Comparison, compare_samples
from resnet18.judge.samples import Reservation, Samples, printed_values, reason_text, reasons_text
from resnet18.judge.verdict import CheckResult, Verdict
from resnet18.report.chapters import Chapter
from resnet18.spec.claim import (
    Close,
    Difference,
    Equivalent,
    MetricCheck,
    Overfits,
    Ranking,
    Ratio,
    RunStatus,
    Trend,
    cases_of,
)
from resnet18.spec.experiment import FEWEST_SEEDS, TESTED_AT
from resnet18.spec.metric import METRICS, MetricFacts
from resnet18.tables.cells import COSTS, NOTHING, STATUS_TEXT

AT_SEEDS = ", ".join(str(seeds) for seeds in sorted(TESTED_AT)[:-1]) + f" and {max(TESTED_AT)} seeds"
OUTCOMES = {True: "holds", False: "fails", None: "inconclusive"}
NEAR_ONE = 0.2
"""Logarithm of a ratio up to which it is written as a difference in percent."""
RESERVED: dict[Reservation, tuple[str, str]] = {
    "unknown": ("unknown", " under other or unknown conditions"),
    "other_data": ("other data", " on other data"),
    "scaled_down": ("scaled down", ", scaled down"),
    "other_size": ("other image size", ", at another image size"),
    "confounded": ("confounded", ", confounded"),
}
"""Why a verdict is none on the report, and where it holds, as far as a table of runs tells."""


def said(verdict: Verdict, chapter: Chapter | None = None) -> str:
    """Return a verdict in a few words: bare where it is one on the report, else with where it holds."""
    if not verdict.is_decided or not verdict.of_report:
        return verdict.here
    where = {why: text for why, (_, text) in RESERVED.items()}
    if chapter is not None:
        request, own = chapter.request, [table for table in chapter.selections if table.benchmark == verdict.benchmark]
        names = {name for check in verdict.claim.checks for name in cases_of(check)}
        sizes = sorted({case.experiment.image_size for table in own for case in table.cases if case.name in names})
        where["unknown"] = " under other options"
        where["other_data"] = f" on {request.data_label}"
        where["scaled_down"] = f" at {request.scale} scale" if request.scale != "paper" else " scaled down"
        where["other_size"] = f" at {' and '.join(map(str, sizes))} px"
    holds = "holds" if verdict.here == "supported" else "does not hold"
    return holds + "".join(text for why, text in where.items() if why in verdict.of_report)


def mark_of(verdict: Verdict) -> str:
    """Return the word whose sign and colour stand for a verdict."""
    return f"{verdict.here} elsewhere" if verdict.is_decided and verdict.of_report else verdict.here


def reserved(verdict: Verdict) -> str:
    """Return whether a verdict is one on the report, or why it is not."""
    if not verdict.is_decided:
        return NOTHING
    return f"no: {', '.join(RESERVED[why][0] for why in verdict.of_report)}" if verdict.of_report else "yes"


def measured_text(verdict: Verdict) -> str:
    """Return what was measured: of a ranking its steps, else what a verdict rests on, or why there is none."""
    for result in verdict.results:
        if result.tau and result.judged:
            holds = [part.holds for part in result.judged]
            steps = f"{holds.count(True)} of {len(holds)} steps hold, {holds.count(False)} fail"
            low, high = result.tau.interval()
            tau = f"{result.tau.value:.2f} [{max(low, -1):.2f}, {min(high, 1):.2f}], n = {result.tau.n}"
            return f"{steps}, {holds.count(None)} are open; Kendall's tau {tau}"
    if shown := decisive_comparison(verdict):
        return f"{shown.what}: {estimate_text(shown)}, n = {shown.last.n}"
    endings = (_asserted(result) for result in verdict.results if result.status_holds is (verdict.here == "supported"))
    return next(endings, reasons_text(verdict.reasons, with_metric=False))


def decisive_comparison(verdict: Verdict) -> Comparison | None:
    """Return the surest failure, the least sure part that holds, or the open part that would decide first."""
    settled = [part for part in verdict.comparisons if part.holds is (verdict.here == "supported")]
    if verdict.here == "supported":
        return max(settled, key=lambda part: part.p_for, default=None)
    if verdict.here == "contradicted":
        return min(settled, key=lambda part: part.p_against, default=None)
    return verdict.deciding if verdict.here == "inconclusive" else None


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


def comparison_text(comparison: Comparison) -> str:
    """Return what a comparison found: estimate, n, what is claimed, and the seeds that would decide it."""
    text = f"{compared(comparison)}: {estimate_text(comparison)}, n = {comparison.last.n}"
    if comparison.correlation is not None:
        text += f", paired (correlation {comparison.correlation:.2f})"
    text += claimed(comparison)
    if comparison.holds is not None:
        return text
    more = f"{max(TESTED_AT)} seeds; claims are tested at {AT_SEEDS} only, so more runs will not settle it"
    return f"{text}; a verdict would need {f'{comparison.seeds} seeds' if comparison.seeds else f'more than {more}'}"


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


def ends_of(comparison: Comparison) -> list[float]:
    """Return a comparison's last estimate and the ends of its 95 % interval, of a fall below 0."""
    low, high = comparison.last.interval()
    value = comparison.last.value
    return [-value, -high, -low] if comparison.falls else [value, low, high]


def estimate_text(comparison: Comparison) -> str:
    """Return an estimate with its 95 % interval, in its unit: a difference with a sign, a ratio, or a level.

    Two digits of its standard error are shown, and of a number without one (as a report prints it) no interval.
    """
    facts, is_level, is_exact = comparison.facts, len(comparison.about) == 1, comparison.last.se == 0
    ends, unit, sign = ends_of(comparison), comparison.unit, "+"
    if comparison.is_log and isinstance(comparison.check, Close):
        unit, scale, _ = COSTS[facts.quantity]
        ends, sign = [exp(end) / scale for end in ends], ""
    elif comparison.is_log and max(abs(ends[1]), abs(ends[2])) < NEAR_ONE:
        ends = [100 * expm1(end) for end in ends]
    elif comparison.is_log:
        text = "{:.3g} times" if is_exact else "{:.3g} times [{:.3g}, {:.3g}]"
        return text.format(*map(exp, ends))
    elif is_level and facts.is_share:
        unit, sign = "%", ""
    elif is_level and facts.quantity == "epochs":
        sign = ""
    se = (ends[2] - ends[1]) / 4
    digits = min(max(ceil(1 - log10(se)), 1), 5) if se > 0 else 2
    value, low, high = (f"{end:{sign}.{digits}f}" for end in ends)
    return " ".join(filter(None, (value, unit, "" if is_exact else f"[{low}, {high}]")))


def reported_text(verdict: Verdict) -> str:
    """Return the same of the numbers that the report printed, if it printed those of all cases of a check."""
    parts = (part for result in verdict.results for part in result.comparisons)
    shown = decisive_comparison(verdict) or next(parts, None)
    check = shown.check if shown else verdict.claim.checks[0]
    if isinstance(check, Close):
        return check.reported or NOTHING
    if isinstance(check, RunStatus):
        (printed,) = (case.reported for case in verdict.benchmark.cases if case.name == check.case)
        return next(iter(printed.values()), NOTHING)
    if isinstance(check, Overfits):
        return NOTHING
    values = printed_values(check, verdict.benchmark)
    if isinstance(check, Ranking) and values:
        held = sum(values[first] > values[second] for first, second in pairwise(check.cases))
        return f"{held} of {len(check.cases) - 1} steps hold"
    facts = shown.facts if shown else METRICS.get(check.metric)
    if not values or facts is None or (facts.takes_logs and min(values.values()) <= 0):
        return NOTHING
    return _compared_text(check, facts, values, shown)


def _compared_text(
    check: MetricCheck, facts: MetricFacts, values: Mapping[str, float], shown: Comparison | None
) -> str:
    """Return a comparison of printed values, that of a claim's measured ones where there is one."""
    seeds = {case: [log(value) if facts.takes_logs else value] * FEWEST_SEEDS for case, value in values.items()}
    samples = Samples(seeds)
    if shown and not isinstance(check, Trend) and shown.widest_of == 2:  # in the direction in which it was measured
        estimate = samples.estimate(shown.about, shown.weights, FEWEST_SEEDS)
        return estimate_text(replace(shown, pairs=(), estimates={FEWEST_SEEDS: estimate}))
    reported = list(compare_samples(check, facts, samples))
    alike = (part for part in reported if shown and (part.about, part.remark) == (shown.about, shown.remark))
    part = next(alike, reported[0])
    per = f" per {check.per}" if isinstance(check, Trend) and part is reported[0] else ""
    return f"{estimate_text(part)}{per}"
