"""The JSON content of a record: built from facts, hashed, written, and read back only if nothing of it was changed."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from resnet18.records import disk
from resnet18.records.record import (
    SCHEMA_VERSION,
    Conditions,
    Epoch,
    Identity,
    Memory,
    Record,
    RecordSpec,
    Score,
    Segment,
    Status,
    Summary,
    Time,
    null_keys,
)
from resnet18.spec.errors import IntegrityError
from resnet18.spec.identity import digest, ids_of
from resnet18.spec.strict import strict_json

LIMIT = 64 << 20
"""Bytes of the largest file that is read as a record; a thousand epochs take less than one mebibyte."""
STANDING_REASONS = {
    "time.compile_s": "the spec asks for no compilation",
    "fingerprint.identity.commit": "the package does not lie in a git checkout",
    "fingerprint.identity.dirty": "the package does not lie in a git checkout",
    "failure": "the attempt did not fail",
}
SINGLE_FACTS = ("energy_j", "confusion", "samples", "classes", "parameters", "summary", "failure", "result_hash")


class OtherFormatError(IntegrityError):
    """A record of an older or newer format."""


def file_name(run_id: str, attempt: int) -> str:
    """Return what the file of an attempt's record is called."""
    return f"{run_id}.{attempt}.json"


def utc_now() -> str:
    """Return the time for people, in UTC. Durations never come from it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def result_hash(epochs: tuple[Epoch, ...], confusion: tuple[tuple[int, ...], ...], summary: Summary) -> str:
    """Return the SHA-256 of what was learned: no time, memory, host or date enters it.

    Equal experiments under equal numerics give equal result hashes, whichever engine ran them.
    """
    scores = [
        [epoch.epoch, epoch.steps, *map(_exact, (epoch.train, epoch.as_published, epoch.clean))] for epoch in epochs
    ]
    return digest({"epochs": scores, "confusion": confusion, "summary": summary.model_dump()})


def _exact(score: Score) -> list[str | int]:
    """Return a score with its loss as hexadecimal digits, so that the last bit counts."""
    return [score.loss.hex(), score.correct, score.images]


def record_hash(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a record's JSON content, its own `record_hash` left out."""
    return digest({key: value for key, value in content.items() if key != "record_hash"})


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
    """Return the sealed record of an attempt; what is not known is null, with the reason.

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
    conditions = facts.get("conditions")
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        **ids_of(spec.experiment, spec.execution)._asdict(),
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
        "conditions": conditions and {key: conditions.get(key) for key in Conditions.model_fields},
        "unreliable_because": facts.get("unreliable_because", []),
        **{key: facts.get(key) for key in SINGLE_FACTS},
    }
    known = {**STANDING_REASONS, **reasons}
    early = f"the attempt ended as {status} before this was known"
    content["nulls"] = {key: known.get(key, early) for key in null_keys(content)}
    return seal(content)


def seal(content: dict[str, Any]) -> Record:
    """Return the record of a JSON content, with the hash of it as it reads back from disk, defaults filled in."""
    stub = Record.model_validate({**content, "record_hash": "0" * 64}).model_dump(mode="json")
    return Record.model_validate({**content, "record_hash": record_hash(stub)})


def as_json(record: Record) -> bytes:
    """Return the bytes of a record's file."""
    return (json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False) + "\n").encode()


def parse_record(text: bytes, name: str) -> Record:
    """Return the record that the bytes of a file hold. What it derives from its own content is computed again.

    Keys that a later version has added are left out, except in the spec, which ids are made of.

    Raises:
        IntegrityError: not JSON, another schema, or changed since it was written; the message names the file.
    """
    try:
        content = strict_json(text)
        if (version := content["schema_version"]) != SCHEMA_VERSION:
            raise OtherFormatError(
                name,
                f"format {version!r:.20} is not that of this suite ({SCHEMA_VERSION})",
                next_step="use the suite that made it, or move the file away",
            )
        if content["record_hash"] != record_hash(content):
            what, next_step = "was changed after it was written", "restore the file, or delete it and run again"
            raise IntegrityError(name, what, next_step=next_step)
        spec = RecordSpec.model_validate(content["spec"])
        record = Record.model_validate({**content, "spec": spec}, extra="ignore")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_record(name, error) from None
    derived: dict[str, Any] = {**ids_of(spec.experiment, spec.execution)._asdict(), "seed": spec.experiment.seed}
    if record.confusion and record.summary:
        derived["result_hash"] = result_hash(record.epochs, record.confusion, record.summary)
    for key, value in derived.items():
        if getattr(record, key) != value:
            raise IntegrityError(name, f"its {key} is not that of its content", next_step="move the file away")
    return record


def _no_record(name: str, error: Exception) -> IntegrityError:
    """Return an error that says on one line what is wrong: of values that do not fit, the first one, with its key."""
    if isinstance(error, ValidationError):
        (first, *_) = error.errors(include_url=False, include_input=False)
        reason = f"{'.'.join(map(str, first['loc'])) or 'record'}: {first['msg']}"
    else:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return IntegrityError(name, f"is no record: {reason}", next_step="move the file away")


def load_record(path: Path) -> Record:
    """Read one record, whatever its file is called.

    Raises:
        IntegrityError: it cannot be read, or as `parse_record`.
    """
    try:
        return parse_record(disk.read(path, LIMIT), path.name)
    except OSError as error:
        what, next_step = f"cannot be read: {error.strerror}", "look at its permissions, and at the disk"
        raise IntegrityError(path.name, what, next_step=next_step) from None


def load_stored(path: Path) -> Record:
    """Read a record from a results folder, where a copy beside it would be a second measurement of nothing.

    Raises:
        IntegrityError: as `load_record`, or its file is not called by its run and attempt.
    """
    record = load_record(path)
    if path.name != (name := file_name(record.run_id, record.attempt)):
        raise IntegrityError(path.name, f"holds the record {name}", next_step="rename it, or move the copy away")
    return record
