"""Made-up reports: how their runs scatter, and claims that are just not true.

An array has a row for each arm and a column for each seed. Accuracies are in standard deviations of a run, times are
logarithms.
"""

from collections.abc import Callable, Mapping
from functools import partial
from math import log
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnet18.spec.claim import Difference, Equivalent, MetricCheck, Ranking, Trend
from resnet18.spec.experiment import TESTED_AT
from resnet18.spec.metric import METRICS

ARMS, RUNS, TESTED = 24, max(TESTED_AT), 18
"""Of a report: arms, seeds of each, and claims, with those that have no runs."""
COLLAPSE = 0.1
NEAR, MARGIN = 20.0, 16.0
"""Standard deviations, and percent of a time: by less than this, cases are claimed to differ, and by this they do."""
RESIDUAL, DRIFT = 0.01, 0.05
"""Standard deviations of the logarithm of a time: of a run, and of what all runs of a seed share."""
DISTURBED, DISTURBANCE = 0.1, log(1.3)
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator], Floats]


class Claims(NamedTuple):
    """What a report claims of its arms, by number, and the means of those arms whose mean is not 0."""

    checks: tuple[MetricCheck, ...]
    means: Mapping[int, float]

    @property
    def are_of_times(self) -> bool:
        """Whether runs are compared within seeds."""
        return METRICS[self.checks[0].metric].quantity == "seconds"


class World(NamedTuple):
    """How the runs of arms scatter."""

    name: str
    draw: Draw
    is_limited: bool = True
    """Whether more wrong reports than `MOST_WRONG` are an error of the rule."""


def _names(*arms: int) -> tuple[str, ...]:
    return tuple(map(str, arms))


def _above(metric: str, arms: range) -> list[MetricCheck]:
    """Return claims that each second arm is above the next."""
    pairs = zip(_names(*arms[::2]), _names(*arms[1::2]), strict=True)
    return [Difference(kind="greater", metric=metric, case=case, than=than) for case, than in pairs]


ABOVE_ITS_MEAN = partial(Difference, kind="greater", metric="clean_accuracy", than_value=0.0)
SINGLE = Claims(
    (
        *_above("clean_accuracy", range(18)),
        *(
            Equivalent(kind="equivalent", metric="clean_accuracy", cases=_names(at, at + 1), margin=NEAR)
            for at in (18, 20)
        ),
        ABOVE_ITS_MEAN(case="22"),
    ),
    MappingProxyType({18: NEAR, 20: NEAR}),
)
"""Claims of a single comparison."""
ORDERED = Claims(
    (
        Ranking(kind="ranking", metric="clean_accuracy", cases=_names(*range(4))),
        Ranking(kind="ranking", metric="clean_accuracy", cases=_names(*range(4, 8))),
        Trend(kind="trend", metric="clean_accuracy", cases=_names(8, 9, 10), direction="rising"),
        Equivalent(kind="equivalent", metric="clean_accuracy", cases=_names(*range(11, 15)), margin=NEAR),
        *_above("clean_accuracy", range(15, 23)),
        ABOVE_ITS_MEAN(case="23"),
    ),
    MappingProxyType({2: -200.0, 3: -400.0, 11: NEAR, 12: NEAR / 2, 13: NEAR / 2}),
)
"""Of the first ranking only one step is not true, of the second none is."""
WIDEST = log(1 + MARGIN / 100)
TIMES = Claims(
    (
        *_above("train_s", range(12)),
        Equivalent(kind="equivalent", metric="train_s", cases=_names(*range(12, 19)), margin=MARGIN),
        Trend(kind="trend", metric="train_s", cases=_names(*range(19, 24)), direction="falling"),
    ),
    MappingProxyType({12: WIDEST} | dict.fromkeys(range(13, 18), WIDEST / 2)),
)
RANGES = Claims(
    tuple(
        Equivalent(kind="equivalent", metric="train_s", cases=_names(*range(at, at + 8)), margin=100.0)
        for at in (0, 8, 16)
    ),
    MappingProxyType({at: log(2) * (1 if at % 8 == 0 else 0.5) for at in range(ARMS) if at % 8 != 1}),
)


def _scaled(deviations: Callable[[np.random.Generator], Floats]) -> Draw:
    return lambda random: deviations(random)[:, None] * random.standard_normal((ARMS, RUNS))


def _equal(_: np.random.Generator) -> Floats:
    return np.ones(ARMS)


def _over_ten(random: np.random.Generator) -> Floats:
    return np.asarray(10 ** random.random(ARMS))


def _two_wide_arms(_: np.random.Generator) -> Floats:
    deviations = np.ones(ARMS)
    deviations[[0, 2]] = 10.0  # of two claims: neighbours are compared
    return deviations


def _collapsing(random: np.random.Generator, *, arms: int = ARMS, epochs: int = 1) -> Floats:
    """Return runs of which one in ten epochs falls by 10 standard deviations; a run's value is the epochs' median."""
    falls = random.random((ARMS, RUNS, epochs)) < COLLAPSE
    falls[np.arange(ARMS) % (ARMS // arms) > 0] = False
    fallen = np.median(falls, axis=-1)
    chance = COLLAPSE if epochs == 1 else 3 * COLLAPSE**2 - 2 * COLLAPSE**3  # of a median of three
    shift = np.where(np.arange(ARMS) % (ARMS // arms) > 0, 0.0, 10 * chance)[:, None]  # its mean is 0 again
    return np.asarray(random.standard_normal((ARMS, RUNS)) - 10 * fallen + shift)


def _times(
    random: np.random.Generator,
    *,
    wide: int = 0,
    are_ends: bool = False,
    disturbed: float = 0.0,
    are_equal_in_the_mean: bool = False,
) -> Floats:
    """Return times of a machine that drifts from seed to seed; so many arms scatter three times as much.

    They are drawn by lot, or are the slowest arm of each range of eight.
    In each arm that is disturbed, one run in ten takes 30 % longer. Arms are equal but for that, or with it.
    """
    by_lot = random.permutation(ARMS)
    scales = np.where((np.arange(ARMS) % 8 == 0) if are_ends else by_lot < wide, 3.0, 1.0)
    longer = (random.random((ARMS, RUNS)) < DISTURBED) - DISTURBED * are_equal_in_the_mean
    longer[random.random(ARMS) >= disturbed] = 0.0
    drift = DRIFT * random.standard_normal(RUNS)
    return np.asarray(drift + RESIDUAL * scales[:, None] * random.standard_normal((ARMS, RUNS)) + DISTURBANCE * longer)


WORLDS = (
    World("equal standard deviations", _scaled(_equal)),
    World("standard deviations log-uniform over a factor of 10", _scaled(_over_ten)),
    World("standard deviations of 0.3 and 3", _scaled(lambda random: random.choice([0.3, 3.0], ARMS))),
    World("two arms with 10 times the standard deviation", _scaled(_two_wide_arms)),
    World("variances inverse chi-square, 1.5 df", _scaled(lambda random: np.sqrt(1.5 / random.chisquare(1.5, ARMS)))),
    World("t with 3 degrees of freedom", lambda random: random.standard_t(3, (ARMS, RUNS))),
    World("a run in ten collapses by 10 standard deviations", _collapsing),
    World("the same in a third of the arms", partial(_collapsing, arms=ARMS // 3), is_limited=False),
    World("the same, and a run's value is the median of three epochs", partial(_collapsing, arms=ARMS // 3, epochs=3)),
)
"""Of reports whose claims are `SINGLE`."""
MANY: tuple[tuple[World, Claims], ...] = (
    (World("rankings and trends, equal standard deviations", _scaled(_equal)), ORDERED),
    (World("rankings and trends, standard deviations log-uniform over a factor of 10", _scaled(_over_ten)), ORDERED),
    (World("times, the machine drifts", _times), TIMES),
    (World("times, and a third of the arms scatter three times as much", partial(_times, wide=ARMS // 3)), TIMES),
    (World("times, and of an arm in ten one run in ten takes 30 % longer", partial(_times, disturbed=0.1)), TIMES),
    (
        World(
            "the same, and with these runs the means are equal",
            partial(_times, disturbed=0.1, are_equal_in_the_mean=True),
            is_limited=False,
        ),
        TIMES,
    ),
    (
        World(
            "times, three ranges, the slowest of each scatters three times as much",
            partial(_times, are_ends=True),
            is_limited=False,
        ),
        RANGES,
    ),
)
"""Of reports with claims of many comparisons."""
