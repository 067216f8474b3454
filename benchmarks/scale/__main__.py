"""`make scale`: 10,000 runs on 1,000 workers, some of which die: what the suite takes, and what becomes of each run.

    python benchmarks/scale [--rounds N] [--to FOLDER]

Nothing is trained. Writes scale.json (the figures) and scale.md (a page of them).
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from canned import WORKLOADS
from cluster import Faults
from engine_runs import under_ray, under_slurm
from filesystem import operations
from scale_page import page

from resnet18.measure.processor import cpu_model

HERE = Path(__file__).parent
SIZES = (1_000, 3_000, 10_000)
NODES = 1_000
MEAN_S = 600.0
"""Of a run, in virtual time."""
REAL_RUNS = 200
Row = dict[str, Any]


def started(script: str, *arguments: object) -> Any:  # noqa: ANN401 - any JSON value
    """Return what a script beside this one prints, run in a process of its own."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def suite(folder: Path, sizes: tuple[int, ...], rounds: int) -> Iterator[Row]:
    """Yield what planning, reading and reporting take, by workload and number of runs."""
    for number, workload in enumerate(WORKLOADS):
        for runs in sizes:
            kept = folder / f"suite{number}-{runs}"
            for _ in range(rounds):
                yield started("suite_costs.py", workload, runs, kept)
            shutil.rmtree(kept)


def simulated(folder: Path, under: Callable[..., Row], sizes: tuple[int, ...], rounds: int) -> Iterator[Row]:
    """Yield what an engine takes on a made-up cluster, and what becomes of the runs; each round draws anew.

    Only the largest number of runs has several rounds.
    """
    for runs in sizes:
        for seed in range(rounds if runs == max(sizes) else 1):
            of_round = folder / f"{under.__name__}{runs}-{seed}"
            of_round.mkdir()
            yield under(of_round, runs, NODES, MEAN_S, Faults(), seed)
            shutil.rmtree(of_round)


def machine() -> Row:
    """Return where this was measured."""
    return {
        "cpu": cpu_model(),
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def figures(folder: Path, sizes: tuple[int, ...], rounds: int) -> Iterator[tuple[str, Any]]:
    """Yield each part of the figures, by name."""
    yield "machine", machine()
    yield "cluster", {"nodes": NODES, "mean_s": MEAN_S, **asdict(Faults())}
    yield "operations", operations()
    yield "real_ray", started("real_ray.py", REAL_RUNS, rounds)
    yield "suite", list(suite(folder, sizes, rounds))
    yield "slurm", list(simulated(folder, under_slurm, sizes, rounds))
    yield "ray", list(simulated(folder, under_ray, sizes, rounds))
    yield "load_after", round(os.getloadavg()[0], 2)


def main() -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of runs, multiples of 50")
    parser.add_argument("--to", type=Path, default=Path("results/local"), help="folder for scale.json and scale.md")
    asked = parser.parse_args()
    found: Row = {}
    asked.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.to) as name:  # on the disk that results are on
        for part, value in figures(Path(name), tuple(asked.sizes), asked.rounds):
            found[part] = value
            (asked.to / "scale.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(part, flush=True)  # noqa: T201 - a script
    (asked.to / "scale.md").write_text(page(found), encoding="utf-8")
    print(page(found))  # noqa: T201 - a script
    return 0


if __name__ == "__main__":
    sys.exit(main())
