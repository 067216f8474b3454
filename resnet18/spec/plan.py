"""`plan` turns benchmarks into the list of runs. It is pure: no clock, no disk, no device."""

import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from resnet18.spec.benchmark import Assumption, Benchmark, Case
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.identity import ids_of
from resnet18.spec.resolve import Request, equal_cases, resolve, value_at, with_sub_cases

OUT_OF_MEMORY = "Out of Memory"  # how the report prints a case that did not fit
LAST_MAP_IS_ONE_PIXEL = {"imagenet": 32, "cifar": 8}  # largest input in px: the stems halve it five and three times
EVERY_DEVICE: Mapping[str, int] = dict.fromkeys(("cuda", "mps", "xpu", "cpu"), 100)  # for plans that no machine runs


@dataclass(frozen=True)
class Run:
    """A case with a seed: what a child process trains."""

    run_id: str
    arm_id: str
    experiment: Experiment
    execution: Execution
    labels: tuple[str, ...]  # `benchmark/case` of every case that shows this run
    assumptions: tuple[Assumption, ...]
    may_run_out_of_memory: bool  # the report says that it did not fit: such an end is a finding, not a failure
    is_timed: bool = False  # a table compares its time with another's: it needs the machine for itself


@dataclass(frozen=True)
class Plan:
    """Runs in seed-major order, so that drift of the machine hits all cases alike."""

    runs: tuple[Run, ...]
    not_planned: Mapping[str, str]  # `benchmark/case` of what this machine cannot run, and why


def plan(
    benchmarks: Collection[Benchmark],
    request: Request,
    seeds: Collection[int],
    devices: Mapping[str, int],
    *,
    hypotheses: bool = False,
) -> Plan:
    """Return the runs of all cases and seeds, each distinct run once; with `hypotheses` also of their candidates.

    `devices` are how many of each kind the machine has, `cpu` among them. Raises SpecError as `resolve`, at a
    benchmark that cannot be run, and at two cases that the request makes the same run.
    """
    for benchmark in benchmarks:
        _check_cases_differ(benchmark, request)
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
    return Plan(tuple(runs.values()), absent)


def _check_cases_differ(benchmark: Benchmark, request: Request) -> None:
    where = f"benchmark {benchmark.name}"
    if not benchmark.can_run:
        what = "only documents a report: its cases have factors, and no experiment"
        raise SpecError(where, what, next_step="check it against itself with: resnet18 audit FILE")
    if equal := equal_cases(benchmark, request):
        options = "".join(f" -o {override}" for override in request.overrides)
        what = f'with --scale {request.scale}{options}, cases "{equal[0]}" and "{equal[1]}" are the same run'
        next_step = "leave out the option, or choose a scale that does not set what they differ in"
        raise SpecError(where, what, next_step=next_step)


def every_case(benchmarks: Collection[Benchmark]) -> list[tuple[Benchmark, Case]]:
    """Return each case with its benchmark, in the order of the files."""
    return [(benchmark, case) for benchmark in benchmarks for case in benchmark.cases]


def absent_device(execution: Execution, devices: Mapping[str, int]) -> str | None:
    """Return why the execution cannot run on so many devices of each kind; None where it can, as `auto` always does."""
    kind, _, index = execution.device.partition(":")
    if kind == "auto" or devices.get(kind, 0) > int(index or 0):
        return None
    return f"no {kind.upper()} device" + (f" {int(index)}" if index and devices.get(kind) else "")


def _run(benchmark: Benchmark, case: Case, request: Request, seed: int) -> Run:
    specs = resolve(benchmark, case, request, seed=seed)
    label = f"{benchmark.name}/{case.name}"
    if isinstance(specs[0].train_images, int):
        check_last_batch(label, specs[0], specs[0].train_images)
    assumptions = (
        assumption
        for assumption in benchmark.assumptions
        if not assumption.has_value or any(value_at(spec, assumption.key) is not None for spec in specs)
    )
    may_run_out_of_memory = OUT_OF_MEMORY in case.reported.values()
    is_timed = benchmark.table.speed_up_over is not None
    return Run(*ids_of(*specs)[:2], *specs, (label,), tuple(assumptions), may_run_out_of_memory, is_timed)


def check_last_batch(label: str, experiment: Experiment, train_images: int) -> None:
    """Raise SpecError if an epoch ends with a batch of 1 where the last maps are 1x1: batch norm has no variance."""
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


def only_cases(planned: Plan, wanted: Collection[str], names: Iterable[str]) -> Plan:
    """Return the plan of the wanted cases alone, each `CASE`, in whichever table has it, or `BENCHMARK/CASE`.

    A run that other cases share keeps all of its labels. `names` are what the user calls the tables. Raises SpecError
    at a case that is not planned.
    """
    labels = [*(label for run in planned.runs for label in run.labels), *planned.not_planned]
    for text in wanted:
        if not any(text in {label, label.partition("/")[2]} for label in labels):
            listing = f"list the cases with: {shlex.join(['resnet18', 'plan', *names])} (candidates: add --hypotheses)"
            raise SpecError(f'--case "{text}"', f"no table has it{did_you_mean(text, labels)}", next_step=listing)
    chosen = {label for label in labels if {label, label.partition("/")[2]}.intersection(wanted)}
    return replace(
        planned,
        runs=tuple(run for run in planned.runs if chosen.intersection(run.labels)),
        not_planned={label: reason for label, reason in planned.not_planned.items() if label in chosen},
    )
