"""What is known of one run beside its numbers, each fact under a title."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from resnet18.records.record import Record

Place = tuple[str, str]
"""A table's title, and a case."""


@dataclass(frozen=True)
class Fact:
    """What is known of a run, under a title."""

    name: str
    text: str


def facts_of(record: Record, places: Sequence[Place]) -> Iterator[Fact]:
    """Yield what is this run's alone: ids, hashes, spans, and what its numbers were measured beside."""
    if len(places) > 1:
        yield Fact("Shown in", ", ".join(f'"{case}" of {table}' for table, case in places))
    yield Fact("File", f"records/{record.run_id}.{record.attempt}.json")
    if record.failure is not None:
        yield Fact(f"Failed in {record.failure.phase}", record.failure.message)
    if record.unreliable_because:
        yield Fact("Meanwhile", "; ".join(record.unreliable_because))
    yield Fact("Ids", f"run {record.run_id}, arm {record.arm_id}")
    yield Fact("Ids of its spec", f"experiment {record.experiment_id}, execution {record.execution_id}")
    yield Fact("Result hash", record.result_hash or "none")
    yield Fact("Record hash", record.record_hash)
    if record.summary is not None:
        yield Fact("Parameters, SHA-256", record.summary.parameters_sha256)
        yield Fact("Predictions, SHA-256", record.summary.predictions_sha256)
    spans = "; ".join(f"{one.start} \N{EN DASH} {one.end}" for one in record.segments)
    yield Fact("Worked (UTC)", spans or "never")
    times, peaks = record.time.model_dump(), record.memory.model_dump()
    yield Fact("Seconds by scope", _listed(times, lambda value: f"{value:.4g}", "_s"))
    yield Fact("Peaks (bytes)", _listed(peaks, lambda value: f"{value:,}", "_bytes"))
    if record.energy_j is not None:
        yield Fact("Energy (J)", f"{record.energy_j:.4g}")


def _listed(values: dict[str, Any], text: Callable[[Any], str], unit: str) -> str:
    known = (f"{key.removesuffix(unit)} {text(value)}" for key, value in values.items() if value is not None)
    return ", ".join(known) or "none is known"


def setup_of(record: Record) -> list[Fact]:
    """Return what runs of one machine, code and data have in common."""
    identity, numerics = record.fingerprint.identity, record.fingerprint.numerics or {}
    changes = {True: "with changes", False: "unchanged", None: "not known"}[identity.dirty]
    facts = [
        Fact("Code, SHA-256", identity.code_hash),
        Fact("Commit", f"{identity.commit} ({changes})" if identity.commit else "none"),
        Fact("Data", record.spec.experiment.data),
        Fact("Data, SHA-256", identity.data_sha256 or "none"),
        Fact("Scale and options", " ".join([record.scale, *record.spec.overrides])),
    ]
    return [*facts, *(Fact(key, str(value)) for key, value in sorted(numerics.items()))]
