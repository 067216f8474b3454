"""Exports: what dashboards are given is what the records say, read back by the dashboards' own readers."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer
from builders import changed, make_benchmark, make_case, make_epoch, make_record, make_toml
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.stats import Stats
from typer.testing import CliRunner

from resnet18.cli.export import KNOWN, export_command
from resnet18.records.store import Store
from resnet18.report.exports import AVERAGED, FOLDER_FORMATS, FORMATS
from resnet18.report.exports.long_table import cell
from resnet18.report.exports.pytest_json import _stats
from resnet18.report.exports.rows import Row, rows_of
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

SMOKE = Request()
SECONDS = (1.5, 1.0, 4.0)
"""Of training, by seed."""
HOSTILE = (
    "=1+1",
    '@SUM(A1)",x\r\n-2',
    "../../etc/passwd",
    "",
    "\ud800\x1b[31m\u202egnp",
    "{0} %s [a] 'b' \\",
    "9c7a0b1e-0000-4000-8000-000000000000",
    "x" * 5_000,
)


def records_of(mine, request=SMOKE, seeds=(0, 1, 2), **options):
    """One record for each case and seed; the seed chooses time, accuracy and memory."""
    return [
        changed(
            make_record(
                run.experiment,
                run.execution,
                request=request,
                epochs=(make_epoch(1, 10 + 2 * run.experiment.seed, train_s=SECONDS[run.experiment.seed]),),
                **options,
            ),
            memory={"rss_peak_bytes": 1_000_000_000 + run.experiment.seed},
        )
        for run in plan([mine], request, seeds, {"cpu": 1}).runs
    ]


def save(folder, records):
    store = Store(folder / "results")
    store.make_writable()
    for record in records:
        store.save(record)


def hostile_rows():
    """Cases whose names no file can give, two of which differ only in what cannot be printed."""
    record = make_record()
    arms = [make_case(name, (record,)) for name in (*HOSTILE, "\\x00", "\x00")]
    names = [f"mine/{number}" for number in range(len(arms))]
    return [Row("mine", arm.case.name, name, arm.records) for arm, name in zip(arms, names, strict=True)]


@pytest.fixture
def mine(tmp_path):
    return make_benchmark(tmp_path)


@pytest.fixture
def rows(mine):
    return rows_of([mine], records_of(mine))


@pytest.fixture
def export(tmp_path, monkeypatch):
    """Call the command in an empty folder on these records, of a TOML file there."""
    monkeypatch.chdir(tmp_path)
    path = make_toml(tmp_path)
    app = typer.Typer()
    app.command()(export_command)

    def call(form, records, *arguments):
        save(tmp_path, records)
        words = [form, *([path] if records else []), "--results", "results", *arguments]
        return CliRunner().invoke(app, [str(word) for word in words])

    return call


def is_bmf(content):
    """Bencher's own schema (https://bencher.dev/bmf.json), and the lengths that its reference names."""
    fields = {"value", "lower_value", "upper_value"}
    return isinstance(content, dict) and all(
        0 < len(name) <= 1_024
        and all(
            0 < len(slug) <= 64
            and "value" in metric
            and set(metric) <= fields
            and all(type(number) in {int, float} for number in metric.values())
            for slug, metric in measures.items()
        )
        for name, measures in content.items()
    )


def is_github_list(content):
    """What github-action-benchmark reads of a custom tool."""
    texts = {"name", "unit", "range", "extra"}
    return isinstance(content, list) and all(
        set(entry) == texts | {"value"}
        and type(entry["value"]) in {int, float}
        and all(isinstance(entry[key], str) for key in texts)
        for entry in content
    )


def compared(folder, text):
    """The file as pytest-benchmark's own command understands it: its output, and its table as CSV."""
    (folder / "mine.json").write_text(text, encoding="utf-8")
    command = [Path(sys.executable).with_name("pytest-benchmark"), "compare", "mine.json", "--csv", "table.csv"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr, pd.read_csv(folder / "table.csv", index_col="name")


def read_back(text):
    return pd.read_csv(io.StringIO(text), dtype={"run_id": str, "case": str}, keep_default_na=False)


def curves(folder):
    """The scalars under a folder by run, as TensorBoard's own reader finds them."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415 - an extra

    found = {}
    for path in sorted(folder.rglob("*tfevents*")):
        reader = EventAccumulator(str(path)).Reload()
        tags = reader.Tags()["scalars"]
        found[path.relative_to(folder).parent] = {
            tag: [(one.step, round(one.value, 4)) for one in reader.Scalars(tag)] for tag in tags
        }
    return found


def test_bencher_gets_means_of_accuracies_and_medians_of_costs_with_their_bounds(rows):
    """10, 12 and 14 of 20 images; 1.5, 1 and 4 seconds of training, with 0.625 s for the rest of the program."""
    accuracy = {"value": 60.0, "lower_value": 50.0, "upper_value": 70.0}
    expected = {
        "best-accuracy": accuracy,
        "clean-accuracy": accuracy,
        "train-s": {"value": 1.5, "lower_value": 1.0, "upper_value": 4.0},
        "whole-program-s": {"value": 2.125, "lower_value": 1.625, "upper_value": 4.625},
        "rss-peak-bytes": {"value": 1_000_000_001, "lower_value": 1_000_000_000, "upper_value": 1_000_000_002},
    }

    assert {"mine/8": expected, "mine/16": expected} == json.loads(FORMATS["bmf"](rows))


def test_what_bencher_gets_fits_its_schema(rows):
    """Written out by hand from https://bencher.dev/bmf.json."""
    assert is_bmf(json.loads(FORMATS["bmf"](rows)))


def test_github_gets_accuracies_where_bigger_is_better(rows):
    """Name, unit, value, range and how many seeds."""
    accuracy = {"unit": "%", "value": 60.0, "range": "50 to 70", "extra": "n (seeds): 3"}
    expected = [
        {"name": f"mine/{case}: {metric}", **accuracy}
        for case in ("8", "16")
        for metric in ("best_accuracy", "clean_accuracy")
    ]

    assert expected == json.loads(FORMATS["github-bigger"](rows))


def test_github_gets_times_and_memory_where_smaller_is_better(rows):
    """Every digit of the bytes."""
    found = [
        (one["name"], one["unit"], one["value"], one["range"]) for one in json.loads(FORMATS["github-smaller"](rows))
    ]

    assert [
        ("mine/8: train_s", "s", 1.5, "1 to 4"),
        ("mine/8: whole_program_s", "s", 2.125, "1.625 to 4.625"),
        ("mine/8: rss_peak_bytes", "bytes", 1_000_000_001, "1000000000 to 1000000002"),
    ] == found[:3]


@pytest.mark.parametrize("form", ["github-smaller", "github-bigger"])
def test_what_github_gets_is_a_list_of_its_entries(form, rows):
    """Texts and one number each."""
    assert is_github_list(json.loads(FORMATS[form](rows)))


def test_pytest_benchmark_compares_an_export(rows, tmp_path):
    """Its own command reads the file; each seed is a round."""
    _, table = compared(tmp_path, FORMATS["pytest-benchmark"](rows))

    assert {"min": 1.0, "max": 4.0, "median": 1.5, "rounds": 3} == {
        key: table.loc["mine/8", key] for key in ("min", "max", "median", "rounds")
    }


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=12))
def test_rounds_are_summed_up_as_pytest_benchmark_sums_them_up(seconds):
    """Every number of its own class, but which of two bounds a value is put on by rounding."""
    theirs = Stats()
    for one in seconds:
        theirs.update(one)
    rounded = {"iqr_outliers", "stddev_outliers", "outliers", "ld15iqr", "hd15iqr"}
    expected = {key: value for key, value in theirs.as_dict().items() if key not in rounded}

    assert expected == pytest.approx({key: _stats(seconds)[key] for key in expected}, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("seconds", [[1.0], [1.0, 1.0, 1.0, 9.0, 1.0], [1.0, 2.0, 4.0, 8.0], [0.3, 0.3, 0.3]])
def test_outliers_are_those_of_pytest_benchmark(seconds):
    """Where nothing lies on a bound."""
    theirs = Stats()
    for one in seconds:
        theirs.update(one)
    keys = ("outliers", "ld15iqr", "hd15iqr")

    assert {key: theirs.as_dict()[key] for key in keys} == {key: _stats(seconds)[key] for key in keys}


def test_the_long_table_has_a_row_for_each_record_and_epoch(mine):
    """Every value of the epoch, and what it belongs to."""
    (run,) = [one for one in plan([mine], SMOKE, [0], {"cpu": 1}).runs if one.experiment.batch_size == 8]
    epochs = (make_epoch(1, 10, published=12), make_epoch(2, 14, statistics_s=None))
    record = make_record(run.experiment, run.execution, request=SMOKE, epochs=epochs)
    table = read_back(FORMATS["csv"](rows_of([mine], [record])))
    about = (record.run_id, "mine", "8", 0, "smoke", "fashion-mnist-mini", "", "ok", "")
    rest = (0.01, 3, 2.0, 15, 40, 2.1)

    assert [
        [*about, 1, *rest, 12, 20, 2.2, 10, 20, 1.0, 0.25, "0.5", 0.125, 4.0],
        [*about, 2, *rest, 14, 20, 2.2, 14, 20, 1.0, 0.25, "", 0.125, 4.0],
    ] == table.to_numpy().tolist()


def test_the_long_table_names_its_columns(rows):
    """In words of the record."""
    assert (
        "run_id,benchmark,case,seed,scale,data,options,status,flags,epoch,learning_rate,steps,train_loss,train_correct,"
        "train_images,as_published_loss,as_published_correct,as_published_images,clean_loss,clean_correct,clean_images,"
        "train_s,data_wait_s,statistics_s,eval_as_published_s,eval_clean_s"
    ) == FORMATS["csv"](rows).splitlines()[0]


def test_a_run_without_epochs_has_a_row_with_its_status(mine):
    """It does not vanish."""
    (run, _) = plan([mine], SMOKE, [0], {"cpu": 1}).runs
    record = make_record(run.experiment, run.execution, request=SMOKE, status="oom_device")
    table = read_back(FORMATS["csv"](rows_of([mine], [record])))

    assert [("oom_device", "", "")] == list(zip(table["status"], table["epoch"], table["train_loss"], strict=True))


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_begins_like_a_formula_has_an_apostrophe_before_it(begin):
    """So that no spreadsheet carries it out."""
    assert cell(f"{begin}1").startswith("'")


def test_a_hostile_case_stays_one_cell_of_the_long_table():
    """Quotes, separators, line ends and formulas."""
    table = read_back(FORMATS["csv"](hostile_rows()))

    assert ["'=1+1", "'@SUM(A1)\",x\\r\\n-2", "../../etc/passwd", ""] == table["case"].tolist()[:4]


def test_a_number_below_zero_stays_a_number(mine):
    """Only texts get an apostrophe."""
    (run, _) = plan([mine], SMOKE, [0], {"cpu": 1}).runs
    epochs = (make_epoch(1, learning_rate=-0.5),)
    record = make_record(run.experiment, run.execution, request=SMOKE, epochs=epochs)

    assert [-0.5] == read_back(FORMATS["csv"](rows_of([mine], [record])))["learning_rate"].tolist()


def test_tensorboard_reads_the_curves_of_every_run(rows, tmp_path):
    """With its own reader: one run for each case and seed, and a step for each epoch."""
    pytest.importorskip("tensorboard")
    FOLDER_FORMATS["tensorboard"](rows, tmp_path / "runs")
    found = curves(tmp_path / "runs")
    first = found[Path("mine", "8", f"seed-0.{rows[0].records[0].run_id}")]

    assert 6 == len(found)
    assert {
        "loss/train": [(1, 2.0)],
        "accuracy_percent/train": [(1, 37.5)],
        "loss/as_published": [(1, 2.1)],
        "accuracy_percent/as_published": [(1, 50.0)],
        "loss/clean": [(1, 2.2)],
        "accuracy_percent/clean": [(1, 50.0)],
        "learning_rate": [(1, 0.01)],
        "seconds/train": [(1, 1.5)],
    } == first


def test_event_files_are_the_same_bytes_each_time(rows, tmp_path):
    """No clock, no process number and no name of the machine is in them."""
    pytest.importorskip("tensorboard")
    for folder in ("one", "two"):
        FOLDER_FORMATS["tensorboard"](rows, tmp_path / folder)
    one, two = (
        {path.relative_to(tmp_path / folder): path.read_bytes() for path in (tmp_path / folder).rglob("*tfevents*")}
        for folder in ("one", "two")
    )

    assert one == two


def test_event_files_of_hostile_cases_stay_in_their_folder(tmp_path):
    """A name becomes plain letters before it becomes a path."""
    pytest.importorskip("tensorboard")
    record = make_record()
    hostile = [Row(name, name, f"{name}/{name}", (record,)) for name in HOSTILE]
    FOLDER_FORMATS["tensorboard"](hostile, tmp_path / "runs")

    assert ["runs"] == [path.name for path in tmp_path.iterdir()]


def test_a_start_that_is_no_time_is_no_failure(tmp_path):
    """The curves are drawn by step."""
    pytest.importorskip("tensorboard")
    record = changed(make_record(), segments=[{"start": "once", "end": "later"}])
    FOLDER_FORMATS["tensorboard"]([Row("mine", "8", "mine/8", (record,))], tmp_path)

    assert 1 == len(curves(tmp_path))


def test_without_tensorboard_the_error_says_what_to_install(export, mine, monkeypatch):
    """Exit code 5."""
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    result = export("tensorboard", records_of(mine), "--to", "runs")

    assert 5 == result.exit_code
    assert "pip install 'resnet18[tensorboard]'" in result.stderr


def test_tensorboard_asks_for_a_folder(export):
    """There is no text to print."""
    result = export("tensorboard", [])

    assert 2 == result.exit_code
    assert "--to DIR" in result.stderr


@pytest.mark.parametrize("form", FORMATS)
def test_the_order_of_the_records_changes_no_byte(form, mine):
    """Nor does anything else."""
    records = records_of(mine) + records_of(mine, Request(scale="small"))

    assert FORMATS[form](rows_of([mine], records)) == FORMATS[form](rows_of([mine], records[::-1]))


@pytest.mark.parametrize("form", FORMATS)
def test_a_hostile_name_makes_an_ordinary_file(form, mine, tmp_path):
    """Printable, on its lines, and read by whoever reads the format."""
    case, records = mine.cases[0], records_of(mine)
    found = []
    for name in HOSTILE:
        hostile = mine.model_copy(update={"cases": (case.model_copy(update={"name": name}),)})
        found += rows_of([hostile], records)
    text = FORMATS[form](found)
    readers = {
        "bmf": lambda: is_bmf(json.loads(text)),
        "github-smaller": lambda: is_github_list(json.loads(text)),
        "github-bigger": lambda: is_github_list(json.loads(text)),
        "pytest-benchmark": lambda: len(compared(tmp_path, text)[1]) == len(HOSTILE),
        "csv": lambda: len(read_back(text)) == 3 * len(HOSTILE),
    }

    assert readers[form]()


def test_two_names_that_print_the_same_are_told_apart(mine):
    """A dashboard would take the second for the first."""
    first, second = mine.cases
    cases = (first.model_copy(update={"name": "\x00"}), second.model_copy(update={"name": "\\x00"}))
    found = rows_of([mine.model_copy(update={"cases": cases})], records_of(mine))

    assert ["mine/\\x00", "mine/\\x00 #2"] == [row.name for row in found]


def test_names_say_scale_data_and_options_where_a_folder_holds_several(mine):
    """Largest scale first."""
    records = records_of(mine, seeds=(0,)) + records_of(mine, Request("small", overrides=("epochs=1",)), seeds=(0,))

    assert [
        "mine/8 (small scale, cifar10, epochs=1)",
        "mine/16 (small scale, cifar10, epochs=1)",
        "mine/8 (smoke scale, fashion-mnist-mini)",
        "mine/16 (smoke scale, fashion-mnist-mini)",
    ] == [row.name for row in rows_of([mine], records)]


def test_an_option_that_changed_nothing_gives_no_second_row(mine):
    """The same runs were asked for."""
    assert ["mine/8", "mine/16"] == [
        row.name for row in rows_of([mine], records_of(mine, Request(overrides=("epochs=2",))))
    ]


def test_only_runs_that_ended_well_have_values(mine):
    """A mean over the epochs of a stopped run would be none."""
    good, bad = records_of(mine, seeds=(0,)), records_of(mine, seeds=(1,), status="diverged")
    measures = json.loads(FORMATS["bmf"](rows_of([mine], good + bad)))["mine/8"]

    assert 50.0 == measures["best-accuracy"]["upper_value"]


def test_flagged_times_are_left_out_and_the_rest_stays(mine):
    """Accuracy and memory do not depend on what else went on."""
    flagged, *others = records_of(mine, seeds=(0,))
    records = [changed(flagged, flags=["resumed"]), *others]
    found = json.loads(FORMATS["bmf"](rows_of([mine], records)))

    assert {"best-accuracy", "clean-accuracy", "rss-peak-bytes"} == set(found["mine/8"])


def test_the_command_tells_how_many_times_were_left_out(export, mine):
    """Where the output has no place for it."""
    flagged, *others = records_of(mine, seeds=(0,))
    result = export("bmf", [changed(flagged, flags=["resumed"]), *others])

    assert "left out: the times of 1 of 2 runs, which are flagged resumed\n" == result.stderr
    assert is_bmf(json.loads(result.stdout))


def test_times_of_several_machines_are_not_put_together(export, mine):
    """As in the report; accuracies are."""
    records = records_of(mine, seeds=(0,), cpu="one") + records_of(mine, seeds=(1,), cpu="another")
    result = export("bmf", records)

    assert {"best-accuracy", "clean-accuracy"} == set(json.loads(result.stdout)["mine/8"])
    assert "left out: times and memory of mine/8, whose runs come from several machines" in result.stderr


def test_times_of_an_unknown_machine_are_not_put_together(export, mine):
    """They may come from two."""
    result = export("bmf", records_of(mine, seeds=(0, 1), cpu="unknown"))

    assert {"best-accuracy", "clean-accuracy"} == set(json.loads(result.stdout)["mine/8"])
    assert "left out: times and memory of mine/8, whose runs come from an unknown machine" in result.stderr


def test_runs_of_several_data_sets_of_one_name_are_left_out(export, mine):
    """Nothing of them agrees, and then there is no value."""
    records = records_of(mine, seeds=(0,), data="a" * 64) + records_of(mine, seeds=(1,), data="b" * 64)
    result = export("github-bigger", records)

    assert 3 == result.exit_code
    assert "left out: mine/8, whose runs were made from several data sets of one name" in result.stderr


def test_records_of_several_versions_of_the_code_are_told(export, mine):
    """The value is there, as in the report."""
    records = records_of(mine, seeds=(0,), code="a" * 64) + records_of(mine, seeds=(1,), code="b" * 64)

    assert "note: mine/8 is put together from records of 2 versions of the code" in export("bmf", records).stderr


@pytest.mark.parametrize("form", [*FORMATS, *FOLDER_FORMATS])
def test_an_empty_folder_is_exit_code_3(form, export, tmp_path):
    """Whatever is asked for; nothing is written."""
    result = export(form, [], "--to", "out")

    assert 3 == result.exit_code
    assert "there are no records" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", sorted(AVERAGED))
def test_no_value_is_an_error_and_no_empty_file(form, mine):
    """A dashboard would take it for a result."""
    with pytest.raises(UnfinishedError, match="no run of these benchmarks has a value"):
        FORMATS[form](rows_of([mine], records_of(mine, status="crashed")))


def test_records_of_other_tables_are_told(export, mine, tmp_path):
    """The suite has no case that they belong to."""
    save(tmp_path, records_of(mine))
    result = export("csv", [])

    assert 3 == result.exit_code
    assert "left out: 6 recorded runs that are no case of the suite's tables" in result.stderr


def test_a_damaged_record_is_named_and_the_others_are_exported(export, mine, tmp_path):
    """Exit code 4, as for the report."""
    save(tmp_path, [])
    (tmp_path / "results" / "records" / "broken.1.json").write_text("{", encoding="utf-8")
    result = export("bmf", records_of(mine))

    assert 4 == result.exit_code
    assert "left out: broken.1.json: is no record" in result.stderr
    assert {"mine/8", "mine/16"} == set(json.loads(result.stdout))


def test_an_export_to_a_file_is_the_text_of_the_terminal(export, mine, tmp_path):
    """In a folder that need not be there."""
    result = export("csv", records_of(mine), "--to", "new/mine.csv")

    assert "csv: new/mine.csv\n" == result.stdout
    assert FORMATS["csv"](rows_of([mine], records_of(mine))) == (tmp_path / "new" / "mine.csv").read_text(
        encoding="utf-8"
    )


def test_a_link_is_not_replaced(export, mine, tmp_path):
    """It may be `/dev/stdout`."""
    (tmp_path / "link").symlink_to(tmp_path / "mine.toml")
    result = export("csv", records_of(mine), "--to", "link")

    assert 2 == result.exit_code
    assert (tmp_path / "link").is_symlink()


def test_a_file_that_cannot_be_written_is_exit_code_5(export, mine):
    """With where and why."""
    result = export("csv", records_of(mine), "--to", "mine.toml/x.csv")

    assert 5 == result.exit_code
    assert "cannot be written" in result.stderr


def test_an_unknown_format_is_answered_with_the_known_ones(export):
    """Exit code 2."""
    result = export("bfm", [])

    assert 2 == result.exit_code
    assert f'unknown format (did you mean "bmf"?) (allowed: {KNOWN})' in result.stderr


def test_the_help_names_every_format():
    """In the order of the tables."""
    assert KNOWN == ", ".join([*FORMATS, *FOLDER_FORMATS])


def test_the_page_names_every_format():
    """docs/export.md."""
    page = (Path(__file__).parents[1] / "docs" / "export.md").read_text(encoding="utf-8")

    assert [] == [form for form in (*FORMATS, *FOLDER_FORMATS) if f"export {form}" not in page]


def test_two_tables_that_share_a_run_both_show_it(mine):
    """Once each in the long table."""
    other = mine.model_copy(update={"name": "other"})
    table = read_back(FORMATS["csv"](rows_of([mine, other], records_of(mine, seeds=(0,)))))

    assert ["mine", "mine", "other", "other"] == table["benchmark"].tolist()
