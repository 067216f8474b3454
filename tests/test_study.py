"""Studies: what a file names is run part by part, once, in its order; nothing is trained here."""

import json

import pytest
from builders import TINY, TINY_ARGUMENTS, TOML, make_toml
from fakes.jobs import record_of

from resnet18.cli.options import Answer
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks, suite_files
from resnet18.spec.plan import load_study, plan
from resnet18.spec.resolve import Request

PART = """
[[part]]
title = "{title}"
benchmarks = ["mine.toml"]
scale = "smoke"
data = "fashion-mnist-mini"
options = {options}
seeds = {seeds}
"""
CPU = {"cpu": 1}


def part(title="All", more="", seeds=1, options=TINY):
    return PART.format(title=title, seeds=seeds, options=json.dumps([*options])) + more


@pytest.fixture
def write(tmp_path):
    """Write a study of these parts, with a table of two cases beside it, and return its path."""
    make_toml(tmp_path)
    return lambda *parts: make_toml(tmp_path, 'title = "A study"\n' + "".join(parts), "night")


class Recorder:
    """An engine that trains nothing: each run is recorded, and takes ten seconds of its own clock."""

    devices = CPU

    def __init__(self):
        self.jobs, self.now_s, self.interrupted_at = [], 0.0, None

    def prepare(self, runs):
        """Need no time to get ready."""

    def carry_out(self, jobs, progress):
        finished = []
        for job in jobs:
            if len(self.jobs) == self.interrupted_at:
                raise KeyboardInterrupt
            self.jobs.append(job)
            self.now_s += 10.0
            job.store.save(record_of(job))
            finished.append(progress.end(job.run, "ok"))
        return finished

    def ran(self):
        """Case and seed of each run, in the order in which they ran."""
        return [(job.run.labels[0], job.run.experiment.seed) for job in self.jobs]


@pytest.fixture
def engine(monkeypatch):
    """Have runs carried out by a recorder; a run is estimated to take ten seconds, and no report is written."""
    made, reports = Recorder(), []
    made.reports = reports

    def reported(store, benchmarks, finished, parts):
        reports.append(([one.name for one in benchmarks], len(finished)))
        return Answer({"event": "report"}, "report: README.md")

    monkeypatch.setattr("resnet18.cli.run.engine_of", lambda _: made)
    monkeypatch.setattr("resnet18.cli.run.reported", reported)
    for module in ("run", "study"):
        monkeypatch.setattr(f"resnet18.cli.{module}.monotonic", lambda: made.now_s)
    monkeypatch.setattr("resnet18.cli.preview.time_some", lambda *_: (None, {}))
    monkeypatch.setattr("resnet18.cli.preview.estimate", lambda runs, *_: ({run.run_id: 10.0 for run in runs}, ()))
    return made


# The file


def test_a_part_has_the_runs_of_the_command_with_the_same_options(write, cli, tmp_path):
    options = ["epochs=2", 'optimizer={ name = "adam", lr = 0.010 }', *TINY[:-2]]
    path = write(part("All", "times = true\n", seeds=2, options=options))
    words = [word for option in options for word in ("-o", option)]
    rows = json.loads(cli("plan", "mine.toml", "--seeds", "2", *words, "--json").stdout)

    assert [row["run_id"] for row in rows] == [run.run_id for run in load_study(str(path)).parts[0].plan(CPU).runs]


def test_options_of_a_part_are_asked_for_in_one_order_and_form(write):
    """As those of the command: the last of a key counts."""
    (found,) = load_study(str(write(part(options=["width=2", "epochs=1", "epochs=2"])))).parts

    assert Request("smoke", "fashion-mnist-mini", ("epochs=2", "width=2")) == found.request


def test_a_part_may_be_of_some_cases_and_of_candidates_of_hypotheses(tmp_path):
    case = "none [schedule: not cut]"
    text = part().replace("mine.toml", "augmentation") + f'hypotheses = true\ncases = ["{case}"]\n'
    (found,) = load_study(str(make_toml(tmp_path, 'title = "A study"\n' + text))).parts
    (run,) = found.plan(CPU).runs

    assert f"augmentation/{case}" in run.labels


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds = 1", "seeds = ", ["night.toml: not valid TOML", "line 9"]),
        ("seeds = 1", "sedes = 1", ['unknown key "part[1].sedes"', '(did you mean "seeds"?)', "the format"]),
        ("seeds = 1", "seeds = 0", ["part[1].seeds: must be greater than or equal to 1, got 0"]),
        ('scale = "smoke"', 'scale = "smokes"', ['unknown value "smokes"', "paper"]),
        ("mine.toml", "batchsizes", ['part "All": benchmark "batchsizes": unknown name (did you mean "batchsize"?)']),
        ("mine.toml", "their.toml", ["their.toml: cannot be read"]),
        ("seeds = 1", 'seeds = 1\ncases = ["88"]', ['part "All": case "88": no table has it']),
        ('"epochs=1"', '"epoch=1"', ['part "All": option -o epoch=1: unknown key "epoch" (did you mean "epochs"?)']),
        ('"epochs=1"', '"epochs"', ['part "All": option -o', "is not of the form key=value"]),
        (
            '"fashion-mnist-mini"',
            '"imagefolder:x"',
            ['part[1].data: "imagefolder:x" has a character'],
        ),
        ('title = "All"', 'title = "A|l"', ["part[1].title", "not allowed here"]),
        ('title = "A study"', 'name = "x"', ['the key "name" is not for the file']),
        ("[[part]]", "[[parts]]", ['unknown key "parts"', '(did you mean "part"?)']),
    ],
)
def test_a_mistake_in_a_study_is_told_with_its_place_and_what_is_allowed(old, new, words, write, tmp_path):
    path = write(part())
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")

    with pytest.raises(SpecError) as caught:
        load_study(str(path))
    assert [] == [word for word in ["night.toml", *words] if word not in str(caught.value)], str(caught.value)


def test_two_parts_of_one_title_are_refused(write):
    with pytest.raises(SpecError, match='part "All": two parts have this name'):
        load_study(str(write(part(), part())))


def test_two_tables_of_one_name_are_refused(write, tmp_path):
    """Both would stand in one report."""
    (tmp_path / "other").mkdir()
    make_toml(tmp_path / "other")

    with pytest.raises(SpecError, match=r'benchmarks: file "mine.toml": two files have this name'):
        load_study(str(write(part(), part("More").replace("mine.toml", "other/mine.toml"))))


def test_paths_of_a_study_do_not_depend_on_where_the_command_is_given(write, tmp_path, monkeypatch):
    """Neither those beside it nor those of the suite."""
    path = write(part(), part("Beyond", options=()).replace("mine.toml", "benchmarks/beyond/augmentation-alone.toml"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    mine, beyond = load_study(str(path)).parts
    assert ["mine/8", "mine/16"] == [run.labels[0] for run in mine.plan(CPU).runs]
    assert "augmentation-alone/nothing" == beyond.plan(CPU).runs[0].labels[0]


# The suite's own studies


def test_the_smoke_study_is_what_runs_without_options():
    (found,) = load_study("smoke").parts
    wanted = plan(load_benchmarks(), Request("smoke"), [0], CPU)

    assert {run.run_id for run in wanted.runs} == {run.run_id for run in found.plan(CPU).runs}


@pytest.mark.parametrize("name", suite_files("studies"))
def test_every_study_of_the_suite_can_be_planned(name):
    assert any(found.plan(CPU).runs for found in load_study(name).parts)


def test_the_lab_report_is_first_studied_at_full_size_and_one_input_size_and_precision():
    """Every cell of its tables that a processor can fill: 18 runs of each seed, as two of 19 cases are the same."""
    first = load_study("lab-report").parts[0].plan(CPU)
    specs = {
        (run.experiment.train_images, run.experiment.image_size, run.experiment.width, run.execution.precision)
        for run in first.runs
    }

    assert {("all", 32, 64, "fp32")} == specs
    assert (3 * 18, {}) == (len(first.runs), first.not_planned)


# The command


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["smoky"], 2, ['study "smoky": unknown name (did you mean "smoke"?)', "lab-report, smoke"]),
        (["none.toml"], 2, ["none.toml: cannot be read"]),
        (["night.toml", "--part", "Al"], 2, ['part "Al": unknown title (did you mean "All"?)', 'allowed: "All"']),
        (["night.toml", "--data", "cifar10"], 2, ["--data cifar10: is cifar10, which no part is of (allowed: fashion"]),
        (["lab-report"], 2, ['part "Full size, 32 px": is of cifar10-jpeg', "add --data imagefolder:PATH"]),
        (["night.toml", "--budget", "soon"], 2, ["allowed: 90s"]),
        (["night.toml", "--budget", "1h", "--engine", "ray"], 2, ["times", "of ray's nodes are unknown"]),
        (["night.toml", "--device", "cuda"], 5, ["no CUDA device"]),
    ],
)
def test_a_mistake_on_the_command_line_runs_nothing(arguments, exit_code, words, write, cli, tmp_path):
    write(part())
    done = cli("study", *arguments)

    assert exit_code == done.exit_code, done.output
    assert [] == [word for word in words if word not in done.output], done.output
    assert not (tmp_path / "results").exists()


def test_parts_run_in_their_order_and_a_run_that_they_share_once(write, cli, engine):
    write(part("First", 'cases = ["16"]\n'), part("Second", seeds=2))
    done = cli("study", "night.toml")

    assert 0 == done.exit_code, done.output
    assert [("mine/16", 0), ("mine/8", 0), ("mine/16", 1), ("mine/8", 1)] == engine.ran()
    assert [(["mine"], 5)] == engine.reports
    assert done.output.index("First: 1 run ") < done.output.index("Second: 4 runs ")


def test_a_study_whose_runs_are_recorded_runs_nothing(write, cli, engine):
    """What stopped it does not matter."""
    path = write(part("First", seeds=2), part("Second", 'cases = ["8"]\n', seeds=3))
    engine.interrupted_at = 3
    stopped = cli("study", path)
    engine.interrupted_at = None
    cli("study", path)
    ran = len(engine.jobs)
    again = cli("study", path)

    assert (130, 0) == (stopped.exit_code, again.exit_code)
    assert (5, 5) == (ran, len(engine.jobs))
    assert 2 == again.output.count("nothing is left to run")


def test_a_study_that_is_stopped_ends_with_a_report_of_the_parts_that_ended(write, cli, engine):
    write(part("First"), part("Second", seeds=2))
    engine.interrupted_at = 3
    done = cli("study", "night.toml")

    assert (130, [(["mine"], 2)]) == (done.exit_code, engine.reports)
    assert "report: README.md" in done.output


def test_only_the_named_parts_run(write, cli, engine):
    write(part("First"), part("Second", 'cases = ["8"]\n', seeds=2))
    cli("study", "night.toml", "--part", "Second")

    assert [("mine/8", 0), ("mine/8", 1)] == engine.ran()


def test_a_run_goes_alone_where_its_time_counts_in_any_part(write, cli, engine):
    """Although another part, in which it does not, comes first."""
    write(part("Accuracy", seeds=2), part("Times", "times = true\n"))
    cli("study", "night.toml")

    assert [0, 0] == [job.run.experiment.seed for job in engine.jobs if job.run.is_timed]
    assert 4 == len(engine.jobs)


def test_times_that_do_not_count_keep_no_run_alone(write, cli, engine):
    """Even where the table divides by the time of a case."""
    write(part()).with_name("mine.toml").write_text(
        TOML.replace('case_title = "Batch"', 'case_title = "Batch"\nspeed_up_over = "8"'), encoding="utf-8"
    )
    cli("study", "night.toml")

    assert [False, False] == [job.run.is_timed for job in engine.jobs]


def test_what_is_left_of_the_budget_passes_on_to_the_next_part(write, cli, engine):
    """Of 35 seconds two runs take 20, so that of the next part one run fits; the same command then goes on."""
    write(part("First"), part("Second", seeds=3))
    done = cli("study", "night.toml", "--budget", "35s", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    left_out = [(event["cases"], event["seed"], event["seconds"]) for event in events if event["event"] == "left_out"]
    said = cli("study", "night.toml", "--budget", "10s").output

    assert [("mine/8", 0), ("mine/16", 0), ("mine/16", 1)] == engine.ran()[:3]
    assert [("mine/8", 1, 10.0), ("mine/8", 2, 10.0), ("mine/16", 2, 10.0)] == left_out
    assert ("mine/8", 1) == engine.ran()[3]
    assert "left out, as the budget has no time for them:\n  mine/8: seed 2 (about 10 s each)\n" in said


def test_a_device_that_is_named_is_part_of_the_runs_as_with_run(write, cli, engine):
    write(part())
    cli("study", "night.toml", "--device", "cpu")
    rows = json.loads(cli("plan", "mine.toml", *TINY_ARGUMENTS, "--seeds", "1", "--device", "cpu", "--json").stdout)

    assert [row["run_id"] for row in rows] == [job.run.run_id for job in engine.jobs]


def test_the_plan_counts_runs_part_by_part_and_runs_nothing(write, cli, engine, tmp_path):
    """A run of two parts is to run in the first alone."""
    write(part("First"), part("Second", seeds=2))
    rows = json.loads(cli("study", "night.toml", "--plan", "--json").stdout)
    cli("study", "night.toml", "--part", "First")
    later = json.loads(cli("study", "night.toml", "--plan", "--budget", "15s", "--json").stdout)
    keys = ("part", "runs", "recorded", "in_parts_above", "to_run", "left_out", "seconds")

    assert [("First", 2, 0, 0, 2, 0, 20.0), ("Second", 4, 0, 2, 2, 0, 20.0)] == [
        tuple(row[key] for key in keys) for row in rows
    ]
    assert [("First", 2, 2, 0, 0, 0, 0), ("Second", 4, 2, 0, 1, 1, 10.0)] == [
        tuple(row[key] for key in keys) for row in later
    ]
    assert 2 == len(engine.jobs)


def test_a_plan_needs_no_data(cli):
    done = cli("study", "lab-report", "--plan")

    assert 0 == done.exit_code, done.output
    assert "Full size, 32 px " in done.output
