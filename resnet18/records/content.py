"""The JSON content of a record: built from facts, hashed, read back only if nothing of it was changed.

Why a time is unreliable is computed from the conditions whenever a record is read, so that another limit judges old
records too. Null is unknown and says nothing against a time.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resnet18.records import disk
from resnet18.records.consistency import contradiction
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
    null_keys,
)
from resnet18.spec.errors import IntegrityError, disk_errors, short
from resnet18.spec.identity import digest, ids_of
from resnet18.spec.validation import first_finding, strict_json

NO_SIZE = "the attempt did not run out of memory, or its message does not say"
NO_COMMIT = "git names no commit: the package lies in no checkout, or in another user's, or git is missing"
NULL_REASONS = {
    "time.compile_s": "the spec asks for no compilation",
    "fingerprint.identity.commit": NO_COMMIT,
    "fingerprint.identity.dirty": NO_COMMIT,
    "failure": "the attempt did not fail",
    "failure.requested_bytes": NO_SIZE,
    "failure.free_bytes": NO_SIZE,
}
# Limits beyond which a time is unreliable. Times are compared in blocks by seed, which carry what slows all runs of a
# seed; so a time is unreliable only where the disturbance more than doubles a step, or is of another kind. For what was
# measured see docs/methodology.md.
LOST_LIMIT_CPUS = 0.5
"""CPUs that others take beyond those that the run leaves free. Not a share: threads wait for the slowest of them."""
TOLD_CPUS = 0.05
"""More is told beside a table; on a quiet machine others take 0.01 to 0.05."""
PRESSURE_LIMIT = 0.4
"""Share of the time. Measured: 0.29 to 0.36 in runs beside a load of 0.3 CPUs, 0.46 beside a program that never sleeps.
It matters where the system does not tell what others used, and where free CPUs do not keep them off the run's."""
CLOCK_LIMIT = 0.05
"""Of the highest clock: time goes with the clock."""
SUSPENDED_LIMIT_S = 1.0
"""A sleep is longer; after it caches are cold and a GPU starts again. Clocks that are set drift by less."""
TROUBLE = ("HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")
"""NVML's reasons for a lower clock that come from outside the run: heat, or a supply that fails. A cap of power in
software meets any work at full load; where that changes the speed during a run, the clock tells."""


def file_name(run_id: str, attempt: int) -> str:
    """Return what the file of an attempt's record is called."""
    return f"{run_id}.{attempt}.json"


def utc_now(after: str = "") -> str:
    """Return the time for people, in UTC, or `after` where the clock was set back. Durations never come from it."""
    return max(after, datetime.now(UTC).isoformat(timespec="seconds"))


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


def lost_cpus(conditions: Mapping[str, Any], numerics: Mapping[str, Any]) -> float:
    """Return how many CPUs others took from a run: what the hypervisor took, and what programs used of the run's.

    Conditions and numerics are the record's; null or a missing key is unknown, and counts as nothing. A run on the CPU
    needs as many CPUs as it has threads (all where that is unknown), a run on a GPU needs 1.
    """
    cpus, steal, others = (conditions.get(key) or 0 for key in ("cpus", "cpu_steal_share", "cpu_others_share"))
    threads = numerics.get("threads") if numerics.get("device", "cpu") == "cpu" else 1
    needed = threads if isinstance(threads, int) else cpus
    return float(max(0.0, others * cpus - max(0, cpus - needed)) + steal * cpus)


def disturbances(conditions: Mapping[str, Any], numerics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each reason why a time is unreliable, with the figure and its limit; none where it is not.

    Takes what `lost_cpus` takes.
    """
    known = {key: value for key, value in conditions.items() if value is not None}
    cpus, steal, pressure = (known.get(key, 0) for key in ("cpus", "cpu_steal_share", "cpu_pressure_share"))
    used, lost = known.get("cpu_others_share", 0) * cpus, lost_cpus(conditions, numerics)
    # Where other programs worked little, the run's own threads and loader processes waited for each other.
    others_rested = {"cpus", "cpu_others_share"} <= known.keys() and used <= LOST_LIMIT_CPUS
    asleep_s, processes = known.get("suspended_s", 0), known.get("gpu_other_processes", 0)
    trouble = [name for name in known.get("gpu_throttle", ()) if name in TROUBLE]
    lowest, _, highest = known.get("gpu_clock_mhz", (1, 1, 1))
    fall = 1 - lowest / max(highest, 1)
    reasons = {
        f"other programs used {used:.2f} of {cpus} CPUs and the hypervisor took {steal * cpus:.2f}: "
        f"{lost:.2f} more than the run left free (times count up to {LOST_LIMIT_CPUS:.2f})": lost > LOST_LIMIT_CPUS,
        f"work waited for a CPU in {pressure:.1%} of the time (times count up to {PRESSURE_LIMIT:.0%})": (
            pressure > PRESSURE_LIMIT and not others_rested
        ),
        "the machine ran on its battery": known.get("on_battery", False),
        f"run or machine stood still for {asleep_s:.1f} s (times count up to {SUSPENDED_LIMIT_S:.0f} s)": (
            asleep_s > SUSPENDED_LIMIT_S
        ),
        f"other programs used the GPU ({processes})": processes > 0,
        f"the GPU lowered its clock: {', '.join(trouble)}": bool(trouble),
        f"the GPU's clock fell by {fall:.1%}, to {lowest} of {highest} MHz "
        f"(times count up to {CLOCK_LIMIT:.0%})": lowest < (1 - CLOCK_LIMIT) * highest,
    }
    return tuple(sentence for sentence, applies in reasons.items() if applies)


def seal(content: dict[str, Any]) -> Record:
    """Return the record of a JSON content, with the hash of it as it reads back from disk, defaults filled in."""
    record = Record.model_validate({**content, "record_hash": "0" * 64})
    return record.model_copy(update={"record_hash": record_hash(record.model_dump(mode="json"))})


def parse_record(text: bytes, name: str) -> Record:
    """Return the record that a file of this name holds, judged.

    Raises IntegrityError if it is none, was changed, contradicts itself, or is another's: what it derives from its own
    content is computed again. Takes time and memory in proportion to the text, up to a second and 200 MB.
    """
    try:
        return _parsed(text, name)
    except (ValueError, TypeError, ArithmeticError) as error:
        reason = short(first_finding(error, "record"), 200)
    raise IntegrityError(name, f"is no record: {reason}", next_step="move the file away")


def _parsed(text: bytes, name: str) -> Record:
    content = strict_json(text)
    if not isinstance(content, dict):
        raise TypeError("must be a JSON object")
    if (version := content.get("schema_version")) != SCHEMA_VERSION or type(version) is not int:
        what = f"format {short(json.dumps(version), 20)} is not that of this suite ({SCHEMA_VERSION})"
        raise IntegrityError(name, what, next_step="use the suite that made it, or move the file away")
    if content.get("record_hash") != record_hash(content):
        what, next_step = "was changed after it was written", "restore the file, or delete it and run again"
        raise IntegrityError(name, what, next_step=next_step)
    # Keys that a later version has added are left out, except in the spec, which ids are made of.
    spec = RecordSpec.model_validate(content.get("spec"))
    record = Record.model_validate({**content, "spec": spec}, extra="ignore")
    if wrong := contradiction(record):
        raise ValueError(wrong)
    derived: dict[str, Any] = {**ids_of(spec.experiment, spec.execution)._asdict(), "seed": spec.experiment.seed}
    if record.confusion and record.summary:
        derived["result_hash"] = result_hash(record.epochs, record.confusion, record.summary)
    if differing := [key for key, value in derived.items() if getattr(record, key) != value]:
        raise ValueError(f"its {differing[0]} is not that of its content")
    if name != (own := file_name(record.run_id, record.attempt)):  # a copy would be a second measurement of nothing
        raise IntegrityError(name, f"holds the record {own}", next_step="rename it, or move the copy away")
    conditions = None if record.conditions is None else record.conditions.model_dump()
    return record.model_copy(update=_flagged(record.flags, conditions, record.fingerprint.numerics))


def load_record(path: Path) -> Record:
    """Read one record; IntegrityError if it cannot be read, or as `parse_record`."""
    with disk_errors(IntegrityError, path.name, "cannot be read", "look at its permissions, and at the disk"):
        return parse_record(disk.read(path), path.name)
