"""The page of the figures."""

from typing import Any

from tabulate import tabulate

HEAD = """# Speed on a processor with {instructions}

Made by `make speed`; the figures are in {name}.json beside this page. Each row sets the fast path beside a reference
loop on the same machine, in turns: *ratio* is the geometric mean over n rounds, with a 95 % interval. Absolute rates
are those of this machine on that day. `lab` is the loop that the lab report describes, `kuangliu-style` that of a
widely used repository (benchmarks/suite/speed/loops.py); both train in fp32, one PIL image at a time.
"""
INSTRUCTIONS = {
    "amx": "AMX tiles",
    "avx512": "AVX-512, without AMX tiles",
    "avx2": "AVX2 and nothing newer",
    "other": "neither AVX2 nor AVX-512",
}
COLUMNS = (
    "workload",
    "precision",
    "against",
    "loop (images/s)",
    "fast path (images/s)",
    "ratio",
    "target",
    "n",
    "of matmul peak",
    "of memory peak",
    "waiting for images",
    "peak memory (MB)",
)
NOTES = """
- *of matmul peak*: operations of forward and backward, as torch counts them on the reference network, by this machine's
  best rate of a 2048 x 2048 product in the same precision. Kernel taps that only ever see padding count as work here,
  though the fast path leaves them out.
- *of memory peak*: the least that must move without caches (saved activations written and read once, the optimizer's
  passes over the parameters) by the rate of a large copy. More than 100 % means that caches served part of it.
- *waiting for images*: share of the training time in which images are drawn, cropped and converted.
- *peak memory*: resident set of the fast path's process, with torch, torchvision and the embedded data; of two jobs the
  larger.
"""


def page(found: dict[str, Any]) -> str:
    """Return the figures as markdown."""
    about = found["machine"]
    rows = [_cells(workload) for workload in found["workloads"]]
    parts = [
        HEAD.format(name=about["class"], instructions=INSTRUCTIONS[about["class"]]),
        f"{_machine(about)}\n",
        tabulate(rows, COLUMNS, "github", disable_numparse=True),
        NOTES,
    ]
    if found["overhead"]:
        cost = {key: 100 * (found["overhead"][key] - 1) for key in ("value", "low", "high")}
        parts.append(
            "What the suite adds to a bare loop over the same steps (32px; clock, positions, checks): "
            f"{cost['value']:+.2f} % of the rate [{cost['low']:+.2f}, {cost['high']:+.2f}] "
            f"(n = {found['overhead']['rounds']} rounds).\n"
        )
    if found["growth"]:
        rows = [
            [
                axis["axis"],
                ", ".join(map(str, axis["values"])),
                ", ".join(f"{seconds:.1f}" for seconds in axis["seconds"]),
                f"{axis['slope_s']:.3g}",
                f"{axis['exponent']:.2f}",
            ]
            for axis in found["growth"]
        ]
        parts += [
            "How `resnet18 run` grows, from its start to its report (500 images, 1 epoch, 1 run where not varied):\n",
            tabulate(rows, ("axis", "values", "seconds", "each adds (s)", "exponent"), "github", disable_numparse=True),
            "\n*exponent*: of the time beyond the fixed part, from the last value but one to the last.\n",
        ]
    return "\n".join(parts)


def _machine(about: dict[str, Any]) -> str:
    rates = ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {name}" for name, rate in about["matmul_flop_per_s"].items())
    limits = ", ".join(f"{name}={value}" for name, value in about["limits"].items())
    limited = f" Newer instructions were switched off, on both sides, by {limits}." if limits else ""
    return (
        f"Commit {about['commit']}. Machine: {about['cpu']}, {about['processors']} processors, "
        f"{about['threads']} threads, torch {about['torch']}, Python {about['python']}; matrix product {rates}; "
        f"copy {about['memory_bytes_per_s'] / 1e9:.0f} GB/s; load before {about['load_before']}.{limited}"
    )


def _cells(row: dict[str, Any]) -> list[str]:
    ratio = row["ratio"]
    return [
        row["workload"],
        row["precision"],
        row["loop"],
        f"{row['reference_rate']:.1f}",
        f"{row['fast_rate']:.1f}",
        f"{ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]",
        "" if row["target"] is None else f"{row['target']:.3g}",
        str(ratio["rounds"]),
        f"{100 * row['matmul_share']:.0f} %",
        f"{100 * row['memory_share']:.0f} %",
        f"{100 * row['data_wait_share']:.1f} %",
        f"{row['fast_peak_bytes'] / 1e6:,.0f}",
    ]
