"""A benchmark is one table of a report, in one TOML file: its cases, what the report printed, how it looks."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from resnet18.spec.claim import Claim, Name, Names, Text
from resnet18.spec.errors import NOT_SHOWN, Items, Model
from resnet18.spec.experiment import LABEL, SCALE_KEYS, Execution, Experiment
from resnet18.spec.metric import Quantity, quantity_of, units_of_values

DottedKey = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")]
Level = Annotated[str, Field(max_length=200, pattern=rf"^[^{NOT_SHOWN}]*$")] | int | float | bool
SomeNames = Annotated[Items[Name], Field(min_length=1)]
Percent = Annotated[float, Field(ge=0, le=1_000)]


class Assumption(Model):
    """A value that the report does not state, and where ours comes from."""

    key: DottedKey  # as `augmentation.random_rotation.degrees`; `protocol.…` is no key of a spec
    source: Text

    @property
    def has_value(self) -> bool:
        """Whether a key of a spec can change it."""
        return not self.key.startswith("protocol.")


class Case(Model):
    """One row (or column) of the table."""

    name: Name
    experiment: dict[str, Any] = {}  # keys of the experiment that differ from the file's
    execution: dict[str, Any] = {}
    reported: dict[Name, Text] = {}  # what the report printed by metric, as the string that it printed
    factors: dict[Name, Level] = {}  # how cases differ that document a report and cannot be run: no experiment then
    about_size: bool = False  # the case compares input sizes: the scale `small` leaves its size alone


class Factor(Model):
    """A leading column that says how cases differ."""

    title: Name
    key: DottedKey  # of experiment or execution; `augmentation.random_crop` says whether a case has that operation


class MetricRow(Model):
    """A metric with the title that the report gives it."""

    metric: Name
    title: Name
    quantity: Quantity | None = None  # what is measured, where the metric is not one of the suite's own
    # Of values in a table of runs, for `resnet18 judge`; accuracies are in percent, times in s, memory in bytes.
    unit: Annotated[str, Field(max_length=20, pattern=rf"^[^|`<>{NOT_SHOWN}]*$")] | None = None
    better: Literal["higher", "lower"] | None = None
    rounding: Annotated[float, Field(gt=0)] | None = None  # smallest step of a value; default: its last printed digit
    chance: Annotated[float, Field(ge=0, lt=100)] | None = None  # what guessing gets, in percent
    epochs: Literal["last", "highest", "lowest", "median of the last three"] = "last"  # which give a run's value

    @model_validator(mode="after")
    def _fits_its_quantity(self) -> Self:
        allowed = units_of_values(self.measures)
        if self.unit and allowed and self.unit not in allowed:
            raise ValueError(
                f'values of quantity "{self.measures}" are in {" or ".join(allowed)}, not in "{self.unit}"'
            )
        if self.chance is not None and self.measures != "accuracy":
            raise ValueError(f'"chance" belongs to an accuracy, and the quantity is "{self.measures}"')
        return self

    @property
    def measures(self) -> Quantity:
        """Its quantity, `other` where that is not said."""
        return self.quantity or quantity_of(self.metric)


class Table(Model):
    """The shape in which the report printed the table."""

    cases_in: Literal["rows", "columns"]
    case_title: Name
    factors: Items[Factor] = ()
    metrics: Annotated[Items[MetricRow], Field(min_length=1)]
    speed_up_over: Name | None = None  # the case whose times are divided by those of the others


class Candidate(Model):
    """A value that a key may have had."""

    name: Name
    value: Any


class Hypothesis(Model):
    """A key whose value the report does not say. Each candidate is run as a case of its own."""

    key: DottedKey
    question: Text
    cases: SomeNames  # the cases whose reported values the candidates are held against
    candidates: Annotated[Items[Candidate], Field(alias="candidate", min_length=2)]


class Derived(Model):
    """A number that the report computed from two cells of the table."""

    name: Name
    kind: Literal["ratio", "difference"]
    metric: Name
    of: Name
    to: Name  # the case that is divided by, or subtracted
    printed: Text
    scope: Name | None = None  # the metric that it is computed from, by the report, where that is another


class PrintedRate(Model):
    """A learning rate that the report states for an epoch, as the epochs are counted there."""

    cases: SomeNames
    epoch: Annotated[int, Field(ge=0)]  # after which the rate has this value
    printed: Text


class PrintedMemory(Model):
    """Memory that the report states for a case: a number, or "Out of Memory"."""

    case: Name
    printed: Text


class SameWork(Model):
    """Cases that do the same work, so that their times differ by noise alone."""

    cases: Names
    metric: Name
    because: Text


class Printed(Model):
    """What the report says about its own numbers. Only `resnet18 audit` reads it."""

    test_images: Annotated[int, Field(ge=1)] | None = None
    epoch_chosen_on: Literal["test", "validation", "last"] | None = None
    epochs: Annotated[int, Field(ge=1)] | None = None  # where the cases have no experiment that says it
    derived: Items[Derived] = ()
    rates: Items[PrintedRate] = Field(default=(), alias="rate")
    memory: Items[PrintedMemory] = ()
    same_work: Items[SameWork] = ()


class Origin(Model):
    """What the runs of a table have in common with those of the report; what is not said is not known."""

    data: Literal["same", "other"] | None = None
    scale: Literal["same", "scaled down"] | None = None  # fewer images or epochs, or a narrower network
    size: Literal["same", "other"] | None = None  # of the images


class Gate(Model):
    """What a regression check of the benchmark may overlook, and how often it may be wrong."""

    false_alarm_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.01  # of a check of two equal codes, over all metrics
    seeds: Annotated[int, Field(ge=2, le=1_000)] = 8  # of the side that is judged; a baseline has twice as many
    slower_percent: Percent = 2.0  # by which a time may grow before it is looked at, and then a peak of memory
    larger_percent: Percent = 1.0


class Benchmark(Model):
    """One TOML file. `experiment` and `execution` hold the keys that all cases share."""

    name: Annotated[str, Field(pattern=LABEL)]  # the file's stem
    report: Name  # tables of one report are judged, and checked, together; without it a file is a report of its own
    title: Name
    source: Text  # where the report says it
    question: Text
    table: Table
    experiment: dict[str, Any] = {}
    execution: dict[str, Any] = {}
    varies: Items[DottedKey] = ()  # keys in which cases differ on purpose: in others, what is compared is confounded
    cases: Annotated[Items[Case], Field(alias="case", min_length=1, max_length=10_000)]
    assumptions: Items[Assumption] = Field(default=(), alias="assumption")
    claims: Items[Claim] = Field(default=(), alias="claim")
    hypotheses: Items[Hypothesis] = Field(default=(), alias="hypothesis")
    printed: Printed = Printed()
    runs: Origin = Origin()  # of a table of runs that `resnet18 judge` holds against the claims
    gate: Gate | None = None  # thresholds of `resnet18 check`, where the benchmark is one

    @property
    def can_run(self) -> bool:
        """Whether its cases are experiments, and not only documented."""
        asked = any(case.experiment or case.execution for case in self.cases)
        return bool(asked or self.experiment or self.execution) and not any(case.factors for case in self.cases)


def schema_of(model: type[Model]) -> dict[str, Any]:
    """Return the JSON schema of a TOML file that is called like its benchmark or study."""
    schema = model.model_json_schema(by_alias=True)
    schema["properties"].pop("name")
    schema["required"] = [key for key in schema["required"] if key not in {"name", "report"}]
    return schema


def spec_schema() -> dict[str, Any]:
    """Return the JSON schema of a benchmark, in which `experiment` and `execution` may name any of their keys."""
    schema = schema_of(Benchmark)
    definitions = schema["$defs"]
    for name, model in (("Experiment", Experiment), ("Execution", Execution)):
        part = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions |= {**part.pop("$defs", {}), name: part}
        part.pop("required", None)
        part["properties"] = {key: value for key, value in part["properties"].items() if key not in SCALE_KEYS}
        for place in (schema, definitions["Case"]):
            place["properties"][name.lower()] = {"$ref": f"#/$defs/{name}"}
    return schema
