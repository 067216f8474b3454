"""The audit: each kind of defect is found where it was planted, and nothing where there is none."""

import json
from itertools import combinations, product

import pytest
from builders import DOCUMENTED, claims_toml, make_benchmark, make_toml

from resnet18.audit import KINDS, Factor, audit, audit_rows, audit_text, extra_cases, never_alone
from resnet18.audit.numbers import expected_maximum
from resnet18.audit.reading import Finding, Unchecked, unit_in_title
from resnet18.spec.benchmark import MetricRow
from resnet18.spec.load import benchmarks_dir, load_benchmarks

CLEAN = """
title = "A table"
source = "a fictional report, Table 1"
question = "Which batch size is best?"

[table]
cases_in = "columns"
case_title = "Batch size"
metrics = [{ metric = "best_accuracy", title = "Accuracy" }, { metric = "train_s", title = "Time (s)" }]

[experiment]
model = "resnet18"
stem = "imagenet"
image_size = 32
epochs = 4
optimizer = { name = "sgd", lr = 0.1 }
schedule = { name = "step", every = 2, factor = 0.1, first_epoch = 1 }
augmentation = [{ name = "random_horizontal_flip", p = 0.5 }, { name = "to_tensor" }]

[[case]]
name = "8"
experiment = { batch_size = 8 }
reported = { best_accuracy = "70.0%", train_s = "120.0" }

[[case]]
name = "16"
experiment = { batch_size = 16 }
reported = { best_accuracy = "75.0%", train_s = "90.0" }

[[case]]
name = "32"
experiment = { batch_size = 32 }
reported = { best_accuracy = "81.0%", train_s = "60.0" }

[[claim]]
id = "K1"
says = "a larger batch is better and faster"
check = [
    { kind = "ranking", metric = "best_accuracy", cases = ["32", "16", "8"] },
    { kind = "greater", metric = "train_s", case = "16", than = "32" },
]

[printed]
test_images = 10_000
epoch_chosen_on = "last"
derived = [{ name = "gain", kind = "ratio", metric = "train_s", of = "8", to = "32", printed = "2.0" }]
rate = [{ cases = ["8"], epoch = 2, printed = "0.01" }]
memory = [{ case = "8", printed = "900 MiB" }]
"""

TWIN = """
[[case]]
name = "8, two threads"
experiment = { batch_size = 8 }
execution = { threads = 2 }
reported = { best_accuracy = "72.0%" }
"""

ON_GPU = TWIN.replace("threads = 2", 'device = "cuda"').replace('"72.0%"', '"70.0%", train_s = "9.0"')
STRANGER = '[[case]]\nname = "64"\nexperiment = { batch_size = 64 }\nreported = { train_s = "120.0" }\n'

FALLING = 'kind = "trend", metric = "train_s", cases = ["8", "16", "32"], direction = "falling"'

FASTER = '{ kind = "greater", metric = "train_s", case = "16", than = "32" },'
FLOOR = 'same_work = [{ cases = ["8", "32"], metric = "train_s", because = "it is so" }]'

PLANTED = {
    "arithmetic": ('printed = "2.0"', 'printed = "2.5"'),
    "scope": ('printed = "2.0"', 'printed = "2.0", scope = "whole_program_s"'),
    "ranking": ('["32", "16", "8"]', '["32", "8", "16"]'),
    "learning rate": ('"0.01"', '"0.001"'),
    "same experiment": ("[[claim]]", f"{TWIN}\n[[claim]]"),
    "same value": ("[[claim]]", f"{STRANGER}\n[[claim]]"),
    "sampling error": ('"75.0%"', '"80.5%"'),
    "noise floor": (f"{FASTER}\n]\n\n[printed]", f"]\n\n[printed]\n{FLOOR}"),
    "confounded": ("{ batch_size = 32 }", "{ batch_size = 32, image_size = 64 }"),
    "best epoch": ('"last"', '"test"'),
    "identity": ("p = 0.5", "p = 0.0"),
    "unread": ('"90.0"', '"1:30"'),
    "precision": ('"90.0"', '"90.25"'),
    "unit": ('"Time (s)"', '"Time"'),
    "unstated": ("[printed]", '[[assumption]]\nkey = "stem"\nsource = "a guess"\n\n[printed]'),
}


def changed(text, *changes):
    """The text after replacements, each of which must apply."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def rows_of(folder, *changes, text=CLEAN):
    findings, _ = audit([make_benchmark(folder, changed(text, *changes))])
    return audit_rows(findings)


def kinds_of(folder, *changes, text=CLEAN):
    return [row["kind"] for row in rows_of(folder, *changes, text=text)]


def claim(check, before="[printed]"):
    """A change that puts this claim X1 before a heading."""
    return (before, claims_toml(f"{{ {check} }}") + before)


@pytest.fixture(scope="module")
def suite():
    """What is found in the suite's own seven files."""
    return audit(load_benchmarks())


@pytest.mark.parametrize("kind", KINDS)
def test_one_planted_defect_is_the_one_finding(kind, tmp_path):
    assert [kind] == kinds_of(tmp_path, PLANTED[kind])


@pytest.mark.parametrize(
    ("kind", "count", "words"),
    [
        ("arithmetic", 1, ["34933.53377 / 791.5949: 44.1306", "printed: 44.1631"]),
        ("scope", 1, ['"time of the whole program"', '"time of training alone"', '"Run Time (s)"']),
        ("ranking", 1, ['"SGD" above "ASGD" is -0.78 points', '"Adadelta" above "ASGD"', "43.25%", "50.15%"]),
        ("learning rate", 1, ["0.001 x 0.1^3: 0.000001", "cut after epochs: 0, 80 and 160", "epoch 160: 0.00001"]),
        ("same experiment", 1, ["74.03%", "76%", "75.81%", "assumed in optimizer and device: augmentation, batch"]),
        ("same value", 1, ["75.81%", '(augmentation, "normalize")', '(device, "GPU")', "17 numbers", "3.5 %"]),
        ("sampling error", 3, ["0.53 points", "0.43 points", "0.39 points", "1.19 points"]),
        ("noise floor", 4, ["1.78 points", "assumed in device: augmentation", 'copied (see "same value"): 75.81%']),
        ("noise floor", 4, ["4.8 %", '"128" and "512" (batchsize) 3.1 %', "1161.144239", '"ASGD" (optimizer) 2.0 %']),
        ("confounded", 2, ["6 of 7 factors", "4 extra cases", "5 of 5 factors", "random_rotation and image_size"]),
        ("best epoch", 1, ["best of 10", "1.54 standard", "1.87 standard", "overfitting and schedule", "0.82 points"]),
        ("identity", 1, ["color_jitter", "brightness = 0.0", '"public script']),
        ("precision", 4, ["1 decimals: 1371.9", "2 decimals: 1898.68", "0 decimals: 76%"]),
        ("unit", 2, ['batchsize: numbers of "Running time"', 'optimizer: numbers of "Running time"', "5 of 5"]),
        ("unread", 0, []),
        ("unstated", 1, ["the lab report", ": 24", "basic 8, augmentation 21", "protocol.initialisation"]),
    ],
)
def test_the_suites_own_report_shows_what_it_is_known_for(kind, count, words, suite):
    """Golden evidence: numbers computed by hand from the report."""
    rows = [row for row in audit_rows(suite[0]) if row["kind"] == kind]
    found = "\n".join(f"{row['where']}: {row['says']}: {row['evidence']}" for row in rows)

    assert (count, []) == (len(rows), [word for word in words if word not in found])


RATE = 'epoch = 2, printed = "0.01"'
SCHEDULE = '"step", every = 2, factor = 0.1, first_epoch = 1'
DIFFERENCE = ('"ratio", metric', '"difference", metric')


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([('"2.0"', '"1.99"')], ["arithmetic"]),
        ([('"120.0"', '"120"'), ('"60.0"', '"60"'), ('"2.0"', '"1.99"')], ["precision"]),  # rounding explains it
        ([('"2.0"', '"about 3"')], []),
        ([('"2.0"', '"200%"')], []),
        ([('"2.0"', '"250%"')], ["arithmetic"]),
        ([DIFFERENCE, ('"2.0"', '"60.0"')], []),
        ([DIFFERENCE, ('"2.0"', '"60.2"')], ["arithmetic"]),
        ([DIFFERENCE, ('"2.0"', '"1.0 min"')], []),
        ([('"120.0"', '"Out of Memory"')], []),
        ([('"60.0"', '"0.0"')], ["arithmetic"]),  # nothing is divided by 0
        ([("[[claim]]", f"{ON_GPU}\n[[claim]]")], []),  # times of two devices are no contradiction
        ([('"120.0"', '"120"')], []),  # three significant digits, as the others
        ([('"75.0%"', '"about 75.03 %"')], []),
        ([('"75.0%"', '"~90%"')], []),
        ([('"75.0%"', '"Out of Memory"'), ('["32", "16", "8"]', '["8", "16", "32"]')], ["ranking"]),
        ([('"2.0"', '"twice"')], ["unread"]),
        ([('"900 MiB"', '"900 s"')], ["unread"]),
        ([('"900 MiB"', '"OOM"')], []),
        ([("augmentation = [", 'augmentation = [{ name = "color_jitter" }, ')], ["identity"]),
        ([("augmentation = [", 'augmentation = [{ name = "color_jitter", hue = 0.1 }, ')], []),
        *(([('"90.0"', f'"{word}"')], []) for word in ("OOM", "\u2013", "n/a", " diverged ", "Failed")),
        *(([('"90.0"', f'"{text}"')], ["unread"]) for text in ("3:00", "180 ± 5", "90 parsecs", "12%", "1e999")),
    ],
)
def test_what_is_printed_is_held_against_what_its_rounding_allows(changes, expected, tmp_path):
    assert expected == kinds_of(tmp_path, *changes)


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ('kind = "greater", metric = "clean_accuracy", case = "32", than = "8", by = 11.1', []),
        ('kind = "greater", metric = "clean_accuracy", case = "32", than = "8", by = 11.2', ["ranking"]),
        ('kind = "less", metric = "whole_program_s", case = "32", than = "8", by = 110.0', ["ranking"]),
        ('kind = "greater", metric = "best_accuracy", case = "8", than_value = 70.05', []),
        ('kind = "greater", metric = "best_accuracy", case = "8", than_value = 70.06', ["ranking"]),
        ('kind = "equivalent", metric = "best_accuracy", cases = ["8", "16"], margin = 5.0', []),
        ('kind = "equivalent", metric = "best_accuracy", cases = ["8", "16"], margin = 4.8', ["ranking"]),
        ('kind = "close", metric = "best_accuracy", case = "8", value = 71.0, margin = 1.0', []),
        ('kind = "close", metric = "best_accuracy", case = "8", reported = "72%", margin = 1.5', []),
        ('kind = "close", metric = "best_accuracy", case = "8", reported = "72%", margin = 0.5', ["ranking"]),
        ('kind = "ratio", metric = "train_s", case = "8", to = "32", low = 1.9, high = 2.1', []),
        ('kind = "ratio", metric = "train_s", case = "8", to = "32", low = 3.0, high = 4.0', ["ranking"]),
        ('kind = "trend", metric = "best_accuracy", cases = ["8", "16", "32"], direction = "rising"', []),
        (f'{FALLING}, flattens = true', ["ranking"]),
        (FALLING, []),
    ],
)  # fmt: skip
def test_prose_contradicts_the_table_only_beyond_rounding(check, expected, tmp_path):
    assert expected == kinds_of(tmp_path, claim(check))


@pytest.mark.parametrize(
    ("schedule", "epoch", "printed", "evidence"),
    [
        ('"cosine"', 2, "0.05", None),
        ('"cosine", warmup_epochs = 2', 3, "0.05", None),
        ('"cosine"', 2, "0.01", "0.1 under the schedule cosine: 0.05"),
        ('"constant"', 2, "0.01", "0.1 under the schedule constant: 0.1"),
        (SCHEDULE, 3, "0.01", None),
        (SCHEDULE, 10**12, "0.001", "epochs: 4"),
        (SCHEDULE.replace("= 1", "= 0"), 2, "0.001", None),
        (SCHEDULE.replace("= 1", "= 0"), 2, "0.01", "0.1 x 0.1^2: 0.001; cut after epochs: 0 and 2"),
        (SCHEDULE.replace("= 1", "= 0"), 4, "0.0001", "epochs: 4"),
    ],
)
def test_a_printed_rate_is_that_after_the_epoch_as_the_case_counts(schedule, epoch, printed, evidence, tmp_path):
    """Half way down a cosine after half of the epochs; an epoch that is never reached is a finding too."""
    rows = rows_of(tmp_path, (SCHEDULE, schedule), (RATE, f'epoch = {epoch}, printed = "{printed}"'))

    found = [(row["kind"], row["evidence"].startswith(evidence or "?")) for row in rows]
    assert [("learning rate", True)] * (evidence is not None) == found


OTHER_CLEAN = changed(CLEAN, ('"60.0"', '"61.0"'), ("batch_size = 8", "batch_size = 48"))
OTHER_DOCUMENTED = DOCUMENTED.replace('"70.0%"', '"71.0%"').replace("depth = 1", "depth = 1.0")


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        (CLEAN, OTHER_CLEAN, {"same experiment", "same value"}),
        (DOCUMENTED, OTHER_DOCUMENTED, {"same experiment"}),
    ],
)
def test_only_tables_of_one_report_are_held_against_each_other(text, other, expected, tmp_path):
    """Factors of 1 and 1.0 are one level."""
    files = make_benchmark(tmp_path, text), make_benchmark(tmp_path, other).model_copy(update={"name": "other"})

    def found(*reports):
        named = [file.model_copy(update={"report": name}) for file, name in zip(files, reports, strict=True)]
        return {kind for kind, _ in audit(named)[0]}

    assert expected == found("one", "one")
    assert set() == found("one", "two")


ROW = '{ metric = "score", title = "Score", quantity = "accuracy" }'
TWO_ROWS = f'{ROW}, {{ metric = "top5", title = "Top 5", quantity = "accuracy" }}'
OTHER_ROW = '{ metric = "taste", title = "Taste", quantity = "other" }'


@pytest.mark.parametrize(("taste", "expected"), [("0.32", ["ranking"]), ("0.31", [])])
def test_a_claim_may_be_about_any_metric_of_a_documented_table(taste, expected, tmp_path):
    """Though the suite knows nothing of it; 0.31 and 0.30 may both have been 0.305."""
    changes = [
        (ROW, f"{ROW}, {OTHER_ROW}"),
        ('"70.0%"', f'"70.0%", taste = "{taste}"'),
        ('"80.0%"', '"80.0%", taste = "0.30"'),
        claim('kind = "greater", metric = "taste", case = "b", than = "a"', "[[case]]"),
    ]

    assert expected == kinds_of(tmp_path, *changes, text=DOCUMENTED)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], []),
        ([claim('kind = "greater", metric = "jitter", case = "8", than = "32"')], [("claim X1", "jitter")]),
        ([claim('kind = "overfits", case = "8", turns_by = 2')], [("claim X1", "losses by epoch")]),
        ([claim('kind = "run_status", case = "8", status = "ok", device = "cuda"')], [("claim X1", "run_status")]),
        ([('"75.0%"', '"about 75 %"')], [("claim K1", 'exact number of "16"')]),
        ([('"120.0"', '"n/a"')], [('"gain"', 'exact number of "8"')]),
        ([('"2.0"', '"about 2"')], [('"gain"', "exact result")]),
        ([('"0.01"', '"about 0.01"')], [("learning rate of epoch 2", "exact number")]),
        (
            [(ROW, TWO_ROWS), claim('kind = "greater", metric = "best_accuracy", case = "a", than = "b"', "[[case]]")],
            [("claim X1", "best_accuracy, which 2 rows may be")],
        ),
    ],
)
def test_what_cannot_be_checked_is_told_with_what_is_missing(changes, expected, tmp_path):
    text = DOCUMENTED if (ROW, TWO_ROWS) in changes else CLEAN
    _, unchecked = audit([make_benchmark(tmp_path, changed(text, *changes))])

    assert expected == [(each.label, each.lacks) for each in unchecked]


@pytest.mark.parametrize(("a", "b", "gap"), [("79.9%", "80.0%", "0.10 points"), ("0.799", "0.800", "0.10 points")])
def test_without_claims_the_best_case_is_held_against_the_second(a, b, gap, tmp_path):
    """Shares of 1 need no unit, and count in percent."""
    changes = [('"70.0%"', f'"{a}"'), ('"80.0%"', f'"{b}"'), ("[[case]]", "[printed]\ntest_images = 1_000\n[[case]]")]
    (row,) = rows_of(tmp_path, *changes, text=DOCUMENTED)

    assert ("sampling error", True) == (row["kind"], f'"b" above "a": {gap}' in row["evidence"])


@pytest.mark.parametrize(
    ("quantity", "units"),
    [
        ("seconds", {"Run Time (s)": "s", "Time [min]": "min", "Time, h": "h", "Time (s/epoch)": "s", "Seconds": "s"}),
        ("other", {"Run Time (10 epochs)": None, "Time in hand": None}),
        ("accuracy", {"Accuracy (%)": "%", "Accuracy (s)": None}),
        ("bytes", {"Peak in GiB": "GiB"}),
    ],
)
def test_the_unit_of_a_title_is_read(quantity, units):
    assert units == {t: unit_in_title(MetricRow(metric="m", title=t, quantity=quantity)) for t in units}


def test_the_expected_maximum_is_that_of_order_statistics():
    """Tabulated values (H. A. David); 1 / sqrt(pi) for two."""
    tabulated = {1: 0.0, 2: 0.5642, 5: 1.1630, 10: 1.5388, 20: 1.8675}

    assert list(tabulated.values()) == pytest.approx([expected_maximum(count) for count in tabulated], abs=1e-4)


def test_extra_cases_separate_all_factors_and_are_no_more_than_the_factors():
    """Of every two to four cases of three two-level factors."""
    points = [dict(zip(map(Factor, "xyz"), levels, strict=True)) for levels in product("01", repeat=3)]
    for chosen in (chosen for count in (2, 3, 4) for chosen in combinations(points, count)):
        cases = dict(zip("abcd", chosen, strict=False))
        mixed, extras = never_alone(cases.values()), extra_cases(cases)
        added = [{**cases[base], **{key: cases[like][key] for key in factors}} for base, factors, like in extras]

        assert frozenset() == never_alone([*cases.values(), *added]) & mixed
        assert len(extras) <= len(mixed)


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ('augmentation = [{ name = "to_tensor" }]', "random_horizontal_flip"),  # and not its probability
        ('test_augmentation = [{ name = "to_tensor" }]', "test_augmentation"),
        ('optimizer = { name = "adam", lr = 0.1 }', "optimizer"),
    ],
)
def test_a_part_is_no_factor_beside_that_of_which_it_is_part(change, factor, tmp_path):
    (row,) = rows_of(tmp_path, ("{ batch_size = 16 }", f"{{ batch_size = 16, {change} }}"))

    assert "1 of 2 factors never vary alone" == row["says"]
    assert row["evidence"].startswith(f"factors that vary only together: {factor};")


def test_text_tells_the_findings_by_kind_how_many_there_are_and_what_was_not_checked(tmp_path):
    """Nothing that a file holds moves the cursor."""
    findings, _ = audit([make_benchmark(tmp_path, changed(CLEAN, PLANTED["unit"], PLANTED["best epoch"]))])
    hostile = ("unit", Finding("mine", "\x1b[2J\u202egnp\x9b", {"a\nb": "c\r"}))
    left = [("one", "claim A", "jitter"), ("one", "claim B", "late_gain"), ("two", "claim A", "run_status")]
    text = audit_text([*findings, hostile], [Unchecked(*each) for each in left], 1)

    assert 3 == text.count("\n\n")
    assert f"unit: {KINDS['unit'][1]}\n" in text
    assert "\n\n3 findings in 1 file\n\nnot checked" in text
    assert text.endswith("\n  one: claim A (no jitter), claim B (no late_gain)\n  two: claim A (no run_status)")
    assert set() == set("\x1b\u202e\x9b\r") & set(text)


OPEN_CLAIMS = ["A1", "B4", "C1", "C4", "G1a", "G1b", "G1c", "E1a", "E1b", "E1c", "F3"]


def test_the_suites_own_claims_are_checked_or_named(suite):
    assert OPEN_CLAIMS == [*dict.fromkeys(each.label.split()[1] for each in suite[1])]


def test_the_command_finds_nothing_in_a_clean_file_and_a_few_defects_in_the_example(tmp_path, cli):
    """The exit code is 0 either way; JSON is a list of flat rows."""
    clean = cli("audit", make_toml(tmp_path, CLEAN))
    example = cli("audit", benchmarks_dir() / "examples", "--json")
    rows, keys = json.loads(example.output), {"kind", "where", "says", "evidence"}

    kinds = "arithmetic, ranking, sampling error, noise floor, confounded, best epoch, precision, unstated"
    assert (0, "nothing found in 1 file\n") == (clean.exit_code, clean.output)
    assert (0, kinds.split(", ")) == (example.exit_code, [row["kind"] for row in rows])
    assert [keys] * len(rows) == [set(row) for row in rows]
