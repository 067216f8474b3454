"""A benchmark is one table of a report, in one TOML file: its cases, what the report printed, how it looks."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from resnet18.spec.augmentation import OperationName
from resnet18.spec.strict import Items, Model

Metric = Literal["best_accuracy", "train_s", "whole_program_s"]
"""Best test accuracy over the epochs, seconds of training alone, seconds of the whole program."""

Text = Annotated[str, Field(min_length=1, max_length=2_000)]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^|`<>\x00-\x1f]+$")]


class Assumption(Model):
    """A value that the report does not state, and where ours comes from."""

    key: Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")]
    """Dotted key of the experiment or execution; operations by name: `augmentation.random_rotation.degrees`.

    `protocol.…` names what no key can change, such as the initialisation.
    """
    source: Text

    @property
    def has_value(self) -> bool:
        """Whether a spec has the key."""
        return not self.key.startswith("protocol.")


class Case(Model):
    """One row (or column) of the table."""

    name: Name
    experiment: dict[str, Any] = {}
    """Keys of the experiment that differ from the file's."""
    execution: dict[str, Any] = {}
    reported: dict[Metric, Text] = {}
    """What the report printed, as the string that it printed."""
    about_size: bool = False
    """The case compares input sizes: the scale `small` leaves its size alone."""


class Factor(Model):
    """A leading column that says how cases differ: an operation (yes or no) or a key of the experiment."""

    title: Name
    operation: OperationName | None = None
    key: str | None = None

    @model_validator(mode="after")
    def _is_one_of_the_two(self) -> Self:
        if (self.operation is None) == (self.key is None):
            raise ValueError('a factor has either "operation" or "key"')
        return self


class MetricRow(Model):
    """A metric with the title that the report gives it."""

    metric: Metric
    title: Name


class Table(Model):
    """The shape in which the report printed the table."""

    cases_in: Literal["rows", "columns"]
    case_title: Name
    factors: Items[Factor] = ()
    metrics: Annotated[Items[MetricRow], Field(min_length=1)]

    @model_validator(mode="after")
    def _titles_differ(self) -> Self:
        titles = [self.case_title, *(one.title for one in self.factors), *(one.title for one in self.metrics)]
        for title in titles:
            if titles.count(title) > 1:
                raise ValueError(f'two columns are called "{title}"')
        return self


class Benchmark(Model):
    """One TOML file. `experiment` and `execution` hold the keys that all cases share."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    """The file's stem."""
    title: Name
    source: Text
    """Where the report says it."""
    question: Text
    table: Table
    experiment: dict[str, Any]
    execution: dict[str, Any] = {}
    cases: Annotated[Items[Case], Field(alias="case", min_length=1, max_length=10_000)]
    assumptions: Items[Assumption] = Field(default=(), alias="assumption")
