"""The command `resnet18`. Each handler is a few lines; whatever is heavy is imported inside it."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from resnet18 import __version__
from resnet18.options import (
    DataOption,
    DebugOption,
    DeviceOption,
    Files,
    HypothesesOption,
    JsonOption,
    Names,
    ResultsOption,
    ScaleOption,
    SeedsOption,
    SetOption,
    StaleOption,
    asked,
)
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import SpecError, SuiteError, UnfinishedError, did_you_mean
from resnet18.spec.load import load_benchmarks

app = typer.Typer(
    help="A lab report on ResNet-18 and CIFAR-10, re-created as a reproducible benchmark suite.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LOCAL = Path("results/local")
STOPPED = "stopped; the same command goes on with what is missing"


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
    debug: DebugOption = False,
) -> None:
    """Run what is not recorded yet, one record a run, then write the report."""
    with errors_reported(debug):
        from rich.console import Console

        from resnet18.execution.progress import Progress
        from resnet18.execution.runner import exit_code_of, run_plan, summary
        from resnet18.records.store import Store

        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        wanted = asked(names, scale, seeds, data, device, options, hypotheses=hypotheses, prove_devices=True)
        progress = Progress(Console())
        finished = run_plan(wanted.plan, wanted.request, wanted.source, Store(results), progress, keep_stale=keep_stale)
        typer.echo(summary(finished, wanted.plan))
        damaged = _write_report(results, wanted.benchmarks)
        raise typer.Exit(exit_code_of(finished) or damaged)


@app.command("report")
def report_command(names: Names = None, results: ResultsOption = LOCAL, debug: DebugOption = False) -> None:
    """Write README.md and figures beside the records, for the suite's benchmarks and for TOML files of your own."""
    with errors_reported(debug):
        raise typer.Exit(_write_report(results, load_benchmarks(tuple(names or ()))))


@app.command("power")
def power_command(
    names: Names = None,
    difference: Annotated[
        list[float] | None, typer.Option("--difference", min=0.001, help="In the metric's unit; may be repeated.")
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="A metric of claims.")] = "last_clean_accuracy",
    results: ResultsOption = LOCAL,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Say how many seeds a difference takes, from the spread of the recorded runs."""
    with errors_reported(debug):
        from resnet18.analysis.seeds import DIFFERENCES, planned, power_rows, power_text, spreads
        from resnet18.records.store import Store, last_attempts
        from resnet18.spec.metric import METRICS

        if metric not in METRICS or metric == "epochs_to_level":
            known = [one for one in METRICS if one != "epochs_to_level"]
            raise SpecError(f'--metric "{metric}"', f"unknown{did_you_mean(metric, known)}", allowed=known)
        benchmarks = load_benchmarks(tuple(names or ()))
        records = last_attempts(Store(results).read().records).values()
        found = list(spreads(benchmarks, records, metric)) or planned(metric)
        claims = sum(len(one.claims) for one in load_benchmarks())
        rows = power_rows(found, difference or DIFFERENCES, metric, claims)
        typer.echo(json.dumps(rows, indent=1) if as_json else power_text(rows))


@app.command("audit")
def audit_command(files: Files = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Check published reports against themselves. Nothing is trained; whatever is found, the exit code is 0."""
    with errors_reported(debug):
        from resnet18.analysis.audit.audit import audit
        from resnet18.analysis.audit.text import audit_rows, audit_text

        benchmarks = load_benchmarks(tuple(files or ()))
        findings = audit(benchmarks)
        typer.echo(json.dumps(audit_rows(findings), indent=1) if as_json else audit_text(findings, len(benchmarks)))


@app.command("env")
def env_command(debug: DebugOption = False) -> None:
    """Print versions and devices as JSON, for bug reports."""
    with errors_reported(debug):
        import torch

        from resnet18.measure.devices import present_devices
        from resnet18.measure.environment import numerics
        from resnet18.spec.experiment import Execution

        found = {
            "resnet18": __version__,
            **numerics(Execution(), torch.device("cpu")),
            "devices": sorted(present_devices(prove=True)),
        }
        typer.echo(json.dumps(found, indent=1))


@app.command("schema")
def schema_command(
    what: Annotated[str, typer.Argument(help="spec or record")] = "spec", debug: DebugOption = False
) -> None:
    """Print the JSON schema of benchmark files or of records."""
    with errors_reported(debug):
        typer.echo(json.dumps(_schema(what), indent=1))


def main() -> None:
    """Run the command line."""
    app()


def _schema(what: str) -> dict[str, Any]:
    if what == "spec":
        from resnet18.spec.schema import spec_schema

        return spec_schema()
    if what == "record":
        from resnet18.records.record import Record

        return Record.model_json_schema()
    raise SpecError(f'schema "{what}"', "unknown", allowed=("spec", "record"))


def _write_report(results: Path, benchmarks: tuple[Benchmark, ...]) -> int:
    """Write the report of all benchmarks of the suite and of the given ones; return 4 where a record is damaged."""
    from resnet18.analysis.report import write_report
    from resnet18.records.store import Store

    readings = Store(results).read()
    if not readings.records and not readings.refused:
        raise UnfinishedError(str(results), "there are no records", next_step="make some with: make bench")
    suite = load_benchmarks()
    others = tuple(benchmark for benchmark in benchmarks if benchmark not in suite)
    typer.echo(f"report: {write_report(results, suite + others, readings)}")
    for error in readings.refused:
        typer.echo(f"left out: {error}", err=True)
    return 4 if readings.refused else 0


@contextmanager
def errors_reported(debug: bool) -> Iterator[None]:
    """Turn exceptions into a message and an exit code."""
    try:
        yield
    except typer.Exit:  # a RuntimeError, and no error
        raise
    except SuiteError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(128 + signal.SIGPIPE) from None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"error: {type(error).__name__}: {error}\n  next: the same with --debug shows where", err=True)
        raise typer.Exit(5 if isinstance(error, OSError) else 3) from None
    except KeyboardInterrupt:
        typer.echo(STOPPED, err=True)
        raise typer.Exit(130) from None


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature that signal asks for
    """End as an interrupt does: the run is recorded as interrupted, its process ended."""
    typer.echo(STOPPED, err=True)
    sys.exit(128 + number)
