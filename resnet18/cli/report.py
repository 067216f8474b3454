"""The commands `report`, whose report ends every `run` too, `judge` for a table of anybody's runs, and `export`."""

import shlex
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet18.cli import options as opt
from resnet18.execution.job import Finished
from resnet18.records import disk
from resnet18.records.store import Readings, Store
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, LockedError, SpecError, UnfinishedError, disk_errors
from resnet18.spec.load import check_ids_differ, load_benchmark, load_benchmarks
from resnet18.spec.metric import how_many
from resnet18.spec.plan import Part, load_study

JUDGED = Path("results/judged")
Format = Literal["csv", "csv-runs", "github-smaller", "github-bigger", "tensorboard"]
TO_HELP = "Output file (for tensorboard: a folder); default: standard output."
HIDDEN = "runs of --hypotheses, or of a TOML file of your own: name the file"
STUDY_HELP = "A study whose parts are the report's; other runs are listed last."


def report_command(
    names: opt.Names = None,
    study: Annotated[str | None, opt.option("--study", "NAME", STUDY_HELP)] = None,
    results: opt.Results = opt.LOCAL,
    accept_unreliable: opt.Unreliable = False,
) -> opt.Answer:
    """Write the report (README.md, report.html, parts, figures) from records. Name TOML files of your own to add."""
    from resnet18.report.report import write_report

    parts = load_study(study).parts if study else ()
    wanted = [*(names or ()), *(name for part in parts for name in part.benchmarks)]
    readings = readings_of(results)
    shown = all_with(load_benchmarks(wanted))
    path = write_report(results, shown, readings, parts, accept_unreliable=accept_unreliable)
    row = {"report": str(path), "records": len(readings.records), "left_out": len(readings.refused)}
    return opt.Answer(row, f"report: {path} and report.html", 4 if readings.refused else 0)


def readings_of(results: Path) -> Readings:
    """Return what a folder of records holds, as `told`; UnfinishedError if it is empty."""
    readings = told(results)
    if not readings.records and not readings.refused:
        raise UnfinishedError(str(results), "there are no records", next_step="make some with: make bench")
    return readings


def told(results: Path) -> Readings:
    """Return what a folder of records holds, and tell of records that are damaged."""
    readings = Store(results).read()
    for error in readings.refused:
        opt.say(f"left out: {error}")
    return readings


def all_with(benchmarks: Iterable[Benchmark]) -> tuple[Benchmark, ...]:
    """Return all benchmarks of the suite and the given ones.

    A file of the user's own is a report of its own: a copy of the suite's must not count with it.
    """
    shown = load_benchmarks()
    for benchmark in benchmarks:
        if benchmark not in shown:
            own, name = benchmark.report, benchmark.name
            shown += (benchmark.model_copy(update={"report": name if own == name else f"{own} ({name})"}),)
    check_ids_differ(shown)
    return shown


def reported(
    store: Store, benchmarks: Iterable[Benchmark], finished: Collection[Finished], parts: Sequence[Part]
) -> opt.Answer:
    """Write the report, and say where it is; UnfinishedError where there is nothing to report."""
    from resnet18.execution.runner import exit_code_of
    from resnet18.report.report import write_report

    if not finished and not store.count():
        what, next_step = "nothing was measured", "give more time, or another device; resnet18 plan lists the runs"
        raise UnfinishedError(str(store.results), what, next_step=next_step)
    if any(run.status is None for run in finished) and not store.count():
        what = "other runners carry out all runs, and none is recorded yet"
        raise LockedError(str(store.results), what, next_step="repeat the command when they have ended")
    readings = readings_of(store.results)
    path = write_report(store.results, all_with(benchmarks), readings, parts)
    exit_code = exit_code_of(finished) or (4 if readings.refused else 0)
    event = {
        "event": "report",
        "report": str(path),
        "runs": len(finished),
        "recorded": sum(run.was_recorded for run in finished),
        "ok": sum(run.status == "ok" for run in finished),
        "exit_code": exit_code,
    }
    return opt.Answer(event, f"report: {path} and report.html", exit_code)


def judge_command(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="CSV file: case, seed, metric, value (docs/judge.md).")],
    claims: Annotated[Path, typer.Argument(metavar="CLAIMS", help="TOML file: cases, metrics and claims of a report.")],
    results: Annotated[Path, opt.option("--results", "DIR", "Folder for README.md and report.html.")] = JUDGED,
) -> opt.Answer:
    """Test the claims of any report on a table of runs. The exit code is 3 if no claim could be judged."""
    from tabulate import tabulate

    from resnet18.judge.tabled import read_runs
    from resnet18.judge.verdict import judge_runs
    from resnet18.report.answer import TESTS, heads, judged_document, statement
    from resnet18.report.chapters import was_judged
    from resnet18.report.exports import verdict_rows
    from resnet18.report.report import write_document

    benchmark = load_benchmark(claims)
    if not benchmark.claims:
        next_step = 'add a [[claim]]: see benchmarks/README.md, "[[claim]]"'
        raise SpecError(str(claims), "has no claims", next_step=next_step)
    if (results / "records").exists():
        raise SpecError(str(results), "holds records, whose report stands there", next_step="name another folder")
    tabled = read_runs(runs, benchmark)
    verdicts = judge_runs([benchmark], lambda _: tabled)
    document = judged_document(tabled, verdicts, shlex.join(["resnet18", "judge", str(runs), str(claims)]))
    path = write_document(results, document)
    cells = [[cell.text for cell in statement(verdict)] for verdict in verdicts]
    table = tabulate(cells, [column.title for column in heads(TESTS)], disable_numparse=True, maxcolwidths=50)
    text = f"{table}\n\nreport: {path} and report.html"
    return opt.Answer(verdict_rows(document.verdicts), text, 0 if was_judged(verdicts) else 3)


def export_command(
    form: Annotated[Format, typer.Argument(metavar="FORMAT", help="What to write; tensorboard is a folder.")],
    names: opt.Names = None,
    results: opt.Results = opt.LOCAL,
    to: Annotated[Path | None, opt.option("--to", "PATH", TO_HELP)] = None,
) -> opt.Answer:
    """Write recorded results as CSV, as JSON for a benchmark dashboard, or for TensorBoard."""
    from resnet18.report.exports import TENSORBOARD, TEXTS, notes_of, write_events
    from resnet18.tables.tables import rows_of

    if form == TENSORBOARD and to is None:
        raise SpecError(f"export {form}", "writes a folder", next_step="name it with --to DIR")
    readings = readings_of(results)
    rows = rows_of(load_benchmarks(names), readings.records)
    shown = {record.run_id for row in rows for record in row.case.records}
    hidden = {record.run_id for record in readings.records} - shown
    for note in notes_of(form, rows):
        opt.say(note)
    if hidden and not names:
        are = "run that is" if len(hidden) == 1 else "runs that are"
        opt.say(f"left out: {len(hidden)} recorded {are} no case of the suite's tables ({HIDDEN})")
    if readings.refused and not readings.records:
        raise readings.refused[0]
    if not rows:
        what = "no recorded run is of these benchmarks"
        raise UnfinishedError(str(results), what, next_step="name others, or a TOML file of your own")
    runs, text = None, None
    if to is None:
        text = TEXTS[form](rows)
    elif form == TENSORBOARD:
        runs = write_events(rows, to)
    else:
        write_whole(to, TEXTS[form](rows))
    row = {"format": form, "to": to and str(to), "runs": runs, "text": text}
    said = f"{form}: {to}" + (f", {how_many(runs, 'run')}" if runs is not None else "")
    return opt.Answer(row, text.removesuffix("\n") if text is not None else said, 4 if readings.refused else 0)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all; what is no plain file, such as a link, is not replaced."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise SpecError(str(path), "is no file", next_step="name a new one, or redirect the output instead of --to")
    with disk_errors(EnvironmentMissingError, str(path), "cannot be written"):
        disk.make_folder(path.parent)
        disk.replace(path, text.encode())
