"""`make mutate`: how many small mistakes in the pure modules the tests notice. Not part of `make test`.

Each mutant is imported in a process of its own, forked from one that has loaded the libraries but nothing of ours. Of
the tests of its group those run that enter the changed function without any mistake, the quickest first, until one
fails. One that runs for ever counts as noticed. docs/mutation.md has the figures.

    python tests/mutation [GROUP]... [--sample N] [--seed N] [--jobs N]
"""

import argparse
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import hypothesis.stateful  # noqa: F401 - loaded once, before processes are forked
import numpy as np  # noqa: F401 - the same
import pandas as pd  # noqa: F401 - the same
import pydantic  # noqa: F401 - the same
import pytest
import scipy.stats  # noqa: F401 - the same
import torch  # noqa: F401 - the same
import typer  # noqa: F401 - the same
from hypothesis import Phase, settings
from mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
OURS = f"{ROOT / 'resnet18'}/"
LEAST_KILLED = 0.85
LIMIT_S = 120
SLOW_S = 1.0
"""Tests that take longer (simulations) are left out: a mutant that they alone would notice counts as not noticed."""
QUIETLY = (
    *("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
    "--hypothesis-profile=mutation",
)
"""The warning: hypothesis is loaded before pytest could rewrite it."""

# As in tests/conftest.py, but the first example that fails is enough: it is not made smaller.
settings.register_profile(
    "mutation", derandomize=True, deadline=None, max_examples=60, database=None, phases=(Phase.explicit, Phase.generate)
)


@dataclass(frozen=True)
class Group:
    """Modules of a room, and the tests that must notice mistakes in them."""

    room: str
    modules: str
    tests: str


GROUPS = {
    "spec": Group(
        room="spec",
        modules="augmentation benchmark bytes claim consistency data experiment hypothesis identity metric optimizer "
        "plan printed resolve scale size strict",
        tests="identity spec plan load claims candidates bytes benchmarks hostile_specs memory_cap properties_spec",
    ),
    "store": Group(
        room="records",
        modules="build checkpoints compare disk hashes merge record store",
        tests="records disk merge checkpoints store_machine",
    ),
    "stats": Group(
        room="analysis",
        modules="metrics seeds statistics",
        tests="statistics metrics seeds properties_statistics",
    ),
    "claims": Group(
        room="analysis",
        modules="cells comparisons sample speedup verdict wording",
        tests="verdict claims costs record_sets merge",
    ),
}


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Gives the mutant's source for one module, and leaves all others alone."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, fullname, path=None, target=None):
        """Take over the one module."""
        return importlib.util.spec_from_loader(fullname, self) if fullname == self.name else None

    def get_filename(self, fullname):
        """Return where the module's own source is."""
        return str(self.path)

    def get_data(self, path):
        """Return the source."""
        return self.source.encode()


class Recorder:
    """Notes the functions of ours that each test enters, and how long it takes."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[float, list[tuple[str, int]]]] = {}
        self.entered: set[tuple[str, int]] = set()
        self.at_import: list[tuple[str, int]] = []

    def note(self, frame, event, arg):
        """Be what `sys.settrace` calls at every function."""
        if frame.f_code.co_filename.startswith(OURS):
            self.entered.add((frame.f_code.co_filename.removeprefix(OURS), frame.f_code.co_firstlineno))

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self):
        """Note what tests enter when they are imported."""
        sys.settrace(self.note)
        yield
        sys.settrace(None)
        self.at_import = sorted(self.entered)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        """Note what one test enters, its fixtures included."""
        self.entered, start = set(), time.process_time()
        sys.settrace(self.note)
        done = yield
        sys.settrace(None)
        self.found[item.nodeid] = (time.process_time() - start, sorted(self.entered))
        return done


@dataclass(frozen=True)
class Tests:
    """The tests of a group, the quickest first, and what they enter."""

    names: list[str]
    entering: dict[str, dict[int, set[str]]]
    """By file and first line of a function. Those that are entered when tests are imported have all tests."""

    def of(self, path: str, lines: range | None) -> list[str]:
        """Return the tests that enter any of the lines of a function; all for a line that is outside of them."""
        if lines is None:
            return self.names
        found = set[str]().union(*(names for line, names in self.entering[path].items() if line in lines))
        return [one for one in self.names if one in found]


def in_a_process(work: Callable[[], int], limit_s: float = LIMIT_S) -> int | None:
    """Do something in a process of its own, silently; return its exit status, None where it did not end."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        try:
            code = work()
        except BaseException:  # noqa: BLE001 - a mutant may end the process in any way
            code = 1
        os._exit(int(code != 0))
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def record(paths: list[str]) -> Tests | None:
    """Run the tests without any mistake, and note what each enters; None where they fail."""
    with tempfile.NamedTemporaryFile() as file:

        def work() -> int:
            recorder = Recorder()
            code = pytest.main([*QUIETLY, *paths], plugins=[recorder])
            Path(file.name).write_text(json.dumps([recorder.found, recorder.at_import]), encoding="utf-8")
            return code

        if in_a_process(work, limit_s=10 * LIMIT_S) != 0:
            return None
        found, at_import = json.loads(Path(file.name).read_text(encoding="utf-8"))
    entering: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, (_, entered) in found.items():
        for path, line in entered:
            entering[path][line].add(name)
    for path, line in at_import:
        entering[path][line] |= set(found)
    quick = [name for name in found if found[name][0] <= SLOW_S]
    return Tests(sorted(quick, key=lambda name: found[name][0]), entering)


def is_killed(path: str, mutant: Mutant, tests: Tests) -> bool:
    """Run tests on a mutant; return whether one failed, or did not end."""
    chosen = tests.of(path, mutant.function)

    def work() -> int:
        name = f"resnet18.{path.removesuffix('.py').replace('/', '.')}"
        sys.meta_path.insert(0, Mutated(name, Path(OURS) / path, mutant.source))
        return pytest.main(
            [*QUIETLY, *dict.fromkeys(one.partition("::")[0] for one in chosen)], plugins=[Chosen(chosen)]
        )

    return bool(chosen) and in_a_process(work) != 0


class Chosen:
    """Runs the named tests alone, in the order in which they are named; pytest would run them by file."""

    def __init__(self, names: Collection[str]) -> None:
        self.order = {name: at for at, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items):
        """Choose and sort the tests."""
        items[:] = sorted((one for one in items if one.nodeid in self.order), key=lambda one: self.order[one.nodeid])


def run_group(name: str, sample: int | None, seed: int, jobs: int) -> tuple[int, int]:
    """Print the survivors of a group; return how many mutants there were, and how many were killed."""
    group = GROUPS[name]
    paths = [f"{group.room}/{file}.py" for file in group.modules.split()]
    found = [(path, mutant) for path in paths for mutant in mutants((Path(OURS) / path).read_text(encoding="utf-8"))]
    files = [f"tests/test_{one}.py" for one in group.tests.split()]
    tests = record(files)
    if tests is None:
        raise SystemExit(f"{name}: the tests fail without any mistake; run them first: pytest {' '.join(files)}")
    everything = len(found)
    if sample is not None and sample < everything:
        found = random.Random(seed).sample(found, sample)  # noqa: S311 - no secret
    start = time.monotonic()

    def judge(one: tuple[str, Mutant]) -> bool:
        path, mutant = one
        killed = is_killed(path, mutant, tests)
        if not killed:
            print(f"  survived: {path}:{mutant.line}  {mutant.what}", flush=True)  # noqa: T201 - a script
        return killed

    with ThreadPoolExecutor(jobs) as pool:
        killed = list(pool.map(judge, found))
    share, took = sum(killed) / len(killed), time.monotonic() - start
    text = f"{sum(killed)} of {len(killed)} killed ({share:.1%}), of {everything} in all, in {took:.0f} s"
    print(f"{name}: {text}", flush=True)  # noqa: T201 - a script
    return len(killed), sum(killed)


def main() -> int:
    """Return 1 where a group has fewer killed than it must have."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", default=list(GROUPS))
    parser.add_argument("--sample", type=int, help="at most so many mutants of a group, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other mutants")
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    os.chdir(ROOT)
    results = [run_group(name, asked.sample, asked.seed, asked.jobs) for name in asked.groups]
    return int(any(killed < LEAST_KILLED * total for total, killed in results))


if __name__ == "__main__":
    sys.exit(main())
