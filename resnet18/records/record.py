"""The record: what one attempt at a run leaves. Raw values only; whatever can be computed from them is computed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, Strict, model_validator
from pydantic.dataclasses import dataclass

from resnet18.spec.benchmark import Assumption
from resnet18.spec.errors import Items, Model
from resnet18.spec.experiment import Execution, Experiment, ScaleName
from resnet18.spec.redaction import LONGEST
from resnet18.spec.resolve import MOST_OPTIONS

SCHEMA_VERSION = 2
"""Since 2 ids and code hash cover other things, and `summary` and `unreliable` have these names."""
Status = Literal["ok", "oom_device", "oom_host", "diverged", "timeout", "crashed", "interrupted", "unsupported"]
Flag = Literal["no_learning", "not_exclusive", "resumed", "unreliable"]
TIME_IS_UNRELIABLE: tuple[Flag, ...] = ("not_exclusive", "resumed", "unreliable")
FINAL: frozenset[Status] = frozenset({"ok", "diverged", "oom_device", "unsupported"})
"""Statuses that are a result of the run; a run with another status is tried again."""

# A report holds hundreds of thousands of epochs: without slots they would not fit. Strict config would refuse the
# dictionaries that JSON has for them, so their fields are strict one by one.
COMPACT = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)

MOST_ATTEMPTS, MOST_SEGMENTS = 999_999, 10_000
MOST = 2**53  # of anything that is counted: every whole number up to it is a float, too
Seconds = Annotated[float, Strict(), Field(ge=0, le=1e10)]
Positive = Annotated[int, Strict(), Field(ge=1, le=MOST)]
Count = Annotated[int, Strict(), Field(ge=0, le=MOST)]
OUTPUTS = 10  # of the network, however many classes there are
Output = Annotated[int, Field(ge=0, lt=OUTPUTS)]
Row = Annotated[Items[Count], Field(min_length=OUTPUTS, max_length=OUTPUTS)]
Share = Annotated[float, Field(ge=0, le=1.01)]  # counters of the system are read one after the other
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Text = Annotated[str, Field(max_length=LONGEST)]


@dataclass(frozen=True, slots=True, config=COMPACT)
class Score:
    """Loss and hits on a set of images under one protocol."""

    loss: Annotated[float, Strict(), Field(ge=-1, le=1e39)]  # mean cross entropy, in nats; single precision ends there
    correct: Count
    images: Positive

    @property
    def accuracy(self) -> float:
        """Share of images that are classified right."""
        return self.correct / self.images


@dataclass(frozen=True, slots=True, config=COMPACT)
class Epoch:
    """One pass over the training images, and the evaluations after it."""

    epoch: Positive
    learning_rate: Annotated[float, Strict()]  # of the epoch's last step
    steps: Positive
    train: Score
    """While training: each batch scored before the step on it, on augmented images, with the loss that is trained."""
    as_published: Score
    clean: Score
    train_s: Seconds
    data_wait_s: Seconds  # part of train_s: waiting for the next batch
    statistics_s: Seconds | None
    """Reading training loss and accuracy; not part of train_s. Null where it is fused into the step."""
    eval_as_published_s: Seconds
    eval_clean_s: Seconds


class Time(Model):
    """Seconds by scope, summed over the run. No scope contains another, save wall_s all and train_s data_wait_s."""

    prepare_s: Seconds | None
    compile_s: Seconds | None
    train_s: Seconds | None
    data_wait_s: Seconds | None
    statistics_s: Seconds | None
    eval_as_published_s: Seconds | None
    eval_clean_s: Seconds | None
    checkpoint_s: Seconds | None
    wall_s: Seconds  # from the start of the child process's work (parent's view where the child died) to its end


class Memory(Model):
    """Peaks in bytes, each from its own source."""

    allocated_peak_bytes: Positive | None
    reserved_peak_bytes: Positive | None
    device_peak_bytes: Count | None
    device_baseline_bytes: Count | None
    process_peak_bytes: Positive | None
    rss_peak_bytes: Positive | None  # resident memory of the child process, pages shared with other processes included


class Conditions(Model):
    """What else went on while the run was measured. Shares are of the CPU time that the run could have used."""

    cpus: Positive | None
    cpu_quota: Annotated[float, Field(gt=0, le=1e6)] | None
    cpu_steal_share: Share | None
    cpu_others_share: Share | None
    cpu_pressure_share: Share | None
    """Of the time: something waited for a processor (Linux's pressure stall information)."""
    load_average: Annotated[float, Field(ge=0, le=1e6)] | None  # of the minute before the run
    governor: str | None
    on_battery: bool | None
    suspended_s: Seconds | None
    sampling_period_s: Seconds | None
    """Of memory, clocks and processes of the device: a peak between two samples is missed."""
    samples: Count | None
    gpu_reserved_bytes: Count | None  # by the driver; some memory figures include them
    gpu_other_processes: Count | None
    gpu_throttle: Annotated[Items[str], Field(max_length=32)] | None
    gpu_clock_mhz: Annotated[tuple[Count, Count, Count], Strict(False)] | None  # lowest, median and highest


class Identity(Model):
    """What the result depends on beside the spec."""

    code_hash: Sha256  # of the code that the run's spec can reach
    shared_code_hash: Sha256  # of the code that every spec of this network and path reaches
    commit: str | None
    dirty: bool | None
    data_sha256: Sha256 | None  # of the decoded pixels and labels


class Fingerprint(Model):
    """Identity, and the numerics inside which equal experiments give equal bits."""

    identity: Identity
    numerics: Annotated[dict[str, Text | int | bool], Field(max_length=100)] | None


def _is_moment(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if not text.isascii() or moment.utcoffset() is None or not 1970 <= moment.year < 2200:
        raise ValueError("must be a date with time and offset, such as 2026-01-31T12:00:00+00:00")
    return text


Moment = Annotated[str, AfterValidator(_is_moment)]


def _are_few(options: tuple[str, ...]) -> tuple[str, ...]:
    if sum(map(len, options)) > MOST_OPTIONS:  # a table of epochs repeats them on every line
        raise ValueError(f"must together have at most {MOST_OPTIONS:,} characters")
    return options


class Segment(Model):
    """One uninterrupted stretch of work, in UTC."""

    start: Moment
    end: Moment


class Sample(Model):
    """One test image: its index in the original test set, label and prediction (last epoch, clean) as class numbers."""

    index: Annotated[int, Field(ge=0, lt=10_000_000)]
    label: Output
    prediction: Output


class RecordSpec(Model):
    """What was run, resolved."""

    experiment: Experiment
    execution: Execution
    overrides: Annotated[
        Items[str], AfterValidator(_are_few)
    ]  # the `-o` and `--device` options that the run was asked for with
    assumptions: Items[Assumption]


class Summary(Model):
    """Digests that `result_hash` covers beside the epochs."""

    parameters_sha256: Sha256
    predictions_sha256: Sha256


class Failure(Model):
    """Why a run did not end `ok`."""

    phase: str
    message: str
    requested_bytes: Count | None = None  # size of the request that could not be met, rounded as the message rounds it
    free_bytes: Count | None = None  # what the device had free then. Under a `memory_cap` the run may have had less


class Record(Model):
    """One attempt at a run. `nulls` gives the reason for every null."""

    schema_version: Annotated[int, Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)]
    run_id: Id
    arm_id: Id
    experiment_id: Id
    execution_id: Id
    attempt: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)]
    scale: ScaleName
    seed: int
    status: Status
    flags: Items[Flag] = ()
    spec: RecordSpec
    fingerprint: Fingerprint
    segments: Annotated[Items[Segment], Field(max_length=MOST_SEGMENTS)]
    epochs: Items[Epoch]
    time: Time
    memory: Memory
    energy_j: Annotated[float, Field(ge=0, le=1e15)] | None
    conditions: Conditions | None
    unreliable_because: Items[str] = ()
    confusion: Items[Row] | None  # counts [label][prediction] of the last epoch (clean)
    samples: Annotated[Items[Sample], Field(min_length=6, max_length=6)] | None
    classes: Annotated[Items[str], Field(min_length=2, max_length=OUTPUTS)] | None
    parameters: Positive | None
    summary: Summary | None
    failure: Failure | None
    nulls: Annotated[dict[str, Text], Field(max_length=100)]
    result_hash: Sha256 | None
    record_hash: Sha256

    @property
    def has_unreliable_times(self) -> bool:
        """Whether its times are printed with a dagger, and decide nothing."""
        return any(flag in TIME_IS_UNRELIABLE for flag in self.flags)

    @model_validator(mode="after")
    def _every_null_has_a_reason(self) -> Self:
        # Keys that a later version adds are unset in older records: no null was written, so none needs a reason.
        content = self.model_dump(exclude_unset=True, exclude={"spec", "segments", "epochs", "nulls"})
        if missing := [key for key in null_keys(content) if key not in self.nulls]:
            raise ValueError(f"null without a reason in `nulls`: {', '.join(missing)}")
        return self


def flat(content: Mapping[Any, Any], prefix: str = "") -> dict[str, object]:
    """Return the values of nested mappings by dotted key."""
    found: dict[str, object] = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def null_keys(content: Mapping[str, Any]) -> list[str]:
    """Return the dotted key of every null of a record's content; the nulls inside `spec` are values."""
    return [key for key, value in flat(content).items() if value is None and not key.startswith("spec.")]


def difference(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> str | None:
    """Return the first value in which nested mappings differ, by its dotted key; None where none does."""
    a, b = flat(first), flat(second)
    return next((f"{key}: {a.get(key)} and {b.get(key)}" for key in a | b if a.get(key) != b.get(key)), None)
