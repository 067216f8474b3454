"""How many seeds a difference takes, and which runs give the most verdicts in a given time."""

import pytest
import typer
from builders import TOML, changed, claims_toml, make_benchmark, make_curve, make_record
from reports import PAPER, record_all

from resnet18.cli.options import seconds_of
from resnet18.cli.power import power_text
from resnet18.judge.planning import DIFFERENCES, Spread, choose, planned, power_rows, spreads
from resnet18.judge.reason import Reason
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.plan import only_cases, plan
from resnet18.spec.resolve import Request
from resnet18.tables.statistics import seeds_for


def records_of(mine, percents):
    """One record for each case and seed; the seed chooses accuracy and time."""
    by_seed = [make_curve(percent, train_s=percent) for percent in percents]
    return record_all([mine], seeds=range(len(percents)), epochs=lambda run: by_seed[run.experiment.seed])


SEEDS = {
    (0.1, 0.2, 0.05): 64,
    (0.3, 0.2, 0.05): 9,
    (0.32, 0.3, 0.05 / 20): 29,
    (9.0, 1.0, 0.05): 2,
    (0.13, 1.0, 0.05): 930,
    (0.12, 1.0, 0.05): None,
    (1.0, 0.0, 0.05): 2,
}


def test_golden_seeds_for_a_difference():
    """Of difference, standard deviation and level: docs/methodology.md, the fewest and the most, above 1,000 none."""
    assert SEEDS == {question: seeds_for(*question) for question in SEEDS}


@pytest.mark.parametrize(
    ("percents", "metric", "df", "sigma"),
    [([70.0, 71.0, 72.0], "clean_accuracy", 4, 1.0), ([0.0, 70.0, 70.7], "train_s", 2, 0.7036)],
)
def test_the_spread_is_pooled_over_cases(percents, metric, df, sigma, mine):
    """Of the seeds of each of two cases; times as logarithms in percent, without those of nothing."""
    found = spreads([mine, mine], records_of(mine, percents), metric)

    assert [("mine, paper scale, cifar10-jpeg", pytest.approx(sigma, abs=1e-3), df)] == list(map(tuple, found))


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
    """Seeds alone, and at the level of Holm's first step; interval and degrees of freedom where it was measured."""
    rows = power_rows([Spread("here", 1.0, 4), Spread("nowhere", 0.5, 0)], [0.1, 1.0], "best_accuracy", 20)
    title, _, heads, _, few, here, *_, note = power_text(rows, "a metric").splitlines()

    about = {"where": "here", "metric": "best_accuracy", "unit": "points", "sigma": 1.0, "df": 4, "claims": 20}
    ends = {"sigma_low": pytest.approx(0.5991, abs=1e-4), "sigma_high": pytest.approx(2.8736, abs=1e-4)}
    assert {**about, **ends, "difference": 1.0, "seeds": 17, "seeds_corrected": 33} == rows[1]
    assert (None, None, 6, 10) == tuple(rows[3][key] for key in (*ends, "seeds", "seeds_corrected"))
    assert (0.25, 0.5, 1.0, 2.0, 5.0) == DIFFERENCES

    assert ("a metric", "Power 0.8, two-sided level 5 %") == (title, note.partition(", tested once.")[0])
    assert (True, True) == ("standard deviation (points)" in heads, "20 claims" in heads)
    assert 2 == few.count("more than 1,000")
    assert ["here", "1", "[0.599,", "2.87]", "4", "1.0", "17", "33"] == here.split()


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

    def choice(budget_s, checks, *, seeds=3, done=(), request=PAPER, unknown=(), text=TOML + MORE, cases=()):
        mine = make_benchmark(tmp_path, text + claims_toml(*checks))
        planned = plan([mine], request, range(seeds), {"cpu": 1})
        planned = only_cases(planned, cases, ()) if cases else planned
        costs = {**COSTS, **dict.fromkeys(done, 0.0)}
        names = ((run.run_id, run.labels[0].partition("/")[2]) for run in planned.runs)
        seconds = {run_id: costs[name] for run_id, name in names if name not in unknown}
        return choose([mine], planned, request, seconds, "cpu", budget_s)

    return choice


CHOICES = {
    "two cases with three seeds": (90.0, ["8 16"], {}, [3]),
    "the cheapest first, shared runs once": (210.0, ["16 32", "8 16", "8 64"], {}, [3, 3, 0]),
    "a direction before a cheaper value": (150.0, [VALUE.replace('"8"', '"32"'), "8 16"], {}, [0, 3]),
    "a value whose case is there already": (90.0, [VALUE, "8 16"], {}, [3, 3]),
    "recorded runs cost nothing": (30.0, ["8 16"], {"done": ["16"]}, [3]),
    "not enough for a second test": (149.0, ["8 16"], {"seeds": 10}, [3]),
    "a second test": (150.0, ["8 16"], {"seeds": 10}, [5]),
    "a third test": (300.0, ["8 16"], {"seeds": 10}, [10]),
    "every claim is tested once before one is tested twice": (330.0, ["16 32", "8 16"], {"seeds": 5}, [3, 5]),
    "fewer seeds than a verdict needs": (30.0, ["8 16"], {"seeds": 1}, [1]),
}


@pytest.mark.parametrize("what", CHOICES)
def test_the_choice_gives_the_most_verdicts_for_its_time(what, chosen):
    """A seed of cases 8, 16, 32 and 64 takes 10, 20, 40 and 80 s."""
    budget_s, checks, options, seeds = CHOICES[what]
    checks = [one if "{" in one else ORDER.format(*one.split()) for one in checks]

    assert seeds == [choice.seeds for choice in chosen(budget_s, checks, **options)]


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
