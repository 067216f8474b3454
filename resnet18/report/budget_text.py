"""What fits a budget of time, as rows and as text."""

from typing import Any

from resnet18.judge.budget import Choice, Fate
from resnet18.report.reasons import reason_text
from resnet18.spec.printed import duration

IN_SECONDS_S = 180.0


def choice_rows(choice: Choice) -> list[dict[str, Any]]:
    """Return one flat row for each claim."""
    return [
        {
            "benchmark": one.benchmark,
            "claim": one.claim,
            "says": one.says,
            "seeds": one.seeds,
            "left_out": _why(one) or None,
        }
        for one in choice.fates
    ]


def choice_text(choice: Choice, budget_s: float, *, one_at_a_time: bool = True) -> str:
    """Return what fits the budget and what does not, and why; the budget counts runs as if they came one by one."""
    taken = (f"  {one.claim}, {one.seeds} seed{'' if one.seeds == 1 else 's'}: {one.says}" for one in choice.taken)
    left = (f"  left out: {one.claim} ({_why(one)}): {one.says}" for one in choice.fates if not one.seeds)
    return "\n".join([_summary(choice, budget_s, "" if one_at_a_time else " one after another"), *taken, *left])


def _as_given(budget_s: float) -> str:
    """Return a budget in the largest unit in which it is a round number: `90 s`, `100 min`, `1.5 h`."""
    hours, minutes = budget_s / 3_600, budget_s / 60
    if hours >= 1 and (hours * 10).is_integer():
        return f"{hours:g} h"
    return f"{minutes:g} min" if minutes >= 1 and minutes.is_integer() else f"{budget_s:g} s"


def _summary(choice: Choice, budget_s: float, how: str) -> str:
    time = f"in about {roughly(choice.seconds)}{how} of {_as_given(budget_s)}"
    all_of_them, taken = len(choice.fates), len(choice.taken)
    if taken > len(choice.decided):
        return (
            f"Budget: runs for {taken} of {all_of_them} claims, {time}. "
            "None of them can be decided: a verdict needs 3 seeds (--seeds 3)."
        )
    return f"Budget: {taken} of {all_of_them} claims get the seeds that a verdict needs, {time}."


def _why(fate: Fate) -> str:
    """Return why a claim is left out, empty for a claim that is taken."""
    if fate.reason is not None:
        return reason_text(fate.reason)
    return "" if fate.seeds else f"takes about {roughly(fate.takes_s)}, and {roughly(fate.left_s)} is left"


def roughly(seconds: float) -> str:
    """Return a length of time; what is less than three minutes in seconds, which people give budgets in."""
    return f"{seconds:.0f} s" if seconds < IN_SECONDS_S else duration(seconds)
