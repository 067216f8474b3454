"""Write a document as a web page: one file without any request.

The page may load nothing. Its content security policy allows its own style sheet and script, by their hashes, and
images that are part of it; text from records that came to be read as a script would not be run.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from resnet18.records.arrays import decode_picture, encode_picture
from resnet18.records.record import Epoch, Record
from resnet18.report.document import Curves, Document, Figure, Predictions, Run, blocks_in
from resnet18.report.figures import class_name
from resnet18.report.wording import VERDICTS, decisive, evidence_of
from resnet18.spec.errors import plain
from resnet18.spec.experiment import LAST_EPOCHS
from resnet18.tables import metrics
from resnet18.tables.cells import STATUS_TEXT, Cell, Column, Missing, Text, mean, middle, missing

WEB = Path(__file__).parent / "web"
MADE_HERE = "<!doctype html>\n<!-- Made by `resnet18 report` from the records beside it. -->"
POLICY = "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'"
SCRIPTS = ("page.js", "plot.js", "curves.js")
"""In this order: a later file may use functions of an earlier one."""
MOST_BYTES = 900_000
"""Of all figures in one page, as they stand in it."""
MOST_VALUES = 200_000
"""Numbers of curves in one page, at some five letters each: all tables at paper scale with five seeds take half."""
MOST_RUNS = 600
"""Runs that are listed: each takes some two kilobytes."""
ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
"""What could end a script element, or a line of one."""
SAFE = " !$'()*+,-./:;=?@_~{}|^"
"""What stands for itself in an address inside double quotes; everything else is written as its bytes."""
LINES: dict[str, Callable[[Epoch], float]] = {
    "train_loss": lambda epoch: epoch.train.loss,
    "train_accuracy": lambda epoch: metrics.percent(epoch.train),
    "published_loss": lambda epoch: epoch.as_published.loss,
    "published_accuracy": lambda epoch: metrics.percent(epoch.as_published),
    "clean_loss": lambda epoch: epoch.clean.loss,
    "clean_accuracy": lambda epoch: metrics.percent(epoch.clean),
}
"""What is drawn of a case, by the choice of images and measure."""
NUMBERS = ("Best, as published", "Last, clean", "Training (s)", "Whole program (s)", "Wall (s)")
RUN_COLUMNS = (
    *(Column("Table"), Column("Case"), Column("Seed", "number"), Column("Status"), Column("Flags")),
    *(Column(title, "number") for title in NUMBERS),
    Column("Machine"),
)
Fact = tuple[str, str]
"""A title, and what is known."""


def write_page(document: Document) -> str:
    """Return the web page of a document."""
    style = (WEB / "page.css").read_text(encoding="utf-8")
    parts = "\n".join((WEB / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f"(function () {{\n'use strict';\n{parts}}}());\n"  # nothing of it is global
    hashes = (hashlib.sha256(text.encode()).digest() for text in (style, script))
    sources = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes]
    curves = curve_data([block for block in blocks_in(document.sections) if isinstance(block, Curves)])
    shared: dict[tuple[Fact, ...], int] = {}
    runs = [
        (tuple(_cells(run)), tuple(_facts(run)), shared.setdefault(tuple(_shared(run.record)), len(shared) + 1))
        for run in document.runs[:MOST_RUNS]
    ]
    environment = Environment(
        loader=FileSystemLoader(WEB),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,  # nothing that turns text around
    )
    functions = (class_name, decisive, evidence_of, missing, sample_uris)
    environment.globals |= {function.__name__: function for function in functions}
    environment.globals["kind"] = lambda part: type(part).__name__
    body = environment.get_template("page.html.j2").render(
        document=document,
        charts=curves,
        runs=runs,
        run_columns=RUN_COLUMNS,
        shared=tuple(shared),
        statuses=sorted({STATUS_TEXT[run.record.status] for run in document.runs[:MOST_RUNS]}),
        uris=figure_uris(document.figures.values()),
        verdicts=VERDICTS,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - the same
        data=Markup(json_block(curves)),  # noqa: S704 - escaped there
        policy=POLICY.format(*sources),
    )
    return f"{MADE_HERE}\n{body}\n"


def json_block(content: object) -> str:
    """Return data as JSON that ends no script element, whatever its texts hold."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).translate(ESCAPES)


def figure_uris(figures: Collection[Figure]) -> dict[str, str]:
    """Return figures by file name as data URIs, as many as the page has room for."""
    found, room = {}, MOST_BYTES
    for figure in figures:
        uri = f"data:image/svg+xml,{quote(figure.svg, safe=SAFE)}"
        if len(uri) <= room:
            room -= len(uri)
            found[figure.file] = uri
    return found


def sample_uris(predictions: Predictions) -> list[str]:
    """Return each sample image as a data URI; empty where there is no picture, a damaged one, or of other samples."""
    samples, files = predictions.record.samples or (), list[bytes]()
    with suppress(ValueError):
        files = [encode_picture(image[None]) for image in decode_picture(predictions.picture or b"")]
    if len(files) != len(samples):
        return [""] * len(samples)
    return [f"data:image/png;base64,{base64.b64encode(file).decode()}" for file in files]


def curve_data(charts: Sequence[Curves]) -> dict[str, list[Any]]:
    """Return the curves of each chart's cases, None for a case without a result; a chart without room is left out."""
    found, room = {}, MOST_VALUES
    for chart in charts:
        size = len(LINES) * sum(len(record.epochs) for case in chart.selection.cases for record in case.measured)
        if size <= room:
            room -= size
            found[chart.anchor] = [_curves(case.measured) if case.measured else None for case in chart.selection.cases]
    return found


def _curves(records: Sequence[Record]) -> dict[str, Any]:
    """Return a case's curves with four digits, as many as a screen shows: mean over the seeds, and each seed."""
    runs = [record.epochs for record in records]
    return {
        "seeds": [record.seed for record in records],
        "turn": metrics.overfitting_epoch(records),
        "hollow": min(LAST_EPOCHS, *map(len, runs)) if metrics.images_at_the_end(records) else 0,
        "lines": {
            name: {
                "mean": [float(f"{mean_value:.4g}") for mean_value in metrics.series(runs, value).mean],
                "runs": [[float(f"{value(epoch):.4g}") for epoch in epochs] for epochs in runs],
            }
            for name, value in LINES.items()
        },
    }


def _cells(run: Run) -> Iterator[Cell]:
    """Yield the cells of a run's row, under `RUN_COLUMNS`."""
    record = run.record
    table, case = run.places[0] if run.places else ("in no table", "")
    yield from (Text(table), Text(case) if case else Missing(), Text(str(record.seed), record.seed))
    yield Text(STATUS_TEXT[record.status])
    yield Text(", ".join(record.flags)) if record.flags else Missing()
    is_ok = record.status == "ok"
    for accuracy in (metrics.best_accuracy, metrics.clean_accuracy):
        yield mean([accuracy(record)]) if is_ok else Missing()
    for time_s in (metrics.train_s, metrics.whole_program_s):
        yield middle([time_s(record)]) if is_ok else Missing()
    yield middle([record.time.wall_s])
    yield Text(metrics.machine(record)) if record.fingerprint.numerics else Missing()


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
    yield "Worked (UTC)", "; ".join(f"{part.start} \N{EN DASH} {part.end}" for part in record.segments) or "never"
    yield "Seconds by scope", _listed(record.time.model_dump(), ".4g", "_s")
    yield "Peaks (bytes)", _listed(record.memory.model_dump(), ",", "_bytes")
    if record.energy_j is not None:
        yield "Energy (J)", f"{record.energy_j:.4g}"


def _listed(values: dict[str, Any], form: str, unit: str) -> str:
    known = (f"{key.removesuffix(unit)} {value:{form}}" for key, value in values.items() if value is not None)
    return ", ".join(known) or "none is known"


def _shared(record: Record) -> Iterator[Fact]:
    """Yield what runs of one machine, code and data have in common, and why values of them are not known."""
    identity = record.fingerprint.identity
    changes = {True: "with changes", False: "unchanged", None: "not known"}[identity.dirty]
    yield "Code, SHA-256", identity.code_hash
    yield "Commit", f"{identity.commit} ({changes})" if identity.commit else "none"
    yield "Data", record.spec.experiment.data
    yield "Data, SHA-256", identity.data_sha256 or "none"
    yield "Scale and options", " ".join([record.scale, *record.spec.overrides])
    yield from ((key, str(value)) for key, value in sorted((record.fingerprint.numerics or {}).items()))
    yield from ((f"{key} unknown", reason) for key, reason in sorted(record.nulls.items()))
