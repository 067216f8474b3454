"""Canonical JSON, SHA-256, and the ids that records are found by. Changing anything here voids every record."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from resnet18.spec.experiment import Execution, Experiment

PACKAGE = Path(__file__).parents[1]
# The sources that can change a result. The worker alone of `execution` touches a run from inside.
RESULT_SOURCES = ("spec/**/*.py", "training/**/*.py", "training/**/*.[ch]", "execution/worker*.py")
ADDED = {"label_smoothing": 0.0}
"""Keys of the experiment that came after the first records: at these defaults they are left out of the ids."""


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
    return digest(_asked(experiment))[:16]


def execution_id(execution: Execution) -> str:
    """Return the id of how the run was asked to be carried out."""
    return digest(execution.model_dump(mode="json"))[:16]


def run_id(experiment: Experiment, execution: Execution) -> str:
    """Return the id of one run: experiment (with seed) and execution."""
    return digest([experiment_id(experiment), execution_id(execution)])[:16]


def arm_id(experiment: Experiment, execution: Execution) -> str:
    """Return the id of one arm: the same without the seed."""
    content = {key: value for key, value in _asked(experiment).items() if key != "seed"}
    return digest([content, execution_id(execution)])[:16]


def _asked(experiment: Experiment) -> dict[str, Any]:
    """Return what an experiment's ids are made of."""
    content = experiment.model_dump(mode="json")
    return {key: value for key, value in content.items() if key not in ADDED or value != ADDED[key]}


@cache
def code_hash(package: Path = PACKAGE) -> str:
    """Return the SHA-256 of the sources that can change a result, the same on every checkout of one commit."""
    total = hashlib.sha256()
    for source in RESULT_SOURCES:
        for file in sorted(package.glob(source)):
            content = file.read_bytes().replace(b"\r\n", b"\n")
            total.update(f"{file.relative_to(package).as_posix()} {len(content)}\n".encode())
            total.update(content)
    return total.hexdigest()
