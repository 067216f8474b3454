"""Why a check cannot be judged: a code with its values, and the sentence of each code."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from resnet18.spec.metric import METRICS, duration

Open = Literal["few_seeds", "run_failed", "endings_differ"]
"""The records bear on the claim and leave it open. With every other code nothing was run that bears on it."""
OutOfReach = Literal[
    "other_data",
    "other_scale",
    "other_options",
    "same_run",
    "no_device",
    "no_run_on_device",
    "no_run_on_card",
    "undefined",
    "too_few_epochs",
]
"""No further run of the same kind would help: it takes another scale, data set, device or option."""
Code = (
    Open
    | OutOfReach
    | Literal["no_records", "no_records_of_case", "not_planned", "time_unknown", "takes_too_long", "other_device"]
    | Literal["several_data_sets", "several_codes", "several_machines", "unknown_machine", "unreliable_times"]
    | Literal["seed_twice", "no_ratio", "no_noise"]
)
TEXTS: dict[Code, str] = {
    "no_records": "no records",
    "no_records_of_case": '"{case}" has no records',
    "other_data": "judged on CIFAR-10 alone",
    "other_scale": "judged at paper scale alone",
    "other_options": "an option changed the experiment",
    "same_run": "two of its cases are one run under these options",
    "no_device": "{what}",
    "no_run_on_device": "no run on {what}",
    "no_run_on_card": "no run on a card of {what}",
    "seed_twice": 'seed {count} of "{case}" is in two records',
    "several_data_sets": "several data sets of one name",
    "several_codes": "records of several versions of the code",
    "several_machines": "runs come from several machines or installations",
    "unknown_machine": "runs come from an unknown machine: neither processor nor GPU has a name",
    "unreliable_times": "unreliable times: {count} of {of} (flags: {what}); run --retime takes them again, "
    "report --accept-unreliable counts them",
    "undefined": "needs {needs}",
    "too_few_epochs": "overfitting: needs {count} epochs",
    "no_ratio": "{value:g}, which no ratio can be taken of",
    "no_noise": "equal to the last bit over seeds, so that nothing tells its noise",
    "few_seeds": "{count} of the {of} seeds that a verdict needs",
    "run_failed": 'seed {count} of "{case}" ended {what}',
    "endings_differ": "runs ended differently: {what}",
    "not_planned": "{case} is not planned",
    "time_unknown": "how long {case} takes is not known",
    "takes_too_long": "takes about {needed}, and {left} is left",
    "other_device": "{case} does not run on {what} here",
}


@dataclass(frozen=True)
class Reason:
    """A code, and what its sentence names; fields that a code has no use for stay empty."""

    code: Code
    case: str = ""
    metric: str = ""
    count: int = 0
    """Seeds or times there are, epochs or seconds that are needed, or the seed in question."""
    of: int = 0
    """How many there should be, are left, or are in all."""
    value: float = 0.0
    what: str = ""
    """A status, flags, a device or a card, as records and specs spell them."""

    @property
    def is_missing(self) -> bool:
        """Whether nothing was run that bears on the check."""
        return self.code not in get_args(Open)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether no further run of the same kind would help."""
        return self.code in get_args(OutOfReach)


def reason_text(reason: Reason, *, with_metric: bool = True) -> str:
    """Return a reason in words, after the metric and the case that it is about unless those are said already."""
    facts, template = METRICS.get(reason.metric), TEXTS[reason.code]
    values = {"case": reason.case, "count": reason.count, "of": reason.of, "value": reason.value, "what": reason.what}
    times = {"needed": duration(reason.count), "left": duration(reason.of)}
    text = template.format(**values, **times, needs=facts.needs if facts else "")
    if reason.case and "{case}" not in template:
        text = f'"{reason.case}": {text}'
    return f"{facts.title}: {text}" if facts and with_metric else text


def reasons_text(reasons: Iterable[Reason]) -> str:
    """Return several reasons in words, each once."""
    return "; ".join(dict.fromkeys(reason_text(reason) for reason in reasons))


class CannotJudgeError(Exception):
    """The records do not bear on a check."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason
