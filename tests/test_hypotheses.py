"""Hypotheses: each candidate is a case of its own, and evidence only where reported cells may be compared."""

import math

import pytest
from builders import TOML, make_benchmark, make_case, make_curve, make_experiment
from reports import PAPER, record_all

from resnet18.judge.hypotheses import Candidate, answers_of
from resnet18.report.markdown import blocks_text
from resnet18.report.sections import hypothesis_blocks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request, resolve, sub_cases
from resnet18.tables.selection import select

FAR = {0.001: 50, 0.01: 60, 0.1: 70}
"""Accuracies in percent by learning rate, where 70 % is reported."""


def about(key, *values, names=None):
    """A hypothesis about case 8."""
    named = ", ".join(
        f'{{ name = "{name}", value = {value} }}' for name, value in zip(names or values, values, strict=True)
    )
    return f'[[hypothesis]]\nkey = "{key}"\nquestion = "Which?"\ncases = ["8"]\ncandidate = [{named}]\n'


HYPOTHESIS = about("optimizer.lr", *FAR, names=("slow", "as assumed", "fast"))


@pytest.fixture
def mine(tmp_path):
    return make_benchmark(tmp_path, TOML + HYPOTHESIS)


def compared(mine, request, records):
    (selection,) = select([mine], request, records)
    return list(answers_of(selection, request, records))


def compared_rates(mine, by_rate, request=PAPER, seeds=3):
    """The hypothesis of runs whose rate chooses the accuracy, to which the seed adds 0.1 each."""

    def epochs(run):
        return make_curve(by_rate[run.experiment.optimizer.lr] + 0.1 * run.experiment.seed)

    (found,) = compared(mine, request, record_all([mine], request, range(seeds), epochs, hypotheses=True))
    return found


# Candidates as cases


def test_candidates_are_planned_only_when_asked_for_and_the_assumption_itself_once(mine):
    """They answer another question, and each costs a run."""
    plain, asked = (plan([mine], PAPER, [0], {"cpu": 1}, hypotheses=asked).runs for asked in (False, True))

    assert plain == plan([mine], PAPER, [0], {"cpu": 1}).runs
    assert (2, 4) == (len(plain), len(asked))
    assert ("mine/8", "mine/8 [optimizer.lr: as assumed]") in [run.labels for run in asked]


def test_a_sub_case_differs_in_its_key_alone(tmp_path):
    """Dotted keys reach into tables; an operation replaces that of its name, in place."""
    rotation = '{{ name = "random_rotation", degrees = {} }}'
    text = TOML.replace('[{ name = "to_tensor" }]', f'[{rotation.format(5.0)}, {{ name = "to_tensor" }}]')
    whole = about("augmentation.random_rotation", rotation.format(30.0), rotation.format(5.0), names=("far", "near"))
    mine = make_benchmark(tmp_path, text + HYPOTHESIS + whole)
    (slow, *_), (far, near) = ([case for *_, case in sub_cases(mine, asked)] for asked in mine.hypotheses)
    own, lr, turned, equal = (resolve(mine, case, PAPER, seed=0)[0] for case in (mine.cases[0], slow, far, near))

    assert ("8 [optimizer.lr: slow]", mine.cases[0].reported) == (slow.name, slow.reported)
    assert own.model_copy(update={"optimizer": own.optimizer.model_copy(update={"lr": 0.001})}) == lr
    assert (own, [30.0], own.augmentation[1:]) == (equal, [turned.augmentation[0].degrees], turned.augmentation[1:])


# Which candidate lies nearest


@pytest.mark.parametrize(
    ("by_rate", "nearest", "points", "is_resolved"),
    [(FAR, ("fast", "as assumed"), (0.10, 9.90), True), ({**FAR, 0.01: 69.8}, None, (0.10, 0.10), False)],
)
def test_the_nearest_candidate_is_named_with_its_uncertainty(by_rate, nearest, points, is_resolved, mine):
    """Reported 70 %: 70.1 beats 60.1 by far; 0.1 points on either side are not resolved."""
    found = compared_rates(mine, by_rate)

    assert points == pytest.approx([distance.points for distance in found.nearest], abs=5e-3)
    assert [0.1 * math.sqrt(4 / 3)] * 2 == pytest.approx([distance.se for distance in found.nearest])
    assert is_resolved == found.is_resolved
    assert nearest in {None, tuple(name for distance in found.nearest for name in distance.names)}


@pytest.mark.parametrize(
    ("request_", "seeds", "reason"),
    [(Request(scale="small", data="cifar10-jpeg"), 3, "other terms"), (PAPER, 1, "too few")],
)
def test_where_nothing_may_be_compared_nothing_is_nearest(request_, seeds, reason, mine):
    """At another scale or on other data; and at least two candidates need two seeds."""
    found = compared_rates(mine, FAR, request_, seeds)

    assert (reason, False) == (found.nearest, found.is_resolved)


def test_a_hypothesis_is_written_with_a_row_for_each_candidate(mine):
    text = blocks_text(hypothesis_blocks(compared_rates(mine, FAR), PAPER))
    row = next(line for line in text.splitlines() if line.startswith("| fast"))

    assert ["fast", "8", "70 %", "70.10 %"] == [cell.strip() for cell in row.split("|")[1:5]]
    assert 'Nearest: "fast", 0.10 points from the reported cells' in text
    assert 'the next, "as assumed", 9.90 (0.12). The difference is more than two standard errors.' in text


def test_one_candidate_alone_or_two_that_a_scale_makes_equal_are_no_comparison(mine, tmp_path):
    """The case itself is one of them; smoke scale sets the image size itself."""
    sizes = make_benchmark(tmp_path, TOML + about("image_size", 32, 64))

    assert [] == compared(mine, PAPER, record_all([mine], seeds=range(3)))
    assert [] == compared(sizes, Request(), record_all([sizes], Request(), hypotheses=True))


SCHEDULES = {
    "never": '{ name = "constant" }',
    "at 80": '{ name = "step", every = 80, factor = 0.1, first_epoch = 1 }',
    "at once": '{ name = "step", every = 80, factor = 0.1, first_epoch = 0 }',
}


@pytest.mark.parametrize("ran", [{"never", "0"}, {"never", "0", "1"}, {"never", "1"}])
def test_candidates_that_train_alike_count_once(ran, tmp_path):
    """A cut after the last epoch is none: two know no more than one, and are no two to choose from."""
    mine = make_benchmark(tmp_path, TOML + about("schedule", *SCHEDULES.values(), names=SCHEDULES))
    by_seed = [make_curve(60), make_curve(61)]
    records = record_all([mine], seeds=(0, 1), epochs=lambda run: by_seed[run.experiment.seed], hypotheses=True)
    cuts = [str(getattr(record.spec.experiment.schedule, "first_epoch", "never")) for record in records]
    (found,) = compared(mine, PAPER, [record for record, cut in zip(records, cuts, strict=True) if cut in ran])

    if "0" not in ran:
        assert "too few" == found.nearest
    else:
        assert [("at once",), ("never", "at 80")] == sorted(distance.names for distance in found.nearest)
        assert [math.sqrt(1 / 2) * math.sqrt(3 / 2)] * 2 == pytest.approx([one.se for one in found.nearest])


def test_a_rate_of_every_step_is_another_training():
    """Than a constant rate, and than a rate that ends elsewhere."""
    schedules = {"name": "cosine"}, {"name": "constant"}, {"name": "cosine", "final_factor": 0.5}
    cases = [make_case("a", (), make_experiment(schedule=schedule)) for schedule in schedules]

    assert 3 == len({Candidate("a", "8", 70.0, case).training for case in cases})
