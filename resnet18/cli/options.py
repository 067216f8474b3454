"""The options of the command line, and what `plan` and `run` ask for with them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from resnet18.spec.data import CIFAR10, EMBEDDED
from resnet18.spec.experiment import SCALES
from resnet18.spec.load import benchmarks_dir


def _offer(*words: str) -> Callable[[str], list[str]]:
    """Return what the shell asks after Tab: the words that begin with what has been typed."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def benchmark_names(incomplete: str) -> list[str]:
    """Return the suite's benchmarks, and the TOML files and folders of the shell's own folder, after Tab."""
    path = Path(incomplete)
    folder = path if incomplete.endswith("/") else path.parent
    own = sorted(path.stem for path in benchmarks_dir().glob("*.toml"))
    files = sorted([*map(str, folder.glob("[!.]*.toml")), *(f"{path}/" for path in folder.glob("[!.]*/"))])
    return [name for name in (*own, *files) if name.startswith(incomplete)]


LOCAL = Path("results/local")
"""Where results go unless --results says otherwise; git ignores it."""

# What to run.
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="BENCHMARK...",
        help="Names or TOML files; all of the suite if left out.",
        autocompletion=benchmark_names,
    ),
]
Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE...",
        help="TOML files, folders of them, or names; all of the suite if left out.",
        autocompletion=benchmark_names,
    ),
]
Case = Annotated[
    list[str] | None,
    typer.Option("--case", metavar="NAME", help="Only this case, named as `plan` lists it; may be repeated."),
]
Hypotheses = Annotated[
    bool, typer.Option("--hypotheses", help="Also run the candidates for what the report leaves open.")
]
# How much of it.
Scale = Annotated[
    str,
    typer.Option("--scale", metavar="|".join(SCALES), help="How much to run.", autocompletion=_offer(*SCALES)),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        min=1,
        max=1000,
        metavar="N",
        help="Seeds of each case; the scale's number if left out, at least 3 with --budget.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option("--budget", metavar="90s|30m|2h", help="Choose the runs that give the most verdicts in this time."),
]
# Where.
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME",
        help="cifar10, fashion-mnist-mini or imagefolder:PATH; the scale's if left out.",
        autocompletion=_offer(CIFAR10, EMBEDDED, "imagefolder:"),
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda, cuda:N, mps or xpu, for cases that name no device.",
        autocompletion=_offer("auto", "cpu", "cuda", "cuda:0", "mps", "xpu"),
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|ray|slurm",
        help="What carries the runs out: this machine or a cluster.",
        autocompletion=_offer("local", "ray", "slurm"),
    ),
]
Resources = Annotated[
    str | None,
    typer.Option(
        "--resources",
        metavar="cpus=N,gpus=N",
        help="CPUs and GPUs per run on a cluster; runs whose times are compared get a whole node.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        metavar="N",
        help="Runs at a time: 1 if left out, or all that a cluster has room for. Each has processors of its own; runs "
        "whose times are compared go alone.",
    ),
]
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder of records and report.")]
# How.
Set = Annotated[
    list[str] | None,
    typer.Option("-o", metavar="KEY=VALUE", help="Set a key of the spec, as in -o optimizer.lr=0.01; may be repeated."),
]
Stale = Annotated[bool, typer.Option("--keep-stale", help="Accept records made by other code or from other data.")]
Retime = Annotated[bool, typer.Option("--retime", help="Rerun runs whose times are unreliable.")]
Unreliable = Annotated[
    bool, typer.Option("--accept-unreliable", help="Use unreliable times for verdicts and speed-ups too.")
]
Checkpoint = Annotated[
    float, typer.Option("--checkpoint-every", min=0, metavar="SECONDS", help="Seconds between checkpoints.")
]
Limit = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        min=0.001,
        metavar="SECONDS",
        help="Stop each run after this many seconds; repeat the command to resume.",
    ),
]
Time = Annotated[
    bool, typer.Option("--time", help="Time a few steps, ten seconds at most, where no record gives an estimate.")
]
# Output.
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
