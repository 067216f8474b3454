"""How long runs take, estimated from records, from timed steps, from another kind of run, or by a rule of thumb."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import median_low
from typing import Literal, NamedTuple

from resnet18.records.record import Epoch, Record
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.experiment import LAST_EPOCHS, Execution, Experiment
from resnet18.spec.optimizer import Constant
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request, Specs, resolve
from resnet18.tables.selection import CaseRecords

RULE_RUN_S, RULE_STEP_S, RULE_WORKS_S = 0.5, 0.01, 25e9
"""The rule of thumb, of two idle cores: seconds of a run and of a step, and multiplications in a second."""

Basis = Literal["from records", "from timed steps", "scaled from other cases", "by a rule of thumb"]
ANY_LENGTH = {
    "seed": 0,
    "epochs": 1,
    "schedule": Constant(),
    **dict.fromkeys(("train_images", "test_images_epoch", "test_images_last"), "all"),
}


class Sizes(NamedTuple):
    """How many images `all` are."""

    train: int
    test: int


KNOWN_SIZES: Mapping[str, Sizes] = {
    "fashion-mnist-mini": Sizes(4_000, 1_000),
    **dict.fromkeys(("cifar10", "cifar10-jpeg", "cifar10-png"), Sizes(50_000, 10_000)),
}
"""Of data sets that need not be opened for it."""


def kind_of(experiment: Experiment, execution: Execution) -> Specs:
    """Return the kind of a run, whose runs have one pace: length, number of images and seed are set to constants."""
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
    full, execution = resolve(benchmark, case.case, Request("paper", request.data_label), seed=0)
    here, at_full_size = images_of(case.experiment, sizes)[0], images_of(full, sizes)[0]
    is_alike = kind_of(case.experiment, execution) == kind_of(full, execution)
    return at_full_size if is_alike and here < at_full_size else None


def trained_images(record: Record) -> int:
    """Return how many images passed through training, each as often as it did."""
    return sum(epoch.train.images for epoch in record.epochs)


@dataclass(frozen=True)
class Pace:
    """How fast runs of a kind go here."""

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


def pace_of(epochs: Sequence[Epoch], wall_s: float, basis: Basis) -> Pace:
    """Return the pace of a run; the medians leave a first epoch out, which compiles and warms up."""
    train = [(epoch.train_s + (epoch.statistics_s or 0.0), epoch.train.images) for epoch in epochs]
    scored = [(e.eval_as_published_s + e.eval_clean_s, e.as_published.images + e.clean.images) for e in epochs]
    prepare_s = max(0.0, wall_s - sum(s for s, _ in train + scored))
    train_image_s, eval_image_s = (median_low(s / images for s, images in part) for part in (train, scored))
    return Pace(prepare_s, train_image_s, eval_image_s, basis)


def paces_of(records: Iterable[Record]) -> dict[Specs, Pace]:
    """Return the pace of each kind of which this machine's records hold a result: the median, of undisturbed runs."""
    by_kind = defaultdict[Specs, list[Record]](list)
    for record in records:
        if record.status == "ok":
            by_kind[kind_of(record.spec.experiment, record.spec.execution)].append(record)
    found = {}
    for kind, group in by_kind.items():
        undisturbed = [record for record in group if not record.flags] or group
        paces = [pace_of(record.epochs, record.time.wall_s, "from records") for record in undisturbed]
        found[kind] = sorted(paces, key=lambda pace: pace.train_image_s)[(len(paces) - 1) // 2]
    return found


def by_rule(experiment: Experiment) -> Pace:
    """Return a run's pace by the rule of thumb; training goes forward, and backward for weights and for maps.

    Scoring an image takes 1.8e9 multiplications at 224 px and width 64 (He et al., 2015, table 1).
    """
    maps = 16 if experiment.stem == "cifar" else 1  # that stem leaves maps of four times the side
    work = 1.8e9 * maps * (experiment.image_size / 224) ** 2 * (experiment.width / 64) ** 2
    image_s = work / RULE_WORKS_S
    return Pace(RULE_RUN_S, RULE_STEP_S / experiment.batch_size + 3 * image_s, image_s, "by a rule of thumb")


def expected(kind: Specs, paces: Mapping[Specs, Pace]) -> Pace:
    """Return a kind's pace: its own, or the nearest known kind's times the ratio of both by the rule, or the rule's.

    The nearest is on the same path and device if there is such a kind.
    """
    experiment, execution = kind
    rule = by_rule(experiment)
    if kind in paces or not paces:
        return paces.get(kind, rule)

    def distance(other: Specs) -> tuple[bool, bool, float]:
        ratio = rule.train_image_s / by_rule(other[0]).train_image_s
        return execution.path != other[1].path, execution.device != other[1].device, abs(log(ratio))

    nearest = min(paces, key=distance)
    known, its_rule = paces[nearest], by_rule(nearest[0])
    train_image_s = known.train_image_s * rule.train_image_s / its_rule.train_image_s
    eval_image_s = known.eval_image_s * rule.eval_image_s / its_rule.eval_image_s
    return Pace(known.prepare_s, train_image_s, eval_image_s, "scaled from other cases")


def estimate(
    runs: Iterable[Run], paces: Mapping[Specs, Pace], sizes: Sizes | None
) -> tuple[dict[str, float], set[Basis]]:
    """Return the seconds of runs by id and what these are based on; without sizes, those on all images are unknown."""
    known = dict(paces)
    seconds, bases = dict[str, float](), set[Basis]()
    for run in runs:
        kind, experiment = kind_of(run.experiment, run.execution), run.experiment
        counts = {experiment.train_images, experiment.test_images_epoch, experiment.test_images_last}
        if sizes is not None or "all" not in counts:
            pace = known.setdefault(kind, expected(kind, paces))
            seconds[run.run_id] = pace.seconds(experiment, sizes or Sizes(0, 0))
            bases.add(pace.basis)
    return seconds, bases


def total_s(runs: Collection[Run], seconds: Mapping[str, float], jobs: int = 1) -> float | None:
    """Return the least seconds of runs, so many at a time and timed runs alone, None where those of a run are unknown.

    Each is taken to last as long as by itself.
    """
    if any(run.run_id not in seconds for run in runs):
        return None
    alone, shared = ([seconds[run.run_id] for run in runs if run.is_timed == timed] for timed in (True, False))
    return sum(alone) + max(sum(shared) / jobs, max(shared, default=0.0))
