"""Canonical JSON, SHA-256, the ids that records are found by, and the hash of the code that a run can reach.

Ids cover what a spec says beyond its defaults: a key that is added later changes no id, and no default ever changes.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from resnet18.spec.augmentation import OperationName
from resnet18.spec.code import PACKAGE, hash_of
from resnet18.spec.code_modules import Key
from resnet18.spec.code_tree import Choices
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.optimizer import OPTIMIZERS, SCHEDULES

ROOTS: tuple[Key, ...] = (
    ("training.loop", "train"),
    ("training.setup", "set_up"),
    ("training.device", "ready_device"),
    ("training.compilation", "compile_network"),
    ("training.checkpoint", "restore"),
    ("training.outcome", "conclude"),
)
"""What the worker calls, and what gives a run its result."""
OFFERED = frozenset(
    (
        *(model.model_fields["name"].default for model in (*OPTIMIZERS, *SCHEDULES)),
        *get_args(OperationName),
        *get_args(Experiment.model_fields["model"].annotation),
        *get_args(Execution.model_fields["path"].annotation),
    )
)
"""Every name under which a spec can choose an optimizer, schedule, operation, network or path."""


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return the one byte string of a JSON value: sorted keys, no spaces, ASCII, no NaN."""
    text = _json(value)
    if "-0.0" in text:  # seldom: looking for it in the text costs far less than a copy of the value
        text = _json(_without_negative_zero(value))
    return text.encode("ascii")


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _without_negative_zero(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value with 0.0 for -0.0: they are equal numbers, and must not be two experiments."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return {key: _without_negative_zero(one) for key, one in value.items()}
    return [_without_negative_zero(one) for one in value] if isinstance(value, list | tuple) else value


def digest(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def experiment_id(experiment: Experiment) -> str:
    """Return the id of everything that defines the result, the seed included."""
    return digest(asked(experiment))[:16]


def execution_id(execution: Execution) -> str:
    """Return the id of how the run was asked to be carried out."""
    return digest(asked(execution))[:16]


def run_id(experiment: Experiment, execution: Execution) -> str:
    """Return the id of one run: experiment (with seed) and execution."""
    return digest([experiment_id(experiment), execution_id(execution)])[:16]


def arm_id(experiment: Experiment, execution: Execution) -> str:
    """Return the id of one arm: the same without the seed."""
    content = {key: value for key, value in asked(experiment).items() if key != "seed"}
    return digest([content, execution_id(execution)])[:16]


def asked(spec: BaseModel) -> dict[str, Any]:
    """Return what a spec says beyond its defaults; `name` always, since it says what the other keys belong to."""
    return {
        key: _plain(value)
        for key, field in type(spec).model_fields.items()
        if (value := getattr(spec, key)) != field.default or key == "name"
    }


def _plain(value: object) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, BaseModel):
        return asked(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def code_hash(experiment: Experiment, execution: Execution, package: Path = PACKAGE) -> str:
    """Return the SHA-256 of what the code does that a run of this spec can reach (`spec.code`)."""
    operations = (*experiment.augmentation, *experiment.test_augmentation)
    named = (experiment.optimizer, experiment.schedule, *operations)
    chosen = {experiment.model, execution.path, *(part.name for part in named)}
    return _code_hash(frozenset(chosen), frozenset(type(part) for part in (experiment, execution, *named)), package)


def shared_code_hash(experiment: Experiment, execution: Execution, package: Path = PACKAGE) -> str:
    """Return the same for what every spec of this network and path reaches, whatever else it chooses."""
    return _code_hash(frozenset({experiment.model, execution.path}), frozenset(), package)


@cache
def _code_hash(chosen: frozenset[str], models: frozenset[type[BaseModel]], package: Path) -> str:
    """Return the hash for these choices; the classes of the spec are roots, because they hold its defaults."""
    specs = [(model.__module__.partition(".")[2], model.__name__) for model in models]
    return hash_of([*ROOTS, *specs], Choices(chosen, OFFERED), package)
