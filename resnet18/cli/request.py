"""What the options of `plan` and `run` ask for, checked in full before anything is run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from resnet18.spec.benchmark import Benchmark
from resnet18.spec.data import DataSource, parse_data
from resnet18.spec.errors import EnvironmentMissingError, SpecError, did_you_mean
from resnet18.spec.experiment import FEWEST_SEEDS, SCALES
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import Plan, only_cases, plan
from resnet18.spec.resolve import DEVICE_OPTION, Request, canonical_overrides

UNIT_S = {"s": 1, "m": 60, "min": 60, "h": 3_600}


@dataclass(frozen=True)
class Asked:
    """What the options ask for, checked in full before anything is run."""

    benchmarks: tuple[Benchmark, ...]
    request: Request
    source: DataSource
    plan: Plan
    devices: Mapping[str, int]
    """How many there are of each kind."""


def request_of(
    scale: str, data: str | None, device: str | None, options: list[str] | None
) -> tuple[Request, DataSource]:
    """Return what is asked for of every table, and where its data are.

    Raises:
        SpecError: an unknown scale, data set or option.
        EnvironmentMissingError: a folder of images is missing.
    """
    if scale not in SCALES:
        raise SpecError(f'--scale "{scale}"', f"unknown{did_you_mean(scale, SCALES)}", allowed=SCALES)
    source = parse_data(data or SCALES[scale].data)
    return Request(SCALES[scale].name, source.label, canonical_overrides(options or [], device)), source


def asked(
    names: list[str] | None,
    cases: list[str] | None,
    request: Request,
    source: DataSource,
    seeds: int | None,
    devices: Mapping[str, int],
    *,
    hypotheses: bool = False,
    least: int = 1,
) -> Asked:
    """Return what the options of `plan` and `run` ask for, with these devices; without --seeds at least so many seeds.

    Raises:
        SpecError: an unknown name or case.
        EnvironmentMissingError: a device asked for by name is missing.
    """
    benchmarks = load_benchmarks(tuple(names or ()))
    numbers = range(seeds or max(SCALES[request.scale].seeds, least))
    planned = plan(benchmarks, request, numbers, devices, hypotheses=hypotheses)
    if cases:
        planned = only_cases(planned, cases, benchmarks, names or ())
    for option in request.overrides:
        if option.startswith(DEVICE_OPTION):
            _check_device(option.removeprefix(DEVICE_OPTION), devices)
    return Asked(benchmarks, request, source, planned, devices)


def _check_device(device: str, devices: Mapping[str, int]) -> None:
    """Raise EnvironmentMissingError for a device that was asked for by name and is missing."""
    kind, _, index = device.partition(":")
    numbered = [f"{kind}:{number}" for number in range(devices.get(kind, 0))]
    if kind == "auto" or device in (numbered if index else devices):
        return
    allowed = numbered or ("auto", *sorted(devices))
    raise EnvironmentMissingError(f"--device {device}", "there is no such device", allowed=allowed)


def fewest_seeds(budget: str | None) -> int:
    """Return how many seeds a case gets at least: with a budget as many as a verdict needs.

    Raises:
        SpecError: it is no length of time.
    """
    return FEWEST_SEEDS if budget is not None and seconds_of(budget) else 1


def seconds_of(budget: str) -> float:
    """Return the seconds that `--budget` means.

    Raises:
        SpecError: it is no length of time.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?) ?(s|m|min|h)", budget.strip(), re.ASCII)
    if found is None or not float(found[1]):
        raise SpecError(f'--budget "{budget}"', "is no length of time", allowed=("90s", "30m", "2h", "1.5h"))
    return float(found[1]) * UNIT_S[found[2]]
