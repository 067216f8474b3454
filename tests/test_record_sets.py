"""Many records together: a seed that counts twice, the index over all of them, and where everything is written."""

import hashlib
from dataclasses import replace

import pytest
from builders import TOML, changed, make_benchmark, make_case, make_epoch, make_experiment, make_record

from resnet18.judge.sample import CannotJudgeError, check_comparable, measured_in_order
from resnet18.records.content import seal
from resnet18.records.record import Score
from resnet18.records.store import Readings, Store
from resnet18.report.contents import machine_time_s
from resnet18.report.report import render_report, write_report
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.tables.cells import accuracy, errors, gap, missing, seconds
from resnet18.tables.selection import select
from resnet18.tables.speedup import machines_of, speed_up


def records_of(mine, seeds=(0, 1, 2)):
    return [
        make_record(run.experiment, run.execution, request=Request())
        for run in plan([mine], Request(), seeds, {"cpu": 1}).runs
    ]


def test_an_arm_that_holds_a_seed_twice_decides_nothing(tmp_path):
    """Two records of one seed are no two draws: they would make the spread too small."""
    mine = make_benchmark(tmp_path)
    records = records_of(mine)
    again = records[0].model_copy(update={"run_id": "f" * 16})
    (view,) = select([mine], Request(), [*records, again])

    with pytest.raises(CannotJudgeError, match="seed_twice"):
        check_comparable(view.cases)


def test_a_claim_on_an_arm_that_holds_a_seed_twice_is_not_run(tmp_path):
    """And its verdict says why."""
    claim = '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }'
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


def test_a_report_says_what_its_runs_took(tmp_path):
    """Six runs of nine seconds."""
    mine = make_benchmark(tmp_path)
    text = render_report([mine], Readings(tuple(records_of(mine)), ()))[0]

    assert "Machine time: 54 s, " in text


def test_the_time_of_a_run_that_went_on_counts_once():
    """Of a first attempt of 12 s, of which 9 s were saved, and a second that went on for 5 s: 17 s were spent."""
    begun, saved, stopped = (f"2026-01-01T00:00:{second:02}+00:00" for second in (0, 9, 12))
    again, done = "2026-01-01T01:00:00+00:00", "2026-01-01T01:00:05+00:00"
    first = changed(make_record(), segments=[{"start": begun, "end": stopped}])
    second = changed(make_record(attempt=2), segments=[{"start": begun, "end": saved}, {"start": again, "end": done}])

    assert 17 == machine_time_s([second, first])


def test_a_report_of_many_records_counts_every_one(tmp_path, repetitions, monkeypatch):
    """Up to 10,000 of one case, under `--soak`."""
    monkeypatch.setattr("resnet18.report.contents.figures_of", lambda *_: [])
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
            for run in plan([mine], request, [0], {"cpu": 1}).runs
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


@pytest.mark.parametrize(
    ("cell", "values", "text"),
    [
        (accuracy, [0.7549], "75.49 %"),
        (accuracy, [0.75, 0.76, 0.77], "76.00 % [73.52, 78.48]"),
        (accuracy, [0.98, 0.99, 1.0], "99.00 % [96.52, 100.00]"),
        (accuracy, [0.0, 0.01, 0.02], "1.00 % [0.00, 3.48]"),
        (gap, [0.01], "+1.00"),
        (gap, [0.0, -0.01, -0.02], "-1.00 [-3.48, +1.48]"),
        (gap, [-1.0, -0.5], "-75.00 [-100.00, +100.00]"),
        (seconds, [3.14159], "3.14"),
        (seconds, [9.99, 10.01, 12.34], "10.0 [10.0 to 12.3]"),
        (seconds, [9.0, 9.5, 9.991], "9.50 [9.00 to 9.99]"),
        (seconds, [10.0], "10.0"),
        (seconds, [999.94], "999.9"),
        (seconds, [1000.0], "1000"),
        (seconds, [5.001, 5.002], "5.00"),
    ],
)
def test_a_cell_shows_a_number_with_its_spread(cell, values, text):
    """Means with their interval, cut at what a share can be; medians with the ends, where they differ as printed."""
    assert text == cell(values)


def measured(*counts):
    """Records whose last epoch has so many of 20 images right."""
    return tuple(
        make_record(make_experiment(seed=seed), epochs=(make_epoch(1, count),)) for seed, count in enumerate(counts)
    )


@pytest.mark.parametrize(
    ("counts", "text"), [((10,), "\N{EN DASH} / 11.18"), ((10, 12), "7.07 / 11.12"), ((5, 10, 15), "25.00 / 11.18")]
)
def test_two_errors_of_an_accuracy_stand_beside_each_other(counts, text):
    """Over seeds, and of a test set of 20 images."""
    assert text == errors(make_case("a", measured(*counts)))


def test_the_error_of_the_test_set_is_that_of_its_smallest():
    """Runs may be tested on more."""
    few, many = (
        make_record(
            make_experiment(seed=seed), epochs=(make_epoch(1, clean=Score(loss=2.0, correct=half, images=2 * half)),)
        )
        for seed, half in enumerate((50, 5_000))
    )

    assert "0.00 / 5.00" == errors(make_case("a", (few, many)))


ENDINGS = {
    "oom_device": "Out of Memory",
    "oom_host": "Out of Memory (host)",
    "diverged": "diverged",
    "timeout": "timed out",
    "crashed": "crashed",
    "interrupted": "interrupted",
    "unsupported": "unsupported",
}


@pytest.mark.parametrize("status", ENDINGS)
def test_a_cell_without_a_number_says_how_the_runs_ended(status):
    """Each way once, in the order of the seeds."""
    ended, crashed = (make_record(make_experiment(seed=at), status=one) for at, one in enumerate((status, "crashed")))
    words = dict.fromkeys([ENDINGS[status], "crashed"])

    assert ", ".join(words) == missing(make_case("a", (ended, crashed))) == errors(make_case("a", (ended, crashed)))


def test_a_cell_without_records_says_that_nothing_was_run():
    """And why, where the machine lacks something."""
    arm = make_case("a", ())

    assert ["not run", "not run: no CUDA device"] == [
        missing(one) for one in (arm, replace(arm, absent="no CUDA device"))
    ]


def timed(name, *times, **changes):
    """An arm of runs that took so long."""
    return make_case(
        name,
        tuple(
            make_record(make_experiment(seed=0), epochs=(make_epoch(1, train_s=one),), **changes).model_copy(
                update={"seed": seed}
            )
            for seed, one in enumerate(times)
        ),
        make_experiment(),
    )


def test_a_speed_up_divides_the_slow_by_the_fast():
    """Medians; with an interval from five runs a side on."""
    few = speed_up(timed("a", 6.0, 6.0, 6.0, 9.0), timed("b", 2.0, 2.0, 2.0, 2.0, 2.0), "train_s")
    many = speed_up(timed("a", *[6.0] * 5), timed("b", *[2.0] * 6), "train_s")

    assert (3.0, None, (4, 5), "3 (n = 4 and 5: no interval)") == (few.ratio, few.interval, few.n, few.text)
    assert (3.0, (3.0, 3.0), (5, 6), "3 [3, 3]") == (many.ratio, many.interval, many.n, many.text)


def flagged(arm, *flags):
    return replace(arm, records=tuple(record.model_copy(update={"flags": flags}) for record in arm.records))


LONGER = make_case("b", (make_record(epochs=(make_epoch(1), make_epoch(2))),), make_experiment())


@pytest.mark.parametrize(
    ("fast", "metric", "reason"),
    [
        (timed("b"), "train_s", "not computed: no time of b"),
        (
            replace(timed("b", 1.0), experiment=make_experiment(width=3)),
            "train_s",
            "not computed: the experiments differ",
        ),
        (timed("b", 1.0, data="e" * 64), "train_s", "not computed: data differ"),
        (timed("b", 1.0, shared_code="e" * 64), "train_s", "not computed: versions of the code differ"),
        (LONGER, "train_s", "not computed: epochs differ"),
        (
            replace(timed("b", 1.0), records=(*timed("b", 1.0).records, *timed("b", 1.0, cpu="other").records)),
            "train_s",
            "not computed: several machines in one case",
        ),
        (timed("b", 1.0, cpu="unknown"), "train_s", "not computed: an unknown machine"),
        (
            flagged(timed("b", 1.0), "resumed", "unreliable"),
            "train_s",
            "not computed: times are unreliable (flags: resumed, unreliable)",
        ),
        (flagged(timed("b", 1.0), "resumed"), "process_peak_bytes", "not computed: a time of 0 s"),
        (flagged(timed("b", 1.0), "no_learning"), "train_s", ""),
        (timed("b", 1.0, cpu="other"), "train_s", ""),
        (timed("b", 0.0), "train_s", "not computed: a time of 0 s"),
        (timed("b", 1e-9), "train_s", ""),
    ],
)
def test_a_speed_up_that_means_nothing_is_not_computed(fast, metric, reason):
    """The reason stands in its place."""
    found = speed_up(timed("a", 6.0), fast, metric)

    assert (reason, not reason) == (found.reason, found.ratio is not None)
    assert not reason or reason == found.text


def test_the_side_without_a_time_is_named():
    """Whichever it is."""
    assert "not computed: no time of a" == speed_up(timed("a"), timed("b", 1.0), "train_s").reason


def test_machines_are_named_once():
    """In order."""
    arms = [timed("a", 1.0, 2.0, cpu="x"), timed("b", 1.0, cpu="w"), timed("c", 1.0, cpu="x")]

    assert ["w, 2 threads", "x, 2 threads"] == machines_of(arms)


def seeded(*seeds, **changes):
    return tuple(make_record(make_experiment(seed=seed), **changes) for seed in seeds)


def test_seeds_count_in_order_as_far_as_there_is_no_gap():
    """From 0."""
    assert [[0, 1], []] == [
        [record.seed for record in measured_in_order(make_case("a", seeded(*seeds)))] for seeds in ((0, 1, 3), (1, 2))
    ]


def test_arms_without_fault_may_be_compared():
    """And those of runs that failed, whatever data they had seen."""
    failed = make_case("b", seeded(0, status="crashed", data="e" * 64))

    assert check_comparable([make_case("a", seeded(0, 1)), replace(failed, arm_id="b")]) is None


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        (make_case("b", ()), "no_records_of_case"),
        (replace(make_case("b", ()), absent="no CUDA device"), "no_device"),
        (make_case("b", seeded(0, data="e" * 64)), "several_data_sets"),
        (make_case("b", seeded(0, shared_code="e" * 64)), "several_codes"),
    ],
)
def test_arms_with_a_fault_may_not_be_compared(arm, reason):
    """The reason is that of the verdict."""
    with pytest.raises(CannotJudgeError, match=reason):
        check_comparable([make_case("a", seeded(0)), replace(arm, arm_id="b")])


@pytest.mark.parametrize("flag", ["unreliable", "not_exclusive", "resumed", "no_learning"])
def test_only_flags_of_disturbance_make_a_time_unreliable(flag):
    """A run that learned nothing took its time all the same."""
    assert (flag != "no_learning") == make_record().model_copy(update={"flags": (flag,)}).has_unreliable_times
