"""What is asked before the first run, as far as it is answered without torch."""

import importlib.metadata

from resnet18.data.dataset import subset
from resnet18.data.source import open_data
from resnet18.execution.job import DataAnswer, DataQuestion
from resnet18.spec.errors import EnvironmentMissingError

OLDEST_TORCH = (2, 11)
"""The oldest version that the tests pass with (`make test-oldest`)."""


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
    """Open and check the data set, decoding it where no decoded copy is kept.

    Raises:
        SuiteError: it is missing, damaged, or too small.
    """
    data = open_data(question.place.source, verify=True)
    for size in question.train_sizes:
        subset(data, "train", size)
    for size in question.test_sizes:
        subset(data, "test", size)
    return DataAnswer(sha256=data.sha256, train_images=len(data.train.labels), test_images=len(data.test.labels))
