"""The JSON content of a record: built from facts, hashed, read back only if nothing of it was changed, compared."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from resnet18.records import disk
from resnet18.records.disturbance import disturbances
from resnet18.records.record import (
    SCHEMA_VERSION,
    Conditions,
    Epoch,
    Identity,
    Memory,
    Record,
    RecordSpec,
    Summary,
    Time,
    difference,
    null_keys,
)
from resnet18.spec.errors import IntegrityError, disk_errors, strict_json
from resnet18.spec.identity import digest, ids_of

LIMIT = 64 << 20  # bytes of a record's file; a thousand epochs take less than one mebibyte
NO_SIZE = "the attempt did not run out of memory, or its message does not say"
NULL_REASONS = {
    "time.compile_s": "the spec asks for no compilation",
    "fingerprint.identity.commit": "the package does not lie in a git checkout",
    "fingerprint.identity.dirty": "the package does not lie in a git checkout",
    "failure": "the attempt did not fail",
    "failure.requested_bytes": NO_SIZE,
    "failure.free_bytes": NO_SIZE,
}


def file_name(run_id: str, attempt: int) -> str:
    """Return what the file of an attempt's record is called."""
    return f"{run_id}.{attempt}.json"


def utc_now() -> str:
    """Return the time for people, in UTC. Durations never come from it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def result_hash(epochs: tuple[Epoch, ...], confusion: tuple[tuple[int, ...], ...], summary: Summary) -> str:
    """Return the SHA-256 of what was learned: no time, memory, host or date enters it, and a loss to its last bit."""
    scores = [
        [epoch.epoch, epoch.steps]
        + [[score.loss.hex(), score.correct, score.images] for score in (epoch.train, epoch.as_published, epoch.clean)]
        for epoch in epochs
    ]
    return digest({"epochs": scores, "confusion": confusion, "summary": summary.model_dump()})


def record_hash(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a record's JSON content, its own `record_hash` left out."""
    return digest({key: value for key, value in content.items() if key != "record_hash"})


def build_record(
    spec: RecordSpec, identity: Identity, facts: Mapping[str, Any], reasons: Mapping[str, str] | None = None
) -> Record:
    """Return the sealed record of an attempt; what is not known is null, with the reason.

    `facts` are values under the record's own keys, as far as they are known: attempt, scale, status, segments and
    time.wall_s are. `reasons` say why a key is null, where there is more to say than that the run ended early.
    """
    conditions = facts.get("conditions")
    known: dict[str, Any] = {"epochs": (), **facts}
    known |= _flagged(facts.get("flags", ()), conditions, facts.get("numerics"))
    known |= {
        **ids_of(spec.experiment, spec.execution)._asdict(),
        "schema_version": SCHEMA_VERSION,
        "seed": spec.experiment.seed,
        "spec": spec,
        "fingerprint": {"identity": identity.model_dump(), "numerics": facts.get("numerics")},
        "time": {key: facts["time"].get(key) for key in Time.model_fields},
        "memory": {key: facts.get("memory", {}).get(key) for key in Memory.model_fields},
        "conditions": conditions and {key: conditions.get(key) for key in Conditions.model_fields},
    }
    content = {key: known.get(key) for key in Record.model_fields if key not in {"nulls", "record_hash"}}
    early = f"the attempt ended as {facts['status']} before this was known"
    content["nulls"] = {key: {**NULL_REASONS, **(reasons or {})}.get(key, early) for key in null_keys(content)}
    return seal(content)


def _flagged(
    flags: Iterable[str], conditions: Mapping[str, Any] | None, numerics: Mapping[str, Any] | None
) -> dict[str, tuple[str, ...]]:
    """Return a record's flags, and why its times are unreliable, as its conditions tell by today's limits."""
    reasons = disturbances(conditions or {}, numerics or {})
    others = tuple(flag for flag in flags if flag != "unreliable")
    return {"flags": (*others, "unreliable") if reasons else others, "unreliable_because": reasons}


def seal(content: dict[str, Any]) -> Record:
    """Return the record of a JSON content, with the hash of it as it reads back from disk, defaults filled in."""
    record = Record.model_validate({**content, "record_hash": "0" * 64})
    return record.model_copy(update={"record_hash": record_hash(record.model_dump(mode="json"))})


def parse_record(text: bytes, name: str) -> Record:
    """Return the record that a file of this name holds; IntegrityError if it is none, was changed, or is another's."""
    try:
        return _parsed(text, name)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'record'}: {first['msg']}"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
    raise IntegrityError(name, f"is no record: {reason}", next_step="move the file away")


def _parsed(text: bytes, name: str) -> Record:
    content = strict_json(text)
    if (version := content["schema_version"]) != SCHEMA_VERSION:
        what = f"format {version!r:.20} is not that of this suite ({SCHEMA_VERSION})"
        raise IntegrityError(name, what, next_step="use the suite that made it, or move the file away")
    if content["record_hash"] != record_hash(content):
        what, next_step = "was changed after it was written", "restore the file, or delete it and run again"
        raise IntegrityError(name, what, next_step=next_step)
    # Keys that a later version has added are left out, except in the spec, which ids are made of.
    spec = RecordSpec.model_validate(content["spec"])
    record = Record.model_validate({**content, "spec": spec}, extra="ignore")
    derived: dict[str, Any] = {**ids_of(spec.experiment, spec.execution)._asdict(), "seed": spec.experiment.seed}
    if record.confusion and record.summary:
        derived["result_hash"] = result_hash(record.epochs, record.confusion, record.summary)
    if wrong := [key for key, value in derived.items() if getattr(record, key) != value]:
        raise ValueError(f"its {wrong[0]} is not that of its content")
    if name != (own := file_name(record.run_id, record.attempt)):  # a copy would be a second measurement of nothing
        raise IntegrityError(name, f"holds the record {own}", next_step="rename it, or move the copy away")
    if record.conditions is None:
        return record
    flags = _flagged(record.flags, record.conditions.model_dump(), record.fingerprint.numerics)
    return record.model_copy(update=flags)


def load_record(path: Path) -> Record:
    """Read one record; IntegrityError if it cannot be read, or as `parse_record`."""
    with disk_errors(IntegrityError, path.name, "cannot be read", "look at its permissions, and at the disk"):
        return parse_record(disk.read(path, LIMIT), path.name)


def differ_in_code(records: Iterable[Record]) -> bool:
    """Say whether records were made by several versions of the code: all of it for one arm, else network and path."""
    hashes = dict[tuple[str, ...], set[str]]()
    for record in records:
        identity, spec = record.fingerprint.identity, record.spec
        hashes.setdefault((record.arm_id,), set()).add(identity.code_hash)
        hashes.setdefault((spec.experiment.model, spec.execution.path), set()).add(identity.shared_code_hash)
    return any(len(found) > 1 for found in hashes.values())


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
    return difference(_results(first), _results(second))


def _results(record: Record) -> dict[str, object]:
    """Return what `result_hash` covers, epochs and classes by their number."""
    covered = ("steps", "train", "as_published", "clean")
    return {
        "epochs": len(record.epochs),
        "epoch": {epoch.epoch: {key: asdict(epoch)[key] for key in covered} for epoch in record.epochs},
        "confusion": dict(enumerate(record.confusion or ())),
        "summary": record.summary.model_dump() if record.summary else {},
        "result_hash": record.result_hash,
    }
