"""`make mutate`: how many small mistakes in the pure modules the tests notice. Not part of `make test`.

Each mutant is imported in a process of its own, forked from one that has loaded the libraries but nothing of ours, and
the tests of its group run until one fails. One that runs for ever counts as noticed.

    python tests/mutation [GROUP]... [--sample N] [--jobs N]
"""

import argparse
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import hypothesis.stateful  # noqa: F401 - loaded once, before processes are forked
import numpy as np  # noqa: F401 - the same
import pandas as pd  # noqa: F401 - the same
import pydantic  # noqa: F401 - the same
import pytest
import scipy.stats  # noqa: F401 - the same
import typer  # noqa: F401 - the same
from mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
LEAST_KILLED = 0.85
LIMIT_S = 120
QUIETLY = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""The last: hypothesis is loaded before pytest could rewrite it."""


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
        tests="identity spec plan load claims candidates bytes benchmarks hostile_specs",
    ),
    "store": Group(
        room="records",
        modules="build checkpoints compare disk hashes merge record store",
        tests="records disk merge checkpoints store_machine",
    ),
    "stats": Group(room="analysis", modules="metrics seeds statistics", tests="statistics metrics seeds"),
    "claims": Group(
        room="analysis",
        modules="cells comparisons sample speedup verdict wording",
        tests="verdict claims report costs record_sets merge",
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


def is_killed(module: str, mutant: Mutant, tests: list[str]) -> bool:
    """Run the tests on a mutant in a process of its own; return whether one failed, or it did not end."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        path = ROOT / f"{module.replace('.', '/')}.py"
        sys.meta_path.insert(0, Mutated(module, path, mutant.source))
        try:
            code = pytest.main([*QUIETLY, *tests])
        except BaseException:  # noqa: BLE001 - a mutant may end the process in any way
            code = 1
        os._exit(int(code != 0))
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status != 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def run_group(name: str, sample: int | None, jobs: int) -> tuple[int, int]:
    """Print the survivors of a group; return how many mutants there were, and how many were killed."""
    group = GROUPS[name]
    paths = [f"tests/test_{one}.py" for one in group.tests.split()]
    found = [
        (f"resnet18.{group.room}.{file}", mutant)
        for file in group.modules.split()
        for mutant in mutants((ROOT / "resnet18" / group.room / f"{file}.py").read_text(encoding="utf-8"))
    ]
    unharmed = Mutant(0, "", (ROOT / "resnet18" / group.room / "__init__.py").read_text(encoding="utf-8"))
    if is_killed(f"resnet18.{group.room}.__init__", unharmed, paths):
        raise SystemExit(f"{name}: the tests fail without any mistake; run them first: pytest {' '.join(paths)}")
    if sample is not None and sample < len(found):
        found = random.Random(0).sample(found, sample)  # noqa: S311 - no secret
    start = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        killed = list(pool.map(lambda one: is_killed(*one, paths), found))
    for (module, mutant), is_dead in zip(found, killed, strict=True):
        if not is_dead:
            print(f"  survived: {module}:{mutant.line}  {mutant.what}")  # noqa: T201 - a script
    share = sum(killed) / len(killed)
    took = time.monotonic() - start
    print(f"{name}: {sum(killed)} of {len(killed)} killed ({share:.1%}) in {took:.0f} s", flush=True)  # noqa: T201
    return len(killed), sum(killed)


def main() -> int:
    """Return 1 where a group has fewer killed than it must have."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", default=list(GROUPS))
    parser.add_argument("--sample", type=int, help="at most so many mutants of a group, drawn at random (seed 0)")
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    os.chdir(ROOT)
    results = [run_group(name, asked.sample, asked.jobs) for name in asked.groups]
    return int(any(killed < LEAST_KILLED * total for total, killed in results))


if __name__ == "__main__":
    sys.exit(main())
