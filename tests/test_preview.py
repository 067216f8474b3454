"""What is said before runs begin: how many, how many are recorded, how long the others take and how that is known."""

from dataclasses import replace

import pytest
from builders import TINY, TOML, changed, make_benchmark, make_epoch, make_experiment, make_record

from resnet18.cli import preview as previewing
from resnet18.cli.options import WhatToRun
from resnet18.cli.plan import announcement, summary_row
from resnet18.cli.preview import Preview, filled, of_this_machine, outline, time_some
from resnet18.cli.run import unreliable
from resnet18.data.dataset import read_embedded
from resnet18.execution import trials
from resnet18.execution.trials import shortened, timed
from resnet18.spec.experiment import Execution, parse_data
from resnet18.spec.identity import code_hash
from resnet18.spec.plan import Plan, plan
from resnet18.spec.resolve import Request
from resnet18.tables.pace import Pace, Sizes, by_rule, estimate, expected, kind_of, paces_of, total_s
from resnet18.tables.selection import unreliable_times

SIZES = Sizes(1_000, 100)
PACE = Pace(prepare_s=1.0, train_image_s=0.01, eval_image_s=0.001, basis="from timed steps")
EMBEDDED = parse_data("fashion-mnist-mini")
REQUEST = Request("paper", "fashion-mnist-mini", ("test_images_epoch=100", "test_images_last=100"))
IDLE = Execution()


@pytest.fixture
def runs(mine):
    return plan([mine], REQUEST, range(3), {"cpu": 1}).runs


@pytest.fixture
def wanted(mine, runs):
    return Preview((mine,), REQUEST, EMBEDDED, Plan(runs, ()), {"cpu": 1})


# The pace of kinds of run


def test_the_kind_of_a_run_is_all_but_how_long_it_trains():
    alike = [{}, {"seed": 1}, {"epochs": 9}, {"train_images": "all"}, {"test_images_last": 10}]
    kinds = {kind_of(make_experiment(**changes), IDLE) for changes in alike}

    assert 1 == len(kinds)
    assert kind_of(make_experiment(batch_size=8), IDLE) not in kinds
    assert kind_of(make_experiment(), Execution(path="fast")) not in kinds


def test_the_pace_of_a_record_is_that_of_its_images():
    """1.5 s for 40 images, 4.125 s for 40 scored images, and what is left of 9 s."""
    (pace,) = paces_of([make_record()]).values()

    assert (1.5 / 40, 4.125 / 40) == (pace.train_image_s, pace.eval_image_s)
    assert 9.0 - 1.5 - 4.125 == pytest.approx(pace.prepare_s)
    assert {} == paces_of([make_record(status="crashed")])


def test_the_pace_of_several_records_is_their_median_without_cold_first_epochs():
    """Of three records 1, 2 and 9 s, of which each has half a second of statistics; a first epoch took 23 s."""
    records = [
        make_record(make_experiment(seed=at), epochs=(make_epoch(1, train_s=23.0), make_epoch(2, train_s=seconds)))
        for at, seconds in enumerate((1.0, 9.0, 2.0))
    ]

    assert [2.5 / 40] == [pace.train_image_s for pace in paces_of(records).values()]


@pytest.mark.parametrize(
    ("name", "other", "tells"), [("a cpu", "a cpu", 1), ("a cpu", "b cpu", 0), ("unknown",) * 2 + (0,)]
)
def test_a_record_tells_the_pace_of_its_own_machine_alone(name, other, tells, monkeypatch):
    """`unknown` is no name: two machines may have it."""
    monkeypatch.setattr(previewing.platform, "system", lambda: "Linux")
    monkeypatch.setattr(previewing.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr("resnet18.measure.devices.cpu_flags_sha256", lambda: None)
    monkeypatch.setattr("resnet18.measure.devices.cpu_model", lambda: name)
    record = make_record(cpu=other, numerics={"system": "Linux", "architecture": "aarch64"})

    assert tells == len(of_this_machine([record]))


@pytest.mark.parametrize(("change", "ratio"), [({"width": 128}, 4), ({"stem": "cifar"}, 16)])
def test_a_kind_without_a_pace_has_that_of_the_nearest_times_their_ratio_by_the_rule(change, ratio):
    """Twice the width is four times the work; of two that are known the one with the nearer work counts."""
    large = {"image_size": 224, "batch_size": 128, "width": 64}
    far, near, own = (make_experiment(**large | other) for other in ({"width": 16}, {}, change))
    pace = expected((own, IDLE), {(far, IDLE): replace(PACE, train_image_s=9.0), (near, IDLE): PACE})

    assert (1.0, "scaled from other cases") == (pace.prepare_s, pace.basis)
    assert (ratio * 0.01, ratio * 0.001) == pytest.approx((pace.train_image_s, pace.eval_image_s), rel=0.01)
    assert by_rule(own) == expected((own, IDLE), {})


# What is said


def shown(wanted, runs, *, done=0, not_planned=None, jobs=1, sizes=SIZES):
    """A preview of these runs, of which the first so many are recorded."""
    seconds, bases = estimate(runs[done:], {kind_of(run.experiment, run.execution): PACE for run in runs}, sizes)
    planned, recorded = Plan(tuple(runs), not_planned or {}), {run.run_id for run in runs[:done]}
    return replace(wanted, plan=planned, done=recorded, jobs=jobs, seconds=seconds, bases=bases)


def test_runs_are_told_with_their_records_and_their_time(wanted, runs):
    """And what that is based on; the same as a row for programs."""
    view = shown(wanted, runs, done=1, not_planned={"mine/GPU": "no CUDA device"})
    start, _, end = announcement(view).partition(")")
    row = {"runs": 6, "recorded": 1, "not_planned": 1, "reasons": ["no CUDA device"], "at_a_time": 1, "alone": 5}
    each_s = 1 + 2 * 1_000 * 0.01 + 2 * 2 * 100 * 0.001  # two epochs, after each of which 100 images are scored twice

    assert f"6 runs ({REQUEST.described}" == start
    assert ", 1 recorded, 1 not planned (no CUDA device); about 2 min here, from timed steps" == end
    assert {**row, "seconds": pytest.approx(5 * each_s), "basis": "from timed steps"} == summary_row(view)


@pytest.mark.parametrize(
    ("timed", "options", "end"),
    [
        (0, {}, "; about 2 min here, from timed steps"),
        (0, {"jobs": 2}, "; at best about 64 s here, 2 at a time, from timed steps"),
        (0, {"jobs": 99}, "; at best about 21 s here, 6 at a time, from timed steps"),
        (4, {"jobs": 2}, "; at best about 2 min here, 2 at a time, timed runs alone, from timed steps"),
        (5, {"jobs": 2}, "; about 2 min here, from timed steps"),
        (0, {"done": 6}, ", 6 recorded; nothing is left to run"),
        (0, {"sizes": None}, "; time unknown; add --time to `plan` for an estimate"),
        (0, {"sizes": None, "jobs": None}, "; time unknown"),
    ],
)
def test_a_time_is_told_as_exactly_as_it_is_known(timed, options, end, wanted, runs):
    """How much runs slow each other down is not known; on a cluster nothing is."""
    runs = [replace(run, is_timed=at < timed) for at, run in enumerate(runs)]

    assert announcement(shown(wanted, runs, **options)).endswith(end)


@pytest.mark.parametrize(
    ("how", "emulates", "jobs", "is_said"),
    [
        ("bf16 auto", True, 1, True),
        ("bf16 cpu", False, 1, False),
        ("fp32 cpu", True, 1, False),
        ("bf16 cuda", True, 1, False),
        ("bf16 cpu", True, None, False),
    ],
)
def test_a_precision_that_the_processor_emulates_is_told_before_the_run(
    how, emulates, jobs, is_said, wanted, monkeypatch
):
    """In one line, with what to do; not of what runs elsewhere, nor of what is recorded."""
    monkeypatch.setattr("resnet18.measure.devices.emulates_bf16", lambda: emulates)
    first, *others = wanted.plan.runs
    precision, device = how.split()
    runs = [replace(first, execution=Execution(precision=precision, device=device)), *others]
    line = "slow here: the processor emulates bf16 (1 of 6 runs); faster: -o precision=fp32"

    assert is_said == (line in announcement(shown(wanted, runs, jobs=jobs)).splitlines())
    assert "slow here" not in announcement(shown(wanted, runs, done=1, jobs=jobs))


# When steps are timed


def test_every_table_at_smoke_scale_is_announced_by_the_rule_of_thumb(monkeypatch):
    """As about a minute, which is what it takes on two cores. Unless they are asked for, no steps are timed."""
    monkeypatch.setattr(previewing, "time_some", None)
    view = filled(outline(WhatToRun(device="cpu"), EMBEDDED, {"cpu": 1}), ())

    assert 30 < summary_row(view)["seconds"] < 75
    assert announcement(view).endswith(" here, by a rule of thumb")


def test_recorded_kinds_are_not_timed(wanted, runs, monkeypatch):
    monkeypatch.setattr(previewing, "of_this_machine", list)
    monkeypatch.setattr(previewing, "time_some", None)
    records = [make_record(run.experiment, run.execution) for run in runs[:2]]
    view = filled(wanted, records, time_steps=True, keep_stale=True)

    assert (2, {"from records"}) == (len(view.done), view.bases)
    assert total_s(runs[2:], view.seconds) > 0


def test_a_kind_is_timed_on_few_images_and_has_a_pace_once_it_is_warm(wanted, monkeypatch):
    """On the CPU, uncompiled; of two kinds the heavier one comes first, and only warms up."""
    jobs, two = [], [make_epoch(1, train_s=23.0), make_epoch(2, train_s=1.0)]
    monkeypatch.setattr(trials, "time_epochs", lambda job, limit_s: (jobs.append(job), (two[: len(jobs)], 30.0))[1])
    slow = Execution(compile=True)
    large = [replace(run, experiment=run.experiment.model_copy(update={"image_size": 224})) for run in wanted.plan.runs]
    sizes, paces = time_some([*wanted.plan.runs[:1], replace(large[1], execution=slow)], wanted)

    assert [(2, 4, False), (8, 4, False)] == [
        (job.run.experiment.batch_size, job.run.experiment.epochs, job.run.execution.compile) for job in jobs
    ]
    assert (Sizes(4_000, 1_000), [1.5 / 40]) == (sizes, [pace.train_image_s for pace in paces.values()])


def test_a_child_process_times_a_few_steps_and_a_run_that_fails_gives_no_pace(runs, monkeypatch):
    """Here of data that are not what they were; without time none is started."""
    monkeypatch.setattr(trials, "KIND_LIMIT_S", 60.0)  # a busy machine takes longer to start a process
    data, seconds, short = read_embedded().sha256, 600.0, [shortened(runs[0], 2, 2)]
    ((epochs, wall_s),) = timed(short, EMBEDDED, data, seconds).values()

    assert [1, 2] == [epoch.epoch for epoch in epochs]
    assert wall_s > sum(epoch.train_s for epoch in epochs) > 0
    assert {} == timed(short, EMBEDDED, "d" * 64, seconds) == timed(short, EMBEDDED, data, 0.1)


# `--retime`

UNTIMED = (
    TOML.replace(', { metric = "whole_program_s", title = "Time" }', "")
    .replace(', whole_program_s = "12.5"', "")
    .replace(', whole_program_s = "Out of Memory"', "")
)
CLAIM = (
    '[[claim]]\nid = "X1"\nsays = "faster"\ncheck = [{ kind = "less", metric = "train_s", case = "16", than = "8" }]'
)


@pytest.mark.parametrize(
    ("flag", "options", "count"),
    [
        ("unreliable", {}, 1),
        ("resumed", {}, 1),
        ("no_learning", {}, 0),
        ("unreliable", {"text": UNTIMED}, 0),
        ("unreliable", {"text": UNTIMED + CLAIM}, 1),
        ("unreliable", {"code": "0" * 64}, 0),
    ],
)
def test_unreliable_times_are_found_in_tables_that_print_or_compare_times(flag, options, count, tmp_path):
    benchmark, request = make_benchmark(tmp_path, options.get("text", TOML)), Request(overrides=TINY)
    planned = plan([benchmark], request, [0], {"cpu": 1})
    records = []
    for run in planned.runs:
        code = options.get("code", code_hash(run.experiment, run.execution))
        records.append(make_record(run.experiment, run.execution, request=request, code=code))
    found = unreliable_times([benchmark], planned, [changed(records[0], flags=[flag]), *records[1:]])

    assert count == len(found)


def test_times_of_other_machines_are_counted_and_left_alone(wanted, runs, monkeypatch):
    """A time taken here could not be set beside them."""
    records = [
        changed(make_record(run.experiment, run.execution, code=code_hash(run.experiment, run.execution)), flags=flags)
        for run, flags in zip(runs, (["unreliable"], ["unreliable"], [], [], [], []), strict=True)
    ]
    monkeypatch.setattr("resnet18.cli.run.of_this_machine", lambda found: found[:1])

    says = "Runs with unreliable times: 1 rerun; 1 of other or unknown machines not rerun."
    assert ({runs[0].run_id: 1}, says) == unreliable(wanted, records)
