"""`make regress`: which commit is the base, what is refused before training, and how both codes run."""

import importlib
import os
import re
import runpy
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import psutil
import pytest

from resnet18.cli import check
from resnet18.execution import runner
from resnet18.execution.attempt import run_lock
from resnet18.spec.errors import LockedError, SpecError, SuiteError
from resnet18.spec.load import load_benchmark

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "suite"))
base_commit, regress, plants = map(importlib.import_module, ("base_commit", "regress", "plants"))
COMMIT = "-c user.name=a -c user.email=a@b commit -q --allow-empty -m"


def git(folder, *lines):
    for line in lines:
        subprocess.run(["git", "-C", str(folder), *line.split()], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with two commits on main, in which the program seems to lie."""
    git(tmp_path, "init -q -b main", f"{COMMIT} first")
    (tmp_path / "file").write_text("a", encoding="utf-8")
    git(tmp_path, "add file", f"{COMMIT} second")
    monkeypatch.setattr(base_commit, "ROOT", tmp_path)
    return tmp_path


def named(checkout, revision):
    return subprocess.check_output(["git", "-C", str(checkout), "rev-parse", revision], text=True).strip()


def test_a_hook_of_another_repository_asks_this_one(checkout, monkeypatch):
    commit = named(checkout, "HEAD")
    monkeypatch.setenv("GIT_DIR", "/nothing")

    assert commit == base_commit.git("rev-parse", "HEAD")


TRUNK = ("branch -m main trunk", "update-ref refs/remotes/origin/a/trunk trunk", "checkout -q -b mine")
TRUNK += (f"{COMMIT} third", f"{COMMIT} fourth")


@pytest.mark.parametrize(
    ("lines", "base"),
    [
        ((), "main^"),
        (("checkout -q -b mine", f"{COMMIT} third", f"{COMMIT} fourth"), "main"),
        (("checkout -q -b mine", f"{COMMIT} third", "checkout -q main", f"{COMMIT} x", "checkout -q mine"), "mine^"),
        (("checkout -q --detach",), "main^"),
        (("branch -m main trunk",), "trunk^"),
        ((*TRUNK, "update-ref refs/remotes/upstream/main trunk"), "trunk"),
        ((*TRUNK, "symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/a/trunk"), "trunk"),
    ],
    ids=["main", "branch", "branch behind main", "detached", "no main", "upstream", "another default branch"],
)
def test_the_base_is_where_a_branch_left_main_and_on_main_the_parent(lines, base, checkout):
    git(checkout, *lines)

    assert named(checkout, base) == base_commit.chosen_base()[0]


def test_where_no_main_branch_is_found_that_is_said_with_the_base(checkout):
    git(checkout, "branch -m main trunk")

    assert "the first parent of HEAD, since no main branch was found" in base_commit.chosen_base()[1]


@pytest.mark.parametrize(("file", "is_change"), [("file", True), ("resnet18/new.py", True), ("notes", False)])
def test_the_base_of_uncommitted_changes_is_the_last_commit(file, is_change, checkout):
    """Of new files those count that lie where code and specs are."""
    (checkout / "resnet18").mkdir()
    (checkout / file).write_text("b", encoding="utf-8")

    assert named(checkout, "HEAD" if is_change else "HEAD^") == base_commit.chosen_base()[0]


def test_records_are_of_changed_code_where_a_module_is_new(checkout, monkeypatch):
    monkeypatch.setattr(runner, "PACKAGE", checkout)
    (checkout / "__init__.py").touch()
    git(checkout, "add __init__.py", f"{COMMIT} third")
    before, _ = runner.git_commit(), (checkout / "new.py").touch()

    assert [(named(checkout, "HEAD"), changed) for changed in (False, True)] == [before, runner.git_commit()]


def shallow(checkout):
    git(checkout, f"clone -q --depth 1 file://{checkout} {checkout}/clone")
    return checkout / "clone"


def alone(checkout):
    git(checkout, "checkout -q main^", "branch -D main")
    return checkout


def damaged(checkout):
    (checkout / ".git/index").write_bytes(b"x")
    return checkout


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (shallow, "fetch-depth: 0"),
        (alone, "HEAD has no parent; name a commit"),
        (lambda _: Path("/"), "no checkout of git .* git says: fatal: not a git repository"),
        (damaged, "cannot tell whether there are changes.* git says: "),
    ],
    ids=["shallow", "first commit", "no repository", "a damaged index"],
)
def test_without_a_base_it_is_said_what_to_do(place, says, checkout, monkeypatch):
    monkeypatch.setattr(base_commit, "ROOT", place(checkout))

    with pytest.raises(regress.NotMeasuredError, match=says):
        base_commit.chosen_base()


def test_without_git_that_is_said(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(regress.NotMeasuredError, match="git is not installed"):
        base_commit.chosen_base()


def test_the_code_of_a_base_is_gone_afterwards_and_so_is_what_a_killed_check_left(checkout):
    """A hook of the user, which may fail, is not run."""
    hook, left = checkout / ".git/hooks/post-checkout", checkout / f".git/resnet18-base/.base.{'0' * 16}.tmp"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    git(checkout, f"-c core.hooksPath=/ worktree add -q {left}/code")
    with base_commit.code_of(named(checkout, "HEAD")) as code:
        assert "a" == (code / "file").read_text(encoding="utf-8")
    found = subprocess.check_output(["git", "-C", str(checkout), "worktree", "list"], text=True)

    assert (1, []) == (len(found.splitlines()), list(left.parent.iterdir()))


def asked(**options):
    return Namespace(**{"data": None, "base": None, "seeds": None, "keep": False, **options})


PLANNED = regress.check_plan


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({"seeds": 7}, 3, "SEEDS=7 is too few: a check takes at least 8"),
        ({"seeds": 15, "keep": True}, 3, "SEEDS=15 is too few: a baseline takes at least 16"),
        ({"seeds": 1_001}, 2, "SEEDS=1001: is too many (allowed: 8 to 1,000)"),
        ({"data": "nosuch"}, 2, 'data set "nosuch": unknown'),
        ({"data": "imagefolder:"}, 2, "needs a path"),
        ({"keep": True}, 2, "is not a clean commit of git"),
        ({"base": "nowhere"}, 3, "git knows no commit nowhere; name a commit"),
        ({"base": "^HEAD"}, 3, "git knows no commit ^HEAD"),
        ({"base": "main"}, 3, "has no package resnet18 where this checkout has it"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_trains(options, code, says, checkout, monkeypatch):
    """Records of an earlier check are still there."""
    (checkout / "to/head").mkdir(parents=True)
    (checkout / "to/regress.lock").touch()
    monkeypatch.setattr(regress, "start", lambda *_, **__: pytest.fail("it trains"))
    monkeypatch.setattr(regress, "check_plan", lambda place, *_: place == regress.ROOT or PLANNED(place, *_))
    monkeypatch.setattr(regress, "git_commit", lambda: ("a" * 40, True))

    with pytest.raises((regress.NotMeasuredError, SuiteError), match=re.escape(says)) as error:
        regress.measure(asked(**options), checkout / "to")
    assert (code, True) == (error.value.exit_code, (checkout / "to/head").exists())


FAILS = "import sys; print('\\x1b[31m##[error]' * 9_000, file=sys.stderr); sys.exit('unknown key')"


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (FAILS, r"abc cannot plan .*\\x1b\[31m\\x23#\[error\] unknown key; name a commit"),
        ("import signal; signal.pause()", "after 0.2 seconds"),
    ],
)
def test_a_base_that_cannot_plan_is_named_with_the_end_of_what_it_says(program, says, tmp_path, monkeypatch):
    """On a line that a terminal does not obey. One that hangs is not waited for."""
    package_of(tmp_path, program)
    monkeypatch.setattr(regress, "PLAN_S", 0.2)

    with pytest.raises(regress.NotMeasuredError, match=says) as error:
        regress.check_plan(tmp_path, "abc", [])
    assert len(str(error.value)) < 600


def package_of(folder, program):
    """Put a package in the place of this one; it does this instead of anything."""
    (folder / "resnet18").mkdir()
    (folder / "resnet18/__init__.py").touch()
    (folder / "resnet18/__main__.py").write_text(program, encoding="utf-8")
    return folder


def test_only_what_a_check_has_made_is_removed(tmp_path):
    (tmp_path / "thesis").touch()
    with pytest.raises(SpecError, match="was not made by a check"), regress.held(tmp_path):
        pass
    with regress.held(tmp_path / "new"):
        (tmp_path / "new/head").mkdir()
        regress.clear(tmp_path / "new")
    with regress.held(tmp_path / "new"):
        pass

    assert (True, []) == ((tmp_path / "thesis").exists(), [*(tmp_path / "new").glob("head")])


def test_of_two_checks_in_a_folder_the_second_names_the_first_and_a_run_there_keeps_its_records(tmp_path):
    with (
        regress.held(tmp_path),
        pytest.raises(LockedError, match=f"process {os.getpid()} .* carries out a check there"),
        regress.held(tmp_path),
    ):
        pass
    with run_lock(tmp_path / "head", "a"), pytest.raises(LockedError, match="carries out a run there"):
        regress.clear(tmp_path)

    assert (tmp_path / "head/locks").is_dir()


class FakeRun:
    """A command that ends when it has been asked so many times whether it has."""

    def __init__(self, pid, asks, code=0):
        self.pid, self.asks, self.code, self.told = pid, asks, code, []

    def poll(self):
        self.asks -= 1
        return self.code if self.asks < 0 else None

    def terminate(self):
        self.told.append("terminate")

    def wait(self, limit_s):
        self.told.append("wait")


@pytest.fixture
def sides(monkeypatch):
    """Both commands, in the place of real ones, on a machine of three processors."""
    sides = {"base": FakeRun("base", 4), "head": FakeRun("head", 8)}
    monkeypatch.setattr(regress, "start", lambda code, results, words: sides[results.name])
    monkeypatch.setattr(regress, "usable_cpus", lambda: {5, 1, 3})
    monkeypatch.setattr(regress, "CHANGE_S", 0.0)
    return sides


def test_both_codes_run_at_once_and_change_processors_until_both_have_ended(sides, monkeypatch, tmp_path):
    placed = []
    monkeypatch.setattr(regress, "assign", lambda process, half: placed.append((process, half)))
    regress.train(dict.fromkeys(sides), tmp_path, [])

    assert placed[:4] == [("base", [1]), ("head", [3, 5]), ("base", [3, 5]), ("head", [1])]
    assert {"head"} == {process for process, _ in placed[4:]}  # whose command goes on
    assert [side.told for side in sides.values()] == [[], []]


def test_what_ends_the_check_tells_both_codes_before_it_waits(sides, monkeypatch, tmp_path):
    told = sides["base"].told = sides["head"].told
    monkeypatch.setattr(regress, "assign", lambda *_: sys.exit(143))
    with pytest.raises(SystemExit):
        regress.train(dict.fromkeys(sides), tmp_path, [])

    assert told == ["terminate", "terminate", "wait", "wait"]


@pytest.mark.parametrize(
    ("side", "code", "ends"), [("base", 5, 3), ("base", -9, 3), ("head", 5, 5), ("head", 1, 3), ("head", -9, 3)]
)
def test_a_side_that_dies_ends_the_other_and_is_named(side, code, ends, sides, monkeypatch, tmp_path):
    """With the end of what a base has printed; 1 would say that there is a regression."""
    (tmp_path / "base.log").write_text("no\x1b[31m disk", encoding="utf-8")
    monkeypatch.setattr(regress, "assign", lambda *_: None)
    sides[side].asks, sides[side].code = 2, code
    says = rf"the runs of the {side} ended with exit code {code}" + (r".*no\\x1b\[31m disk" * (side == "base"))
    with pytest.raises(regress.NotMeasuredError, match=says) as error:
        regress.train(dict.fromkeys(sides), tmp_path, [])

    assert ends == error.value.exit_code
    assert {name: run.told for name, run in sides.items() if name != side}.popitem()[1] == ["terminate", "wait"]


@pytest.mark.parametrize("code", [3, 4])
def test_failed_runs_and_records_that_contradict_themselves_are_left_to_the_check(code, sides, monkeypatch, tmp_path):
    monkeypatch.setattr(regress, "assign", lambda *_: None)
    sides["head"].code = code
    regress.train(dict.fromkeys(sides), tmp_path, [])

    assert [] == sides["base"].told


def test_after_the_first_signal_none_is_heard(monkeypatch):
    """What was started is waited for, and its folder removed, without being cut short."""
    heard = {}
    monkeypatch.setattr(signal, "signal", heard.__setitem__)
    regress.end_by_exit()
    with pytest.raises(SystemExit):
        heard[signal.SIGTERM](signal.SIGTERM, None)

    assert dict.fromkeys(regress.ENDINGS, signal.SIG_IGN) == heard


WAITS = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
CHECK = f"""
import sys; sys.path.insert(0, {str(ROOT / "benchmarks/suite")!r})
import regress; from pathlib import Path
regress.ROOT = Path(sys.argv[1])
regress.end_by_exit()
regress.train({{"head": regress.ROOT}}, regress.ROOT, [])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone lets a process end with its parent")
@pytest.mark.parametrize(
    ("before", "signals", "code"),
    [
        ("", [signal.SIGTERM], 143),
        ("", [signal.SIGKILL], -9),
        ("trap '' HUP;", [signal.SIGHUP, signal.SIGTERM], 143),
    ],
    ids=["told", "killed", "nohup"],
)
def test_no_run_goes_on_after_the_command(before, signals, code, tmp_path):
    """A signal that was ignored before does not end it."""
    command = f'{before} exec "{sys.executable}" -c "$0" "$1"'
    words = ["sh", "-c", command, CHECK, str(package_of(tmp_path, WAITS))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        run = psutil.Process(int(process.stdout.readline()))
        for number in signals:
            process.send_signal(number)
        process.wait(10)

    assert (code, []) == (process.returncode, psutil.wait_procs([run], 5)[1])


@pytest.mark.parametrize(
    ("program", "code", "says"),
    [
        ("benchmarks/suite/regress.py", 3, "this code cannot be imported: ModuleNotFoundError"),
        ("resnet18/__main__.py", 5, "the package cannot be imported: ModuleNotFoundError"),
    ],
)
def test_code_that_cannot_be_imported_ends_with_a_line_and_never_with_1(program, code, says, monkeypatch, capsys):
    """That is for a regression."""
    monkeypatch.setitem(sys.modules, "resnet18.cli.app", None)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / program), run_name="__main__")

    assert (code, True) == (ended.value.code, says in capsys.readouterr().err)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone lets processes be assigned to processors")
def test_what_a_process_has_started_is_assigned_with_it():
    inner = "import os; print(os.getpid(), flush=True); input()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        child, processor = int(process.stdout.readline()), max(os.sched_getaffinity(0))
        regress.assign(process.pid, [processor])
        found = [os.sched_getaffinity(pid) for pid in (process.pid, child)]
        process.communicate(b"\n")

    assert found == [{processor}, {processor}]


@pytest.mark.parametrize(("emulates", "devices", "names"), [(True, 1, ["fast, bf16"]), (False, 1, []), (True, 2, [])])
def test_a_case_in_bf16_is_left_out_where_the_processor_emulates_it(emulates, devices, names, monkeypatch):
    """An accelerator does not."""
    monkeypatch.setattr("resnet18.measure.devices.emulates_bf16", lambda: emulates)
    monkeypatch.setattr("resnet18.measure.devices.present_devices", lambda *, prove: dict.fromkeys(range(devices)))

    assert names == check.left_out(load_benchmark(regress.SPEC))


@pytest.mark.parametrize("name", plants.PLANTS)
def test_what_is_planted_still_fits_the_code(name):
    """`benchmarks/suite/plants.py` plants it for real, and takes minutes."""
    for file, old, new in plants.PLANTS[name].edits:
        assert new in plants.planted((ROOT / file).read_text(encoding="utf-8"), old, new)


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_whoever_compares_fetches_the_history(path):
    """A tag can be moved to other code."""
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: *(\S+)(.*)", text)

    assert used
    assert all(
        re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) and re.fullmatch(r" # v[\d.]+", tag) for action, tag in used
    )
    assert "make regress" not in text or "fetch-depth: 0" in text
