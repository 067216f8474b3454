"""The options of the command line, and what `plan` and `run` ask for with them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from resnet18.spec.data import CIFAR10, EMBEDDED
from resnet18.spec.experiment import SCALES
from resnet18.spec.load import benchmarks_dir

LOCAL = Path("results/local")
"""Where results go unless --results says otherwise; git ignores it."""


def option(
    flag: str, metavar: str | None, text: str, *offered: str, least: float | None = None, most: float | None = None
) -> Any:  # noqa: ANN401 - as typer
    """Return an option with its help and limits; after Tab the shell offers the words that begin as typed."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in offered if word.startswith(incomplete)]

    found = complete if offered else None
    return typer.Option(flag, metavar=metavar, help=text, autocompletion=found, min=least, max=most)


def benchmark_names(incomplete: str) -> list[str]:
    """Return the suite's benchmarks, and the TOML files and folders of the shell's own folder, after Tab."""
    path = Path(incomplete)
    folder = path if incomplete.endswith("/") else path.parent
    own = sorted(path.stem for path in benchmarks_dir().glob("*.toml"))
    files = sorted([*map(str, folder.glob("[!.]*.toml")), *(f"{path}/" for path in folder.glob("[!.]*/"))])
    return [name for name in (*own, *files) if name.startswith(incomplete)]


def _benchmarks(metavar: str, text: str) -> Any:  # noqa: ANN401 - as typer
    more = f"{text}; all of the suite if left out."
    return typer.Argument(metavar=metavar, help=more, autocompletion=benchmark_names)


# What to run.
Names = Annotated[list[str] | None, _benchmarks("BENCHMARK...", "Names or TOML files")]
Files = Annotated[list[str] | None, _benchmarks("FILE...", "TOML files, folders of them, or names")]
Case = Annotated[
    list[str] | None, option("--case", "NAME", "Only this case, named as `plan` lists it; may be repeated.")
]
Hypotheses = Annotated[bool, option("--hypotheses", None, "Also run the candidates for what the report leaves open.")]
# How much of it.
Scale = Annotated[str, option("--scale", "|".join(SCALES), "How much to run.", *SCALES)]
SEEDS_HELP = "Seeds of each case; the scale's number if left out, at least 3 with --budget."
Seeds = Annotated[int | None, option("--seeds", "N", SEEDS_HELP, least=1, most=1000)]
Budget = Annotated[
    str | None, option("--budget", "90s|30m|2h", "Choose the runs that give the most verdicts in this time.")
]
# Where.
DATA_HELP = "cifar10, fashion-mnist-mini or imagefolder:PATH; the scale's if left out."
Data = Annotated[str | None, option("--data", "NAME", DATA_HELP, CIFAR10, EMBEDDED, "imagefolder:")]
DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps", "xpu")
Device = Annotated[
    str | None,
    option("--device", "NAME", "auto, cpu, cuda, cuda:N, mps or xpu, for cases that name no device.", *DEVICES),
]
ENGINES = ("local", "ray", "slurm")
Engine = Annotated[
    str, option("--engine", "|".join(ENGINES), "What carries the runs out: this machine or a cluster.", *ENGINES)
]
RESOURCES_HELP = "CPUs and GPUs per run on a cluster; runs whose times are compared get a whole node."
Resources = Annotated[str | None, option("--resources", "cpus=N,gpus=N", RESOURCES_HELP)]
JOBS_HELP = (
    "Runs at a time: 1 if left out, or all that a cluster has room for. Each has processors of its own; runs whose "
    "times are compared go alone."
)
Jobs = Annotated[int | None, option("--jobs", "N", JOBS_HELP, least=1)]
Results = Annotated[Path, option("--results", "DIR", "Folder of records and report.")]
# How.
Set = Annotated[
    list[str] | None, option("-o", "KEY=VALUE", "Set a key of the spec, as in -o optimizer.lr=0.01; may be repeated.")
]
Stale = Annotated[bool, option("--keep-stale", None, "Accept records made by other code or from other data.")]
Retime = Annotated[bool, option("--retime", None, "Rerun runs whose times are unreliable.")]
Unreliable = Annotated[
    bool, option("--accept-unreliable", None, "Use unreliable times for verdicts and speed-ups too.")
]
Checkpoint = Annotated[float, option("--checkpoint-every", "SECONDS", "Seconds between checkpoints.", least=0)]
LIMIT_HELP = "Stop each run after this many seconds; repeat the command to resume."
Limit = Annotated[float | None, option("--time-limit", "SECONDS", LIMIT_HELP, least=0.001)]
Time = Annotated[
    bool, option("--time", None, "Time a few steps, ten seconds at most, where no record gives an estimate.")
]
# Output.
Json = Annotated[bool, option("--json", None, "Print JSON instead of text.")]
Debug = Annotated[bool, option("--debug", None, "Show tracebacks.")]
