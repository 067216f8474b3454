"""One check: both tiers over all cases, Holm over all that is judged by statistics, and how the command ends."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from resnet18.gate.exact import exact_findings
from resnet18.gate.finding import Finding, Suspicion, Verdict
from resnet18.gate.statistical import accuracy, costs
from resnet18.records.record import Record
from resnet18.spec.benchmark import Gate
from resnet18.tables.statistics import holm_levels

GONE = "in the baseline, and among the cases no longer; if that was meant: make baseline"
STOPPED = frozenset({"interrupted", "timeout"})
"""Ends that say nothing of the code."""
Cases = Mapping[str, Sequence[Record]]
"""Records by the label of their case."""


@dataclass(frozen=True)
class Check:
    """All that a check says."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0: nothing found. 1: a regression. 3: what had to be measured was not."""
        verdicts = {finding.verdict for finding in self.findings}
        if "regression" in verdicts:
            return 1
        return 3 if "missing" in verdicts or "ok" not in verdicts else 0


@dataclass(frozen=True)
class Sides:
    """What is compared, by the label of each case. Runs that failed are there too."""

    head: Cases
    """That is judged."""
    baseline: Cases
    """Committed records, for bits and for the spread of accuracy."""
    base: Cases | None = None
    """Of another commit that ran in turns with the head, for times and memory; nothing is said of those without it."""
    saved_bytes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """What autograd saves of a batch: in the baseline, and now."""


def check(sides: Sides, gate: Gate) -> Check:
    """Judge the records of a head."""
    gone = [case for case in sides.baseline if case not in sides.head]
    found: list[Finding | Suspicion] = [Finding(case, "status", "missing", GONE) for case in gone]
    for case, records in sides.head.items():
        found += _of_case(case, sides.baseline.get(case, ()), records, gate)
        if case in sides.saved_bytes:
            found.append(_saved(case, *sides.saved_bytes[case]))
        found += _costs(case, sides.base, records, gate)
    return Check(tuple(_decided(found, gate)))


def _saved(case: str, old: int, new: int) -> Finding:
    says = f"{new:,} bytes" if old == new else f"{old:,} bytes and now {new:,}: {100 * (new / old - 1):+.1f} %"
    return Finding(case, "saved_bytes", "ok" if old == new else "regression", says)


def _of_case(case: str, old: Sequence[Record], new: Sequence[Record], gate: Gate) -> Iterator[Finding | Suspicion]:
    failed = [record for record in new if record.status != "ok"]
    if failed and any(record.status == "ok" for record in old):
        one = failed[0]
        verdict: Verdict = "missing" if one.status in STOPPED else "regression"
        message = one.failure.message if one.failure else ""
        yield Finding(case, "status", verdict, f"seed {one.seed} ended {one.status}: {message}")
        return
    old, new = measured(old), measured(new)
    if not new:
        yield Finding(case, "status", "missing", "no run of the head has a result: nothing was measured")
    elif not old:
        yield Finding(case, "status", "missing", "no baseline: make baseline")
    else:
        exact = [*exact_findings(case, old, new)]
        yield from exact
        if exact[-1].metric != "spec":
            yield accuracy(case, old, new, gate)


def _costs(case: str, base: Cases | None, new: Sequence[Record], gate: Gate) -> Iterator[Finding | Suspicion]:
    if base is None:
        yield Finding(case, "costs", "not compared", "times and memory need a base that runs in turns: BASE=commit")
        return
    old = base.get(case, ())
    if crashed := next((record for record in old if record.status != "ok"), None):
        message = crashed.failure.message if crashed.failure else ""
        yield Finding(case, "costs", "missing", f"the base ended {crashed.status}: {message}")
    elif measured(new):
        yield from costs(case, measured(old), measured(new), gate)


def measured(records: Sequence[Record]) -> list[Record]:
    """Return the records that hold a result, by seed."""
    return sorted((record for record in records if record.status == "ok"), key=lambda record: record.seed)


def _decided(found: Sequence[Finding | Suspicion], gate: Gate) -> Iterator[Finding]:
    """Turn suspicions into findings, all at once: that any of them is wrong has the gate's rate."""
    suspicions = [one for one in found if isinstance(one, Suspicion)]
    levels = iter(holm_levels([one.p for one in suspicions], gate.false_alarm_rate))
    for one in found:
        if isinstance(one, Finding):
            yield one
            continue
        level = next(levels)
        verdict: Verdict = "regression" if one.p <= level else "ok"
        yield Finding(one.case, one.metric, verdict, f"{one.says}; p = {one.p:.2g}, alarm at {level:.2g}")
