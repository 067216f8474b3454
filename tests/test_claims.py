"""Claims, hypotheses and printed facts from outside: what is wrong with them is said before anything runs."""

import re

import pytest
from builders import DOCUMENTED, TOML, claims_toml, make_benchmark, make_toml
from pydantic import ValidationError

from resnet18.spec.claim import Claim, cases_of, is_about_a_value, orders
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import parse_printed
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

GOOD = '{ kind = "less", metric = "jitter", case = "8", than = "16" }'
EQUAL = '{ kind = "equivalent", metric = "jitter", cases = ["8", "16"], margin = 1.0 }'


BAD = {
    "unknown case": (GOOD.replace("16", "17"), ['unknown case "17" (allowed: 8, 16)']),
    "unknown metric": (GOOD.replace("jitter", "train_m"), ["claim[1].check[1].metric", 'did you mean "train_s"?']),
    "unknown kind": (GOOD.replace("less", "lower"), ['name "lower"', "equivalent"]),
    "no kind": (GOOD.replace('kind = "less", ', ""), ['the key "kind" is missing']),
    "no margin": (EQUAL.replace(", margin = 1.0", ""), ["check[1].margin", "is missing"]),
    "unknown key": (EQUAL.replace("margin", "marign"), ['"claim[1].check[1].marign"', 'did you mean "margin"']),
    "an order that runs in a circle": (
        '{ kind = "ranking", metric = "jitter", cases = ["8", "16", "8"] }',
        ["claims on jitter", 'contradict each other: "8" > "16" > "8"'],
    ),
    "a time close to nothing": (
        '{ kind = "close", metric = "train_s", case = "8", reported = "0", margin = 1.0 }',
        ["claim X1: times and memory are compared by ratio: the number must be above 0"],
    ),
    "a slope close to a number": (
        '{ kind = "close", metric = "train_loss_slope", case = "8", value = 0.9, margin = 1.0 }',
        ["claim X1: slopes are compared between cases, or with a bound: than_value"],
    ),
    "a time above a number": (
        '{ kind = "less", metric = "train_s", case = "8", than_value = 1.0 }',
        ["are compared between cases", 'the quantity of "train_s" is "seconds"'],
    ),
    "a ratio of accuracies": (
        '{ kind = "ratio", metric = "jitter", case = "8", to = "16", low = 1.5, high = 2.0 }',
        ["ratios are of times or memory"],
    ),
    "an order against another": (f"{GOOD}, {GOOD.replace('less', 'greater')}", ["contradict each other"]),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_claim_is_refused_with_where_and_what(what, tmp_path):
    check, words = BAD[what]

    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, TOML + claims_toml(check))

    for word in ["mine.toml", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("report", "names", "message"),
    [("", ["one"], 'claim "X1": two'), ('report = "all"\n', ["one", "other"], 'report "all": claim "X1": two')],
)
def test_an_id_is_that_of_one_claim_of_a_report(report, names, message, tmp_path):
    """A verdict is found by it; a file that names no report is one of its own."""

    def load(text, names):
        return load_benchmarks(tuple(str(make_toml(tmp_path, text, name)) for name in names))

    with pytest.raises(SpecError, match=f"{message} claims have this name"):
        load(report + TOML + claims_toml(GOOD) * (3 - len(names)), names)
    assert ["one", "other"] == [of.report for of in load(TOML + claims_toml(GOOD), ("one", "other"))]


def test_two_levels_of_one_metric_are_two_orders(tmp_path):
    """Fast to 50 % and slow to 90 % is possible."""
    fast = GOOD.replace('"jitter"', '"epochs_to_level", level = 50.0')
    slow = GOOD.replace('"less", metric = "jitter"', '"greater", metric = "epochs_to_level", level = 90.0')

    assert 2 == len(make_benchmark(tmp_path, TOML + claims_toml(fast, slow)).claims)


def test_every_statement_of_the_lab_report_is_a_claim():
    """Statements that say several things are judged in parts, and the ranking also as what its numbers can bear."""
    statements = {"A": 2, "B": 4, "C": 4, "D": 2, "E": 2, "F": 3, "G": 1}
    expected = {f"{section}{at}" for section, count in statements.items() for at in range(1, count + 1)}
    found = [claim.id for benchmark in load_benchmarks() for claim in benchmark.claims]

    assert expected == {name.rstrip("abc") for name in found}
    assert {"D2", *("D2a", "D2b", "E1a", "E1b", "E1c", "G1a", "G1b", "G1c")} <= {*found}


# Reports that are only documented

BETTER = DOCUMENTED + claims_toml('{ kind = "greater", metric = "score", case = "b", than = "a" }')


def test_a_report_of_anything_can_be_written_down_and_not_run(tmp_path):
    """With factors in place of experiments, and metrics of its own; the refusal says what can be done with it."""
    report = make_benchmark(tmp_path, BETTER)

    assert (False, {"dropout": 0, "depth": 1}) == (report.can_run, report.cases[0].factors)
    with pytest.raises(SpecError, match=r"only documents a report(.|\n)*resnet18 audit"):
        plan([report], Request(), [0], {"cpu": 1})


GUESS = (
    TOML
    + """
[[hypothesis]]
key = "optimizer.lr"
question = "Which rate was it?"
cases = ["8"]
candidate = [{ name = "slow", value = 0.001 }, { name = "fast", value = 0.1 }]
"""
)


@pytest.mark.parametrize(
    ("text", "old", "new", "words"),
    [
        (BETTER, "factors = { dropout = 1,", "factors = { width = 1,", 'the same factors as case "a"'),
        (BETTER, "[table]", "[experiment]\nepochs = 3\n[table]", "neither experiment nor execution"),
        (BETTER, 'reported = { score = "80.0%" }', 'reported = { taste = "80.0%" }', 'unknown metric "taste"'),
        (BETTER, 'metric = "score", case', 'metric = "taste", case', 'unknown metric "taste"'),
        (BETTER, "[table]", '[table]\nspeed_up_over = "c"', 'table.speed_up_over: unknown case "c"'),
        (GUESS, 'cases = ["8"]', 'cases = ["9"]', 'unknown case "9"'),
        (GUESS, '"optimizer.lr"', '"execution.threads"', 'has no "execution"'),
        (GUESS, "value = 0.1 }", 'value = "quick" }', "optimizer.lr"),
        (GUESS, 'name = "fast"', 'name = "slow"', "two candidates have this name"),
        (GUESS, ', { name = "fast", value = 0.1 }', "", "at least 2"),
    ],
)
def test_a_bad_documented_report_or_hypothesis_is_refused(text, old, new, words, tmp_path):
    """Factors must be the same everywhere, or nothing can be compared."""
    with pytest.raises(SpecError, match=words):
        make_benchmark(tmp_path, text.replace(old, new))


DERIVED = 'derived = [{ name = "gap", kind = "ratio", metric = "METRIC", of = "CASE", to = "8", printed = "1" }]'
NAMES = {
    "printed.memory[1].case": 'memory = [{ case = "CASE", printed = "3 GiB" }]',
    "printed.rate[1].cases[2]": 'rate = [{ cases = ["8", "CASE"], epoch = 1, printed = "0.1" }]',
    "printed.same_work[1].cases[2]": 'same_work = [{ cases = ["8", "CASE"], metric = "METRIC", because = "so" }]',
    "printed.derived[1].of": DERIVED,
    "printed.derived[1].to": DERIVED.replace("CASE", "8").replace('to = "8"', 'to = "CASE"'),
}


@pytest.mark.parametrize("kind", NAMES)
def test_whatever_is_printed_of_a_case_or_a_row_is_of_one_that_exists(kind, tmp_path):
    """The message names the place and the nearest case; a metric that the suite knows is no row of every table."""

    def make(case, metric="best_accuracy"):
        line = NAMES[kind].replace("CASE", case).replace("METRIC", metric)
        return make_benchmark(tmp_path, f"printed.{line}\n{TOML}")

    assert make("16")
    with pytest.raises(SpecError, match=re.escape(f'{kind}: unknown case "16x" (did you mean "16"?)')):
        make("16x")
    if "METRIC" in NAMES[kind]:
        with pytest.raises(SpecError, match=re.escape(f'{kind.rpartition(".")[0]}.metric: unknown metric "train_s"')):
            make("16", "train_s")


# Checks

GREATER = {"kind": "greater", "case": "a", "than": "b"}
CLOSE = {"kind": "close", "case": "a", "value": 1.0, "margin": 1.0}
PRINTED = {"kind": "close", "case": "a", "reported": "1", "margin": 1.0}
RATIO = {"kind": "ratio", "metric": "train_s", "case": "a", "to": "b", "low": 1.001, "high": 2.0}
RISING = {"kind": "trend", "cases": ["a", "b", "c"], "direction": "rising"}
STATUS = {"kind": "run_status", "metric": None, "case": "a", "status": "ok", "device": "cpu"}
CHECKS = {
    "greater": (GREATER, False, "ab", ["ab"]),
    "less": ({"kind": "less", "case": "a", "than": "b"}, False, "ab", ["ba"]),
    "greater than a value": ({"kind": "greater", "case": "a", "than_value": 1.0}, True, "a", []),
    "a change above": ({"kind": "greater", "metric": "late_gain", "case": "a", "than_value": 1.0}, False, "a", []),
    "ranking": ({"kind": "ranking", "cases": ["a", "b", "c"]}, False, "abc", ["ab", "bc"]),
    "equivalent": ({"kind": "equivalent", "cases": ["a", "b"], "margin": 1.0}, False, "ab", []),
    "rising": (RISING, False, "abc", ["ca"]),
    "falling": ({"kind": "trend", "cases": ["a", "b", "c"], "direction": "falling"}, False, "abc", ["ac"]),
    "a change near": ({**CLOSE, "metric": "late_gain"}, False, "a", []),
    "a change as reported": ({**PRINTED, "metric": "late_gain"}, True, "a", []),
    "ratio above 1": (RATIO, True, "ab", ["ab"]),
    "ratio from 1 on": ({**RATIO, "low": 1.0}, True, "ab", []),
    "status": (STATUS, True, "a", []),
    "overfits": ({"kind": "overfits", "metric": None, "case": "a", "turns_by": 3}, False, "a", []),
}


def check_of(keys):
    """A check, on a metric whose values are not a change within a run unless another is named."""
    keys = {key: value for key, value in {"metric": "jitter", **keys}.items() if value is not None}
    return claim_of({"check": [keys]}).checks[0]


def claim_of(keys):
    check = {"kind": "overfits", "case": "a", "turns_by": 1}
    return Claim.model_validate({"id": "X", "says": "so", "check": [check], **keys})


@pytest.mark.parametrize("kind", CHECKS)
def test_a_check_knows_its_cases_its_order_and_whether_it_is_about_a_value(kind):
    """The higher of a pair first; of a value, another scale says nothing."""
    keys, about_a_value, cases, pairs = CHECKS[kind]
    check = check_of(keys)

    assert (tuple(cases), about_a_value) == (cases_of(check), is_about_a_value(check))
    assert [tuple(pair) for pair in pairs] == list(orders(check))


@pytest.mark.parametrize(
    ("keys", "key", "inside", "outside"),
    [
        (GREATER, "by", (0.0, 1_000.0), (-0.1, 1_000.1)),
        (CLOSE, "margin", (0.0, 1_000.0), (-0.1, 1_000.1)),
        ({"kind": "equivalent", "cases": ["a", "b"]}, "margin", (5e-324, 1_000.0), (0.0, 1_000.1)),
        ({**GREATER, "metric": "epochs_to_level"}, "level", (0.1, 99.9), (0.0, 100.0)),
        (RATIO, "low", (5e-324, 1.9), (0.0, 2.0)),
        ({"kind": "overfits", "metric": None, "case": "a"}, "turns_by", (1, 10**6), (0, -1)),
        ({"kind": "equivalent", "margin": 1.0}, "cases", (["a", "b"],), (["a"], [])),
        ({"kind": "trend", "direction": "rising"}, "cases", (["a", "b", "c"],), (["a", "b"],)),
        ({"kind": "less", "than": "b"}, "case", ("a", "x" * 200), ("", "x" * 201, "a|b", "a\x1b")),
        ({**STATUS, "device": "cuda"}, "card", ("24 GiB", "24GiB"), ("24", "large")),
        ({"id": "X"}, "id", ("A", "A.b_c-1" + "x" * 13), ("x" * 21, "", ".a", "a b")),
        ({"id": "X"}, "says", ("x" * 2_000, "two\nlines"), ("x" * 2_001, "")),
        ({"id": "X"}, "section", ("x" * 20, ""), ("x" * 21, "a\nb")),
        ({"id": "X"}, "check", (), ([],)),
    ],
)
def test_a_range_of_a_claim_or_a_check_ends_where_it_says(keys, key, inside, outside):
    made = claim_of if "id" in keys else check_of
    for value in inside:
        assert made({**keys, key: value})
    for value in outside:
        with pytest.raises(ValidationError):
            made({**keys, key: value})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({**CLOSE, "paired": True}, "no partner"),
        ({**CLOSE, "reported": "1"}, 'either "reported"'),
        ({**CLOSE, "value": None}, 'either "reported"'),
        ({**PRINTED, "reported": "many"}, '"many" is no number'),
        ({"kind": "less", "case": "a"}, 'either "than"'),
        ({**GREATER, "than_value": 1.0}, 'either "than"'),
        ({**GREATER, "than": "a"}, 'compares "a" with itself'),
        ({**RATIO, "low": 2.0}, "low = 2.0 is not below high = 2.0"),
        ({**GREATER, "metric": "epochs_to_level"}, '"level" \\(in percent\\)'),
        ({**GREATER, "level": 50.0}, '"level"'),
        ({**RISING, "per": "doubling"}, "numbers above 0, from low to high"),
        ({**RISING, "per": "doubling", "cases": ["2", "1", "3"]}, "numbers above 0, from low to high"),
    ],
)
def test_a_check_that_says_nothing_definite_is_refused(keys, words):
    with pytest.raises(ValidationError, match=words):
        check_of(keys)


def test_a_time_close_to_what_is_printed_lies_above_its_rounding():
    assert (0.5, 1.5) == check_of({**PRINTED, "metric": "train_s"}).target
    assert (2.0, 2.0) == check_of({**CLOSE, "metric": "train_s", "value": 2.0}).target


# Printed numbers


@pytest.mark.parametrize(
    ("text", "value", "half_step", "unit", "decimals", "is_approximate"),
    [
        ("75.49%", 75.49, 0.005, "%", 2, False),
        ("about 90 %", 90.0, 0.5, "%", 0, True),
        ("34,933.53377", 34933.53377, 0.000005, "", 5, False),
        ("1e-05", 1e-5, 5e-6, "", 0, False),
        ("1.25e2", 125.0, 0.5, "", 2, False),
        ("-1.5", -1.5, 0.05, "", 1, False),
        ("~ 5 %", 5.0, 0.5, "%", 0, True),
        ("ca. 5 s", 5.0, 0.5, "s", 0, True),
        ("  2 ms ", 2e-3, 5e-4, "ms", 0, False),
        ("2.0 min", 120.0, 3.0, "min", 1, False),
        ("1.5 h", 5400.0, 180.0, "h", 1, False),
        ("1 GB", 1e9, 5e8, "GB", 0, False),
        ("1 KiB", 1024.0, 512.0, "KiB", 0, False),
        ("2141 MiB", 2141 * 2**20, 2**19, "MiB", 0, False),
        ("1 GiB", 2.0**30, 2.0**29, "GiB", 0, False),
    ],
)
def test_a_printed_number_has_a_value_a_unit_and_a_rounding(text, value, half_step, unit, decimals, is_approximate):
    """In percent, seconds or bytes."""
    found = parse_printed(text)

    assert (value, half_step) == pytest.approx((found.value, found.half_step), rel=1e-12)
    assert (unit, decimals, is_approximate) == (found.unit, found.decimals, found.is_approximate)
    assert (found.value - found.half_step, found.value + found.half_step) == (found.low, found.high)


NO_NUMBERS = ["Out of Memory", "", "12 apples", "1.2.3", "\N{EN DASH}", "--5", "about", "5 5", "%", ".5", "5.", "5 gib"]


@pytest.mark.parametrize("text", [*NO_NUMBERS, "1e400", "0e999", "1e309 s", "9" * 400])
def test_what_is_no_number_is_none(text):
    """Words, another unit, beyond any float, or without a digit where one belongs: it is printed as it stands."""
    assert parse_printed(text) is None
