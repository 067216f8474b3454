"""The options of the command line, and what `plan` and `run` ask for with them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli.filter import only_cases
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.data import CIFAR10, EMBEDDED, DataSource, data_home, parse_data
from resnet18.spec.errors import EnvironmentMissingError, SpecError, did_you_mean
from resnet18.spec.load import benchmarks_dir, load_benchmarks
from resnet18.spec.plan import Plan, plan
from resnet18.spec.resolve import Request, canonical_overrides
from resnet18.spec.scale import SCALES


def _offer(*words: str) -> Callable[[str], list[str]]:
    """Return what the shell asks after Tab: the words that begin with what has been typed."""

    def offered(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return offered


def benchmark_names(incomplete: str) -> list[str]:
    """Return the suite's benchmarks, and the TOML files and folders of the shell's own folder, after Tab."""
    path = Path(incomplete)
    folder = path if incomplete.endswith("/") else path.parent
    own = sorted(path.stem for path in benchmarks_dir().glob("*.toml"))
    files = sorted([*map(str, folder.glob("[!.]*.toml")), *(f"{path}/" for path in folder.glob("[!.]*/"))])
    return [name for name in (*own, *files) if name.startswith(incomplete)]


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
CaseOption = Annotated[
    list[str] | None,
    typer.Option("--case", metavar="NAME", help="Only this case, named as `plan` lists it; may be repeated."),
]
HypothesesOption = Annotated[
    bool, typer.Option("--hypotheses", help="Also run the candidates for what the report leaves open.")
]
# How much of it.
ScaleOption = Annotated[
    str,
    typer.Option("--scale", metavar="|".join(SCALES), help="How much to run.", autocompletion=_offer(*SCALES)),
]
SeedsOption = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        min=1,
        max=1000,
        metavar="N",
        help="Seeds of each case; the scale's number if left out, at least 3 with --budget.",
    ),
]
BudgetOption = Annotated[
    str | None,
    typer.Option("--budget", metavar="90s|30m|2h", help="Choose the runs that give the most verdicts in this time."),
]
# Where.
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME",
        help="cifar10, fashion-mnist-mini or imagefolder:PATH; the scale's if left out.",
        autocompletion=_offer(CIFAR10, EMBEDDED, "imagefolder:"),
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda, cuda:N, mps or xpu, for cases that name no device.",
        autocompletion=_offer("auto", "cpu", "cuda", "cuda:0", "mps", "xpu"),
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|ray|slurm",
        help="What carries the runs out: this machine or a cluster.",
        autocompletion=_offer("local", "ray", "slurm"),
    ),
]
ResourcesOption = Annotated[
    str | None,
    typer.Option(
        "--resources",
        metavar="cpus=N,gpus=N",
        help="CPUs and GPUs per run on a cluster; runs whose times are compared get a whole node.",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        metavar="N",
        help="Runs at a time: 1 if left out, or all that a cluster has room for. Each has processors of its own; runs "
        "whose times are compared go alone.",
    ),
]
ResultsOption = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder of records and report.")]
# How.
SetOption = Annotated[
    list[str] | None,
    typer.Option("-o", metavar="KEY=VALUE", help="Set a key of the spec, as in -o optimizer.lr=0.01; may be repeated."),
]
StaleOption = Annotated[
    bool, typer.Option("--keep-stale", help="Accept records made by other code or from other data.")
]
RetimeOption = Annotated[bool, typer.Option("--retime", help="Rerun runs whose times are unreliable.")]
UnreliableOption = Annotated[
    bool, typer.Option("--accept-unreliable", help="Use unreliable times for verdicts and speed-ups too.")
]
CheckpointOption = Annotated[
    float, typer.Option("--checkpoint-every", min=0, metavar="SECONDS", help="Seconds between checkpoints.")
]
LimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        min=0.001,
        metavar="SECONDS",
        help="Stop each run after this many seconds; repeat the command to resume.",
    ),
]
TimeOption = Annotated[
    bool, typer.Option("--time", help="Time a few steps, ten seconds at most, where no record gives an estimate.")
]
ProcessorsOption = Annotated[
    str | None, typer.Option("--on-processors", hidden=True, help="One of several runners: the processors it has.")
]
OnlyOption = Annotated[
    str | None, typer.Option("--only", hidden=True, help="One of several runners: the runs that a budget chose.")
]
# Output.
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


LOCAL = Path("results/local")
"""Where results go unless --results says otherwise; git ignores it."""


@dataclass(frozen=True)
class Asked:
    """What the options ask for, checked in full before anything is run."""

    benchmarks: tuple[Benchmark, ...]
    request: Request
    source: DataSource
    plan: Plan
    devices: Mapping[str, int]
    """How many there are of each kind."""


def asked(
    names: list[str] | None,
    scale: str,
    seeds: int | None,
    data: str | None,
    device: str | None,
    options: list[str] | None,
    *,
    cases: list[str] | None = None,
    hypotheses: bool = False,
    fewest_seeds: int = 1,
    prove_devices: bool = False,
    devices: Mapping[str, int] | None = None,
) -> Asked:
    """Return what the options of `plan` and `run` ask for.

    `cases` are the only ones of the tables, if there are any; of a scale with less than `fewest_seeds` so many are
    taken unless it is said how many. With `prove_devices` this machine's devices are tried instead of taking their
    drivers' word; `devices` are those of a cluster, which is asked instead of this machine.

    Raises:
        SpecError: an unknown name, case, scale or option.
        EnvironmentMissingError: a device asked for by name is missing.
    """
    from resnet18.measure.devices import present_devices  # pynvml: only these two commands need it

    if scale not in SCALES:
        raise SpecError(f'--scale "{scale}"', f"unknown{did_you_mean(scale, SCALES)}", allowed=SCALES)
    benchmarks = load_benchmarks(tuple(names or ()))
    source = parse_data(data or SCALES[scale].data)
    request = Request(SCALES[scale].name, source.label, canonical_overrides(options or [], device))
    devices = present_devices(prove=prove_devices) if devices is None else devices
    numbers = range(seeds or max(SCALES[scale].seeds, fewest_seeds))
    planned = plan(benchmarks, request, numbers, devices, hypotheses=hypotheses)
    planned = only_cases(planned, cases or (), benchmarks, names or ())
    _check_device(device or "auto", devices)
    return Asked(benchmarks, request, source, planned, devices)


def demand_data(scale: str, data: str | None) -> None:
    """Refuse a run whose archive is missing, before a cluster, a device or torch is asked for.

    Raises:
        EnvironmentMissingError: it is; the message holds the command that fetches it.
    """
    from resnet18.data.cifar10 import find_archive

    if data is None and scale in SCALES:  # an unknown scale is refused where all of the request is read
        data = SCALES[scale].data
    if data == CIFAR10:
        find_archive(data_home())


def _check_device(device: str, devices: Mapping[str, int]) -> None:
    """Raise EnvironmentMissingError for a device that was asked for by name and is missing."""
    kind, _, index = device.partition(":")
    numbered = [f"{kind}:{number}" for number in range(devices.get(kind, 0))]
    if index and numbered and device not in numbered:
        raise EnvironmentMissingError(f"--device {device}", "there is no such device", allowed=numbered)
    if kind != "auto" and not numbered:
        raise EnvironmentMissingError(
            f"--device {device}", "there is no such device", allowed=("auto", *sorted(devices))
        )


def seconds_of(budget: str) -> float:
    """Return the seconds that `--budget` means.

    Raises:
        SpecError: it is no length of time.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?) ?(s|m|min|h)", budget.strip(), re.ASCII)
    if found is None or not float(found[1]):
        raise SpecError(f'--budget "{budget}"', "is no length of time", allowed=("90s", "30m", "2h", "1.5h"))
    return float(found[1]) * {"s": 1, "m": 60, "min": 60, "h": 3_600}[found[2]]


def usable_processors() -> list[int]:
    """Return the numbers of the processors that can compute at once: our affinity, as far as the quota reaches."""
    from resnet18.measure.cgroup import affinity, usable_cpus

    return sorted(affinity())[: usable_cpus()]


def several_gpus() -> tuple[str, ...]:
    """Return the names of this machine's GPUs, none where there is one or none."""
    from resnet18.measure.devices import nvidia_gpus

    names = nvidia_gpus()
    return names if len(names) > 1 else ()
