"""What the runner and a worker say to each other: JSON texts of these values, so that nothing of ours is pickled."""

from typing import Annotated, Literal

from pydantic import Field

from resnet18.execution.policy import CHECKPOINT_EVERY_S
from resnet18.records.record import Identity, RecordSpec, Status
from resnet18.spec.data import DataSource, path_from_text, path_to_text
from resnet18.spec.errors import SuiteError
from resnet18.spec.experiment import CountOrAll, Execution, Experiment
from resnet18.spec.scale import ScaleName
from resnet18.spec.strict import Items, Model


class Stop:
    """Asks a worker to stop between two steps. A signal sets it, so it is no lock that the signal could meet held."""

    is_requested = False


class Place(Model):
    """Where the data set is read from on this machine. It enters no record."""

    kind: Literal["embedded", "cifar10", "imagefolder"]
    label: str
    path: str | None
    """As `path_to_text` writes it."""

    @classmethod
    def of(cls, source: DataSource) -> "Place":
        """Return the place of a data set, its path made absolute."""
        path = None if source.path is None else path_to_text(source.path.resolve())
        return cls(kind=source.kind, label=source.label, path=path)

    @property
    def source(self) -> DataSource:
        """The data set that a worker opens."""
        return DataSource(self.kind, self.label, None if self.path is None else path_from_text(self.path))


class DataQuestion(Model):
    """Asked once before the first run: is the data set whole, and large enough for these subsets?"""

    place: Place
    train_sizes: Items[CountOrAll]
    test_sizes: Items[CountOrAll]
    execution: Execution | None = None
    """Asks for the numerics of a run that is carried out so."""


class DataAnswer(Model):
    """The data set's hash and size."""

    sha256: str
    train_images: int
    test_images: int = 0
    numerics: dict[str, str | int | bool] | None = None
    """As far as they are known before a run."""


class TimingQuestion(Model):
    """Asked before the first run: how long do a few training steps of this experiment take here?"""

    place: Place
    experiment: Experiment
    execution: Execution
    steps: Annotated[int, Field(ge=1)]
    """To time, after one that is not."""
    enough_s: Annotated[float, Field(gt=0)]
    """After so many seconds no further step is begun."""


class TimingAnswer(Model):
    """The pace of an experiment on this machine."""

    steps: int
    """That were timed; 0: the first alone, which warms up."""
    prepare_s: float
    train_image_s: float
    """For each image of a step."""
    eval_image_s: float
    """For each image of one evaluation."""


class Job(Model):
    """One attempt at a run."""

    attempt: Annotated[int, Field(ge=1)]
    scale: ScaleName
    spec: RecordSpec
    identity: Identity
    place: Place
    results: str
    """The results directory, absolute, as `path_to_text` writes it."""
    checkpoint_every_s: Annotated[float, Field(ge=0)] = CHECKPOINT_EVERY_S
    time_limit_s: Annotated[float, Field(gt=0)] | None = None
    """After it the attempt is given up between two steps, and recorded as `timeout`."""
    is_exclusive: bool = True
    """False: other runs go on beside it, and the record says so."""
    keep_stale: bool = False
    """Whether a run is done by a record that was made by other code or from other data."""
    gpus: str | None = None
    """What CUDA_VISIBLE_DEVICES says to the run; None: what it says already."""


class Problem(Model):
    """An error that the user can mend, on its way from a worker to the runner."""

    where: str
    what: str
    allowed: Items[str]
    next_step: str
    exit_code: int

    @classmethod
    def of(cls, error: SuiteError) -> "Problem":
        """Return what a worker sends instead of raising."""
        return cls(
            where=error.where,
            what=error.what,
            allowed=error.allowed,
            next_step=error.next_step,
            exit_code=error.exit_code,
        )


class Delivery(Model):
    """What a node sends back: a record and what lies beside it, or why runs cannot be carried out there."""

    record: str | None = None
    """JSON, as it is stored."""
    picture: str | None = None
    """PNG in base64, where the run left one."""
    log: str = ""
    notes: Items[str] = ()
    """For the user: what was found when the run began."""
    problem: Problem | None = None


class EpochDone(Model):
    """Sent after each epoch."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    """as-published"""
    seconds: float


class RunDone(Model):
    """Sent after the record is saved."""

    attempt: int
    status: Status


class Message(Model):
    """One message from a worker: exactly one of its fields is set."""

    answer: DataAnswer | None = None
    timing: TimingAnswer | None = None
    note: str | None = None
    """For the user: what was found when the run began."""
    problem: Problem | None = None
    epoch: EpochDone | None = None
    done: RunDone | None = None
