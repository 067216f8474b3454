"""Anybody's runs, held against claims: what a table of them says, what is wrong with it by line, and what is judged."""

import json
import os
import re

import pytest
from builders import TOML, claims_toml, make_benchmark, make_curve, make_toml
from reports import PAPER, record_all
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.judge.recorded import RecordedRuns
from resnet18.judge.runs_file import read_rows
from resnet18.judge.tabled import read_runs
from resnet18.judge.verdict import judge_runs
from resnet18.report.exports import verdict_rows
from resnet18.spec.errors import SpecError
from resnet18.spec.load import benchmarks_dir
from resnet18.tables.metrics import value_of
from resnet18.tables.selection import select

HEAD = "case,seed,metric,value"
OWN = """
title = "A table"
source = "a report, Table 1"
question = "Which is better?"
[table]
cases_in = "rows"
case_title = "Case"
metrics = [
  { metric = "score", title = "Score", quantity = "accuracy" },
  { metric = "elapsed", title = "Time", quantity = "seconds" },
  { metric = "cost", title = "Cost", unit = "EUR" },
]
""" + "".join(f'[[case]]\nname = "{name}"\n' for name in "abc")
BETTER = '{ kind = "greater", metric = "score", case = "b", than = "a" }'
SLOWER = '{ kind = "greater", metric = "elapsed", case = "b", than = "a" }'
FITTED = '{ kind = "overfits", case = "a", turns_by = 3 }'
NOISE = (0.0, 0.1, -0.1, 0.05, -0.05)
MEANS = {"a": 70.0, "b": 75.0, "c": 75.05}
FULL = '[runs]\ndata = "same"\nscale = "same"\nsize = "same"\n'


def lines_of(means=MEANS, metric="score", seeds=range(5)):
    """A line for each case that has a mean and each seed, about that mean."""
    return [f"{case},{seed},{metric},{mean + NOISE[seed % 5]:.2f}" for seed in seeds for case, mean in means.items()]


@pytest.fixture
def tabled(tmp_path):
    """Read lines under a head, for a file with these checks."""

    def read(lines, *checks, head=HEAD, text=OWN):
        path = tmp_path / "runs.csv"
        path.write_bytes(lines if isinstance(lines, bytes) else "\n".join([head, *lines, ""]).encode())
        return read_runs(path, make_benchmark(tmp_path, text + claims_toml(*checks)))

    return read


def test_a_pipe_is_no_table_of_runs(tmp_path):
    os.mkfifo(tmp_path / "runs.csv")

    with pytest.raises(SpecError, match="a device or a pipe"):
        read_runs(tmp_path / "runs.csv", make_benchmark(tmp_path, OWN + claims_toml()))


def judged(runs):
    return judge_runs([runs.benchmark], lambda _: runs)


def outcome(runs):
    """The word of the only verdict, and why it is none."""
    (verdict,) = judged(runs)
    return verdict.here, [reason.code for reason in verdict.reasons]


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        ("", "", "has no head"),
        ("\n\n", "", "has no head"),
        ("# only a remark", "", "has no head"),
        (HEAD, "", "has no runs"),
        ("case,seed,metric\na,0,score", ": line 1", 'the column "value" is missing'),
        (f"# a remark\n{HEAD},epochs", ": line 2", 'unknown column "epochs" (did you mean "epoch"?)'),
        (f"{HEAD},seed", ": line 1", 'the column "seed" is there twice'),
        (HEAD.replace(",", ";"), ": line 1", "its columns are separated by ';', not by commas"),
        (HEAD.replace(",", "\t"), ": line 1", "its columns are separated by '\\t', not by commas"),
        (f"{HEAD},\na,0,score,1,", ": line 1", "has a column without a name: a comma too many?"),
        (f'{HEAD}\na,0,score,"1\n"b",0,score,1', ": line 2", "has an odd number of quotation marks"),
        (f"# a\n# b\n{HEAD}\na,0,score,1\na,1,score,1,9", "", "Expected 4 fields in line 5, saw 5"),
        (f"{HEAD}\na,0,score,1,9", ": line 2", "has more fields than the head"),
        (f"{HEAD}\na,0,score,1{',' * 200_000}", ": line 2", "more than 100 commas"),
        (f"{HEAD}{',x' * 100_000}\na,0,score,1", ": line 1", "more than 100 commas"),
        (f'# a "\n{HEAD}\na,0,score,1\n"b,0,score,1', ": line 4", "has an odd number of quotation marks"),
        (f"{HEAD}\na,0,score,1\nb,0,score,1\xe9", "", "not UTF-8: line 3 has the byte 0xe9"),
        (f"{HEAD}\na,1,score,1\nb,1,score,1\na,1.0,score,2", ': line 4, column "seed"', "value already in line 2"),
        (f"{HEAD},epoch\na,0,score,1,\na,0,score,1,2", ': line 2, column "epoch"', "is empty, and other values"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_table_is_told_with_its_line(content, where, what, tabled, tmp_path):
    with pytest.raises(SpecError, match=re.escape(what)) as error:
        tabled(content.encode("latin-1"))

    assert f"{tmp_path / 'runs.csv'}{where}" == error.value.where


@pytest.mark.parametrize(
    ("column", "text", "what"),
    [
        ("case", "d", '"d" is no case of the claims file (allowed: a, b, c)'),
        ("metric", "scores", 'is no metric of the claims file (did you mean "score"?)'),
        ("value", "", "is empty"),
        *(("value", text, f'"{text}" is no number') for text in ("75%", "NaN", "-inf", "1e999")),
        ("seed", "-1", '"-1" is no seed (allowed: a whole number from 0 on)'),
        ("seed", "1.5", '"1.5" is no seed'),
        ("epoch", "-1", '"-1" is no epoch'),
        ("epoch", "0.5", '"0.5" is no epoch'),
        ("order", "", "is empty"),
        ("order", "late", '"late" is no number'),
        ("unreliable", "yes", '"yes" is no flag (allowed: true, false, 1, 0)'),
    ],
)
def test_a_mistake_in_a_field_is_told_with_its_line_and_column(column, text, what, tabled, tmp_path):
    """In line 4, after an empty line."""
    row = dict.fromkeys(("case", "seed", "metric", "value", "epoch", "order", "unreliable"), "1")
    row |= {"case": "a", "metric": "score"}
    lines = [",".join(some.values()) for some in (row, {**row, "seed": "2", column: text})]
    with pytest.raises(SpecError, match=re.escape(what)) as error:
        tabled([lines[0], "", lines[1]], head=",".join(row))

    assert f'{tmp_path / "runs.csv"}: line 4, column "{column}"' == error.value.where


def test_a_case_may_be_called_what_pandas_takes_for_missing(tmp_path):
    path, names = tmp_path / "runs.csv", ["NA", "None", "nan", "null", "01", "1e3"]
    path.write_text("\n".join([HEAD, *(f"{name},0,score,1" for name in names)]), encoding="utf-8")

    assert sorted(names) == sorted(read_rows(path, names, ["score"])["case"])


def test_the_first_five_mistakes_are_told_together(tabled):
    with pytest.raises(SpecError) as error:
        tabled([f"a,{-seed},score,x" for seed in range(1, 5)])

    assert 5 == str(error.value).count("line ")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
def test_a_file_beyond_the_limit_is_refused_and_never_cut(mark, tmp_path, monkeypatch):
    monkeypatch.setattr("resnet18.judge.runs_file.MOST_BYTES", 40)
    (tmp_path / "runs.csv").write_bytes(mark + b"case,seed,metric,value\na,0,score,1\na,1,score,2.5\n")

    with pytest.raises(SpecError, match="larger than 40 bytes"):
        read_rows(tmp_path / "runs.csv", ["a"], ["score"])


@pytest.mark.parametrize(
    ("name", "what"), [("runs.csv", "larger than 10 bytes"), ("", "is no file: a folder"), ("no.csv", "cannot be read")]
)
def test_a_file_beyond_the_limit_is_refused_and_so_is_a_folder(name, what, tmp_path, monkeypatch):
    (tmp_path / "runs.csv").write_text(HEAD, encoding="utf-8")
    monkeypatch.setattr("resnet18.judge.runs_file.MOST_BYTES", 10)

    with pytest.raises(SpecError, match=what):
        read_rows(tmp_path / name, ["a"], ["score"])


def test_a_byte_order_mark_remarks_windows_line_ends_and_empty_lines_are_no_mistakes(tabled):
    content = f'\ufeff# made "up\r\n{HEAD}\r\n\r\na,1,score, 2\r\n  a,0,score,1.5\r\n\r\n'.encode()

    assert [1.5, 2.0] == tabled(content).values("a", "score")


@pytest.mark.parametrize(
    ("origin", "of_report"),
    [("", ("unknown",)), (FULL, ()), (FULL.replace('scale = "same"', 'scale = "scaled down"'), ("scaled_down",))],
)
def test_five_seeds_decide_and_the_second_word_is_what_the_file_says_of_its_runs(origin, of_report, tabled):
    """Means 70 and 75 with a scatter of 0.1."""
    (verdict,) = judged(tabled(lines_of(), BETTER, text=OWN + origin))

    assert ("supported", of_report) == (verdict.here, verdict.of_report)


def test_one_seed_is_inconclusive(tabled):
    assert ("inconclusive", ["few_seeds"]) == outcome(tabled(lines_of(seeds=[7]), BETTER))


@pytest.mark.parametrize(
    ("values", "declared", "step"),
    [(("75.4", "75.49"), "", 0.01), (("75", "75"), "", 1.0), (("7.5e1", "7.5e1"), "", 1.0),
     (("75.4", "75.4"), ", rounding = 0.5", 0.5), (("75", "75.123456789012"), "", 75.123456789012 * 2**-23)],
)  # fmt: skip
def test_equal_values_have_an_interval_as_wide_as_their_rounding(values, declared, step, tabled):
    """Declared, or the last digit that any value is printed with, but none beyond single precision."""
    text = OWN.replace('title = "Score",', f'title = "Score"{declared},')
    lines = [f"{case},{seed},score,{value}" for case in "ab" for seed, value in enumerate([*values, values[0]])]
    runs = tabled(lines, BETTER, text=text)
    low, high = judged(runs)[0].comparisons[0].last.interval()

    assert step == pytest.approx(runs.step("score", ["a", "b"]))
    assert low < 0 < high


@pytest.mark.parametrize(
    ("orders", "seeds", "expected"),
    [
        (((1, 2), (3, 4), (6, 5)), (0, 1, 2), True),
        (((5, 6), (3, 4), (1, 2)), (0, 1, 2), True),
        (((1, 2), (3, 5), (4, 6)), (0, 1, 2), False),
        (((1, 4), (2, 5), (3, 6)), (0, 1, 2), False),
        (((1, 2), (3, 4), (5, 6)), (0, 1), True),
        (((1, 2), (3, 4), (5, 6)), (1, 2, 3), False),
        (((0, 0),) * 3, (0, 1, 2), False),
    ],
)
def test_times_are_in_blocks_where_all_runs_of_a_seed_came_before_those_of_the_next(orders, seeds, expected, tabled):
    """Of a and b, whose seeds must be the same, but for the last."""
    lines = [f"a,{seed},elapsed,10,{order[0]}" for seed, order in enumerate(orders)]
    lines += [f"b,{seed},elapsed,12,{order[1]}" for seed, order in zip(seeds, orders, strict=False)]

    assert expected == tabled(lines, head=f"{HEAD},order").is_blocked("elapsed")


def test_a_later_time_that_is_marked_takes_nothing_from_the_seeds_before_it(tabled):
    """The fourth of five: three seeds are tested, as of records."""
    lines = [f"{line},{'true' if ',3,' in line else 'false'}" for line in lines_of(metric="elapsed")]
    (slower,) = judged(tabled(lines, SLOWER, head=f"{HEAD},unreliable"))

    assert [3] == [*slower.comparisons[0].estimates]


def test_a_time_that_is_marked_decides_nothing_and_an_accuracy_does(tabled):
    lines = [f"{line},{'true' if ',2,' in line else 'false'}" for line in lines_of() + lines_of(metric="elapsed")]
    better, slower = judged(tabled(lines, BETTER, SLOWER, head=f"{HEAD},unreliable"))

    assert ("supported", "not run") == (better.here, slower.here)
    assert [("marked_unreliable", 2, 10)] == [(one.code, one.count, one.of) for one in slower.reasons]


@pytest.mark.parametrize(
    ("way", "expected"),
    [(None, 4.0), ("last", 4.0), ("highest", 9.0), ("lowest", 1.0), ("median of the last three", 3.0)],
)
def test_a_run_has_one_value_from_its_epochs(way, expected, tabled):
    """The lines need not be in order."""
    values = {3: 1.0, 1: 9.0, 4: 3.0, 2: 5.0, 5: 4.0}
    text = OWN.replace('title = "Score",', f'title = "Score", epochs = "{way}",') if way else OWN
    runs = tabled([f"a,0,score,{value},{at}" for at, value in values.items()], head=f"{HEAD},epoch", text=text)

    assert [expected] == runs.values("a", "score")


def curves(train_accuracy=99.0, epochs=(1, 2, 3, 4, 5, 6)):
    """Five runs of a: training loss falls, test loss is lowest at the second epoch and rises from there."""
    test_loss = (1.0, 0.5, 0.6, 0.7, 0.8, 0.9)
    for seed in range(5):
        for at, epoch in enumerate(epochs):
            wobble = 0.001 * (seed + at % 2)
            values = {"train_loss": 1 / (at + 1) + wobble, "test_loss": test_loss[at] + wobble}
            values |= {"train_accuracy": train_accuracy + seed, "test_accuracy": 50 + 5.0 * at + seed}
            yield from (f"a,{seed},{metric},{value:.4f},{epoch}" for metric, value in values.items())


@pytest.mark.parametrize(
    ("lines", "word", "code"),
    [
        ([*curves()], "supported", None),
        ([*curves(50.0)], "not judgeable", "not_fitted"),
        ([*curves(epochs=(1, 2, 3, 4))], "not judgeable", "undefined"),
        ([*curves(epochs=(1, 2, 3, 4, 5, 7))], "not run", "epoch_missing"),
        ([line for line in curves() if "test_loss" not in line], "not run", "no_values"),
    ],
)
def test_a_run_overfits_by_its_curves(lines, word, code, tabled):
    """Curves need not be declared."""
    assert (word, [code] if code else []) == outcome(tabled(lines, FITTED, head=f"{HEAD},epoch"))


@pytest.mark.parametrize(
    ("metric", "level", "expected"),
    [
        ("epochs_to_level", 60.0, [3.0, 3.0, 3.0]),
        ("clean_accuracy", None, [70.0, 71.0, 72.0]),
        ("generalization_gap", None, [29.0, 29.0, 29.0]),
        ("lowest_loss_epoch", None, [2.0, 2.0, 2.0]),
    ],
)
def test_metrics_follow_from_curves(metric, level, expected, tabled):
    """Test accuracy rises by 5 points an epoch, from 50 % plus the seed."""
    assert pytest.approx(expected) == tabled(curves(), head=f"{HEAD},epoch").values("a", metric, level)[:3]


@pytest.mark.parametrize(
    ("check", "code"),
    [
        ('{ kind = "run_status", case = "a", status = "oom_device", device = "cpu" }', "needs_records"),
        ('{ kind = "ratio", metric = "elapsed", case = "b", to = "a", low = 1.0, high = 2.0 }', "other_runs"),
        (BETTER.replace('"a"', '"c"'), "no_values"),
        (BETTER.replace('"a" }', '"a", paired = true }'), "seeds_differ"),
        (SLOWER, "no_ratio"),
    ],
)
def test_what_a_table_cannot_tell_is_not_run_and_says_why(check, code, tabled):
    """Seed 4 of b is missing, c has no score, a run took no time, and the runs are of other data."""
    lines = [line for line in lines_of({"a": 70, "b": 75}) if not line.startswith("b,4")]
    lines += [f"{case},0,elapsed,0.0" for case in "ab"]

    assert ("not run", [code]) == outcome(tabled(lines, check, text=OWN + '[runs]\ndata = "other"\n'))


def test_cases_that_learned_nothing_have_no_order(tabled):
    text = OWN.replace('quantity = "accuracy"', 'quantity = "accuracy", chance = 10.0')

    assert ("not judgeable", ["not_learned"]) == outcome(tabled(lines_of({"a": 10.0, "b": 11.0}), BETTER, text=text))


@pytest.mark.parametrize(
    ("key", "what"),
    [(', unit = "ms"', 'are in s, not in "ms"'), (", chance = 10.0", "an accuracy"), ("", "compared between cases")],
)
def test_what_the_quantity_of_a_files_own_metric_forbids_is_refused(key, what, tmp_path):
    """A time has neither another unit nor a value that guessing gets, and is not compared with a number."""
    text = OWN.replace('quantity = "seconds"', f'quantity = "seconds"{key}')
    with pytest.raises(SpecError, match=what):
        make_benchmark(tmp_path, text + claims_toml(SLOWER.replace('than = "a"', "than_value = 3.0")))


def test_own_metrics_are_told_in_their_own_unit(tabled):
    costs = '{ kind = "equivalent", metric = "cost", cases = ["a", "b"], margin = 2.0 }'
    (verdict,) = judged(tabled(lines_of({"a": 5.0, "b": 5.5}, "cost"), costs))
    (row,) = verdict_rows([("", verdict)])

    assert ("supported", 0.5, "EUR", 5) == (row["here"], pytest.approx(row["measured"]), row["unit"], row["n"])


def test_a_table_of_values_and_records_with_the_same_values_get_the_same_verdict(tmp_path, tabled):
    """Accuracies on 20 images and times in blocks, of two cases and five seeds."""
    better = '{ kind = "greater", metric = "best_accuracy", case = "16", than = "8" }'
    near = '{ kind = "equivalent", metric = "train_s", cases = ["8", "16"], margin = 5.0 }'
    mine, means = make_benchmark(tmp_path, TOML + claims_toml(better, near)), {"8": 50.0, "16": 75.0}

    def epochs(run):
        return make_curve(means[run.labels[0].partition("/")[2]] + 5 * (run.experiment.seed % 3))

    (selection,) = select([mine], PAPER, record_all([mine], seeds=range(5), epochs=epochs))
    recorded = RecordedRuns(selection, PAPER, selection.cases)
    lines = [
        f"{name},{record.seed},{metric},{value_of(metric, record):.4f},{record.seed}"
        for name, case in zip(means, selection.cases, strict=True)
        for record in case.records
        for metric in ("best_accuracy", "train_s")
    ]
    text = OWN.replace('"score", title = "Score",', '"best_accuracy", title = "Score", rounding = 5.0,')
    text = text.replace('"elapsed", title = "Time",', '"train_s", title = "Time", rounding = 0.001,')
    text = text.replace('"a"', '"8"').replace('"b"', '"16"')
    own = judged(tabled(lines, better, near, head=f"{HEAD},order", text=text))

    assert numbers_of(judge_runs([mine], lambda _: recorded)) == [pytest.approx(one) for one in numbers_of(own)]
    assert ["supported"] * 2 == [verdict.here for verdict in own]


def numbers_of(verdicts):
    """Estimate, its standard error and degrees of freedom, and the p for the claim, of each comparison."""
    parts = [part for verdict in verdicts for part in verdict.comparisons]
    return [(part.last.value, part.last.se, part.last.df, part.p_for) for part in parts]


@pytest.fixture
def cli(tmp_path):
    return lambda *words: CliRunner().invoke(app, ["judge", *map(str, words), "--results", str(tmp_path / "judged")])


EXAMPLE = benchmarks_dir() / "examples/other-report"
FILES = EXAMPLE / "runs.csv", EXAMPLE / "claims.toml"


def test_the_example_shows_every_outcome(cli):
    answer = cli(*FILES, "--json")
    rows = json.loads(answer.stdout)

    assert 0 == answer.exit_code
    assert ["supported", "contradicted", "inconclusive", "supported", "not judgeable"] == [row["here"] for row in rows]
    assert (2, 0, 1) == tuple(rows[2][f"steps_{word}"] for word in ("held", "failed", "open"))
    assert ["scaled_down"] == rows[0]["of_report"]


def test_the_example_says_that_it_is_made_up_and_can_be_audited():
    assert all("# Made up" in path.read_text(encoding="utf-8") for path in FILES)
    assert 0 == CliRunner().invoke(app, ["audit", str(FILES[1])]).exit_code


def test_the_page_names_every_claim_with_its_two_words(cli, tmp_path):
    answer = cli(*FILES)
    text = (tmp_path / "judged" / "README.md").read_text(encoding="utf-8")

    for shown in (answer.output, text.replace("|", " ")):
        assert re.search("R1 warm-up raises accuracy by at least a point +holds, scaled down +no: scaled down", shown)
    assert "61.0%" in text
    assert text.startswith("<!-- Made by `resnet18 judge` from")
    assert (tmp_path / "judged" / "report.html").is_file()


def test_a_folder_of_records_keeps_its_own_report(cli, tmp_path):
    (tmp_path / "judged" / "records").mkdir(parents=True)

    assert 2 == cli(*FILES).exit_code
    assert ["records"] == [path.name for path in (tmp_path / "judged").iterdir()]


@pytest.mark.parametrize(
    ("lines", "claims", "code"),
    [(["a,0,score,1"], [BETTER], 3), (["a,0,score,x"], [BETTER], 2), (["a,0,score,1"], [], 2)],
)
def test_the_exit_code_tells_bad_input_from_nothing_judged(lines, claims, code, cli, tmp_path):
    runs = tmp_path / "runs.csv"
    runs.write_text("\n".join([HEAD, *lines]), encoding="utf-8")

    assert code == cli(runs, make_toml(tmp_path, OWN + claims_toml(*claims))).exit_code


def test_cases_without_factors_are_no_experiment(tmp_path):
    assert not make_benchmark(tmp_path, OWN).can_run
