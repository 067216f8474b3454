"""The commands in README.md and docs/: carried out, or read to the end by the program that they are for."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from builders import TINY_ARGUMENTS, TOML, fitting, make_record
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.cli.options import WhatToRun
from resnet18.cli.preview import outline
from resnet18.records.store import Store
from resnet18.spec.experiment import SCALES, DataSource
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *sorted(ROOT.glob("docs/*.md"))]
FENCED = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:make|(?:\.venv/bin/)?resnet18) [a-z-][^`\n]*)`")


def commands():
    """Yield each command once, as words: in blocks for a shell, and in sentences."""
    seen = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        in_blocks = "\n".join(FENCED.findall(text)).replace("\\\n", "").splitlines()
        for line in (*in_blocks, *INLINE.findall(FENCED.sub("", text))):
            words = tuple(shlex.split(line, comments=True))
            if words and words not in seen:
                seen.add(words)
                yield words


def calls_of(command):
    """Yield the arguments of each call of `resnet18` in a command, also behind variables and `|`."""
    for number, word in enumerate(command):
        if word.rpartition("/")[2] == "resnet18":
            yield list(command[number + 1 :])


UNDERSTOOD = {
    ("data", "fetch"): ("takes a network", []),
    ("--install-completion",): ("writes into the shell's settings", []),
    ("forecast",): ("takes seconds; its own tests carry it out", []),
    ("forecast", "batchsize", "--memory", "24GiB"): ("the same", []),
    ("forecast", "batchsize", "--memory", "24GiB", "-o", "image_size=32"): ("the same", []),
    ("plan", "batchsize", "--scale", "paper", "--time"): ("times steps on CIFAR-10", []),
    ("plan", "augmentation", "--scale", "small", "--time"): ("the same", []),
    ("check",): ("is called by make regress, with what it needs", ["mine.toml"]),
    ("merge",): ("is named, and carried out elsewhere with its folders", ["A", "--into", "B"]),
    ("verify", "RECORD"): ("stands for any record", []),
    (
        *("study", "lab-report", "--part", "Small scale"),
        *("--data", "imagefolder:cifar10-jpeg.tar.gz", "--results", "results"),
    ): ("takes hours on photographs", []),
}
"""Calls that are only read to the end, why, and what they need to be whole."""
OF_READERS = {"its name", "normalize, flip"}
"""Cases that the docs have a reader add to a table first."""
ENDS = {"compare": 3}
"""Exit codes other than 0: of two seeds not everything can be compared."""
COMMANDS = list(commands())
CALLS = [call for command in COMMANDS for call in calls_of(command)]
RUNS = [call for call in CALLS if call[0] == "run"]
OTHERS = [call for call in CALLS if call[0] != "run" and tuple(call) not in UNDERSTOOD]
MAKES = [command for command in COMMANDS if command[0] == "make"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder with the suite's benchmarks, a file of one's own, and what runs of both leave behind."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    for name in ("mine.toml", "my.toml"):
        (folder / name).write_text(TOML, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RESNET18_DATA", str(folder / "home"))
        answer = CliRunner().invoke(app, ["run", "mine.toml", *TINY_ARGUMENTS])
    assert 0 == answer.exit_code, answer.output
    store = Store(folder / "results" / "local")
    (folder / "trained").write_text(min(path.name for path in store.folder.iterdir()), encoding="utf-8")
    request = Request(data="fashion-mnist-mini", scale="smoke")
    for run in plan(load_benchmarks(("batchsize",)), request, range(2), {"cpu": 1}).runs:
        store.save(fitting(make_record(run.experiment, execution=run.execution)))
    for name in ("A", "B", "laptop", "server"):
        shutil.copytree(store.folder.parent, folder / name)
    return folder


@pytest.fixture
def cli(checkout, monkeypatch):
    """Call the command in that folder."""
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("RESNET18_DATA", str(checkout / "home"))
    record = (checkout / "trained").read_text(encoding="utf-8")
    return lambda words: CliRunner().invoke(app, [word.replace("RUN.1.json", record) for word in words])


def understood(words):
    """Return the parameters that a call of `resnet18` means; it fails where an option or a value is unknown."""
    root = typer.main.get_command(app)
    with root.make_context("resnet18", list(words), resilient_parsing=words[0].startswith("-")) as context:
        if words[0].startswith("-"):
            assert words[0] in {option for one in root.params for option in one.opts}
            return {}
        _, command, rest = root.resolve_command(context, list(words))
        while hasattr(command, "resolve_command") and rest:
            _, command, rest = command.resolve_command(context, rest)
        with command.make_context(command.name, rest, parent=context) as inner:
            return inner.params


def planned(words):
    """Return the plan that a `run` asks for, with data and a device that are here."""
    given = understood(words)
    given["cases"] = [case for case in given["cases"] or [] if case not in OF_READERS]
    what = WhatToRun(**{key: given[key] for key in ("names", "cases", "hypotheses", "scale", "seeds", "options")})
    return outline(what, DataSource(SCALES[what.scale].data), {"cpu": 1}).plan


@pytest.mark.parametrize("words", MAKES, ids=" ".join)
def test_make_knows_what_is_documented_and_calls_what_resnet18_understands(words, checkout, monkeypatch):
    """Without carrying it out; a run that it would start can be planned."""
    targets = [word.replace("NAME", "basic") for word in words[1:]]
    command = ["make", "--dry-run", "--old-file=.venv/.ready", *targets]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    monkeypatch.chdir(checkout)

    for line in done.stdout.splitlines():
        for call in calls_of(tuple(shlex.split(line))) if line.startswith(".venv/bin/resnet18") else ():
            assert planned(call).runs if call[0] == "run" else understood(call)


@pytest.mark.parametrize("words", [list(one) for one in UNDERSTOOD], ids=" ".join)
def test_what_cannot_be_tried_here_is_read_to_the_end(words):
    assert words in CALLS
    understood([*words, *UNDERSTOOD[tuple(words)][1]])


@pytest.mark.parametrize("words", [one for one in RUNS if "--help" not in one], ids=" ".join)
def test_what_is_documented_to_be_run_can_be_planned(words, checkout, monkeypatch):
    monkeypatch.chdir(checkout)

    assert planned(words).runs


@pytest.mark.parametrize("words", OTHERS, ids=" ".join)
def test_what_is_documented_for_everything_else_is_carried_out(words, cli):
    answer = cli(words)

    assert ENDS.get(words[0], 0) == answer.exit_code, answer.output


def rows_of_maps():
    """Yield the names in each row that says where something is added, and the code of the files beside them."""
    for page, heading in (("CONTRIBUTING.md", "## Where to add"), ("benchmarks/README.md", "## Add an optimizer")):
        section = (ROOT / page).read_text(encoding="utf-8").partition(heading)[2].partition("\n## ")[0]
        for row in re.findall(r"^\| .*`.*$", section, re.MULTILINE):
            quoted = {text.removeprefix("resnet18/") for text in re.findall(r"`([\w/.]+)`", row) if "NAME" not in text}
            paths = [ROOT / "resnet18" / text for text in quoted if "/" in text]
            files = [file for path in paths for file in (path.glob("*.py") if path.is_dir() else [path])]
            names = {text for text in quoted if text.isidentifier()} - {"Makefile"}
            yield names, "\n".join(file.read_text(encoding="utf-8") for file in files if file.suffix == ".py")


@pytest.mark.parametrize(("names", "code"), list(rows_of_maps()))
def test_a_map_names_what_is_in_the_files_beside_it(names, code):
    assert names <= set(re.findall(r"\w+", code))
