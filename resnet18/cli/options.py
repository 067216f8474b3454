"""The options of the command line, and what `plan` and `run` ask for with them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli.completion import benchmark_names, data_sets, device_names, engines, scales
from resnet18.cli.filter import only_cases
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.data import CIFAR10, DataSource, data_home, parse_data
from resnet18.spec.errors import EnvironmentMissingError, SpecError, did_you_mean
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import Plan, plan
from resnet18.spec.resolve import Request, canonical_overrides
from resnet18.spec.scale import SCALES

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[BENCHMARK]...",
        help="Names or TOML files; all of the suite if left out.",
        autocompletion=benchmark_names,
    ),
]
Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE]...",
        help="TOML files, folders of them, or names; all of the suite if left out.",
        autocompletion=benchmark_names,
    ),
]
ScaleOption = Annotated[
    str, typer.Option("--scale", help=f"How much to run: {', '.join(SCALES)}.", autocompletion=scales)
]
SeedsOption = Annotated[
    int | None,
    typer.Option(
        "--seeds", min=1, max=1000, help="Seeds of each case; the scale's number if left out, 3 at least with --budget."
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="cifar10, fashion-mnist-mini or imagefolder:PATH; the scale's if left out.",
        autocompletion=data_sets,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="auto, cpu, cuda, cuda:N, mps or xpu, for cases that name no device.",
        autocompletion=device_names,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("-o", metavar="KEY=VALUE", help="Set any key of the spec, as in -o optimizer.lr=0.01."),
]
CaseOption = Annotated[
    list[str] | None,
    typer.Option(
        "--case", metavar="NAME", help="Only this case, CASE or BENCHMARK/CASE as `plan` lists them; may be repeated."
    ),
]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of records and report.")]
HypothesesOption = Annotated[
    bool, typer.Option("--hypotheses", help="Also run the candidates for what the report leaves open.")
]
StaleOption = Annotated[
    bool, typer.Option("--keep-stale", help="Accept records made by other code or from other data.")
]
RetimeOption = Annotated[
    bool,
    typer.Option("--retime", help="Take the unreliable times of this machine again, too."),
]
UnreliableOption = Annotated[
    bool,
    typer.Option("--accept-unreliable", help="Let unreliable times decide verdicts and speed-ups like any other."),
]
CheckpointOption = Annotated[
    float,
    typer.Option("--checkpoint-every", min=0, metavar="SECONDS", help="How much work a power loss may cost a run."),
]
LimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit", min=0.001, metavar="SECONDS", help="Give a run up after so long; the same command goes on."
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        help="Runs side by side: here 1, each on processors of its own, and compared times alone; on a cluster as many "
        "as it has room for.",
    ),
]
EngineOption = Annotated[
    str, typer.Option("--engine", help="Where runs happen: local, ray or slurm.", autocompletion=engines)
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget", metavar="30m|2h|90s", help="Run only what lets the most claims be decided in so much time."
    ),
]
TimeOption = Annotated[
    bool, typer.Option("--time", help="Time a few steps of what no record tells the pace of: ten seconds at most.")
]
ResourcesOption = Annotated[
    str | None,
    typer.Option(
        "--resources",
        metavar="cpus=N,gpus=N",
        help="What a run takes of a cluster's node; compared times take all of it.",
    ),
]
ProcessorsOption = Annotated[
    str | None, typer.Option("--on-processors", hidden=True, help="One of several runners: the processors it has.")
]
OnlyOption = Annotated[
    str | None, typer.Option("--only", hidden=True, help="One of several runners: the runs that a budget chose.")
]
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
