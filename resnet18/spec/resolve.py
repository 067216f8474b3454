"""From a case to its experiment and execution: file, case, scale, then `-o` options, each over the one before."""

import json
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from resnet18.spec.benchmark import Benchmark, Case
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.optimizer import OPTIMIZERS
from resnet18.spec.scale import SCALES, ScaleName, at_scale
from resnet18.spec.strict import parse_toml, spec_error

DEVICE_OPTION = "--device="
INNER_KEYS = frozenset(key for model in OPTIMIZERS for key in model.model_fields)

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Request:
    """What a command asked for beside the benchmark: it turns a case into an experiment, and is kept in each record."""

    scale: ScaleName = "smoke"
    data: str | None = None
    """Label of the data set; None: the scale's own."""
    overrides: tuple[str, ...] = ()
    """`key=value` for any key of a spec, and `--device=…` for cases that name no device."""

    @property
    def data_label(self) -> str:
        """The label of the data set that is used."""
        return self.data or SCALES[self.scale].data

    @property
    def described(self) -> str:
        """The request in a few words, as headings and tables name it."""
        options = "".join(f", {override.removeprefix('--')}" for override in self.overrides)
        return f"{self.scale} scale, {self.data_label}{options}"


def resolve(
    benchmark: Benchmark, case: Case, request: Request, *, seed: int, where: str = ""
) -> tuple[Experiment, Execution]:
    """Return what a case means under a request.

    Raises:
        SpecError: an unknown key, a wrong type, or a value out of range; the message names the case and the key.
    """
    where = where or f'{benchmark.name}: case "{case.name}"'
    experiment: dict[str, Any] = deepcopy({**benchmark.experiment, **case.experiment})
    execution: dict[str, Any] = deepcopy({**benchmark.execution, **case.execution})
    scale = SCALES[request.scale]
    experiment = at_scale(experiment, scale, request.data_label, about_size=case.about_size)
    for override in request.overrides:
        _override(experiment, execution, override, where)
    experiment.setdefault("test_augmentation", experiment.get("augmentation"))
    experiment["seed"] = seed
    return _validated(Experiment, experiment, where), _validated(Execution, execution, where)


def _validated(model: type[M], values: dict[str, Any], where: str) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise spec_error(where, model, error) from None


def canonical_overrides(options: list[str], device: str | None) -> tuple[str, ...]:
    """Return `-o` options in one form and order: `lr=0.010` and `lr=0.01` ask for the same; the last of a key counts.

    Raises:
        SpecError: an option that is not key=value on one line.
    """
    found = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not text.isprintable():
            raise SpecError(
                f"option -o {option!r}", "is not of the form key=value", next_step="for example: -o optimizer.lr=0.01"
            )
        value = _toml_value(text.strip())
        found[key.strip()] = json.dumps(value) if isinstance(value, str | int | float) else text.strip()
    first = [f"{DEVICE_OPTION}{device}"] if device else []
    return (*first, *(f"{key}={value}" for key, value in sorted(found.items())))


def _override(experiment: dict[str, Any], execution: dict[str, Any], override: str, place: str) -> None:
    """Lay one option over the two dictionaries, in place."""
    if override.startswith(DEVICE_OPTION):
        execution.setdefault("device", override.removeprefix(DEVICE_OPTION))
        return
    key, _, text = override.partition("=")
    where = f"option -o {override}"
    first, *rest = key.strip().split(".")
    if first in {"data", "seed"}:
        raise SpecError(
            where, f'"{first}" has an option of its own', next_step=f"use --{first.replace('seed', 'seeds')}"
        )
    known = [*Experiment.model_fields, *Execution.model_fields]
    if first not in known:
        hint = f' (did you mean "optimizer.{first}"?)' if first in INNER_KEYS else did_you_mean(first, known)
        raise SpecError(where, f'unknown key "{first}"{hint}', allowed=sorted({*known} - {"data", "seed"}))
    target = experiment if first in Experiment.model_fields else execution
    set_value(target, [first, *rest], _toml_value(text.strip()), f"{where}: {place}")


def _toml_value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    """Return a TOML value; what is not one is a string, so that shells need no second pair of quotes."""
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def set_value(target: dict[str, Any], path: list[str], value: Any, where: str) -> None:  # noqa: ANN401
    """Set a dotted key in place, an operation of a list by its name.

    Raises:
        SpecError: there is no such key that could be set; the message starts with `where`.
    """
    inner: Any = target
    for part in path[:-1]:
        known = _names(inner)
        if isinstance(inner, list):
            inner = next((item for item in inner if isinstance(item, dict) and item.get("name") == part), None)
        else:
            inner = inner.get(part)
        if not isinstance(inner, dict | list):
            raise SpecError(where, f'has no "{part}" that could be changed{did_you_mean(part, known)}')
    if isinstance(inner, list) and path[-1] not in (known := _names(inner)):
        raise SpecError(where, f'has no "{path[-1]}" that could be changed{did_you_mean(path[-1], known)}')
    if isinstance(inner, list) and isinstance(value, dict) and value.get("name") == path[-1]:
        inner[:] = [value if item.get("name") == path[-1] else item for item in inner]
        return
    if not isinstance(inner, dict):
        raise SpecError(where, f'"{path[-1]}" is an operation; name one of its keys')
    inner[path[-1]] = value


def _names(value: Any) -> list[str]:  # noqa: ANN401 - any TOML value
    """Return what can be named inside a table, or inside a list of operations."""
    if isinstance(value, dict):
        return list(value)
    return [str(item["name"]) for item in value if isinstance(item, dict) and "name" in item]


def value_at(spec: Experiment | Execution, key: str) -> Any:  # noqa: ANN401 - any value of a spec
    """Return the value of a dotted key, None where the spec has no such key."""
    value: Any = spec
    for part in key.split("."):
        if isinstance(value, tuple):
            value = next((item for item in value if getattr(item, "name", None) == part), None)
        else:
            value = getattr(value, part, None) if part in getattr(value, "__pydantic_fields__", {}) else None
    return value
