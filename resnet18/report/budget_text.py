"""What fits a budget of time, as rows and as text."""

from typing import Any

from resnet18.judge.budget import Choice, roughly


def choice_rows(choice: Choice) -> list[dict[str, Any]]:
    """Return one flat row for each claim."""
    return [
        {
            "benchmark": one.benchmark,
            "claim": one.claim,
            "says": one.says,
            "seeds": one.seeds,
            "left_out": one.reason or None,
        }
        for one in choice.fates
    ]


def choice_text(choice: Choice, budget_s: float, *, one_at_a_time: bool = True) -> str:
    """Return what fits the budget and what does not, and why; the budget counts runs as if they came one by one."""
    taken = (f"  {one.claim}, {one.seeds} seed{'' if one.seeds == 1 else 's'}: {one.says}" for one in choice.taken)
    left = (f"  left out: {one.claim} ({one.reason}): {one.says}" for one in choice.fates if not one.seeds)
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
