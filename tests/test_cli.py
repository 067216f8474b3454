"""The command line: exit codes, messages, and what is written where."""

import json
import os
import signal
import subprocess
import sys

import pytest
from builders import (
    TINY_ARGUMENTS,
    TOML,
    changed,
    claims_toml,
    fitting,
    make_curve,
    make_experiment,
    make_record,
    make_store,
    make_toml,
)

from resnet18.cli.app import call, reported
from resnet18.cli.options import benchmark_names
from resnet18.execution.attempt import run_lock
from resnet18.execution.job import Finished
from resnet18.execution.runner import LocalEngine
from resnet18.records.store import Store, last_attempts


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["run", "batchsizes"], 2, ['unknown name (did you mean "batchsize"?)']),
        (["run", "--scale", "smal"], 2, ["'smal' is not one of 'smoke', 'small', 'paper'"]),
        (["run", "--data", "cifar-10"], 2, ['did you mean "cifar10"', "cifar10, fashion-mnist-mini, imagefolder:PATH"]),
        (["run", "--data", "imagefolder:" + "a" * 5000], 5, ["no such file or folder", "train/<class>/"]),
        (["run", "--data", "imagefolder:"], 2, ["needs a path"]),
        (["run", "--data", "imagefolder:\u65e5\u672c"], 2, ["has no letter from a to z", "next: rename the folder"]),
        (["verify", "nosuch.json"], 2, ["nosuch.json: is no file that is there"]),
        (["run", "--data", "broken.toml"], 2, ["write --data imagefolder:broken.toml"]),
        (["run", "--data", "cifar10"], 5, ["resnet18 data fetch", "cifar-10-python.tar.gz"]),
        (["run", "--device", "cuda"], 5, ["--device cuda: no CUDA device (allowed: auto, cpu)"]),
        (["run", "--device", "gpu"], 2, ['unknown device "gpu"', "cpu, cuda, cuda:N"]),
        (["run", "basic", "--case", "?"], 2, ["next: list the cases of these tables with: resnet18 plan"]),
        (["run", "--seeds", "0"], 2, ["seeds"]),
        (["run", "--engine", "rai"], 2, ["'rai' is not one of 'local', 'ray', 'slurm'"]),
        (["run", "--resources", "cpus=2"], 2, ["is for nodes of a cluster (--engine ray or slurm)"]),
        (["run", "--engine", "ray", "--resources", "gpus=x"], 2, ["gpus=x: names no resources", "cpus=N,gpus=N"]),
        (["run", "--engine", "ray", "--budget", "1h"], 2, ["times", "of ray's nodes are unknown"]),
        (["run", "--retime", "--engine", "ray"], 2, ["not on ray's nodes"]),
        (["run", "--retime", "--jobs", "2"], 2, ["one run at a time, not 2"]),
        (["run", "--retime", "--budget", "1h"], 2, ["leave one of these options out"]),
        (["run", "basic", "--results", "broken.toml"], 5, ["choose another with --results"]),
        (["run", "broken.toml"], 2, ["broken.toml: not valid TOML", "line 1"]),
        (["plan", "C:\\lab\\mine.toml"], 2, ["C:\\lab\\mine.toml: cannot be read"]),
        (["run", "--data", "imagefolder:C:\\photos"], 5, ["no such file or folder"]),
        (["report", "--results", "C:\\lab\\results"], 3, ["there are no records", "make bench"]),
        (["forecast", "--memory", "lots"], 2, ['error: --memory: "lots" is no size of a memory']),
        (["forecast", "-o", "batch_sise=8"], 2, ['did you mean "batch_size"']),
        (["check", "batchsize"], 2, ["batchsize.toml: has no [gate]"]),
        (["schema", "thing"], 2, ["'thing' is not one of 'spec', 'study', 'record'"]),
        (["power", "--metric", "jiter"], 2, ['did you mean "jitter"']),
        (["power", "--metric", "train_s"], 3, ["no case has two recorded seeds", "resnet18 run"]),
        (["data", "fetch", "--from", "nowhere"], 5, ["there is no such file"]),
        (["data", "fetch", "--from", "broken.toml"], 4, ["is no archive of CIFAR-10"]),
        (["data", "verify"], 5, ["resnet18 data fetch"]),
        (["power", "--difference", "0"], 2, ["difference"]),
        (["run", "--budget", "soon"], 2, ["(allowed: 90s, 30m, 2h, 1.5h)"]),
        (["run", "device", "--budget", "1h", "--scale", "smoke", "--case", "CPU"], 3, ["too small for any verdict"]),
        (
            ["plan", "basic", "-o", f"data={'x' * 4_000}"],
            2,
            ["together have more than 4,000 characters", "next: write"],
        ),
        (["plan", "basic", "-o", "augmentation=1"], 2, ['case "base": augmentation: must be an array, got 1\n']),
        (["run", "--scael", "smoke"], 2, ["--scale"]),
        (["run", "--until-decided", "--seeds", "5"], 2, ["--until-decided and --seeds", "leave one of these"]),
        (["run", "--until-decided", "--retime", "--budget", "1h"], 2, ["--until-decided and --retime and --budget"]),
        (["run", "--budget", "1h", "--seeds", "2"], 2, ["--seeds 2: too few for --budget", "3, 5 or 10"]),
    ],
)
def test_a_mistake_is_answered_with_its_exit_code_and_runs_nothing(arguments, exit_code, words, cli, tmp_path):
    (tmp_path / "broken.toml").write_text("title = \nsource", encoding="utf-8")
    (tmp_path / "\u65e5\u672c").mkdir()
    result = cli(*arguments)

    assert exit_code == result.exit_code
    for word in words:
        assert word in result.output
    assert "Traceback" not in result.output
    assert [] == list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(("engine", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed_is_answered_with_the_way_to_install_it(engine, module, cli, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    result = cli("run", "basic", "--engine", engine)

    assert 5 == result.exit_code
    assert f'next: pip install ".[{engine}]"' in result.output


def test_plan_lists_runs_and_what_cannot_run(cli):
    rows = json.loads(cli("plan", "device", "--seeds", "2", "--json").output)
    states = {row["cases"]: row["state"] for row in rows}

    assert {"run_id", "cases", "seed", "epochs", "state", "seconds"} == set(rows[0])
    assert (2 * 3 + 2, "to run", "not run: no CUDA device") == (len(rows), states["device/CPU"], states["device/GPU"])
    assert " runs (smoke scale, fashion-mnist-mini), 2 not planned (no CUDA device); " in cli("plan", "device").output


def test_run_writes_records_and_a_report_and_the_second_run_does_nothing(cli, tmp_path, monkeypatch):
    """A plan tells what is recorded, and by which code."""
    path = make_toml(tmp_path)
    first = cli("run", path, *TINY_ARGUMENTS)
    second = cli("run", path, *TINY_ARGUMENTS)
    recorded = json.loads(cli("plan", path, *TINY_ARGUMENTS, "--json").stdout)
    monkeypatch.setattr("resnet18.cli.preview.code_hash", lambda *_: "0" * 64)
    stale = json.loads(cli("plan", path, *TINY_ARGUMENTS, "--json").stdout)

    assert (0, 0) == (first.exit_code, second.exit_code)
    assert "; about 1 s here, by a rule of thumb\n" in first.output
    assert ", 2 recorded; nothing is left to run\n" in second.output
    assert "2 runs (0 recorded before): 2 ok" in first.output
    assert "2 runs (2 recorded before): 2 ok" in second.output
    assert 2 == len(list((tmp_path / "results" / "local" / "records").glob("*.json")))
    assert "A table" in (tmp_path / "results" / "local" / "README.md").read_text(encoding="utf-8")
    assert ["recorded (ok)"] * 2 == [row["state"] for row in recorded]
    assert ["stale (other code)"] * 2 == [row["state"] for row in stale]


def test_where_not_everything_was_measured_the_exit_code_is_3(cli, tmp_path):
    text = TOML.replace("batch_size = 8 }", 'batch_size = 8, optimizer = { name = "sgd", lr = 100.0 } }')
    result = cli("run", make_toml(tmp_path, text), *TINY_ARGUMENTS, "-o", "epochs=20")

    assert (3, True) == (result.exit_code, "1 diverged" in result.output), result.output


def test_a_damaged_record_is_left_out_and_gives_exit_code_4(cli, tmp_path):
    """The report says the same of the others, on both its pages; a merge copies them; nothing is compared."""
    store = make_store(tmp_path / "results" / "local", make_record(make_experiment(batch_size=8)))
    cli("report")
    alone = (store.results / "README.md").read_text(encoding="utf-8").splitlines()
    path = store.save(make_record())
    path.write_text(path.read_text(encoding="utf-8").replace('"seed": 0', '"seed": 1'), encoding="utf-8")
    result, merged = cli("report"), cli("merge", "results/local", "--into", "both")
    text = (store.results / "README.md").read_text(encoding="utf-8").splitlines()
    others = [cli("verify", path), cli("compare", store.results, store.results), cli("check")]
    planned = cli("plan", "basic")

    assert [(4, True)] * 3 == [(other.exit_code, path.name in other.stderr) for other in others]
    assert alone == [line for line in text if path.name not in line]
    assert (0, True) == (planned.exit_code, f"left out: {path.name}: was changed" in planned.stderr)
    assert 4 == result.exit_code
    assert f"left out: {path.name}: was changed after it was written" in result.output
    assert "report: results/local/README.md and report.html\n" in result.output
    assert all((store.results / name).is_file() for name in ("README.md", "report.html"))
    assert (4, True) == (merged.exit_code, "next: resnet18 report --results both" in merged.output)


def test_an_error_that_nobody_foresaw_is_a_line_not_a_traceback(cli, monkeypatch):
    """Exit code 1 is for a regression: it must not look like one."""
    monkeypatch.setattr("resnet18.cli.preview.load_benchmarks", lambda _: [].index(1))
    monkeypatch.setattr("sys.argv", ["/x/resnet18", "plan", "my file.toml"])
    result = cli("plan")

    assert 3 == result.exit_code
    assert "Traceback" not in result.output
    assert "next, for a traceback: /x/resnet18 plan 'my file.toml' --debug\n" in result.output
    assert "Traceback" in cli("plan", "--debug").output


@pytest.mark.parametrize("words", [["plan"], ["plan", "--help"]], ids=" ".join)
def test_a_reader_that_has_seen_enough_is_no_regression(words, tmp_path):
    """`| head -1`: exit code 1 is kept for the gate."""
    command = [sys.executable, "-m", "resnet18", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        errors = process.stderr.read()

    assert (128 + signal.SIGPIPE, False) == (process.returncode, "Traceback" in errors)


@pytest.mark.parametrize("words", [["--sc\u202e\x1b[31m"], ["--scale", "\u202e\x1b[31m"]])
def test_a_refused_argument_moves_no_cursor_and_is_told_without_pydantics_words(words, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["resnet18", "run", *words])
    with pytest.raises(SystemExit) as ended:
        call()

    said = capsys.readouterr().err
    assert (2, True, False) == (ended.value.code, "\\u202e" in said, "Value error" in said)
    assert said.replace("\n", "").isprintable()


def test_a_run_is_told_as_events_for_programs(cli, tmp_path):
    """The plan, epochs, ends of runs, the report; one flat object a line, and nothing else on stdout."""
    result = cli("run", make_toml(tmp_path), *TINY_ARGUMENTS, "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]

    assert ["plan", "epoch", "run", "epoch", "run", "report"] == [event["event"] for event in events]
    assert (2, 0) == tuple(events[0][key] for key in ("runs", "recorded"))
    assert {"ok"} == {event["status"] for event in events if event["event"] == "run"}
    assert (0, 2) == (events[-1]["exit_code"], events[-1]["ok"])
    assert not [value for event in events for value in event.values() if isinstance(value, dict)]


def test_every_other_command_says_the_same_as_json(cli, tmp_path):
    cli("run", make_toml(tmp_path), *TINY_ARGUMENTS)
    record = next((tmp_path / "results" / "local" / "records").glob("*.json"))
    asked = {
        "report": ["report"],
        "verdict": ["verify", record],
        "copied": ["merge", "results/local", "--into", "both"],
        "text": ["export", "csv", "mine.toml"],
        "to": ["export", "csv", "mine.toml", "--to", "out.csv"],
        "properties": ["schema", "record"],
        "title": ["schema", "spec"],
        "torch_works": ["env"],
    }
    answers = {key: cli(*words, "--json") for key, words in asked.items()}

    assert [] == [key for key, answer in answers.items() if key not in json.loads(answer.stdout)]
    assert "bit-equal" == json.loads(answers["verdict"].stdout)["verdict"]
    assert {0} == {answer.exit_code for answer in answers.values()}


CLAIMED = """
[[claim]]
id = "X1"
says = "it is so"
check = [{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }]
"""


def test_a_budget_plans_what_it_has_time_for_and_says_what_it_leaves_out(cli, tmp_path, monkeypatch):
    """A run takes ten seconds here."""
    monkeypatch.setattr("resnet18.cli.preview.time_some", lambda *_: (None, {}))
    monkeypatch.setattr("resnet18.cli.preview.estimate", lambda runs, *_: ({run.run_id: 10.0 for run in runs}, ()))
    path = make_toml(tmp_path, TOML + CLAIMED)
    enough = cli("plan", path, "--budget", "1m")
    rows = json.loads(cli("plan", path, "--seeds", "5", "--budget", "1m", "--json").stdout)
    none = cli("run", path, *TINY_ARGUMENTS, "--budget", "59s")

    assert "verdicts expected of 1 claim. The" in enough.output
    assert "chosen runs take about 60 s," in enough.output
    assert (6, {10.0}) == (len(rows), {row["seconds"] for row in rows})
    assert (3, []) == (none.exit_code, list(tmp_path.rglob("*.json")))
    assert "needs about 60 s; 59 s of the budget is left" in none.output


MORE_CASES = "".join(f'[[case]]\nname = "{size}"\nexperiment = {{ batch_size = {size} }}\n' for size in (32, 64))
ABOVE_8 = '{{ kind = "greater", metric = "clean_accuracy", case = "{}", than = "8" }}'
VALUE_OF_64 = '{ kind = "close", metric = "clean_accuracy", case = "64", value = 70.0, margin = 1.0 }'


@pytest.fixture
def looked(cli, tmp_path, monkeypatch):
    """Run until decided with fake runs whose batch size and seed choose the accuracy; what ran, by case, each time."""
    noise = (0.0, 1.0, -1.0, 0.3, -0.3, 0.2, -0.2, 0.1, -0.1, 0.0)
    ran, asked = [], []

    def run_plan(plan, request, source, engine, store, records, *_):
        known = {record.run_id for record in records}
        new = [run for run in plan.runs if run.run_id not in known]
        ran.append(sorted({(run.experiment.batch_size, run.experiment.seed) for run in new}))
        for run in new:
            height = asked[-1][run.experiment.batch_size] + noise[run.experiment.seed]
            made = make_record(run.experiment, run.execution, request=request, epochs=make_curve(height, height))
            store.save(fitting(made))
        return [Finished(run, "ok", was_recorded=run.run_id in known) for run in plan.runs]

    monkeypatch.setattr("resnet18.execution.runner.run_plan", run_plan)
    monkeypatch.setattr("resnet18.cli.preview.code_hash", lambda *_: "c" * 64)

    def look(heights, *checks):
        ran.clear()
        asked.append(heights)
        path = make_toml(tmp_path, TOML + MORE_CASES + claims_toml(*checks))
        make_store(tmp_path / "results")
        return cli("run", path, "--until-decided", "--results", tmp_path / "results"), [*ran]

    return look


def seeds_of(*ranges):
    return sorted((size, seed) for size, seeds in ranges for seed in seeds)


def test_until_decided_adds_seeds_to_claims_that_are_open_and_repeats_nothing(looked):
    """16 is far above 8, 32 about 3 deviations; a value is not tested on these data, and its case not run."""
    heights = {8: 70.0, 16: 90.0, 32: 73.0, 64: 70.0}
    checks = ABOVE_8.format(16), ABOVE_8.format(32), VALUE_OF_64
    result, ran = looked(heights, *checks)
    again, ran_again = looked(heights, *checks)

    first, then = range(3), range(3, 5)
    assert [seeds_of((8, first), (16, first), (32, first)), seeds_of((8, then), (32, then))] == ran
    assert (0, 0) == (result.exit_code, again.exit_code)
    assert [[]] == ran_again
    says = [line for line in result.output.splitlines() if line.startswith("claims that")]
    assert ["3 seeds may decide: X1, X2", "5 seeds may decide: X2", "10 seeds may decide: none"] == [
        line.removeprefix("claims that ") for line in says
    ]


def test_until_decided_stops_at_ten_seeds(looked):
    result, ran = looked(dict.fromkeys((8, 16, 32, 64), 70.0), ABOVE_8.format(16))

    assert [seeds_of((8, n), (16, n)) for n in (range(3), range(3, 5), range(5, 10))] == ran
    assert 0 == result.exit_code


def test_until_decided_runs_nothing_where_no_claim_can_be_decided(looked):
    result, ran = looked({64: 70.0}, VALUE_OF_64)

    assert (3, []) == (result.exit_code, ran)
    assert "no claim of these benchmarks can be decided" in result.output


@pytest.mark.parametrize(
    ("program", "by_make", "typed"),
    [
        ("/x/__main__.py", "", ".venv/bin/python -m resnet18 run 'my file.toml' -o 'a=\\x1b[31m'"),
        ("/on/the/path/resnet18", "", "resnet18 run 'my file.toml' -o 'a=\\x1b[31m'"),
        ("/else where/resnet18", "", "'/else where/resnet18' run 'my file.toml' -o 'a=\\x1b[31m'"),
        ("/x/__main__.py", "make bench CASE=CPU,\\ tuned", "make bench CASE=CPU,\\ tuned"),
    ],
)
def test_a_stopped_command_says_the_very_command_that_goes_on(program, by_make, typed, monkeypatch, capsys):
    words = ["run", "my file.toml", "-o", "a=\x1b[31m"]
    monkeypatch.setattr("sys.argv", [program, *words])
    monkeypatch.setattr("sys.orig_argv", [".venv/bin/python", "-m", "resnet18", *words])
    monkeypatch.setattr("shutil.which", "/on/the/path/{}".format)
    monkeypatch.setenv("RESNET18_TYPED", by_make)

    said = f"stopped; to resume: {typed}\n"
    assert (130, said) == (reported(KeyboardInterrupt()), capsys.readouterr().err)


def test_an_import_that_an_interrupt_has_broken_is_an_interrupt(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["resnet18", "run"])
    error = RuntimeError("Error calling __set_name__")
    error.__context__ = KeyboardInterrupt()

    assert (130, True) == (reported(error), capsys.readouterr().err.startswith("stopped; to resume: "))


def test_where_memory_ends_it_is_an_error_of_the_environment_without_an_empty_reason(capsys):
    assert (5, True) == (reported(MemoryError()), capsys.readouterr().err.startswith("error: MemoryError\n"))


def test_a_run_needs_a_working_folder_that_is_there(cli, tmp_path, monkeypatch):
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = cli("run", "basic", "--results", str(tmp_path / "results"))

    assert (5, True) == (result.exit_code, "working folder: is gone: No such file" in result.stderr)


def test_the_shell_completes_benchmarks_and_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_toml(tmp_path)

    assert (["batchsize"], ["mine.toml"]) == (benchmark_names("bat"), benchmark_names("mi"))


def test_help_is_plain_text(cli):
    """Nothing in brackets is lost, flags have no type, and no box is drawn."""
    text = cli("check", "--help").output

    assert "[gate]" in text
    assert not {"<bool>", "\u2500"} & set(text.split())


def test_env_can_be_pasted_into_a_report_of_a_bug(cli, tmp_path, monkeypatch):
    """A line each; nothing of variables that it does not know, and of URLs and folders neither place nor secret."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RESNET18_CIFAR10_URL", "https://ann:secret@example.org/secret?token=secret")
    monkeypatch.setenv("RESNET18_OTHER", "secret")
    text = cli("env").output

    assert {"python", "torch", "cpu_model", "driver", "memory_gib"} <= {line.split()[0] for line in text.splitlines()}
    assert "…/home" in text
    assert [] == [word for word in (str(tmp_path), "secret", "RESNET18_OTHER") if word in text]


def test_env_works_where_torch_does_not(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = cli("env", "--json")

    assert 0 == result.exit_code
    assert json.loads(result.stdout)["torch_works"].startswith("no: ModuleNotFoundError")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["env"], 0, "data_home"),
        (["plan", "basic"], 0, "basic/base"),
        (["data", "where"], 5, "next: set RESNET18_DATA"),
        (["run", "basic", "--data", "fashion-mnist-mini"], 5, "next: set RESNET18_DATA"),
        (["plan", "--data", "imagefolder:~/mine"], 5, "no such file or folder"),
    ],
)
def test_a_user_without_a_home_is_told_to_name_a_folder_where_one_is_needed(
    arguments, exit_code, words, cli, monkeypatch
):
    for name in ("HOME", "RESNET18_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    result = cli(*arguments)

    assert exit_code == result.exit_code
    assert words in result.output


def test_a_command_whose_runs_are_all_carried_out_elsewhere_ends_with_75_and_the_holder(cli, tmp_path):
    (row,) = json.loads(cli("plan", "basic", "--json").stdout)
    with run_lock(tmp_path / "results" / "local", row["run_id"]):
        result = cli("run", "basic")

    assert 75 == result.exit_code
    assert f"not run, left to process {os.getpid()} of " in result.output
    assert "next: repeat the command when they have ended" in result.output


def test_a_page_that_cannot_be_replaced_is_told_before_any_run(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalEngine, "carry_out", None)
    (tmp_path / "results" / "local").mkdir(parents=True)
    (tmp_path / "results" / "local" / "README.md").symlink_to("elsewhere.md")
    result = cli("run", "basic")

    assert 4 == result.exit_code
    assert "README.md: is a symbolic link" in result.output


def test_a_time_that_is_taken_again_replaces_no_record_and_resumes_nothing(cli, tmp_path):
    """What was stopped hides nothing; both attempts are kept, with the same bits, and the last that ended counts."""
    command = ["run", make_toml(tmp_path), "--case", "8", *TINY_ARGUMENTS]
    store = Store(tmp_path / "results" / "local")
    cli(*command)
    for record in store.read().records:
        (store.folder / f"{record.run_id}.1.json").unlink()
        store.save(changed(record, conditions={"on_battery": True}))
    cli(*command, "--retime", "--time-limit", "0.001")
    stopped = store.read().records
    again = cli(*command, "--retime")
    records = store.read().records

    assert "Runs with unreliable times: 1 rerun;" in again.stdout
    assert ["timeout"] == [record.status for record in stopped if record.attempt == 2]
    assert {1} == {record.attempt for record in last_attempts(stopped).values()}
    assert {(3, "ok", False)} == {
        (record.attempt, record.status, "resumed" in record.flags) for record in records if record.attempt > 2
    }
    assert 1 == len({record.result_hash for record in records if record.status == "ok"})
    assert {3} == {record.attempt for record in last_attempts(records).values()}
