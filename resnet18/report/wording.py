"""Verdicts in words. Every sentence about who wins is made here, from the verdict; none is typed."""

from collections.abc import Iterator
from math import ceil, exp, expm1, inf, log10

from resnet18.judge.checks import Comparison
from resnet18.judge.reason import Reason, reason_text, reasons_text
from resnet18.judge.verdict import CheckResult, Verdict, Word
from resnet18.spec.claim import Check, Close, Difference, Equivalent, Overfits, Ratio, RunStatus, Trend
from resnet18.spec.experiment import TESTED_AT
from resnet18.spec.metric import MARGIN_UNITS, METRICS
from resnet18.tables.statistics import MOST_SEEDS

VERDICTS: tuple[Word, ...] = ("supported", "contradicted", "inconclusive", "not run")
AT_SEEDS = ", ".join(str(seeds) for seeds in sorted(TESTED_AT)[:-1]) + f" and {max(TESTED_AT)} seeds"
OUTCOMES = {True: "holds", False: "fails", None: "open"}
COSTS = {"seconds": (1.0, "s"), "bytes": (2.0**20, "MiB")}
"""Units of times and memory, and what they are worth."""
SHARES = frozenset({"best_accuracy", "clean_accuracy", "final_train_accuracy"})
"""Metrics whose value is a percentage; a difference of two is in points."""
NEAR_ONE = 0.2
"""Logarithm of a ratio up to which it is written as a difference in percent."""
STATUSES = {"oom_device": "out of memory", "oom_host": "out of memory (host)", "diverged": "diverged", "ok": "ok"}


def evidence_of(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Yield what became of every part of a claim: whether it holds, with its estimate, interval and n."""
    for result in verdict.results:
        if result.reason is not None:
            yield "not run" if result.is_missing else "open", _undecided(result, result.reason)
            continue
        if result.status_holds is not None:
            yield OUTCOMES[result.status_holds], ending(result.check)
        for part in result.comparisons:
            if part.counts or part is verdict.deciding:
                yield OUTCOMES[part.holds], comparison_text(part)


def decisive(verdict: Verdict) -> str:
    """Return what settles a verdict: what fails, what would settle it first, or what held by the least."""
    if verdict.word == "not run" or (verdict.reasons and verdict.word != "contradicted"):
        seeds = outlook(verdict) if verdict.word == "inconclusive" else ""
        return "; ".join(part for part in (reasons_text(verdict.reasons), seeds) if part)
    holds = verdict.word == "supported"
    settled = [part for part in verdict.comparisons if part.holds is holds]
    if verdict.word == "inconclusive":
        shown = verdict.deciding
    elif holds:
        shown = max(settled, key=lambda part: part.p_for, default=None)
    else:
        shown = min(settled, key=lambda part: part.p_against, default=None)
    if shown is not None:
        return comparison_text(shown)
    endings = (ending(result.check) for result in verdict.results if result.status_holds is holds)
    return next(endings, reasons_text(verdict.reasons))


def outlook(verdict: Verdict) -> str:
    """Return the seeds that would settle a claim, and which way, if estimates were the truth; empty where none is."""
    deciding = verdict.deciding
    return seeds_text(deciding, "support" if deciding.is_inside else "contradict") if deciding else ""


def seeds_text(comparison: Comparison, verb: str = "settle") -> str:
    """Return how many seeds would settle a comparison, and whether this report tests at as many."""
    if comparison.seeds is None:
        return f"more than {MOST_SEEDS:,} seeds would {verb} it"
    beyond = "" if comparison.seeds <= max(TESTED_AT) else f", but this report tests at {AT_SEEDS} only"
    return f"about {comparison.seeds:,} seeds would {verb} it{beyond}"


def comparison_text(comparison: Comparison) -> str:
    """Return what a comparison asserts, with its estimate, n, and the seeds that would settle it."""
    text = f"{statement(comparison)}: {estimate_text(comparison)}, n = {comparison.last.n}"
    if comparison.correlation is not None:
        text += f", paired (correlation {comparison.correlation:.2f})"
    if comparison.forms:
        text += f", forms of the optimizer differ ({', '.join(comparison.forms)})"
    return text if comparison.holds is not None else f"{text}; {seeds_text(comparison)}"


def _undecided(result: CheckResult, reason: Reason) -> str:
    """Return why a check was not decided, after what it asserts where that is more than a metric."""
    check, comparisons = result.check, result.comparisons
    if isinstance(check, RunStatus | Overfits):
        about = ending(check)
    elif comparisons:
        more = f" (and {len(comparisons) - 1} more)" if len(comparisons) > 1 else ""
        about = statement(comparisons[0]) + more
    else:
        about = METRICS[check.metric].title
    return f"{about}: {reason_text(reason, with_metric=False)}"


def ending(check: Check) -> str:
    """Return what a check asserts of how runs end, or that a case overfits."""
    if isinstance(check, RunStatus):
        return f'every run of "{check.case}" ends {STATUSES[check.status]}'
    return f'"{check.case}" overfits' if isinstance(check, Overfits) else ""


def statement(comparison: Comparison) -> str:
    """Return what a comparison asserts."""
    check, first, last = comparison.check, f'"{comparison.about[0]}"', f'"{comparison.about[-1]}"'
    match check:
        case Trend():
            text = f"{first} to {last}"
        case Equivalent():
            text = f"{first} and {last} within {_margin(check.margin, check)}"
        case Close():
            text = f"{first} within {_margin(check.margin, check)} of {check.reported or f'{check.value:g}'}"
        case Ratio():
            text = f"{first} is {check.low:g} to {check.high:g} times {last}"
        case Overfits() | Difference(than=None):
            region = comparison.region
            text = f"{first} above {region.low:g}" if region.high == inf else f"{first} below {region.high:g}"
        case Difference(by=by) if by > 0:
            text = f"{first} above {last} by at least {_margin(by, check)}"
        case _:
            text = f"{first} above {last}"
    return f"{comparison.what}: {text}"


def _margin(margin: float, check: Close | Equivalent | Difference) -> str:
    unit = MARGIN_UNITS[METRICS[check.metric].quantity]
    return f"{margin:g} {unit.removesuffix('s') if margin == 1 else unit}"


def estimate_text(comparison: Comparison) -> str:
    """Return an estimate with its 95 % interval, in its unit: a difference with a sign, a ratio, or a level.

    Two digits of its standard error are shown.
    """
    check, ends = comparison.check, (comparison.last.value, *comparison.last.interval())
    if comparison.falls:
        ends = -ends[0], -ends[2], -ends[1]
    unit, sign = comparison.unit, "+"
    if comparison.is_log and isinstance(check, Close):
        scale, unit = COSTS[METRICS[check.metric].quantity]
        ends, sign = (exp(ends[0]) / scale, exp(ends[1]) / scale, exp(ends[2]) / scale), ""
    elif comparison.is_log and max(abs(ends[1]), abs(ends[2])) < NEAR_ONE:
        ends, unit = (100 * expm1(ends[0]), 100 * expm1(ends[1]), 100 * expm1(ends[2])), "%"
    elif comparison.is_log:
        return "{:.3g} times [{:.3g}, {:.3g}]".format(*map(exp, ends))
    elif len(comparison.about) == 1 and not isinstance(check, RunStatus | Overfits) and check.metric in SHARES:
        unit, sign = "%", ""
    se = (ends[2] - ends[1]) / 4
    digits = min(max(ceil(1 - log10(se)), 1), 5) if se > 0 else 2
    value, low, high = (f"{end:{sign}.{digits}f}" for end in ends)
    return f"{value} {unit} [{low}, {high}]"
