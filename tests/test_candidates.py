"""Hypotheses: each candidate is a case of its own, and evidence only where reported cells may be compared."""

import math
import re
from types import SimpleNamespace

import pytest
from builders import TOML, make_benchmark, make_epoch, make_experiment, make_record

from resnet18.judge import hypotheses as candidates
from resnet18.judge.hypotheses import compare_candidates
from resnet18.records.record import Score
from resnet18.report.markdown import blocks_text
from resnet18.report.sections import hypothesis_blocks
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import Execution
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request, resolve, sub_cases, with_sub_cases
from resnet18.tables.selection import select

PAPER = Request(scale="paper", data="cifar10-jpeg")
HYPOTHESIS = """
[[hypothesis]]
key = "optimizer.lr"
question = "Which rate was it?"
cases = ["8"]
candidate = [{ name = "slow", value = 0.001 }, { name = "as assumed", value = 0.01 }, { name = "fast", value = 0.1 }]
"""


@pytest.fixture
def mine(tmp_path):
    return make_benchmark(tmp_path, TOML + HYPOTHESIS)


def records_of(mine, request, by_rate, seeds=3):
    """Runs of all cases and candidates; the learning rate chooses the accuracy in percent, the seed adds 0.1 each."""
    found = []
    for run in plan([mine], request, range(seeds), {"cpu": 1}, hypotheses=True).runs:
        percent = by_rate[run.experiment.optimizer.lr] + 0.1 * run.experiment.seed
        score = Score(loss=2.0, correct=round(1000 * percent), images=100_000)
        epochs = (make_epoch(1, clean=score, as_published=score),)
        found.append(make_record(run.experiment, run.execution, request=request, epochs=epochs))
    return found


def section_of(mine, request, records):
    (selection,) = select([mine], request, records)
    found = compare_candidates(selection, request, records)
    return "\n\n".join(blocks_text(hypothesis_blocks(comparison, request)) for comparison in found)


def test_candidates_are_run_only_when_asked_for(mine):
    """They answer another question, and each costs a run."""
    plans = [plan([mine], PAPER, [0], {"cpu": 1}, hypotheses=asked).runs for asked in (False, True)]

    assert [2, 4] == [len(runs) for runs in plans]


def test_a_candidate_that_is_the_assumption_itself_is_the_same_run(mine):
    """It is trained once, and is the case's own."""
    (labels,) = [
        run.labels
        for run in plan([mine], PAPER, [0], {"cpu": 1}, hypotheses=True).runs
        if run.experiment.optimizer.lr == 0.01 and run.experiment.batch_size == 8
    ]

    assert ("mine/8", "mine/8 [optimizer.lr: as assumed]") == labels


def test_a_sub_case_differs_in_its_key_alone(mine):
    """Dotted keys reach into tables."""
    case = with_sub_cases(mine).cases[2]
    changed, _ = resolve(mine, case, PAPER, seed=0)
    own, _ = resolve(mine, mine.cases[0], PAPER, seed=0)

    assert own.model_copy(update={"optimizer": own.optimizer.model_copy(update={"lr": 0.001})}) == changed


def test_the_nearest_candidate_is_named_with_its_uncertainty(mine):
    """Reported 70 %: 70.1 beats 50.1 and 60.1 by far."""
    text = section_of(mine, PAPER, records_of(mine, PAPER, {0.001: 50, 0.01: 60, 0.1: 70}))

    assert 'Nearest: "fast", 0.10 points from the reported cells' in text
    assert 'the next, "as assumed", 9.90 (0.12). The difference is more than two standard errors.' in text
    assert re.search(r"\| fast +\| 8 +\| +70 % \| +70.10 % ", text)


def test_candidates_that_lie_equally_near_are_not_resolved(mine):
    """0.1 points on either side."""
    text = section_of(mine, PAPER, records_of(mine, PAPER, {0.001: 50, 0.01: 69.8, 0.1: 70}))

    assert "Not resolved: the difference is less than two standard errors." in text


@pytest.mark.parametrize("request_", [Request(), Request(scale="small", data="cifar10-jpeg")])
def test_at_another_scale_or_on_other_data_nothing_is_nearest(request_, mine):
    """The numbers are shown; the reported ones only where they may be."""
    text = section_of(mine, request_, records_of(mine, request_, {0.001: 50, 0.01: 60, 0.1: 70}))

    assert "Which lies nearest is not said: only runs at paper scale on CIFAR-10" in text


def test_one_seed_has_no_uncertainty_and_so_no_nearest(mine):
    """At least two candidates need two seeds."""
    text = section_of(mine, PAPER, records_of(mine, PAPER, {0.001: 50, 0.01: 60, 0.1: 70}, seeds=1))

    assert "at least two candidates need two seeds of every case" in text


def test_without_candidates_there_is_no_section(mine):
    """The case itself is one of them: it alone is no comparison."""
    records = [
        one
        for one in records_of(mine, PAPER, {0.001: 50, 0.01: 60, 0.1: 70})
        if one.spec.experiment.optimizer.lr == 0.01
    ]

    assert "" == section_of(mine, PAPER, records)


def test_a_whole_operation_may_be_a_candidate(tmp_path):
    """It replaces the one of its name, in place."""
    text = TOML.replace(
        'augmentation = [{ name = "to_tensor" }]',
        'augmentation = [{ name = "random_rotation", degrees = 5.0 }, { name = "to_tensor" }]',
    )
    mine = make_benchmark(
        tmp_path,
        text + '[[hypothesis]]\nkey = "augmentation.random_rotation"\nquestion = "How far?"\ncases = ["8"]\n'
        'candidate = [{ name = "far", value = { name = "random_rotation", degrees = 30.0 } }, '
        '{ name = "near", value = { name = "random_rotation", degrees = 5.0 } }]',
    )
    degrees = [
        resolve(mine, case, PAPER, seed=0)[0].augmentation[0].degrees
        for _, _, case in sub_cases(mine, mine.hypotheses[0])
    ]

    assert [30.0, 5.0] == degrees


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('cases = ["8"]', 'cases = ["9"]', 'unknown case "9"'),
        ('"optimizer.lr"', '"execution.threads"', "is no key of an experiment"),
        ('"optimizer.lr"', '"optimizer.momentun"', "optimizer.momentun"),
        ("value = 0.1 }", 'value = "quick" }', "optimizer.lr"),
        ('name = "fast"', 'name = "slow"', "two candidates have one name"),
        (', { name = "as assumed", value = 0.01 }, { name = "fast", value = 0.1 }', "", "at least 2"),
    ],
)
def test_a_bad_hypothesis_is_refused(old, new, words, tmp_path):
    """Before anything runs."""
    with pytest.raises(SpecError, match=words):
        make_benchmark(tmp_path, TOML + HYPOTHESIS.replace(old, new))


SCHEDULES = """
[[hypothesis]]
key = "schedule"
question = "When was the rate cut?"
cases = ["8"]
candidate = [
  { name = "never", value = { name = "constant" } },
  { name = "at 80", value = { name = "step", every = 80, factor = 0.1, first_epoch = 1 } },
  { name = "at once", value = { name = "step", every = 80, factor = 0.1, first_epoch = 0 } },
]
"""


SPREAD = math.sqrt(1 / 2)
"""Standard deviation of two seeds that are one point apart. To one further run: times the root of 1 + 1/2."""


def scored(percent):
    score = Score(loss=2.0, correct=percent, images=100)
    return make_epoch(1, clean=score, as_published=score)


def schedule_rows(tmp_path, schedules):
    """The hypothesis's text where two seeds of each of these schedules were run, for two epochs."""
    mine = make_benchmark(tmp_path, TOML + SCHEDULES)
    runs = plan([mine], PAPER, range(2), {"cpu": 1}, hypotheses=True).runs
    records = [
        make_record(run.experiment, run.execution, request=PAPER, epochs=(scored(60 + run.experiment.seed),))
        for run in runs
        if str(getattr(run.experiment.schedule, "first_epoch", "never")) in schedules
    ]
    return section_of(mine, PAPER, records)


def test_a_candidate_that_trains_like_another_need_not_be_run(tmp_path):
    """A cut that comes after the last epoch is none: both candidates have the runs of one."""
    text = schedule_rows(tmp_path, {"never", "0"})

    assert '"at 80" was not run: it trains like "never" here, whose runs stand in both rows.' in text
    assert '"never" and "at 80"' in text


def test_candidates_that_train_alike_count_once(tmp_path):
    """The same runs twice know no more: the standard error is that of one of them, also where both were run."""
    alone, both = (schedule_rows(tmp_path, {"never", "0", *more}) for more in ((), ("1",)))
    errors = [
        re.findall(r"standard error ([\d.]+)", text) + re.findall(r"\(([\d.]+)\)", text) for text in (alone, both)
    ]

    assert errors[0] == errors[1] == [f"{SPREAD * math.sqrt(3 / 2):.2f}"] * 2


def test_a_candidate_that_was_run_stands_on_its_own_runs(tmp_path):
    """Nothing is borrowed then."""
    assert "was not run" not in schedule_rows(tmp_path, {"never", "0", "1"})


@pytest.mark.parametrize("other", [{"name": "constant"}, {"name": "cosine", "final_factor": 0.5}])
def test_a_rate_of_every_step_is_another_training(other):
    """Than a constant one, and than one that ends elsewhere."""
    arms = [
        SimpleNamespace(experiment=make_experiment(schedule=schedule), execution=Execution())
        for schedule in ({"name": "cosine"}, other)
    ]

    assert 2 == len({candidates._training(arm) for arm in arms})


def test_a_candidate_that_trains_otherwise_borrows_nothing(tmp_path):
    """A cut after the first epoch is another training: it stays not run."""
    text = schedule_rows(tmp_path, {"never", "1"})

    assert "was not run" not in text
    assert "not run" in text


def test_candidates_that_a_scale_makes_equal_are_not_compared(tmp_path):
    """Smoke scale sets the image size itself: one run is no two candidates."""
    mine = make_benchmark(
        tmp_path,
        TOML + '[[hypothesis]]\nkey = "image_size"\nquestion = "How large?"\ncases = ["8"]\n'
        'candidate = [{ name = "32 px", value = 32 }, { name = "64 px", value = 64 }]\n',
    )
    runs = plan([mine], Request(), [0], {"cpu": 1}, hypotheses=True).runs
    records = [make_record(run.experiment, run.execution, request=Request()) for run in runs]

    assert "" == section_of(mine, Request(), records)


@pytest.mark.parametrize(
    ("key", "values", "about_size"), [("image_size", (32, 64), True), ("optimizer.lr", (0.1, 0.2), False)]
)
def test_a_candidate_for_the_size_is_about_size(key, values, about_size, tmp_path):
    """A scale that fixes the size would make all such candidates one run."""
    candidates = ", ".join(f'{{ name = "{value}", value = {value} }}' for value in values)
    text = f'[[hypothesis]]\nkey = "{key}"\nquestion = "Which?"\ncases = ["8"]\ncandidate = [{candidates}]\n'
    mine = make_benchmark(tmp_path, TOML + text)
    own = mine.cases[0].model_copy(update={"about_size": True})
    sized = mine.model_copy(update={"cases": (own, *mine.cases[1:])})

    assert [about_size, about_size] == [case.about_size for _, _, case in sub_cases(mine, mine.hypotheses[0])]
    assert [True, True] == [case.about_size for _, _, case in sub_cases(sized, mine.hypotheses[0])]


def test_a_candidate_of_a_deep_key_leaves_the_rest_of_the_case_alone(tmp_path):
    """Its top key is the case's own from then on, the file's stays as it is."""
    mine = make_benchmark(tmp_path, TOML + HYPOTHESIS)
    before = mine.model_dump()
    (_, own, slow), *_ = sub_cases(mine, mine.hypotheses[0])

    assert {"batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.001}} == slow.experiment
    assert ("8 [optimizer.lr: slow]", own.reported, own.execution) == (slow.name, slow.reported, slow.execution)
    assert before == mine.model_dump()


def test_without_being_asked_a_plan_has_no_candidates(mine):
    """Nobody pays for what they did not ask for."""
    assert plan([mine], PAPER, [0], {"cpu": 1}) == plan([mine], PAPER, [0], {"cpu": 1}, hypotheses=False)
