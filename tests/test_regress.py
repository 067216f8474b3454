"""`make regress`: which commit is the base, what is refused before training, and how both codes run."""

import importlib
import os
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from resnet18.cli import check
from resnet18.spec.load import load_benchmark

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "suite"))
regress, plants = (importlib.import_module(name) for name in ("regress", "plants"))
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
    monkeypatch.setattr(regress, "ROOT", tmp_path)
    return tmp_path


def named(checkout, revision):
    return subprocess.check_output(["git", "-C", str(checkout), "rev-parse", revision], text=True).strip()


def test_a_hook_of_another_repository_asks_this_one(checkout, monkeypatch):
    commit = named(checkout, "HEAD")
    monkeypatch.setenv("GIT_DIR", "/nothing")

    assert commit == regress.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("lines", "base"),
    [
        ((), "main^"),
        (("checkout -q -b mine", f"{COMMIT} third", f"{COMMIT} fourth"), "main"),
        (("checkout -q -b mine", f"{COMMIT} third", "checkout -q main", f"{COMMIT} x", "checkout -q mine"), "mine^"),
        (("checkout -q --detach",), "main^"),
        (("branch -m main trunk",), "trunk^"),
    ],
    ids=["main", "branch", "branch behind main", "detached", "no main"],
)
def test_the_base_is_where_a_branch_left_main_and_on_main_the_parent(lines, base, checkout):
    git(checkout, *lines)

    assert named(checkout, base) == regress.chosen_base()[0]


def test_the_base_of_uncommitted_changes_is_the_last_commit(checkout):
    (checkout / "file").write_text("b", encoding="utf-8")

    assert named(checkout, "HEAD") == regress.chosen_base()[0]


def shallow(checkout):
    git(checkout, f"clone -q --depth 1 file://{checkout} {checkout}/clone")
    return checkout / "clone"


def alone(checkout):
    git(checkout, "checkout -q main^", "branch -D main")
    return checkout


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (shallow, "fetch-depth: 0"),
        (alone, "HEAD has no parent; name a commit"),
        (lambda _: Path("/"), "no commit of git"),
    ],
    ids=["shallow", "first commit", "no repository"],
)
def test_without_a_base_it_is_said_what_to_do(place, says, checkout, monkeypatch):
    monkeypatch.setattr(regress, "ROOT", place(checkout))

    with pytest.raises(regress.NotMeasuredError, match=says):
        regress.chosen_base()


def asked(**options):
    return Namespace(**{"data": None, "base": None, "seeds": None, "keep": False, **options})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seeds": 7}, "SEEDS=7 is too few: a check takes at least 8"),
        ({"seeds": 15, "keep": True}, "SEEDS=15 is too few: a check takes at least 16"),
        ({"base": "nowhere"}, "git knows no commit nowhere; name a commit"),
        ({"base": "main"}, "has no package resnet18 where this checkout has it"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_trains(options, says, checkout, monkeypatch):
    monkeypatch.setattr(regress, "start", lambda *_, **__: pytest.fail("it trains"))

    with pytest.raises(regress.NotMeasuredError, match=says):
        regress.measure(asked(**options), checkout / "results")


def test_a_base_that_cannot_read_the_spec_is_named_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "resnet18").mkdir()
    failed = subprocess.CompletedProcess([], 2, "", 'regress.toml: unknown key\n  "new"')
    monkeypatch.setattr(regress, "resnet18", lambda *_, **__: failed)

    with pytest.raises(
        regress.NotMeasuredError, match=r'abc cannot read .* regress\.toml: regress\.toml: unknown key "new"'
    ):
        regress.check_readable(tmp_path, "abc", [])


class FakeRun:
    """A command that ends when it has been asked so many times whether it has."""

    def __init__(self, pid, asks):
        self.pid, self.asks, self.told = pid, asks, []

    def poll(self):
        self.asks -= 1
        return 0 if self.asks < 0 else None

    def terminate(self):
        self.told.append("terminate")

    def wait(self):
        self.told.append("wait")


@pytest.fixture
def sides(monkeypatch):
    """Both commands, in the place of real ones, on a machine of three processors."""
    sides = [FakeRun("base", 4), FakeRun("head", 6)]
    begun = iter(sides)
    monkeypatch.setattr(regress, "start", lambda *_, **__: next(begun))
    monkeypatch.setattr(regress, "usable_cpus", lambda: {5, 1, 3})
    monkeypatch.setattr(regress, "CHANGE_S", 0.0)
    return sides


def test_both_codes_run_at_once_and_change_processors_until_both_have_ended(sides, monkeypatch, tmp_path):
    placed = []
    monkeypatch.setattr(regress, "assign", lambda process, half: placed.append((process, half)))
    regress.side_by_side(tmp_path, tmp_path, 8, [])

    assert placed[:4] == [("base", [1]), ("head", [3, 5]), ("base", [3, 5]), ("head", [1])]
    assert {"head"} == {process for process, _ in placed[4:]}  # whose command goes on
    assert [side.told for side in sides] == [["wait"], ["wait"]]


def test_what_ends_the_check_ends_both_codes(sides, monkeypatch, tmp_path):
    monkeypatch.setattr(regress, "assign", lambda *_: sys.exit(143))
    with pytest.raises(SystemExit):
        regress.side_by_side(tmp_path, tmp_path, 8, [])

    assert [side.told for side in sides] == [["terminate", "wait"], ["terminate", "wait"]]


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
