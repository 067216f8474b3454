"""The runs of a folder as a list, and what each comes from. What many runs share is printed once, with a number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from resnet18.judge.hypotheses import candidate_records
from resnet18.records.record import Record
from resnet18.report.contents import Chapter, Contents
from resnet18.report.page.facts import Fact, Place, facts_of, setup_of
from resnet18.report.page.grid import Cell
from resnet18.tables.cells import NOTHING, STATUS_TEXT, accuracy, seconds
from resnet18.tables.metrics import best_accuracy, clean_accuracy, machine, train_s, whole_program_s

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


def _labelled(contents: Contents) -> dict[str, list[Place]]:
    """Return all runs, in order, with the tables and cases that show them."""
    found: dict[str, list[Place]] = {}
    for chapter in contents.chapters:
        for run_id, place in _places(chapter):
            places = found.setdefault(run_id, [])
            if place not in places:
                places.append(place)
    for record in contents.records:
        found.setdefault(record.run_id, [])
    return found


def _places(chapter: Chapter) -> Iterator[tuple[str, Place]]:
    for view in chapter.views:
        for arm in view.cases:
            for record in arm.records:
                yield record.run_id, (view.benchmark.title, arm.case.name)
    for view in chapter.views:
        for record in candidate_records(view, chapter.request, chapter.records):
            yield record.run_id, (view.benchmark.title, CANDIDATE)


def _run(record: Record, places: Sequence[Place], setups: Pool, nulls: Pool) -> Run:
    table, case = places[0] if places else ("in no table", NOTHING)
    status = STATUS_TEXT[record.status]
    cells = [Cell(table), Cell(case), Cell(str(record.seed), is_number=True), Cell(status)]
    cells.append(Cell(", ".join(record.flags) or NOTHING))
    cells += [Cell(text, is_number=True) for text in _numbers(record)]
    cells.append(Cell(machine(record) if record.fingerprint.numerics else NOTHING))
    reasons = [Fact(key, why) for key, why in sorted(record.nulls.items())]
    return Run(
        tuple(cells),
        status,
        tuple(facts_of(record, places)),
        setups.add(setup_of(record)),
        nulls.add(reasons) if reasons else None,
    )


def _numbers(record: Record) -> list[str]:
    wall = seconds([record.time.wall_s])
    if record.status != "ok":
        return [NOTHING] * 4 + [wall]
    shares = [accuracy([value(record)]) for value in (best_accuracy, clean_accuracy)]
    return [*shares, *(seconds([value(record)]) for value in (train_s, whole_program_s)), wall]
