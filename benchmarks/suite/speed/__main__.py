"""`make speed`: the fast path against two loops written as their authors would have, in turns.

    python benchmarks/suite/speed [--only WORKLOAD]... [--rounds N] [--to FOLDER]

Each side has a process of its own; while one trains, the other waits. Rates are for information; ratios travel.
Writes the figures and a page of them, CLASS.json and CLASS.md: the class of machine is amx, avx512, avx2 or other.
To measure as on a machine with AVX2 alone: ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
MKL_ENABLE_INSTRUCTIONS=AVX2 RESNET18_NATIVE=avx2 make speed
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path

import torch
from compare import compare
from growth import VALUES, growth
from page import page
from workloads import WORKLOADS, bytes_per_image, chosen, flops_per_image, machine_class

from resnet18.measure.devices import cpu_flags, cpu_model, emulates_bf16, onednn_setting

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
SIDE = 2048
"""Of the matrices whose product shows the processor's rate."""
COPIED = 1 << 28
"""Bytes of the tensor whose copy shows the memory's rate."""
OVERHEAD_ROUNDS = 40
LIMITS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "RESNET18_NATIVE")
"""Variables that keep both sides from newer instructions."""


def machine(precisions: Collection[str]) -> dict[str, object]:
    """Return what the figures depend on beside the code, and this machine's own peaks with all threads."""
    return {
        "class": machine_class(cpu_flags(), onednn_setting("MAX_CPU_ISA")),
        "limits": {name: os.environ[name] for name in LIMITS if name in os.environ},
        "commit": commit(),
        "cpu": cpu_model(),
        "processors": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "matmul_flop_per_s": {name: _matmul_peak(dtype) for name, dtype in DTYPES.items() if name in precisions},
        "memory_bytes_per_s": _memory_peak(),
    }


def commit() -> str:
    """Return the commit of the code that is measured, with a + where files differ from it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--abbrev=7"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _best_s(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _matmul_peak(dtype: torch.dtype) -> float:
    a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    return 2 * SIDE**3 / _best_s(lambda: a @ b)


def _memory_peak() -> float:
    """Return bytes/s that are read and written together."""
    here, there = (torch.zeros(COPIED, dtype=torch.uint8) for _ in range(2))
    return 2 * COPIED / _best_s(lambda: there.copy_(here))


def row(name: str, rounds: int, about: dict[str, object]) -> dict[str, object]:
    """Measure one workload."""
    workload = WORKLOADS[name]
    found = compare(workload, rounds)
    flops = found.fast_rate * flops_per_image(workload) / about["matmul_flop_per_s"][workload.precision]
    moved = found.fast_rate * bytes_per_image(workload, found.parameters) / about["memory_bytes_per_s"]
    return {
        "workload": name, **asdict(workload), "target": workload.targets.get(about["class"]), **asdict(found),
        "matmul_share": flops, "memory_share": moved,
    }  # fmt: skip


def main() -> int:
    """Print the figures as they come, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=WORKLOADS, help="measure this workload and no growth")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--to", type=Path, default=Path("results/local"), help="folder of both files")
    options = parser.parse_args()
    names, skipped = chosen(options.only, emulates_bf16=emulates_bf16())
    if skipped:
        why = "this processor emulates bf16, which would take hours; to measure one all the same: --only WORKLOAD"
        print(f"left out: {'; '.join(skipped)} ({why})", flush=True)  # noqa: T201 - a script
    print("measuring the processor's and the memory's own rates", flush=True)  # noqa: T201 - a script
    about = machine({WORKLOADS[name].precision for name in names})
    found: dict[str, object] = {"machine": about, "workloads": [], "overhead": None, "growth": []}
    print(json.dumps(about), flush=True)  # noqa: T201 - a script
    for name in names:
        measured = row(name, options.rounds, about)
        found["workloads"].append(measured)
        print(f"{name}: {measured['fast_rate']:.1f} images/s, {measured['ratio']}", flush=True)  # noqa: T201 - a script
    if not options.only:
        bare = WORKLOADS["32px, fp32" if skipped else "32px"]
        found["overhead"] = asdict(compare(bare, OVERHEAD_ROUNDS, ("suite", "bare")).ratio)
        found["growth"] = [
            asdict(axis) | {"slope_s": axis.slope_s, "exponent": axis.exponent} for axis in map(growth, VALUES)
        ]
    options.to.mkdir(parents=True, exist_ok=True)
    (options.to / f"{about['class']}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (options.to / f"{about['class']}.md").write_text(page(found), encoding="utf-8")
    print(page(found))  # noqa: T201 - a script
    return 0


if __name__ == "__main__":
    sys.exit(main())
