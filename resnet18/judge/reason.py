"""Why a check cannot be judged: a code with its values. The report makes sentences of them."""

from dataclasses import dataclass
from typing import Literal, get_args

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


class CannotJudgeError(Exception):
    """The records do not bear on a check."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason
