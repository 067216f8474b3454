"""The command `resnet18`. Each handler is a few lines; whatever is heavy is imported inside it."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from resnet18 import __version__
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.data import DataSource, parse_data
from resnet18.spec.errors import EnvironmentMissingError, SpecError, SuiteError, UnfinishedError, did_you_mean
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import Plan, plan
from resnet18.spec.resolve import Request, canonical_overrides
from resnet18.spec.scale import SCALES

app = typer.Typer(
    help="A lab report on ResNet-18 and CIFAR-10, re-created as a reproducible benchmark suite.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[BENCHMARK]...", help="Names or TOML files; all of the suite if left out."),
]
ScaleOption = Annotated[str, typer.Option("--scale", help=f"How much to run: {', '.join(SCALES)}.")]
SeedsOption = Annotated[
    int | None, typer.Option("--seeds", min=1, max=1000, help="Seeds of each case; the scale's number if left out.")
]
DataOption = Annotated[
    str | None, typer.Option("--data", help="cifar10, fashion-mnist-mini or imagefolder:PATH; the scale's if left out.")
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N, mps or xpu, for cases that name no device.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("-o", metavar="KEY=VALUE", help="Set any key of the spec, as in -o optimizer.lr=0.01."),
]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of records and report.")]
HypothesesOption = Annotated[
    bool, typer.Option("--hypotheses", help="Also run the candidates for what the report leaves open.")
]
StaleOption = Annotated[
    bool, typer.Option("--keep-stale", help="Accept records made by other code or from other data.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
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

        asked = _asked(names, scale, seeds, data, device, options, hypotheses=hypotheses)
        rows = plan_rows(asked.plan, Store(results))
        typer.echo(json.dumps(rows, indent=1) if as_json else plan_text(rows, asked.plan, asked.request))


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
        asked = _asked(names, scale, seeds, data, device, options, hypotheses=hypotheses, prove_devices=True)
        progress = Progress(Console())
        finished = run_plan(asked.plan, asked.request, asked.source, Store(results), progress, keep_stale=keep_stale)
        typer.echo(summary(finished, asked.plan))
        damaged = _write_report(results, asked.benchmarks)
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


@dataclass(frozen=True)
class Asked:
    """What the options ask for, checked in full before anything is run."""

    benchmarks: tuple[Benchmark, ...]
    request: Request
    source: DataSource
    plan: Plan


def _asked(
    names: list[str] | None,
    scale: str,
    seeds: int | None,
    data: str | None,
    device: str | None,
    options: list[str] | None,
    *,
    hypotheses: bool = False,
    prove_devices: bool = False,
) -> Asked:
    from resnet18.measure.devices import present_devices

    if scale not in SCALES:
        raise SpecError(f'--scale "{scale}"', f"unknown{did_you_mean(scale, SCALES)}", allowed=SCALES)
    benchmarks = load_benchmarks(tuple(names or ()))
    source = parse_data(data or SCALES[scale].data)
    request = Request(SCALES[scale].name, source.label, canonical_overrides(options or [], device))
    devices = present_devices(prove=prove_devices)
    planned = plan(benchmarks, request, range(seeds or SCALES[scale].seeds), devices, hypotheses=hypotheses)
    if device and device != "auto" and device.partition(":")[0] not in devices:
        raise EnvironmentMissingError(
            f"--device {device}", "this machine has no such device", allowed=("auto", *sorted(devices))
        )
    return Asked(benchmarks, request, source, planned)


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
