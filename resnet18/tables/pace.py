"""How long runs take, estimated: from records, from a few timed steps, scaled from another kind of run, or by a rule.

Seconds for an image are scaled with the work of scoring it, which grows with the square of the side and of the width.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from math import log
from statistics import median_low
from typing import Literal

from resnet18.records.record import Record
from resnet18.spec.experiment import LAST_EPOCHS, CountOrAll, Execution, Experiment
from resnet18.spec.identity import digest
from resnet18.spec.plan import Run

CIFAR_STEM_WORK = 16
"""The stem of CIFAR leaves maps of four times the side."""
WORKS_224 = 1.8e9
"""Multiplications of an image of 224 px at width 64 with the ImageNet stem (He et al., 2015, table 1)."""
RULE_RUN_S, RULE_STEP_S, RULE_WORKS_S = 0.5, 0.01, 25e9
"""The rule of thumb, of two idle cores: seconds of a run and of a step, and multiplications in a second."""
TRAINING_WORK = 3
"""Forward, and backward for weights and for maps."""

Basis = Literal["records", "timed", "scaled", "rule"]


@dataclass(frozen=True)
class Sizes:
    """How many images `all` are."""

    train: int
    test: int


KNOWN_SIZES: Mapping[str, Sizes] = {
    "fashion-mnist-mini": Sizes(4_000, 1_000),
    **dict.fromkeys(("cifar10", "cifar10-jpeg", "cifar10-png"), Sizes(50_000, 10_000)),
}
"""Of data sets that need not be opened for it."""


def images_of(experiment: Experiment, sizes: Sizes) -> tuple[int, int]:
    """Return how many images a run trains on and how many it scores afterwards, over all epochs and evaluations."""

    def number(count: CountOrAll, everything: int) -> int:
        return everything if count == "all" else count

    last = min(LAST_EPOCHS, experiment.epochs)
    scored = number(experiment.test_images_epoch, sizes.test) * (experiment.epochs - last)
    scored += number(experiment.test_images_last, sizes.test) * last
    return experiment.epochs * number(experiment.train_images, sizes.train), 2 * scored


@dataclass(frozen=True)
class Pace:
    """How fast runs of one kind go here."""

    prepare_s: float
    """What a run takes beside its epochs."""
    train_image_s: float
    eval_image_s: float
    """For each image of one evaluation, of which there are two."""
    basis: Basis

    def seconds(self, experiment: Experiment, sizes: Sizes) -> float:
        """Return the seconds of a run."""
        trained, scored = images_of(experiment, sizes)
        return self.prepare_s + trained * self.train_image_s + scored * self.eval_image_s


@dataclass(frozen=True)
class Estimate:
    """Seconds of runs, as far as they are known."""

    seconds: Mapping[str, float]
    """By run."""
    bases: Collection[Basis]
    """What they are based on."""

    def total_s(self, runs: Collection[Run], jobs: int = 1) -> float | None:
        """Return the seconds of runs, so many at a time, None where those of a run are unknown.

        Each is taken to last as long as by itself. Timed runs come after the others, one at a time.
        """
        if any(run.run_id not in self.seconds for run in runs):
            return None
        ends_s = [0.0] * jobs
        for run in runs:
            if not run.is_timed:
                heapreplace(ends_s, ends_s[0] + self.seconds[run.run_id])
        return max(ends_s) + sum(self.seconds[run.run_id] for run in runs if run.is_timed)


def kind_of(experiment: Experiment, execution: Execution) -> str:
    """Return what runs of one pace have in common: all but how long they train, on how much, and with which seed."""
    long = {"seed", "epochs", "schedule", "train_images", "test_images_epoch", "test_images_last"}
    return digest([experiment.model_dump(mode="json", exclude=long), execution.model_dump(mode="json")])[:16]


def kinds_of(runs: Iterable[Run]) -> dict[str, str]:
    """Return the kind of runs by the id of their case."""
    examples = {run.arm_id: run for run in runs}
    return {arm_id: kind_of(run.experiment, run.execution) for arm_id, run in examples.items()}


def paces_of(records: Collection[Record], is_here: Callable[[Record], bool]) -> dict[str, Pace]:
    """Return the pace of each kind of which there is a result of this machine: the median, of undisturbed runs first.

    Args:
        records: of any machine.
        is_here: whether a record is of this one.
    """
    measured = [record for record in records if record.status == "ok" and record.epochs and is_here(record)]
    specs = {record.arm_id: record.spec for record in measured}
    kinds = {arm_id: kind_of(spec.experiment, spec.execution) for arm_id, spec in specs.items()}
    by_kind: dict[str, list[Record]] = {}
    for record in measured:
        by_kind.setdefault(kinds[record.arm_id], []).append(record)
    return {kind: _median_pace(group) for kind, group in by_kind.items()}


def _median_pace(records: Sequence[Record]) -> Pace:
    undisturbed = [record for record in records if not record.flags]
    paces = sorted(map(_pace_of, undisturbed or records), key=lambda pace: pace.train_image_s)
    return paces[(len(paces) - 1) // 2]


def _pace_of(record: Record) -> Pace:
    trained_s = [epoch.train_s + (epoch.statistics_s or 0.0) for epoch in record.epochs]
    eval_s = sum(epoch.eval_as_published_s + epoch.eval_clean_s for epoch in record.epochs)
    return Pace(
        prepare_s=max(0.0, record.time.wall_s - sum(trained_s) - eval_s),
        # The first epoch of a fresh machine compiles and warms up: a median leaves it out.
        train_image_s=median_low(s / epoch.train.images for s, epoch in zip(trained_s, record.epochs, strict=True)),
        eval_image_s=eval_s / sum(epoch.as_published.images + epoch.clean.images for epoch in record.epochs),
        basis="records",
    )


def work(experiment: Experiment) -> float:
    """Return the multiplications that scoring an image takes, roughly."""
    stem = CIFAR_STEM_WORK if experiment.stem == "cifar" else 1
    return WORKS_224 * stem * (experiment.image_size / 224) ** 2 * (experiment.width / 64) ** 2


def scaled(run: Run, known: Collection[tuple[Run, Pace]]) -> Pace | None:
    """Return a run's pace from the nearest run whose pace is known: on the same path and device if there is one."""

    def distance(other: Run) -> tuple[bool, bool, float]:
        own, its = run.execution, other.execution
        ratios = work(run.experiment) / work(other.experiment), run.experiment.batch_size / other.experiment.batch_size
        return own.path != its.path, own.device != its.device, sum(abs(log(ratio)) for ratio in ratios)

    if not known:
        return None
    other, pace = min(known, key=lambda pair: distance(pair[0]))
    factor = work(run.experiment) / work(other.experiment)
    return Pace(pace.prepare_s, pace.train_image_s * factor, pace.eval_image_s * factor, "scaled")


def by_rule(experiment: Experiment) -> Pace:
    """Return a run's pace by the rule of thumb."""
    image_s = work(experiment) / RULE_WORKS_S
    return Pace(RULE_RUN_S, RULE_STEP_S / experiment.batch_size + TRAINING_WORK * image_s, image_s, "rule")


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
    seconds = {}
    for run in runs:
        pace = used[kinds[run.arm_id]]
        counts = {run.experiment.train_images, run.experiment.test_images_epoch, run.experiment.test_images_last}
        if pace is not None and (sizes is not None or "all" not in counts):
            seconds[run.run_id] = pace.seconds(run.experiment, sizes or Sizes(0, 0))
    return Estimate(seconds, {pace.basis for pace in used.values() if pace is not None})
