"""Claims, hypotheses and printed facts from outside: what is wrong with them is said before anything runs."""

import math

import pytest
from builders import TOML, make_benchmark, make_toml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resnet18.spec.claim import Claim, cases_of, is_about_a_value, orders
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmark, load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.printed import parse_printed
from resnet18.spec.resolve import Request

STATEMENTS = [
    "A1",
    "A2",
    "B1",
    "B2",
    "B3",
    "B4",
    "C1",
    "C2",
    "C3",
    "C4",
    "D1",
    "D2",
    "E1",
    "E2",
    "F1",
    "F2",
    "F3",
    "G1",
]

BAD = {
    "unknown case": (
        '{ kind = "less", metric = "train_s", case = "8", than = "17" }',
        ['unknown case "17" (allowed: 8, 16)'],
    ),
    "unknown metric": (
        '{ kind = "less", metric = "train_m", case = "8", than = "16" }',
        ['claim "X1"', 'unknown metric "train_m" (did you mean "train_s"?)'],
    ),
    "unknown kind": ('{ kind = "lower", metric = "train_s", case = "8", than = "16" }', ['name "lower"', "equivalent"]),
    "no kind": ('{ metric = "train_s", case = "8", than = "16" }', ['the key "kind" is missing']),
    "no margin": (
        '{ kind = "equivalent", metric = "train_s", cases = ["8", "16"] }',
        ["check[1].margin", "is missing"],
    ),
    "a margin of less than nothing": (
        '{ kind = "close", metric = "best_accuracy", case = "8", value = 1.0, margin = -1.0 }',
        ["margin: must be greater than or equal to 0"],
    ),
    "a margin of nothing": (
        '{ kind = "equivalent", metric = "train_s", cases = ["8", "16"], margin = 0.0 }',
        ["margin: must be greater than 0"],
    ),
    "unknown key": (
        '{ kind = "equivalent", metric = "train_s", cases = ["8", "16"], marign = 1.0 }',
        ['unknown key "claim[1].check[1].marign"', 'did you mean "margin"'],
    ),
    "itself": ('{ kind = "less", metric = "train_s", case = "8", than = "8" }', ['compares "8" with itself']),
    "two targets": (
        '{ kind = "less", metric = "jitter", case = "8", than = "16", than_value = 1.0 }',
        ['either "than" (a case) or "than_value"'],
    ),
    "a time against a number": (
        '{ kind = "less", metric = "train_s", case = "8", than_value = 1.0 }',
        ["times and memory are compared between cases"],
    ),
    "no number": (
        '{ kind = "close", metric = "best_accuracy", case = "8", reported = "many", margin = 1.0 }',
        ['"many" is no number'],
    ),
    "a range of nothing": (
        '{ kind = "ratio", metric = "train_s", case = "8", to = "16", low = 2.0, high = 2.0 }',
        ["low = 2.0 is not below high = 2.0"],
    ),
    "a ratio of accuracies": (
        '{ kind = "ratio", metric = "jitter", case = "8", to = "16", low = 1.0, high = 2.0 }',
        ["ratios are of times or memory"],
    ),
    "no level": ('{ kind = "less", metric = "epochs_to_level", case = "8", than = "16" }', ['"level" (in percent)']),
    "a level of nothing": ('{ kind = "less", metric = "jitter", level = 50.0, case = "8", than = "16" }', ['"level"']),
    "a trend of two": (
        '{ kind = "trend", metric = "jitter", cases = ["8", "16"], direction = "rising" }',
        ["at least 3"],
    ),
    "an order that runs in a circle": (
        '{ kind = "ranking", metric = "jitter", cases = ["8", "16", "8"] }',
        ["claims on jitter", 'contradict each other: "8" > "16" > "8"'],
    ),
    "an order against another": (
        (
            '{ kind = "less", metric = "jitter", case = "8", than = "16" }, '
            '{ kind = "greater", metric = "jitter", case = "8", than = "16" }'
        ),
        ["contradict each other"],
    ),
    "equal, and yet apart": (
        (
            '{ kind = "equivalent", metric = "jitter", cases = ["8", "16"], margin = 1.0 }, '
            '{ kind = "less", metric = "jitter", case = "8", than = "16", by = 1.5 }'
        ),
        ['contradicts claim "X1": at least 1.5 is not below 1'],
    ),
}


def claim(check, name="X1"):
    return f'[[claim]]\nid = "{name}"\nsays = "it is so"\ncheck = [{check}]\n'


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_claim_is_refused_with_where_and_what(kind, tmp_path):
    """Never judged, and never silently left out."""
    check, words = BAD[kind]

    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, TOML + claim(check))

    for word in ["mine.toml", *words]:
        assert word in str(caught.value)


GOOD = '{ kind = "less", metric = "jitter", case = "8", than = "16" }'


def test_two_claims_of_one_id_are_refused(tmp_path):
    """A verdict is found by it."""
    with pytest.raises(SpecError, match='claim "X1": two claims have this id'):
        make_benchmark(tmp_path, TOML + claim(GOOD) + claim(GOOD))


def test_two_tables_of_one_report_with_claims_of_one_id_are_refused(tmp_path):
    """They would stand in one table of verdicts."""
    text = f'report = "a report"\n{TOML}{claim(GOOD)}'
    paths = [str(make_toml(tmp_path, text, name)) for name in ("one", "other")]

    with pytest.raises(SpecError, match='claim "X1": two tables of the report'):
        load_benchmarks(tuple(paths))


def test_two_reports_may_have_claims_of_one_id(tmp_path):
    """A file that names no report is one of its own."""
    paths = [str(make_toml(tmp_path, TOML + claim(GOOD), name)) for name in ("one", "other")]

    assert ["one", "other"] == [benchmark.report_name for benchmark in load_benchmarks(tuple(paths))]


def test_orders_of_different_levels_do_not_contradict_each_other(tmp_path):
    """Fast to 50 % and slow to 90 % is possible."""
    checks = (
        '{ kind = "less", metric = "epochs_to_level", level = 50.0, case = "8", than = "16" }, '
        '{ kind = "greater", metric = "epochs_to_level", level = 90.0, case = "8", than = "16" }'
    )

    assert 2 == len(make_benchmark(tmp_path, TOML + claim(checks)).claims[0].checks)


def test_every_statement_of_the_lab_report_is_a_claim():
    """All eighteen, none twice."""
    assert STATEMENTS == sorted(claim.id for benchmark in load_benchmarks() for claim in benchmark.claims)


DOCUMENTED = """
title = "A report"
source = "somewhere"
question = "Which?"
[table]
cases_in = "rows"
case_title = "Brew"
metrics = [{ metric = "bitterness", title = "IBU", quantity = "other" }]
[[case]]
name = "ale"
factors = { hops = 3, yeast = "top" }
reported = { bitterness = "40" }
[[case]]
name = "lager"
factors = { hops = 2, yeast = "bottom" }
reported = { bitterness = "20" }
"""


def test_a_report_of_anything_can_be_written_down(tmp_path):
    """With factors in place of experiments, and metrics of its own."""
    report = load_benchmark(make_toml(tmp_path, DOCUMENTED))

    assert (False, {"hops": 3, "yeast": "top"}) == (report.can_run, report.cases[0].factors)


def test_a_documented_report_cannot_be_run(tmp_path):
    """And says what can be done with it."""
    with pytest.raises(SpecError, match=r"only documents a report(.|\n)*resnet18 audit"):
        plan([load_benchmark(make_toml(tmp_path, DOCUMENTED))], Request(), [0], {"cpu": 1})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("factors = { hops = 2,", "factors = { malt = 2,", 'the same factors as case "ale"'),
        ('name = "lager"', 'name = "ale"', "two cases have this name"),
        ("[table]", "[experiment]\nepochs = 3\n[table]", "neither experiment nor execution"),
        ('reported = { bitterness = "20" }', 'reported = { sweetness = "20" }', "no row of the table has the metric"),
    ],
)
def test_a_report_that_is_documented_badly_is_refused(old, new, words, tmp_path):
    """Factors must be the same everywhere, or nothing can be compared."""
    with pytest.raises(SpecError, match=words):
        load_benchmark(make_toml(tmp_path, DOCUMENTED.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "value", "half_step", "decimals"),
    [
        ("75.49%", 75.49, 0.005, 2),
        ("76%", 76.0, 0.5, 0),
        ("about 90 %", 90.0, 0.5, 0),
        ("1371.9", 1371.9, 0.05, 1),
        ("34,933.53377", 34933.53377, 0.000005, 5),
        ("1e-05", 1e-5, 5e-6, 0),
        ("2141 MiB", 2141 * 2**20, 2**19, 0),
        ("1.5 h", 5400.0, 180.0, 1),
    ],
)
def test_a_printed_number_has_a_value_and_a_rounding(text, value, half_step, decimals):
    """In percent, seconds or bytes."""
    printed = parse_printed(text)

    assert math.isclose(value, printed.value)
    assert math.isclose(half_step, printed.half_step)
    assert decimals == printed.decimals


@pytest.mark.parametrize("text", ["Out of Memory", "1e999", "9" * 400, "", "12 apples", "1.2.3", "\N{EN DASH}", "--5"])
def test_what_is_no_number_is_none(text):
    """It is printed as it stands."""
    assert parse_printed(text) is None


@given(st.integers(0, 10**7), st.integers(0, 6))
def test_a_number_lies_within_its_rounding(digits, decimals):
    """Whatever was rounded to it."""
    text = f"{digits / 10**decimals:.{decimals}f}"
    printed = parse_printed(text)

    assert printed.low <= digits / 10**decimals <= printed.high
    assert math.isclose(10**-decimals, printed.high - printed.low, rel_tol=1e-6)


CHECKS = {
    "greater": ({"kind": "greater", "case": "a", "than": "b"}, False, "ab", ["ab"]),
    "less": ({"kind": "less", "case": "a", "than": "b"}, False, "ab", ["ba"]),
    "greater than a value": ({"kind": "greater", "case": "a", "than_value": 1.0}, True, "a", []),
    "less than a value": ({"kind": "less", "case": "a", "than_value": 1.0}, True, "a", []),
    "a change above a value": (
        {"kind": "greater", "metric": "late_gain", "case": "a", "than_value": 1.0},
        False,
        "a",
        [],
    ),
    "ranking": ({"kind": "ranking", "cases": ["a", "b", "c"]}, False, "abc", ["ab", "bc"]),
    "equivalent": ({"kind": "equivalent", "cases": ["a", "b"], "margin": 1.0}, False, "ab", []),
    "rising": ({"kind": "trend", "cases": ["a", "b", "c"], "direction": "rising"}, False, "abc", ["ca"]),
    "falling": ({"kind": "trend", "cases": ["a", "b", "c"], "direction": "falling"}, False, "abc", ["ac"]),
    "close to a value": ({"kind": "close", "case": "a", "value": 1.0, "margin": 1.0}, True, "a", []),
    "close to what is reported": ({"kind": "close", "case": "a", "reported": "1", "margin": 1.0}, True, "a", []),
    "a change close to a value": (
        {"kind": "close", "metric": "late_gain", "case": "a", "value": 1.0, "margin": 1.0},
        False,
        "a",
        [],
    ),
    "a change close to what is reported": (
        {"kind": "close", "metric": "late_gain", "case": "a", "reported": "1", "margin": 1.0},
        True,
        "a",
        [],
    ),
    "ratio above 1": (
        {"kind": "ratio", "metric": "train_s", "case": "a", "to": "b", "low": 1.001, "high": 2.0},
        True,
        "ab",
        ["ab"],
    ),
    "ratio of memory": (
        {"kind": "ratio", "metric": "process_peak_bytes", "case": "a", "to": "b", "low": 0.5, "high": 2.0},
        True,
        "ab",
        [],
    ),
    "ratio from 1 on": (
        {"kind": "ratio", "metric": "train_s", "case": "a", "to": "b", "low": 1.0, "high": 2.0},
        True,
        "ab",
        [],
    ),
    "status": ({"kind": "run_status", "metric": None, "case": "a", "status": "ok", "device": "cpu"}, True, "a", []),
    "overfits": ({"kind": "overfits", "metric": None, "case": "a", "turns_by": 3}, False, "a", []),
}


JITTER = {"metric": "jitter"}


def check_of(keys):
    """A check, on a metric whose values are not a change within a run unless another is named."""
    keys = {key: value for key, value in {**JITTER, **keys}.items() if value is not None}
    return Claim.model_validate({"id": "X", "says": "so", "check": [keys]}).checks[0]


@pytest.mark.parametrize("kind", CHECKS)
def test_a_check_knows_its_cases_its_order_and_whether_it_is_about_a_value(kind):
    """What it asserts of which pairs, the higher first, and whether another scale says anything about it."""
    keys, about_a_value, cases, pairs = CHECKS[kind]
    check = check_of(keys)

    assert tuple(cases) == cases_of(check)
    assert about_a_value == is_about_a_value(check)
    assert [tuple(pair) for pair in pairs] == list(orders(check))


RANGES = [
    ({"kind": "greater", "case": "a", "than": "b"}, "by", (0.0, 1_000.0), (-0.1, 1_000.1)),
    ({"kind": "close", "case": "a", "value": 1.0}, "margin", (0.0, 1_000.0), (-0.1, 1_000.1)),
    ({"kind": "equivalent", "cases": ["a", "b"]}, "margin", (5e-324, 1_000.0), (0.0, 1_000.1)),
    ({"kind": "greater", "metric": "epochs_to_level", "case": "a", "than": "b"}, "level", (0.1, 99.9), (0.0, 100.0)),
    ({"kind": "ratio", "metric": "train_s", "case": "a", "to": "b", "high": 2.0}, "low", (5e-324, 1.9), (0.0, 2.0)),
    ({"kind": "overfits", "metric": None, "case": "a"}, "turns_by", (1, 10**6), (0, -1)),
    ({"kind": "ranking"}, "cases", (["a", "b"],), (["a"], [])),
    ({"kind": "equivalent", "margin": 1.0}, "cases", (["a", "b"],), (["a"],)),
    ({"kind": "trend", "direction": "rising"}, "cases", (["a", "b", "c"],), (["a", "b"],)),
    ({"kind": "less", "than": "b"}, "case", ("a", "x" * 200), ("", "x" * 201, "a|b", "a\x1b")),
]


@pytest.mark.parametrize(("keys", "key", "inside", "outside"), RANGES)
def test_a_range_of_a_check_ends_where_it_says(keys, key, inside, outside):
    """The last value inside and the first one outside."""
    for value in inside:
        assert check_of({**keys, key: value})
    for value in outside:
        with pytest.raises(ValidationError):
            check_of({**keys, key: value})


@pytest.mark.parametrize(
    ("changes", "is_fine"),
    [
        ({"id": "A"}, True),
        ({"id": "A.b_c-1" + "x" * 13}, True),
        ({"id": "x" * 21}, False),
        ({"id": ""}, False),
        ({"id": ".a"}, False),
        ({"id": "a b"}, False),
        ({"says": "x" * 2_000}, True),
        ({"says": "x" * 2_001}, False),
        ({"says": "two\nlines"}, True),
        ({"says": ""}, False),
        ({"section": "x" * 20}, True),
        ({"section": ""}, True),
        ({"section": "x" * 21}, False),
        ({"section": "a\nb"}, False),
        ({"check": []}, False),
    ],
)
def test_a_claim_has_a_short_id_and_a_plain_statement(changes, is_fine):
    """They stand in tables and headings."""
    content = {"id": "X", "says": "so", "check": [CHECKS["overfits"][0] | {"turns_by": 1}], **changes}
    for check in content["check"]:
        check.pop("metric", None)
    if is_fine:
        assert Claim.model_validate(content)
    else:
        with pytest.raises(ValidationError):
            Claim.model_validate(content)


WRONG = {
    "paired with nobody": ({**CHECKS["close to a value"][0], "paired": True}, "no partner"),
    "two targets": ({**CHECKS["close to a value"][0], "reported": "1"}, 'either "reported"'),
    "no target": ({"kind": "close", "case": "a", "margin": 1.0}, 'either "reported"'),
    "a time of nothing": (
        {"kind": "close", "metric": "train_s", "case": "a", "value": 0.0, "margin": 1.0},
        "the number must be above 0",
    ),
    "memory of nothing": (
        {"kind": "close", "metric": "process_peak_bytes", "case": "a", "value": 0.0, "margin": 1.0},
        "the number must be above 0",
    ),
    "memory against a number": (
        {"kind": "less", "metric": "process_peak_bytes", "case": "a", "than_value": 1.0},
        "compared between cases",
    ),
    "neither case nor value": ({"kind": "less", "case": "a"}, 'either "than"'),
    "a card of no unit": (
        {"kind": "run_status", "metric": None, "case": "a", "status": "ok", "device": "cuda", "card": "24"},
        "no amount of memory",
    ),
    "a card of words": (
        {"kind": "run_status", "metric": None, "case": "a", "status": "ok", "device": "cuda", "card": "large"},
        "no amount of memory",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_check_that_says_nothing_definite_is_refused(kind):
    """With what it lacks or has too much of."""
    keys, words = WRONG[kind]

    with pytest.raises(ValidationError, match=words):
        check_of(keys)


def test_a_time_close_to_what_is_printed_lies_above_its_rounding():
    """0.4 s to the nearest second is 0: no ratio can be taken of the lower end."""
    near = {"kind": "close", "metric": "train_s", "case": "a", "margin": 1.0}

    assert (0.5, 1.5) == check_of({**near, "reported": "1"}).target
    assert (2.0, 2.0) == check_of({**near, "value": 2.0}).target
    with pytest.raises(ValidationError, match="above 0"):
        check_of({**near, "reported": "0"})


def test_a_check_asserts_no_more_than_it_says():
    """Above by anything, over all runs, without a bend."""
    greater, rising = (check_of(CHECKS[kind][0]) for kind in ("greater", "rising"))

    assert (0.0, False, None) == (greater.by, greater.paired, greater.level)
    assert not rising.flattens
    assert (0.0, 0.0) == check_of({"kind": "close", "case": "a", "value": 0.0, "margin": 1.0}).target
    assert "" == Claim.model_validate({"id": "X", "says": "so", "check": [CHECKS["greater"][0] | JITTER]}).section


def test_a_card_of_a_known_size_is_fine():
    """With a space or without."""
    keys = {"kind": "run_status", "metric": None, "case": "a", "status": "ok", "device": "cuda"}

    assert ["24 GiB", "24GiB", None] == [check_of({**keys, "card": card}).card for card in ("24 GiB", "24GiB", None)]


@pytest.mark.parametrize(
    ("text", "value", "half_step", "unit", "is_approximate"),
    [
        ("5 points", 5.0, 0.5, "points", False),
        ("~5%", 5.0, 0.5, "%", True),
        ("~ 5 %", 5.0, 0.5, "%", True),
        ("ca. 5 s", 5.0, 0.5, "s", True),
        ("circa 5", 5.0, 0.5, "", True),
        ("approx. 5", 5.0, 0.5, "", True),
        ("Approximately 5", 5.0, 0.5, "", True),
        ("  2 ms ", 2e-3, 5e-4, "ms", False),
        ("2.0 min", 120.0, 3.0, "min", False),
        ("1 B", 1.0, 0.5, "B", False),
        ("1 kB", 1e3, 500.0, "kB", False),
        ("1 MB", 1e6, 5e5, "MB", False),
        ("1 GB", 1e9, 5e8, "GB", False),
        ("1 KiB", 1024.0, 512.0, "KiB", False),
        ("1.0 GiB", 2.0**30, 2.0**30 / 20, "GiB", False),
        ("-1.5", -1.5, 0.05, "", False),
        ("+2E3", 2000.0, 500.0, "", False),
        ("1.25e2", 125.0, 0.5, "", False),
        ("1,000,000", 1e6, 0.5, "", False),
    ],
)
def test_each_unit_and_word_of_a_printed_number_is_known(text, value, half_step, unit, is_approximate):
    """The table of units, digit by digit."""
    printed = parse_printed(text)

    assert math.isclose(value, printed.value, rel_tol=1e-12)
    assert math.isclose(half_step, printed.half_step, rel_tol=1e-12)
    assert (text, unit, is_approximate) == (printed.text, printed.unit, printed.is_approximate)
    assert (printed.value - printed.half_step, printed.value + printed.half_step) == (printed.low, printed.high)


@pytest.mark.parametrize("text", ["5 PARSEC", "5 gib", "1e400", "0e999", "1e309 s", "about", "5 5", "%", ".5", "5."])
def test_what_is_almost_a_number_is_none(text):
    """Another unit, beyond any float, or without a digit where one belongs."""
    assert parse_printed(text) is None


DERIVED = (
    '[printed]\nderived = [{{{{ name = "gap", kind = "ratio", metric = "{{metric}}", of = "{of}", to = "{to}", '
    'printed = "1" }}}}]\n[experiment]'
)
NAMES = {
    "table.speed_up_over": ("[table]", '[table]\nspeed_up_over = "{case}"'),
    "printed.memory": ("[experiment]", '[printed]\nmemory = [{{ case = "{case}", printed = "3 GiB" }}]\n[experiment]'),
    "printed.rate": (
        "[experiment]",
        '[printed]\nrate = [{{ cases = ["8", "{case}"], epoch = 1, printed = "0.1" }}]\n[experiment]',
    ),
    "printed.same_work": (
        "[experiment]",
        '[printed]\nsame_work = [{{ cases = ["8", "{case}"], metric = "{metric}", because = "so" }}]\n[experiment]',
    ),
    'printed.derived "gap", divided': (
        "[experiment]",
        DERIVED.format(of="{case}", to="8"),
    ),
    'printed.derived "gap", divided by': (
        "[experiment]",
        DERIVED.format(of="8", to="{case}"),
    ),
}


def naming(kind, case="16", metric="best_accuracy"):
    old, new = NAMES[kind]
    return TOML.replace(old, new.format(case=case, metric=metric), 1)


@pytest.mark.parametrize("kind", NAMES)
def test_whatever_refers_to_a_case_refers_to_one_that_exists(kind, tmp_path):
    """The message names the place and the nearest case."""
    assert make_benchmark(tmp_path, naming(kind))

    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, naming(kind, case="16x"))
    assert f'mine.toml: {kind.partition(",")[0]}: unknown case "16x" (did you mean "16"?)' in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in NAMES if "{metric}" in NAMES[kind][1]])
def test_whatever_refers_to_a_row_of_the_table_refers_to_one_that_exists(kind, tmp_path):
    """A metric that the suite knows is no row of every table."""
    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, naming(kind, metric="train_s"))
    assert f'{kind.partition(",")[0]}: no row of the table has the metric "train_s"' in str(caught.value)


@pytest.mark.parametrize(("by", "is_refused"), [(0.9, False), (1.0, True), (1.1, True)])
def test_a_difference_of_the_margin_of_an_equivalence_contradicts_it(by, is_refused, tmp_path):
    """Equal within 1 means below 1 apart."""
    equal = '{ kind = "equivalent", metric = "jitter", cases = ["8", "16"], margin = 1.0 }'
    apart = f'{{ kind = "less", metric = "jitter", case = "8", than = "16", by = {by} }}'
    text = TOML + claim(equal) + claim(apart, "X2")

    if is_refused:
        with pytest.raises(SpecError, match='claim "X2": contradicts claim "X1"'):
            make_benchmark(tmp_path, text)
    else:
        assert 2 == len(make_benchmark(tmp_path, text).claims)


@pytest.mark.parametrize("changes", [{"metric": "late_gain"}, {"than": "32"}])
def test_a_difference_of_something_else_contradicts_no_equivalence(changes, tmp_path):
    """Of another metric, or to another case."""
    words = {"metric": "jitter", "than": "16", **changes}
    three = TOML + '[[case]]\nname = "32"\nexperiment = { batch_size = 32 }\n'
    equal = '{ kind = "equivalent", metric = "jitter", cases = ["8", "16"], margin = 1.0 }'
    apart = f'{{ kind = "less", metric = "{words["metric"]}", case = "8", than = "{words["than"]}", by = 5.0 }}'

    assert 2 == len(make_benchmark(tmp_path, three + claim(equal) + claim(apart, "X2")).claims)


def test_a_documented_report_is_judged_by_its_own_metrics(tmp_path):
    """Which a benchmark that can be run does not have: there the suite measures."""
    check = '{{ kind = "greater", metric = "{}", case = "ale", than = "lager" }}'
    documented = DOCUMENTED + claim(check.format("bitterness"))

    assert "bitterness" == load_benchmark(make_toml(tmp_path, documented)).claims[0].checks[0].metric
    with pytest.raises(SpecError, match='unknown metric "sweetness"'):
        load_benchmark(make_toml(tmp_path, DOCUMENTED + claim(check.format("sweetness"))))
