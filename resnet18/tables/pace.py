"""How long runs take, estimated: from records, from a few timed steps, scaled from another kind of run, or by a rule.

Seconds for an image are scaled with the work of scoring it, which grows with the square of the side and of the width.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from heapq import heapreplace
from math import log
from statistics import median_low
from typing import Literal, NamedTuple

from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.experiment import LAST_EPOCHS, Execution, Experiment
from resnet18.spec.optimizer import Constant
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request, resolve
from resnet18.tables.selection import CaseRecords, Selection

RULE_RUN_S, RULE_STEP_S, RULE_WORKS_S = 0.5, 0.01, 25e9
"""The rule of thumb, of two idle cores: seconds of a run and of a step, and multiplications in a second."""

Basis = Literal["records", "timed", "scaled", "rule"]
Kind = tuple[Experiment, Execution]
"""What runs of one pace have in common: all but how long they train, on how much, and with which seed."""
ANY_LENGTH = {
    "seed": 0,
    "epochs": 1,
    "schedule": Constant(),
    **dict.fromkeys(("train_images", "test_images_epoch", "test_images_last"), "all"),
}
CUT = ("train_images", "epochs", "test_images_epoch", "test_images_last")
"""What a slice of a run may have less of."""


class Sizes(NamedTuple):
    """How many images `all` are."""

    train: int
    test: int


KNOWN_SIZES: Mapping[str, Sizes] = {
    "fashion-mnist-mini": Sizes(4_000, 1_000),
    **dict.fromkeys(("cifar10", "cifar10-jpeg", "cifar10-png"), Sizes(50_000, 10_000)),
}
"""Of data sets that need not be opened for it."""


def kind_of(experiment: Experiment, execution: Execution) -> Kind:
    """Return the kind of a run: everything that is no part of it at a constant."""
    return experiment.model_copy(update=ANY_LENGTH), execution


def images_of(experiment: Experiment, sizes: Sizes) -> tuple[int, int]:
    """Return how many images a run trains on and how many it scores afterwards, over all epochs and evaluations."""
    epochs, last = experiment.epochs, min(LAST_EPOCHS, experiment.epochs)
    train = sizes.train if experiment.train_images == "all" else experiment.train_images
    each_epoch = sizes.test if experiment.test_images_epoch == "all" else experiment.test_images_epoch
    at_the_end = sizes.test if experiment.test_images_last == "all" else experiment.test_images_last
    return epochs * train, 2 * (each_epoch * (epochs - last) + at_the_end * last)


def full_size_images(case: CaseRecords, benchmark: Benchmark, request: Request) -> int | None:
    """Return the images that pass through training at full size, None where no time of a case is extrapolated to that.

    It takes reliable times of a slice: the case as it is at paper scale, over fewer images or epochs, of data whose
    size is known.
    """
    sizes = KNOWN_SIZES.get(request.data_label)
    if sizes is None or not case.measured or case.has_unreliable_times:
        return None
    full, _ = resolve(benchmark, case.case, Request("paper", request.data_label), seed=case.experiment.seed)
    uncut = case.experiment.model_copy(update={key: getattr(full, key) for key in CUT})
    here, at_full_size = images_of(case.experiment, sizes)[0], images_of(full, sizes)[0]
    return at_full_size if uncut == full and here < at_full_size else None


def trained_images(record: Record) -> int:
    """Return how many images passed through training, each as often as it did."""
    return sum(epoch.train.images for epoch in record.epochs)


def has_extrapolation(selection: Selection, request: Request) -> bool:
    """Say whether a table has a time that is extrapolated, and beside it the reported one."""
    prints_it = any(row.metric == "train_s" for row in selection.benchmark.table.metrics)
    return prints_it and any(full_size_images(case, selection.benchmark, request) for case in selection.cases)


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


def paces_of(records: Iterable[Record]) -> dict[Kind, Pace]:
    """Return the pace of each kind of which this machine's records hold a result: the median, of undisturbed runs."""
    by_kind = defaultdict[Kind, list[Record]](list)
    for record in records:
        if record.status == "ok" and record.epochs:
            by_kind[kind_of(record.spec.experiment, record.spec.execution)].append(record)
    found = {}
    for kind, group in by_kind.items():
        undisturbed = [record for record in group if not record.flags]
        paces = sorted(map(_pace_of, undisturbed or group), key=lambda pace: pace.train_image_s)
        found[kind] = paces[(len(paces) - 1) // 2]
    return found


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
    """Return the multiplications of scoring an image: 1.8e9 at 224 px and width 64 (He et al., 2015, table 1)."""
    maps = 16 if experiment.stem == "cifar" else 1  # that stem leaves maps of four times the side
    return 1.8e9 * maps * (experiment.image_size / 224) ** 2 * (experiment.width / 64) ** 2


def by_rule(experiment: Experiment) -> Pace:
    """Return a run's pace by the rule of thumb; training goes forward, and backward for weights and for maps."""
    image_s = work(experiment) / RULE_WORKS_S
    return Pace(RULE_RUN_S, RULE_STEP_S / experiment.batch_size + 3 * image_s, image_s, "rule")


def scaled(kind: Kind, paces: Mapping[Kind, Pace]) -> Pace:
    """Return a kind's pace from the nearest of those that are known: on the same path and device if there is one."""
    experiment, execution = kind

    def distance(other: Kind) -> tuple[bool, bool, float]:
        its, how = other
        ratios = work(experiment) / work(its), experiment.batch_size / its.batch_size
        return execution.path != how.path, execution.device != how.device, sum(abs(log(ratio)) for ratio in ratios)

    nearest = min(paces, key=distance)
    factor, pace = work(experiment) / work(nearest[0]), paces[nearest]
    return Pace(pace.prepare_s, pace.train_image_s * factor, pace.eval_image_s * factor, "scaled")


def estimate(
    runs: Iterable[Run], paces: Mapping[Kind, Pace], sizes: Sizes | None
) -> tuple[dict[str, float], set[Basis]]:
    """Return the seconds of runs by id, as far as they are known, and what these are based on.

    Runs of a kind without a pace get a scaled one. Without the sizes of the data set runs on all of it are unknown.
    """
    used, seconds, bases = dict(paces), dict[str, float](), set[Basis]()
    if not paces:
        return seconds, bases
    for run in runs:
        kind = kind_of(run.experiment, run.execution)
        if kind not in used:
            used[kind] = scaled(kind, paces)
        counts = {run.experiment.train_images, run.experiment.test_images_epoch, run.experiment.test_images_last}
        if sizes is not None or "all" not in counts:
            seconds[run.run_id] = used[kind].seconds(run.experiment, sizes or Sizes(0, 0))
            bases.add(used[kind].basis)
    return seconds, bases


def total_s(runs: Collection[Run], seconds: Mapping[str, float], jobs: int = 1) -> float | None:
    """Return the seconds of runs, so many at a time, None where those of a run are unknown.

    Each is taken to last as long as by itself. Timed runs come after the others, one at a time.
    """
    if any(run.run_id not in seconds for run in runs):
        return None
    ends_s = [0.0] * jobs
    for run in runs:
        if not run.is_timed:
            heapreplace(ends_s, ends_s[0] + seconds[run.run_id])
    return max(ends_s) + sum(seconds[run.run_id] for run in runs if run.is_timed)
