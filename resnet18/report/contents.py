"""What a report consists of, before anything is written: chapters by request, their figures, and what is in none.

The markdown report and the web page are both made from it, so that they cannot say different things.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from resnet18.judge.hypotheses import candidate_records
from resnet18.judge.verdict import Verdict, judge
from resnet18.records.record import Record
from resnet18.records.store import Readings, last_attempts
from resnet18.report.heading import as_argument, options_of
from resnet18.report.illustrations import Figure, PictureOf, figures_of, predictions_of
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.printed import duration
from resnet18.spec.resolve import Request
from resnet18.tables.markdown import code, escape
from resnet18.tables.selection import Selection, requests_of, select


@dataclass(frozen=True)
class Chapter:
    """What the records of one request say."""

    request: Request
    views: tuple[Selection, ...]
    verdicts: dict[str, tuple[Verdict, ...]]
    """By report: the claims of one report are judged together."""
    records: tuple[Record, ...]
    """All records of the folder."""
    figures: dict[str, dict[str, Figure]]
    """By benchmark, then by file name."""
    predictions: dict[str, Figure]
    """By file name."""

    @property
    def judges(self) -> bool:
        """Whether any claim has a verdict other than *not run*."""
        return any(_judges(verdicts) for verdicts in self.verdicts.values())

    @property
    def shown(self) -> tuple[Selection, ...]:
        """The tables of which enough is recorded to be printed."""
        return tuple(view for view in self.views if view.is_half_recorded)

    def verdicts_on(self, view: Selection) -> list[Verdict]:
        """Return the verdicts on the claims of one table."""
        family = self.verdicts.get(view.benchmark.report_name, ())
        return [verdict for verdict in family if verdict.benchmark == view.benchmark]


@dataclass(frozen=True)
class Contents:
    """Everything that a report tells."""

    chapters: tuple[Chapter, ...]
    """Those with verdicts first."""
    records: tuple[Record, ...]
    """The last attempt of each run, in an order that does not depend on that of the files."""
    leftovers: tuple[str, ...]
    """Lines of markdown: what is in the folder and in no table, and what the folder held."""

    @property
    def figures(self) -> dict[str, bytes]:
        """All figures by file name."""
        drawn = [one for chapter in self.chapters for one in (*chapter.figures.values(), chapter.predictions)]
        return {name: figure.svg for one in drawn for name, figure in one.items()}


def contents_of(benchmarks: Collection[Benchmark], readings: Readings, picture_of: PictureOf) -> Contents:
    """Return what a report of records consists of; their order is no matter."""
    records = tuple(last_attempts(readings.records).values())
    chapters, shown = [], set[str]()
    for request in requests_of(records):
        views = select(benchmarks, request, records)
        ids = {
            record.run_id for view in views for record in (*view.records, *candidate_records(view, request, records))
        }
        if not ids <= shown:
            shown |= ids
            chapters.append(_chapter(benchmarks, request, views, records, picture_of))
    in_order = sorted(records, key=lambda record: (record.seed, record.run_id))
    chapters.sort(key=lambda chapter: not chapter.judges)  # stable: else in the order of requests
    return Contents(tuple(chapters), tuple(in_order), tuple(_leftovers(records, shown, readings)))


def _chapter(
    benchmarks: Collection[Benchmark],
    request: Request,
    views: tuple[Selection, ...],
    records: tuple[Record, ...],
    picture_of: PictureOf,
) -> Chapter:
    shown = tuple(view for view in views if view.is_half_recorded)
    drawn = {view.benchmark.name: _named(figures_of(view, request), request) for view in shown}
    predictions = _named(predictions_of(shown, request, picture_of), request)
    return Chapter(request, views, _verdicts(benchmarks, views, request), records, drawn, predictions)


def _verdicts(
    benchmarks: Collection[Benchmark], views: tuple[Selection, ...], request: Request
) -> dict[str, tuple[Verdict, ...]]:
    """Return the verdicts of every report of which a table is recorded and has something to say.

    One of whose tables less than half is recorded, and none of whose claims is judged, says nothing beside another:
    the list of what is begun names it. Mostly its runs are those of another's tables.
    """
    names = dict.fromkeys(view.benchmark.report_name for view in views)
    families = {name: [one for one in benchmarks if one.report_name == name] for name in names}
    found = {name: judge(family, views, request) for name, family in families.items()}
    shown = {view.benchmark.report_name for view in views if view.is_half_recorded}
    telling = {name: verdicts for name, verdicts in found.items() if name in shown or _judges(verdicts)}
    return {name: verdicts for name, verdicts in (telling or found).items() if verdicts}


def _judges(verdicts: Collection[Verdict]) -> bool:
    return any(verdict.word != "not run" for verdict in verdicts)


def _named(drawn: Collection[Figure], request: Request) -> dict[str, Figure]:
    options = hashlib.sha256(repr(request.overrides).encode()).hexdigest()[:8] if request.overrides else ""
    slug = "-".join(part for part in (request.scale, request.data_label, options) if part)
    return {f"{one.name}-{slug}.svg": one for one in drawn}


def begun(chapter: Chapter) -> list[str]:
    """Name the tables of which less than half is recorded, as items in markdown."""
    lines, request = [], chapter.request
    for view in chapter.views:
        if not view.is_half_recorded:
            recorded = sum(bool(arm.records) for arm in view.cases)
            command = f"resnet18 run {as_argument(view.benchmark)} --scale {request.scale}{options_of(request)}"
            title = escape(view.benchmark.title)
            lines.append(f"- {title}: {recorded} of {len(view.cases)} cases recorded; {code(command)} runs the others.")
    return lines


def _leftovers(records: Collection[Record], shown: set[str], readings: Readings) -> list[str]:
    """Name what is in the folder and in no table, and what the folder held: nothing vanishes silently."""
    lines = []
    hidden = len({record.run_id for record in records} - shown)
    if hidden:
        lines.append(
            f"In no table, since no case of these benchmarks is meant: {hidden} of the recorded runs. "
            "If a TOML file of your own asked for them, name it: `resnet18 report FILE`."
        )
    lines += [f"Left out: {escape(str(error))}" for error in readings.refused]
    hashes = sorted(record.record_hash for record in readings.records)
    index = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    index_line = f"Records: {len(hashes)}; SHA-256 over their sorted record hashes: `{index}`."
    spent = duration(machine_time_s(readings.records))
    time_line = f"Machine time: {spent}, the wall times of all runs added up, those of runs side by side too."
    return [*lines, *([""] if lines else []), time_line, "", index_line]


def machine_time_s(records: Collection[Record]) -> float:
    """Return the seconds that runs took, lost work too: a later attempt repeats the segments that it goes on from."""
    ends: dict[tuple[str, str], datetime] = {}
    for record in records:
        for segment in record.segments:
            key, end = (record.run_id, segment.start), datetime.fromisoformat(segment.end)
            ends[key] = max(end, ends.get(key, end))
    return sum((end - datetime.fromisoformat(start)).total_seconds() for (_, start), end in ends.items())
