"""What is asked before the first run: is torch new enough, is the data set whole, how long will the runs take."""

import importlib.metadata
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic

from resnet18.data.dataset import subset
from resnet18.data.source import open_data
from resnet18.execution.child import Child
from resnet18.execution.messages import DataAnswer, DataQuestion, ReportedError, TimingAnswer, TimingQuestion
from resnet18.spec.data import DataSource
from resnet18.spec.errors import EnvironmentMissingError
from resnet18.spec.plan import Run

OLDEST_TORCH = (2, 11)
"""The oldest version that the tests pass with (`make test-oldest`)."""
STEPS = 3
ENOUGH_S = 1.0
"""After so many seconds of one kind of run no further step of it is begun."""
MOST_S = 4.0
"""For one kind, the start of its process and of its device included."""
LEAST_S = 0.5
"""With less left no process is started."""


def check_torch(version: str | None = None) -> None:
    """Refuse a torch, the installed one if left out, that is older than what the tests pass with.

    Raises:
        EnvironmentMissingError: it is; the message has the command that helps.
    """
    version = version or importlib.metadata.version("torch")
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise EnvironmentMissingError(
            f"torch {version}",
            f"is older than {oldest}, the oldest that the suite is tested with",
            next_step=f'python -m pip install --upgrade "torch>={oldest}" torchvision',
        )


def look_at_data(question: DataQuestion) -> DataAnswer:
    """Open and check the data set here, decoding it where no decoded copy is kept.

    Raises:
        SuiteError: it is missing, damaged, or too small.
    """
    data = open_data(question.source, verify=True)
    for size in question.train_sizes:
        subset(data, "train", size)
    for size in question.test_sizes:
        subset(data, "test", size)
    return DataAnswer(sha256=data.sha256, train_images=len(data.train.labels), test_images=len(data.test.labels))


def ask(question: DataQuestion) -> DataAnswer:
    """Return the answer of a child process about the data set.

    Raises:
        ReportedError: the data set is missing, damaged or too small.
        RuntimeError: the child died.
    """
    child = Child(question)
    try:
        for message in child.messages():
            if message.problem:
                raise ReportedError(message.problem)
            if message.answer:
                return message.answer
        raise RuntimeError(f"the process that opens the data set ended with exit code {child.wait()}")
    finally:
        child.kill()


def time_steps(question: TimingQuestion, limit_s: float) -> TimingAnswer | None:
    """Return how long a few steps take in a child process, as far as it comes; None where it comes to no step."""
    answer = None
    child = Child(question, Path(os.devnull))
    try:
        with suppress(TimeoutError):
            for message in child.messages(monotonic() + limit_s):
                answer = message.timing or answer
    finally:
        child.kill()
    return answer


def timed(runs: Iterable[Run], source: DataSource, limit_s: float) -> dict[str, TimingAnswer]:
    """Return how fast runs go here, by run id; those for which no time is left, or which fail, are left out.

    So are those of which only the first step ended: on a fresh machine it compiles kernels and warms libraries, which
    may take a hundred times as long as a step does.
    """
    found: dict[str, TimingAnswer] = {}
    end_s = monotonic() + limit_s
    for run in runs:
        left_s = end_s - monotonic()
        if left_s < LEAST_S:
            break
        question = TimingQuestion(
            source=source,
            experiment=run.experiment,
            execution=run.execution,
            steps=STEPS,
            enough_s=min(ENOUGH_S, left_s / 2),
        )
        if (answer := time_steps(question, min(MOST_S, left_s))) is not None and answer.steps:
            found[run.run_id] = answer
    return found
