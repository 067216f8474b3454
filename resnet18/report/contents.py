"""Which records a report shows where: chapters by request, with the verdicts of each report that bears on them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from shlex import quote

from resnet18.judge.hypotheses import candidate_records
from resnet18.judge.verdict import Verdict, judge
from resnet18.records.record import Record
from resnet18.records.store import last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.data import CIFAR10, EMBEDDED, IMAGE_FOLDER
from resnet18.spec.experiment import SCALES
from resnet18.spec.resolve import DEVICE_OPTION, Request
from resnet18.tables.selection import Selection, requests_of, select


@dataclass(frozen=True)
class Chapter:
    """What the records of one request say."""

    request: Request
    selections: tuple[Selection, ...]
    verdicts: dict[str, tuple[Verdict, ...]]
    """By report: the claims of one report are judged together."""

    @property
    def judges(self) -> bool:
        """Whether any claim has a verdict other than *not run*."""
        return any(was_judged(verdicts) for verdicts in self.verdicts.values())

    @property
    def shown(self) -> tuple[Selection, ...]:
        """The tables of which enough is recorded to be printed."""
        return tuple(selection for selection in self.selections if selection.is_half_recorded)


@dataclass(frozen=True)
class Contents:
    """The chapters, those with verdicts first, and the records of the folder."""

    chapters: tuple[Chapter, ...]
    records: tuple[Record, ...]
    """The last attempt of each run, in an order that does not depend on that of the files."""
    hidden: int
    """Runs that no table shows."""


def contents_of(benchmarks: Collection[Benchmark], all_records: Collection[Record]) -> Contents:
    """Return what a report of records consists of; the order of the records does not matter."""
    records = tuple(sorted(last_attempts(all_records).values(), key=lambda record: (record.seed, record.run_id)))
    chapters, shown = [], set[str]()
    for request in requests_of(records):
        selections = select(benchmarks, request, records)
        ids = {
            record.run_id
            for selection in selections
            for record in (*selection.records, *candidate_records(selection, request, records))
        }
        if not ids <= shown:
            shown |= ids
            chapters.append(Chapter(request, selections, _verdicts(benchmarks, selections, request)))
    chapters.sort(key=lambda chapter: not chapter.judges)  # stable: otherwise in the order of requests
    return Contents(tuple(chapters), records, len({record.run_id for record in records} - shown))


def was_judged(verdicts: Collection[Verdict]) -> bool:
    """Say whether any claim has a verdict other than *not run*."""
    return any(verdict.word != "not run" for verdict in verdicts)


def _verdicts(
    benchmarks: Collection[Benchmark], selections: tuple[Selection, ...], request: Request
) -> dict[str, tuple[Verdict, ...]]:
    """Return the verdicts of every report of which a table is recorded.

    A report of which no table is half recorded and no claim is judged is left out beside others: its runs are mostly
    those of another report's tables, and the list of what is begun names it.
    """
    names = dict.fromkeys(selection.benchmark.report_name for selection in selections)
    families = {name: [benchmark for benchmark in benchmarks if benchmark.report_name == name] for name in names}
    found = {name: judge(family, selections, request) for name, family in families.items()}
    shown = {selection.benchmark.report_name for selection in selections if selection.is_half_recorded}
    telling = {name: verdicts for name, verdicts in found.items() if name in shown or was_judged(verdicts)}
    return {name: verdicts for name, verdicts in (telling or found).items() if verdicts}


def as_argument(benchmark: Benchmark) -> str:
    """Return how a command names a table: the suite's by name, a user's own by its file."""
    return f"{benchmark.name}.toml" if benchmark.report_name == benchmark.name else benchmark.name


def options_of(request: Request) -> str:
    """Return the options that ask for the same again, each after a space."""
    label, options = request.data_label, []
    if label != SCALES[request.scale].data:
        options.append(f"--data {label if label in {CIFAR10, EMBEDDED} else f'{IMAGE_FOLDER}:{label}'}")
    options += [option if option.startswith(DEVICE_OPTION) else f"-o {quote(option)}" for option in request.overrides]
    return "".join(f" {option}" for option in options)


def machine_time_s(records: Collection[Record]) -> float:
    """Return the seconds that runs took, lost work too: a later attempt repeats the segments that it goes on from."""
    ends: dict[tuple[str, str], datetime] = {}
    for record in records:
        for segment in record.segments:
            key, end = (record.run_id, segment.start), datetime.fromisoformat(segment.end)
            ends[key] = max(end, ends.get(key, end))
    return sum((end - datetime.fromisoformat(start)).total_seconds() for (_, start), end in ends.items())
