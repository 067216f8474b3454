"""Make a record from what is known of an attempt: what is not known becomes null, with the reason."""

from datetime import UTC, datetime
from typing import Any

from resnet18.records.nulls import null_keys
from resnet18.records.parse import seal
from resnet18.records.record import (
    SCHEMA_VERSION,
    Conditions,
    Identity,
    Memory,
    Record,
    RecordSpec,
    Segment,
    Status,
    Time,
)
from resnet18.spec.identity import arm_id, execution_id, experiment_id, run_id

STANDING_REASONS = {
    "time.compile_s": "the spec asks for no compilation",
    "fingerprint.identity.commit": "the package does not lie in a git checkout",
    "fingerprint.identity.dirty": "the package does not lie in a git checkout",
    "failure": "the attempt did not fail",
}
SINGLE_FACTS = ("energy_j", "confusion", "samples", "classes", "parameters", "summary", "failure", "result_hash")


def build_record(  # noqa: PLR0913 - the parts of a record that are always known
    *,
    spec: RecordSpec,
    scale: str,
    attempt: int,
    status: Status,
    identity: Identity,
    segments: tuple[Segment, ...],
    facts: dict[str, Any],
    reasons: dict[str, str],
) -> Record:
    """Return the sealed record.

    Args:
        spec: what was asked for.
        scale: name of the scale.
        attempt: 1 is the first.
        status: how the attempt ended.
        identity: code, commit and data.
        segments: start and end of each stretch of work.
        facts: values under the record's own keys, as far as they are known; `time` and `memory` may be partial.
        reasons: why a key is null, where there is more to say than that the run ended early.
    """
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id(spec.experiment, spec.execution),
        "arm_id": arm_id(spec.experiment, spec.execution),
        "experiment_id": experiment_id(spec.experiment),
        "execution_id": execution_id(spec.execution),
        "attempt": attempt,
        "scale": scale,
        "seed": spec.experiment.seed,
        "status": status,
        "flags": facts.get("flags", []),
        "spec": spec.model_dump(mode="json"),
        "fingerprint": {"identity": identity.model_dump(), "numerics": facts.get("numerics")},
        "segments": [segment.model_dump() for segment in segments],
        "epochs": facts.get("epochs", []),
        "time": {key: facts.get("time", {}).get(key) for key in Time.model_fields},
        "memory": {key: facts.get("memory", {}).get(key) for key in Memory.model_fields},
        "conditions": _conditions(facts.get("conditions")),
        "unreliable_because": facts.get("unreliable_because", []),
        **{key: facts.get(key) for key in SINGLE_FACTS},
    }
    early = f"the attempt ended as {status} before this was known"
    known = {**STANDING_REASONS, **reasons}
    content["nulls"] = {key: known.get(key, early) for key in null_keys(content)}
    return seal(content)


def _conditions(found: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if found is None else {key: found.get(key) for key in Conditions.model_fields}


def utc_now() -> str:
    """Return the time for people, in UTC. Durations never come from it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
