"""Verdicts in words. Every sentence about who wins is made here, from the verdict; none is typed."""

from collections.abc import Iterator
from itertools import islice
from math import exp, expm1, inf

from resnet18.judge.checks import CheckResult
from resnet18.judge.reason import Reason
from resnet18.judge.sample import Comparison
from resnet18.judge.verdict import Judged, Verdict
from resnet18.report.document import Evidence, Outcome
from resnet18.report.reasons import reason_text, reasons_text
from resnet18.spec.claim import Check, Close, Difference, Equivalent, Overfits, Ratio, RunStatus, Trend
from resnet18.spec.experiment import TESTED_AT
from resnet18.spec.metric import MARGIN_UNITS, METRICS
from resnet18.tables.statistics import MOST_SEEDS

AT_SEEDS = ", ".join(str(seeds) for seeds in sorted(TESTED_AT)[:-1]) + f" and {max(TESTED_AT)} seeds"
OUTCOMES: dict[bool | None, Outcome] = {True: "holds", False: "fails", None: "open"}
COSTS = {"seconds": (1.0, "s"), "bytes": (2.0**20, "MiB")}
"""Units of times and memory, and what they are worth."""
SHARES = frozenset({"best_accuracy", "clean_accuracy", "final_train_accuracy"})
"""Metrics whose value is a percentage; a difference of two is in points."""
NEAR_ONE = 0.2
"""Logarithm of a ratio up to which it is written as a difference in percent."""
STATUSES = {"oom_device": "out of memory", "oom_host": "out of memory (host)", "diverged": "diverged", "ok": "ok"}


def evidence_of(verdict: Verdict) -> Iterator[Evidence]:
    """Yield what became of every part of a claim: whether it holds, the estimate, its interval and n."""
    for result, judged in _by_check(verdict):
        if result.reason is not None:
            yield Evidence("not run" if result.is_missing else "open", _undecided(result, result.reason))
        elif result.status_holds is not None:
            yield Evidence(OUTCOMES[result.status_holds], ending(result.check))
        for part in judged:
            if part.counts or part is verdict.deciding:
                yield Evidence(OUTCOMES[part.holds], comparison_text(part))


def decisive(verdict: Verdict) -> str:
    """Return what settles a verdict: what fails, what would settle it first, or what held by the least."""
    if verdict.word == "not run" or (verdict.reasons and verdict.word != "contradicted"):
        seeds = outlook(verdict) if verdict.word == "inconclusive" else ""
        return "; ".join(part for part in (reasons_text(verdict.reasons), seeds) if part)
    shown = _shown(verdict)
    for result, judged in _by_check(verdict):
        if shown is None and result.status_holds is (verdict.word == "supported"):
            return ending(result.check)
        if shown is not None and any(part is shown for part in judged):
            return comparison_text(shown)
    return reasons_text(verdict.reasons)


def _by_check(verdict: Verdict) -> Iterator[tuple[CheckResult, list[Judged]]]:
    """Yield the outcome of each check with its comparisons as they were judged."""
    judged = iter(verdict.judged)
    for result in verdict.results:
        yield result, list(islice(judged, len(result.comparisons))) if result.reason is None else []


def _shown(verdict: Verdict) -> Judged | None:
    """Return the comparison that a verdict rests on; None where it rests on how runs ended."""
    if verdict.word == "inconclusive":
        return verdict.deciding
    if verdict.word == "contradicted":
        failed = [part for part in verdict.judged if part.holds is False]
        return min(failed, key=lambda part: part.comparison.p_against, default=None)
    held = [part for part in verdict.judged if part.holds]
    return max(held, key=lambda part: part.comparison.p_for, default=None)


def outlook(verdict: Verdict) -> str:
    """Return the seeds that would settle a claim, and which way, if estimates were the truth; empty where none is."""
    deciding = verdict.deciding
    return seeds_text(deciding, "support" if deciding.comparison.is_inside else "contradict") if deciding else ""


def seeds_text(judged: Judged, verb: str = "settle") -> str:
    """Return how many seeds would settle a comparison, and whether this report tests at as many."""
    if judged.seeds is None:
        return f"more than {MOST_SEEDS:,} seeds would {verb} it"
    beyond = "" if judged.seeds <= max(TESTED_AT) else f", but this report tests at {AT_SEEDS} only"
    return f"about {judged.seeds:,} seeds would {verb} it{beyond}"


def comparison_text(judged: Judged) -> str:
    """Return what a comparison asserts, with its estimate, n, and the seeds that would settle it."""
    check, comparison = judged.check, judged.comparison
    text = f"{statement(check, comparison)}: {estimate_text(check, comparison)}, n = {comparison.last.n}"
    if comparison.correlation is not None:
        text += f", paired (correlation {comparison.correlation:.2f})"
    if comparison.forms:
        text += f", forms of the optimizer differ ({', '.join(comparison.forms)})"
    return text if judged.holds is not None else f"{text}; {seeds_text(judged)}"


def _undecided(result: CheckResult, reason: Reason) -> str:
    """Return why a check was not decided, after what it asserts where that is more than a metric."""
    if isinstance(result.check, RunStatus | Overfits):
        return f"{ending(result.check)}: {reason_text(reason, with_metric=False)}"
    if not result.comparisons:
        return f"{METRICS[result.check.metric].title}: {reason_text(reason, with_metric=False)}"
    more = f" (and {len(result.comparisons) - 1} more)" if len(result.comparisons) > 1 else ""
    return f"{statement(result.check, result.comparisons[0])}{more}: {reason_text(reason, with_metric=False)}"


def ending(check: Check) -> str:
    """Return what a check asserts of how runs end, or that a case overfits."""
    if isinstance(check, RunStatus):
        return f'every run of "{check.case}" ends {STATUSES[check.status]}'
    return f'"{check.case}" overfits' if isinstance(check, Overfits) else ""


def statement(check: Check, comparison: Comparison) -> str:
    """Return what a comparison asserts."""
    first, last = f'"{comparison.about[0]}"', f'"{comparison.about[-1]}"'
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


def estimate_text(check: Check, comparison: Comparison) -> str:
    """Return an estimate with its 95 % interval, in its unit: a difference with a sign, a ratio, or a level."""
    estimate = comparison.last
    value, (low, high) = estimate.value, estimate.interval()
    if comparison.falls:
        value, low, high = -value, -high, -low
    if comparison.is_log and isinstance(check, Close):
        scale, name = COSTS[METRICS[check.metric].quantity]
        return _with_interval((exp(value) / scale, exp(low) / scale, exp(high) / scale), name, sign="")
    if comparison.is_log and max(abs(low), abs(high)) < NEAR_ONE:
        return _with_interval((100 * expm1(value), 100 * expm1(low), 100 * expm1(high)), "%", sign="+")
    if comparison.is_log:
        return f"{exp(value):.3g} times [{exp(low):.3g}, {exp(high):.3g}]"
    is_level = len(comparison.about) == 1 and not isinstance(check, RunStatus | Overfits) and check.metric in SHARES
    if is_level:
        return _with_interval((value, low, high), "%", sign="")
    return _with_interval((value, low, high), comparison.unit, sign="+")


def _with_interval(ends: tuple[float, float, float], unit: str, *, sign: str) -> str:
    value, low, high = ends
    digits = _digits((high - low) / 4)
    return f"{value:{sign}.{digits}f} {unit} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def _digits(se: float) -> int:
    """Return decimals that show two digits of a standard error, between 1 and 5."""
    digits = 1
    while digits < 5 and se * 10**digits < 10:
        digits += 1
    return digits if se > 0 else 2
