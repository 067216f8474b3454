"""The command `forecast`: the peak memory of each case."""

from typing import Annotated, Any

from tabulate import tabulate

from resnet18.cli import options as opt
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import memory_in_bytes
from resnet18.spec.plan import EVERY_DEVICE, plan
from resnet18.spec.resolve import Request, canonical_overrides

GIB = 2**30
CONTEXT_BYTES = 2 * GIB  # that a driver's context and the workspaces of libraries may take beside the training
LARGE_SHARE = 0.5  # share of the tensors in the large allowance. A choice, not a measurement (docs/forecast.md).
MEMORY_HELP = "Memory of a GPU, to say also which cases fit: 24GiB, or 24GB for the same, as cards are sold."
HEADS = {
    "case": "case",
    "peak_bytes": "peak GiB",
    "training_bytes": "training",
    **{f"{part}_bytes": part for part in ("weights", "gradients", "state", "activations", "input", "transient")},
    "phase": "peak in",
    "left_bytes": "left",
    "may_need_bytes": "may need",
    "verdict": "fits?",
}
"""Heads of the table. All bytes are shown in GiB; the parts are those of the peak."""


def forecast_command(
    names: opt.Names = None,
    scale: opt.Scale = "paper",
    memory: Annotated[str | None, opt.option("--memory", "SIZE", MEMORY_HELP)] = None,
    options: opt.Set = None,
) -> opt.Answer:
    """Predict the peak memory of each case, without a GPU or data."""
    try:
        card = None if memory is None else memory_in_bytes(memory)
    except ValueError as error:
        raise SpecError("--memory", str(error)) from None
    request = Request(scale, overrides=canonical_overrides(options or [], None))
    benchmarks = load_benchmarks(names)
    runs = plan(benchmarks, request, [0], EVERY_DEVICE).runs  # a mistake is told before torch is imported
    from resnet18.training.forecast import forecasts

    rows, forecast = list[dict[str, Any]](), forecasts(runs)
    for label in (f"{benchmark.name}/{case.name}" for benchmark in benchmarks for case in benchmark.cases):
        found = forecast[label]
        row = {
            "case": label,
            "verdict": None if card is None else verdict(found.peak_bytes, card),
            "peak_bytes": found.peak_bytes,
            "phase": found.phase,
            **{f"{part}_bytes": size for part, size in found.parts.items()},
            "training_bytes": found.training_bytes,
            "saved_bytes": found.saved_bytes,
        }
        if card is not None:
            row["left_bytes"] = card - found.peak_bytes
            row["may_need_bytes"] = int(large_allowance(found.peak_bytes))
        rows.append(row)
    shown = [key for key in HEADS if rows[0].get(key) is not None]
    cells = [[f"{row[key] / GIB:,.2f}" if isinstance(row[key], int) else row[key] for key in shown] for row in rows]
    table = tabulate(cells, headers=[HEADS[key] for key in shown], tablefmt="plain", disable_numparse=True)
    hint = "" if "verdict" in shown else "\n\nto see which cases fit a GPU: --memory 24GiB"
    return opt.Answer(rows, f"{table}{hint}")


def large_allowance(peak_bytes: int) -> float:
    """Return the most bytes that a process is expected to need beside tensors of this size: context, workspaces."""
    return CONTEXT_BYTES + LARGE_SHARE * peak_bytes


def verdict(peak_bytes: int, card: int) -> str:
    """Say whether tensors fit a card (bytes): `fits` with the large allowance, `out of memory` even without any."""
    if peak_bytes > card:
        return "out of memory"
    return "fits" if peak_bytes + large_allowance(peak_bytes) <= card else "unsure"
