"""One table of the report, with everything that a reader needs beside it."""

from collections.abc import Sequence
from statistics import median

from pydantic import BaseModel

from resnet18.judge.verdict import Verdict
from resnet18.records.record import Record
from resnet18.report.costs import loader_notes, memory_lines, unreliable_notes
from resnet18.report.wording import lines_of
from resnet18.spec.benchmark import Derived
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.resolve import Request, resolve, value_at
from resnet18.tables.cells import missing
from resnet18.tables.extrapolation import extrapolation_note
from resnet18.tables.markdown import escape, table
from resnet18.tables.metrics import CURVES, SCOPES, optimizer_form
from resnet18.tables.selection import CaseRecords, Selection, reported_head
from resnet18.tables.speedup import machines_of, speed_up
from resnet18.tables.tables import build_table

ASSUMPTIONS = "Assumptions: what the lab report does not state"
DERIVED = {"ratio": "divided by", "difference": "less"}


def section(
    view: Selection,
    views: tuple[Selection, ...],
    request: Request,
    verdicts: Sequence[Verdict],
    figures: Sequence[str],
) -> str:
    """Return one table with its question, verdicts, notes, figures and assumptions, as markdown.

    Args:
        view: the table's benchmark with its records.
        views: all tables of the same request, among which runs may be shared.
        request: what was asked for.
        verdicts: on the benchmark's claims.
        figures: lines that show its figures.
    """
    benchmark = view.benchmark
    lines = [
        f"### {escape(title_of(view, views))}",
        "",
        f"{escape(benchmark.question)} ({escape(benchmark.source)}) Measured at {escape(request.described)}.",
        "",
        table(build_table(view, request)),
        "",
        *notes_of(view, views, request),
        "",
        *memory_lines(view, request),
        *_claims(verdicts),
    ]
    lines += figures
    if assumed := assumptions_of(view):
        lines += [f"<details><summary>{ASSUMPTIONS}</summary>", "", *assumed, "", "</details>", ""]
    return "\n".join(lines)


def title_of(view: Selection, views: tuple[Selection, ...]) -> str:
    """Return the table's title, with the file's name where two tables have one title."""
    title = view.benchmark.title
    same = [one for one in views if one.benchmark.title == title]
    return f"{title} ({view.benchmark.name}.toml)" if len(same) > 1 else title


def _claims(verdicts: Sequence[Verdict]) -> list[str]:
    """Return each claim of the table with its verdict, and a line for each of its parts."""
    lines = []
    for verdict in verdicts:
        lines.append(f"- **{verdict.claim.id} {verdict.word}**: {escape(verdict.claim.says)}")
        lines += [f"  - {escape(one)}" for one in lines_of(verdict)]
    return [*lines, ""] if lines else []


def _ways(view: Selection) -> list[str]:
    """Return how the cases were carried out: path and precision, and the optimizers' forms where they differ."""
    lines = []
    for text, way_of in (("Carried out on the", carried_out_on), ("Optimizer in the form:", optimizer_form)):
        found: dict[str, list[str]] = {}
        for arm in view.cases:
            if way := " / ".join(sorted({way_of(record) for record in arm.measured})):
                found.setdefault(way, []).append(f'"{escape(arm.name)}"')
        if len(found) == 1 and way_of is carried_out_on:
            lines.append(f"- {text} {next(iter(found))}.")
        elif len(found) > 1:
            lines.append(f"- {text} " + "; ".join(f"{way} ({', '.join(names)})" for way, names in found.items()) + ".")
    return lines


def carried_out_on(record: Record) -> str:
    """Return the path and the precision that ran, with the one that was asked for where it is another."""
    asked, numerics = record.spec.execution, record.fingerprint.numerics or {}
    ran = numerics.get("precision", asked.precision)
    return f"{asked.path} path, {ran}" + ("" if ran == asked.precision else f" instead of {asked.precision}")


def _derived(view: Selection, request: Request) -> list[str]:
    """Return the numbers that the report computed from its cells beside ours, computed from records."""
    arms = {arm.name: arm for arm in view.cases}
    lines = []
    for one in view.benchmark.printed.derived:
        reported = one.printed if reported_head(request) else "left out"
        lines.append(
            f"- {escape(one.name)}, {escape(one.of)} {DERIVED[one.kind]} {escape(one.to)}: "
            f"{reported_head(request) or 'reported'} {escape(reported)}; "
            f"measured {escape(_derived_value(one, arms[one.of], arms[one.to]))}."
        )
    return lines


def _derived_value(derived: Derived, of: CaseRecords, to: CaseRecords) -> str:
    for arm in (of, to):
        if not arm.measured:
            return missing(arm)
    if derived.kind == "ratio" and derived.metric in SCOPES:
        return f"{speed_up(of, to, derived.metric).text}, medians on {' and '.join(machines_of([of, to]))}"
    one, other = ([CURVES[derived.metric](record) or 0.0 for record in arm.measured] for arm in (of, to))
    return f"{median(one) - median(other):.4g} (of medians; n = {len(one)} and {len(other)})"


def notes_of(view: Selection, views: tuple[Selection, ...], request: Request) -> list[str]:
    """Return what a reader must know about the cells, as items of a list in markdown.

    Scopes of time, evaluations, runs shared with other tables, and the numbers that the report computed from cells.
    """
    notes = [
        f"- {escape(row.title)}: seconds of the {SCOPES[row.metric]}."
        for row in view.benchmark.table.metrics
        if row.metric in SCOPES
    ]
    if any(row.metric == "train_s" for row in view.benchmark.table.metrics):
        notes += extrapolation_note(view.cases, view.benchmark, request)
    notes += [f"- Best epoch: {text}." for text in sorted({_evaluations(record) for record in view.measured})]
    notes += [*_ways(view), *unreliable_notes(view), *loader_notes(view)]
    for arm in view.cases:
        twins = [
            f'"{escape(twin.name)}" of {escape(other.benchmark.title)}'
            for other in views
            for twin in other.cases
            if arm.records and twin.arm_id == arm.arm_id and twin.case != arm.case
        ]
        if twins:
            notes.append(f'- "{escape(arm.name)}" is the same run as {", ".join(twins)}.')
    return [*notes, *_derived(view, request)]


def assumptions_of(view: Selection) -> list[str]:
    """Return what the lab report does not state, with the value used here and its source, as items in markdown."""
    lines = []
    at_full_size = [resolve(view.benchmark, arm.case, Request(scale="paper"), seed=0) for arm in view.cases]
    for assumption in view.benchmark.assumptions:
        if not assumption.has_value:
            lines.append(f"- {escape(assumption.key.removeprefix('protocol.'))}: {escape(assumption.source)}")
            continue
        full, here = (
            list(dict.fromkeys(shown for specs in pairs if (shown := _assumed(specs, assumption.key))))
            for pairs in (at_full_size, [(arm.experiment, arm.execution) for arm in view.cases])
        )
        changed = "" if full == here else f" (here: {escape(' / '.join(here))})"
        lines.append(f"- `{assumption.key}` = {escape(' / '.join(full))}{changed}: {escape(assumption.source)}")
    return lines


def _evaluations(record: Record) -> str:
    """Return over what the best epoch was chosen: its number is biased upwards, the more so the more evaluations."""
    images = [epoch.as_published.images for epoch in record.epochs]
    if len(images) == 1:
        return f"the only evaluation, on {images[0]:,} test images"
    text = f"the highest of {len(images)} evaluations on test images, the last on {images[-1]:,}"
    return text if images[0] == images[-1] else f"{text}, the others on {images[0]:,}"


def _assumed(specs: tuple[Experiment, Execution], key: str) -> str:
    """Return the value of an assumed key, in a few words; nothing where the case has no such key."""
    if key == "test_augmentation" and specs[0].test_augmentation == specs[0].augmentation:
        return "the same list as augmentation"
    for spec in specs:
        if (value := value_at(spec, key)) is not None:
            return _shown(value)
    return ""


def _shown(value: object) -> str:
    """Return a value of a spec in a few words: a list of operations by their names."""
    if isinstance(value, tuple):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, BaseModel):
        fields = {name: one for name, one in value if name in value.model_fields_set and name != "name"}
        own = ", ".join(f"{name} {_shown(one)}" for name, one in fields.items())
        name = str(getattr(value, "name", ""))
        return f"{name} ({own})" if own else name
    return str(value)
