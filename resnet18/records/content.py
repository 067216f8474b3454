"""The JSON content of a record: built from facts, hashed, read back only if nothing of it was changed, compared."""

import json
from collections.abc import Iterable, Mapping
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
    Segment,
    Status,
    Summary,
    Time,
    null_keys,
)
from resnet18.spec.errors import IntegrityError, strict_json
from resnet18.spec.identity import digest, ids_of

LIMIT = 64 << 20
"""Bytes of the largest file that is read as a record; a thousand epochs take less than one mebibyte."""
STANDING_REASONS = {
    "time.compile_s": "the spec asks for no compilation",
    "fingerprint.identity.commit": "the package does not lie in a git checkout",
    "fingerprint.identity.dirty": "the package does not lie in a git checkout",
    "failure": "the attempt did not fail",
}
SINGLE_FACTS = ("energy_j", "confusion", "samples", "classes", "parameters", "summary", "failure", "result_hash")
PROTOCOLS = {"train": "training", "as_published": "test as published", "clean": "test clean"}
SCORE_PARTS = ("images", "correct", "loss")
MOVE = "move the file away"


class OtherFormatError(IntegrityError):
    """A record of an older or newer format."""


def file_name(run_id: str, attempt: int) -> str:
    """Return what the file of an attempt's record is called."""
    return f"{run_id}.{attempt}.json"


def utc_now() -> str:
    """Return the time for people, in UTC. Durations never come from it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def result_hash(epochs: tuple[Epoch, ...], confusion: tuple[tuple[int, ...], ...], summary: Summary) -> str:
    """Return the SHA-256 of what was learned: no time, memory, host or date enters it, and a loss to its last bit.

    Equal experiments under equal numerics give equal result hashes, whichever engine ran them.
    """
    scores = [
        [epoch.epoch, epoch.steps]
        + [[score.loss.hex(), score.correct, score.images] for score in (epoch.train, epoch.as_published, epoch.clean)]
        for epoch in epochs
    ]
    return digest({"epochs": scores, "confusion": confusion, "summary": summary.model_dump()})


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

    `facts` are values under the record's own keys, as far as they are known; `time` and `memory` may be partial.
    `reasons` say why a key is null, where there is more to say than that the run ended early.
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
    early = f"the attempt ended as {status} before this was known"
    content["nulls"] = {key: {**STANDING_REASONS, **reasons}.get(key, early) for key in null_keys(content)}
    return seal(content)


def seal(content: dict[str, Any]) -> Record:
    """Return the record of a JSON content, with the hash of it as it reads back from disk, defaults filled in."""
    stub = Record.model_validate({**content, "record_hash": "0" * 64}).model_dump(mode="json")
    return Record.model_validate({**content, "record_hash": record_hash(stub)})


def as_json(record: Record) -> bytes:
    """Return the bytes of a record's file."""
    return (json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False) + "\n").encode()


def parse_record(text: bytes, name: str) -> Record:
    """Return the record that the bytes of a file of this name hold; IntegrityError if they are none, or were changed.

    What a record derives from its own content is computed again. Keys that a later version has added are left out,
    except in the spec, which ids are made of.
    """
    try:
        content = strict_json(text)
        if (version := content["schema_version"]) != SCHEMA_VERSION:
            what = f"format {version!r:.20} is not that of this suite ({SCHEMA_VERSION})"
            raise OtherFormatError(name, what, next_step="use the suite that made it, or move the file away")
        if content["record_hash"] != record_hash(content):
            what, next_step = "was changed after it was written", "restore the file, or delete it and run again"
            raise IntegrityError(name, what, next_step=next_step)
        spec = RecordSpec.model_validate(content["spec"])
        record = Record.model_validate({**content, "spec": spec}, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"])) or "record"
        raise IntegrityError(name, f"is no record: {key}: {first['msg']}", next_step=MOVE) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise IntegrityError(name, f"is no record: {reason}", next_step=MOVE) from None
    derived: dict[str, Any] = {**ids_of(spec.experiment, spec.execution)._asdict(), "seed": spec.experiment.seed}
    if record.confusion and record.summary:
        derived["result_hash"] = result_hash(record.epochs, record.confusion, record.summary)
    for key, value in derived.items():
        if getattr(record, key) != value:
            raise IntegrityError(name, f"its {key} is not that of its content", next_step=MOVE)
    return record


def load_record(path: Path) -> Record:
    """Read one record, whatever its file is called; IntegrityError if it cannot be read, or as `parse_record`."""
    try:
        return parse_record(disk.read(path, LIMIT), path.name)
    except OSError as error:
        what, next_step = f"cannot be read: {error.strerror}", "look at its permissions, and at the disk"
        raise IntegrityError(path.name, what, next_step=next_step) from None


def differ_in_code(groups: Iterable[Iterable[Record]]) -> bool:
    """Say whether records that are to be compared were made by several versions of the code.

    A group holds the records of one spec. Within it all of the code must be the same; between groups, what their specs
    share: network and path.
    """
    shared = dict[tuple[str, str], str]()
    for group in groups:
        records = list(group)
        if len({record.fingerprint.identity.code_hash for record in records}) > 1:
            return True
        for record in records:
            kind = (record.spec.experiment.model, record.spec.execution.path)
            own = record.fingerprint.identity.shared_code_hash
            if shared.setdefault(kind, own) != own:
                return True
    return False


def promises_bits(numerics: Mapping[str, object] | None) -> bool:
    """Say whether equal numerics promise equal bits: on an accelerator deterministic algorithms alone do."""
    return (numerics or {}).get("device", "cpu") == "cpu" or bool((numerics or {}).get("deterministic"))


def knows_machine(numerics: Mapping[str, object] | None) -> bool:
    """Say whether numerics tell what computed: a GPU or a processor. Two that are unknown need not be equal ones."""
    found = numerics or {}
    return any(found.get(key) not in {None, "", "unknown"} for key in ("gpu_model", "cpu_model"))


def origin(record: Record) -> tuple[str, str, str | None]:
    """Return the run, and the code and data that it was made with."""
    identity = record.fingerprint.identity
    return record.run_id, identity.code_hash, identity.data_sha256


def contradict(first: Record, second: Record) -> bool:
    """Say whether two records of one run, of the same code, data and numerics, have results that may not differ."""
    numerics = first.fingerprint.numerics
    return (
        first.status == second.status == "ok"
        and origin(first) == origin(second)
        and numerics == second.fingerprint.numerics
        and knows_machine(numerics)
        and promises_bits(numerics)
        and first.result_hash != second.result_hash
    )


def first_difference(first: Record, second: Record) -> str | None:
    """Return the first value in which the results of two records of one run differ; None where none does."""
    a, b = _results(first), _results(second)
    return next((f"{key}: {a.get(key)} and {b.get(key)}" for key in a | b if a.get(key) != b.get(key)), None)


def _results(record: Record) -> dict[str, object]:
    """Return what `result_hash` covers, by the name that a message gives it."""
    found: dict[str, object] = {"epochs": len(record.epochs)}
    for epoch in record.epochs:
        found[f"epoch {epoch.epoch}, steps"] = epoch.steps
        for key, title in PROTOCOLS.items():
            score = getattr(epoch, key)
            found |= {f"epoch {epoch.epoch}, {title} {part}": getattr(score, part) for part in SCORE_PARTS}
    found |= {f"confusion counts of class {label}": row for label, row in enumerate(record.confusion or ())}
    found |= record.summary.model_dump() if record.summary else {}
    return {**found, "result_hash": record.result_hash}
