"""`plan` turns benchmarks into the list of runs. It is pure: no clock, no disk, no device."""

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType

from resnet18.spec.benchmark import Assumption, Benchmark, Case
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.identity import ids_of
from resnet18.spec.resolve import Request, equal_cases, resolve, value_at, with_sub_cases

OUT_OF_MEMORY = "Out of Memory"
"""How the report prints a case that did not fit."""

LAST_MAP_IS_ONE_PIXEL = {"imagenet": 32, "cifar": 8}
"""Largest input in px whose last feature maps are 1x1: the stems halve it five and three times."""

DEVICE_NAMES = {"cuda": "CUDA", "mps": "MPS", "xpu": "XPU", "cpu": "CPU"}
EVERY_DEVICE: Mapping[str, int] = MappingProxyType(dict.fromkeys(DEVICE_NAMES, 100))
"""As many of each kind as a spec can ask for, for those who plan what no machine need run: `cuda:99` is the last."""


@dataclass(frozen=True)
class Run:
    """A case with a seed: what a child process trains."""

    run_id: str
    arm_id: str
    experiment: Experiment
    execution: Execution
    labels: tuple[str, ...]
    """`benchmark/case` of every case that shows this run."""
    assumptions: tuple[Assumption, ...]
    may_run_out_of_memory: bool
    """The report says that a case of this run did not fit: such an end is a finding, not a failure."""
    is_timed: bool = False
    """A table compares its time with another's: it needs the machine for itself."""


@dataclass(frozen=True)
class NotPlanned:
    """A case that this machine cannot run."""

    label: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Runs in seed-major order, so that drift of the machine hits all cases alike."""

    runs: tuple[Run, ...]
    not_planned: tuple[NotPlanned, ...]


def plan(
    benchmarks: Collection[Benchmark],
    request: Request,
    seeds: Collection[int],
    devices: Mapping[str, int],
    *,
    hypotheses: bool = False,
) -> Plan:
    """Return the runs of all cases and seeds, each distinct run once.

    Args:
        benchmarks: the tables to fill.
        request: scale, data label and overrides.
        seeds: of every case.
        devices: how many of each kind the machine has, `cpu` among them.
        hypotheses: whether the candidates of the files' hypotheses are run too.

    Raises:
        SpecError: a case that makes no sense under the request, or a benchmark that cannot be run.
    """
    for benchmark in benchmarks:
        where = f"benchmark {benchmark.name}"
        if not benchmark.can_run:
            what = "only documents a report: its cases have factors, and no experiment"
            raise SpecError(where, what, next_step="check it against itself with: resnet18 audit FILE")
        if (equal := equal_cases(benchmark, request)) is not None:
            options = "".join(f" -o {override}" for override in request.overrides)
            what = f'with --scale {request.scale}{options}, cases "{equal[0]}" and "{equal[1]}" are the same run'
            next_step = "leave out the option, or choose a scale that does not set what they differ in"
            raise SpecError(where, what, next_step=next_step)
    if hypotheses:
        benchmarks = [with_sub_cases(benchmark) for benchmark in benchmarks]
    runs: dict[str, Run] = {}
    absent: dict[str, str] = {}
    for seed in seeds:
        for benchmark, case in every_case(benchmarks):
            run = _run(benchmark, case, request, seed)
            if reason := absent_device(run.execution, devices):
                absent[run.labels[0]] = reason
            else:
                runs[run.run_id] = _joined(runs.get(run.run_id, run), run)
    return Plan(tuple(runs.values()), tuple(NotPlanned(*pair) for pair in absent.items()))


def every_case(benchmarks: Collection[Benchmark]) -> Iterator[tuple[Benchmark, Case]]:
    """Yield each case with its benchmark, in the order of the files."""
    for benchmark in benchmarks:
        for case in benchmark.cases:
            yield benchmark, case


def absent_device(execution: Execution, devices: Mapping[str, int]) -> str | None:
    """Return why the execution cannot run on so many devices of each kind; None where it can.

    `auto` takes the first that is not the CPU.
    """
    kind, _, index = execution.device.partition(":")
    if kind == "auto":
        kind = next((name for name in devices if name != "cpu"), "cpu")
    name, count = DEVICE_NAMES.get(kind, kind), devices.get(kind, 0)
    if not count:
        return f"no {name} device"
    return f"no {name} device {int(index)}" if index and int(index) >= count else None


def _run(benchmark: Benchmark, case: Case, request: Request, seed: int) -> Run:
    experiment, execution = specs = resolve(benchmark, case, request, seed=seed)
    label = f"{benchmark.name}/{case.name}"
    if isinstance(experiment.train_images, int):
        check_last_batch(label, experiment, experiment.train_images)
    return Run(
        *ids_of(experiment, execution)[:2],
        experiment,
        execution,
        labels=(label,),
        assumptions=tuple(
            assumption
            for assumption in benchmark.assumptions
            if not assumption.has_value or any(value_at(spec, assumption.key) is not None for spec in specs)
        ),
        may_run_out_of_memory=OUT_OF_MEMORY in case.reported.values(),
        is_timed=benchmark.table.speed_up_over is not None,
    )


def check_last_batch(label: str, experiment: Experiment, train_images: int) -> None:
    """Raise SpecError for a case of that label if an epoch ends with a batch of 1 where the last maps are 1x1.

    Batch norm would have a single value per channel, and no variance.
    """
    size = experiment.batch_size
    last = train_images % size or min(size, train_images)
    if last == 1 and experiment.image_size <= LAST_MAP_IS_ONE_PIXEL[experiment.stem]:
        what = f"{train_images:,} training images in batches of {size} end with a batch of 1, without variance"
        raise SpecError(f"{label}: batch_size", what, next_step="choose a batch size that leaves another remainder")


def _joined(known: Run, run: Run) -> Run:
    return replace(
        known,
        labels=tuple(dict.fromkeys(known.labels + run.labels)),
        assumptions=tuple({each.key: each for each in (*run.assumptions, *known.assumptions)}.values()),
        may_run_out_of_memory=known.may_run_out_of_memory or run.may_run_out_of_memory,
        is_timed=known.is_timed or run.is_timed,
    )


def only_cases(planned: Plan, wanted: Sequence[str], benchmarks: Collection[Benchmark], names: Iterable[str]) -> Plan:
    """Return the plan of these cases alone. A run that other cases share keeps all of its labels.

    Args:
        planned: all that the tables have.
        wanted: each `CASE`, in whichever of the tables has it, or `BENCHMARK/CASE`.
        benchmarks: the tables.
        names: what the user calls them.

    Raises:
        SpecError: a case that is not planned.
    """
    labels = [*(label for run in planned.runs for label in run.labels), *(case.label for case in planned.not_planned)]
    candidates = [f"{mine.name}/{case.name}" for mine, case in every_case([*map(with_sub_cases, benchmarks)])]
    chosen = set[str]()
    for text in wanted:
        found = {label for label in labels if text in _names(label)}
        if not found and any(text in _names(label) for label in candidates):
            what = "is a candidate of a hypothesis, and planned with those"
            raise SpecError(f'--case "{text}"', what, next_step="add --hypotheses")
        if not found:
            known = {name.casefold(): f'"{label}"' for label in labels for name in _names(label)}
            near = ", ".join(dict.fromkeys(known[name] for name in get_close_matches(text.casefold(), known)))
            what = "no table has it" + (f" (did you mean {near}?)" if near else "")
            listing = f"list the cases with: {shlex.join(['resnet18', 'plan', *names])}"
            raise SpecError(f'--case "{text}"', what, next_step=listing)
        chosen |= found
    return replace(
        planned,
        runs=tuple(run for run in planned.runs if chosen.intersection(run.labels)),
        not_planned=tuple(case for case in planned.not_planned if case.label in chosen),
    )


def _names(label: str) -> tuple[str, str]:
    return label, label.partition("/")[2]
