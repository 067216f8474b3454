"""`resnet18 power`: seeds for a difference, from the spread of what is recorded."""

import pytest
from builders import make_benchmark, make_epoch, make_record

from resnet18.analysis.seeds import planned, power_rows, power_text, seeds_for, spreads
from resnet18.records.record import Score
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

PAPER = Request(scale="paper", data="cifar10-jpeg")


@pytest.fixture
def mine(tmp_path):
    return make_benchmark(tmp_path)


def records_of(mine, percents):
    """One record for each case and seed; the seed chooses accuracy and time."""
    return [
        make_record(
            run.experiment,
            run.execution,
            request=PAPER,
            epochs=(
                make_epoch(
                    1,
                    clean=Score(loss=2.0, correct=round(1000 * percents[run.experiment.seed]), images=100_000),
                    train_s=percents[run.experiment.seed],
                ),
            ),
        )
        for run in plan([mine], PAPER, range(len(percents)), {"cpu"}).runs
    ]


@pytest.mark.parametrize(
    ("sigma", "difference", "alpha", "seeds"),
    [(0.2, 0.1, 0.05, 64), (0.2, 0.2, 0.05, 17), (0.2, 0.3, 0.05, 9), (0.2, 0.5, 0.05, 4), (0.3, 0.32, 0.05 / 20, 29)],
)
def test_seeds_are_those_of_the_plan(sigma, difference, alpha, seeds):
    """The figures that docs/methodology.md gives."""
    assert seeds == seeds_for(difference, sigma, alpha)


def test_more_than_a_thousand_seeds_is_no_number():
    """Nobody would run them."""
    assert seeds_for(0.01, 1.0) is None


def test_the_spread_is_pooled_over_cases(mine):
    """Variance 1 within each of two cases of three seeds."""
    (spread,) = spreads([mine], records_of(mine, [70.0, 71.0, 72.0]), "last_clean_accuracy")

    assert ("mine, paper scale, cifar10-jpeg", 4) == (spread.where, spread.df)
    assert 1.0 == pytest.approx(spread.sigma)


def test_the_interval_of_a_spread_is_that_of_chi_squared(mine):
    """4 degrees of freedom: 0.599 to 2.874 times."""
    (spread,) = spreads([mine], records_of(mine, [70.0, 71.0, 72.0]), "last_clean_accuracy")

    assert (0.599, 2.874) == pytest.approx(spread.interval, abs=1e-3)


def test_times_spread_in_percent(mine):
    """Of logarithms, since they are compared by ratio."""
    (spread,) = spreads([mine], records_of(mine, [70.0, 70.7]), "train_s")

    assert 0.707 == pytest.approx(spread.sigma, abs=5e-3)


def test_one_seed_has_no_spread(mine):
    """Nothing is guessed from it."""
    assert [] == list(spreads([mine], records_of(mine, [70.0]), "last_clean_accuracy"))


def test_without_records_assumed_spreads_are_named_as_such():
    """For accuracies; of others nobody has said what to expect."""
    text = power_text(power_rows(planned("last_clean_accuracy"), [1.0], "last_clean_accuracy", 18))

    assert 3 == text.count("assumed, since no case has two recorded seeds")
    with pytest.raises(UnfinishedError, match="no case has two recorded seeds"):
        planned("train_s")


def test_the_answer_names_unit_spread_degrees_of_freedom_and_claims(mine):
    """A number without them would mean nothing."""
    found = list(spreads([mine], records_of(mine, [70.0, 71.0]), "last_clean_accuracy"))
    text = power_text(power_rows(found, [1.0], "last_clean_accuracy", 18))

    for part in ("0.707 points [", "2 degrees of freedom", "a rough guide", "difference (points)", "among 18 claims"):
        assert part in text
