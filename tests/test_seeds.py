"""`resnet18 power`: seeds for a difference, from the spread of what is recorded."""

import pytest
from builders import make_benchmark, make_epoch, make_record

from resnet18.judge.seeds import DIFFERENCES, Spread, planned, power_rows, power_text, seeds_for, spreads
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
        for run in plan([mine], PAPER, range(len(percents)), {"cpu": 1}).runs
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
    (spread,) = spreads([mine], records_of(mine, [70.0, 71.0, 72.0]), "clean_accuracy")

    assert ("mine, paper scale, cifar10-jpeg", 4) == (spread.where, spread.df)
    assert 1.0 == pytest.approx(spread.sigma)


def test_the_interval_of_a_spread_is_that_of_chi_squared(mine):
    """4 degrees of freedom: 0.599 to 2.874 times."""
    (spread,) = spreads([mine], records_of(mine, [70.0, 71.0, 72.0]), "clean_accuracy")

    assert (0.599, 2.874) == pytest.approx(spread.interval, abs=1e-3)


def test_times_spread_in_percent(mine):
    """Of logarithms, since they are compared by ratio."""
    (spread,) = spreads([mine], records_of(mine, [70.0, 70.7]), "train_s")

    assert 0.707 == pytest.approx(spread.sigma, abs=5e-3)


def test_one_seed_has_no_spread(mine):
    """Nothing is guessed from it."""
    assert [] == list(spreads([mine], records_of(mine, [70.0]), "clean_accuracy"))


def test_without_records_assumed_spreads_are_named_as_such():
    """For accuracies; of others nobody has said what to expect."""
    text = power_text(power_rows(planned("clean_accuracy"), [1.0], "clean_accuracy", 18))

    assert 3 == text.count("assumed, since no case has two recorded seeds")
    with pytest.raises(UnfinishedError, match="no case has two recorded seeds"):
        planned("train_s")


def test_the_answer_names_unit_spread_degrees_of_freedom_and_claims(mine):
    """A number without them would mean nothing."""
    found = list(spreads([mine], records_of(mine, [70.0, 71.0]), "clean_accuracy"))
    text = power_text(power_rows(found, [1.0], "clean_accuracy", 18))

    for part in ("0.707 points [", "2 degrees of freedom", "a rough guide", "difference (points)", "among 18 claims"):
        assert part in text


def with_changes(record, **changes):
    """The record with flags, or with another identity or numerics."""
    flags = changes.pop("flags", ())
    identity = record.fingerprint.identity.model_copy(update={k: v for k, v in changes.items() if k in HASHES})
    numerics = {**record.fingerprint.numerics, **{k: v for k, v in changes.items() if k not in HASHES}}
    fingerprint = record.fingerprint.model_copy(update={"identity": identity, "numerics": numerics})
    return record.model_copy(update={"flags": flags, "fingerprint": fingerprint})


HASHES = {"code_hash", "data_sha256"}


@pytest.mark.parametrize(
    ("metric", "changes", "df"),
    [
        ("clean_accuracy", {"code_hash": "e" * 64}, 2),
        ("clean_accuracy", {"data_sha256": "e" * 64}, 2),
        ("clean_accuracy", {"torch": "1.9.0"}, 4),
        ("clean_accuracy", {"flags": ("unreliable",)}, 4),
        ("train_s", {"code_hash": "e" * 64}, 2),
        ("train_s", {"torch": "1.9.0"}, 2),
        ("train_s", {"flags": ("unreliable",)}, 3),
        ("train_s", {"flags": ("no_learning",)}, 4),
    ],
)
def test_a_spread_is_of_runs_that_differ_in_their_seed_alone(metric, changes, df, mine):
    """One of three records of a case is of another origin, which leaves that case out, or its time is unreliable."""
    first, *others = records_of(mine, [70.0, 71.0, 72.0])
    (spread,) = spreads([mine], [with_changes(first, **changes), *others], metric)

    assert df == spread.df


def test_cases_count_by_their_degrees_of_freedom(mine):
    """Variance 1 of three seeds, 8 of two: (2 * 1 + 1 * 8) / 3."""
    one, other = (
        [record for record in records_of(mine, percents) if record.spec.experiment.batch_size == size]
        for size, percents in ((8, [70.0, 71.0, 72.0]), (16, [70.0, 74.0]))
    )
    (spread,) = spreads([mine], [*one, *other], "clean_accuracy")

    assert (3, pytest.approx((10 / 3) ** 0.5)) == (spread.df, spread.sigma)


def test_a_time_of_nothing_has_no_logarithm(mine):
    """It is left out."""
    (spread,) = spreads([mine], records_of(mine, [0.0, 70.0, 70.7]), "train_s")

    assert 2 == spread.df


def test_options_that_change_nothing_do_not_count_runs_twice(mine):
    """Nor does a request that is made again."""
    records = records_of(mine, [70.0, 71.0])

    assert 1 == len(list(spreads([mine, mine], [*records, *records], "clean_accuracy")))


def test_an_assumed_spread_has_no_interval():
    """Nothing was measured."""
    assert [(None, 0.3), (None, 0.56), (None, 1.0)] == [(one.interval, one.sigma) for one in planned("clean_accuracy")]


def test_runs_without_scatter_take_two_seeds():
    """Fewer show nothing."""
    assert 2 == seeds_for(1.0, 0.0)


@pytest.mark.parametrize(("difference", "seeds"), [(9.0, 2), (5.0, 3), (0.13, 930), (0.12, None)])
def test_golden_seeds_for_a_difference(difference, seeds):
    """With a standard deviation of 1, from the fewest to the most."""
    assert seeds == seeds_for(difference, 1.0)


def test_a_row_has_all_that_its_text_is_made_of():
    """Seeds alone, and at the level of Holm's first step."""
    measured, assumed = power_rows([Spread("there", 1.0, 4), Spread("nowhere", 0.5, 0)], [1.0], "best_accuracy", 20)

    assert {
        "where": "there",
        "metric": "best_accuracy",
        "unit": "points",
        "sigma": 1.0,
        "sigma_low": pytest.approx(0.5991, abs=1e-4),
        "sigma_high": pytest.approx(2.8736, abs=1e-4),
        "df": 4,
        "difference": 1.0,
        "seeds": 17,
        "seeds_corrected": 33,
        "claims": 20,
    } == measured
    assert (None, None, 6, 10) == tuple(assumed[key] for key in ("sigma_low", "sigma_high", "seeds", "seeds_corrected"))


@pytest.mark.parametrize(("df", "is_rough"), [(0, False), (1, True), (3, True), (4, False)])
def test_fewer_than_five_seeds_are_called_a_rough_guide(df, is_rough):
    """An assumed spread is none at all."""
    text = power_text(power_rows([Spread("there", 1.0, df)], [1.0], "best_accuracy", 20))

    assert is_rough == ("a rough guide" in text)


def test_each_spread_has_its_table():
    """A line for each difference, and what it would take too many seeds for."""
    found = [Spread("here", 1.0, 4), Spread("there", 1.0, 4)]
    text = power_text(power_rows(found, [0.1, 2.0], "best_accuracy", 20))

    assert ["here", "there"] == [part.partition(":")[0] for part in text.split("\n\n")[:-1]]
    assert 4 == text.count("more than 1,000")
    assert [["2.0", "6", "10"]] * 2 == [line.split() for line in text.splitlines() if line.startswith("2.0")]
    assert text.endswith("Power 0.8, two-sided level 5 %, one look.")


def test_differences_that_are_asked_for_by_default():
    """In points, as docs/methodology.md discusses them."""
    assert (0.25, 0.5, 1.0, 2.0, 5.0) == DIFFERENCES
