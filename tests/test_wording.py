"""Verdicts in words: statement, estimate, interval and n, the reason where there are none, and what would settle it."""

from math import log

import pytest
from reports import BETWEEN, comparison_of, estimate

from resnet18.judge.samples import REASONS, Reason, reason_text
from resnet18.judge.verdict import CheckResult, Verdict
from resnet18.report.verdicts import claimed, compared, comparison_text, estimate_text, evidence_of, measured_text
from resnet18.spec.claim import Claim, Close, Difference, Equivalent, Overfits, Ranking, Ratio, RunStatus, Trend
from resnet18.tables.statistics import Region

AGAINST = Difference(kind="greater", metric="clean_accuracy", case="a", than_value=70.0)
SAME = Equivalent(kind="equivalent", metric="train_s", cases=("a", "b"), margin=5.0)
PRINTED = Close(kind="close", metric="best_accuracy", case="a", reported="75 %", margin=1.0)
NUMBER = Close(kind="close", metric="train_s", case="a", value=12.5, margin=10.0)
BYTES = Close(kind="close", metric="process_peak_bytes", case="a", value=2.0**31, margin=10.0)
GAP = Difference(kind="less", metric="generalization_gap", case="a", than_value=5.0)
TIMES = Ratio(kind="ratio", metric="train_s", case="a", to="b", low=1.5, high=3.0)
RISES = Trend(kind="trend", metric="jitter", cases=("a", "c", "b"), direction="rising")
ALL = Ranking(kind="ranking", metric="jitter", cases=("a", "b"))
OVERFITS = Overfits(kind="overfits", case="a", turns_by=5)
STATUS = RunStatus(kind="run_status", case="a", status="oom_device", device="cpu")
RERUN = "run --retime reruns them, report --accept-unreliable uses them"
FEW = Reason("few_seeds", count=1, of=3)
MORE = "more than 10 seeds; claims are tested at 3, 5 and 10 seeds only, so more runs will not settle it"
FEW_SEEDS = "1 of at least 3 seeds"
ENDS = 'every run of "a" ends out of memory'


def parts(holds, *values):
    """Comparisons x0, x1 and so on of these values, of which the later are less likely to be settled."""
    return tuple(
        comparison_of({5: estimate(value)}, what=f"x{at}", holds=holds, chances={10: 0.5 - at / 10})
        for at, value in enumerate(values)
    )


HELD = parts(True, 5.0)
PARTS = parts(True, 5.0, 1.5, 3.0)


def verdict_of(word, results):
    claim = Claim.model_validate({"id": "X", "says": "x", "check": [result.check for result in results]})
    return Verdict(None, claim, word, tuple(results), 0.05)


@pytest.mark.parametrize(
    ("check", "changes", "text"),
    [
        (BETWEEN, {}, 'x: "a" minus "b"; claimed: above 0'),
        (BETWEEN.model_copy(update={"by": 1.0}), {}, 'x: "a" minus "b"; claimed: at least 1 point'),
        (AGAINST, {"region": Region(low=70.0), "about": ("a",)}, 'x: "a"; claimed: above 70'),
        (AGAINST, {"region": Region(high=70.0), "about": ("a",)}, 'x: "a"; claimed: below 70'),
        (SAME, {"unit": "%"}, 'x: "a" relative to "b"; claimed: within 5 %'),
        (PRINTED, {"about": ("a",)}, 'x: "a"; claimed: 75 % within 1 point'),
        (NUMBER, {"about": ("a",), "unit": "%"}, 'x: "a"; claimed: 12.5 within 10 %'),
        (TIMES, {"unit": "%"}, 'x: "a" relative to "b"; claimed: 1.5 to 3 times'),
        (RISES, {"about": ("a", "c", "b")}, 'x: "a" to "b"'),
        (ALL, {"unit": "%"}, 'x: "a" relative to "b"; claimed: larger'),
        (OVERFITS, {"region": Region(high=5.5), "about": ("a",)}, 'x: "a"; claimed: below 5.5'),
    ],
)
def test_a_comparison_says_what_is_compared_and_claimed(check, changes, text):
    comparison = comparison_of({}, check, **changes)

    assert text == compared(comparison) + claimed(comparison)


@pytest.mark.parametrize(
    ("check", "changes", "value", "se", "text"),
    [
        (BETWEEN, {}, 1.25, 0.5, "+1.25 points [+0.10, +2.40]"),
        (BETWEEN, {}, -12.5, 5.0, "-12.5 points [-24.0, -1.0]"),
        (BETWEEN, {}, 0.0125, 0.005, "+0.0125 points [+0.0010, +0.0240]"),
        (BETWEEN, {}, 0.5, 0.0, "+0.50 points"),
        (BETWEEN, {}, 0.5, 1e-9, "+0.50000 points [+0.50000, +0.50000]"),
        (RISES, {"falls": True}, 1.25, 0.5, "-1.25 points [-2.40, -0.10]"),
        (AGAINST, {"about": ("a",)}, 71.25, 0.5, "71.25 % [70.10, 72.40]"),
        (GAP, {"about": ("a",)}, 1.25, 0.5, "+1.25 points [+0.10, +2.40]"),
        (OVERFITS, {"about": ("a",), "unit": "nats"}, -1.25, 0.5, "-1.25 nats [-2.40, -0.10]"),
        (SAME, {"unit": "%"}, log(1.05), 0.01, "+5.0 % [+2.6, +7.4]"),
        (SAME, {"unit": "%"}, log(0.95), 0.01, "-5.0 % [-7.2, -2.8]"),
        (TIMES, {"unit": "%"}, log(2.0), 0.01, "2 times [1.95, 2.05]"),
        (TIMES, {"unit": "%"}, log(0.5), 0.01, "0.5 times [0.489, 0.512]"),
        (NUMBER, {"about": ("a",), "unit": "%"}, log(12.0), 0.01, "12.00 s [11.73, 12.28]"),
        (BYTES, {"about": ("a",), "unit": "MiB"}, log(2.0**31), 0.01, "2048.0 MiB [2001.3, 2095.8]"),
    ],
)
def test_an_estimate_is_written_in_its_unit(check, changes, value, se, text):
    assert text == estimate_text(comparison_of({5: estimate(value, se)}, check, **changes))


@pytest.mark.parametrize(
    ("holds", "chances", "changes", "rest"),
    [
        (True, {}, {}, "; claimed: above 0"),
        (False, {}, {"correlation": 0.5}, ", paired (correlation 0.50); claimed: above 0"),
        (None, {5: 0.7, 10: 0.9}, {}, "; claimed: above 0; a verdict would need 10 seeds"),
        (None, {10: 0.7}, {}, f"; claimed: above 0; a verdict would need {MORE}"),
        (None, {}, {}, f"; claimed: above 0; a verdict would need {MORE}"),
    ],
)
def test_a_comparison_is_written_with_n_and_what_would_settle_it(holds, chances, changes, rest):
    """Never a number of seeds at which claims are not tested."""
    comparison = comparison_of({5: estimate(1.25)}, holds=holds, chances=chances, **changes)

    assert f'x: "a" minus "b": +1.25 points [+0.10, +2.40], n = 5{rest}' == comparison_text(comparison)


@pytest.mark.parametrize(
    ("result", "word", "text"),
    [
        (CheckResult(STATUS, status_holds=True), "holds", ENDS),
        (CheckResult(STATUS, status_holds=False), "fails", ENDS),
        (CheckResult(STATUS, reason=Reason("no_records")), "not run", f"{ENDS}: no records"),
        (CheckResult(OVERFITS, reason=FEW), "inconclusive", f'"a" overfits: {FEW_SEEDS}'),
        (CheckResult(BETWEEN, reason=FEW), "inconclusive", f"clean test accuracy: {FEW_SEEDS}"),
        (CheckResult(BETWEEN, PARTS[:1], reason=FEW), "inconclusive", f'x0: "a" minus "b": {FEW_SEEDS}'),
        (CheckResult(BETWEEN, PARTS, reason=FEW), "inconclusive", f'x0: "a" minus "b" (and 2 more): {FEW_SEEDS}'),
    ],
)
def test_a_check_without_numbers_has_a_line_of_its_own(result, word, text):
    assert [(word, text)] == list(evidence_of(verdict_of("inconclusive", [result])))


def test_each_check_has_the_lines_of_its_own_comparisons():
    open_part = comparison_of({5: estimate(2.0)}, can_only_fail=True)
    results = [CheckResult(BETWEEN, HELD), CheckResult(ALL, (*PARTS, open_part))]

    assert ["x0", "x0", "x1", "x2"] == [text[:2] for _, text in evidence_of(verdict_of("supported", results))]


MISSING = CheckResult(ALL, reason=Reason("no_records"))
FEW_OF_TWO = [CheckResult(ALL, reason=FEW), CheckResult(ALL, reason=Reason("several_codes"))]


@pytest.mark.parametrize(
    ("word", "results", "shown"),
    [
        ("supported", [CheckResult(ALL, PARTS + HELD)], "x1"),
        ("contradicted", [CheckResult(ALL, parts(False, -1.5, -5.0) + HELD)], "x1"),
        ("inconclusive", [CheckResult(ALL, parts(None, 0.3, 0.2, 0.1, 0.4) + HELD)], "x3"),
        ("contradicted", [CheckResult(ALL, parts(False, -5.0)), MISSING], "x0"),
        ("contradicted", [CheckResult(STATUS, status_holds=False), MISSING], ENDS),
        ("inconclusive", FEW_OF_TWO * 2, f"{FEW_SEEDS}; runs come from several versions of the code"),
    ],
)
def test_what_is_measured_is_what_the_verdict_rests_on(word, results, shown):
    """The surest failure before what is missing, the least sure part that holds, the least likely of open parts."""
    assert shown == measured_text(verdict_of(word, results)).partition(":")[0]


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason("few_seeds", "a", count=1, of=3), '"a": 1 of at least 3 seeds'),
        (Reason("no_records_of_case", "a"), '"a" has no records'),
        (Reason("run_failed", "a", count=2, what="diverged"), 'seed 2 of "a" ended diverged'),
        (Reason("no_ratio", metric="train_s", what="0"), "time of training alone: 0: no ratio can be computed"),
        (Reason("several_machines"), "runs come from several machines or installations"),
        (
            Reason("unreliable_times", count=2, of=10, what="resumed"),
            f"2 of 10 times are unreliable (resumed); {RERUN}",
        ),
    ],
)
def test_a_reason_names_its_values_and_what_to_do(reason, text):
    assert text == reason_text(reason)


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_has_words(code):
    assert reason_text(Reason(code, "a", "jitter", 1, 3, "x")).strip()
