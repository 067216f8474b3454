"""One check: what must be equal and what scatters, over all cases, Holm over all statistics; its exit code."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from resnet18.gate.exact import Cases, Finding, Outcome, exact_findings
from resnet18.gate.statistical import Suspicion, accuracy, costs
from resnet18.records.record import Record
from resnet18.spec.benchmark import Gate
from resnet18.tables.statistics import holm_levels

GONE = "in the baseline, and among the cases no longer; if that was meant: make baseline"
STOPPED = frozenset({"interrupted", "timeout"})
"""Ends that say nothing of the code."""


@dataclass(frozen=True)
class Sides:
    """What is compared. Runs that failed are there too."""

    head: Cases
    """That is judged."""
    baseline: Cases
    """Committed records, for bits and for the spread of accuracy."""
    base: Cases | None = None
    """Of another commit that ran in turns with the head, for times and memory; without it they are not compared."""
    saved_bytes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """What autograd saves of a batch of a case: in the baseline, and now."""


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

    @property
    def rows(self) -> list[dict[str, str]]:
        """The findings as JSON rows."""
        return [asdict(finding) for finding in self.findings]


def check(sides: Sides, gate: Gate) -> Check:
    """Judge the records of a head."""
    found: list[Finding | Suspicion] = [
        Finding(case, "status", "missing", GONE) for case in sides.baseline if case not in sides.head
    ]
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
    failed = next((record for record in new if record.status != "ok"), None)
    old_measured, new_measured = _measured(old), _measured(new)
    if failed and old_measured:
        verdict: Outcome = "missing" if failed.status in STOPPED else "regression"
        yield Finding(case, "status", verdict, f"seed {failed.seed} {_end(failed)}")
    elif not new_measured:
        yield Finding(case, "status", "missing", "no run of the head has a result: nothing was measured")
    elif not old_measured:
        yield Finding(case, "status", "missing", "no baseline: make baseline")
    else:
        exact = [*exact_findings(case, old_measured, new_measured)]
        yield from exact
        if exact[-1].metric != "spec":
            yield accuracy(case, old_measured, new_measured, gate)


def _costs(case: str, base: Cases | None, new: Sequence[Record], gate: Gate) -> Iterator[Finding | Suspicion]:
    if base is None:
        yield Finding(case, "costs", "not compared", "times and memory need a base that runs in turns: BASE=commit")
        return
    old = base.get(case, ())
    if crashed := next((record for record in old if record.status != "ok"), None):
        yield Finding(case, "costs", "missing", f"the base {_end(crashed)}")
    elif measured := _measured(new):
        yield from costs(case, _measured(old), measured, gate)


def _end(record: Record) -> str:
    return f"ended {record.status}: {record.failure.message if record.failure else ''}"


def _measured(records: Sequence[Record]) -> list[Record]:
    """Return the records that hold a result, by seed."""
    return sorted((record for record in records if record.status == "ok"), key=lambda record: record.seed)


def _decided(found: Sequence[Finding | Suspicion], gate: Gate) -> Iterator[Finding]:
    """Turn suspicions into findings, all at once: that any of them is wrong has the gate's rate."""
    ps = [finding.p for finding in found if isinstance(finding, Suspicion)]
    levels = iter(holm_levels(ps, gate.false_alarm_rate))
    for finding in found:
        if isinstance(finding, Finding):
            yield finding
            continue
        level = next(levels)
        verdict: Outcome = "regression" if finding.p <= level else "ok"
        says = f"{finding.says}; p = {finding.p:.2g}, alarm at {level:.2g}"
        yield Finding(finding.case, finding.metric, verdict, says)
