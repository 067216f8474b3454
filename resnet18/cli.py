"""The command `resnet18`. Each handler is a few lines; whatever is heavy is imported inside it."""

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from resnet18.data_commands import data_app
from resnet18.execution.job import CHECKPOINT_EVERY_S
from resnet18.failures import STOPPED, errors_reported
from resnet18.inquiries import INQUIRIES
from resnet18.options import (
    LOCAL,
    CheckpointOption,
    ClaimOption,
    DataOption,
    DebugOption,
    DeviceOption,
    EngineOption,
    Files,
    HypothesesOption,
    JobsOption,
    JsonOption,
    LangOption,
    LimitOption,
    MarkedOption,
    Names,
    ProcessorsOption,
    ResultsOption,
    ScaleOption,
    SeedsOption,
    SetOption,
    StaleOption,
    asked,
    check_language,
    demand_data,
    several_gpus,
    usable_processors,
)
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.consistency import check_ids_differ
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.load import load_benchmarks

app = typer.Typer(
    help="A lab report on ResNet-18 and CIFAR-10, re-created as a reproducible benchmark suite.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("plan")
def plan_command(
    names: Names = None,
    scale: ScaleOption = "smoke",
    seeds: SeedsOption = None,
    data: DataOption = None,
    device: DeviceOption = None,
    options: SetOption = None,
    hypotheses: HypothesesOption = False,
    results: ResultsOption = LOCAL,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the runs, and which of them are recorded. Nothing is run."""
    with errors_reported(debug):
        from resnet18.execution.listing import plan_rows, plan_text
        from resnet18.records.store import Store

        wanted = asked(names, scale, seeds, data, device, options, hypotheses=hypotheses)
        rows = plan_rows(wanted.plan, Store(results))
        typer.echo(json.dumps(rows, indent=1) if as_json else plan_text(rows, wanted.plan, wanted.request))


@app.command("run")
def run_command(
    names: Names = None,
    scale: ScaleOption = "smoke",
    seeds: SeedsOption = None,
    data: DataOption = None,
    device: DeviceOption = None,
    options: SetOption = None,
    hypotheses: HypothesesOption = False,
    results: ResultsOption = LOCAL,
    keep_stale: StaleOption = False,
    jobs: JobsOption = None,
    engine: EngineOption = "local",
    claim: ClaimOption = None,
    checkpoint_every: CheckpointOption = CHECKPOINT_EVERY_S,
    time_limit: LimitOption = None,
    on_processors: ProcessorsOption = None,
    lang: LangOption = "en",
    debug: DebugOption = False,
) -> None:
    """Run what is not recorded yet, one record a run, then write the report."""
    with errors_reported(debug):
        from rich.console import Console

        from resnet18.execution.engines.local import LocalEngine
        from resnet18.execution.engines.sites import reach
        from resnet18.execution.progress import Progress
        from resnet18.execution.runner import exit_code_of, run_plan, summary
        from resnet18.execution.side_by_side import pin, run_side_by_side, shares, without_timed_runs
        from resnet18.execution.supervision import Policy
        from resnet18.records.store import Store

        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        check_language(lang)
        demand_data(scale, data)
        site = reach(engine, claim, jobs)
        is_one_of_several = on_processors is not None
        is_split = site is None and (jobs or 1) > 1 and not is_one_of_several
        groups = shares(jobs or 1, usable_processors()) if is_split else []
        if on_processors is not None:
            pin(on_processors)
        devices = None if site is None else site.devices
        wanted = asked(
            names, scale, seeds, data, device, options, hypotheses=hypotheses, prove_devices=True, devices=devices
        )
        if groups:
            run_side_by_side(groups, sys.argv[1:])
        plan = without_timed_runs(wanted.plan) if is_one_of_several else wanted.plan
        policy = Policy(
            keep_stale, checkpoint_every, time_limit, is_exclusive=not is_one_of_several, gpus=several_gpus()
        )
        opening = LocalEngine if site is None else site.open
        store, progress = Store(results), Progress(Console())
        finished = run_plan(plan, wanted.request, wanted.source, store, progress, policy, opening)
        if on_processors is not None:
            return
        typer.echo(summary(finished, plan))
        damaged = _write_report(results, wanted.benchmarks, lang)
        raise typer.Exit(exit_code_of(finished) or damaged)


@app.command("report")
def report_command(
    names: Names = None,
    results: ResultsOption = LOCAL,
    accept_marked: MarkedOption = False,
    lang: LangOption = "en",
    debug: DebugOption = False,
) -> None:
    """Write README.md and figures beside the records, for the suite's benchmarks and for TOML files of your own."""
    with errors_reported(debug):
        check_language(lang)
        benchmarks = load_benchmarks(tuple(names or ()))
        raise typer.Exit(_write_report(results, benchmarks, lang, accept_marked=accept_marked))


@app.command("verify")
def verify_command(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="A record's file, DIR/records/RUN.ATTEMPT.json.")],
    data: DataOption = None,
    debug: DebugOption = False,
) -> None:
    """Carry a recorded run out again: bit-equal (0), another fingerprint (3, with its fields), or a mismatch (4)."""
    with errors_reported(debug):
        from rich.console import Console

        from resnet18.execution.progress import Progress
        from resnet18.execution.verify import verify
        from resnet18.records.parse import load_record
        from resnet18.spec.data import parse_data

        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        loaded = load_record(record)
        label = loaded.spec.experiment.data
        found = verify(loaded, parse_data(data or label), Progress(Console()))
        typer.echo(f"{record.name}: {found.text}")
        raise typer.Exit(found.exit_code)


@app.command("forecast")
def forecast_command(
    files: Files = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Of the card, as in 24GiB: asks for verdicts.")] = None,
    scale: ScaleOption = "paper",
    options: SetOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Predict the peak memory of each case, without a GPU and without data."""
    with errors_reported(debug):
        from resnet18.analysis.forecast import card_bytes, forecast_rows, forecast_text
        from resnet18.spec.resolve import Request

        card = card_bytes(memory) if memory is not None else None
        wanted = asked(files, scale, 1, None, None, options)
        from resnet18.training.forecast import forecasts  # torch: a mistake above is answered without it

        found, usual = forecasts(wanted.benchmarks, (wanted.request, Request(wanted.request.scale)))
        rows = forecast_rows(wanted.benchmarks, wanted.request, (found, usual), card)
        typer.echo(json.dumps(rows, indent=1) if as_json else forecast_text(rows))


for _name, _command in INQUIRIES.items():
    app.command(_name)(_command)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line."""
    app()


def _write_report(results: Path, benchmarks: tuple[Benchmark, ...], lang: str, *, accept_marked: bool = False) -> int:
    """Write the report of all benchmarks of the suite and of the given ones; return 4 where a record is damaged."""
    from resnet18.analysis.report import write_report
    from resnet18.records.store import Store

    readings = Store(results).read()
    if not readings.records and not readings.refused:
        raise UnfinishedError(str(results), "there are no records", next_step="make some with: make bench")
    suite = load_benchmarks()
    others = tuple(_apart(benchmark) for benchmark in benchmarks if benchmark not in suite)
    check_ids_differ(suite + others)
    path = write_report(results, suite + others, readings, accept_marked=accept_marked, language=lang)
    typer.echo(f"report: {path}" if lang == "en" else f"report: {path} and {path.with_suffix(f'.{lang}.md').name}")
    for error in readings.refused:
        typer.echo(f"left out: {error}", err=True)
    return 4 if readings.refused else 0


def _apart(benchmark: Benchmark) -> Benchmark:
    """Return a file of the user's own as a report of its own: a copy of the suite's must not count with it."""
    name = benchmark.report_name
    return benchmark.model_copy(update={"report": name if name == benchmark.name else f"{name} ({benchmark.name})"})


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature that signal asks for
    """End as an interrupt does: the run is recorded as interrupted, its process ended."""
    typer.echo(STOPPED, err=True)
    sys.exit(128 + number)
