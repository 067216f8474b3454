"""Plant changes into clones of this commit, and let `make regress` judge each: is what it must find found?

    python benchmarks/suite/plants.py [--only NAME]

Each takes as long as `make regress`. Prints what the page said and the seconds that it took; ends with 1 where a change
was missed or something else was found.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from resnet18.execution.processes import end_with_parent

ROOT = Path(__file__).parents[2]
TRAINING = "resnet18/training/"
LOOP = f"{TRAINING}loop.py"


class Plant(NamedTuple):
    """A change of the code, and what must be found."""

    edits: tuple[tuple[str, str, str], ...]
    """File, text that stands there, text in its place."""
    metrics: tuple[str, ...] = ()


UPDATE = """            setup.update(loss)
        yield position
"""
LAP = '''def lap(setup: Setup, clock: Clock) -> dict[str, Any]:
    """Return seconds by scope since the last lap; None for statistics where no step is waited for."""
    return clock.lap() | ({"statistics_s": None} if setup.runs_ahead else {})


'''
QUEUED = "class QueuedSteps:"
OPTION = "    threads: "
PLANTS = {
    "a doubled learning rate": Plant(
        ((f"{TRAINING}setup.py", "rate = self.rate_of_step(epoch", "rate = 2 * self.rate_of_step(epoch"),), ("bits",)
    ),
    "a doubled learning rate, which records have": Plant(
        ((f"{TRAINING}setup.py", "rate(experiment.optimizer.lr, at", "rate(2 * experiment.optimizer.lr, at"),),
        ("records",),
    ),
    "another flip probability": Plant(
        ((f"{TRAINING}augment.py", "(units < operation.p).astype", "(units < 0.9 * operation.p).astype"),), ("bits",)
    ),
    "another momentum of batch norm": Plant(
        ((f"{TRAINING}model.py", "nn.BatchNorm2d(width)", "nn.BatchNorm2d(width, momentum=0.2)"),), ("bits",)
    ),
    "a sleep of 10 % of a step": Plant(
        (
            (
                LOOP,
                "    while True:\n        with clock",
                "    begun = time.perf_counter()\n    while True:\n        with clock",
            ),
            (
                LOOP,
                UPDATE,
                UPDATE.replace(
                    "        yield",
                    "            time.sleep(0.1 * (time.perf_counter() - begun))\n"
                    "            begun = time.perf_counter()\n        yield",
                ),
            ),
        ),
        ("train_s",),
    ),
    "a leak of 2 % of memory": Plant(
        (
            (LOOP, UPDATE, UPDATE.replace("        yield", "            LEAK.append(b'x' * 62_000)\n        yield")),
            (LOOP, "READ_EVERY_S = 1.0\n", "READ_EVERY_S = 1.0\nLEAK: list[bytes] = []\n"),
        ),
        ("rss_peak_bytes",),
    ),
    "a comment, a rename, a moved function, a new option": Plant(
        (
            (f"{TRAINING}model.py", "class ", "# a comment\nclass "),
            (f"{TRAINING}augment.py", "def draw_coin(", "def draw_a_coin("),
            (f"{TRAINING}augment.py", "1, draw_coin,", "1, draw_a_coin,"),
            (LOOP, LAP, ""),
            (LOOP, QUEUED, LAP + QUEUED),
            ("resnet18/spec/experiment.py", OPTION, "    unused_option: bool = False\n" + OPTION),
        )
    ),
}


def planted(text: str, old: str, new: str) -> str:
    """Return a file's text with a change wherever it fits; ValueError where it fits nowhere."""
    if old not in text:
        raise ValueError(f"no longer stands in the code: {old}")
    return text.replace(old, new)


def judged(plant: Plant) -> tuple[int, list[str], float]:
    """Return exit code, page and seconds of `make regress` in a clone with a change that is not committed."""
    with tempfile.TemporaryDirectory(prefix="resnet18-plant-") as name:
        clone = Path(name) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        for file, old, new in plant.edits:
            path = clone / file
            path.write_text(planted(path.read_text(encoding="utf-8"), old, new), encoding="utf-8")
        command, begun = [sys.executable, "benchmarks/suite/regress.py"], time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(clone)}
        shown = {"capture_output": True, "text": True, "preexec_fn": end_with_parent}
        done = subprocess.run(command, cwd=clone, env=environment, check=False, **shown)
        print(done.stderr, end="", file=sys.stderr)  # noqa: T201 - a script
        return done.returncode, done.stdout.splitlines(), time.perf_counter() - begun


def main() -> int:
    """Plant, judge, print; return 1 where the outcome is another than it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(PLANTS), action="append", help="this change alone; may be repeated")
    asked = parser.parse_args()
    missed = 0
    for name in asked.only or PLANTS:
        code, page, seconds = judged(PLANTS[name])
        rows = [line for line in page if line.startswith("| ") and " regression " in line]
        found = {row.split("|")[2].strip().replace("\\", "") for row in rows}
        is_right = found >= {*PLANTS[name].metrics} and code == bool(PLANTS[name].metrics) == bool(found)
        missed += not is_right
        says = [line for line in page if line.startswith(("No regression found", "**"))]
        print(f"## {name}: {'as it must be' if is_right else 'WRONG'}, exit code {code}, {seconds:.0f} s")  # noqa: T201
        print("\n".join([*says, *rows]), flush=True)  # noqa: T201
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
