"""Time a few steps of each kind of run, in a child process each, within a limit for all of them."""

from collections.abc import Iterable
from time import monotonic

from resnet18.execution import process
from resnet18.execution.job import Place, TimingAnswer, TimingQuestion
from resnet18.spec.plan import Run

STEPS = 3
ENOUGH_S = 1.0
"""After so many seconds of one kind no further step of it is begun."""
MOST_S = 4.0
"""For one kind, the start of its process and of its device included."""
LEAST_S = 0.5
"""With less left no process is started."""


def timed(runs: Iterable[Run], place: Place, limit_s: float) -> dict[str, TimingAnswer]:
    """Return how fast runs go here, by run id; those for which no time is left, or which fail, are left out.

    So are those of which only the first step ended: on a fresh machine it compiles kernels and warms libraries, which
    may take a hundred times as long as a step does, and no pace is better than that.

    Args:
        runs: one of each kind, the one that matters most first.
        place: of the data set.
        limit_s: for all of them together.
    """
    found: dict[str, TimingAnswer] = {}
    end_s = monotonic() + limit_s
    for run in runs:
        left_s = end_s - monotonic()
        if left_s < LEAST_S:
            break
        question = TimingQuestion(
            place=place,
            experiment=run.experiment,
            execution=run.execution,
            steps=STEPS,
            enough_s=min(ENOUGH_S, left_s / 2),
        )
        if (answer := process.time_steps(question, min(MOST_S, left_s))) is not None and answer.steps:
            found[run.run_id] = answer
    return found
