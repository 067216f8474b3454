"""Records of a table as runs to be judged: their values, how they ended, and what their comparison bears on."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from statistics import fmean
from typing import Any

from resnet18.judge.samples import CannotJudgeError, Reason, Reservation, defined
from resnet18.records.record import TIME_IS_UNRELIABLE, Record, Status
from resnet18.records.store import differ_in_code
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Check, MetricCheck, RunStatus, cases_of, is_about_a_value
from resnet18.spec.experiment import FEWEST_SEEDS, Experiment, is_cifar10
from resnet18.spec.metric import METRICS, MetricFacts, parse_printed, quantity_of
from resnet18.spec.resolve import Request, resolve
from resnet18.tables.metrics import resolution, value_of
from resnet18.tables.selection import CaseRecords, Selection, device_of, machine, mixed, optimizer_form

ENDINGS: frozenset[Status] = frozenset({"ok", "diverged", "oom_device", "oom_host"})
"""How a run can end that was carried out: other endings say nothing of it."""
CARD_TOLERANCE = 0.05
"""Drivers keep a few percent of a card's memory for themselves."""
SMALLER = ("train_images", "epochs", "width")
"""Keys in which a run of a smaller scale falls short of the report's."""


@dataclass(frozen=True)
class RecordedRuns:
    """The records of a table under a request; a chapter has the cases of all tables of its report."""

    selection: Selection
    request: Request
    chapter: Collection[CaseRecords] = ()

    @cached_property
    def _by_name(self) -> dict[str, CaseRecords]:
        return {case.name: case for case in self.selection.cases}

    def _cases(self, check: Check) -> list[CaseRecords]:
        return [self._by_name[name] for name in cases_of(check)]

    def facts(self, metric: str) -> MetricFacts:
        """Return what a metric is."""
        return METRICS[metric]

    def require_comparable(self, check: Check) -> None:
        """Raise CannotJudgeError unless the request allows the check and every case has records, which may be compared.

        A seed with two records counts for none: its runs are no two draws, and make the spread too small.
        """
        if (other := other_terms(check, self.selection.benchmark, self.request)) is not None:
            raise CannotJudgeError(other)
        cases = self._cases(check)
        if len({case.arm_id for case in cases}) < len(cases):
            raise CannotJudgeError(Reason("same_run"))
        for case in cases:
            if not case.records:
                absent = Reason("no_device", what=case.absent) if case.absent else None
                raise CannotJudgeError(absent or Reason("no_records_of_case", case.name))
            seeds = [record.seed for record in case.records]
            if repeated := [seed for seed in seeds if seeds.count(seed) > 1]:
                raise CannotJudgeError(Reason("seed_twice", case.name, count=min(repeated)))
        quantity = quantity_of(check.metric) if isinstance(check, MetricCheck) else "other"
        measured = [record for case in cases for record in case.measured]
        if mixture := mixed(measured, are_costs=quantity in {"seconds", "bytes"}, are_compared=True):
            raise CannotJudgeError(Reason(mixture))
        if differ_in_code(record for case in cases for record in case.records):  # how runs end needs no measured one
            raise CannotJudgeError(Reason("several_codes"))

    def values(self, case: str, metric: str, level: float | None = None) -> list[float]:
        """Return a metric of a case's seeds; CannotJudgeError where a run has no result, or not this metric."""
        return _values(self._by_name[case], metric, level)

    def lent(self, metric: str, cases: Collection[str], level: float | None = None) -> list[list[float]]:
        """Return the values of each arm of the chapter with the same data and code."""
        found = list[list[float]]()
        own = [record for name in cases for record in self._by_name[name].measured]
        for case in {case.arm_id: case for case in self.chapter}.values():
            if not mixed([*own, *case.measured], are_costs=False, are_compared=True):
                with suppress(CannotJudgeError):  # an arm without such a value lends nothing
                    found.append(_values(case, metric, level))
        return [values for values in found if all(map(isfinite, values))]

    def identity(self, case: str) -> str:
        """Return the id that equal cases of all tables have."""
        return self._by_name[case].arm_id

    def step(self, metric: str, cases: Collection[str]) -> float:
        """Return the smallest difference of two values, of logarithms for times and memory."""
        records = [record for name in cases for record in self._by_name[name].measured]
        step = max((resolution(metric, record) for record in records), default=0.0)
        if METRICS[metric].takes_logs:
            return step / fmean([value_of(metric, record) or 1.0 for record in records])
        return step

    def chance(self, metric: str, cases: Collection[str]) -> float | None:  # noqa: ARG002 - that of every accuracy
        """Return the accuracy of guessing in percent."""
        records = [record for name in cases for record in self._by_name[name].measured]
        most = max((len(record.classes or ()) for record in records), default=0)
        return 100 / most if most else None

    def is_blocked(self, metric: str) -> bool:
        """Say whether it is a time: a plan runs seed by seed."""
        return METRICS[metric].quantity == "seconds"

    def status_holds(self, check: RunStatus) -> bool:
        """Say whether every run of the case ended with the status, of those on the device that the report means."""
        case, kind = self._by_name[check.case], check.device.partition(":")[0]
        final = [record for record in case.records if record.status in ENDINGS and device_of(record) == kind]
        if not final:
            raise CannotJudgeError(Reason("no_run_on_device", what=kind))
        if (card := parse_printed(check.card or "")) is not None:
            final = [record for record in final if abs(_card_bytes(record) / card.value - 1) <= CARD_TOLERANCE]
            if not final:
                raise CannotJudgeError(Reason("no_run_on_card", what=card.text))
        if len(final) < FEWEST_SEEDS:
            raise CannotJudgeError(Reason("few_seeds", count=len(final), of=FEWEST_SEEDS))
        endings = {record.status for record in final}
        if len(endings) > 1 and check.status in endings:
            raise CannotJudgeError(Reason("endings_differ", what=", ".join(sorted(endings))))
        return endings == {check.status}

    def reservations(self, check: Check) -> tuple[Reservation, ...]:
        """Return why a verdict on the check says nothing of the report, in the order of `Reservation`."""
        benchmark, request = self.selection.benchmark, self.request
        differing = _differing(benchmark, cases_of(check), request)
        smaller = {key for key, (ran, full) in differing.items() if key in SMALLER and (full == "all" or ran < full)}
        found: dict[Reservation, bool] = {
            "other_data": not is_cifar10(request.data_label),
            "scaled_down": bool(smaller),
            "other_size": "image_size" in differing,
            "confounded": _is_confounded(benchmark, self._cases(check), check),
            "unknown": bool(differing.keys() - smaller - {"image_size"}),
        }
        return tuple(why for why, is_so in found.items() if is_so)


def _seeds(case: CaseRecords, *, are_times: bool) -> list[Record]:
    """Return the records of seeds 0, 1, 2, … as far as they go without a gap, a failed run or an unreliable time.

    Claims are tested at few seeds: what a later seed lacks takes nothing from the test of those before it.
    CannotJudgeError where that leaves too few of them.
    """
    found = list[Record]()
    for record in case.records:
        if record.seed != len(found) or record.status != "ok" or (are_times and record.has_unreliable_times):
            break
        found.append(record)
    else:
        return found
    if len(found) >= FEWEST_SEEDS:
        return found
    if record.status != "ok":
        raise CannotJudgeError(Reason("run_failed", case.name, count=record.seed, what=record.status))
    marked = [one for one in case.measured if one.has_unreliable_times] if are_times else []
    if marked:
        named = ", ".join(sorted({flag for one in marked for flag in one.flags if flag in TIME_IS_UNRELIABLE}))
        raise CannotJudgeError(
            Reason("unreliable_times", case.name, count=len(marked), of=len(case.measured), what=named)
        )
    return found


def _values(case: CaseRecords, metric: str, level: float | None) -> list[float]:
    records = _seeds(case, are_times=METRICS[metric].quantity == "seconds")
    return defined([value_of(metric, record, level) for record in records], metric, METRICS[metric])


def other_terms(check: Check, benchmark: Benchmark, request: Request) -> Reason | None:
    """Return why a check of a value cannot be judged under the request; those of direction always can."""
    if not is_about_a_value(check):
        return None
    if not is_cifar10(request.data_label):
        return Reason("other_data")
    if not _differing(benchmark, cases_of(check), request):
        return None
    return Reason("other_options" if request.scale == "paper" else "other_scale")


def _differing(benchmark: Benchmark, names: Collection[str], request: Request) -> dict[str, tuple[Any, Any]]:
    """Return the keys in which cases under a request are not the report's, with both values."""
    found = dict[str, tuple[Any, Any]]()
    for case in benchmark.cases:
        if case.name in names:
            ran, full = (resolve(benchmark, case, of, seed=0)[0] for of in (request, Request("paper")))
            found |= {key: (getattr(ran, key), getattr(full, key)) for key in _changed(ran, full)}
    return found


def _changed(ran: Experiment, whole: Experiment) -> set[str]:
    """Return in which keys an experiment differs from the report's; test images and data are told elsewhere."""
    told = {"data", "seed", "test_images_epoch", "test_images_last"}
    return {key for key in type(ran).model_fields if key not in told and getattr(ran, key) != getattr(whole, key)}


def _card_bytes(record: Record) -> float:
    """Return the device memory that a run had."""
    cap = parse_printed(record.spec.execution.memory_cap or "")
    return cap.value if cap else float((record.fingerprint.numerics or {}).get("gpu_memory_bytes", 0))


def _is_confounded(benchmark: Benchmark, cases: Sequence[CaseRecords], check: Check) -> bool:
    """Say whether cases differ in more than their table is about.

    Of times and memory also in machine, path and arithmetic, or where these are not the report's: image by image, in
    single precision.
    """
    if benchmark.varies:
        about = {*benchmark.varies, "test_augmentation"}
        if any(not _changed(case.experiment, cases[0].experiment) <= about for case in cases[1:]):
            return True
    if not isinstance(check, MetricCheck) or quantity_of(check.metric) not in {"seconds", "bytes"}:
        return False
    records = [record for case in cases for record in case.measured]
    ways = {(machine(record), record.spec.execution.path, optimizer_form(record)) for record in records}
    is_apart = len(ways) > 1 and "device" not in benchmark.varies
    return is_apart or any(_is_other_arithmetic(record) for record in records)


def _is_other_arithmetic(record: Record) -> bool:
    precision = (record.fingerprint.numerics or {}).get("precision", record.spec.execution.precision)
    return record.spec.execution.path != "reference" or precision not in {"fp32", "tf32"}
