"""How many seeds a difference takes, and which runs give the most verdicts in a given time."""

from math import inf

import pytest
import typer
from builders import TOML, changed, claims_toml, make_benchmark, make_curve, make_record
from reports import PAPER, record_all

from resnet18.cli.options import seconds_of
from resnet18.cli.plan import power_text
from resnet18.judge.planning import DIFFERENCES, Spread, choose, planned, power_rows, spreads
from resnet18.judge.samples import Reason
from resnet18.judge.verdict import judge
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.tables.selection import select
from resnet18.tables.variances import Prior, Scatter


def records_of(mine, percents):
    """One record for each case and seed; the seed chooses accuracy and time."""
    by_seed = [make_curve(percent, train_s=percent) for percent in percents]
    return record_all([mine], seeds=range(len(percents)), epochs=lambda run: by_seed[run.experiment.seed])


@pytest.mark.parametrize(
    ("percents", "metric", "df", "sigma"),
    [([70.0, 71.0, 72.0], "clean_accuracy", 4, 1.0), ([0.0, 70.0, 70.7], "train_s", 2, 0.7036)],
)
def test_the_spread_is_pooled_over_cases(percents, metric, df, sigma, mine):
    """Of the seeds of each of two cases; times as logarithms in percent, without those of nothing."""
    found = spreads([mine, mine], records_of(mine, percents), metric)

    assert [("mine, paper scale, cifar10-jpeg", pytest.approx(sigma, abs=1e-3), df)] == [row[:3] for row in found]


def test_a_spread_says_what_the_cases_of_its_table_lend(mine):
    """Two cases of equal variance lend all that they have; times are compared within seeds, and lend nothing."""
    records = records_of(mine, [70.0, 71.0, 72.0])
    (accuracy,), (time,) = (list(spreads([mine], records, metric)) for metric in ("clean_accuracy", "train_s"))

    assert Scatter(2, Prior(pytest.approx(2.0), inf, 2)) == accuracy.scatter
    assert (time.scatter.in_blocks, time.scatter.prior.df) == (True, 0)


@pytest.mark.parametrize(
    ("metric", "options", "flag", "df"),
    [
        ("clean_accuracy", {"code": "e" * 64}, "no_learning", 2),
        ("clean_accuracy", {"cpu": "other"}, "unreliable", 4),
        ("train_s", {"cpu": "other"}, "no_learning", 2),
        ("train_s", {}, "unreliable", 3),
        ("train_s", {}, "no_learning", 4),
    ],
)
def test_a_spread_is_of_runs_that_differ_in_their_seed_alone(metric, options, flag, df, mine):
    """One of three records of a case is of another origin, which leaves that case out, or its time is unreliable."""
    first, *others = records_of(mine, [70.0, 71.0, 72.0])
    other = make_record(first.spec.experiment, request=PAPER, epochs=first.epochs, **options)
    (spread,) = spreads([mine], [changed(other, flags=[flag]), *others], metric)

    assert df == spread.df


def test_without_two_seeds_of_a_case_accuracies_are_planned_with_assumed_spreads(mine):
    """Which are named as such; what to expect of other metrics is not known."""
    assert [] == list(spreads([mine], records_of(mine, [70.0]), "clean_accuracy"))
    assert [0.3, 0.56, 1.0] == [spread.sigma for spread in planned("clean_accuracy")]
    assert all(spread.where.startswith("assumed") and not spread.df for spread in planned("clean_accuracy"))
    with pytest.raises(UnfinishedError, match="no case has two recorded seeds"):
        planned("train_s")


def test_a_row_of_power_has_all_that_its_table_is_made_of():
    """By the rule that judges, for Holm's first step; interval and degrees of freedom where it was measured."""
    lent = Scatter(2, Prior(2.0, inf, 24))
    rows = power_rows([Spread("here", 1.0, 4, lent), Spread("nowhere", 0.5, 0, lent)], [0.1, 5.0], "best_accuracy", 18)
    title, _, heads, _, few, here, *_, note = power_text(rows, "a metric").splitlines()

    about = {"where": "here", "metric": "best_accuracy", "unit": "points", "sigma": 1.0, "df": 4, "claims": 18}
    ends = {"sigma_low": pytest.approx(0.5991, abs=1e-4), "sigma_high": pytest.approx(2.8736, abs=1e-4)}
    powers = {
        "power_3": pytest.approx(0.81, abs=0.02),
        "power_5": pytest.approx(1, abs=0.01),
        "power_10": pytest.approx(1),
    }
    assert {**about, **ends, **powers, "difference": 5.0, "seeds": 3} == rows[1]
    assert (None, None) == tuple(rows[3][key] for key in ends)
    assert (None, 0.25, 0.5, 1.0, 2.0, 5.0) == (rows[0]["seeds"], *DIFFERENCES)

    assert ("a metric", True) == (title, "of 18 claims" in note)
    assert (True, True) == ("standard deviation (points)" in heads, "seeds for 0.8" in heads)
    assert "more than 10" in few
    assert ["here", "1", "[0.599,", "2.87]", "4", "5.0", "0.81", "1.00", "1.00", "3"] == here.split()


# A budget of time

MORE = "".join(f'\n[[case]]\nname = "{size}"\nexperiment = {{ batch_size = {size} }}\n' for size in (32, 64))
ORDER = '{{ kind = "greater", metric = "clean_accuracy", case = "{}", than = "{}" }}'
VALUE = '{ kind = "close", metric = "clean_accuracy", case = "8", value = 1.0, margin = 1.0 }'
OOM = '{ kind = "run_status", case = "16", status = "oom_device", device = "cuda" }'
ON_CARD = TOML.replace("batch_size = 16 }", 'batch_size = 16 }\nexecution = { device = "cuda" }')
COSTS = {"8": 10.0, "16": 20.0, "32": 40.0, "64": 80.0}


@pytest.fixture
def chosen(tmp_path):
    """Choose among claims of a table of four cases, whose runs take the seconds of COSTS."""

    def choice(
        budget_s,
        checks,
        *,
        seeds=10,
        done=(),
        request=PAPER,
        unknown=(),
        text=TOML + MORE,
        cases=(),
        runs=(),
        **options,
    ):
        mine = make_benchmark(tmp_path, text + claims_toml(*checks))
        planned = plan([mine], request, range(seeds), {"cpu": 1}, cases=cases)
        costs = {**COSTS, **dict.fromkeys(done, 0.0)}
        names = ((run.run_id, run.labels[0].partition("/")[2]) for run in planned.runs)
        seconds = {run_id: costs[name] for run_id, name in names if name not in unknown}
        records = record_all([mine], request, seeds=runs, **options)
        verdicts = judge([mine], select([mine], request, records), request)
        return choose(verdicts, planned, request, seconds, "cpu", budget_s)

    return choice


CHOICES = {
    "three seeds where no more fit": (149.0, ["8 16"], {}, [3]),
    "five seeds at once": (150.0, ["8 16"], {}, [5]),
    "ten seeds": (300.0, ["8 16"], {}, [10]),
    "no more than asked for": (300.0, ["8 16"], {"seeds": 5}, [5]),
    "ten seeds of a claim before three of two": (330.0, ["16 32", "8 16"], {}, [0, 10]),
    "shared runs once": (500.0, ["16 32", "8 16"], {}, [5, 10]),
    "the cheapest first": (150.0, ["16 32", "8 16", "8 64"], {}, [0, 5, 0]),
    "a surer value before a direction": (90.0, [VALUE, "8 16"], {}, [3, 3]),
    "recorded runs cost nothing": (30.0, ["8 16"], {"done": ["16"]}, [3]),
}


@pytest.mark.parametrize("what", CHOICES)
def test_the_choice_gives_the_most_verdicts_for_its_time(what, chosen):
    """A seed of cases 8, 16, 32 and 64 takes 10, 20, 40 and 80 s. A difference is expected to be 2 deviations."""
    budget_s, checks, options, seeds = CHOICES[what]
    checks = [one if "{" in one else ORDER.format(*one.split()) for one in checks]

    assert seeds == [choice.seeds for choice in chosen(budget_s, checks, **options)]


def by_case_and_seed(*means, sd=1.0):
    """Accuracies of the cases 8, 16, 32 and 64, with some noise by seed."""
    noise = (0.0, 1.0, -1.0, 0.5, -0.5, 0.2, -0.2, 0.7, -0.7, 0.0)
    heights = dict(zip((8, 16, 32, 64), means, strict=True))
    return lambda run: make_curve(heights[run.experiment.batch_size] + sd * noise[run.experiment.seed])


@pytest.mark.parametrize(
    ("means", "seeds", "least", "most"),
    [
        ((70.0, 20.0, 30.0, 40.0), 3, 1.0, 1.0),
        ((70.0, 67.0, 70.0, 70.0), 5, 0.7, 0.99),
        ((67.0, 70.0, 70.0, 70.0), 5, 0.7, 0.99),
    ],
    ids=["it is decided", "it would be supported", "it would be contradicted"],
)
def test_with_records_the_chance_of_a_verdict_is_that_of_their_estimates(means, seeds, least, most, chosen):
    """Three seeds are recorded; a decided claim costs nothing more."""
    (choice,) = chosen(150.0, [ORDER.format("8", "16")], seeds=5, runs=range(3), epochs=by_case_and_seed(*means))

    assert (seeds, None) == (choice.seeds, choice.left_out)
    assert least <= choice.chance <= most


def test_a_claim_that_its_records_leave_open_whatever_is_added_is_left_out(chosen):
    epochs = by_case_and_seed(70.0, 70.0, 70.0, 70.0)
    (choice,) = chosen(1e9, [ORDER.format("8", "16")], runs=range(3), epochs=epochs)

    assert (0, 0.0, Reason("unlikely", count=10)) == (choice.seeds, choice.chance, choice.left_out)


def test_a_printed_value_is_what_is_expected_of_a_case_without_records(chosen):
    """70 % beside 20 % is decided by three seeds, and not expected to hold the other way round."""
    text = (TOML + MORE).replace('best_accuracy = "Out of Memory"', 'best_accuracy = "20%"')
    choices = chosen(90.0, [ORDER.format("8", "16")], text=text) + chosen(90.0, [ORDER.format("16", "8")], text=text)

    assert [3, 3] == [choice.seeds for choice in choices]
    assert all(choice.chance > 0.95 for choice in choices)


@pytest.mark.parametrize(
    ("check", "changes", "reason"),
    [
        (ORDER.format("8", "16"), {"budget_s": 89.0}, Reason("takes_too_long", count=90, of=89)),
        (VALUE, {"request": Request("small", "cifar10")}, Reason("other_scale")),
        (ORDER.format("8", "16"), {"cases": ["8"]}, Reason("not_planned", "mine/16")),
        (OOM, {}, Reason("other_device", "mine/16", what="cuda")),
        (ORDER.format("8", "16"), {"unknown": ["16"]}, Reason("time_unknown", "mine/16")),
        ('{ kind = "overfits", case = "8", turns_by = 2 }', {}, Reason("undefined", metric="lowest_loss_epoch")),
        (ORDER.format("8", "16"), {"text": ON_CARD}, Reason("no_device", what="no CUDA device")),
    ],
)
def test_a_claim_that_no_time_decides_is_left_out_with_the_reason(check, changes, reason, chosen):
    (choice,) = chosen(checks=[check], **{"budget_s": 1e9, **changes})

    assert (0, reason) == (choice.seeds, choice.left_out)


def test_a_budget_is_a_number_and_a_unit():
    texts = {"90s": 90, "30m": 1_800, "2h": 7_200, "1.5h": 5_400, "5 min": 300}

    assert texts == {text: seconds_of(text) for text in texts}


@pytest.mark.parametrize("text", ["30", "m", "-5m", "0s", "1d", "30m2", "1e9s", "\u0663m", "nan h", "9" * 7 + "s"])
def test_what_is_no_length_of_time_is_refused_with_the_forms_that_are(text):
    with pytest.raises(typer.BadParameter, match=r"is no length of time \(allowed: 90s, 30m, 2h, 1.5h\)"):
        seconds_of(text)
