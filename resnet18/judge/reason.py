"""Why a check cannot be judged: reasons with their sentences."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from resnet18.spec.metric import METRICS, duration
from resnet18.tables.selection import MIXED

Bearing = Literal["open", "missing", "out of reach", "no situation"]
"""The records leave the check open; nothing that was run bears on it; it takes another scale, data, device, option;
what it is about did not arise in the runs."""
RETIME = "{count} of {of} times are unreliable ({what}); run --retime reruns them, report --accept-unreliable uses them"
REASONS: dict[str, tuple[Bearing, str]] = {
    "few_seeds": ("open", "{count} of at least {of} seeds"),
    "run_failed": ("open", 'seed {count} of "{case}" ended {what}'),
    "endings_differ": ("open", "runs ended differently: {what}"),
    "other_data": ("out of reach", "tested on CIFAR-10 only"),
    "other_scale": ("out of reach", "tested at paper scale only"),
    "other_options": ("out of reach", "an option changed the experiment"),
    "same_run": ("out of reach", "under these options two of its cases are the same run"),
    "no_device": ("out of reach", "{what}"),
    "no_run_on_device": ("out of reach", "no run on {what}"),
    "no_run_on_card": ("out of reach", "no run on a GPU with {what}"),
    "needs_records": ("out of reach", "records tell how runs end, a table of values does not"),
    "other_runs": ("out of reach", "tested only on runs with the report's data, scale and size"),
    "undefined": ("no situation", "needs {needs}"),
    "not_fitted": ("no situation", "training accuracy reached {count} %, and overfitting needs {of} %"),
    "not_learned": ("no situation", "the best case reached {what} %, and guessing {count} %"),
    "never_reached": ("no situation", "no run reached {what} %"),
    "no_records": ("missing", "no records"),
    "no_records_of_case": ("missing", '"{case}" has no records'),
    "seed_twice": ("missing", 'seed {count} of "{case}" is in two records'),
    **{code: ("missing", f"runs come from {where}") for code, where in MIXED.items()},
    "unreliable_times": ("missing", RETIME),
    "marked_unreliable": ("missing", "{count} of {of} times are marked as unreliable"),
    "no_values": ("missing", '"{case}" has no values of {what}'),
    "seeds_differ": ("missing", "what is paired needs the same seeds on either side"),
    "epoch_missing": ("missing", "an epoch of a curve is missing"),
    "no_ratio": ("missing", "{what}: no ratio can be computed"),
    "not_planned": ("missing", "{case} is not planned"),
    "time_unknown": ("missing", "the time of {case} is unknown"),
    "takes_too_long": ("missing", "needs about {needed}; {left} of the budget is left"),
    "unlikely": ("missing", "not even {count} seeds would probably decide it"),
    "other_device": ("missing", "{case} does not run on {what} here"),
}
"""Why a check cannot be judged, by code: how the records bear on it, and the sentence."""


@dataclass(frozen=True)
class Reason:
    """A code of `REASONS`, and what its sentence names; fields that a code has no use for stay empty."""

    code: str
    case: str = ""
    metric: str = ""
    count: int = 0
    """Seeds or times there are, epochs or seconds that are needed, or the seed in question."""
    of: int = 0
    """How many there should be, are left, or are in all."""
    what: str = ""
    """A value, a status, flags, a device or a card, as records and specs spell them."""

    @property
    def bearing(self) -> Bearing:
        """How the records bear on the check."""
        return REASONS[self.code][0]


def reason_text(reason: Reason, *, with_metric: bool = True) -> str:
    """Return a reason in words, after the metric and the case that it is about unless those are said already."""
    facts, template = METRICS.get(reason.metric), REASONS[reason.code][1]
    needs = facts.needs if facts else ""
    text = template.format(**vars(reason), needs=needs, needed=duration(reason.count), left=duration(reason.of))
    if reason.case and "{case}" not in template:
        text = f'"{reason.case}": {text}'
    return f"{facts.title}: {text}" if facts and with_metric else text


def reasons_text(reasons: Iterable[Reason], *, with_metric: bool = True) -> str:
    """Return several reasons in words, each once."""
    return "; ".join(dict.fromkeys(reason_text(reason, with_metric=with_metric) for reason in reasons))


class CannotJudgeError(Exception):
    """The records do not bear on a check."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason
