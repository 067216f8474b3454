"""The options of the command line, by themselves and in the groups that commands share, and a command's answer."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from resnet18.execution.job import CHECKPOINT_EVERY_S
from resnet18.spec.errors import printable
from resnet18.spec.experiment import CIFAR10, EMBEDDED, ScaleName
from resnet18.spec.load import suite_files

LOCAL = Path("results/local")
"""Where results go unless --results says otherwise; git ignores it."""
UNIT_S = {"s": 1, "m": 60, "min": 60, "h": 3_600}


def say(text: str, *, is_answer: bool = False) -> None:
    """Print a text: an answer on standard output, anything else beside it."""
    typer.echo(printable(text), err=not is_answer)


class LogFormat(logging.Formatter):
    """What is logged, as a terminal shows it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message without what a terminal obeys."""
        return printable(super().format(record))


class Answer(NamedTuple):
    """What a command prints and ends with."""

    value: object
    """For --json."""
    text: str
    exit_code: int = 0


def option(flag: str, metavar: str | None, text: str, *offered: str, **more: Any) -> Any:  # noqa: ANN401 - as typer
    """Return an option of typer; after Tab the shell offers the words that begin as typed."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in offered if word.startswith(incomplete)]

    found = complete if offered else None
    return typer.Option(flag, metavar=metavar, help=text, autocompletion=found, **more)


def benchmark_names(incomplete: str) -> list[str]:
    """Return the suite's benchmarks, and the TOML files and folders of the shell's own folder, after Tab."""
    path = Path(incomplete)
    folder = path if incomplete.endswith("/") else path.parent
    files = sorted([*map(str, folder.glob("[!.]*.toml")), *(f"{path}/" for path in folder.glob("[!.]*/"))])
    return [name for name in (*suite_files(), *files) if name.startswith(incomplete)]


def seconds_of(text: str) -> float:
    """Return the seconds that `90s`, `30m` or `1.5h` is; typer.BadParameter if it is no length of time."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?) ?(s|m|min|h)", text.strip(), re.ASCII)
    if found is None or not float(found[1]):
        raise typer.BadParameter("is no length of time (allowed: 90s, 30m, 2h, 1.5h)")
    return float(found[1]) * UNIT_S[found[2]]


NAMES_HELP = "Names of the suite's benchmarks, TOML files, or folders of TOML files; default: the whole suite."
NAMES = typer.Argument(metavar="BENCHMARK", help=NAMES_HELP, autocompletion=benchmark_names)
Names = Annotated[list[str] | None, NAMES]
SCALE_HELP = "Size of the runs: data set, number of images, epochs, width, seeds."
Scale = Annotated[ScaleName, option("--scale", "smoke|small|paper", SCALE_HELP)]
TIME = "90s|30m|2h"
DATA = (CIFAR10, EMBEDDED, "imagefolder:")
DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps", "xpu")
DEVICE_HELP = "Device of cases that name no device: auto, cpu, cuda, cuda:N, mps or xpu."
Device = Annotated[str | None, option("--device", "NAME", DEVICE_HELP, *DEVICES)]
SET_HELP = "Change a key, as in -o optimizer.lr=0.1; may be repeated."
Set = Annotated[list[str] | None, option("-o", "KEY=VALUE", SET_HELP)]
Results = Annotated[Path, option("--results", "DIR", "Results folder: records and report.")]
Json = Annotated[bool, option("--json", None, "Print JSON instead of text.")]
Unreliable = Annotated[bool, option("--accept-unreliable", None, "Use unreliable times for verdicts and speed-ups.")]
TIME_HELP = "Time a few steps (10 s at most) if no record tells how long runs take."
Time = Annotated[bool, option("--time", None, TIME_HELP)]
UntilDecided = Annotated[bool, option("--until-decided", None, "Run 3 seeds, then 5 and 10 of claims still open.")]
Debug = Annotated[bool, option("--debug", None, "Show tracebacks.")]
# Texts of options of a group.
SEEDS_HELP = "Number of seeds of each case; default: set by --scale; with --budget the most, 10."
BUDGET_HELP = "Choose the runs that give the most verdicts in this time: 3, 5 or 10 seeds of some claims."
DATA_HELP = "cifar10, fashion-mnist-mini or imagefolder:PATH; default: set by the scale."
ENGINE_HELP = "Where runs are carried out: this machine, a Ray cluster or Slurm."
RESOURCES_HELP = "CPUs and GPUs of a run on a cluster. Runs whose times are compared get a whole node."
JOBS_HELP = "Number of runs at a time; default: 1, on a cluster as many as fit. Runs whose times are compared go alone."
EVERY_HELP = "Seconds between checkpoints."
LIMIT_HELP = "Stop each run after this many seconds; the same command resumes it."


@dataclass(frozen=True)
class WhatToRun:
    """The options that say which runs are wanted."""

    names: Names = None
    cases: Annotated[list[str] | None, option("--case", "NAME", "Only this case of `plan`; may be repeated.")] = None
    hypotheses: Annotated[bool, option("--hypotheses", None, "Also run values that the report may have used.")] = False
    scale: Scale = "smoke"
    seeds: Annotated[int | None, option("--seeds", "N", SEEDS_HELP, min=1, max=1000)] = None
    budget: Annotated[float | None, option("--budget", TIME, BUDGET_HELP, parser=seconds_of)] = None  # seconds
    data: Annotated[str | None, option("--data", "NAME", DATA_HELP, *DATA)] = None
    device: Device = None
    options: Set = None


@dataclass(frozen=True)
class HowToRun:
    """The options that say how runs are carried out."""

    engine: Annotated[Literal["local", "ray", "slurm"], option("--engine", "local|ray|slurm", ENGINE_HELP)] = "local"
    resources: Annotated[str | None, option("--resources", "cpus=N,gpus=N", RESOURCES_HELP)] = None
    jobs: Annotated[int | None, option("--jobs", "N", JOBS_HELP, min=1)] = None
    results: Results = LOCAL
    keep_stale: Annotated[bool, option("--keep-stale", None, "Repeat no runs of older code or data.")] = False
    retime: Annotated[bool, option("--retime", None, "Repeat runs whose times are unreliable.")] = False
    checkpoint_every: Annotated[float, option("--checkpoint-every", "SECONDS", EVERY_HELP, min=0)] = CHECKPOINT_EVERY_S
    time_limit: Annotated[float | None, option("--time-limit", "SECONDS", LIMIT_HELP, min=0.001)] = None
    as_json: Json = False

    @property
    def at_once(self) -> int | None:
        """How many runs go on at a time; None: on a cluster, where no time is known."""
        return (self.jobs or 1) if self.engine == "local" else None
