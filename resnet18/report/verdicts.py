"""Verdicts in words, and how the claims of a report stand. Every sentence about who wins is made here."""

from collections.abc import Collection, Iterator, Sequence
from math import ceil, exp, expm1, inf, log10
from typing import assert_never, get_args

from resnet18.judge.checks import Comparison
from resnet18.judge.reason import reason_text, reasons_text
from resnet18.judge.verdict import CheckResult, Verdict, Word
from resnet18.report import document as doc
from resnet18.report.document import Code, Items, Line, Strong
from resnet18.report.notes import command
from resnet18.spec.claim import Close, Difference, Equivalent, Overfits, Ranking, Ratio, RunStatus, Trend
from resnet18.spec.experiment import FEWEST_SEEDS, TESTED_AT
from resnet18.spec.metric import MARGIN_UNITS, METRICS
from resnet18.spec.resolve import Request
from resnet18.tables.cells import COSTS, STATUS_TEXT
from resnet18.tables.statistics import ALPHA

VERDICTS: tuple[Word, ...] = get_args(Word)
AT_SEEDS = ", ".join(str(seeds) for seeds in sorted(TESTED_AT)[:-1]) + f" and {max(TESTED_AT)} seeds"
OUTCOMES = {True: "holds", False: "fails", None: "inconclusive"}
NEAR_ONE = 0.2
"""Logarithm of a ratio up to which it is written as a difference in percent."""


def was_judged(verdicts: Collection[Verdict]) -> bool:
    """Say whether any claim has a verdict other than *not run*."""
    return any(verdict.here != "not run" for verdict in verdicts)


def judgement(report: str, verdicts: tuple[Verdict, ...], request: Request) -> doc.Judgement:
    """Return the verdicts of a request on one report: every claim, and how sure they are.

    The summary has their count, a line for each claim that is decided, and what would decide the others.
    """
    by_word = {word: [verdict for verdict in verdicts if verdict.here == word] for word in VERDICTS}
    lines = [
        Line(Strong(f"{verdict.claim.id} {word}"), f" ({verdict.claim.says}): {decisive(verdict)}.")
        for word in ("contradicted", "supported")
        for verdict in by_word[word]
    ]
    lines += _inconclusive(by_word["inconclusive"])
    lines += _by_reason("Not judgeable", by_word["not judgeable"])
    lines += _by_reason("Not run", by_word["not run"], is_brief=was_judged(verdicts))
    lines += _next_command(by_word["inconclusive"], request)
    head = Line(
        f"Of {len(verdicts)} {'claim' if len(verdicts) == 1 else 'claims'} of {report}: ",
        Strong(", ".join(f"{len(found)} {word}" for word, found in by_word.items())),
        f" ({request.described}).",
    )
    note = Line(
        'The chance that a verdict "supported" or "contradicted" of this table is wrong is at most '
        f"{100 * ALPHA:g} % for all of them together (Holm's procedure over all {len(verdicts)} claims). "
        f"Claims are tested at {AT_SEEDS} only. "
        "Brackets are 95 % intervals of one comparison, without Holm's correction: an interval may exclude the claimed "
        "value although the verdict is inconclusive. ",
        Strong("Not run"),
        ": records are missing, or the claim is not tested with these data, scale or options (docs/methodology.md).",
    )
    return doc.Judgement(report, verdicts, (head, Items(lines)) if lines else (head,), note)


def _inconclusive(verdicts: Sequence[Verdict]) -> Iterator[Line]:
    """Yield lines of what seeds would decide, what ten would not, what none would support, what waits for records."""
    within = [verdict for verdict in verdicts if not verdict.out_of_reach]
    is_open = [verdict for verdict in within if verdict.is_open]
    if near := [verdict for verdict in is_open if seeds_of(verdict)]:
        nearest = sorted(near, key=lambda verdict: seeds_of(verdict) or inf)
        text = ", ".join(f"{verdict.claim.id} ({outlook(verdict)})" for verdict in nearest)
        yield Line(f"Inconclusive. If the estimates were exact, these seeds would probably decide: {text}.")
    if far := [verdict.claim.id for verdict in is_open if not seeds_of(verdict)]:
        yield Line(f"Inconclusive, and probably still so at {max(TESTED_AT)} seeds, the most tested: {', '.join(far)}.")
    if beyond := [verdict for verdict in verdicts if verdict.out_of_reach]:
        reasons = (
            f"{verdict.claim.id} ({'; '.join(filter(None, (reasons_text(verdict.out_of_reach), outlook(verdict))))})"
            for verdict in beyond
        )
        yield Line(f"Inconclusive, and no number of seeds of such runs can support the claim: {', '.join(reasons)}.")
    yield from _by_reason("Inconclusive", [verdict for verdict in within if not verdict.is_open])


def _by_reason(head: str, verdicts: Sequence[Verdict], *, is_brief: bool = False) -> Iterator[Line]:
    """Yield a line for each reason, with its claims; briefly, cases without records are not named here."""
    by_reason: dict[str, list[str]] = {}
    for verdict in verdicts:
        lacks_cases = {reason.code for reason in verdict.reasons} == {"no_records_of_case"}
        text = "some cases have no records" if is_brief and lacks_cases else reasons_text(verdict.reasons)
        by_reason.setdefault(text, []).append(verdict.claim.id)
    yield from (Line(f"{head}: {', '.join(ids)} ({reason}).") for reason, ids in by_reason.items())


def _next_command(inconclusive: Sequence[Verdict], request: Request) -> Iterator[Line]:
    """Yield the command that brings the claims that need the fewest seeds to their next number of seeds, if any."""
    wanted: dict[int, list[Verdict]] = {}
    for verdict in inconclusive:
        is_short = any(reason.code == "few_seeds" for reason in verdict.reasons)
        if seeds := seeds_of(verdict) if verdict.deciding else FEWEST_SEEDS if is_short else None:
            wanted.setdefault(seeds, []).append(verdict)
    if wanted:
        seeds, nearest = min(wanted.items())
        decided = ", ".join(verdict.claim.id for verdict in nearest if verdict.deciding)
        outcome = f"will probably decide {decided}" if decided else "allows a first test"
        typed = command([verdict.benchmark for verdict in nearest], request, "--seeds", str(seeds))
        yield Line(Code(typed), f" {outcome}.")


def evidence_of(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Yield what became of every part of a claim: whether it holds, with its estimate, interval and n."""
    for result in verdict.results:
        if result.reason is not None:
            text = f"{_asserted(result)}: {reason_text(result.reason, with_metric=False)}"
            yield "not run" if result.is_missing else OUTCOMES[None], text
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
    holds = verdict.here == "supported"
    settled = [part for part in verdict.comparisons if part.holds is holds]
    if verdict.here == "inconclusive":
        shown = verdict.deciding
    elif holds:
        shown = max(settled, key=lambda part: part.p_for, default=None)
    else:
        shown = min(settled, key=lambda part: part.p_against, default=None)
    if shown is not None:
        return comparison_text(shown)
    endings = (_asserted(result) for result in verdict.results if result.status_holds is holds)
    return next(endings, reasons_text(verdict.reasons))


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
        return METRICS[check.metric].title
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
            text = f"within {_margin(check.margin, check)}"
        case Close():
            text = f"{check.reported or f'{check.value:g}'} within {_margin(check.margin, check)}"
        case Ratio():
            text = f"{check.low:g} to {check.high:g} times"
        case Overfits() | Difference(than=None):
            text = f"above {region.low:g}" if region.high == inf else f"below {region.high:g}"
        case Difference(by=by) if by > 0:
            text = f"at least {_margin(by, check)}"
        case Difference() | Ranking():
            text = "larger" if comparison.is_log else "above 0"
        case _:
            assert_never(check)
    return f"; claimed: {text}"


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
        unit, scale, _ = COSTS[METRICS[check.metric].quantity]
        ends, sign = (exp(ends[0]) / scale, exp(ends[1]) / scale, exp(ends[2]) / scale), ""
    elif comparison.is_log and max(abs(ends[1]), abs(ends[2])) < NEAR_ONE:
        ends = 100 * expm1(ends[0]), 100 * expm1(ends[1]), 100 * expm1(ends[2])
    elif comparison.is_log:
        return "{:.3g} times [{:.3g}, {:.3g}]".format(*map(exp, ends))
    elif len(comparison.about) == 1 and comparison.facts.is_share:
        unit, sign = "%", ""
    se = (ends[2] - ends[1]) / 4
    digits = min(max(ceil(1 - log10(se)), 1), 5) if se > 0 else 2
    value, low, high = (f"{end:{sign}.{digits}f}" for end in ends)
    return f"{value} {unit} [{low}, {high}]"
