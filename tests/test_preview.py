"""What is said before runs begin: how many, how many are recorded, how long the others take and how that is known."""

from dataclasses import replace

import pytest
from builders import TOML, make_benchmark, make_epoch, make_experiment, make_record

from resnet18.cli import preview as previewing
from resnet18.cli.request import Asked, asked
from resnet18.execution import process, timing
from resnet18.execution.job import Place, TimingAnswer, TimingQuestion
from resnet18.execution.worker_timing import answer_timing, images_at_most
from resnet18.report.preview import Preview, preview_rows, preview_text
from resnet18.spec.data import parse_data
from resnet18.spec.experiment import Execution
from resnet18.spec.plan import NotPlanned, Plan, plan
from resnet18.spec.resolve import Request
from resnet18.tables.estimate import Estimate, Pace, Sizes, by_rule_s, estimate, kind_of, paces_of, scaled, work

SIZES = Sizes(1_000, 100)
PACE = Pace(prepare_s=1.0, train_image_s=0.01, eval_image_s=0.001, basis="timed", steps=3)
EMBEDDED = parse_data("fashion-mnist-mini")
REQUEST = Request("paper", "fashion-mnist-mini", ("test_images_epoch=100", "test_images_last=100"))


CLAIMED = """
[[claim]]
id = "X1"
says = "it is so"
check = [{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }]
"""


def everywhere(record):
    return True


@pytest.fixture
def mine(tmp_path):
    return make_benchmark(tmp_path)


@pytest.fixture
def runs(mine):
    return plan([mine], REQUEST, range(3), {"cpu": 1}).runs


@pytest.fixture
def wanted(mine, runs):
    return Asked((mine,), REQUEST, EMBEDDED, Plan(runs, ()), {"cpu": 1})


def test_a_run_takes_its_images_its_evaluations_and_what_it_begins_with(runs):
    """Two epochs of 1,000 images, after each 100 images scored twice."""
    found = estimate(runs[:1], {kind_of(runs[0].experiment, runs[0].execution): PACE}, SIZES)

    assert 1 + 2 * 1_000 * 0.01 + 2 * 2 * 100 * 0.001 == pytest.approx(found.total_s(runs[:1]))


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 90), (2, 50), (3, 40), (9, 40)])
def test_runs_at_a_time_take_as_long_as_the_runner_that_ends_last(jobs, seconds, runs):
    """Each takes the next run when it has ended one; no number of them makes the longest run shorter."""
    every = Estimate({run.run_id: one for run, one in zip(runs, (10, 40, 10, 10, 10, 10), strict=True)}, {})

    assert seconds == every.total_s(runs, jobs)


def test_timed_runs_come_after_the_others_one_by_one(runs):
    """They need the machine for themselves."""
    timed = [replace(run, is_timed=at < 3) for at, run in enumerate(runs)]

    assert 3 * 10 + 2 * 10 == Estimate(dict.fromkeys((run.run_id for run in runs), 10.0), {}).total_s(timed, 2)


def test_the_kind_of_a_run_is_all_but_how_long_it_trains():
    """Seeds, epochs, schedule and the number of images are no part of it."""
    kinds = {
        kind_of(make_experiment(**changes), Execution())
        for changes in ({}, {"seed": 1}, {"epochs": 9}, {"train_images": "all"}, {"test_images_last": 10})
    }

    assert 1 == len(kinds)
    assert kinds != {kind_of(make_experiment(batch_size=8), Execution())}
    assert kinds != {kind_of(make_experiment(), Execution(path="fast"))}


def test_the_pace_of_a_record_is_that_of_its_images():
    """1.5 s for 40 images, 4.125 s for 40 scored ones, and what is left of 9 s."""
    (pace,) = paces_of([make_record()], everywhere).values()

    assert (1.5 / 40, 4.125 / 40) == (pace.train_image_s, pace.eval_image_s)
    assert 9.0 - 1.5 - 4.125 == pytest.approx(pace.prepare_s)


def test_the_pace_of_a_record_is_not_that_of_its_cold_first_epoch():
    """Of two epochs the faster one counts: 20 images in half a second."""
    (pace,) = paces_of(
        [make_record(epochs=(make_epoch(1, train_s=23.0), make_epoch(2, train_s=0.5)))], everywhere
    ).values()

    assert 1.0 / 40 == pace.train_image_s


def test_the_pace_of_several_records_is_their_median():
    """Whatever their seeds and epochs."""
    records = [
        make_record(make_experiment(seed=at), epochs=(make_epoch(1, train_s=seconds),))
        for at, seconds in enumerate((1.0, 9.0, 2.0))
    ]

    assert [2.5 / 40] == [pace.train_image_s for pace in paces_of(records, everywhere).values()]


def test_a_record_of_another_machine_or_without_a_result_tells_no_pace():
    """Nor does one that nobody vouches for."""
    assert {} == paces_of([make_record(status="crashed")], everywhere)
    assert {} == paces_of([make_record()], lambda _: False)
    assert not previewing.on_this_machine()(make_record(cpu="another"))


def test_a_record_of_an_unknown_processor_tells_no_pace_on_another(monkeypatch):
    """Though the two have the same name: none."""
    facts = {"system": "Linux", "architecture": "aarch64", "cpu_flags_sha256": None}
    monkeypatch.setattr(previewing.platform, "system", lambda: facts["system"])
    monkeypatch.setattr(previewing.platform, "machine", lambda: facts["architecture"])
    monkeypatch.setattr("resnet18.measure.devices.cpu_flags_sha256", lambda: None)
    told = {}
    for name in ("a processor", "unknown"):
        monkeypatch.setattr("resnet18.measure.devices.cpu_model", lambda name=name: name)
        known = {key: value for key, value in facts.items() if value is not None}
        told[name] = previewing.on_this_machine()(make_record(cpu=name, numerics=known))

    assert {"a processor": True, "unknown": False} == told


def test_what_is_not_known_is_scaled_by_work_from_the_nearest_kind(runs):
    """Twice the width is four times the work; of two that are known the nearer batch size counts."""
    own = runs[0].experiment.model_copy(update={"width": 128})
    pace = scaled(runs[0].__class__(**{**vars(runs[0]), "experiment": own}), [(runs[0], PACE), (runs[1], PACE)])

    assert (4 * 0.01, 1.0, "scaled") == (pytest.approx(pace.train_image_s), pace.prepare_s, pace.basis)
    assert scaled(runs[0], []) is None
    assert 16 * work(own) == work(own.model_copy(update={"stem": "cifar"}))


def test_all_of_an_unknown_data_set_takes_nobody_knows_how_long(runs):
    """Its size is not invented."""
    assert {} == estimate(runs, {kind_of(runs[0].experiment, runs[0].execution): PACE}, None).seconds


def test_the_rule_of_thumb_counts_runs_steps_and_work(runs):
    """Smaller batches take longer, and three runs three times as long as one."""
    by_case = {run.labels[0]: by_rule_s([run], SIZES) for run in runs}

    assert by_case["mine/8"] > by_case["mine/16"] > 1
    assert by_rule_s(runs, SIZES) == pytest.approx(3 * sum(by_case.values()))


def shown(wanted, paces, done=(), *, briefly_s=0.0, not_planned=(), jobs=1):
    pending = [run for run in wanted.plan.runs if run.run_id not in done]
    every = Plan(wanted.plan.runs, tuple(not_planned))
    brief = {run.run_id: briefly_s for run in pending if briefly_s}
    return Preview(wanted.benchmarks, every, frozenset(done), estimate(pending, paces, SIZES), brief, jobs)


def test_a_table_is_told_with_its_runs_its_records_and_its_time(wanted, runs):
    """And what that is based on."""
    paces = {kind_of(run.experiment, run.execution): PACE for run in runs}
    view = shown(wanted, paces, {runs[0].run_id}, not_planned=[NotPlanned("mine/GPU", "no CUDA device")])

    assert (
        "mine: 6 runs, 1 recorded, 1 not planned (no CUDA device); about 2 min here, "
        "from 3 timed steps of each of 2 cases" == preview_text(view)
    )
    assert ("mine", 6, 1, 1) == tuple(
        preview_rows(view)[0][key] for key in ("benchmark", "runs", "recorded", "not_planned")
    )


@pytest.mark.parametrize(
    ("timed", "jobs", "end"),
    [
        (0, 1, "; about 2 min here, "),
        (0, 2, "; at best about 64 s here, 2 at a time, "),
        (0, 99, "; at best about 21 s here, 6 at a time, "),
        (4, 2, "; at best about 2 min here, 2 at a time, timed runs alone, "),
        (5, 2, "; about 2 min here, from 3 "),
        (6, 2, "; about 2 min here, from 3 "),
    ],
)
def test_with_runs_at_a_time_their_time_is_told_as_the_least(timed, jobs, end, wanted, runs):
    """Nobody knows how much they slow each other down. What has nothing beside it is told as ever."""
    paces = {kind_of(run.experiment, run.execution): PACE for run in runs}
    marked = tuple(replace(run, is_timed=at < timed) for at, run in enumerate(runs))

    assert end in preview_text(shown(replace(wanted, plan=Plan(marked, ())), paces, jobs=jobs))


def test_a_program_is_told_how_many_runs_there_are_at_a_time(wanted, runs):
    """And how many of them alone, beside the seconds that all of them take."""
    paces = {kind_of(run.experiment, run.execution): PACE for run in runs}
    (row, _) = preview_rows(shown(wanted, paces, {runs[0].run_id}, jobs=2))

    assert (2, 0, pytest.approx(3 * 21.4)) == (row["at_a_time"], row["alone"], row["seconds"])


@pytest.mark.parametrize(
    ("done", "briefly_s", "end"),
    [
        (6, 0.0, "6 recorded; nothing is left to run"),
        (0, 4.9, "; under a minute"),
        (0, 5.1, "; about a minute"),
        (0, 0.0, "; nobody knows yet how long"),
    ],
)
def test_what_is_not_known_is_not_told_as_a_number(done, briefly_s, end, wanted, runs):
    """Nor what takes no time."""
    view = shown(wanted, {}, {run.run_id for run in runs[:done]}, briefly_s=briefly_s)

    assert preview_text(view).endswith(end)


def test_shared_runs_count_once_in_all(tmp_path, mine):
    """Two tables that show the same runs."""
    other = mine.model_copy(update={"name": "other", "source": "a report, Table 7"})
    planned = plan([mine, other], REQUEST, [0], {"cpu": 1})
    view = Preview((mine, other), planned, frozenset(), estimate(planned.runs, {}, None))

    assert ["mine: 2 runs", "Table 7 (other): 2 runs", "In all: 2 runs"] == [
        line.partition(";")[0] for line in preview_text(view).splitlines()
    ]


def test_a_budget_says_that_it_counts_runs_one_after_another(tmp_path, monkeypatch):
    """Their pace beside each other is not known, and a budget must be kept."""
    mine = make_benchmark(tmp_path, TOML + CLAIMED)
    planned = plan([mine], REQUEST, range(3), {"cpu": 1})
    monkeypatch.setattr(previewing, "time_some", lambda *_: (SIZES, {}))
    wanted = Asked((mine,), REQUEST, EMBEDDED, planned, {"cpu": 1})
    one, two = (previewing.announced(wanted, (), "always", budget_s=3_600.0, jobs=jobs).text for jobs in (1, 2))

    assert (False, True) == (" one after another of 1 h" in one, " one after another of 1 h" in two)


def test_short_plans_are_not_timed(wanted, monkeypatch):
    """It would take as long as they do."""
    monkeypatch.setattr(previewing, "time_some", None)
    small = Asked(wanted.benchmarks, REQUEST, EMBEDDED, Plan(wanted.plan.runs[:1], ()), {"cpu": 1})
    monkeypatch.setattr(previewing, "WORTH_TIMING_S", 1e9)

    assert previewing.preview(small, (), "if long").briefly_s


def test_every_table_at_smoke_scale_is_announced_as_about_a_minute(monkeypatch):
    """Which is what it takes on two cores, that of a fresh machine included; nothing is timed for it."""
    monkeypatch.setattr(previewing, "time_some", None)
    smoke = asked(None, "smoke", None, None, "cpu", None)
    first, *_, last = preview_text(previewing.preview(smoke, (), "if long")).splitlines()

    assert "basic: 1 run; under a minute" == first
    assert last.startswith("In all: 25 runs")
    assert last.endswith("; about a minute")


def test_where_no_step_could_be_timed_the_rule_of_thumb_is_told_as_that(wanted, monkeypatch):
    """On a machine that is busy with other things: an order of magnitude is better than nothing."""
    monkeypatch.setattr(previewing, "time_some", lambda *_: (SIZES, {}))
    view = previewing.preview(wanted, (), "always")

    assert preview_text(view).endswith(" here, by a rule of thumb, since no step could be timed")


@pytest.mark.parametrize(("kind", "limit_s"), [("if long", 2.5), ("always", 10.0)])
def test_long_plans_are_timed_for_a_small_share_of_what_they_take(kind, limit_s, wanted, monkeypatch):
    """And never for more than ten seconds."""
    limits = []
    monkeypatch.setattr(previewing, "by_rule_s", lambda *_: 75.0)
    monkeypatch.setattr(previewing, "time_some", lambda runs, source, limit: (limits.append(limit), (SIZES, {}))[1])
    previewing.preview(wanted, (), kind)

    assert [limit_s] == limits


def test_recorded_kinds_are_not_timed(wanted, runs, monkeypatch):
    """Other seeds of them cost nothing to foretell."""
    monkeypatch.setattr(previewing, "on_this_machine", lambda: everywhere)
    monkeypatch.setattr(previewing, "time_some", None)
    records = [make_record(run.experiment, run.execution) for run in runs[:2]]
    view = previewing.preview(wanted, records, "always", keep_stale=True)

    assert (2, "from records") == (len(view.done), view.estimate.described)
    assert view.estimate.total_s(runs[2:]) > 0


def test_a_heavy_kind_is_timed_first_and_one_that_only_warmed_up_does_not_count(wanted, monkeypatch):
    """While another has a pace."""
    sizes_asked = []

    def answer(question, limit_s):
        sizes_asked.append(question.experiment.batch_size)
        return TimingAnswer(steps=len(sizes_asked) - 1, prepare_s=1.0, train_image_s=1.0, eval_image_s=1.0)

    monkeypatch.setattr(process, "ask", lambda _: Sizes(4_000, 1_000).__class__ and _answer())
    monkeypatch.setattr(process, "time_steps", answer)
    sizes, paces = previewing.time_some(wanted.plan.runs, EMBEDDED, 10.0)

    assert (Sizes(4_000, 1_000), 2, [1]) == (sizes, len(sizes_asked), [pace.steps for pace in paces.values()])


def _answer():
    from resnet18.execution.job import DataAnswer  # noqa: PLC0415 - beside its only use

    return DataAnswer(sha256="d" * 64, train_images=4_000, test_images=1_000)


def test_a_cold_start_is_no_pace(wanted, monkeypatch):
    """The first step of a fresh machine takes twenty seconds: what comes of it would be hours."""
    cold = TimingAnswer(steps=0, prepare_s=4.0, train_image_s=1.0, eval_image_s=0.3)
    monkeypatch.setattr(process, "ask", lambda _: _answer())
    monkeypatch.setattr(process, "time_steps", lambda *_: cold)
    view = previewing.preview(wanted, (), "always")

    assert {"rule"} == {pace.basis for pace in view.estimate.paces.values()}
    assert view.estimate.total_s(wanted.plan.runs) < 6 * 2 * 1_000


def test_no_process_is_started_when_the_time_is_over(runs, monkeypatch):
    """The others are scaled."""
    monkeypatch.setattr(process, "time_steps", None)

    assert {} == timing.timed(runs, Place.of(EMBEDDED), 0.1)


def test_a_few_steps_are_timed_after_one_that_warms_up(one_thread):
    """The first answer comes after the first step, the last one after an evaluation."""
    question = TimingQuestion(
        place=Place.of(EMBEDDED),
        experiment=make_experiment(batch_size=8),
        execution=Execution(threads=1, device="cpu"),
        steps=3,
        enough_s=60.0,
    )
    answers = list(answer_timing(question))

    assert [0, 1, 2, 3, 3] == [one.steps for one in answers]
    assert min(answers[-1].train_image_s, answers[-1].eval_image_s, answers[-1].prepare_s) > 0


@pytest.mark.parametrize(("size", "width", "images"), [(224, 64, 2), (32, 64, 146), (1024, 512, 2)])
def test_a_timed_step_on_the_cpu_is_small(size, width, images):
    """A preview must not fill the memory."""
    assert images == images_at_most(make_experiment(image_size=size, width=width))


def test_a_child_process_times_steps_and_one_that_fails_gives_no_pace(runs):
    """Here of a data set that is not there."""
    fields = {"experiment": make_experiment(), "execution": Execution(), "steps": 1, "enough_s": 1.0}
    gone = Place(kind="imagefolder", label="x", path="/nowhere")

    assert process.time_steps(TimingQuestion(place=Place.of(EMBEDDED), **fields), 600.0).train_image_s > 0
    assert process.time_steps(TimingQuestion(place=gone, **fields), 60.0) is None


@pytest.mark.parametrize(
    ("precision", "device", "emulates", "is_said"),
    [
        ("bf16", "cpu", True, True),
        ("bf16", "auto", True, True),
        ("bf16", "cpu", False, False),
        ("fp32", "cpu", True, False),
        ("bf16", "cuda", True, False),
    ],
)
def test_a_precision_that_the_processor_emulates_is_told_before_the_run(
    precision, device, emulates, is_said, wanted, monkeypatch
):
    """In one line, with what to do."""
    monkeypatch.setattr("resnet18.measure.devices.emulates_bf16", lambda: emulates)
    how = Execution(precision=precision, device=device)
    first, *others = wanted.plan.runs
    planned = Plan((replace(first, execution=how), *others), ())
    text = previewing.announced(replace(wanted, plan=planned), (), "never").text
    line = "slow here: the processor emulates bf16 (1 of 6 runs); faster: -o precision=fp32"

    assert is_said == (line in text.splitlines())


@pytest.mark.parametrize("changes", [{"jobs": None}, {"keep_stale": True}], ids=["runs elsewhere", "recorded runs"])
def test_no_precision_is_called_slow_of_what_does_not_run_here(changes, mine, runs, monkeypatch):
    """On a cluster's nodes nobody knows it, and what is recorded takes no time."""
    monkeypatch.setattr("resnet18.measure.devices.emulates_bf16", lambda: True)
    run = replace(runs[0], execution=Execution(precision="bf16", device="cpu"))
    records = (make_record(run.experiment, run.execution).model_copy(update={"run_id": run.run_id}),)
    wanted = Asked((mine,), REQUEST, EMBEDDED, Plan((run,), ()), {"cpu": 1})
    text = previewing.announced(wanted, records if "keep_stale" in changes else (), "never", **changes).text

    assert "slow here" not in text


def test_ten_thousand_records_are_looked_through_about_ten_times_as_long_as_a_thousand(
    tmp_path, monkeypatch, grows_no_faster
):
    """Beyond reading them."""
    monkeypatch.setattr(previewing, "on_this_machine", lambda: everywhere)
    mine = make_benchmark(tmp_path)
    planned = plan([mine], REQUEST, range(1_000), {"cpu": 1})
    record = make_record(planned.runs[0].experiment, planned.runs[0].execution)
    records = [record.model_copy(update={"run_id": f"{at:016x}"}) for at in range(10_000)]
    wanted = Asked((mine,), REQUEST, EMBEDDED, planned, {"cpu": 1})

    assert grows_no_faster(lambda count: previewing.announced(wanted, records[:count], "never"), 1_000)
