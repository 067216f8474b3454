"""Write the report: a README.md beside the records, and its figures."""

import hashlib
import re
from collections.abc import Collection
from pathlib import Path

from resnet18.analysis.figures import learning_curves
from resnet18.analysis.markdown import escape
from resnet18.analysis.metrics import machine
from resnet18.analysis.section import section
from resnet18.analysis.view import BenchmarkView, look, reported_head, requests_of
from resnet18.records.record import Record
from resnet18.records.store import Readings, last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.data import CIFAR10, EMBEDDED, IMAGE_FOLDER, is_cifar10
from resnet18.spec.errors import EnvironmentMissingError, SpecError
from resnet18.spec.resolve import DEVICE_OPTION, Request
from resnet18.spec.scale import SCALES

HEADER = """<!-- Made by `resnet18 report` from the records beside it. Do not edit: run it again. -->

# Measured beside reported

What a 2022 lab report on ResNet-18 and CIFAR-10 printed, and what the records in this folder say.
**reported**: the lab report's number, as it printed it. **measured**: ours, mean ± standard deviation over n seeds.
**as published**: test images pass the random operations of the training images, and the best epoch counts, chosen on
the test set. **clean**: test images are only resized and normalized, and the last epoch counts. Both come from the
same runs.
"""


def write_report(results: Path, benchmarks: Collection[Benchmark], readings: Readings) -> Path:
    """Write `README.md` and `figures/` into the results directory and return the README's path.

    Raises:
        EnvironmentMissingError: the directory cannot be written.
        SpecError: its README.md is somebody's own.
    """
    text, figures = render_report(benchmarks, readings)
    path = results / "README.md"
    old = path.read_text(encoding="utf-8") if path.is_file() else HEADER
    if not old.startswith(HEADER.splitlines()[0]):
        raise SpecError(
            str(path),
            "was not made by this command, which would replace it",
            next_step="choose a folder with --results, or move the file away",
        )
    try:
        return _write(path, text, figures, old)
    except OSError as error:
        raise EnvironmentMissingError(str(results), f"the report cannot be written: {error.strerror}") from None


def _write(path: Path, text: str, figures: dict[str, bytes], old: str) -> Path:
    """Write both, and remove the figures that only the old report names."""
    folder = path.parent / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in figures.items():
        (folder / name).write_bytes(content)
    for name in set(re.findall(r"\(figures/([a-z0-9_-]+\.svg)\)", old)) - set(figures):
        (folder / name).unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def render_report(benchmarks: Collection[Benchmark], readings: Readings) -> tuple[str, dict[str, bytes]]:
    """Return the report's markdown, and its figures by file name. The order of the records changes no byte."""
    records = tuple(last_attempts(readings.records).values())
    parts, shown = [HEADER], set[str]()
    figures: dict[str, bytes] = {}
    for request in requests_of(records):
        views = look(benchmarks, request, records)
        if {record.run_id for view in views for record in view.records} <= shown:
            continue
        shown |= {record.run_id for view in views for record in view.records}
        parts.append(_heading(request, views))
        for view in views:
            if view.is_half_recorded:
                name = f"{view.benchmark.name}-{_slug(request)}.svg"
                title = f"{view.benchmark.title} ({request.described})"
                figures[name] = learning_curves(title, view.benchmark.table.case_title, view.arms)
                parts.append(section(view, views, request, f"figures/{name}"))
        parts.append(_begun([view for view in views if not view.is_half_recorded], request))
    parts.append(_leftovers(records, shown, readings))
    return "\n".join(part for part in parts if part), figures


def _slug(request: Request) -> str:
    options = hashlib.sha256(repr(request.overrides).encode()).hexdigest()[:8] if request.overrides else ""
    return "-".join(part for part in (request.scale, request.data_label, options) if part)


def _heading(request: Request, views: tuple[BenchmarkView, ...]) -> str:
    """Return what the tables of one request share: data, scale, machine, versions."""
    records = [record for view in views for record in view.records]
    known = [record for record in records if record.fingerprint.numerics]
    lines = [
        f"## {escape(request.described.capitalize())}",
        "",
        f"- Data: {escape(request.data_label)}; {_amounts(records)}",
        f"- Machine: {'; '.join(sorted({escape(machine(record)) for record in known}))}",
        f"- Versions: {'; '.join(sorted({_versions(record) for record in records}))}",
        f"- Options: `--scale {request.scale}{_options(request)}`",
    ]
    if reported_head(request) is None:
        lines.append(f"- Reported values are left out: {_why_no_reported(request)}.")
    return "\n".join([*lines, ""])


def _amounts(records: list[Record]) -> str:
    """Return how much was run, as it was: training images, epochs, width and input size, each with all its values."""
    specs = [record.spec.experiment for record in records]

    def values(key: str) -> str:
        found = {getattr(spec, key) for spec in specs}
        return " or ".join(f"{one:,}" if isinstance(one, int) else one for one in sorted(found, key=str))

    return (
        f"{values('train_images')} training images; {values('epochs')} epochs; "
        f"width {values('width')} (64 is ResNet-18); {values('image_size')} px"
    )


def _options(request: Request) -> str:
    """Return the options that ask for the same again."""
    label, options = request.data_label, []
    if label != SCALES[request.scale].data:
        options.append(f"--data {label if label in {CIFAR10, EMBEDDED} else f'{IMAGE_FOLDER}:{label}'}")
    options += [one if one.startswith(DEVICE_OPTION) else f"-o {one}" for one in request.overrides]
    return "".join(f" {option}" for option in options)


def _why_no_reported(request: Request) -> str:
    if not is_cifar10(request.data_label):
        return f"{escape(request.data_label)} is not CIFAR-10"
    return "these runs are too small" if request.scale == "smoke" else "an option changed the experiment"


def _versions(record: Record) -> str:
    numerics = record.fingerprint.numerics or {}
    torch = numerics.get("torch", "unknown")
    identity = record.fingerprint.identity
    commit = f", commit {identity.commit[:10]}{' with changes' if identity.dirty else ''}" if identity.commit else ""
    return escape(f"code {identity.code_hash[:10]}{commit}, torch {torch}")


def _begun(views: list[BenchmarkView], request: Request) -> str:
    """Name the tables of which less than half is recorded."""
    lines = []
    for view in views:
        recorded = sum(bool(arm.records) for arm in view.arms)
        command = f"resnet18 run {view.benchmark.name} --scale {request.scale}{_options(request)}"
        title = escape(view.benchmark.title)
        lines.append(f"- {title}: {recorded} of {len(view.arms)} cases recorded; `{command}` runs the others.")
    return "\n".join(["### Begun", "", *lines, ""]) if lines else ""


def _leftovers(records: Collection[Record], shown: set[str], readings: Readings) -> str:
    """Name what is in the folder and in no table, so that nothing vanishes silently."""
    lines = []
    hidden = len({record.run_id for record in records} - shown)
    if hidden:
        lines.append(f"In no table, since no case of these benchmarks is meant: {hidden} of the recorded runs.")
    lines += [f"Left out: {escape(str(error))}" for error in readings.refused]
    return "\n".join([*lines, ""]) if lines else ""
