"""`plan` turns benchmarks into runs, without clock, disk or device; a study names what is run for one report."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import Field

from resnet18.spec.benchmark import Assumption, Benchmark, Case, SomeNames
from resnet18.spec.claim import Name, Text
from resnet18.spec.errors import Items, Model, SpecError, did_you_mean
from resnet18.spec.experiment import LABEL, CountOrAll, Execution, Experiment, ScaleName
from resnet18.spec.identity import Ids, ids_of
from resnet18.spec.load import benchmarks_dir, load_benchmarks, read_file, refuse_twice, suite_files
from resnet18.spec.resolve import (
    Request,
    Specs,
    canonical_overrides,
    check_cases_differ,
    resolve,
    value_at,
    with_sub_cases,
)

FORMAT = 'see benchmarks/README.md, "Studies", for the format'
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
    cases: Collection[str] = (),
) -> Plan:
    """Return the runs of all cases and seeds, each distinct run once; with `hypotheses` also of their candidates.

    `devices` are how many of each kind the machine has, `cpu` among them. Where `cases` are given, only their runs,
    with the labels of all cases that share them: `CASE`, in whichever table has it, or `BENCHMARK/CASE`. Raises
    SpecError as `resolve`, at a benchmark that cannot be run, at two cases that the request makes the same run, and at
    a case that no table has.
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
            if reason := absent_device(specs[1].device, devices):
                absent[label] = reason
            else:
                shown.setdefault(ids_of(*specs), []).append((benchmark, case, specs))
    runs = [_run(ids, sharing) for ids, sharing in shown.items()]
    chosen = _labels_of(cases, [*(label for run in runs for label in run.labels), *absent])
    return Plan(
        tuple(run for run in runs if chosen.intersection(run.labels)),
        {label: reason for label, reason in absent.items() if label in chosen},
    )


def _labels_of(cases: Collection[str], labels: Collection[str]) -> set[str]:
    """Return the labels of the named cases, of all where none is named."""
    for name in cases:
        if not any(name in {label, label.partition("/")[2]} for label in labels):
            listing = "list the cases of these tables with: resnet18 plan (candidates: add --hypotheses)"
            raise SpecError(f'--case "{name}"', f"no table has it{did_you_mean(name, labels)}", next_step=listing)
    return {label for label in labels if not cases or {label, label.partition("/")[2]}.intersection(cases)}


def absent_device(name: str, devices: Mapping[str, int]) -> str | None:
    """Return why a device is not among so many of each kind; None where it is, as whatever `auto` takes always is."""
    kind, _, index = name.partition(":")
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


class Part(Model):
    """Runs of some benchmarks under one request."""

    title: Name  # in words, such as "Full size, 32 px": the heading in the report
    benchmarks: SomeNames  # as `load_benchmarks` takes them; once a study is loaded, from whichever folder
    cases: Items[Name] = ()  # `CASE` or `BENCHMARK/CASE`; none: all
    scale: ScaleName
    data: Annotated[str, Field(pattern=LABEL)]  # where data of this label lie is said on the command line
    options: Items[Text] = ()  # `key=value`, as after -o
    seeds: Annotated[int, Field(ge=1, le=1_000)]
    times: bool = False  # whether times count: then each run has the machine for itself
    hypotheses: bool = False  # whether candidates of hypotheses are run, too

    @property
    def request(self) -> Request:
        """What is asked for of every table; SpecError at an option that is not key=value."""
        return Request(self.scale, self.data, canonical_overrides([*self.options], None))

    def plan(self, devices: Mapping[str, int], seeds: int | None = None) -> Plan:
        """Return the part's runs, of its seeds or of so many, on a machine with these devices.

        Raises SpecError at an unknown benchmark, case or option.
        """
        benchmarks, numbers = load_benchmarks(self.benchmarks), range(seeds or self.seeds)
        return plan(benchmarks, self.request, numbers, devices, hypotheses=self.hypotheses, cases=self.cases)


class Study(Model):
    """One file of `benchmarks/studies`, or of a user's own."""

    name: Annotated[str, Field(pattern=LABEL)]  # the file's stem
    title: Name
    parts: Annotated[Items[Part], Field(alias="part", min_length=1, max_length=100)]  # in order of worth

    def named(self, titles: Collection[str]) -> tuple[Part, ...]:
        """Return the parts of these titles in the study's order, without titles all; SpecError at an unknown one."""
        known = [part.title for part in self.parts]
        for title in titles:
            if title not in known:
                where, what = f'study {self.name}: part "{title}"', f"unknown title{did_you_mean(title, known)}"
                allowed, next_step = [f'"{one}"' for one in known], f"list the parts: resnet18 study {self.name} --plan"
                raise SpecError(where, what, allowed=allowed, next_step=next_step)
        return tuple(part for part in self.parts if part.title in titles or not titles)


def load_study(name: str) -> Study:
    """Return the study of a name or of a TOML file, each part checked by planning it, or raise SpecError.

    A benchmark's path that starts with `benchmarks/` is one of the suite's files; others start at the study's folder.
    """
    own = suite_files("studies")
    if name not in own and not name.endswith(".toml"):
        next_step = "name one of these, or a TOML file"
        raise SpecError(f'study "{name}"', f"unknown name{did_you_mean(name, own)}", allowed=own, next_step=next_step)
    path = own.get(name, Path(name))
    where = f"studies/{path.name}" if name in own else str(path)
    study = read_file(Study, path, where, FORMAT)
    refuse_twice(where, "part", (part.title for part in study.parts))
    parts = []
    for part in study.parts:
        names = tuple(_place(one, path.parent) for one in part.benchmarks)
        parts.append(part.model_copy(update={"benchmarks": names}))
        try:
            parts[-1].plan(EVERY_DEVICE, seeds=1)
        except SpecError as error:
            place = f'{where}: part "{part.title}": {error.where.removeprefix("--")}'
            raise SpecError(place, error.what, allowed=error.allowed, next_step=error.next_step) from None
    load_benchmarks(one for part in parts for one in part.benchmarks)  # no two of one name stand in one report
    return study.model_copy(update={"parts": tuple(parts)})


def _place(name: str, folder: Path) -> str:
    """Return a benchmark's name, or its path from the shell's own folder."""
    if "/" not in name and not name.endswith(".toml"):
        return name
    start, _, rest = name.partition("/")
    return str(benchmarks_dir() / rest if start == "benchmarks" else folder / name)
