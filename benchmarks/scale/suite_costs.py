"""What the suite itself takes for many runs, in a process of its own: prints JSON.

python benchmarks/scale/suite_costs.py WORKLOAD RUNS FOLDER
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from canned import IDENTITY, WORKLOADS, fill

from resnet18.analysis import contents
from resnet18.analysis.report import render_report
from resnet18.execution.listing import plan_rows
from resnet18.execution.runner import settled_runs
from resnet18.records.store import Store, last_attempts
from resnet18.spec.benchmark import Benchmark

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Return what work returns, and the seconds that it took: on the wall, and of the processor."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    result = work()
    return result, {"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s}


def peak_bytes() -> int:
    """Return the largest resident set that this process has had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def reported(benchmarks: tuple[Benchmark, ...], store: Store) -> dict[str, dict[str, float]]:
    """Return what reading the records takes, what drawing figures does, and what tables and claims do."""
    drawn = {"wall_s": 0.0, "cpu_s": 0.0}

    def with_a_clock(draw: Callable[..., T]) -> Callable[..., T]:
        def draw_timed(*arguments: object) -> T:
            figures, took = timed(lambda: draw(*arguments))
            drawn.update({clock: drawn[clock] + took[clock] for clock in drawn})
            return figures

        return draw_timed

    for name in ("figures_of", "predictions_of"):
        setattr(contents, name, with_a_clock(getattr(contents, name)))
    readings, read_took = timed(store.read)
    _, all_took = timed(lambda: render_report(benchmarks, readings))
    return {"read": read_took, "figures": drawn, "report": {clock: all_took[clock] - drawn[clock] for clock in drawn}}


def costs(workload: str, runs: int, folder: Path) -> dict[str, Any]:
    """Return seconds of each step for a plan of so many recorded runs.

    Args:
        workload: one of `WORKLOADS`.
        runs: at least so many.
        folder: for the results; kept records are read, not made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (benchmarks, planned), plan_took = timed(lambda: WORKLOADS[workload](folder, runs))
    store = Store(folder / "results")
    if not store.folder.is_dir():
        fill(store, planned)
    before = peak_bytes()
    took = reported(benchmarks, store)
    peak = peak_bytes()
    settled, look_took = timed(lambda: settled_runs(planned, last_attempts(store.read().records), IDENTITY))
    _, rows_took = timed(lambda: plan_rows(planned, store.read().records, {}))
    _, scan_took = timed(lambda: [store.attempts(run.run_id) for run in planned.runs[:20]])
    return {
        "workload": workload, "runs": len(planned.runs), "settled": len(settled),
        "plan": plan_took, **took, "look": look_took, "rows": rows_took,
        "scan": {key: value / 20 for key, value in scan_took.items()},
        "peak_bytes": peak, "peak_bytes_before": before,
        "record_bytes": sum(path.stat().st_size for path in store.folder.iterdir()) / len(planned.runs),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(costs(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))  # noqa: T201 - read by the program that starts it
