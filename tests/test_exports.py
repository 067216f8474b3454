"""Exports: what dashboards are given is what the records say, read back by the dashboards' own readers."""

import json
import sys
from pathlib import Path
from typing import get_args

import pytest
from builders import RESUMED, changed, fitting, make_case, make_epoch, make_record, make_toml
from reports import record_all

from resnet18.cli.report import Format
from resnet18.records.store import Store
from resnet18.report.exports import TENSORBOARD, TEXTS, csv_text, write_events
from resnet18.spec.errors import one_line
from resnet18.spec.resolve import Request
from resnet18.tables.tables import Row, rows_of

SMOKE = Request()
SECONDS = (1.5, 1.0, 4.0)
"""Of training, by seed."""
HOSTILE = ("../../etc/passwd", "", "\ud800\x1b[31m\u202egnp", "{0} %s [a] 'b' \\", "x" * 5_000)


def records_of(mine, request=SMOKE, seeds=(0, 1, 2), **options):
    """One record for each case and seed; the seed chooses time, accuracy and memory."""

    def epochs(run):
        return (make_epoch(1, 10 + 2 * run.experiment.seed, train_s=SECONDS[run.experiment.seed]),)

    records = record_all([mine], request, seeds, epochs, **options)
    return [changed(record, memory={"rss_peak_bytes": 1_000_000_000 + record.seed}) for record in records]


@pytest.fixture
def rows(mine):
    return rows_of([mine], records_of(mine))


@pytest.fixture
def export(cli, tmp_path):
    """Call the command in an empty folder on these records, of a TOML file there."""
    path, store = make_toml(tmp_path), Store(tmp_path / "results")
    store.make_writable()

    def call(form, records, *arguments):
        for record in records:
            store.save(fitting(record))
        return cli("export", form, *([path] if records else []), "--results", "results", *arguments)

    return call


def test_github_gets_accuracies_where_bigger_is_better(rows):
    accuracy = {"unit": "%", "value": 60.0, "range": "50 to 70", "extra": "n (seeds): 3"}
    names = (f"mine/{case}: {metric}" for case in ("8", "16") for metric in ("best_accuracy", "clean_accuracy"))

    assert [{"name": name, **accuracy} for name in names] == json.loads(TEXTS["github-bigger"](rows))


def test_github_gets_times_and_memory_where_smaller_is_better(rows):
    """Medians: 1.5, 1 and 4 s of training, with 0.625 s for the rest of the program; every digit of the bytes."""
    entries = json.loads(TEXTS["github-smaller"](rows))

    assert [
        ("mine/8: train_s", "s", 1.5, "1 to 4"),
        ("mine/8: whole_program_s", "s", 2.125, "1.625 to 4.625"),
        ("mine/8: rss_peak_bytes", "bytes", 1_000_000_001, "1000000000 to 1000000002"),
    ] == [(entry["name"], entry["unit"], entry["value"], entry["range"]) for entry in entries[:3]]


def test_flagged_times_are_left_out_and_the_rest_stays(export, mine):
    flagged, other = records_of(mine, seeds=(0,))
    records = [changed(flagged, **RESUMED), other]
    entries = json.loads(TEXTS["github-smaller"](rows_of([mine], records)))

    assert ["mine/8: rss_peak_bytes", "mine/16: train_s"] == [entry["name"] for entry in entries[:2]]
    assert "left out: the times of 1 of 2 runs, which are flagged resumed\n" == export("github-smaller", records).stderr


@pytest.mark.parametrize(
    ("form", "first", "second", "expected"),
    [
        ("github-smaller", {"cpu": "one"}, {"cpu": "other"}, (3, "mine/8, whose runs come from several machines")),
        ("github-smaller", {"cpu": "unknown"}, {"cpu": "unknown"}, (3, "whose runs come from an unknown machine")),
        ("github-bigger", {"data": "a" * 64}, {"data": "b" * 64}, (3, "whose runs come from several data sets")),
        ("github-bigger", {"code": "a" * 64}, {"code": "b" * 64}, (0, "from records of 2 versions of the code")),
    ],
)
def test_values_that_must_not_be_put_together_are_left_out_and_told(form, first, second, expected, export, mine):
    """Those of two versions of the code are told alone."""
    result = export(form, records_of(mine, seeds=(0,), **first) + records_of(mine, seeds=(1,), **second))
    exit_code, said = expected

    assert (exit_code, True) == (result.exit_code, said in result.stderr)


def test_the_long_table_has_a_row_for_each_record_and_epoch(mine):
    """A run without epochs has one with its status."""
    epochs = (make_epoch(1, 10, published=12), make_epoch(2, 14, statistics_s=None))
    one, other = record_all([mine], SMOKE, epochs=lambda _: epochs)
    failed = make_record(other.spec.experiment, other.spec.execution, request=SMOKE, status="oom_device")
    rows = rows_of([mine], [one, failed])
    _, *lines = TEXTS["csv"](rows).splitlines()
    _, *runs = TEXTS["csv-runs"](rows).splitlines()
    about = f"{one.run_id},mine,8,0,smoke,fashion-mnist-mini,,ok"

    assert [
        f"{about},,1,0.01,3,2.0,15,40,2.1,12,20,2.2,10,20,1.0,0.25,0.5,0.125,4.0",
        f"{about},,2,0.01,3,2.0,15,40,2.1,14,20,2.2,14,20,1.0,0.25,,0.125,4.0",
        f"{failed.run_id},mine,16,0,smoke,fashion-mnist-mini,,oom_device{',' * 18}",
    ] == lines
    assert [one.run_id, failed.run_id] == [line.split(",")[0] for line in runs]


@pytest.mark.parametrize("begin", [*"=+-@\t\r\uff1d\uff0b\uff0d\uff20", "'=", " =", "\u3000="])
def test_a_cell_that_begins_like_a_formula_has_an_apostrophe_before_it(begin):
    """So has a text's own apostrophe: no two texts become the same cell."""
    assert csv_text([{"case": f"{begin}1"}]).splitlines()[1].startswith(f"'{one_line(begin)}")


def test_tensorboard_reads_the_curves_of_every_run(rows, tmp_path):
    """With its own reader: one run for each case and seed, and a step for each epoch."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write_events(rows, tmp_path / "runs")
    record = rows[0].case.records[0]
    first = Path("mine", "8", f"seed-0.{record.run_id}", f"events.out.tfevents.{record.run_id}")
    reader = reading.EventAccumulator(str(tmp_path / "runs" / first)).Reload()
    scalars = {tag: reader.Scalars(tag) for tag in reader.Tags()["scalars"]}

    assert 6 == len(list((tmp_path / "runs").rglob("*tfevents*")))
    assert {
        "loss/train": [(1, 2.0)],
        "accuracy_percent/train": [(1, 37.5)],
        "loss/as_published": [(1, 2.1)],
        "accuracy_percent/as_published": [(1, 50.0)],
        "loss/clean": [(1, 2.2)],
        "accuracy_percent/clean": [(1, 50.0)],
        "learning_rate": [(1, 0.01)],
        "seconds/train": [(1, 1.5)],
    } == {tag: [(one.step, round(one.value, 4)) for one in values] for tag, values in scalars.items()}


def test_event_files_of_hostile_cases_stay_in_their_folder(tmp_path):
    pytest.importorskip("tensorboard")
    hostile = [Row(name, f"{name}/{name}", make_case(name, (make_record(),))) for name in HOSTILE]
    write_events(hostile, tmp_path / "runs")

    assert ["runs"] == [path.name for path in tmp_path.iterdir()]


def test_without_tensorboard_the_error_says_what_to_install(export, mine, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    result = export("tensorboard", records_of(mine), "--to", "runs")

    assert 5 == result.exit_code
    assert "pip install '.[tensorboard]'" in result.stderr


@pytest.mark.parametrize("form", TEXTS)
def test_the_order_of_the_records_changes_no_byte(form, mine):
    records = records_of(mine) + records_of(mine, Request(scale="small"))

    assert TEXTS[form](rows_of([mine], records)) == TEXTS[form](rows_of([mine], records[::-1]))


def test_names_say_scale_data_and_options_where_a_folder_holds_several(mine):
    """But no option that changed nothing."""
    asked = (Request("small", overrides=("epochs=1",)), Request(overrides=("stem=imagenet",)))
    records = [record for request in asked for record in records_of(mine, request, seeds=(0,))]
    ends = ("small scale, cifar10, epochs=1", "smoke scale, fashion-mnist-mini")

    assert [f"mine/{case} ({end})" for end in ends for case in (8, 16)] == [
        row.name for row in rows_of([mine], records)
    ]


def test_an_empty_folder_is_exit_code_3(export, tmp_path):
    result = export("csv", [], "--to", "out")

    assert (3, False) == (result.exit_code, (tmp_path / "out").exists())
    assert "there are no records" in result.stderr


def test_a_damaged_record_is_named_and_the_others_are_exported(export, mine, tmp_path):
    (tmp_path / "results" / "records" / "broken.1.json").write_text("{", encoding="utf-8")
    result = export("csv", records_of(mine), "--to", "new/mine.csv")

    assert (4, "csv: new/mine.csv\n") == (result.exit_code, result.stdout)
    assert "left out: broken.1.json: is no record" in result.stderr
    kept = [fitting(record) for record in records_of(mine)]
    assert TEXTS["csv"](rows_of([mine], kept)) == Path("new/mine.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("tensorboard",), 2, "--to DIR"),
        (("csv", "--to", "link"), 2, "is no file"),
        (("csv", "--to", "mine.toml/x.csv"), 5, "cannot be written"),
        (("cvs",), 2, "'cvs' is not one of 'csv', 'csv-runs',"),
    ],
)
def test_what_cannot_be_written_is_answered_with_what_can(arguments, exit_code, said, export, mine, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "mine.toml")
    form, *others = arguments
    result = export(form, records_of(mine), *others)

    assert (exit_code, True, True) == (result.exit_code, said in result.stderr, (tmp_path / "link").is_symlink())


def test_the_help_and_the_page_name_every_format():
    page = (Path(__file__).parents[1] / "docs" / "export.md").read_text(encoding="utf-8")

    assert (*TEXTS, TENSORBOARD) == get_args(Format)
    assert [] == [form for form in get_args(Format) if f"export {form}" not in page]
