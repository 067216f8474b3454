"""`make regress` and `make baseline`: train the cases of regress.toml, and judge them or keep them.

    python benchmarks/suite/regress.py [--data DATA] [--base COMMIT] [--seeds N] [--to FOLDER] [--keep]

The code of a base commit runs beside this one, at the same time, each in processes of its own. With --keep there is no
base, nothing is timed, and runs share the machine. Ends with the exit code of `resnet18 check`; 3 where there is no
base, or where it cannot read regress.toml.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnet18.cli.app import OF_A_CALLER
from resnet18.cli.check import left_out
from resnet18.measure.host import usable_cpus
from resnet18.spec.errors import SuiteError
from resnet18.spec.load import load_benchmark

ROOT = Path(__file__).parents[2]
SPEC = Path(__file__).with_name("regress.toml")
SIZE = ("-o", "train_images=1024", "-o", "epochs=5", "-o", "test_images_last=250")
"""Five epochs, of which the last three have small rates: their median differs little between seeds (docs/gate.md)."""
MAINS = ("origin/main", "main", "origin/HEAD", "origin/master", "master")
"""Where the branch that others are merged into is looked for."""
NAME_ONE = "name a commit: BASE=commit"
CHANGE_S = 0.1  # less than an epoch takes


class NotMeasuredError(Exception):
    """Nothing can be compared; the text says why, and what to do."""


def git(*words: str) -> str | None:
    """Return what git answers about this checkout, also in a hook of another; None where it knows no answer."""
    own = {name: value for name, value in os.environ.items() if name not in OF_A_CALLER}
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], env=own, stdout=subprocess.PIPE, text=True, check=False)
    except OSError:  # there is no git
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def missing(what: str) -> NotMeasuredError:
    """Return the error for a commit that is not there: in a shallow clone others are."""
    if git("rev-parse", "--is-shallow-repository") == "true":
        return NotMeasuredError(f"{what}: this clone is shallow; fetch the full history (in CI: fetch-depth: 0)")
    return NotMeasuredError(f"{what}; {NAME_ONE}")


def chosen_base() -> tuple[str, str]:
    """Return the commit that this code is compared with, and which it is in words."""
    head = git("rev-parse", "--verify", "HEAD")
    if head is None:  # git has said why
        raise NotMeasuredError("no commit of git is checked out here: there is nothing to compare with")
    if git("status", "--porcelain", "--untracked-files=no"):
        return head, "the last commit, since there are uncommitted changes"
    main = next((name for name in MAINS if git("rev-parse", "--verify", "--quiet", name)), None)
    if main is not None and git("branch", "--show-current") != main.removeprefix("origin/"):
        fork = git("merge-base", main, "HEAD")
        if fork is None:
            raise missing(f"no commit is in the history of both HEAD and {main}")
        if fork != head:
            return fork, f"where HEAD left {main}"
    parent = git("rev-parse", "--verify", "--quiet", "HEAD^1")
    if parent is None:
        raise missing("HEAD has no parent")
    return parent, "the first parent of HEAD"


@contextmanager
def code_of(commit: str) -> Iterator[Path]:
    """Check a commit out into a folder that is gone afterwards, and return where this suite lies in it."""
    where = git("rev-parse", "--show-prefix")
    if where is None or git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") is None:
        raise missing(f"git knows no commit {commit}")
    with tempfile.TemporaryDirectory(prefix="resnet18-base-") as name:
        folder = Path(name) / "base"
        if git("worktree", "add", "--quiet", "--detach", str(folder), commit) is None:  # git has said why
            raise NotMeasuredError(f"{commit} cannot be checked out")
        try:
            yield folder / where
        finally:
            git("worktree", "remove", "--force", str(folder))


def resnet18(code: Path, *words: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Let the code of a folder carry out a command."""
    command = [sys.executable, "-m", "resnet18", *words]
    environment = {**os.environ, "PYTHONPATH": str(code)}
    return subprocess.run(command, cwd=code, env=environment, check=False, capture_output=quiet, text=True)


def check_readable(code: Path, commit: str, words: list[str]) -> None:
    """Raise NotMeasuredError where older code does not know what this code's runs are asked for with."""
    if not (code / "resnet18").is_dir():
        raise NotMeasuredError(f"{commit} has no package resnet18 where this checkout has it; {NAME_ONE}")
    planned = resnet18(code, "plan", str(SPEC), "--seeds", "1", *words, quiet=True)
    if planned.returncode:
        says = " ".join((planned.stderr or planned.stdout).split())
        raise NotMeasuredError(f"{commit} cannot read this commit's {SPEC.name}: {says}; {NAME_ONE} that can")


def side_by_side(base: Path, results: Path, seeds: int, words: list[str]) -> None:
    """Run both codes at the same time, each on half of the processors; ten times a second they change places.

    Whatever slows the machine, or one of its processors, slows both alike. Where processors cannot be assigned (Linux
    alone lets a process do so), or there is one, both share all.
    """
    processors = sorted(usable_cpus())
    halves = [processors[: len(processors) // 2], processors[len(processors) // 2 :]]
    sides = [start(base, results / "base", seeds, words, quiet=True), start(ROOT, results / "head", seeds, words)]
    try:
        while any(side.poll() is None for side in sides):
            for side, half in zip(sides, halves, strict=True):
                if side.poll() is None:  # else another process may have its number by now
                    assign(side.pid, half)
            halves.reverse()
            time.sleep(CHANGE_S)
    finally:
        for side in sides:
            if side.poll() is None:
                side.terminate()
            side.wait()


def assign(process: int, processors: list[int]) -> None:
    """Let all threads of a process, and of those that it has started, run on these processors."""
    with suppress(OSError):  # it has ended, or this is not Linux
        for task in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(task.name), processors)
            for child in (task / "children").read_text(encoding="ascii").split():
                assign(int(child), processors)


def start(code: Path, results: Path, seeds: int, words: list[str], *, quiet: bool = False) -> subprocess.Popen[bytes]:
    """Let the code of a folder begin so many seeds of each case. How that ended is in the records."""
    command = [sys.executable, "-m", "resnet18", "run", str(SPEC), "--seeds", str(seeds), "--results", str(results)]
    environment, shown = {**os.environ, "PYTHONPATH": str(code)}, subprocess.DEVNULL if quiet else None
    return subprocess.Popen([*command, *words], cwd=code, env=environment, stdout=shown)


def seeds_of(asked: int | None, fewest: int) -> int:
    """Return the number of seeds; NotMeasuredError where fewer are asked for than a check needs."""
    if asked is not None and asked < fewest:
        raise NotMeasuredError(f"SEEDS={asked} is too few: a check takes at least {fewest}")
    return asked or fewest


def measure(asked: argparse.Namespace, results: Path) -> int:
    """Run, then judge, and return the exit code."""
    benchmark = load_benchmark(SPEC)
    assert benchmark.gate is not None  # noqa: S101 - it stands in the file
    seeds = seeds_of(asked.seeds, (2 if asked.keep else 1) * benchmark.gate.seeds)
    skipped = left_out(benchmark)
    kept = [word for case in benchmark.cases if case.name not in skipped for word in ("--case", case.name)]
    name, colon, path = (asked.data or "").partition(":")
    data = ["--data", f"{name}:{Path(path).resolve()}" if colon else name] if name else []
    words = [*SIZE, *(kept if skipped else ()), *data]
    shutil.rmtree(results, ignore_errors=True)
    check = ["check", str(SPEC), "--results", str(results / "head")]
    if asked.keep:
        start(ROOT, results / "head", seeds, [*words, "--jobs", str(len(usable_cpus()))]).wait()
        return resnet18(ROOT, *check, "--keep").returncode
    commit, which = (asked.base, "as asked for") if asked.base else chosen_base()
    print(f"base: {commit:.12}, {which}", flush=True)  # noqa: T201 - a script
    with code_of(commit) as base:
        check_readable(base, f"{commit:.12}", words)
        side_by_side(base, results, seeds, words)
    return resnet18(ROOT, *check, "--base", str(results / "base")).returncode


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="as for resnet18 run; embedded data if left out")
    parser.add_argument("--base", help="commit to run beside this code; default: see docs/gate.md")
    parser.add_argument("--seeds", type=int, help="of each side; the [gate]'s number if left out, twice it with --keep")
    parser.add_argument("--to", type=Path, default=Path("results/local/regress"), help="folder of the records")
    parser.add_argument("--keep", action="store_true", help="keep the records as the baseline of this machine")
    asked = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # what was started is ended first
    try:
        return measure(asked, asked.to.resolve())
    except NotMeasuredError as error:
        print(f"nothing was compared: {error}", file=sys.stderr)  # noqa: T201 - a script
        return 3
    except SuiteError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a script
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - Python would end with 1, which says that there is a regression
        traceback.print_exc()
        return 3


if __name__ == "__main__":
    sys.exit(main())
