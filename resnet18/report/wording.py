"""Verdicts in words. Every sentence about who wins is made here, from the verdict; none is typed."""

from math import exp, expm1, inf

from resnet18.judge.checks import CheckResult
from resnet18.judge.sample import Comparison
from resnet18.judge.verdict import Judged, Verdict
from resnet18.report.reasons import reason_text, reasons_text
from resnet18.spec.claim import Check, Close, Difference, Equivalent, Overfits, Ratio, RunStatus, Trend
from resnet18.spec.metric import MARGIN_UNITS, METRICS
from resnet18.spec.scale import TESTED_AT
from resnet18.tables.statistics import MOST_SEEDS

OUTCOMES = {True: "holds", False: "fails", None: "open"}
COSTS = {"seconds": (1.0, "s"), "bytes": (2.0**20, "MiB")}
"""Units of times and memory, and what they are worth."""
SHARES = frozenset({"best_accuracy", "clean_accuracy", "final_train_accuracy"})
"""Metrics whose value is a percentage; a difference of two is in points."""
NEAR_ONE = 0.2
"""Logarithm of a ratio up to which it is written as a difference in percent."""
STATUSES = {"oom_device": "out of memory", "oom_host": "out of memory (host)", "diverged": "diverged", "ok": "ok"}


def lines_of(verdict: Verdict) -> list[str]:
    """Return a line for every part of a claim: what it says, whether it holds, the estimate, interval and n."""
    lines = []
    judged, shown = list(verdict.judged), verdict.deciding
    for result in verdict.results:
        if not result.is_decidable:
            # A check of a metric without comparisons asserts nothing but the metric, which its reason names too.
            reasons = [result.reason] if result.reason else []
            text = "".join(reason_text(reason, with_metric=False) for reason in reasons)
            lines.append(f"{'not run' if result.is_missing else 'open'}: {_asserted(result)}: {text}")
        elif result.status_holds is not None:
            lines.append(f"{OUTCOMES[result.status_holds]}: {_asserted(result)}")
        else:
            mine, judged = judged[: len(result.comparisons)], judged[len(result.comparisons) :]
            lines += [line(one) for one in mine if one.counts or one is shown]
    return lines


def line(judged: Judged) -> str:
    """Return one comparison in a line."""
    check, comparison = judged.check, judged.comparison
    text = f"{OUTCOMES[judged.holds]}: {statement(check, comparison)}: {estimate_text(check, comparison)}"
    text += f", n = {comparison.last.n}"
    if comparison.correlation is not None:
        text += f", paired (correlation {comparison.correlation:.2f})"
    if comparison.forms:
        text += f", forms of the optimizer differ ({', '.join(comparison.forms)})"
    return text if judged.holds is not None else f"{text}; {seeds_text(judged)}"


def seeds_text(judged: Judged, verb: str = "settle") -> str:
    """Return how many seeds would settle a comparison, in words: a look, or more than the last look has."""
    if judged.seeds is None:
        return f"more than {MOST_SEEDS:,} seeds would {verb} it"
    if judged.seeds <= max(TESTED_AT):
        return f"about {judged.seeds} seeds would {verb} it"
    return f"about {judged.seeds:,} seeds, beyond the last look at {max(TESTED_AT)}, would {verb} it"


def outlook(verdict: Verdict) -> str:
    """Return the seeds that would settle a claim, and which way, if estimates were the truth; empty where none is."""
    deciding = verdict.deciding
    return seeds_text(deciding, "support" if deciding.comparison.is_inside else "contradict") if deciding else ""


def decisive(verdict: Verdict) -> str:
    """Return the line that settles a verdict: what fails, what would settle it first, or what held by the least."""
    if verdict.word == "not run" or (verdict.reasons and verdict.word != "contradicted"):
        seeds = outlook(verdict) if verdict.word == "inconclusive" else ""
        return "; ".join(filter(None, (reasons_text(verdict.reasons), seeds)))
    shown = _shown(verdict)
    if shown is None:
        return next(one for one in lines_of(verdict) if one.startswith(("holds", "fails"))).partition(": ")[2]
    return line(shown).partition(": ")[2]


def _shown(verdict: Verdict) -> Judged | None:
    """Return the comparison that a verdict rests on; None where it rests on how runs ended."""
    if verdict.word == "inconclusive":
        return verdict.deciding
    if verdict.word == "contradicted":
        failed = [one for one in verdict.judged if one.holds is False]
        return min(failed, key=lambda one: one.comparison.p_against, default=None)
    held = [one for one in verdict.judged if one.holds]
    return max(held, key=lambda one: one.comparison.p_for, default=None)


def _asserted(result: CheckResult) -> str:
    check = result.check
    if isinstance(check, RunStatus):
        return f'every run of "{check.case}" ends {STATUSES[check.status]}'
    if isinstance(check, Overfits):
        return f'"{check.case}" overfits'
    if result.comparisons:
        more = f" (and {len(result.comparisons) - 1} more)" if len(result.comparisons) > 1 else ""
        return statement(check, result.comparisons[0]) + more
    return METRICS[check.metric].title


def statement(check: Check, comparison: Comparison) -> str:
    """Return what a comparison asserts."""
    first, last = f'"{comparison.about[0]}"', f'"{comparison.about[-1]}"'
    match check:
        case Trend():
            text = f": {first} to {last}"
        case Overfits():
            text = f": {first} {_bound(comparison)}"
        case Equivalent():
            text = f": {first} and {last} within {_margin(check.margin, check)}"
        case Close():
            text = f": {first} within {_margin(check.margin, check)} of {check.reported or f'{check.value:g}'}"
        case Ratio():
            text = f": {first} is {check.low:g} to {check.high:g} times {last}"
        case Difference(than=None):
            text = f": {first} {_bound(comparison)}"
        case Difference(by=by) if by > 0:
            text = f": {first} above {last} by at least {_margin(by, check)}"
        case _:
            text = f": {first} above {last}"
    return f"{comparison.what}{text}"


def _bound(comparison: Comparison) -> str:
    region = comparison.region
    return f"above {region.low:g}" if region.high == inf else f"below {region.high:g}"


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
    is_level = len(comparison.about) == 1 and not isinstance(check, Overfits)
    if is_level and not isinstance(check, RunStatus | Overfits) and check.metric in SHARES:
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
