"""Write a document as a web page: one file without any request.

The page may load nothing. Its content security policy allows its own style sheet and script, by their hashes, and
images that are part of it; text from records that came to be read as a script would not be run.
"""

import base64
import hashlib
import json
from collections.abc import Collection, Iterable
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from resnet18.records.record import Record
from resnet18.report.document import Document, Figure, ShownRecord, figures_in
from resnet18.report.figures import MEASURES, curve_of
from resnet18.report.verdicts import evidence_of, mark_of
from resnet18.spec.errors import visible
from resnet18.spec.experiment import LAST_EPOCHS
from resnet18.tables import metrics
from resnet18.tables.cells import NOTHING, STATUS_TEXT, Cell, Column, Kind, Text, Value, missing
from resnet18.tables.selection import CaseRecords, machine

WEB = Path(__file__).parent / "web"
POLICY = "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'"
SCRIPTS = ("page.js", "plot.js", "curves.js")
"""In this order: a later file may use functions of an earlier one."""
MOST_BYTES = 900_000
"""Of all figures in one page, as they stand in it."""
MOST_RUNS = 600
"""Runs that are listed: each takes some two kilobytes."""
ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
"""What could end a script element, or a line of one."""
SAFE = " !$'()*+,-./:;=?@_~{}|^"
"""What stands for itself in an address inside double quotes; everything else is written as its bytes."""
NUMBERS: dict[str, tuple[str, Kind]] = {
    "Best, as published": ("best_accuracy", "percent"),
    "Clean": ("clean_accuracy", "percent"),
    "Training (s)": ("train_s", "seconds"),
    "Whole program (s)": ("whole_program_s", "seconds"),
}
RUN_COLUMNS = (
    *(Column("Table"), Column("Case"), Column("Seed", "number"), Column("Status"), Column("Flags")),
    *(Column(title, "number") for title in (*NUMBERS, "Wall (s)")),
    Column("Machine"),
)
Facts = tuple[tuple[str, str], ...]  # titles, and what is known


def write_page(document: Document) -> str:
    """Return the web page of a document."""
    style = (WEB / "page.css").read_text(encoding="utf-8")
    scripts = "\n".join((WEB / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f"(function () {{\n'use strict';\n{scripts}}}());\n"  # nothing of it is global
    hashes = (hashlib.sha256(text.encode()).digest() for text in (style, script))
    sources = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes]
    figures = {figure.file: figure for figure in figures_in(document.blocks)}
    curves = {file: [*map(_curves, figure.selection.cases)] for file, figure in figures.items() if figure.selection}
    data = json.dumps(curves, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    shared: dict[Facts, int] = {}
    runs = [
        (_cells(run), _facts(run), shared.setdefault(_shared(run.record), len(shared) + 1))
        for run in document.runs[:MOST_RUNS]
    ]
    environment = Environment(
        loader=FileSystemLoader(WEB),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else visible(value),
    )
    anchors: dict[int, str] = {}
    not_drawn = dict(figures)
    return environment.get_template("page.html.j2").render(
        evidence_of=evidence_of,
        mark_of=mark_of,
        missing=missing,
        kind=lambda part: type(part).__name__,
        anchor=lambda part: anchors.setdefault(id(part), f"part-{len(anchors) + 1}"),
        is_new=lambda figure: not_drawn.pop(figure.file, None) is not None,
        document=document,
        runs=runs,
        run_columns=RUN_COLUMNS,
        shared=tuple(shared),
        statuses=sorted({STATUS_TEXT[run.record.status] for run in document.runs[:MOST_RUNS]}),
        uris=figure_uris(figures.values()),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - the same
        data=Markup(data.translate(ESCAPES)),  # noqa: S704 - escaped
        policy=POLICY.format(*sources),
    )


def figure_uris(figures: Collection[Figure]) -> dict[str, str]:
    """Return figures by file name as data URIs, as many as the page has room for."""
    found, room = {}, MOST_BYTES
    for figure in figures:
        uri = f"data:image/svg+xml,{quote(figure.svg, safe=SAFE)}"
        if len(uri) <= room:
            room -= len(uri)
            found[figure.file] = uri
    return found


def _curves(case: CaseRecords) -> dict[str, Any] | None:
    """Return a case's curves, the mean over the seeds and each seed; None without a result."""
    records, lines = case.measured, {}
    if not records:
        return None
    for score, measure in product(("train", "as_published", "clean"), MEASURES):  # of which a reader chooses
        mean = curve_of(records, score, measure).mean
        runs = [[MEASURES[measure](getattr(epoch, score)) for epoch in record.epochs] for record in records]
        lines[f"{score}_{measure}"] = {"mean": _rounded(mean), "runs": [*map(_rounded, runs)]}
    shortest = min(len(record.epochs) for record in records)
    return {
        "seeds": [record.seed for record in records],
        "turn": metrics.overfitting_epoch(records),
        "hollow": min(LAST_EPOCHS, shortest) if metrics.images_at_the_end(records) else 0,
        "lines": lines,
    }


def _rounded(values: Iterable[float]) -> list[float]:
    """Return values with four digits, as many as a screen shows."""
    return [float(f"{value:.4g}") for value in values]


def _cells(run: ShownRecord) -> tuple[Cell, ...]:
    """Return the cells of a run's row, under `RUN_COLUMNS`."""
    record, is_ok = run.record, run.record.status == "ok"
    table, case = run.places[0] if run.places else ("in no table", NOTHING)
    numbers = (
        Value(value, kind) if is_ok and (value := metrics.value_of(metric, record)) is not None else Text()
        for metric, kind in NUMBERS.values()
    )
    return (
        *(Text(table), Text(case), Text(str(record.seed), record.seed), Text(STATUS_TEXT[record.status])),
        *(Text(", ".join(record.flags) or NOTHING), *numbers, Value(record.time.wall_s, "seconds")),
        Text(machine(record) if record.fingerprint.numerics else NOTHING),
    )


def _facts(run: ShownRecord) -> Facts:
    """Return what is this run's alone: ids, hashes, spans, and what its numbers were measured beside."""
    record, failure = run.record, run.record.failure
    facts = {
        "Shown in": ", ".join(f'"{case}" of {table}' for table, case in run.places) if len(run.places) > 1 else "",
        "File": f"records/{record.run_id}.{record.attempt}.json",
        "Failed": failure and f"in {failure.phase}: {failure.message}",
        "Meanwhile": "; ".join(record.unreliable_because),
        "Ids": f"run {record.run_id}, arm {record.arm_id}",
        "Ids of its spec": f"experiment {record.experiment_id}, execution {record.execution_id}",
        "Result hash": record.result_hash,
        "Record hash": record.record_hash,
        "Worked (UTC)": "; ".join(f"{part.start} \N{EN DASH} {part.end}" for part in record.segments),
        "Seconds by scope": _listed(record.time.model_dump(), ".4g", "_s"),
        "Peaks (bytes)": _listed(record.memory.model_dump(), ",", "_bytes"),
        "Energy (J)": record.energy_j and f"{record.energy_j:.4g}",
    }
    return tuple((title, str(text)) for title, text in facts.items() if text)


def _listed(values: dict[str, Any], form: str, unit: str) -> str:
    return ", ".join(f"{key.removesuffix(unit)} {value:{form}}" for key, value in values.items() if value is not None)


def _shared(record: Record) -> Facts:
    """Return what runs of one machine, code and data have in common, and why values of them are not known."""
    identity, numerics = record.fingerprint.identity, record.fingerprint.numerics or {}
    changes = {True: "with changes", False: "unchanged", None: "not known"}[identity.dirty]
    facts = {
        "Code, SHA-256": identity.code_hash,
        "Commit": f"{identity.commit} ({changes})" if identity.commit else "none",
        "Data": record.spec.experiment.data,
        "Data, SHA-256": identity.data_sha256 or "none",
        "Scale and options": " ".join([record.scale, *record.spec.overrides]),
        **{key: str(value) for key, value in sorted(numerics.items())},
        **{f"{key} unknown": reason for key, reason in sorted(record.nulls.items())},
    }
    return tuple(facts.items())
