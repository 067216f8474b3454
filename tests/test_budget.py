"""A budget of time: whole claims, those of direction first, the cheapest first, then more seeds."""

import pytest
from builders import TOML, make_benchmark

from resnet18.cli.preview import fewest_seeds
from resnet18.cli.request import asked, seconds_of
from resnet18.judge.budget import Situation, choose
from resnet18.judge.reason import Reason
from resnet18.report.budget_text import choice_rows, choice_text
from resnet18.spec.errors import SpecError
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

MORE = "".join(f'\n[[case]]\nname = "{size}"\nexperiment = {{ batch_size = {size} }}\n' for size in (32, 64))
ORDER = '{{ kind = "greater", metric = "clean_accuracy", case = "{}", than = "{}" }}'
VALUE = '{ kind = "close", metric = "clean_accuracy", case = "8", value = 1.0, margin = 1.0 }'
OOM = '{ kind = "run_status", case = "16", status = "oom_device", device = "cuda" }'
PAPER = Request("paper", "cifar10")
COSTS = {"8": 10.0, "16": 20.0, "32": 40.0, "64": 80.0}


@pytest.fixture
def chosen(tmp_path):
    """Choose among claims of a table of four cases, whose runs take the seconds of COSTS."""

    def choice(budget_s, *checks, seeds=3, done=(), request=PAPER, unknown=(), text=TOML + MORE, device="cpu"):
        claims = "".join(
            f'[[claim]]\nid = "X{at}"\nsays = "it is so"\ncheck = [{one}]\n' for at, one in enumerate(checks, 1)
        )
        mine = make_benchmark(tmp_path, text + claims)
        planned = plan([mine], request, range(seeds), {"cpu": 1})
        case_of = {run.run_id: run.labels[0].partition("/")[2] for run in planned.runs}
        seconds = {run_id: COSTS[case] for run_id, case in case_of.items() if case not in unknown}
        recorded = {run_id for run_id, case in case_of.items() if case in done}
        return choose([mine], Situation(planned, request, seconds, recorded, device), budget_s)

    return choice


def seeds_of(choice):
    return [fate.seeds for fate in choice.fates]


def test_a_claim_is_taken_with_all_cases_and_seeds_that_it_needs(chosen):
    """Two cases, three seeds, whole or not at all."""
    whole, none = (chosen(budget_s, ORDER.format("8", "16")) for budget_s in (90.0, 89.0))

    assert ([3], 6, 90.0) == (seeds_of(whole), len(whole.runs), whole.seconds)
    assert ([0], 0, (90.0, 89.0)) == (
        seeds_of(none),
        len(none.runs),
        (none.fates[0].takes_s, none.fates[0].left_s),
    )


def test_the_cheapest_claim_comes_first_and_shared_runs_count_once(chosen):
    """8 against 16 costs 90 s; then 16 against 32 adds 120 s, not 180."""
    choice = chosen(210.0, ORDER.format("16", "32"), ORDER.format("8", "16"), ORDER.format("8", "64"))

    assert [3, 3, 0] == seeds_of(choice)
    assert (9, 210.0) == (len(choice.runs), choice.seconds)


def test_a_claim_of_direction_comes_before_a_cheaper_one_about_a_value(chosen):
    """Which is taken as well where there is time: its case is there already."""
    assert [0, 3] == seeds_of(chosen(150.0, VALUE.replace('"8"', '"32"'), ORDER.format("8", "16")))
    assert [3, 3] == seeds_of(chosen(90.0, VALUE, ORDER.format("8", "16")))


def test_what_is_recorded_costs_nothing(chosen):
    """Neither time nor a run."""
    assert ([3], 30.0) == (
        seeds_of(one := chosen(30.0, ORDER.format("8", "16"), done=["16"])),
        one.seconds,
    )


@pytest.mark.parametrize(("budget_s", "seeds"), [(149.0, 3), (150.0, 5), (299.0, 5), (300.0, 10)])
def test_what_is_left_goes_to_the_next_look(budget_s, seeds, chosen):
    """At 3, 5 and 10 seeds; 30 s a seed."""
    choice = chosen(budget_s, ORDER.format("8", "16"), seeds=10)

    assert ([seeds], 2 * seeds) == (seeds_of(choice), len(choice.runs))


def test_every_claim_has_its_first_look_before_one_has_its_second(chosen):
    """Both at three seeds, and the cheaper one at five."""
    assert [3, 5] == seeds_of(chosen(330.0, ORDER.format("16", "32"), ORDER.format("8", "16"), seeds=5))


def test_with_fewer_seeds_than_a_verdict_needs_nothing_is_decided_and_that_is_said(chosen):
    """Somebody asked for one seed."""
    choice = chosen(30.0, ORDER.format("8", "16"), seeds=1)

    assert ([1], ()) == (seeds_of(choice), choice.decided)
    assert "None of them can be decided: a verdict needs 3 seeds (--seeds 3)." in choice_text(choice, 30.0)


@pytest.mark.parametrize(
    ("check", "changes", "reason"),
    [
        (VALUE, {"request": Request()}, Reason("other_data")),
        (VALUE, {"request": Request("small", "cifar10")}, Reason("other_scale")),
        (OOM, {}, Reason("other_device", "mine/16", what="cuda")),
        (ORDER.format("8", "16"), {"unknown": ["16"]}, Reason("time_unknown", "mine/16")),
        ('{ kind = "overfits", case = "8", turns_by = 2 }', {}, Reason("too_few_epochs", count=5)),
        (
            ORDER.format("8", "16"),
            {"text": TOML.replace("batch_size = 16 }", 'batch_size = 16 }\nexecution = { device = "cuda" }')},
            Reason("no_device", what="no CUDA device"),
        ),
    ],
)
def test_a_claim_that_no_time_decides_is_left_out_with_the_reason(check, changes, reason, chosen):
    """However much there is."""
    (fate,) = chosen(1e9, check, **changes).fates

    assert (0, reason) == (fate.seeds, fate.reason)


def test_a_choice_is_told_claim_by_claim(chosen):
    """Those that are taken with their seeds, the others with the reason, and the same as rows."""
    choice = chosen(100.0, ORDER.format("8", "16"), ORDER.format("8", "64"))

    assert [
        "Budget: 1 of 2 claims get the seeds that a verdict needs, in about 90 s of 100 s.",
        "  X1, 3 seeds: it is so",
        "  left out: X2 (takes about 4 min, and 10 s is left): it is so",
    ] == choice_text(choice, 100.0).splitlines()
    assert [3, 0] == [row["seeds"] for row in choice_rows(choice)]


@pytest.mark.parametrize("text", ["90 s", "150 s", "2 min", "100 min", "1 h", "1.5 h", "10 h"])
def test_a_budget_is_told_as_it_was_given(text, chosen):
    """90 s are not 2 min."""
    budget_s = seconds_of(text)

    assert choice_text(chosen(budget_s, VALUE), budget_s).splitlines()[0].endswith(f" of {text}.")


@pytest.mark.parametrize(("seeds", "scale", "number"), [(None, "smoke", 3), (1, "smoke", 1), (None, "small", 3)])
def test_a_budget_plans_as_many_seeds_as_a_verdict_needs(seeds, scale, number):
    """Smoke scale has one, which would decide nothing; whoever names a number gets that."""
    planned = asked(["batchsize"], scale, seeds, None, "cpu", None, fewest_seeds=fewest_seeds(90.0)).plan

    assert number == len({run.experiment.seed for run in planned.runs})


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1.5h", 5_400), ("5 min", 300)]
)
def test_a_budget_is_a_number_and_a_unit(text, seconds):
    """As people write it."""
    assert seconds == seconds_of(text)


@pytest.mark.parametrize("text", ["30", "m", "-5m", "0s", "1d", "30m2", "1e9s", "\u0663m", "nan h", "9" * 7 + "s"])
def test_what_is_no_length_of_time_is_refused_with_the_forms_that_are(text):
    """Before anything is planned."""
    with pytest.raises(SpecError, match=r"is no length of time \(allowed: 90s, 30m, 2h, 1.5h\)"):
        seconds_of(text)
