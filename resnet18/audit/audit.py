"""The audit: every kind of finding, with the check that finds it and a line that explains it."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from resnet18.audit.confounding import confounded_factors
from resnet18.audit.derived import other_scope, wrong_arithmetic
from resnet18.audit.finding import Finding, Remark
from resnet18.audit.form import missing_units, uneven_precision, unread_cells
from resnet18.audit.memory import impossible_memory
from resnet18.audit.noise import below_noise_floor, within_sampling_error
from resnet18.audit.protocol import best_on_test, idle_operations, unstated_values
from resnet18.audit.rates import wrong_rates
from resnet18.audit.reading import Reading, reports
from resnet18.audit.repeated import equal_strangers, unequal_twins
from resnet18.audit.statements import contradicted
from resnet18.spec.benchmark import Benchmark


@dataclass(frozen=True)
class Kind:
    """A kind of finding."""

    explains: str
    find: Callable[[Sequence[Reading]], Iterable[Remark]]
    """What it remarks on the tables of one report."""


KINDS = {
    "arithmetic": Kind("a computed number does not follow from the printed cells", wrong_arithmetic),
    "scope": Kind("a number is stated for one metric and computed from another", other_scope),
    "ranking": Kind("the text says what the table does not", contradicted),
    "learning rate": Kind("a printed learning rate does not follow from the schedule", wrong_rates),
    "memory": Kind("printed memory, or a card, does not fit what training needs at least", impossible_memory),
    "same experiment": Kind("one experiment is printed with several values", unequal_twins),
    "same value": Kind("several experiments are printed with one value", equal_strangers),
    "sampling error": Kind("a difference smaller than another test set of this size could make", within_sampling_error),
    "noise floor": Kind("a difference smaller than the same work shows when it is repeated", below_noise_floor),
    "confounded": Kind("effects cannot be told apart, as their factors never vary alone", confounded_factors),
    "best epoch": Kind("the test set chose the epoch, which flatters accuracy", best_on_test),
    "identity": Kind("an operation changes nothing", idle_operations),
    "unread": Kind("a cell is not read as a number, so nothing is checked with it", unread_cells),
    "precision": Kind("numbers of one metric are printed to different digits", uneven_precision),
    "unit": Kind("numbers are printed without their unit", missing_units),
    "unstated": Kind("the numbers depend on values that the report does not state", unstated_values),
}
"""In the order in which they are told: contradictions, doubtful differences, the way of measuring, the form."""


def audit(benchmarks: Collection[Benchmark]) -> tuple[Finding, ...]:
    """Return what each report says against itself, by kind, whatever order the files come in."""
    together = reports(benchmarks)
    return tuple(
        Finding(name, *remark) for name, kind in KINDS.items() for report in together for remark in kind.find(report)
    )
