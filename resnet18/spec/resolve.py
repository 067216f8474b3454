"""From a case to its experiment and execution: file, case, scale, then `-o` options, each over the one before."""

import json
import shlex
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from resnet18.spec.benchmark import Benchmark, Candidate, Case, Hypothesis
from resnet18.spec.errors import SpecError, did_you_mean, is_shown
from resnet18.spec.experiment import SCALES, Execution, Experiment, ScaleName
from resnet18.spec.identity import ids_of
from resnet18.spec.optimizer import OPTIMIZERS
from resnet18.spec.validation import parse_toml, validated

DEVICE_OPTION = "--device="
MOST_OPTIONS = 4_000  # characters of all overrides
Specs = tuple[Experiment, Execution]


@dataclass(frozen=True)
class Request:
    """What a command asked for beside the benchmark: it turns a case into an experiment, and is kept in each record."""

    scale: ScaleName = "smoke"
    data: str | None = None  # label of the data set; None: the scale's own
    overrides: tuple[str, ...] = ()  # `key=value` for any key of a spec, and `--device=…` for cases that name no device

    @property
    def data_label(self) -> str:
        """The label of the data set that is used."""
        return self.data or SCALES[self.scale].data

    @property
    def described(self) -> str:
        """The request in a few words, as headings and tables name it."""
        options = (text.removeprefix("--") for text in self.overrides)
        return ", ".join((f"{self.scale} scale", self.data_label, *options))

    @property
    def options(self) -> str:
        """The overrides as they are typed on a command line."""
        return " ".join(
            text if text.startswith(DEVICE_OPTION) else f"-o {shlex.quote(text)}" for text in self.overrides
        )


def resolve(benchmark: Benchmark, case: Case, request: Request, *, seed: int, where: str = "") -> Specs:
    """Return what a case means under a request; SpecError names the case, the key, and what is wrong with it."""
    where = where or f'{benchmark.name}: case "{case.name}"'
    experiment = at_scale(deepcopy({**benchmark.experiment, **case.experiment}), request, about_size=case.about_size)
    execution: dict[str, Any] = deepcopy({**benchmark.execution, **case.execution})
    for override in request.overrides:
        _override(experiment, execution, override, where)
    experiment.setdefault("test_augmentation", experiment.get("augmentation", [{"name": "to_tensor"}]))
    experiment["seed"] = seed
    return validated(Experiment, experiment, where), validated(Execution, execution, where)


def at_scale(experiment: dict[str, Any], request: Request, *, about_size: bool) -> dict[str, Any]:
    """Return a case's experiment keys with the values of the scale laid over them."""
    scale = SCALES[request.scale]
    keys = ["train_images", "test_images_epoch", "test_images_last", "width"]
    keys += ["image_size"] if scale.image_size_is_fixed or not about_size else []
    values = {key: value for key in keys if (value := getattr(scale, key)) is not None}
    if scale.max_epochs is not None and isinstance(experiment.get("epochs"), int):
        values["epochs"] = min(experiment["epochs"], scale.max_epochs)
    return {**experiment, "data": request.data_label, **values}


def canonical_overrides(options: list[str], device: str | None) -> tuple[str, ...]:
    """Return `-o` options in one form and order: `lr=0.010` and `lr=0.01` ask for the same; the last of a key counts.

    Raises SpecError at an option that is not key=value on one line, and where all are too long.
    """
    found = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not is_shown(text):
            what, next_step = "is not of the form key=value", "for example: -o optimizer.lr=0.01"
            raise SpecError(f"option -o {option!r}", what, next_step=next_step)
        value = _toml_value(text)
        found[key.strip()] = _as_toml(value)
    first = [f"{DEVICE_OPTION}{device}"] if device else []
    overrides = (*first, *(f"{key}={value}" for key, value in sorted(found.items())))
    if sum(map(len, overrides)) > MOST_OPTIONS:
        what = f"together have more than {MOST_OPTIONS:,} characters"
        raise SpecError("options -o", what, next_step="write a benchmark of your own: benchmarks/README.md")
    return overrides


def _toml_value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    """Return a TOML value; what is not one is a string, so that shells need no second pair of quotes."""
    try:
        return parse_toml(f"value = {text.strip()}")["value"]
    except ValueError:
        return text.strip()


def _as_toml(value: Any) -> str:  # noqa: ANN401 - any TOML value
    """Return a value as TOML writes it, on one line, without the spaces and comments of whoever typed it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_as_toml, value))}]"
    if isinstance(value, dict):
        inside = (f"{key if key.isidentifier() else json.dumps(key)} = {_as_toml(one)}" for key, one in value.items())
        return f"{{ {', '.join(inside)} }}"
    return json.dumps(value) if isinstance(value, str | int | float) else str(value)


def _override(experiment: dict[str, Any], execution: dict[str, Any], override: str, place: str) -> None:
    """Lay one option over the two dictionaries, in place."""
    if override.startswith(DEVICE_OPTION):
        execution.setdefault("device", override.removeprefix(DEVICE_OPTION))
        return
    key, _, text = override.partition("=")
    where, path = f"option -o {override}", key.strip().split(".")
    first = path[0]
    if first in {"data", "seed"}:
        raise SpecError(where, f'"{first}" has an option of its own', next_step="use --data or --seeds")
    known = sorted({*Experiment.model_fields, *Execution.model_fields} - {"data", "seed"})
    if first not in known:
        of_optimizer = any(first in model.model_fields for model in OPTIMIZERS)
        hint = f' (did you mean "optimizer.{first}"?)' if of_optimizer else did_you_mean(first, known)
        raise SpecError(where, f'unknown key "{first}"{hint}', allowed=known)
    target = experiment if first in Experiment.model_fields else execution
    _set_value(target, path, _toml_value(text), f"{where}: {place}")


def _set_value(inner: Any, path: list[str], value: Any, where: str) -> None:  # noqa: ANN401 - any TOML value
    """Set a dotted key in place. In a list of operations, a part of the key is the name of an operation."""
    part, *rest = path
    if isinstance(inner, dict) and not rest:
        inner[part] = value
        return
    known = inner if isinstance(inner, dict) else {item["name"]: item for item in inner if isinstance(item, dict)}
    if not isinstance(known.get(part), dict | list):
        raise SpecError(where, f'has no "{part}" that could be changed{did_you_mean(part, known)}')
    if rest:
        _set_value(known[part], rest, value, where)
    elif isinstance(value, dict) and value.get("name") == part:
        inner[inner.index(known[part])] = value
    else:
        raise SpecError(where, f'"{part}" is an operation; name one of its keys')


def value_at(specs: Specs, key: str) -> Any:  # noqa: ANN401 - any value of a spec
    """Return the value of a dotted key of the experiment or the execution, None where neither has such a key."""
    value: Any = specs[key.partition(".")[0] in Execution.model_fields]
    for part in key.split("."):
        if isinstance(value, tuple):
            value = next((item for item in value if getattr(item, "name", None) == part), None)
        else:
            value = getattr(value, part, None) if part in getattr(value, "__pydantic_fields__", {}) else None
    return value


def check_cases_differ(benchmark: Benchmark, request: Request, where: str) -> None:
    """Raise SpecError if two cases are the same run under a request, or as `resolve`."""
    seen: dict[str, str] = {}
    for case in benchmark.cases:
        first = seen.setdefault(ids_of(*resolve(benchmark, case, request, seed=0)).arm_id, case.name)
        if first != case.name:
            asked = f"--scale {request.scale} {request.options}".strip()
            what = f'with {asked}, cases "{first}" and "{case.name}" are the same run'
            next_step = "make them differ, or leave out the option or choose the scale that makes them the same"
            raise SpecError(where, what, next_step=next_step)


def sub_cases(benchmark: Benchmark, hypothesis: Hypothesis) -> Iterator[tuple[Candidate, Case, Case]]:
    """Yield each candidate with a case that it applies to and the sub-case in which the key has its value."""
    key, cases = hypothesis.key, {case.name: case for case in benchmark.cases}
    for candidate in hypothesis.candidates:
        for case in (cases[name] for name in hypothesis.cases):
            values: dict[str, Any] = deepcopy({**benchmark.experiment, **case.experiment})
            where = f'{benchmark.name}: hypothesis "{key}", case "{case.name}"'
            _set_value(values, key.split("."), deepcopy(candidate.value), where)
            top, name = key.partition(".")[0], f"{case.name} [{key}: {candidate.name}]"
            changed = {**case.experiment, top: values[top]}
            about_size = case.about_size or key == "image_size"
            changes = {"name": name, "experiment": changed, "about_size": about_size}
            yield candidate, case, case.model_copy(update=changes)


def with_sub_cases(benchmark: Benchmark) -> Benchmark:
    """Return the benchmark with a case for every candidate of its hypotheses, after its own cases."""
    found = [case for hypothesis in benchmark.hypotheses for _, _, case in sub_cases(benchmark, hypothesis)]
    return benchmark.model_copy(update={"cases": (*benchmark.cases, *found)})
