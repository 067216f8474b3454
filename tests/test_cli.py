"""The command line: exit codes, messages, and what is written where."""

import json
import signal
import subprocess
import sys

import pytest
from builders import TINY_ARGUMENTS, TOML, make_experiment, make_record, make_toml, wait_for_an_epoch
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.cli.errors import stopped
from resnet18.cli.options import benchmark_names
from resnet18.records.store import Store
from resnet18.tables.pace import KNOWN_SIZES, Pace, kind_of


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """Call the command in an empty folder, with a data home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET18_DATA", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["run", "batchsizes"], 2, ['unknown name (did you mean "batchsize"?)']),
        (["run", "--scale", "smal"], 2, ['did you mean "small"', "smoke, small, paper"]),
        (["run", "--data", "cifar"], 2, ["cifar10, fashion-mnist-mini, imagefolder:PATH"]),
        (["run", "--data", "imagefolder:nowhere"], 5, ["no such file or folder"]),
        (["run", "--data", "imagefolder:" + "a" * 5000], 5, ["no such file or folder"]),
        (["run", "--data", "imagefolder:"], 2, ["needs a path after the colon"]),
        (["run", "--data", "broken.toml"], 2, ["write --data imagefolder:broken.toml"]),
        (["run", "--data", "cifar10"], 5, ["resnet18 data fetch", "cifar-10-python.tar.gz"]),
        (["run", "--device", "cuda"], 5, ["--device cuda", "(allowed: auto, cpu)"]),
        (["run", "--device", "gpu"], 2, ['unknown device "gpu"', "cpu, cuda, cuda:N"]),
        (["run", "-o", "batch_sise=8"], 2, ['did you mean "batch_size"']),
        (["run", "-o", "batch_size=0"], 2, ["batch_size", "greater than or equal to 1"]),
        (["run", "--seeds", "0"], 2, ["seeds"]),
        (
            ["run", "--engine", "rai"],
            2,
            ['--engine rai: unknown (did you mean "ray"?)', "(allowed: local, ray, slurm)"],
        ),
        (["run", "--engine", "nonsense"], 2, ["--engine nonsense: unknown (allowed: local, ray, slurm)"]),
        (
            ["run", "--resources", "cpus=2"],
            2,
            ["--resources cpus=2: is for nodes of a cluster", "--engine (ray or slurm)"],
        ),
        (
            ["run", "--engine", "ray", "--resources", "gpus=x"],
            2,
            ["--resources gpus=x: names no resources", "cpus=N,gpus=N"],
        ),
        (["run", "--engine", "slurm", "--resources", "cpus=0"], 2, ["--resources cpus=0: names no resources"]),
        (["run", "broken.toml"], 2, ["broken.toml: not valid TOML", "line 1"]),
        (["run", "none.toml"], 2, ["none.toml: cannot be read"]),
        (["plan", "C:\\lab\\mine.toml"], 2, ["C:\\lab\\mine.toml: cannot be read"]),
        (["run", "--data", "imagefolder:C:\\photos"], 5, ["no such file or folder"]),
        (["report", "--results", "C:\\lab\\results"], 3, ["there are no records"]),
        (["plan", "--scale", "huge"], 2, ["smoke, small, paper"]),
        (["schema", "thing"], 2, ["spec, record"]),
        (["power", "--metric", "jiter"], 2, ['did you mean "jitter"']),
        (["power", "--metric", "train_s"], 3, ["no case has two recorded seeds", "resnet18 run"]),
        (["power", "--difference", "0"], 2, ["difference"]),
    ],
)
def test_a_mistake_is_answered_with_its_exit_code_and_runs_nothing(arguments, exit_code, words, cli, tmp_path):
    """Where, what, what is allowed; no traceback, no record."""
    (tmp_path / "broken.toml").write_text("title = \nsource", encoding="utf-8")
    result = cli(*arguments)

    assert exit_code == result.exit_code
    for word in words:
        assert word in result.output
    assert "Traceback" not in result.output
    assert [] == list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(("engine", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed_is_answered_with_the_way_to_install_it(engine, module, cli, monkeypatch):
    """Exit code 5, before anything is planned."""
    monkeypatch.setitem(sys.modules, module, None)
    result = cli("run", "basic", "--engine", engine)

    assert 5 == result.exit_code
    assert f'next: pip install "resnet18[{engine}]"' in result.output


def test_debug_shows_the_traceback(cli):
    """For those who mend the suite."""
    assert "Traceback" in cli("run", "--scale", "smal", "--debug").output


def test_a_results_directory_that_cannot_be_written_is_refused(cli, tmp_path):
    """Exit code 5, before the data are opened."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = cli("run", "basic", "--results", "file", *TINY_ARGUMENTS)

    assert 5 == result.exit_code
    assert "choose another with --results" in result.output


def test_plan_lists_runs_as_flat_json_rows(cli):
    """For scripts."""
    rows = json.loads(cli("plan", "batchsize", "--seeds", "2", "--json").output)

    assert 12 == len(rows)
    assert {"run_id", "cases", "seed", "epochs", "state", "seconds"} == set(rows[0])
    assert {"to run"} == {row["state"] for row in rows}


def test_plan_lists_what_cannot_run_among_its_rows(cli):
    """For scripts too."""
    states = {row["cases"]: row["state"] for row in json.loads(cli("plan", "device", "--json").output)}

    assert {
        "device/CPU": "to run",
        "device/CPU, one thread": "to run",
        "device/CPU, tuned": "to run",
        "device/GPU": "not run: no CUDA device",
        "device/GPU, tuned": "not run: no CUDA device",
    } == states


@pytest.mark.parametrize(
    ("device", "exit_code", "words"),
    [("cuda:1", 0, ""), ("cuda:2", 5, "(allowed: cuda:0, cuda:1)"), ("mps", 5, "(allowed: auto, cpu, cuda)")],
)
def test_a_device_that_is_asked_for_is_one_of_those_that_were_counted(device, exit_code, words, cli, monkeypatch):
    """Two GPUs have the numbers 0 and 1."""
    monkeypatch.setattr("resnet18.measure.devices.present_devices", lambda *, prove: {"cpu": 1, "cuda": 2})
    result = cli("plan", "basic", "--device", device)

    assert (exit_code, True) == (result.exit_code, words in result.output)


def test_plan_names_what_this_machine_cannot_run(cli):
    """And why."""
    assert "not run: device/GPU: no CUDA device" in cli("plan", "device").output


def test_run_writes_records_and_a_report_and_the_second_run_does_nothing(cli, tmp_path):
    """The whole way, in the folder where the command was given."""
    path = make_toml(tmp_path)
    first = cli("run", path, *TINY_ARGUMENTS)
    second = cli("run", path, *TINY_ARGUMENTS)

    assert (0, 0) == (first.exit_code, second.exit_code)
    assert first.output.startswith("mine: 2 runs; about 1 s here, by a rule of thumb\n")
    assert second.output.startswith("mine: 2 runs, 2 recorded; nothing is left to run\n")
    assert "2 runs (0 recorded before): 2 ok" in first.output
    assert "2 runs (2 recorded before): 2 ok" in second.output
    assert 2 == len(list((tmp_path / "results" / "local" / "records").glob("*.json")))
    assert "A table" in (tmp_path / "results" / "local" / "README.md").read_text(encoding="utf-8")


def test_plan_says_what_is_recorded_and_what_is_stale(cli, tmp_path, monkeypatch):
    """After a run, and after the code has changed."""
    path = make_toml(tmp_path)
    cli("run", path, *TINY_ARGUMENTS)
    recorded = cli("plan", path, *TINY_ARGUMENTS).output
    monkeypatch.setattr("resnet18.cli.plan.code_hash", lambda *_: "0" * 64)
    stale = cli("plan", path, *TINY_ARGUMENTS).output

    assert "2 runs at smoke scale on fashion-mnist-mini: 2 recorded (ok)" in recorded
    assert "2 stale (other code)" in stale


def test_a_failed_run_gives_exit_code_3_and_still_a_report(cli, tmp_path):
    """The other runs are in it."""
    path = make_toml(
        tmp_path,
        TOML.replace(
            "experiment = { batch_size = 8 }",
            'experiment = { batch_size = 8, optimizer = { name = "sgd", lr = 100.0 } }',
        ),
    )
    result = cli("run", path, *TINY_ARGUMENTS, "-o", "epochs=20")

    assert 3 == result.exit_code
    assert "diverged" in (tmp_path / "results" / "local" / "README.md").read_text(encoding="utf-8")


def test_a_plan_without_a_run_measures_nothing_and_says_so(cli, tmp_path):
    """Every case of the file needs a device that is absent."""
    text = TOML.replace("batch_size = 8 }", 'batch_size = 8 }\nexecution = { device = "cuda" }')
    text = text.replace("batch_size = 16 }", 'batch_size = 16 }\nexecution = { device = "mps" }')
    result = cli("run", make_toml(tmp_path, text), *TINY_ARGUMENTS)

    assert 3 == result.exit_code
    assert "nothing was measured" in result.output


def test_an_edited_record_is_left_out_and_gives_exit_code_4(cli, tmp_path):
    """The report is written from the others."""
    store = Store(tmp_path / "results" / "local")
    store.make_writable()
    path = store.save(make_record())
    path.write_text(path.read_text(encoding="utf-8").replace('"seed": 0', '"seed": 1'), encoding="utf-8")
    result = cli("report")

    assert 4 == result.exit_code
    assert f"left out: {path.name}: was changed" in result.output
    assert "was changed after it was written" in (store.results / "README.md").read_text(encoding="utf-8")


def test_a_report_is_told_with_both_its_pages(cli, tmp_path):
    """Each of them is there."""
    store = Store(tmp_path / "results" / "local")
    store.make_writable()
    store.save(make_record())

    assert "report: results/local/README.md and report.html\n" in cli("report").output
    assert all((store.results / name).is_file() for name in ("README.md", "report.html"))


def test_a_report_without_records_says_so_and_writes_nothing(cli, tmp_path):
    """A mistyped folder is not made."""
    result = cli("report", "--results", "mistyped")

    assert (3, False) == (result.exit_code, (tmp_path / "mistyped").exists())
    assert "make bench" in result.output


def test_an_error_that_nobody_foresaw_is_a_line_not_a_traceback(cli, monkeypatch):
    """Exit code 1 is for a regression: it must not look like one."""
    monkeypatch.setattr("resnet18.cli.request.load_benchmarks", lambda _: [].index(1))
    monkeypatch.setattr("sys.argv", ["/x/__main__.py", "plan", "my file.toml"])
    result = cli("plan")

    assert 3 == result.exit_code
    assert "Traceback" not in result.output
    assert "next, to see where: python -m resnet18 plan 'my file.toml' --debug\n" in result.output


def test_a_folder_where_a_record_should_be_is_left_out(cli, tmp_path):
    """Whatever its name."""
    store = Store(tmp_path / "results" / "local")
    store.make_writable()
    store.save(make_record())
    (store.folder / "0123456789abcdef.1.json").mkdir()

    assert 4 == cli("report").exit_code


def test_equal_options_are_one_request(cli, tmp_path):
    """In another spelling and order the same runs are asked for: nothing runs again."""
    path = make_toml(tmp_path)
    cli("run", path, *TINY_ARGUMENTS, "-o", "optimizer.lr=0.010")
    again = cli("run", path, "-o", "optimizer.lr=1e-2", *TINY_ARGUMENTS)

    assert "2 runs (2 recorded before)" in again.output


@pytest.mark.parametrize("option", ["epochs=1\n\n# <img>", "epochs", "a=\x07"])
def test_an_option_that_is_not_one_line_is_refused(option, cli):
    """It would be printed in the report."""
    assert 2 == cli("plan", "basic", "-o", option).exit_code


@pytest.mark.parametrize(("what", "keys"), [("spec", {"case", "experiment", "table"}), ("record", {"run_id", "nulls"})])
def test_schemas_are_printed_as_json(what, keys, cli):
    """For editors and for those who read records."""
    assert keys <= set(json.loads(cli("schema", what).output)["properties"])


def test_env_tells_versions_and_devices(cli):
    """For bug reports."""
    assert {"resnet18", "torch", "cpu_model", "devices"} <= set(json.loads(cli("env", "--json").output))


def test_the_module_and_the_command_are_the_same():
    """`python -m resnet18`."""
    done = subprocess.run([sys.executable, "-m", "resnet18", "--help"], capture_output=True, text=True, check=True)

    for command in ("plan", "run", "report", "env", "schema"):
        assert command in done.stdout


LONG = [*TINY_ARGUMENTS, "-o", "epochs=10000", "--json"]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_its_exit_code_and_a_record(number, exit_code, tmp_path):
    """At the first epoch's line; what was running is recorded as interrupted, and no child is left."""
    command = [
        sys.executable,
        "-m",
        "resnet18",
        "run",
        str(make_toml(tmp_path)),
        *TINY_ARGUMENTS,
        "-o",
        "epochs=10000",
        "--json",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert wait_for_an_epoch(process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=600)

    assert exit_code == process.returncode
    assert "Traceback" not in errors
    assert ["interrupted"] == [record.status for record in Store(tmp_path / "results" / "local").read().records]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_killed_runner_takes_its_child_along_and_the_next_run_is_whole(tmp_path):
    """Otherwise the child would train on beside the next runner, and write the same record."""
    command = [sys.executable, "-m", "resnet18", "run", str(make_toml(tmp_path)), *TINY_ARGUMENTS]
    with subprocess.Popen(
        [*command, "-o", "epochs=10000", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert wait_for_an_epoch(process)
        process.kill()
        # The child holds the other end of this pipe: reading ends when the last of them is gone.
        process.stdout.read()
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert 0 == again.returncode
    assert ["ok", "ok"] == [record.status for record in Store(tmp_path / "results" / "local").read().records]


def test_a_reader_that_has_seen_enough_is_no_regression(tmp_path):
    """`| head -1`: exit code 1 is kept for the gate."""
    command = [
        sys.executable,
        "-m",
        "resnet18",
        "run",
        str(make_toml(tmp_path)),
        *TINY_ARGUMENTS,
        "-o",
        "epochs=500",
        "--json",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for_an_epoch(process)
        process.stdout.close()
        errors = process.stderr.read()

    assert 128 + signal.SIGPIPE == process.returncode
    assert "Traceback" not in errors


def test_power_answers_in_flat_rows(cli):
    """Without records from assumed spreads, which it says."""
    rows = json.loads(cli("power", "--difference", "1.0", "--json").stdout)

    assert [17, 7, 3] == [row["seeds"] for row in reversed(rows)]
    assert {"assumed, since no case has two recorded seeds"} == {row["where"] for row in rows}


def test_hypotheses_are_planned_when_asked_for(cli):
    """A candidate that is the assumption itself is no further run."""
    plain, more = (
        len(json.loads(cli("plan", "augmentation", "--scale", "paper", "--json", *asked).stdout))
        for asked in ([], ["--hypotheses"])
    )

    assert (15, 36) == (plain, more)


def test_merge_joins_folders_and_says_what_comes_next(cli, tmp_path):
    """Copied, known, and the command that makes the report of both."""
    for name, size in (("one", 8), ("other", 16)):
        store = Store(tmp_path / name)
        store.make_writable()
        store.save(make_record(make_experiment(batch_size=size)))
    result = cli("merge", tmp_path / "one", tmp_path / "other", "--into", tmp_path / "both")

    assert 0 == result.exit_code
    assert "2 records copied" in result.output
    assert "next: resnet18 report --results" in result.output


def test_a_damaged_record_makes_a_merge_end_with_4(cli, tmp_path):
    """The others are copied."""
    store = Store(tmp_path / "one")
    store.make_writable()
    store.save(make_record())
    (tmp_path / "one" / "records" / "0000000000000000.1.json").write_text("{}", encoding="utf-8")

    assert 4 == cli("merge", tmp_path / "one", "--into", tmp_path / "both").exit_code
    assert 1 == len(Store(tmp_path / "both").read().records)


def objects(result):
    """What a command that must print nothing but JSON has printed, one object a line."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_run_is_told_as_events_for_programs(cli, tmp_path):
    """The plan, epochs, ends of runs, the report; one flat object a line, and nothing else on stdout."""
    events = objects(cli("run", make_toml(tmp_path), *TINY_ARGUMENTS, "--json"))

    assert ["plan", "plan", "epoch", "run", "epoch", "run", "report"] == [one["event"] for one in events]
    assert ("mine", 2, 0) == tuple(events[0][key] for key in ("benchmark", "runs", "recorded"))
    assert {"ok"} == {one["status"] for one in events if one["event"] == "run"}
    assert (0, 2) == (events[-1]["exit_code"], events[-1]["ok"])
    assert not [value for one in events for value in one.values() if isinstance(value, dict)]


def test_every_other_command_says_the_same_as_json(cli, tmp_path):
    """Flat, alone on stdout, whatever the progress says."""
    cli("run", make_toml(tmp_path), *TINY_ARGUMENTS)
    record = next((tmp_path / "results" / "local" / "records").glob("*.json"))
    asked = {
        "report": ["report"],
        "verdict": ["verify", record],
        "copied": ["merge", "results/local", "--into", "both"],
        "text": ["export", "csv", "mine.toml"],
        "to": ["export", "csv", "mine.toml", "--to", "out.csv"],
        "properties": ["schema", "record"],
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
    """Its claims, or, where none fits, that nothing is run."""
    pace = Pace(prepare_s=10.0, train_image_s=0.0, eval_image_s=0.0, basis="timed")
    monkeypatch.setattr(
        "resnet18.cli.preview.time_some",
        lambda runs, *_: (
            KNOWN_SIZES["fashion-mnist-mini"],
            {kind_of(run.experiment, run.execution): pace for run in runs},
        ),
    )
    path = make_toml(tmp_path, TOML + CLAIMED)
    enough = cli("plan", path, "--budget", "1m")
    rows = json.loads(cli("plan", path, "--seeds", "5", "--budget", "1m", "--json").stdout)
    none = cli("run", path, *TINY_ARGUMENTS, "--budget", "59s")

    assert (
        "Budget: 1 of 1 claims get the seeds that a verdict needs, in about 60 s, one run after another, of 1m."
        in enough.output
    )
    assert (6, {10.0}) == (len(rows), {row["seconds"] for row in rows})
    assert (3, []) == (none.exit_code, list(tmp_path.rglob("*.json")))
    assert "left out: X1 (takes about 60 s, and 59 s is left): it is so" in none.output


@pytest.mark.parametrize(
    ("words", "exit_code", "text"),
    [
        (["--budget", "soon"], 2, "(allowed: 90s, 30m, 2h, 1.5h)"),
        (["--engine", "slrum"], 2, 'did you mean "slurm"'),
        (["--scael", "smoke"], 2, "--scale"),
    ],
)
def test_a_mistaken_word_is_answered_with_the_right_one(words, exit_code, text, cli, tmp_path):
    """Options and their values; commands, names, scales and keys are tried elsewhere."""
    result = cli("run", make_toml(tmp_path), *words)

    assert (exit_code, True) == (result.exit_code, text in result.output)


def test_a_stopped_command_says_the_very_command_that_goes_on(monkeypatch):
    """Quoted for the shell; without what moves the cursor."""
    monkeypatch.setattr("sys.argv", ["/x/__main__.py", "run", "my file.toml", "-o", "a=\x1b[31m"])

    assert "stopped; to go on with what is missing: python -m resnet18 run 'my file.toml' -o 'a=\\x1b[31m'" == stopped()


def test_the_shell_completes_benchmarks_and_files(tmp_path, monkeypatch):
    """The suite's own, and those of the folder where the shell is."""
    monkeypatch.chdir(tmp_path)
    make_toml(tmp_path)

    assert (["batchsize"], ["mine.toml"]) == (benchmark_names("bat"), benchmark_names("mi"))


@pytest.mark.parametrize("command", ["run", "check", "plan"])
def test_help_is_plain_text(command, cli):
    """Nothing in brackets is lost, flags have no type, and no box is drawn."""
    text = cli(command, "--help").output

    assert (command == "check") == ("[gate]" in text)
    assert not {"<bool>", "\u2500"} & set(text.split())


def test_env_can_be_pasted_into_a_report_of_a_bug(cli, tmp_path, monkeypatch):
    """A line each; the home folder, which often has a person's name, is written as ~."""
    monkeypatch.setenv("HOME", str(tmp_path))
    text = cli("env").output

    assert {"python", "torch", "cpu_model", "driver", "memory_gib"} <= {line.split()[0] for line in text.splitlines()}
    assert "~/home" in text
    assert str(tmp_path) not in text


def test_env_works_where_torch_does_not(cli, monkeypatch):
    """And says so: that is when it is needed."""
    monkeypatch.setitem(sys.modules, "torch", None)
    result = cli("env", "--json")

    assert 0 == result.exit_code
    assert json.loads(result.stdout)["torch_works"].startswith("no: ModuleNotFoundError")


def test_a_record_of_hostile_text_reaches_no_terminal(cli, tmp_path):
    """Escape sequences are written out, in texts; in JSON they are escaped anyway."""
    store = Store(tmp_path / "results" / "local")
    store.make_writable()
    path = store.save(make_record(numerics={"torch": "\x1b[2J", "cpu_model": "\x1b]0;x\x07"}))
    outputs = [cli(*words).output for words in (["verify", path], ["verify", path, "--json"], ["plan"], ["report"])]

    assert [] == [text for text in outputs if "\x1b" in text or "\x07" in text]
