"""What the web page holds beside the document: curves as numbers, and the list of runs with where each comes from."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from resnet18.records.record import Epoch, Record
from resnet18.report.document import Block, Curves, Run, Section
from resnet18.report.figures.curves import images_at_the_end, overfitting_epoch, series
from resnet18.spec.experiment import LAST_EPOCHS
from resnet18.tables.cells import STATUS_TEXT, Cell, Column, Missing, Text, mean, middle
from resnet18.tables.metrics import best_accuracy, clean_accuracy, machine, percent, train_s, whole_program_s
from resnet18.tables.selection import CaseRecords

LINES: dict[str, Callable[[Epoch], float]] = {
    "train_loss": lambda epoch: epoch.train.loss,
    "train_accuracy": lambda epoch: percent(epoch.train),
    "published_loss": lambda epoch: epoch.as_published.loss,
    "published_accuracy": lambda epoch: percent(epoch.as_published),
    "clean_loss": lambda epoch: epoch.clean.loss,
    "clean_accuracy": lambda epoch: percent(epoch.clean),
}
"""What is drawn of a case, by the choice of images and measure."""
MOST_VALUES = 120_000
"""Numbers in one page, at some five letters each: all tables at paper scale with five seeds take half of them."""
SHORT = 50
"""Epochs up to which none is left out."""
STEPS = (1, 2, 3, 4, 5, 10)
MOST_RUNS = 600
"""Runs that are listed: each takes some two kilobytes."""
RUN_COLUMNS = (
    Column("Table"),
    Column("Case"),
    Column("Seed", "number"),
    Column("Status"),
    Column("Flags"),
    Column("Best, as published", "number"),
    Column("Last, clean", "number"),
    Column("Training (s)", "number"),
    Column("Whole program (s)", "number"),
    Column("Wall (s)", "number"),
    Column("Machine"),
)


def charts_in(blocks: Iterable[Block]) -> Iterator[Curves]:
    """Yield the learning curves of a document, in order."""
    for block in blocks:
        if isinstance(block, Section):
            yield from charts_in(block.blocks)
        elif isinstance(block, Curves):
            yield block


@dataclass
class CurveData:
    """The numbers of all curves, each case once however many charts show it, as far as a page has room."""

    step: int
    """Of the epochs of long curves, every how many-th is kept."""
    cases: list[dict[str, Any]] = field(default_factory=list)
    charts: dict[str, list[int | None]] = field(default_factory=dict)
    """By chart: for each case its place in `cases`; None where it has no result."""

    @property
    def content(self) -> dict[str, Any]:
        """What the page's script reads."""
        return {"cases": self.cases, "charts": self.charts}


def curve_data(charts: Sequence[Curves]) -> CurveData:
    """Return the curves of charts; one that no longer fits has no place in the result."""
    distinct = {_key(case): case.measured for chart in charts for case in chart.cases if case.measured}
    sizes = {step: sum(_values(records, step) for records in distinct.values()) for step in STEPS}
    data = CurveData(next((step for step, size in sizes.items() if size <= MOST_VALUES), STEPS[-1]))
    places: dict[tuple[str, ...], int] = {}
    room = MOST_VALUES
    for chart in charts:
        new = {key: case for case in chart.cases if case.measured and (key := _key(case)) not in places}
        size = sum(_values(case.measured, data.step) for case in new.values())
        if size > room:
            continue
        room -= size
        for key, case in new.items():
            places[key] = len(data.cases)
            data.cases.append(_curves(case.measured, data.step))
        data.charts[chart.anchor] = [places[_key(case)] if case.measured else None for case in chart.cases]
    return data


def _key(case: CaseRecords) -> tuple[str, ...]:
    return tuple(record.record_hash for record in case.measured)


def _values(records: Sequence[Record], step: int) -> int:
    """Return how many numbers the curves of one case take: its seeds and, of several, their mean."""
    lines = len(records) + (len(records) > 1)
    return len(LINES) * lines * len(_kept([len(record.epochs) for record in records], step))


def _kept(lengths: Collection[int], step: int) -> list[int]:
    """Return the places of the epochs that are kept: of long curves every step-th, and where a run ends."""
    longest = max(lengths)
    every = range(0, longest, 1 if longest <= SHORT else step)
    return sorted({*every, *(length - 1 for length in lengths)})


def _curves(records: Sequence[Record], step: int) -> dict[str, Any]:
    """Return a case's curves: mean over the seeds as in the figures, and each seed; rounded for a screen."""
    lengths = [len(record.epochs) for record in records]
    kept = _kept(lengths, step)
    ended = [record for record in records if len(record.epochs) == min(lengths)]
    tested_on_more = any(images_at_the_end(record) for record in ended)
    return {
        "epochs": [at + 1 for at in kept],
        "seeds": [record.seed for record in records],
        "turn": overfitting_epoch(records),
        "hollow": sum(at >= min(lengths) - LAST_EPOCHS for at in kept) if tested_on_more else 0,
        "lines": {name: _line(records, kept, value) for name, value in LINES.items()},
    }


def _line(records: Sequence[Record], kept: Sequence[int], value: Callable[[Epoch], float]) -> dict[str, list[Any]]:
    """Return one measure of a case: each seed's values and, of several seeds, their mean while all of them run."""
    runs = [[_rounded(value(record.epochs[at])) for at in kept if at < len(record.epochs)] for record in records]
    if len(records) == 1:
        return {"runs": runs}
    means = series([record.epochs for record in records], value).mean
    return {"runs": runs, "mean": [_rounded(means[at]) for at in kept if at < len(means)]}


def _rounded(value: float) -> float:
    """Return a value with four digits, as many as a screen shows."""
    return float(f"{value:.4g}")


Fact = tuple[str, str]
"""A title, and what is known."""


@dataclass(frozen=True)
class RunShown:
    """A row of the list, with what opens under it."""

    cells: tuple[Cell, ...]
    facts: tuple[Fact, ...]
    setup: int
    """Number of what it shares with runs of one machine, code and data."""
    nulls: int
    """Number of its unknown values with their reasons; 0: it has none."""


@dataclass(frozen=True)
class RunList:
    """The runs that are listed, and what several of them share, once each."""

    runs: tuple[RunShown, ...]
    setups: tuple[tuple[Fact, ...], ...]
    nulls: tuple[tuple[Fact, ...], ...]
    statuses: tuple[str, ...]


def run_list(runs: Sequence[Run]) -> RunList:
    """Return as many runs as a page can hold."""
    setups: dict[tuple[Fact, ...], int] = {}
    nulls: dict[tuple[Fact, ...], int] = {}
    shown = []
    for run in runs[:MOST_RUNS]:
        unknown = tuple(sorted(run.record.nulls.items()))
        shown.append(
            RunShown(
                tuple(_cells(run)),
                tuple(_facts(run)),
                setups.setdefault(tuple(_setup(run.record)), len(setups) + 1),
                nulls.setdefault(unknown, len(nulls) + 1) if unknown else 0,
            )
        )
    statuses = sorted({STATUS_TEXT[run.record.status] for run in runs[:MOST_RUNS]})
    return RunList(tuple(shown), tuple(setups), tuple(nulls), tuple(statuses))


def _cells(run: Run) -> Iterator[Cell]:
    record = run.record
    table, case = run.places[0] if run.places else ("in no table", "")
    yield from (Text(table), Text(case) if case else Missing(), Text(str(record.seed), record.seed))
    yield Text(STATUS_TEXT[record.status])
    yield Text(", ".join(record.flags)) if record.flags else Missing()
    if record.status == "ok":
        yield from (mean([value(record)]) for value in (best_accuracy, clean_accuracy))
        yield from (middle([value(record)]) for value in (train_s, whole_program_s))
    else:
        yield from [Missing()] * 4
    yield middle([record.time.wall_s])
    yield Text(machine(record)) if record.fingerprint.numerics else Missing()


def _facts(run: Run) -> Iterator[Fact]:
    """Yield what is this run's alone: ids, hashes, spans, and what its numbers were measured beside."""
    record = run.record
    if len(run.places) > 1:
        yield "Shown in", ", ".join(f'"{case}" of {table}' for table, case in run.places)
    yield "File", f"records/{record.run_id}.{record.attempt}.json"
    if record.failure is not None:
        yield f"Failed in {record.failure.phase}", record.failure.message
    if record.unreliable_because:
        yield "Meanwhile", "; ".join(record.unreliable_because)
    yield "Ids", f"run {record.run_id}, arm {record.arm_id}"
    yield "Ids of its spec", f"experiment {record.experiment_id}, execution {record.execution_id}"
    yield "Result hash", record.result_hash or "none"
    yield "Record hash", record.record_hash
    if record.summary is not None:
        yield "Parameters, SHA-256", record.summary.parameters_sha256
        yield "Predictions, SHA-256", record.summary.predictions_sha256
    spans = "; ".join(f"{segment.start} \N{EN DASH} {segment.end}" for segment in record.segments)
    yield "Worked (UTC)", spans or "never"
    yield "Seconds by scope", _listed(record.time.model_dump(), ".4g", "_s")
    yield "Peaks (bytes)", _listed(record.memory.model_dump(), ",", "_bytes")
    if record.energy_j is not None:
        yield "Energy (J)", f"{record.energy_j:.4g}"


def _listed(values: dict[str, Any], form: str, unit: str) -> str:
    known = (f"{key.removesuffix(unit)} {value:{form}}" for key, value in values.items() if value is not None)
    return ", ".join(known) or "none is known"


def _setup(record: Record) -> Iterator[Fact]:
    """Yield what runs of one machine, code and data have in common."""
    identity = record.fingerprint.identity
    changes = {True: "with changes", False: "unchanged", None: "not known"}[identity.dirty]
    yield "Code, SHA-256", identity.code_hash
    yield "Commit", f"{identity.commit} ({changes})" if identity.commit else "none"
    yield "Data", record.spec.experiment.data
    yield "Data, SHA-256", identity.data_sha256 or "none"
    yield "Scale and options", " ".join([record.scale, *record.spec.overrides])
    yield from ((key, str(value)) for key, value in sorted((record.fingerprint.numerics or {}).items()))
