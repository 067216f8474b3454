"""The runs of a folder as a list, and what each comes from. What many runs share is printed once, with a number."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from resnet18.analysis.candidates import candidate_records
from resnet18.analysis.cells import NOTHING, STATUS_TEXT, accuracy, seconds
from resnet18.analysis.contents import Chapter, Contents
from resnet18.analysis.metrics import best_accuracy, last_clean_accuracy, machine, train_s, whole_program_s
from resnet18.analysis.page.grid import Cell
from resnet18.records.record import Record

MOST_RUNS = 600
"""Runs that are listed: each takes some two kilobytes."""
HEADS = (
    ("Table", False),
    ("Case", False),
    ("Seed", True),
    ("Status", False),
    ("Flags", False),
    ("Best, as published", True),
    ("Last, clean", True),
    ("Training (s)", True),
    ("Whole program (s)", True),
    ("Wall (s)", True),
    ("Machine", False),
)
"""Columns, and whether they hold numbers."""

CANDIDATE = "a candidate for what is left open"
Fact = tuple[str, str]


@dataclass(frozen=True)
class Shared:
    """Facts that several runs have in common."""

    number: int
    facts: tuple[Fact, ...]


@dataclass
class Pool:
    """Facts as they are met, each distinct set once."""

    found: dict[tuple[Fact, ...], Shared] = field(default_factory=dict)

    def add(self, facts: Sequence[Fact]) -> Shared:
        """Return the set with its number."""
        return self.found.setdefault(tuple(facts), Shared(len(self.found) + 1, tuple(facts)))

    @property
    def members(self) -> tuple[Shared, ...]:
        """All sets, by number."""
        return tuple(self.found.values())


@dataclass(frozen=True)
class Run:
    """One line of the list, with what opens under it."""

    cells: tuple[Cell, ...]
    status: str
    facts: tuple[Fact, ...]
    setup: Shared
    nulls: Shared | None


@dataclass(frozen=True)
class RunList:
    """The runs that are listed."""

    runs: tuple[Run, ...]
    total: int
    setups: tuple[Shared, ...]
    nulls: tuple[Shared, ...]
    statuses: tuple[str, ...]


def run_list(contents: Contents) -> RunList:
    """Return the runs by chapter, table, case and seed, then those in no table; as many as a page can hold."""
    setups, nulls = Pool(), Pool()
    listed = dict(list(_labelled(contents).items())[:MOST_RUNS])
    by_id = {record.run_id: record for record in contents.records}
    runs = tuple(_run(by_id[run_id], places, setups, nulls) for run_id, places in listed.items())
    statuses = tuple(dict.fromkeys(sorted(run.status for run in runs)))
    return RunList(runs, len(contents.records), setups.members, nulls.members, statuses)


def _labelled(contents: Contents) -> dict[str, list[Fact]]:
    """Return all runs, in order, with the tables and cases that show them."""
    found: dict[str, list[Fact]] = {}
    for chapter in contents.chapters:
        for run_id, place in _places(chapter):
            places = found.setdefault(run_id, [])
            if place not in places:
                places.append(place)
    for record in contents.records:
        found.setdefault(record.run_id, [])
    return found


def _places(chapter: Chapter) -> Iterator[tuple[str, Fact]]:
    for view in chapter.views:
        for arm in view.arms:
            for record in arm.records:
                yield record.run_id, (view.benchmark.title, arm.case.name)
    for view in chapter.views:
        for record in candidate_records(view, chapter.request, chapter.records):
            yield record.run_id, (view.benchmark.title, CANDIDATE)


def _run(record: Record, places: Sequence[Fact], setups: Pool, nulls: Pool) -> Run:
    table, case = places[0] if places else ("in no table", NOTHING)
    status = STATUS_TEXT[record.status]
    cells = [Cell(table), Cell(case), Cell(str(record.seed), is_number=True), Cell(status)]
    cells.append(Cell(", ".join(record.flags) or NOTHING))
    cells += [Cell(text, is_number=True) for text in _numbers(record)]
    cells.append(Cell(machine(record) if record.fingerprint.numerics else NOTHING))
    reasons = tuple(sorted(record.nulls.items()))
    return Run(
        tuple(cells),
        status,
        tuple(_facts(record, places)),
        setups.add(_setup(record)),
        nulls.add(reasons) if reasons else None,
    )


def _numbers(record: Record) -> list[str]:
    wall = seconds([record.time.wall_s])
    if record.status != "ok":
        return [NOTHING] * 4 + [wall]
    shares = [accuracy([value(record)]) for value in (best_accuracy, last_clean_accuracy)]
    return [*shares, *(seconds([value(record)]) for value in (train_s, whole_program_s)), wall]


def _facts(record: Record, places: Sequence[Fact]) -> Iterator[Fact]:
    """Yield what is this run's alone: ids, hashes, spans, and what its numbers were measured beside."""
    if len(places) > 1:
        yield "Shown in", "; ".join(f"{table}: {case}" for table, case in places)
    yield "File", f"records/{record.run_id}.{record.attempt}.json"
    if record.failure is not None:
        yield f"Failed in {record.failure.phase}", record.failure.message
    if record.contamination:
        yield "Meanwhile", "; ".join(record.contamination)
    yield "Ids", f"run {record.run_id}, arm {record.arm_id}"
    yield "Ids of its spec", f"experiment {record.experiment_id}, execution {record.execution_id}"
    yield "Result hash", record.result_hash or "none"
    yield "Record hash", record.record_hash
    if record.outcome is not None:
        yield "Parameters, SHA-256", record.outcome.parameters_sha256
        yield "Predictions, SHA-256", record.outcome.predictions_sha256
    yield "Worked (UTC)", "; ".join(f"{one.start} to {one.end}" for one in record.segments) or "never"
    yield "Seconds by scope", _known(record.time.model_dump(), lambda value: f"{value:.4g}", "_s")
    yield "Peaks (bytes)", _known(record.memory.model_dump(), lambda value: f"{value:,}", "_bytes")
    if record.energy_j is not None:
        yield "Energy (J)", f"{record.energy_j:.4g}"


def _known(values: dict[str, Any], text: Callable[[Any], str], unit: str) -> str:
    shown = [f"{key.removesuffix(unit)} {text(value)}" for key, value in values.items() if value is not None]
    return ", ".join(shown) or "none is known"


def _setup(record: Record) -> list[Fact]:
    """Return what runs of one machine, code and data have in common."""
    identity, numerics = record.fingerprint.identity, record.fingerprint.numerics or {}
    changes = {True: "with changes", False: "unchanged", None: "not known"}[identity.dirty]
    facts = [
        ("Code, SHA-256", identity.code_hash),
        ("Commit", f"{identity.commit} ({changes})" if identity.commit else "none"),
        ("Data", record.spec.experiment.data),
        ("Data, SHA-256", identity.data_sha256 or "none"),
        ("Scale and options", " ".join([record.scale, *record.spec.overrides])),
    ]
    return [*facts, *((key, str(value)) for key, value in sorted(numerics.items()))]
