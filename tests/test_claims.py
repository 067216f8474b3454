"""Claims, hypotheses and printed facts from outside: what is wrong with them is said before anything runs."""

import math

import pytest
from builders import TOML, make_benchmark, make_toml
from hypothesis import given
from hypothesis import strategies as st

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
        plan([load_benchmark(make_toml(tmp_path, DOCUMENTED))], Request(), [0], {"cpu"})


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
