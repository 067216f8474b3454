"""Values of a metric by case and look, and whether records may be compared at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from resnet18.records.compare import differ_in_code, knows_machine
from resnet18.records.record import TIME_IS_UNRELIABLE, Record
from resnet18.spec.claim import MetricCheck
from resnet18.spec.metric import METRICS
from resnet18.tables.interim import LOOKS
from resnet18.tables.metrics import installation, optimizer_form, resolution, value_of
from resnet18.tables.selection import CaseRecords
from resnet18.tables.statistics import Estimate, Region, contrast, correlation, paired_contrast, sequential_p


@dataclass(frozen=True)
class Unit:
    """How an estimate is written."""

    name: str
    is_log: bool
    """The estimate is of logarithms: it is written as a ratio."""


@dataclass(frozen=True)
class Comparison:
    """One sum of means that a check says lies in a region."""

    about: tuple[str, ...]
    """The cases, the one that is meant to be higher first."""
    what: str
    """The quantity, in words."""
    region: Region
    unit: Unit
    estimates: dict[int, Estimate]
    """By look: of seeds 0 to n - 1. With fewer than three seeds there is none."""
    can_only_fail: bool = False
    """The claim does not need it to be shown, but falls where the opposite is."""
    falls: bool = False
    """The estimate counts a fall as positive: it is written with the other sign."""
    against_one_run: bool = False
    """The region is about one run of somebody else: the claim falls only where a further run would not fit."""
    correlation: float | None = None
    """Of the two cases over seeds, where they are paired."""
    forms: tuple[str, ...] = ()
    """Of the cases' optimizers, where times of several forms are compared."""

    @property
    def last(self) -> Estimate:
        """The estimate of the largest look."""
        return self.estimates[max(self.estimates)]

    @property
    def is_inside(self) -> bool:
        """Whether the last estimate agrees with the claim."""
        return self.region.low < self.last.value < self.region.high

    @property
    def p_for(self) -> float:
        """The p for the claim, over all looks."""
        return sequential_p({n: self.region.p_inside(one) for n, one in self.estimates.items()})

    @property
    def p_against(self) -> float:
        """The p against the claim, over all looks."""
        met = {n: one.for_one_more_run() if self.against_one_run else one for n, one in self.estimates.items()}
        return sequential_p({n: self.region.p_outside(one) for n, one in met.items()})


class CannotJudgeError(Exception):
    """The records do not bear on a check; the text says why."""


class OutOfReachError(CannotJudgeError):
    """No further run of the same kind would bear on a check: it takes another scale, data set, device or option."""


class TooFewSeedsError(CannotJudgeError):
    """There are records, but no number that could be compared at the first look."""


def check_comparable(cases: Sequence[CaseRecords]) -> None:
    """Raise CannotJudgeError unless every case has records, all of one data set and one version of the code."""
    if len({case.arm_id for case in cases}) < len(cases):
        raise OutOfReachError("two of its cases are one run under these options")
    for case in cases:
        if not case.records:
            if case.absent:
                raise OutOfReachError(case.absent)
            raise CannotJudgeError(f'"{case.name}" has no records')
        _check_seeds(case)
    records = [record for case in cases for record in case.records]
    if len({record.fingerprint.identity.data_sha256 for record in records if record.status == "ok"}) > 1:
        raise CannotJudgeError("several data sets of one name")
    if differ_in_code(case.records for case in cases):
        raise CannotJudgeError("records of several versions of the code")


def _check_seeds(case: CaseRecords) -> None:
    """Raise CannotJudgeError for a seed that counts twice: its runs are no two draws, and make the spread too small."""
    seeds = [record.seed for record in case.records]
    if repeated := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise CannotJudgeError(f'seed {repeated[0]} of "{case.name}" is in two records')


def measured_in_order(case: CaseRecords) -> list[Record]:
    """Return the records of seeds 0, 1, 2, … as far as there is no gap.

    Raises:
        TooFewSeedsError: one of them has no result: a mean over the others would be biased.
    """
    for record in case.records:
        if record.status != "ok":
            raise TooFewSeedsError(f'seed {record.seed} of "{case.name}" ended {record.status}')
    return [record for at, record in enumerate(case.records) if record.seed == at]


class Sample:
    """Values of a metric by case and look."""

    def __init__(self, check: MetricCheck, cases: Sequence[CaseRecords], *, is_log: bool) -> None:
        self.check, self.is_log = check, is_log
        self.resolution = 0.0
        runs = {case.name: measured_in_order(case) for case in cases}
        if is_log:
            _check_costs(cases)
        self.forms: dict[str, set[str]] = {}
        if METRICS[check.metric].quantity == "seconds":
            _check_flags(cases)
            self.forms = {name: {optimizer_form(record) for record in records} for name, records in runs.items()}
        self.by_case = {name: self._values(records) for name, records in runs.items()}
        seeds = min(len(values) for values in self.by_case.values())
        self.looks = [n for n in LOOKS if n <= seeds]

    def _values(self, records: Sequence[Record]) -> list[float]:
        facts, found = METRICS[self.check.metric], []
        for record in records:
            value = value_of(self.check.metric, record, self.check.level)
            if value is None:
                raise OutOfReachError(f"{facts.title}: needs {facts.needs}")
            if self.is_log and value <= 0:
                raise CannotJudgeError(f"{facts.title}: {value:g}, which no ratio can be taken of")
            self.resolution = max(self.resolution, resolution(self.check.metric, record))
            found.append(log(value) if self.is_log else value)
        if not self.resolution and len(found) > 1 and len(set(found)) == 1:
            raise CannotJudgeError(f"{facts.title}: equal to the last bit over seeds, so that nothing tells its noise")
        return found

    def estimates(self, cases: Sequence[str], weights: Sequence[float]) -> dict[int, Estimate]:
        """Return the weighted sum of the cases' means at each look."""
        method = paired_contrast if self.check.paired else contrast
        return {n: method([self.by_case[name][:n] for name in cases], weights, self.resolution) for n in self.looks}

    def comparison(
        self, cases: Sequence[str], weights: Sequence[float], region: Region, unit: Unit, what: str = ""
    ) -> Comparison:
        """Return one comparison of this sample."""
        values = [self.by_case[name] for name in cases]
        least = max(self.looks, default=0)
        paired = self.check.paired and len(values) == 2 and least > 0
        forms = sorted(set().union(*(self.forms.get(name, set()) for name in cases)) - {""})
        return Comparison(
            about=tuple(cases),
            what=what or METRICS[self.check.metric].title,
            region=region,
            unit=unit,
            estimates=self.estimates(cases, weights),
            correlation=correlation(values[0][:least], values[1][:least]) if paired else None,
            forms=tuple(forms) if len(forms) > 1 else (),
        )


def _check_costs(cases: Sequence[CaseRecords]) -> None:
    """Raise CannotJudgeError for times and memory of several machines or installations, or of an unknown machine."""
    measured = [record for case in cases for record in case.measured]
    if len(measured) > 1 and not all(knows_machine(record.fingerprint.numerics) for record in measured):
        raise CannotJudgeError("runs come from an unknown machine: neither processor nor GPU has a name")
    for case in cases:
        if len({installation(record) for record in case.measured}) > 1:
            raise CannotJudgeError(f'runs of "{case.name}" come from several machines or installations')
    by_device: dict[str, set[tuple[str, ...]]] = {}
    for case in cases:
        by_device.setdefault(case.execution.device, set()).update(installation(record) for record in case.measured)
    if any(len(found) > 1 for found in by_device.values()):
        raise CannotJudgeError("runs come from several machines or installations")


def _check_flags(cases: Sequence[CaseRecords]) -> None:
    times = [set(TIME_IS_UNRELIABLE) & set(record.flags) for case in cases for record in case.measured]
    if flags := set().union(*times):
        count = sum(map(bool, times))
        which, runs = f"flags: {', '.join(sorted(flags))}", f"{count} of {len(times)} times"
        if count == 1:
            advice = "run --retime takes it again, report --accept-unreliable counts it"
            raise CannotJudgeError(f"{runs} is unreliable ({which}): {advice}")
        advice = "run --retime takes them again, report --accept-unreliable counts them"
        raise CannotJudgeError(f"{runs} are unreliable ({which}): {advice}")
