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
    is_worded: bool = False
    """Whether the text is words; else ids, numbers, or what a program said, which are the same in every language."""
    is_key: bool = False
    """Whether the name is a record's own key."""


def facts_of(record: Record, places: Sequence[Place]) -> Iterator[Fact]:
    """Yield what is this run's alone: ids, hashes, spans, and what its numbers were measured beside."""
    if len(places) > 1:
        yield _worded("Shown in", ", ".join(f'"{case}" of {table}' for table, case in places))
    yield Fact("File", f"records/{record.run_id}.{record.attempt}.json")
    if record.failure is not None:
        yield Fact(f"Failed in {record.failure.phase}", record.failure.message)
    if record.contamination:
        yield _worded("Meanwhile", "; ".join(record.contamination))
    yield _worded("Ids", f"run {record.run_id}, arm {record.arm_id}")
    yield _worded("Ids of its spec", f"experiment {record.experiment_id}, execution {record.execution_id}")
    yield _known("Result hash", record.result_hash)
    yield Fact("Record hash", record.record_hash)
    if record.outcome is not None:
        yield Fact("Parameters, SHA-256", record.outcome.parameters_sha256)
        yield Fact("Predictions, SHA-256", record.outcome.predictions_sha256)
    spans = "; ".join(f"{one.start} \N{EN DASH} {one.end}" for one in record.segments)
    yield _known("Worked (UTC)", spans, "never")
    times, peaks = record.time.model_dump(), record.memory.model_dump()
    yield _known("Seconds by scope", _listed(times, lambda value: f"{value:.4g}", "_s"), "none is known")
    yield _known("Peaks (bytes)", _listed(peaks, lambda value: f"{value:,}", "_bytes"), "none is known")
    if record.energy_j is not None:
        yield Fact("Energy (J)", f"{record.energy_j:.4g}")


def _worded(name: str, text: str) -> Fact:
    return Fact(name, text, is_worded=True)


def _known(name: str, text: str | None, otherwise: str = "none") -> Fact:
    """Return a fact of ids or numbers, or in words that there are none."""
    return Fact(name, text) if text else _worded(name, otherwise)


def _listed(values: dict[str, Any], text: Callable[[Any], str], unit: str) -> str:
    return ", ".join(f"{key.removesuffix(unit)} {text(value)}" for key, value in values.items() if value is not None)


def setup_of(record: Record) -> list[Fact]:
    """Return what runs of one machine, code and data have in common."""
    identity, numerics = record.fingerprint.identity, record.fingerprint.numerics or {}
    changes = {True: "with changes", False: "unchanged", None: "not known"}[identity.dirty]
    facts = [
        Fact("Code, SHA-256", identity.code_hash),
        _worded("Commit", f"{identity.commit} ({changes})" if identity.commit else "none"),
        Fact("Data", record.spec.experiment.data),
        _known("Data, SHA-256", identity.data_sha256),
        Fact("Scale and options", " ".join([record.scale, *record.spec.overrides])),
    ]
    return [*facts, *(Fact(key, str(value), is_key=True) for key, value in sorted(numerics.items()))]
