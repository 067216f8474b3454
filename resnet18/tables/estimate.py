"""How long runs will take, from records or from a few timed steps. An estimate, and never a promise.

What is neither recorded nor timed is scaled from the nearest kind of run that is: its seconds for an image in
proportion to the work of one, which grows with the square of the side and of the width, and sixteenfold with the stem
of CIFAR. Before anything is timed a rule of thumb says whether that is worth the while.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from heapq import heapreplace
from math import log
from statistics import median_low
from typing import Literal

from resnet18.records.record import Record
from resnet18.spec.experiment import CountOrAll, Execution, Experiment
from resnet18.spec.identity import digest
from resnet18.spec.plan import Run
from resnet18.spec.scale import LAST_EPOCHS

CIFAR_STEM_WORK = 16
"""The stem of CIFAR leaves maps of four times the side."""
WORKS_224 = 1.8e9
"""Multiplications of an image of 224 px at width 64 with the ImageNet stem (He et al., 2015, table 1)."""
RULE_RUN_S, RULE_STEP_S, RULE_WORKS_S = 0.5, 0.01, 25e9
"""The rule of thumb: seconds of a run and of a step, and multiplications in a second, of two cores.

Of a quiet machine: there the 26 runs of smoke scale take 45 s; by the rule 50 s.
"""
TRAINING_WORK = 3
"""Forward, and backward for weights and for maps."""

Basis = Literal["records", "timed", "scaled", "rule"]


@dataclass(frozen=True)
class Sizes:
    """How many images `all` are."""

    train: int
    test: int

    def of_train(self, count: CountOrAll) -> int:
        """Return a number of training images."""
        return self.train if count == "all" else count

    def of_test(self, count: CountOrAll) -> int:
        """Return a number of test images."""
        return self.test if count == "all" else count


KNOWN_SIZES: Mapping[str, Sizes] = {
    "fashion-mnist-mini": Sizes(4_000, 1_000),
    **dict.fromkeys(("cifar10", "cifar10-jpeg", "cifar10-png"), Sizes(50_000, 10_000)),
}
"""Data sets that need not be opened to know it."""


@dataclass(frozen=True)
class Pace:
    """How fast one kind of run goes here."""

    prepare_s: float
    """What a run takes beside its epochs."""
    train_image_s: float
    eval_image_s: float
    """For each image of one evaluation, of which there are two."""
    basis: Basis
    steps: int = 0
    """That were timed."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of runs."""

    seconds: Mapping[str, float]
    """By run; none where nothing is known."""
    paces: Mapping[str, Pace]
    """By kind, those of the runs that were asked for."""

    def total_s(self, runs: Collection[Run], jobs: int = 1) -> float | None:
        """Return the seconds of several runs, so many at a time, None where those of one are not known.

        Each is taken to last as long as by itself. Timed runs come after the others, one at a time.
        """
        if any(run.run_id not in self.seconds for run in runs):
            return None
        alone_s = sum(self.seconds[run.run_id] for run in runs if run.is_timed)
        return alone_s + _shared_out_s((self.seconds[run.run_id] for run in runs if not run.is_timed), jobs)

    @property
    def described(self) -> str:
        """What it is based on, in words."""
        bases = [one.basis for one in self.paces.values()]
        steps = max((one.steps for one in self.paces.values()), default=0)
        texts = {
            "timed": f"from {_count(steps, 'timed step')} of {_each(bases.count('timed'))}",
            "records": "from records",
            "rule": "by a rule of thumb, since no step could be timed",
            "scaled": f"scaled for {_count(bases.count('scaled'), 'other case')}",
        }
        return ", ".join(text for basis, text in texts.items() if basis in bases)


def _shared_out_s(seconds: Iterable[float], jobs: int) -> float:
    """Return how long so many runners are at it, of which each takes the next run when it has ended one."""
    ends_s = [0.0] * jobs
    for one in seconds:
        heapreplace(ends_s, ends_s[0] + one)
    return max(ends_s)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _each(cases: int) -> str:
    return "1 case" if cases == 1 else f"each of {cases} cases"


def kind_of(experiment: Experiment, execution: Execution) -> str:
    """Return what runs of one pace have in common: all but how long they train, on how much, and with which seed."""
    long = {"seed", "epochs", "schedule", "train_images", "test_images_epoch", "test_images_last"}
    return digest([experiment.model_dump(mode="json", exclude=long), execution.model_dump(mode="json")])[:16]


def kinds_of(runs: Iterable[Run]) -> dict[str, str]:
    """Return the kind of each case."""
    by_arm: dict[str, str] = {}
    for run in runs:
        if run.arm_id not in by_arm:
            by_arm[run.arm_id] = kind_of(run.experiment, run.execution)
    return by_arm


def paces_of(records: Collection[Record], is_here: Callable[[Record], bool]) -> dict[str, Pace]:
    """Return the pace of each kind of which there is a result of this machine: the median, of undisturbed runs first.

    Args:
        records: of any machine.
        is_here: whether a record is of this one.
    """
    cases: dict[str, str] = {}
    found: dict[str, list[tuple[bool, Pace]]] = {}
    for record in records:
        if record.status == "ok" and record.epochs and is_here(record):
            if record.arm_id not in cases:
                cases[record.arm_id] = kind_of(record.spec.experiment, record.spec.execution)
            found.setdefault(cases[record.arm_id], []).append((bool(record.flags), _pace_of(record)))
    return {kind: _median(paces) for kind, paces in found.items()}


def _median(paces: Collection[tuple[bool, Pace]]) -> Pace:
    quiet = [pace for has_flags, pace in paces if not has_flags] or [pace for _, pace in paces]
    return sorted(quiet, key=lambda pace: pace.train_image_s)[(len(quiet) - 1) // 2]


def _pace_of(record: Record) -> Pace:
    trained_s = [epoch.train_s + (epoch.statistics_s or 0.0) for epoch in record.epochs]
    eval_s = sum(epoch.eval_as_published_s + epoch.eval_clean_s for epoch in record.epochs)
    tested = sum(epoch.as_published.images + epoch.clean.images for epoch in record.epochs)
    return Pace(
        prepare_s=max(0.0, record.time.wall_s - sum(trained_s) - eval_s),
        # The first epoch of a fresh machine compiles and warms up: among others it counts for nothing.
        train_image_s=median_low(s / epoch.train.images for s, epoch in zip(trained_s, record.epochs, strict=True)),
        eval_image_s=eval_s / tested,
        basis="records",
    )


def scaled(run: Run, known: Collection[tuple[Run, Pace]]) -> Pace | None:
    """Return a run's pace from the nearest run whose pace is known: on the same path and device if there is one."""

    def distance(other: Run) -> tuple[bool, bool, float]:
        own, its = run.execution, other.execution
        ratios = work(run.experiment) / work(other.experiment), run.experiment.batch_size / other.experiment.batch_size
        return own.path != its.path, own.device != its.device, sum(abs(log(ratio)) for ratio in ratios)

    if not known:
        return None
    other, pace = min(known, key=lambda one: distance(one[0]))
    factor = work(run.experiment) / work(other.experiment)
    return Pace(pace.prepare_s, pace.train_image_s * factor, pace.eval_image_s * factor, "scaled")


def work(experiment: Experiment) -> float:
    """Return the multiplications that scoring an image takes, roughly."""
    stem = CIFAR_STEM_WORK if experiment.stem == "cifar" else 1
    return WORKS_224 * stem * (experiment.image_size / 224) ** 2 * (experiment.width / 64) ** 2


def estimate(runs: Collection[Run], paces: Mapping[str, Pace], sizes: Sizes | None) -> Estimate:
    """Return the seconds of runs of which the pace is known, or can be scaled from another's.

    Args:
        runs: that have no record.
        paces: by kind.
        sizes: of the data set; None: unknown, and so are the seconds of runs on all of it.
    """
    kinds = kinds_of(runs)
    examples = {kinds[run.arm_id]: run for run in runs}
    known = [(run, paces[kind]) for kind, run in examples.items() if kind in paces]
    used = {kind: paces.get(kind) or scaled(run, known) for kind, run in examples.items()}
    seconds: dict[str, float] = {}
    for run in runs:
        pace = used[kinds[run.arm_id]]
        if pace is not None and (sizes is not None or not _is_open(run.experiment)):
            seconds[run.run_id] = _seconds(run.experiment, pace, sizes or Sizes(0, 0))
    return Estimate(seconds, {kind: pace for kind, pace in used.items() if pace is not None})


def _is_open(experiment: Experiment) -> bool:
    return "all" in {experiment.train_images, experiment.test_images_epoch, experiment.test_images_last}


def _seconds(experiment: Experiment, pace: Pace, sizes: Sizes) -> float:
    trained, tested = images_of(experiment, sizes)
    return pace.prepare_s + trained * pace.train_image_s + tested * pace.eval_image_s


def images_of(experiment: Experiment, sizes: Sizes) -> tuple[int, int]:
    """Return how many images a run trains on and how many it scores afterwards, over all epochs and evaluations."""
    trained = experiment.epochs * sizes.of_train(experiment.train_images)
    last = min(LAST_EPOCHS, experiment.epochs)
    scored = sizes.of_test(experiment.test_images_epoch) * (experiment.epochs - last)
    return trained, 2 * (scored + last * sizes.of_test(experiment.test_images_last))


def by_rule(experiment: Experiment) -> Pace:
    """Return a run's pace by the rule of thumb, which suits two cores."""
    image_s = work(experiment) / RULE_WORKS_S
    return Pace(RULE_RUN_S, RULE_STEP_S / experiment.batch_size + TRAINING_WORK * image_s, image_s, "rule")


def by_rule_s(runs: Iterable[Run], sizes: Sizes) -> float:
    """Return the seconds of runs by the rule of thumb."""
    return sum(_seconds(run.experiment, by_rule(run.experiment), sizes) for run in runs)
