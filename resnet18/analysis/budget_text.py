"""What fits a budget of time, as rows and as text."""

from typing import Any

from resnet18.analysis.budget import Choice
from resnet18.spec.duration import duration


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


def _summary(choice: Choice, budget_s: float, how: str) -> str:
    time = f"in about {duration(choice.seconds)}{how} of {duration(budget_s)}"
    all_of_them, taken = len(choice.fates), len(choice.taken)
    if taken > len(choice.decided):
        return (
            f"Budget: runs for {taken} of {all_of_them} claims, {time}. "
            "None of them can be decided: a verdict needs 3 seeds (--seeds 3)."
        )
    return f"Budget: {taken} of {all_of_them} claims get the seeds that a verdict needs, {time}."
