"""What a runner and its workers say to each other: JSON texts of these values, so that nothing of ours is pickled."""

from typing import Annotated

from pydantic import Field

from resnet18.execution.engine import DEFAULT, Policy
from resnet18.records.record import Epoch, Identity, RecordSpec, Status
from resnet18.records.store import Store
from resnet18.spec.data import DataSource, PathAsText
from resnet18.spec.errors import SuiteError
from resnet18.spec.experiment import CountOrAll, Execution, Experiment
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request
from resnet18.spec.strict import Items, Model


class Stop:
    """Asks a worker to stop between two steps. A signal sets it, so it is no lock that the signal could meet held."""

    is_requested = False

    def request(self) -> None:
        """Ask for it."""
        self.is_requested = True


class Job(Model):
    """One attempt at a run."""

    run: Run
    request: Request
    source: DataSource
    identity: Identity
    results: PathAsText
    """The results directory, absolute."""
    policy: Policy = DEFAULT
    attempt: Annotated[int, Field(ge=1)] = 1
    is_exclusive: bool = True
    """False: other runs go on beside it, and the record says so."""
    processors: Items[int] = ()
    """Those that the run may use; empty: those that its parent may use."""
    gpus: str | None = None
    """What CUDA_VISIBLE_DEVICES says to the run; None: what it says already."""

    @property
    def spec(self) -> RecordSpec:
        """What is run, as its record says it."""
        return RecordSpec(
            experiment=self.run.experiment,
            execution=self.run.execution,
            overrides=self.request.overrides,
            assumptions=self.run.assumptions,
        )

    @property
    def accepted(self) -> tuple[str | None, str | None]:
        """The code and the data whose records count (`records.store.is_done`); None for any."""
        return (None, None) if self.policy.keep_stale else (self.identity.code_hash, self.identity.data_sha256)

    def recorded(self, store: Store) -> Status | None:
        """Return the status of the record by which the run is done by now, None where there is none."""
        record = store.done(self.run.run_id, *self.accepted)
        is_later = record is not None and record.attempt > self.policy.again.get(self.run.run_id, 0)
        return record.status if record is not None and is_later else None

    def next(self, store: Store) -> "Job":
        """Return the next attempt at the run."""
        return self.model_copy(update={"attempt": store.attempts(self.run.run_id) + 1})


class DataQuestion(Model):
    """Asked once before the first run: is the data set whole, and large enough for these subsets?"""

    source: DataSource
    train_sizes: Items[CountOrAll] = ()
    test_sizes: Items[CountOrAll] = ()
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

    source: DataSource
    experiment: Experiment
    execution: Execution
    steps: Annotated[int, Field(ge=1)]
    """To time, after one that warms up."""
    enough_s: Annotated[float, Field(gt=0)]
    """After so many seconds no further step is begun."""


class TimingAnswer(Model):
    """The seconds for each image of an experiment on this machine; with no step timed, those of the first."""

    steps: int
    prepare_s: float
    train_image_s: float
    eval_image_s: float


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
        return cls(**{key: getattr(error, key) for key in cls.model_fields})


class ReportedError(SuiteError):
    """An error that a worker met and the user can mend."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.where, problem.what, allowed=problem.allowed, next_step=problem.next_step)
        self.exit_code = problem.exit_code


class Message(Model):
    """One message from a worker: exactly one of its fields is set."""

    answer: DataAnswer | None = None
    timing: TimingAnswer | None = None
    note: str | None = None
    """For the user: what was found when the run began."""
    problem: Problem | None = None
    epoch: Epoch | None = None
    done: Status | None = None
    """Sent when the record is saved."""
