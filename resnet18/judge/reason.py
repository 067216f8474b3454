"""Why a check cannot be judged: a code with its values. The report makes sentences of them."""

from dataclasses import dataclass
from typing import Literal

Code = Literal[
    "no_records",
    "no_records_of_case",
    "other_data",
    "other_scale",
    "other_options",
    "same_run",
    "no_device",
    "no_run_on_device",
    "no_run_on_card",
    "seed_twice",
    "several_data_sets",
    "several_codes",
    "several_machines",
    "unknown_machine",
    "unreliable_times",
    "undefined",
    "too_few_epochs",
    "no_ratio",
    "no_noise",
    "few_seeds",
    "run_failed",
    "endings_differ",
    "not_planned",
    "time_unknown",
    "takes_too_long",
    "other_device",
]
OPEN: frozenset[Code] = frozenset({"few_seeds", "run_failed", "endings_differ"})
"""The records bear on the claim and leave it open. With every other code nothing was run that bears on it."""
OUT_OF_REACH: frozenset[Code] = frozenset(
    {
        "other_data",
        "other_scale",
        "other_options",
        "same_run",
        "no_device",
        "no_run_on_device",
        "no_run_on_card",
        "undefined",
        "too_few_epochs",
    }
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
        return self.code not in OPEN

    @property
    def is_out_of_reach(self) -> bool:
        """Whether no further run of the same kind would help: it takes another scale, data set, device or option."""
        return self.code in OUT_OF_REACH


class CannotJudgeError(Exception):
    """The records do not bear on a check."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason
