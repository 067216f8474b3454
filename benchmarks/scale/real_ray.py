"""The Ray engine on a real Ray whose tasks do nothing: prints JSON.

python benchmarks/scale/real_ray.py RUNS ROUNDS
"""

import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import noop
from canned import SEEDS, one_table
from engine_runs import outcome, session_in, standing_in

from resnet18.execution.engines import ray_engine
from resnet18.execution.engines.engine import Claim
from resnet18.execution.engines.ray_engine import RayEngine

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODES, PROCESSORS = 3, 2
REFS = 2_000
"""As many as the engine waits for at once."""


def round_of(folder: Path, runs: int) -> dict[str, Any]:
    """Return what a plan of so many runs takes, from the first that is handed in to the last that is kept."""
    import ray  # noqa: PLC0415 - an extra that may not be installed

    _, planned = one_table(folder, runs)
    session = session_in(folder)
    start = time.perf_counter(), time.process_time()
    with RayEngine(session, ray, Claim(cpus=1), None) as engine, session.progress.of(planned.runs):
        for run in planned.runs:
            engine.submit(run)
        finished = [engine.wait() for _ in planned.runs]
    wall_s, cpu_s = time.perf_counter() - start[0], time.process_time() - start[1]
    each = 1e3 / len(planned.runs)
    spent = {"wall_ms_per_run": each * wall_s, "cpu_ms_per_run": each * cpu_s}
    return {"runs": len(planned.runs), **spent, **outcome(planned, session.store, finished)}


def wait_ms() -> float:
    """Return how long Ray takes to say that none of so many tasks has come back, in ms."""
    import ray  # noqa: PLC0415 - an extra that may not be installed

    never = ray.remote(num_cpus=64)(noop.on_a_node)
    refs = [never.remote("") for _ in range(REFS)]
    start = time.perf_counter()
    for _ in range(20):
        ray.wait(refs, num_returns=len(refs), timeout=0)
    took = 1e3 * (time.perf_counter() - start) / 20
    for ref in refs:
        ray.cancel(ref)
    return took


def measured(runs: int, rounds: int) -> dict[str, Any]:
    """Start a cluster on this machine, and measure."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), str(ROOT), os.environ.get("PYTHONPATH", "")])
    sys.path.insert(0, str(ROOT / "tests"))
    from engines.loopback import loopback  # noqa: PLC0415 - it needs Ray

    with tempfile.TemporaryDirectory() as name, standing_in(ray_engine, "on_a_node", noop.on_a_node):
        folder = Path(name)
        with loopback(folder / "cluster", nodes=NODES, cpus=PROCESSORS):
            results = []
            for number in range(rounds + 1):  # the first starts the workers
                of_round = folder / f"round{number}"
                of_round.mkdir()
                results.append(round_of(of_round, runs if number else SEEDS))
            return {"nodes": NODES, "processors": PROCESSORS, "rounds": results[1:], "refs": REFS, "wait_ms": wait_ms()}


if __name__ == "__main__":
    if importlib.util.find_spec("ray") is None:
        print("null")  # noqa: T201 - read by the program that starts it
    else:
        print(json.dumps(measured(int(sys.argv[1]), int(sys.argv[2]))))  # noqa: T201 - the same
