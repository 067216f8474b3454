"""The regression check: what it finds at n = 1, what it finds by statistics, and that it passes on nothing."""

from dataclasses import replace

import pytest
from builders import make_benchmark, make_epoch, make_experiment, make_record
from scipy.stats import ttest_ind

from resnet18.gate.exact import exact_findings
from resnet18.gate.gather import alike, head_cases
from resnet18.gate.judge import Sides, check
from resnet18.gate.statistical import costs, growth, p_of_change, p_of_growth, prediction
from resnet18.gate.text import check_rows, check_text
from resnet18.records.record import Score
from resnet18.spec.benchmark import Gate
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.experiment import Execution
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

GATE = Gate(seeds=3)
CASE = "mine/8"


def make_side(seeds, correct=lambda seed: 700, train_s=1.0, rss=500_000_000, numerics=None, **experiment):
    """Records of one case on 1,000 test images, one for each seed."""
    found = []
    for seed in seeds:
        hits = Score(loss=1.0, correct=correct(seed), images=1_000)
        record = make_record(
            make_experiment(seed=seed, **experiment),
            epochs=(replace(make_epoch(1), clean=hits, train_s=train_s * (1 + 0.001 * (seed % 3))),),
            numerics=numerics,
        )
        memory = record.memory.model_copy(update={"rss_peak_bytes": rss + 4096 * (seed % 2)})
        found.append(record.model_copy(update={"memory": memory, "parameters": 100}))
    return tuple(found)


def noisy(seed):
    """Correct images of a seed: a standard deviation of about one point."""
    return 700 + (seed * 7919) % 31 - 15


def verdicts(judged, metric):
    return [one.verdict for one in judged.findings if one.metric == metric]


def judge(head, baseline, base=None, gate=GATE, **saved):
    sides = Sides({CASE: head}, {CASE: baseline}, None if base is None else {CASE: base}, **saved)
    return check(sides, gate)


def test_equal_bits_pass():
    """Exit code 0, and the text says how many were equal."""
    side = make_side(range(6), noisy)
    judged = judge(side[:3], side)

    assert 0 == judged.exit_code
    assert ["ok"] == verdicts(judged, "bits")
    assert "equal to the last bit for 3 of 3 seeds" in check_text(judged, "head", "baseline", 0.01)


def test_one_other_bit_is_a_regression_that_names_epoch_and_value():
    """At n = 1: the first seed that differs."""
    judged = judge(make_side([0], lambda _: 699), make_side(range(6), noisy))

    assert 1 == judged.exit_code
    (finding,) = [one for one in judged.findings if one.metric == "bits"]
    assert "seed 0: epoch 1, test clean correct: 685 and 699" == finding.says


def test_under_other_numerics_bits_are_not_compared_and_the_fields_are_named():
    """Another processor's rounding is no regression."""
    judged = judge(make_side(range(3), noisy, numerics={"cpu_model": "other"}), make_side(range(6), noisy))

    assert 0 == judged.exit_code
    (finding,) = [one for one in judged.findings if one.metric == "bits"]
    assert ("not compared", "the baseline is of other numerics: cpu_model") == (finding.verdict, finding.says)


def test_of_unknown_processors_neither_bits_nor_costs_are_compared():
    """Two that are unknown need not be equal ones."""
    old, new = (make_side(range(3), noisy, numerics={"cpu_model": "unknown"}) for _ in range(2))
    says = "numerics: cpu_model, which is unknown"

    found = [one for one in exact_findings(CASE, old, new) if one.metric == "bits"] + [*costs(CASE, old, new, GATE)]

    assert [("not compared", True)] * 3 == [(one.verdict, one.says.endswith(says)) for one in found]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch_size": 8}, "experiment.batch_size: 16 and now 8"),
        ({"optimizer": {"name": "sgd", "lr": 0.1}}, "experiment.optimizer.lr: 0.01 and now 0.1"),
        (
            {"augmentation": [{"name": "random_horizontal_flip", "p": 0.4}, {"name": "to_tensor"}]},
            "experiment.augmentation",
        ),
    ],
)
def test_a_changed_spec_is_named_and_nothing_else_is_compared(changes, says):
    """Its numbers are another experiment's."""
    found = [*exact_findings(CASE, make_side([0]), make_side([0], **changes))]

    assert ["spec"] == [one.metric for one in found]
    assert says in found[0].says
    assert "regression" == found[0].verdict


def test_other_parameters_and_steps_are_regressions_under_any_numerics():
    """They do not depend on rounding."""
    (old,), (new,) = make_side([0]), make_side([0], numerics={"cpu_model": "other"})
    new = new.model_copy(update={"parameters": 101, "epochs": (replace(new.epochs[0], steps=4),)})
    found = {one.metric: one.verdict for one in exact_findings(CASE, [old], [new])}

    assert ("regression", "regression") == (found["parameters"], found["steps"])


def test_more_saved_bytes_are_a_regression():
    """Exact, whatever the machine: a buffer that autograd keeps twice."""
    side = make_side(range(6), noisy)
    judged = judge(side[:3], side, saved_bytes={CASE: (1_000, 2_000)})

    assert (1, ["regression"]) == (judged.exit_code, verdicts(judged, "saved_bytes"))
    assert "1,000 bytes and now 2,000: +100.0 %" in str(judged.findings)


@pytest.mark.parametrize(("shift", "expected"), [(-80, "regression"), (80, "regression"), (0, "ok")])
def test_accuracy_is_judged_both_ways(shift, expected):
    """A gain that nobody meant is a change too."""
    head = make_side(range(10, 13), lambda seed: noisy(seed) + shift, numerics={"cpu_model": "other"})

    assert [expected] == verdicts(judge(head, make_side(range(10), noisy)), "clean_accuracy")


def test_a_baseline_of_too_few_seeds_measures_no_spread():
    """Twice as many as are judged; exit code 3."""
    side = make_side(range(6), noisy)
    judged = judge(side[:3], side[:5])

    assert (3, ["missing"]) == (judged.exit_code, verdicts(judged, "clean_accuracy"))
    assert "n = 5, its spread takes 6" in str(judged.findings)


@pytest.mark.parametrize(("factor", "expected"), [(1.10, "regression"), (1.0, "ok"), (0.8, "ok")])
def test_a_slowdown_is_found_by_pairs_that_ran_in_turns(factor, expected):
    """One-sided: nobody minds a gain."""
    side = make_side(range(6), noisy)
    slower = make_side(range(6), noisy, train_s=factor)

    assert [expected] == verdicts(judge(slower, side, base=side), "train_s")


def test_a_growth_of_memory_is_found_by_pairs_that_ran_in_turns():
    """Five percent."""
    side = make_side(range(6), noisy)
    judged = judge(make_side(range(6), noisy, rss=525_000_000), side, base=side)

    assert ["regression"] == verdicts(judged, "rss_peak_bytes")


def test_without_a_base_nothing_is_said_of_costs_and_the_way_is_named():
    """Seconds of another day are no evidence."""
    side = make_side(range(6), noisy)
    judged = judge(side[:3], side)

    assert ["not compared"] == verdicts(judged, "costs")
    assert "BASE=commit" in check_text(judged, "head", "baseline", 0.01)


def test_costs_of_other_numerics_are_not_compared():
    """Another number of threads in the same job, say."""
    side = make_side(range(6), noisy)
    judged = judge(side, side, base=make_side(range(6), noisy, numerics={"threads": 7}))

    assert (["not compared"], ["not compared"]) == (verdicts(judged, "train_s"), verdicts(judged, "rss_peak_bytes"))


def test_a_missing_metric_is_missing_not_equal():
    """A record whose peak is null gives no pair."""
    side = make_side(range(6), noisy)
    nothing = side[0].memory.model_copy(update={"rss_peak_bytes": None})
    bare = tuple(one.model_copy(update={"memory": nothing}) for one in side)
    judged = judge(bare, side, base=side)

    assert (3, ["missing"]) == (judged.exit_code, verdicts(judged, "rss_peak_bytes"))
    assert "0 pairs of a base and a head, 3 are needed" in str(judged.findings)


def failed(seed=0):
    return make_record(make_experiment(seed=seed), status="crashed")


def test_a_head_that_crashes_where_the_baseline_did_not_is_a_regression():
    """With the status."""
    judged = judge((failed(),), make_side(range(6), noisy))

    assert (1, ["regression"]) == (judged.exit_code, verdicts(judged, "status"))
    assert "seed 0 ended crashed" in str(judged.findings)


def test_a_base_that_crashed_measures_no_costs():
    """Exit code 3: the head is not to blame, and nothing may pass."""
    side = make_side(range(6), noisy)
    judged = judge(side, side, base=(failed(),))

    assert (3, ["missing"]) == (judged.exit_code, verdicts(judged, "costs"))
    assert "the base ended crashed" in str(judged.findings)


@pytest.mark.parametrize(
    ("head", "baseline", "says"), [((), 6, "nothing was measured"), (3, 0, "no baseline: make baseline")]
)
def test_a_check_passes_on_nothing(head, baseline, says):
    """No records on either side: exit code 3."""
    judged = judge(make_side(range(head or 0), noisy), make_side(range(baseline), noisy))

    assert 3 == judged.exit_code
    assert says in str(judged.findings)


def test_a_case_that_the_check_lost_is_missing():
    """Taken out of the file, it would never be measured again."""
    side = make_side(range(6), noisy)
    judged = check(Sides({CASE: side[:3]}, {CASE: side, "mine/16": side}), GATE)

    assert 3 == judged.exit_code
    assert "among the cases no longer" in str([one for one in judged.findings if one.case == "mine/16"])


def test_a_regression_outweighs_what_is_missing():
    """Exit code 1."""
    judged = judge(make_side([0], lambda _: 1), make_side(range(2), noisy))

    assert 1 == judged.exit_code


def test_levels_are_holms_over_all_metrics_of_all_cases():
    """One p of 0.004 alarms alone at 1 %, and not among three."""
    side = make_side(range(16), noisy)
    head = make_side(range(20, 23), lambda seed: noisy(seed) + 21, numerics={"cpu_model": "other"})
    cases = {f"mine/{number}": head if number == 0 else side[:3] for number in range(3)}
    alone, among = judge(head, side), check(Sides(cases, dict.fromkeys(cases, side)), GATE)
    found = [next(one for one in judged.findings if one.metric == "clean_accuracy") for judged in (alone, among)]

    assert ["regression", "ok"] == [one.verdict for one in found]
    assert "alarm at 0.0033" in found[1].says


def test_the_gap_of_accuracies_is_judged_by_students_t():
    """With the spread of both sides: scipy's test of two samples, to the last digits."""
    old, new = [1.0, 2.0, 3.5, 2.5], [4.0, 6.0, 5.5]

    assert p_of_change(prediction(old, new)) == pytest.approx(ttest_ind(new, old).pvalue, rel=1e-9)


def test_one_new_run_is_judged_by_the_baselines_spread_alone():
    """The prediction interval: t·s·√(1 + 1/n), by hand."""
    gap = prediction([1.0, 2.0, 3.0], [6.0])

    assert (4.0, 2) == (gap.value, gap.df)
    assert (1 + 1 / 3) ** 0.5 == pytest.approx(gap.se)


def test_a_growth_within_what_is_overlooked_is_none():
    """Ratios around 1.02 against 2 %: about one half."""
    assert 0.3 < p_of_growth(growth([1.01, 1.02, 1.03]), 2.0) < 0.7


def test_json_rows_are_flat():
    """One for each finding."""
    side = make_side(range(6), noisy)
    rows = check_rows(judge(side[:3], side))

    assert [{"case", "metric", "verdict", "says"}] * len(rows) == [set(row) for row in rows]


def test_head_records_are_found_by_case_and_a_case_without_any_is_there(tmp_path):
    """So that it can be called missing."""
    benchmark = make_benchmark(tmp_path)
    one, _ = plan([benchmark], Request(), [0], {"cpu": 1}).runs
    record = make_record(one.experiment, one.execution)

    assert {"mine/8": (record,), "mine/16": ()} == head_cases(benchmark, [record], "here")


def test_no_record_of_the_benchmark_is_nothing_measured(tmp_path):
    """Exit code 3."""
    with pytest.raises(UnfinishedError, match="here: no record of mine: nothing was measured"):
        head_cases(make_benchmark(tmp_path), [make_record(make_experiment(seed=7))], "here")


def test_records_of_two_ways_of_asking_are_refused(tmp_path):
    """Nobody could say which is judged."""
    benchmark = make_benchmark(tmp_path)
    requests = [Request(), Request(overrides=("epochs=1",))]
    records = [
        make_record(run.experiment, run.execution, request=request)
        for request in requests
        for run in plan([benchmark], request, [0], {"cpu": 1}).runs[:1]
    ]

    with pytest.raises(UnfinishedError, match="several scales, data sets or options"):
        head_cases(benchmark, records, "here")


def test_records_of_other_code_are_found_by_their_experiment():
    """Its execution may have had other keys."""
    head = {CASE: make_side([0, 1])}
    other = make_record(make_experiment(seed=0), Execution(threads=3))

    assert {CASE: (other,)} == alike(head, [other, make_record(make_experiment(seed=9))])
