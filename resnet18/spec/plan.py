"""`plan` turns benchmarks into the list of runs. It is pure: no clock, no disk, no device."""

import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product

from resnet18.spec.benchmark import Assumption, Benchmark, Case
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.experiment import CountOrAll, Execution, Experiment
from resnet18.spec.identity import Ids, ids_of
from resnet18.spec.resolve import Request, Specs, check_cases_differ, resolve, value_at, with_sub_cases

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
    """Runs seed by seed, every second seed in reverse order of cases: so drift of the machine hits all cases alike."""

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
        where = f"benchmark {benchmark.name}"
        if not benchmark.can_run:
            what = "only documents a report: its cases have no experiment"
            raise SpecError(where, what, next_step="check it against itself with: resnet18 audit FILE")
        check_cases_differ(benchmark, request, where)
    if hypotheses:
        benchmarks = [with_sub_cases(benchmark) for benchmark in benchmarks]
    shown: dict[Ids, list[tuple[Benchmark, Case, Specs]]] = {}
    absent: dict[str, str] = {}
    for seed, benchmark in product(seeds, benchmarks):
        for case in benchmark.cases[:: -1 if seed % 2 else 1]:
            label, specs = f"{benchmark.name}/{case.name}", resolve(benchmark, case, request, seed=seed)
            check_last_batch(label, specs[0], specs[0].train_images)
            if reason := absent_device(specs[1], devices):
                absent[label] = reason
            else:
                shown.setdefault(ids_of(*specs), []).append((benchmark, case, specs))
    return Plan(tuple(_run(ids, cases) for ids, cases in shown.items()), absent)


def absent_device(execution: Execution, devices: Mapping[str, int]) -> str | None:
    """Return why the execution cannot run on so many devices of each kind; None where it can, as `auto` always does."""
    kind, _, index = execution.device.partition(":")
    if kind == "auto" or devices.get(kind, 0) > int(index or 0):
        return None
    return f"no {kind.upper()} device" + (f" {int(index)}" if index and devices.get(kind) else "")


def _run(ids: Ids, shown: list[tuple[Benchmark, Case, Specs]]) -> Run:
    """Return the run that cases, of one benchmark or several, show."""
    specs = shown[0][2]
    assumptions: dict[str, Assumption] = {}
    for benchmark, _, _ in shown:
        for assumption in benchmark.assumptions:
            if not assumption.has_value or value_at(specs, assumption.key) is not None:
                assumptions.setdefault(assumption.key, assumption)
    return Run(
        *(ids.run_id, ids.arm_id, *specs),
        labels=tuple(f"{benchmark.name}/{case.name}" for benchmark, case, _ in shown),
        assumptions=tuple(assumptions.values()),
        may_run_out_of_memory=any(OUT_OF_MEMORY in case.reported.values() for _, case, _ in shown),
        is_timed=any(benchmark.table.speed_up_over is not None for benchmark, _, _ in shown),
    )


def check_last_batch(label: str, experiment: Experiment, train_images: CountOrAll) -> None:
    """Raise SpecError if an epoch ends with a batch of 1 where the last maps are 1x1: batch norm has no variance."""
    if train_images == "all":  # checked when the data set is open
        return
    size = experiment.batch_size
    last = train_images % size or min(size, train_images)
    if last == 1 and experiment.image_size <= LAST_MAP_IS_ONE_PIXEL[experiment.stem]:
        what = f"{train_images:,} training images in batches of {size} end with a batch of 1, without variance"
        raise SpecError(f"{label}: batch_size", what, next_step="choose a batch size that leaves another remainder")


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
