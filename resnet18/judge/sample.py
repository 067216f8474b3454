"""From records to comparisons: whether records may be compared, and a metric's values by case and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log

from resnet18.judge.reason import CannotJudgeError, Reason
from resnet18.records.content import differ_in_code, knows_machine
from resnet18.records.record import TIME_IS_UNRELIABLE, Record
from resnet18.spec.claim import MetricCheck
from resnet18.spec.experiment import TESTED_AT
from resnet18.spec.metric import MARGIN_UNITS, METRICS
from resnet18.tables.metrics import installation, optimizer_form, resolution, value_of
from resnet18.tables.selection import CaseRecords
from resnet18.tables.statistics import Estimate, Region, contrast, correlation, paired_contrast, sequential_p


@dataclass(frozen=True)
class Comparison:
    """One weighted sum of means, and the region in which a check says that it lies."""

    about: tuple[str, ...]
    """The cases, the case that is meant to be higher first."""
    what: str
    """The quantity, in words."""
    region: Region
    unit: str
    """Of a margin; `%`: estimates are logarithms, and are written as ratios."""
    estimates: dict[int, Estimate]
    """By interim analysis: of seeds 0 to n - 1. With fewer than three seeds there is none."""
    can_only_fail: bool = False
    """The claim does not need it to hold, but falls where the opposite is shown."""
    falls: bool = False
    """The estimate counts a fall as positive: it is written with the other sign."""
    against_one_run: bool = False
    """The region is about one run of the report: only a further run of ours that would not fit refutes the claim."""
    correlation: float | None = None
    """Of the two cases over seeds, where they are paired."""
    forms: tuple[str, ...] = ()
    """Of the cases' optimizers, where times of several forms are compared."""

    @property
    def is_log(self) -> bool:
        """Whether estimates are logarithms of ratios."""
        return self.unit == "%"

    @property
    def last(self) -> Estimate:
        """The estimate of the last interim analysis."""
        return self.estimates[max(self.estimates)]

    @property
    def is_inside(self) -> bool:
        """Whether the last estimate agrees with the claim."""
        return self.region.low < self.last.value < self.region.high

    @property
    def p_for(self) -> float:
        """The p for the claim, over all interim analyses."""
        return sequential_p({n: self.region.p_inside(found) for n, found in self.estimates.items()})

    @property
    def p_against(self) -> float:
        """The p against the claim, over all interim analyses."""
        met = {n: found.for_one_more_run() if self.against_one_run else found for n, found in self.estimates.items()}
        return sequential_p({n: self.region.p_outside(found) for n, found in met.items()})


@dataclass(frozen=True)
class Sample:
    """Values by case, in the order of seeds; logarithms where the unit is `%`."""

    what: str
    unit: str
    values: Mapping[str, Sequence[float]]
    resolution: float = 0.0
    paired: bool = False
    forms: Mapping[str, set[str]] = field(default_factory=dict)
    """Of each case's optimizers, where the values are times."""

    def comparison(self, cases: Sequence[str], weights: Sequence[float], region: Region, what: str = "") -> Comparison:
        """Return the weighted sum of the cases' means at each interim analysis, and the region that it is held to."""
        values = [self.values[name] for name in cases]
        seeds = min(len(found) for found in self.values.values())
        tested_at = [n for n in TESTED_AT if n <= seeds]
        method = paired_contrast if self.paired else contrast
        last = max(tested_at, default=0)
        is_pair = self.paired and len(values) == 2 and last > 0
        forms = sorted(set().union(*(self.forms.get(name, set()) for name in cases)) - {""})
        return Comparison(
            about=tuple(cases),
            what=what or self.what,
            region=region,
            unit=self.unit,
            estimates={n: method([found[:n] for found in values], weights, self.resolution) for n in tested_at},
            correlation=correlation(values[0][:last], values[1][:last]) if is_pair else None,
            forms=tuple(forms) if len(forms) > 1 else (),
        )


def sample_of(check: MetricCheck, cases: Sequence[CaseRecords]) -> Sample:
    """Return the values of a check's metric.

    Raises:
        CannotJudgeError: a run failed or has no such value, times are unreliable, or nothing tells the values' noise.
    """
    metric, facts = check.metric, METRICS[check.metric]
    unit = MARGIN_UNITS[facts.quantity]
    runs = {case.name: measured_in_order(case) for case in cases}
    if unit == "%":
        _check_machines(cases)
    forms: dict[str, set[str]] = {}
    if facts.quantity == "seconds":
        _check_times([record for case in cases for record in case.measured])
        forms = {name: {optimizer_form(record) for record in records} for name, records in runs.items()}
    steps = [resolution(metric, record) for records in runs.values() for record in records]
    values = {name: [_value(check, record, unit) for record in records] for name, records in runs.items()}
    for found in values.values():
        if not any(steps) and len(found) > 1 and len(set(found)) == 1:
            raise CannotJudgeError(Reason("no_noise", metric=metric))
    return Sample(facts.title, unit, values, max(steps, default=0.0), check.paired, forms)


def _value(check: MetricCheck, record: Record, unit: str) -> float:
    value = value_of(check.metric, record, check.level)
    if value is None:
        raise CannotJudgeError(Reason("undefined", metric=check.metric))
    if unit == "%" and value <= 0:
        raise CannotJudgeError(Reason("no_ratio", metric=check.metric, value=value))
    return log(value) if unit == "%" else value


def measured_in_order(case: CaseRecords) -> list[Record]:
    """Return the records of seeds 0, 1, 2, … as far as there is no gap.

    Raises:
        CannotJudgeError: one of them has no result: a mean over the others would be biased.
    """
    for record in case.records:
        if record.status != "ok":
            raise CannotJudgeError(Reason("run_failed", case=case.name, count=record.seed, what=record.status))
    return [record for at, record in enumerate(case.records) if record.seed == at]


def check_comparable(cases: Sequence[CaseRecords]) -> None:
    """Raise CannotJudgeError unless every case has records, all of one data set and one version of the code.

    A seed with two records counts for none: its runs are no two draws, and make the spread too small.
    """
    if len({case.arm_id for case in cases}) < len(cases):
        raise CannotJudgeError(Reason("same_run"))
    for case in cases:
        if not case.records and case.absent:
            raise CannotJudgeError(Reason("no_device", what=case.absent))
        if not case.records:
            raise CannotJudgeError(Reason("no_records_of_case", case=case.name))
        seeds = [record.seed for record in case.records]
        if repeated := [seed for seed in seeds if seeds.count(seed) > 1]:
            raise CannotJudgeError(Reason("seed_twice", case=case.name, count=min(repeated)))
    measured = [record for case in cases for record in case.measured]
    if len({record.fingerprint.identity.data_sha256 for record in measured}) > 1:
        raise CannotJudgeError(Reason("several_data_sets"))
    if differ_in_code(case.records for case in cases):
        raise CannotJudgeError(Reason("several_codes"))


def _check_machines(cases: Sequence[CaseRecords]) -> None:
    """Raise CannotJudgeError for times and memory of several machines or installations, or of an unknown machine."""
    measured = [record for case in cases for record in case.measured]
    if len(measured) > 1 and not all(knows_machine(record.fingerprint.numerics) for record in measured):
        raise CannotJudgeError(Reason("unknown_machine"))
    by_device: dict[str, set[tuple[str, ...]]] = {}
    for case in cases:
        found = {installation(record) for record in case.measured}
        if len(found) > 1:
            raise CannotJudgeError(Reason("several_machines", case=case.name))
        by_device.setdefault(case.execution.device, set()).update(found)
    if any(len(found) > 1 for found in by_device.values()):
        raise CannotJudgeError(Reason("several_machines"))


def _check_times(measured: Sequence[Record]) -> None:
    flags = [set(TIME_IS_UNRELIABLE).intersection(record.flags) for record in measured]
    if any(flags):
        named = ", ".join(sorted(set().union(*flags)))
        raise CannotJudgeError(Reason("unreliable_times", count=sum(map(bool, flags)), of=len(measured), what=named))
