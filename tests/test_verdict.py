"""Verdicts: what the records support, what they contradict, what they leave open, and what they do not bear on."""

import json
from dataclasses import replace
from math import inf, log

import numpy as np
import pytest
from builders import TOML, make_benchmark, make_case, make_epoch, make_experiment, make_record

from resnet18.judge.checks import CheckResult
from resnet18.judge.comparisons import Comparison, compare
from resnet18.judge.sample import Unit
from resnet18.judge.verdict import Judged, Verdict, _p, _verdict, holm_levels, judge
from resnet18.records.parse import seal
from resnet18.records.record import Score
from resnet18.report.wording import decisive, estimate_text, line, lines_of, statement
from resnet18.spec.claim import Claim, Close, Difference, Equivalent, Overfits, Ranking, Ratio, RunStatus, Trend
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.tables.interim import LOOKS
from resnet18.tables.selection import select
from resnet18.tables.statistics import Estimate, Region, contrast

PAPER = Request(scale="paper", data="cifar10-jpeg")
SMALL = Request(scale="small", data="cifar10-jpeg")
THREE = (
    TOML
    + """
[[case]]
name = "32"
experiment = { batch_size = 32 }
"""
)
NOISE = (0.0, 0.1, -0.1, 0.05, -0.05, 0.02, -0.02, 0.08, -0.08, 0.01)
"""Points around a case's mean, by seed."""


def claimed(folder, *checks):
    text = "".join(f'[[claim]]\nid = "X{at}"\nsays = "it is so"\ncheck = [{one}]\n' for at, one in enumerate(checks, 1))
    return make_benchmark(folder, THREE + text)


def curve(percent, **changes):
    """One epoch whose accuracy is that many percent of 100,000 images."""
    score = Score(loss=2.0, correct=round(1000 * percent), images=100_000)
    return (make_epoch(1, clean=score, as_published=score, **changes),)


def records_of(mine, request, means, seeds=5, epochs=curve, **options):
    """One record for each case and seed, about the case's mean."""
    return [
        make_record(
            run.experiment,
            run.execution,
            request=request,
            epochs=epochs(means[run.labels[0].partition("/")[2]] + NOISE[run.experiment.seed]),
            **options,
        )
        for run in plan([mine], request, range(seeds), {"cpu": 1}).runs
        if run.labels[0].partition("/")[2] in means
    ]


def verdicts(mine, request, records):
    return judge([mine], select([mine], request, records), request)


def words(mine, records, request=PAPER):
    return [one.word for one in verdicts(mine, request, records)]


MEANS = {"8": 70.0, "16": 75.0, "32": 75.05}

KINDS = {
    'kind = "greater", metric = "clean_accuracy", case = "16", than = "8"': "supported",
    'kind = "greater", metric = "clean_accuracy", case = "8", than = "16"': "contradicted",
    'kind = "greater", metric = "clean_accuracy", case = "16", than = "32"': "inconclusive",
    'kind = "greater", metric = "clean_accuracy", case = "16", than = "8", by = 4.0': "supported",
    'kind = "greater", metric = "clean_accuracy", case = "16", than = "8", by = 6.0': "contradicted",
    'kind = "greater", metric = "clean_accuracy", case = "16", than_value = 74.0': "supported",
    'kind = "less", metric = "clean_accuracy", case = "16", than_value = 74.0': "contradicted",
    'kind = "less", metric = "clean_accuracy", case = "8", than = "16", paired = true': "supported",
    'kind = "ranking", metric = "clean_accuracy", cases = ["16", "8"]': "supported",
    'kind = "ranking", metric = "clean_accuracy", cases = ["32", "16", "8"]': "inconclusive",
    'kind = "ranking", metric = "clean_accuracy", cases = ["8", "16", "32"]': "contradicted",
    'kind = "equivalent", metric = "clean_accuracy", cases = ["16", "32"], margin = 1.0': "supported",
    'kind = "equivalent", metric = "clean_accuracy", cases = ["8", "16", "32"], margin = 1.0': "contradicted",
    'kind = "equivalent", metric = "clean_accuracy", cases = ["16", "32"], margin = 0.08': "inconclusive",
    'kind = "close", metric = "best_accuracy", case = "16", reported = "about 75 %", margin = 1.0': "supported",
    'kind = "close", metric = "best_accuracy", case = "16", reported = "77.2%", margin = 1.0': "contradicted",
    'kind = "close", metric = "best_accuracy", case = "16", reported = "76.1%", margin = 1.0': "inconclusive",
    'kind = "trend", metric = "clean_accuracy", cases = ["8", "16", "32"], direction = "rising"': "supported",
    'kind = "trend", metric = "clean_accuracy", cases = ["8", "16", "32"], direction = "falling"': "contradicted",
}
KINDS[f"{next(one for one in KINDS if 'rising' in one)}, flattens = true"] = "supported"


@pytest.mark.parametrize("check", KINDS)
def test_each_kind_of_check_finds_its_verdict(check, tmp_path):
    """Of five seeds with means 70, 75 and 75.05 % and a standard deviation of 0.08 points."""
    mine = claimed(tmp_path, f"{{ {check} }}")

    assert [KINDS[check]] == words(mine, records_of(mine, PAPER, MEANS))


@pytest.mark.parametrize("check", KINDS)
@pytest.mark.parametrize("seeds", [{"8": 5, "16": 1, "32": 3}, {"8": 1, "16": 3, "32": 5}, {"8": 3, "16": 5, "32": 1}])
def test_arms_of_unequal_seeds_are_judged_by_the_shortest(seeds, check, tmp_path):
    """A case that another table shows too has more: a report of both is none the worse, and says what is missing."""
    mine = claimed(tmp_path, f"{{ {check} }}")
    records = [one for one in records_of(mine, PAPER, MEANS) if one.seed < seeds[str(one.spec.experiment.batch_size)]]
    (verdict,) = verdicts(mine, PAPER, records)
    used = [seeds[case] for case in MEANS if f'"{case}"' in check]

    short = next((f'case "{case}" has ' for case in MEANS if seeds[case] == 1 and len({*used}) > 1), "")
    assert (min(used) < 3) == (verdict.reason == f"{short}1 of the 3 seeds that a verdict needs")
    assert lines_of(verdict)
    assert decisive(verdict)


def test_a_supported_claim_shows_what_holds(tmp_path):
    """Not the step of a trend that nothing contradicts, and nothing shows."""
    trend = 'kind = "trend", metric = "clean_accuracy", cases = ["8", "16", "32"], direction = "rising"'
    mine = claimed(tmp_path, f"{{ {trend} }}")
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, {**MEANS, "32": 75.0}))

    assert "supported" == verdict.word
    assert "would settle it" not in decisive(verdict)


def test_no_number_of_seeds_settles_a_claim_one_part_of_which_cannot_be_judged(tmp_path):
    """Its other parts agree with it, but all must be shown."""
    mine = make_benchmark(
        tmp_path,
        THREE
        + """
[[claim]]
id = "X1"
says = "it is so"
[[claim.check]]
kind = "greater"
metric = "clean_accuracy"
case = "32"
than = "16"
[[claim.check]]
kind = "greater"
metric = "late_gain"
case = "32"
than = "16"
""",
    )
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, MEANS))

    assert ("inconclusive", False) == (verdict.word, verdict.is_open)
    assert "8 epochs" in verdict.reason


TIMES = {
    'kind = "ratio", metric = "train_s", case = "8", to = "16", low = 1.5, high = 3.0': "supported",
    'kind = "ratio", metric = "train_s", case = "8", to = "16", low = 3.0, high = 5.0': "contradicted",
    'kind = "equivalent", metric = "train_s", cases = ["8", "16"], margin = 10.0': "contradicted",
    'kind = "greater", metric = "train_s", case = "8", than = "16", by = 50.0': "supported",
}


def timed(seconds):
    return (make_epoch(1, train_s=seconds),)


@pytest.mark.parametrize("check", TIMES)
def test_times_are_compared_by_ratio(check, tmp_path):
    """20 s against 10 s: twice, 100 % more."""
    mine = claimed(tmp_path, f"{{ {check} }}")

    assert [TIMES[check]] == words(mine, records_of(mine, PAPER, {"8": 20.0, "16": 10.0}, epochs=timed))


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_nothing_is_more_than_inconclusive(seeds, tmp_path):
    """However far apart."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, {"8": 10.0, "16": 90.0}, seeds))

    assert ("inconclusive", f"{seeds} of the 3 seeds that a verdict needs") == (verdict.word, verdict.reason)


@pytest.mark.parametrize(("seeds", "n"), [(3, 3), (4, 3), (5, 5), (9, 5), (10, 10)])
def test_seeds_between_looks_are_not_looked_at(seeds, n, tmp_path):
    """A fourth seed changes nothing until there are five."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, MEANS, seeds))

    assert n == verdict.n


def test_a_missing_seed_ends_the_series(tmp_path):
    """Looks are of seeds 0 to n - 1: choosing seeds would be choosing results."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')
    records = [one for one in records_of(mine, PAPER, MEANS) if one.seed != 1]

    assert "1 of the 3 seeds that a verdict needs" == verdicts(mine, PAPER, records)[0].reason


def test_a_run_without_a_result_is_no_missing_value(tmp_path):
    """The mean of the others would be biased."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')
    records = records_of(mine, PAPER, MEANS)
    records[0] = make_record(records[0].spec.experiment, request=PAPER, status="diverged")
    (verdict,) = verdicts(mine, PAPER, records)

    assert ("inconclusive", 'seed 0 of "8" ended diverged') == (verdict.word, verdict.reason)


def test_a_missing_arm_is_not_run(tmp_path):
    """And says which."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, {"16": 75.0}))

    assert ("not run", '"8" has no records') == (verdict.word, verdict.reason)


def test_without_records_every_claim_is_not_run(tmp_path):
    """Never a verdict on nothing."""
    mine = claimed(tmp_path, '{ kind = "close", metric = "best_accuracy", case = "16", value = 1.0, margin = 1.0 }')

    assert [("not run", "no records")] == [(one.word, one.reason) for one in judge([mine], [], PAPER)]


VALUE = '{ kind = "close", metric = "best_accuracy", case = "16", reported = "75%", margin = 1.0 }'


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (SMALL, "judged at paper scale alone"),
        (Request(), "judged on CIFAR-10 alone"),
        (Request(scale="paper", data="my-photos"), "judged on CIFAR-10 alone"),
        (Request(scale="paper", data="cifar10-jpeg", overrides=("epochs=1",)), "an option changed the experiment"),
    ],
)
def test_a_value_is_held_against_the_reports_only_on_its_own_terms(request_, reason, tmp_path):
    """Other data, another scale or another experiment say nothing of it."""
    mine = claimed(tmp_path, VALUE)
    (verdict,) = verdicts(mine, request_, records_of(mine, request_, MEANS))

    assert ("not run", reason) == (verdict.word, verdict.reason)


def test_a_claim_of_direction_is_judged_at_every_scale(tmp_path):
    """The heading says where."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')

    assert ["supported"] == words(mine, records_of(mine, SMALL, MEANS), SMALL)


def test_records_of_two_scales_are_never_compared(tmp_path):
    """Each arm at its own scale: neither chapter has both."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')
    records = records_of(mine, PAPER, {"16": 75.0}) + records_of(mine, SMALL, {"8": 70.0})

    assert [["not run"], ["not run"]] == [words(mine, records, request) for request in (PAPER, SMALL)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": "e" * 64}, "several data sets of one name"),
        ({"shared_code": "e" * 64}, "records of several versions of the code"),
    ],
)
def test_records_of_different_origin_are_never_compared(change, reason, tmp_path):
    """Their difference would not be that of the cases."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')
    records = records_of(mine, PAPER, {"16": 75.0}) + records_of(mine, PAPER, {"8": 70.0}, **change)
    (verdict,) = verdicts(mine, PAPER, records)

    assert ("not run", reason) == (verdict.word, verdict.reason)


def flagged(record, flag):
    content = json.loads(record.model_dump_json())
    return seal({**content, "flags": [flag]})


@pytest.mark.parametrize("flag", ["unreliable", "not_exclusive", "resumed"])
def test_an_unreliable_time_decides_nothing(flag, tmp_path):
    """It is printed with a dagger."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "train_s", case = "8", than = "16" }')
    records = [flagged(one, flag) for one in records_of(mine, PAPER, {"8": 20.0, "16": 10.0}, epochs=timed)]
    (verdict,) = verdicts(mine, PAPER, records)

    advice = "run --retime takes them again, report --accept-unreliable counts them"
    assert ("not run", f"10 of 10 times are unreliable (flags: {flag}): {advice}") == (verdict.word, verdict.reason)


def test_one_unreliable_time_is_told_among_all(tmp_path):
    """So that a reader sees what a single run holds back, and what to type."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "train_s", case = "8", than = "16" }')
    first, *others = records_of(mine, PAPER, {"8": 20.0, "16": 10.0}, epochs=timed)

    reason = verdicts(mine, PAPER, [flagged(first, "unreliable"), *others])[0].reason
    advice = "run --retime takes it again, report --accept-unreliable counts it"
    assert f"1 of 10 times is unreliable (flags: unreliable): {advice}" == reason


def test_a_comparison_of_times_says_where_the_optimizers_forms_differ(tmp_path):
    """What a form saves is no fact about the optimizer. Nothing is said of accuracies, nor of one form."""
    metrics = ("train_s", "best_accuracy")
    mine = claimed(tmp_path, *(f'{{ kind = "greater", metric = "{one}", case = "8", than = "16" }}' for one in metrics))
    records = [
        record
        for case, form in (("8", "loop"), ("16", "fused"))
        for record in records_of(mine, PAPER, {case: 20.0}, epochs=timed, numerics={"optimizer_form": form})
    ]
    times, accuracies = verdicts(mine, PAPER, records)
    (alike, _) = verdicts(mine, PAPER, records_of(mine, PAPER, {"8": 20.0, "16": 20.0}, epochs=timed))

    assert ", n = 5, forms of the optimizer differ (fused, loop)" in lines_of(times)[0]
    assert "forms of" not in lines_of(accuracies)[0] + lines_of(alike)[0]


def test_times_of_two_machines_decide_nothing(tmp_path):
    """Unless the cases are about devices."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "train_s", case = "8", than = "16" }')
    records = records_of(mine, PAPER, {"8": 20.0}, epochs=timed)
    records += records_of(mine, PAPER, {"16": 10.0}, epochs=timed, cpu="another processor")

    assert "runs come from several machines or installations" == verdicts(mine, PAPER, records)[0].reason


def test_times_of_an_unknown_machine_decide_nothing(tmp_path):
    """They may come from two."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "train_s", case = "8", than = "16" }')
    records = records_of(mine, PAPER, {"8": 20.0, "16": 10.0}, epochs=timed, cpu="unknown")
    expected = "runs come from an unknown machine: neither processor nor GPU has a name"

    assert expected == verdicts(mine, PAPER, records)[0].reason


def test_a_claim_holds_only_where_all_its_checks_do(tmp_path):
    """And falls where one of them does."""
    good = '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }'
    bad = '{ kind = "greater", metric = "best_accuracy", case = "8", than = "32" }'
    unclear = '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "32" }'
    mine = claimed(tmp_path, f"{good}, {good}", f"{good}, {unclear}", f"{good}, {bad}, {unclear}")

    assert ["supported", "inconclusive", "contradicted"] == words(mine, records_of(mine, PAPER, MEANS))


def test_a_check_that_cannot_be_judged_keeps_a_claim_from_being_supported(tmp_path):
    """But not from falling."""
    good = '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }'
    bad = '{ kind = "greater", metric = "final_train_accuracy", case = "8", than_value = 99.0 }'
    never = '{ kind = "greater", metric = "gain_at_first_cut", case = "16", than_value = 0.0 }'
    mine = claimed(tmp_path, f"{good}, {never}", f"{bad}, {never}", never)

    assert ["inconclusive", "contradicted", "not run"] == words(mine, records_of(mine, PAPER, MEANS))


OOM = '{ kind = "run_status", case = "16", status = "oom_device", device = "cpu" }'


@pytest.mark.parametrize(
    ("endings", "word"),
    [
        (["oom_device"] * 3, "supported"),
        (["ok"] * 3, "contradicted"),
        (["oom_device", "oom_device", "ok"], "inconclusive"),
        (["oom_device"] * 2, "inconclusive"),
    ],
)
def test_how_runs_end_is_a_claim(endings, word, tmp_path):
    """All of them must, three at least."""
    mine = claimed(tmp_path, OOM)
    runs = [run for run in plan([mine], PAPER, range(3), {"cpu": 1}).runs if run.experiment.batch_size == 16]
    records = [
        make_record(run.experiment, run.execution, request=PAPER, status=status)
        for run, status in zip(runs, endings, strict=False)
    ]

    assert [word] == words(mine, records)


def test_how_runs_end_on_another_device_says_nothing(tmp_path):
    """A large host does not contradict a small card."""
    mine = claimed(tmp_path, OOM.replace('"cpu"', '"cuda"'))
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, MEANS))

    assert ("not run", "no run on cuda") == (verdict.word, verdict.reason)


def shaped(test_loss, train_loss=lambda at: 2 / at):
    def epochs(_):
        return tuple(
            make_epoch(
                at,
                train=Score(loss=train_loss(at), correct=15, images=40),
                clean=Score(loss=test_loss(at), correct=10, images=20),
            )
            for at in range(1, 13)
        )

    return epochs


@pytest.mark.parametrize(
    ("epochs", "word"),
    [
        (shaped(lambda at: 1 + abs(at - 4) / 10), "supported"),
        (shaped(lambda at: 2 / at), "contradicted"),
        (shaped(lambda at: 1 + abs(at - 4) / 10, lambda at: at), "contradicted"),
        (shaped(lambda at: 1 + abs(at - 8) / 10), "contradicted"),
    ],
)
def test_overfitting_is_a_falling_training_loss_and_a_rising_test_loss(epochs, word, tmp_path):
    """In the second half of the epochs, from a lowest test loss that comes early."""
    mine = claimed(tmp_path, '{ kind = "overfits", case = "16", turns_by = 5 }')

    assert [word] == words(mine, records_of(mine, PAPER, {"16": 1.0}, epochs=epochs))


def test_two_epochs_cannot_show_overfitting(tmp_path):
    """Smoke scale has no more."""
    mine = claimed(tmp_path, '{ kind = "overfits", case = "16", turns_by = 5 }')
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, MEANS))

    assert ("not run", "overfitting: needs 5 epochs") == (verdict.word, verdict.reason)


def test_a_verdict_does_not_depend_on_which_other_tables_were_run(tmp_path):
    """The claims of all tables count, recorded or not."""
    one = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')
    other = one.model_copy(update={"name": "other"})
    views = select([one], PAPER, records_of(one, PAPER, MEANS))

    assert [0.05, 0.025] == [judge(every, views, PAPER)[0].level for every in ([one], [one, other])]


def test_an_open_verdict_says_how_many_seeds_would_settle_it(tmp_path):
    """More than there are, and whether there is a look at so many."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "32" }')
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, MEANS))

    assert verdict.deciding.seeds > 10
    assert decisive(verdict).endswith(
        f"; about {verdict.deciding.seeds} seeds, beyond the last look at 10, would settle it"
    )


def test_a_claim_falls_with_the_first_of_its_parts_that_does(tmp_path):
    """So the seeds that it would take are those of the part that is nearest to failing, not of the slowest."""
    cases = '["16", "32", "8"]'
    mine = claimed(tmp_path, f'{{ kind = "ranking", metric = "clean_accuracy", cases = {cases} }}')
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, {"16": 75.0, "32": 75.01, "8": 75.12}, seeds=3))

    assert ("32", "8") == verdict.deciding.comparison.about
    assert verdict.deciding.cost < max(one.cost for one in verdict.judged)


def test_a_claim_holds_with_the_last_of_its_parts(tmp_path):
    """Where every estimate agrees with it."""
    cases = '["8", "32", "16"]'
    mine = claimed(tmp_path, f'{{ kind = "ranking", metric = "clean_accuracy", cases = {cases} }}')
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, {"16": 75.0, "32": 75.01, "8": 75.12}, seeds=3))

    assert ("32", "16") == verdict.deciding.comparison.about


def test_a_step_back_that_would_be_shown_first_is_what_settles_a_trend(tmp_path):
    """A claim that rises from end to end falls by its step back, which then has a line of its own."""
    mine = claimed(tmp_path, f'{{ {TREND}, direction = "rising" }}')
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, {"8": 75.0, "16": 74.85, "32": 75.02}, seeds=3))

    assert ("inconclusive", True) == (verdict.word, verdict.deciding.comparison.can_only_fail)
    assert decisive(verdict) in [one.removeprefix("open: ") for one in lines_of(verdict)]


def test_a_winner_is_named_by_the_verdict(tmp_path):
    """Statement, estimate, interval and n; nothing is typed."""
    mine = claimed(tmp_path, '{ kind = "less", metric = "clean_accuracy", case = "8", than = "16" }')

    assert ['holds: clean test accuracy: "16" above "8": +5.000 points [+4.885, +5.115], n = 5'] == lines_of(
        verdicts(mine, PAPER, records_of(mine, PAPER, MEANS))[0]
    )


def test_a_paired_comparison_prints_its_correlation(tmp_path):
    """Pairing helps only where there is one."""
    mine = claimed(tmp_path, '{ kind = "less", metric = "clean_accuracy", case = "8", than = "16", paired = true }')

    assert "paired (correlation 1.00)" in lines_of(verdicts(mine, PAPER, records_of(mine, PAPER, MEANS))[0])[0]


def simulated(random, truth, count=1):
    """A check's comparisons of arms whose true difference is given, at all looks."""
    found = []
    for _ in range(count):
        one, other = random.normal(truth, 1, 10).tolist(), random.normal(0, 1, 10).tolist()
        region = Region(low=0) if truth == 0 else Region(-truth, truth)
        estimates = {n: contrast([one[:n], other[:n]], [1, -1]) for n in LOOKS}
        found.append(Comparison(("a", "b"), "x", region, Unit("points", is_log=False), estimates))
    return tuple(found)


def test_false_verdicts_on_a_whole_report_stay_under_5_percent():
    """800 reports of 18 claims, none of which is true by more than a bound: directions, rankings, equivalences."""
    random = np.random.default_rng(1)
    check = Difference(kind="greater", metric="clean_accuracy", case="a", than="b")
    claim = Claim.model_validate({"id": "X", "says": "x", "check": [check]})
    wrong = 0
    for _ in range(800):
        reports = [(CheckResult(check, simulated(random, 0)),) for _ in range(8)]
        reports += [(CheckResult(check, simulated(random, 0, count=6)),) for _ in range(2)]
        reports += [(CheckResult(check, simulated(random, 1)),) for _ in range(8)]
        levels = holm_levels([_p(one) for one in reports])
        wrong += any(_word(claim, one, level) for one, level in zip(reports, levels, strict=True))

    assert wrong / 800 <= 0.05


def _word(claim, results, level):
    """Say whether a verdict is given; none would be right."""
    comparisons = [one for result in results for one in result.comparisons]
    holds = max(one.p_for for one in comparisons) <= level
    falls = len(comparisons) * min(one.p_against for one in comparisons) <= level
    return holds or falls


def test_the_word_of_a_verdict_is_that_of_the_levels():
    """The simulation above and the verdict agree."""
    random = np.random.default_rng(2)
    check = Difference(kind="greater", metric="clean_accuracy", case="a", than="b")
    claim = Claim.model_validate({"id": "X", "says": "x", "check": [check]})
    reports = [(CheckResult(check, simulated(random, 0, count=2)),) for _ in range(300)]

    assert [_word(claim, one, 0.1) for one in reports] == [
        _verdict(None, claim, one, 0.1, 1).word != "inconclusive" for one in reports
    ]


def test_a_correlation_is_not_shown_for_unpaired_arms(tmp_path):
    """Nothing was declared."""
    mine = claimed(tmp_path, '{ kind = "less", metric = "clean_accuracy", case = "8", than = "16" }')
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, MEANS))

    assert [None] == [one.comparison.correlation for one in verdict.judged]


def test_epochs_that_agree_over_three_seeds_are_not_taken_for_certain(tmp_path):
    """Plateaus at epochs 4, 4, 4 and 5, 5, 5: a step of one epoch has a variance of its own."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "epochs_to_plateau", case = "16", than = "8" }')

    def rising(at):
        return tuple(
            make_epoch(epoch, clean=Score(loss=2.0, correct=90 if epoch >= at else 10, images=100))
            for epoch in range(1, 9)
        )

    records = records_of(mine, PAPER, {"8": 4.0, "16": 5.0}, seeds=3, epochs=lambda mean: rising(round(mean)))

    assert ["inconclusive"] == words(mine, records)


def test_that_one_of_many_parts_fails_is_tested_so_many_times(tmp_path):
    """A part that would fail alone does not, among ten that might have."""
    bad = '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }'
    free = '{ kind = "greater", metric = "clean_accuracy", case = "32", than = "16" }'
    alone, among = claimed(tmp_path, bad), claimed(tmp_path, ", ".join([bad, *[free] * 9]))
    means = {"8": 75.2, "16": 75.0, "32": 75.0}

    assert ["contradicted"] == words(alone, records_of(alone, PAPER, means))
    assert ["inconclusive"] == words(among, records_of(among, PAPER, means))


def test_more_claims_take_more_seeds(tmp_path):
    """Holm's first step is stricter."""
    check = '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "32" }'
    one, many = claimed(tmp_path, check), claimed(tmp_path, *[check] * 12)
    records = records_of(one, PAPER, {"8": 70.0, "16": 75.1, "32": 75.0})

    assert verdicts(one, PAPER, records)[0].deciding.seeds < verdicts(many, PAPER, records)[0].deciding.seeds


def test_a_reported_value_is_one_run_that_scatters_as_ours_do(tmp_path):
    """1.15 points off, margin 1: beyond what our mean allows, within what one more run does."""
    near = '{ kind = "close", metric = "best_accuracy", case = "16", reported = "76.150%", margin = 1.0 }'
    ours = '{ kind = "close", metric = "best_accuracy", case = "16", value = 76.15, margin = 1.0 }'
    mine = claimed(tmp_path, near, ours)

    assert ["inconclusive", "contradicted"] == words(mine, records_of(mine, PAPER, MEANS, seeds=10))


def test_no_number_of_seeds_takes_away_the_scatter_of_one_run(tmp_path):
    """So it is not promised."""
    mine = claimed(
        tmp_path, '{ kind = "close", metric = "best_accuracy", case = "16", reported = "76.100%", margin = 1.0 }'
    )
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, MEANS))

    assert ("inconclusive", None) == (verdict.word, verdict.deciding.seeds)


TREND = 'kind = "trend", metric = "clean_accuracy", cases = ["8", "16", "32"]'


def test_a_trend_is_written_as_it_runs(tmp_path):
    """A fall has a minus, and is that of one step."""
    mine = claimed(tmp_path, f'{{ {TREND}, direction = "falling" }}')
    (verdict,) = verdicts(mine, PAPER, records_of(mine, PAPER, {"8": 79.0, "16": 77.0, "32": 75.0}))

    assert lines_of(verdict)[0].startswith('holds: clean test accuracy per step, falling: "8" to "32": -2.00')


@pytest.mark.parametrize(("means", "word"), [((70.0, 74.0, 75.0), "supported"), ((70.0, 71.0, 75.0), "contradicted")])
def test_a_trend_flattens_where_its_last_step_is_the_smaller(means, word, tmp_path):
    """4 points then 1, or 1 then 4."""
    mine = claimed(tmp_path, f'{{ {TREND}, direction = "rising", flattens = true }}')

    assert [word] == words(mine, records_of(mine, PAPER, dict(zip(("8", "16", "32"), means, strict=True))))


def test_a_step_back_contradicts_a_trend_whatever_its_ends(tmp_path):
    """75, 95, 74: a line through three means does not see the middle."""
    mine = claimed(tmp_path, f'{{ {TREND}, direction = "falling" }}')

    assert ["contradicted"] == words(mine, records_of(mine, PAPER, {"8": 75.0, "16": 95.0, "32": 74.0}))


def test_cases_that_options_make_one_run_are_not_compared(tmp_path):
    """A run is equivalent to itself."""
    request = Request(scale="paper", data="cifar10-jpeg", overrides=("batch_size=4",))
    mine = claimed(tmp_path, '{ kind = "equivalent", metric = "clean_accuracy", cases = ["8", "16"], margin = 1.0 }')
    one = mine.model_copy(update={"cases": mine.cases[:1]})
    records = records_of(one, request, {"8": 75.0})
    (verdict,) = verdicts(mine, request, records)

    assert ("not run", "two of its cases are one run under these options") == (verdict.word, verdict.reason)


VALUES = [
    '{ kind = "ratio", metric = "train_s", case = "8", to = "16", low = 10.0, high = 100.0 }',
    '{ kind = "close", metric = "best_accuracy", case = "16", value = 90.0, margin = 1.0 }',
    '{ kind = "greater", metric = "clean_accuracy", case = "16", than_value = 74.0 }',
]


@pytest.mark.parametrize("check", VALUES)
def test_how_much_something_is_is_judged_at_full_size_alone(check, tmp_path):
    """Ratios and levels mean nothing at another size, even without a reported number."""
    mine = claimed(tmp_path, check)
    (verdict,) = verdicts(mine, SMALL, records_of(mine, SMALL, MEANS))

    assert ("not run", "judged at paper scale alone") == (verdict.word, verdict.reason)


def test_a_failed_run_counts_wherever_it_stands(tmp_path):
    """Also behind a seed that is missing."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')
    records = [one for one in records_of(mine, PAPER, MEANS, seeds=6) if one.seed != 4]
    last = next(at for at, one in enumerate(records) if (one.seed, one.spec.experiment.batch_size) == (5, 8))
    records[last] = make_record(records[last].spec.experiment, request=PAPER, status="diverged")

    assert ["inconclusive"] == words(mine, records)


def test_a_failed_run_of_other_data_is_no_other_data(tmp_path):
    """It may have ended before it knew them."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }')
    records = records_of(mine, PAPER, MEANS)
    records[0] = make_record(records[0].spec.experiment, request=PAPER, status="crashed", data="e" * 64)

    assert "ended crashed" in verdicts(mine, PAPER, records)[0].reason


@pytest.mark.parametrize("status", ["unsupported", "crashed", "interrupted"])
def test_a_run_that_was_not_carried_out_says_nothing_of_how_it_would_end(status, tmp_path):
    """Neither for nor against."""
    mine = claimed(tmp_path, OOM)
    runs = [run for run in plan([mine], PAPER, range(3), {"cpu": 1}).runs if run.experiment.batch_size == 16]
    records = [make_record(run.experiment, run.execution, request=PAPER, status=status) for run in runs]

    assert ["not run"] == words(mine, records)


@pytest.mark.parametrize(("gibibytes", "word"), [(24, "contradicted"), (80, "not run")])
def test_what_fits_a_larger_card_says_nothing(gibibytes, word, tmp_path):
    """The claim is about one of 24 GiB."""
    mine = claimed(tmp_path, OOM.replace('"cpu" }', '"cuda", card = "24 GiB" }'))
    records = []
    for record in records_of(mine, PAPER, MEANS):
        content = json.loads(record.model_dump_json())
        content["fingerprint"]["numerics"] |= {"device": "cuda", "gpu_memory_bytes": gibibytes * 2**30 * 98 // 100}
        records.append(seal(content))

    assert [word] == words(mine, records)


def test_times_of_two_devices_may_come_from_two_machines(tmp_path):
    """A ratio of devices is nothing else."""
    (device,) = load_benchmarks(("device",))
    means = {"CPU": 44.0, "GPU": 1.0}
    records = [
        make_record(
            run.experiment,
            run.execution,
            request=PAPER,
            epochs=(make_epoch(1, train_s=means[name] * (1 + NOISE[run.experiment.seed] / 10)),),
            cpu=f"a machine with {name}",
        )
        for run in plan([device], PAPER, range(5), {"cpu": 1, "cuda": 1}).runs
        if (name := run.labels[0].partition("/")[2]) in means
    ]
    found = {one.claim.id: one.word for one in judge([device], select([device], PAPER, records), PAPER)}

    assert "supported" == found["F2"]


def test_times_of_two_versions_of_torch_decide_nothing(tmp_path):
    """The difference may be theirs."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "train_s", case = "8", than = "16" }')
    records = records_of(mine, PAPER, {"8": 20.0}, epochs=timed)
    for record in records_of(mine, PAPER, {"16": 10.0}, epochs=timed):
        content = json.loads(record.model_dump_json())
        content["fingerprint"]["numerics"]["torch"] = "1.9.0"
        records.append(seal(content))

    assert ["not run"] == words(mine, records)


@pytest.mark.parametrize("seconds", [0.0])
def test_a_time_of_nothing_is_no_crash(seconds, tmp_path):
    """No ratio can be taken of it."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "train_s", case = "8", than = "16" }')
    records = records_of(mine, PAPER, {"8": 20.0, "16": 10.0}, epochs=lambda _: (make_epoch(1, train_s=seconds),))

    assert ["not run"] == words(mine, records)


def test_losses_that_agree_to_the_last_bit_are_no_sample(tmp_path):
    """Nothing tells their noise."""
    mine = claimed(tmp_path, '{ kind = "greater", metric = "final_train_loss", case = "8", than = "16" }')

    assert ["not run"] == words(mine, records_of(mine, PAPER, MEANS))


ABOVE = Region(low=0)


def compared(estimates, region=ABOVE, **changes):
    """A comparison of "a" with "b" whose estimate at the last look is given."""
    values = {"about": ("a", "b"), "what": "x", "unit": Unit("points", is_log=False), **changes}
    return Comparison(region=region, estimates=estimates, **values)


def estimate(value, se=0.5, n=5):
    return Estimate(value, se, 2 * n - 2, n, n * se**2)


BETWEEN = Difference(kind="greater", metric="clean_accuracy", case="a", than="b")
AT_LEAST = BETWEEN.model_copy(update={"by": 1.0})
AGAINST = Difference(kind="greater", metric="clean_accuracy", case="a", than_value=70.0)
SAME = Equivalent(kind="equivalent", metric="train_s", cases=("a", "b"), margin=5.0)
PRINTED = Close(kind="close", metric="best_accuracy", case="a", reported="75 %", margin=1.0)
NUMBER = Close(kind="close", metric="train_s", case="a", value=12.5, margin=10.0)
TIMES_ = Ratio(kind="ratio", metric="train_s", case="a", to="b", low=1.5, high=3.0)
RISES = Trend(kind="trend", metric="jitter", cases=("a", "c", "b"), direction="rising")
ALL = Ranking(kind="ranking", metric="jitter", cases=("a", "b"))
OVERFITS = Overfits(kind="overfits", case="a", turns_by=5)


@pytest.mark.parametrize(
    ("check", "changes", "text"),
    [
        (BETWEEN, {}, 'x: "a" above "b"'),
        (AT_LEAST, {}, 'x: "a" above "b" by at least 1 point'),
        (AGAINST, {"region": Region(low=70.0), "about": ("a",)}, 'x: "a" above 70'),
        (AGAINST, {"region": Region(high=70.0), "about": ("a",)}, 'x: "a" below 70'),
        (SAME, {}, 'x: "a" and "b" within 5 %'),
        (PRINTED, {"about": ("a",)}, 'x: "a" within 1 point of 75 %'),
        (NUMBER, {"about": ("a",)}, 'x: "a" within 10 % of 12.5'),
        (TIMES_, {}, 'x: "a" is 1.5 to 3 times "b"'),
        (RISES, {"about": ("a", "c", "b")}, 'x: "a" to "b"'),
        (ALL, {}, 'x: "a" above "b"'),
        (OVERFITS, {"region": Region(high=5.5), "about": ("a",)}, 'x: "a" below 5.5'),
    ],
)
def test_a_statement_says_what_its_check_asserts(check, changes, text):
    """Cases, bound and margin, in the words of its kind."""
    assert text == statement(check, compared({}, **changes))


PERCENT, PLAIN = Unit("%", is_log=True), Unit("points", is_log=False)


@pytest.mark.parametrize(
    ("check", "changes", "value", "se", "text"),
    [
        (BETWEEN, {}, 1.25, 0.5, "+1.25 points [+0.10, +2.40]"),
        (BETWEEN, {}, -12.5, 5.0, "-12.5 points [-24.0, -1.0]"),
        (BETWEEN, {}, 0.0125, 0.005, "+0.0125 points [+0.0010, +0.0240]"),
        (BETWEEN, {}, 0.5, 0.0, "+0.50 points [+0.50, +0.50]"),
        (BETWEEN, {}, 0.5, 1e-9, "+0.50000 points [+0.50000, +0.50000]"),
        (RISES, {"falls": True}, 1.25, 0.5, "-1.25 points [-2.40, -0.10]"),
        (AGAINST, {"about": ("a",)}, 71.25, 0.5, "71.25 % [70.10, 72.40]"),
        (OVERFITS, {"about": ("a",), "unit": Unit("nats", is_log=False)}, -1.25, 0.5, "-1.25 nats [-2.40, -0.10]"),
        (SAME, {"unit": PERCENT}, log(1.05), 0.01, "+5.0 % [+2.6, +7.4]"),
        (SAME, {"unit": PERCENT}, log(0.95), 0.01, "-5.0 % [-7.2, -2.8]"),
        (TIMES_, {"unit": PERCENT}, log(2.0), 0.01, "2 times [1.95, 2.05]"),
        (TIMES_, {"unit": PERCENT}, log(0.5), 0.01, "0.5 times [0.489, 0.512]"),
        (NUMBER, {"about": ("a",), "unit": PERCENT}, log(12.0), 0.01, "12.00 s [11.73, 12.28]"),
    ],
)
def test_an_estimate_is_written_in_its_unit(check, changes, value, se, text):
    """With the digits that its error leaves, a sign for a difference, a ratio where it is far from one."""
    assert text == estimate_text(check, compared({5: estimate(value, se)}, **changes))


def test_memory_is_written_in_mebibytes():
    """Not in bytes."""
    check = Close(kind="close", metric="process_peak_bytes", case="a", value=2.0**31, margin=10.0)
    comparison = compared({5: estimate(log(2.0**31), 0.01)}, about=("a",), unit=PERCENT)

    assert "2048.0 MiB [2001.3, 2095.8]" == estimate_text(check, comparison)


def test_a_level_that_is_no_share_has_its_own_unit():
    """A gap in points may be below nothing."""
    check = Difference(kind="less", metric="generalization_gap", case="a", than_value=5.0)

    assert "+1.25 points [+0.10, +2.40]" == estimate_text(check, compared({5: estimate(1.25)}, about=("a",)))


@pytest.mark.parametrize(
    ("holds", "seeds", "correlation", "text"),
    [
        (True, None, None, "holds: %, n = 5"),
        (False, None, 0.5, "fails: %, n = 5, paired (correlation 0.50)"),
        (None, 10, None, "open: %, n = 5; about 10 seeds would settle it"),
        (None, 1_000, None, "open: %, n = 5; about 1,000 seeds, beyond the last look at 10, would settle it"),
        (None, None, None, "open: %, n = 5; more than 1,000 seeds would settle it"),
    ],
)
def test_a_line_says_whether_its_comparison_holds(holds, seeds, correlation, text):
    """And, where that is open, what would settle it."""
    judged = Judged(compared({5: estimate(1.25)}, correlation=correlation), holds, seeds)
    what = 'x: "a" above "b": +1.25 points [+0.10, +2.40]'

    assert text.replace("%", what) == line(BETWEEN, judged)


STATUS = RunStatus(kind="run_status", case="a", status="oom_device", device="cpu")


def verdict_of(word, results, judged=()):
    claim = Claim.model_validate({"id": "X", "says": "x", "check": [result.check for result in results]})
    return Verdict(None, claim, word, tuple(results), tuple(judged), 0.05)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (CheckResult(STATUS, status_holds=True), 'holds: every run of "a" ends out of memory'),
        (CheckResult(STATUS, status_holds=False), 'fails: every run of "a" ends out of memory'),
        (
            CheckResult(STATUS, reason="no run on cpu", is_missing=True),
            'not run: every run of "a" ends out of memory: no run on cpu',
        ),
        (CheckResult(OVERFITS, reason="why"), 'open: "a" overfits: why'),
        (CheckResult(BETWEEN, reason="why"), "open: clean test accuracy: why"),
        (CheckResult(BETWEEN, (compared({}),), reason="why"), 'open: x: "a" above "b": why'),
        (CheckResult(BETWEEN, (compared({}),) * 3, reason="why"), 'open: x: "a" above "b" (and 2 more): why'),
        (
            CheckResult(BETWEEN, reason="clean test accuracy: needs more", is_missing=True),
            "not run: clean test accuracy: needs more",
        ),
    ],
)
def test_a_check_without_numbers_has_a_line_of_its_own(result, text):
    """With the reason, which is not said twice."""
    assert [text] == lines_of(verdict_of("inconclusive", [result]))


def test_each_check_has_the_lines_of_its_own_comparisons():
    """In order; a part that can only fail has one where it does."""
    parts = [compared({5: estimate(at)}, what=f"x{at}", can_only_fail=at == 2) for at in range(4)]
    judged = [Judged(one, None if at == 2 else True, None) for at, one in enumerate(parts)]
    results = [CheckResult(BETWEEN, tuple(parts[:1])), CheckResult(ALL, tuple(parts[1:]))]

    assert ["x0", "x1", "x3"] == [one.split(": ")[1] for one in lines_of(verdict_of("supported", results, judged))]


@pytest.mark.parametrize(("word", "shown"), [("supported", "x1"), ("contradicted", "x2"), ("inconclusive", "x4")])
def test_the_decisive_line_is_what_the_verdict_rests_on(word, shown):
    """What held by the least, what failed by the most, what would settle it first."""
    values = {
        "supported": (5.0, 1.5, 3.0),
        "contradicted": (5.0, -1.5, -5.0),
        "inconclusive": (5.0, 0.3, 0.2, 0.1, 0.4),
    }
    holds = {"supported": True, "contradicted": False, "inconclusive": None}[word]
    parts = [compared({5: estimate(one)}, what=f"x{at}") for at, one in enumerate(values[word])]
    judged = [
        Judged(one, True if one.last.value == 5.0 and word != "inconclusive" else holds, 10 * at)
        for at, one in enumerate(parts)
    ]

    assert shown == decisive(verdict_of(word, [CheckResult(ALL, tuple(parts))], judged)).partition(":")[0]


def test_a_verdict_that_rests_on_how_runs_ended_says_so():
    """There is no number."""
    results = [CheckResult(STATUS, status_holds=False)]

    assert 'every run of "a" ends out of memory' == decisive(verdict_of("contradicted", results))


def test_a_verdict_without_a_number_gives_its_reason():
    """Each once."""
    results = [CheckResult(BETWEEN, reason="one"), CheckResult(ALL, reason="other"), CheckResult(ALL, reason="one")]

    assert "one; other" == decisive(verdict_of("inconclusive", results))


def test_a_contradicted_claim_shows_what_failed_though_another_part_is_missing():
    """The reason is of the other part."""
    part = compared({5: estimate(-5.0)})
    results = [CheckResult(BETWEEN, (part,)), CheckResult(ALL, reason="other", is_missing=True)]
    verdict = verdict_of("contradicted", results, [Judged(part, False, None)])

    assert decisive(verdict).startswith('x: "a" above "b": -5.00 points')


def test_the_seeds_of_a_verdict_are_those_of_its_smallest_arm():
    """0 where nothing was judged."""
    results = [CheckResult(BETWEEN, reason="why")]
    judged = [Judged(compared({3: estimate(1.0, n=3), n: estimate(1.0, n=n)}), True, None) for n in (5, 10)]

    assert (5, 0) == (verdict_of("supported", results, judged).n, verdict_of("not run", results).n)


@pytest.mark.parametrize(
    ("holds", "can_only_fail", "counts"),
    [(True, False, True), (None, False, True), (None, True, False), (False, True, True)],
)
def test_a_part_that_can_only_fail_counts_where_it_does(holds, can_only_fail, counts):
    """A claim does not wait for it."""
    assert counts == Judged(compared({}, can_only_fail=can_only_fail), holds, None).counts


@pytest.mark.parametrize(("value", "is_inside"), [(-1.0, False), (0.0, False), (0.5, True), (1.0, False), (2.0, False)])
def test_an_estimate_agrees_with_a_claim_inside_its_region(value, is_inside):
    """Not on its bounds."""
    assert is_inside == compared({5: estimate(value)}, Region(0.0, 1.0)).is_inside


def test_the_last_look_is_the_largest():
    """In whatever order they are held."""
    assert 10 == compared({10: estimate(1.0, n=10), 3: estimate(2.0, n=3)}).last.n


def test_a_claim_gives_holm_the_p_of_all_its_parts_or_of_one_that_fails():
    """The largest for it; the smallest against it, times the parts; a part that can only fail counts against alone."""
    holds, fails = compared({5: estimate(2.0)}), compared({5: estimate(-2.0)})
    only = compared({5: estimate(-0.1)}, can_only_fail=True)

    assert holds.p_for == _p([CheckResult(BETWEEN, (holds,))])
    assert 2 * fails.p_against == _p([CheckResult(BETWEEN, (holds, fails))])
    assert holds.p_for == _p([CheckResult(BETWEEN, (holds, only))])
    assert 1.0 == _p([CheckResult(BETWEEN, (holds,)), CheckResult(ALL, reason="missing")])
    assert 1.0 == _p([CheckResult(STATUS, status_holds=True)])


def comparisons_of(check, means, epochs=curve, seeds=3):
    """The comparisons of a check on cases whose runs scatter by seed."""
    arms = {
        name: make_case(
            name,
            tuple(
                make_record(make_experiment(seed=seed, batch_size=at + 1), epochs=epochs(mean + NOISE[seed]))
                for seed in range(seeds)
            ),
        )
        for at, (name, mean) in enumerate(means.items())
    }
    return compare(check, {name: replace(arm, arm_id=name) for name, arm in arms.items()})


ABC = {"a": 70.0, "b": 72.0, "c": 75.0}


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ({"kind": "greater", "case": "a", "than": "b", "by": 1.0}, [("ab", -2.0, 1.0, inf)]),
        ({"kind": "less", "case": "a", "than": "b"}, [("ba", 2.0, 0.0, inf)]),
        ({"kind": "greater", "case": "a", "than_value": 69.0, "by": 0.5}, [("a", 70.0, 69.5, inf)]),
        ({"kind": "less", "case": "a", "than_value": 69.0, "by": 0.5}, [("a", 70.0, -inf, 68.5)]),
        ({"kind": "ranking", "cases": ["c", "b", "a"]}, [("cb", 3.0, 0.0, inf), ("ba", 2.0, 0.0, inf)]),
        (
            {"kind": "equivalent", "cases": ["a", "b", "c"], "margin": 1.0},
            [("ab", -2.0, -1.0, 1.0), ("ac", -5.0, -1.0, 1.0), ("bc", -3.0, -1.0, 1.0)],
        ),
        ({"kind": "close", "case": "a", "value": 71.0, "margin": 2.0}, [("a", 70.0, 69.0, 73.0)]),
        ({"kind": "close", "case": "a", "reported": "71 %", "margin": 2.0}, [("a", 70.0, 68.5, 73.5)]),
        (
            {"kind": "trend", "cases": ["a", "b", "c"], "direction": "rising", "flattens": True},
            [("abc", 2.5, 0.0, inf), ("ab", 2.0, 0.0, inf), ("bc", 3.0, 0.0, inf), ("abc", -1.0, 0.0, inf)],
        ),
        (
            {"kind": "trend", "cases": ["c", "b", "a"], "direction": "falling", "flattens": True},
            [("cba", 2.5, 0.0, inf), ("cb", 3.0, 0.0, inf), ("ba", 2.0, 0.0, inf), ("cba", 1.0, 0.0, inf)],
        ),
    ],
    ids=lambda one: one["kind"] if isinstance(one, dict) else "",
)
def test_a_check_amounts_to_these_comparisons(check, expected):
    """Cases in order, the estimate and the region in which the check says that it lies."""
    (check,) = Claim.model_validate({"id": "X", "says": "x", "check": [{**check, "metric": "clean_accuracy"}]}).checks
    found = comparisons_of(check, ABC)

    assert expected == [
        ("".join(one.about), pytest.approx(one.last.value), one.region.low, one.region.high) for one in found
    ]


def test_ratios_are_compared_by_logarithm():
    """And a margin in percent is one of the ratio."""
    times = {"a": 20.0, "b": 10.0}
    (ratio,) = comparisons_of(TIMES_, times, timed)
    (same,) = comparisons_of(SAME, times, timed)
    (near,) = comparisons_of(NUMBER, times, timed)

    assert (log(2), log(1.5), log(3)) == pytest.approx(
        (ratio.last.value, ratio.region.low, ratio.region.high), abs=0.01
    )
    assert (-log(1.05), log(1.05)) == pytest.approx((same.region.low, same.region.high))
    assert (log(12.5 / 1.1), log(12.5 * 1.1)) == pytest.approx((near.region.low, near.region.high))
    assert [PERCENT] * 3 == [one.unit for one in (ratio, same, near)]


def test_parts_of_a_trend_are_marked_by_what_they_can_do():
    """Steps can only fail; the line of a fall is written with the other sign."""
    check = Trend(kind="trend", metric="clean_accuracy", cases=("c", "b", "a"), direction="falling", flattens=True)
    found = comparisons_of(check, ABC)

    assert [(False, True), (True, False), (True, False), (False, False)] == [
        (one.can_only_fail, one.falls) for one in found
    ]


def test_a_line_through_four_means_is_of_least_squares():
    """Weights -3, -1, 1, 3 by tenths."""
    check = Trend(kind="trend", metric="clean_accuracy", cases=("a", "b", "c", "d"), direction="rising")

    assert 3.0 == pytest.approx(comparisons_of(check, {**ABC, "d": 79.0})[0].last.value)


def test_only_a_printed_number_is_that_of_one_run():
    """A number that somebody else computed is not."""
    found = [
        comparisons_of(one, ABC)[0].against_one_run
        for one in (PRINTED, PRINTED.model_copy(update={"reported": None, "value": 75.0}))
    ]

    assert [True, False] == found


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
def test_a_pair_is_correlated_over_the_seeds_of_its_last_look(seeds):
    """None before the first."""
    check = BETWEEN.model_copy(update={"paired": True})
    (found,) = comparisons_of(check, {"a": 70.0, "b": 72.0}, seeds=seeds)

    assert (None if seeds < 3 else pytest.approx(1.0)) == found.correlation
    assert [look for look in LOOKS if look <= seeds] == list(found.estimates)


def overfitting(seeds):
    arm = make_case(
        "a",
        tuple(
            make_record(make_experiment(seed=seed), epochs=shaped(lambda at, s=seed: 1 + abs(at - 4) * (1 + s) / 10)(0))
            for seed in range(seeds)
        ),
    )
    return compare(OVERFITS, {"a": arm})


def test_overfitting_is_three_comparisons():
    """Of slopes over the second half, and of the epoch at which the test loss turns, whose step is one."""
    found = overfitting(3)

    assert [(-inf, 0), (0, inf), (-inf, 5.5)] == [(one.region.low, one.region.high) for one in found]
    assert ["nats", "nats", "epochs"] == [one.unit.name for one in found]
    assert [0.2, 4.0] == pytest.approx([one.last.value for one in found[1:]])
    assert (1 / 12 / 3) ** 0.5 == pytest.approx(found[2].last.se)
    assert [3] == list(found[2].estimates)


def test_overfitting_of_two_seeds_is_not_estimated():
    """There is no look at so few."""
    assert [{}, {}, {}] == [one.estimates for one in overfitting(2)]
