"""What the options of `plan` and `run` ask for, checked in full before anything is run."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from resnet18.spec.benchmark import Benchmark
from resnet18.spec.data import CIFAR10, DataSource, data_home, parse_data
from resnet18.spec.errors import EnvironmentMissingError, SpecError, did_you_mean
from resnet18.spec.experiment import SCALES
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import Plan, every_case, plan
from resnet18.spec.resolve import Request, canonical_overrides, with_sub_cases

MOST_NEAR = 3


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
    from resnet18.measure.host import affinity, usable_cpus

    return sorted(affinity())[: usable_cpus()]


def several_gpus() -> tuple[str, ...]:
    """Return the names of this machine's GPUs, none where there is one or none."""
    from resnet18.measure.devices import nvidia_gpus

    names = nvidia_gpus()
    return names if len(names) > 1 else ()


def only_cases(planned: Plan, wanted: Sequence[str], benchmarks: Collection[Benchmark], names: Sequence[str]) -> Plan:
    """Return the plan of these cases alone. A run that other cases share keeps all of its labels.

    Args:
        planned: all that the tables have.
        wanted: each `CASE`, in whichever of the tables has it, or `BENCHMARK/CASE`; none of them: every case.
        benchmarks: the tables.
        names: what the user calls them.

    Raises:
        SpecError: a case that is not planned.
    """
    if not wanted:
        return planned
    labels = dict.fromkeys(label for run in planned.runs for label in run.labels)
    labels.update(dict.fromkeys(one.label for one in planned.not_planned))
    chosen = set[str]()
    for text in wanted:
        found = [label for label in labels if text in _names(label)]
        if not found:
            raise _unknown(text, labels, benchmarks, names)
        chosen.update(found)
    return replace(
        planned,
        runs=tuple(run for run in planned.runs if chosen.intersection(run.labels)),
        not_planned=tuple(one for one in planned.not_planned if one.label in chosen),
    )


def _unknown(text: str, labels: Collection[str], benchmarks: Collection[Benchmark], names: Sequence[str]) -> SpecError:
    """Return what is said of a case that is not planned."""
    where = f'--case "{text}"'
    with_candidates = [with_sub_cases(one) for one in benchmarks]
    if any(text in _names(f"{benchmark.name}/{case.name}") for benchmark, case in every_case(with_candidates)):
        return SpecError(where, "is a candidate of a hypothesis, and planned with those", next_step="add --hypotheses")
    listing = shlex.join(["resnet18", "plan", *names])
    return SpecError(where, f"no table has it{_near(text, labels)}", next_step=f"list the cases with: {listing}")


def _names(label: str) -> tuple[str, str]:
    """Return both ways to name a case."""
    return label, label.partition("/")[2]


def _near(text: str, labels: Collection[str]) -> str:
    """Return ` (did you mean ...?)` with the labels that are nearest, however they are capitalised, or nothing."""
    known = {name.casefold(): label for label in labels for name in _names(label)}
    near = dict.fromkeys(known[one] for one in get_close_matches(text.casefold(), known, n=MOST_NEAR))
    quoted = ", ".join(f'"{label}"' for label in near)
    return f" (did you mean {quoted}?)" if near else ""
