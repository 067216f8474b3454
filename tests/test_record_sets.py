"""Many records together: a seed that counts twice, the index over all of them, and where everything is written."""

import hashlib

import pytest
from builders import TOML, make_benchmark, make_record

from resnet18.analysis.report import render_report, write_report
from resnet18.analysis.sample import CannotJudgeError, check_comparable
from resnet18.analysis.view import look
from resnet18.records.store import Readings, Store, seal
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request


def records_of(mine, seeds=(0, 1, 2)):
    return [
        make_record(run.experiment, run.execution, request=Request())
        for run in plan([mine], Request(), seeds, {"cpu"}).runs
    ]


def test_an_arm_that_holds_a_seed_twice_decides_nothing(tmp_path):
    """Two records of one seed are no two draws: they would make the spread too small."""
    mine = make_benchmark(tmp_path)
    records = records_of(mine)
    again = records[0].model_copy(update={"run_id": "f" * 16})
    (view,) = look([mine], Request(), [*records, again])

    with pytest.raises(CannotJudgeError, match='seed 0 of "8" is in two records'):
        check_comparable(view.arms)


def test_a_claim_on_an_arm_that_holds_a_seed_twice_is_not_run(tmp_path):
    """And its verdict says why."""
    claim = '{ kind = "greater", metric = "last_clean_accuracy", case = "16", than = "8" }'
    mine = make_benchmark(tmp_path, f'{TOML}\n[[claim]]\nid = "C1"\nsays = "so"\ncheck = [{claim}]\n')
    records = records_of(mine)
    again = seal({**records[0].model_dump(mode="json"), "run_id": "f" * 16})
    text = render_report([mine], Readings((*records, again), ()))[0]

    assert 'Not run: C1 (seed 0 of "8" is in two records).' in text


def test_a_report_is_an_index_of_its_records(tmp_path):
    """A record that is deleted later, or exchanged, no longer fits its count and hash."""
    mine = make_benchmark(tmp_path)
    records = records_of(mine)
    hashes = "\n".join(sorted(record.record_hash for record in records))
    text = render_report([mine], Readings(tuple(reversed(records)), ()))[0]
    fewer = render_report([mine], Readings(tuple(records[1:]), ()))[0]

    line = f"Records: 6; SHA-256 over their sorted record hashes: `{hashlib.sha256(hashes.encode()).hexdigest()}`."
    assert line in text.splitlines()
    assert line not in fewer.splitlines()


def test_a_report_of_many_records_counts_every_one(tmp_path, repetitions, monkeypatch):
    """Up to 10,000 of one case, under `--soak`."""
    monkeypatch.setattr("resnet18.analysis.report.figures_of", lambda *_: [])
    mine = make_benchmark(tmp_path)
    count = 20 * repetitions(500)
    text = render_report([mine], Readings(tuple(records_of(mine, range(count // 2))), ()))[0]

    assert f"Records: {count};" in text


def test_everything_that_is_written_lies_inside_the_results_folder(tmp_path):
    """Whatever cases, options and classes are called: names of files are made of ids and plain words."""
    hostile = ("../../x", "CON", "a" * 200, "..\\\\..\\\\x", "/etc/passwd")
    cases = "".join(
        f'\n[[case]]\nname = "{name}"\nexperiment = {{ batch_size = {32 + number} }}\n'
        for number, name in enumerate(hostile)
    )
    mine = make_benchmark(tmp_path, TOML + cases)
    request = Request(overrides=('stem="imagenet" # ../../../y',))
    records = [
        seal({**record.model_dump(mode="json"), "classes": ["../../z", "NUL"], "nulls": nulls_without_classes(record)})
        for record in (
            make_record(run.experiment, run.execution, request=request)
            for run in plan([mine], request, [0], {"cpu"}).runs
        )
    ]
    store = Store(tmp_path / "deep" / "er" / "results")
    store.make_writable()
    for record in records:
        store.save(record)
        store.save_picture(record.run_id, record.attempt, b"")
    write_report(store.results, [mine], store.read())
    written = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert [tmp_path / "mine.toml"] == [path for path in written if not path.resolve().is_relative_to(store.results)]
    assert all(set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.README") for path in written)


def nulls_without_classes(record):
    return {key: reason for key, reason in record.nulls.items() if key != "classes"}
