"""Canonical JSON, SHA-256, the ids that records are found by, and the hash of the code that a run can reach.

Ids cover what a spec says beyond its defaults: a key that is added later changes no id, and no default ever changes.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from resnet18.spec.augmentation import OPERATIONS
from resnet18.spec.code import PACKAGE, Choices, Definition, Key, read_module
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.optimizer import OPTIMIZERS, SCHEDULES

ROOTS: tuple[Key, ...] = (
    ("training.loop", "train"),
    ("training.setup", "set_up"),
    ("training.device", "ready_device"),
    ("training.setup", "compile_network"),
    ("training.results", "restore"),
    ("training.results", "conclude"),
)
"""What the worker calls, and what gives a run its result."""
OFFERED = frozenset(
    (
        *(model.model_fields["name"].default for model in (*OPTIMIZERS, *SCHEDULES, *OPERATIONS)),
        *get_args(Experiment.model_fields["model"].annotation),
        *get_args(Execution.model_fields["path"].annotation),
    )
)
"""Every name under which a spec can choose an optimizer, schedule, operation, network or path."""


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return the one byte string of a JSON value: sorted keys, no spaces, ASCII, no NaN, 0.0 for -0.0."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if "-0.0" in text:  # seldom: looking for it in the text costs far less than a copy of the value
        text = json.dumps(_without_negative_zero(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _without_negative_zero(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _without_negative_zero(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_negative_zero(inner) for inner in value]
    return value + 0.0 if isinstance(value, float) else value


def digest(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


class Ids(NamedTuple):
    """Under which a run is found."""

    run_id: str
    """Of experiment (with its seed) and execution."""
    arm_id: str
    """The same without the seed."""
    experiment_id: str
    """Of everything that defines the result, the seed included."""
    execution_id: str
    """Of how the run was asked to be carried out."""


def ids_of(experiment: Experiment, execution: Execution) -> Ids:
    """Return the ids of a run, each of 16 hexadecimal digits."""
    content = asked(experiment)
    experiment_id, execution_id = digest(content)[:16], digest(asked(execution))[:16]
    del content["seed"]
    run_id, arm_id = (digest([ours, execution_id])[:16] for ours in (experiment_id, content))
    return Ids(run_id, arm_id, experiment_id, execution_id)


def asked(spec: BaseModel) -> dict[str, Any]:
    """Return what a spec says beyond its defaults; `name` always, since it says what the other keys belong to."""

    def plain(value: object) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, BaseModel):
            return asked(value)
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return {
        key: plain(value)
        for key, field in type(spec).model_fields.items()
        if (value := getattr(spec, key)) != field.default or key == "name"
    }


def code_hash(experiment: Experiment, execution: Execution, package: Path = PACKAGE) -> str:
    """Return the SHA-256 of what the code does that a run of this spec can reach."""
    operations = {part.name: part for part in (*experiment.augmentation, *experiment.test_augmentation)}
    named = (experiment.optimizer, experiment.schedule, *(operations[name] for name in sorted(operations)))
    # The classes of the spec are roots, because they hold its defaults.
    models = dict.fromkeys(type(part) for part in (experiment, execution, *named))
    keys = tuple((model.__module__.partition(".")[2], model.__name__) for model in models)
    chosen = frozenset({experiment.model, execution.path, *(part.name for part in named)})
    return hash_of((*ROOTS, *keys), Choices(chosen, OFFERED), package)


def shared_code_hash(experiment: Experiment, execution: Execution, package: Path = PACKAGE) -> str:
    """Return the same for what every spec of this network and path reaches, whatever else it chooses."""
    return hash_of(ROOTS, Choices(frozenset({experiment.model, execution.path}), OFFERED), package)


@cache
def hash_of(roots: tuple[Key, ...], choices: Choices, package: Path) -> str:
    """Return the SHA-256 of the definitions that roots reach, numbered in the order in which they are first named."""
    waiting = list(roots)
    numbers = {key: number for number, key in enumerate(waiting)}
    total = hashlib.sha256()
    for key in waiting:  # which grows
        definition = _read(package, key, choices)
        for named in definition.named:
            if named not in numbers:
                numbers[named] = len(numbers)
                waiting.append(named)
        total.update(definition.content)
        total.update(json.dumps([numbers[named] for named in definition.named]).encode())
    return total.hexdigest()


_READ: dict[tuple[Path, Key], list[Definition]] = {}


def _read(package: Path, key: Key, choices: Choices) -> Definition:
    """Return a definition for these choices, read again only where they matter to it."""
    versions = _READ.setdefault((package, key), [])
    for known in versions:
        if all((name in choices.chosen) == was_chosen for name, was_chosen in known.asked.items()):
            return known
    versions.append(Definition(read_module(package, key[0]), key[1], choices))
    return versions[-1]
