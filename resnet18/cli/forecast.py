"""The command `forecast`: the peak memory of each case, and whether it fits a card."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Annotated, Any

from resnet18.cli import options as opt
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import Experiment
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import (
    FITS,
    PARTS,
    SMALL_ALLOWANCE,
    UNITS_OF,
    Forecast,
    card_bytes,
    evaluation_batch,
    large_allowance,
    training_batch,
    verdict,
)
from resnet18.spec.plan import EVERY_DEVICE, every_case, plan
from resnet18.spec.resolve import Request, resolve

MIB, GIB = 2**20, 2**30
WIDTH = 110
HEADS = {
    "case": "case",
    "peak_bytes": "peak GiB",
    "peak_bytes_without_options": "without -o",
    "training_bytes": "training",
    **{f"{part}_bytes": part for part in PARTS},
    "phase": "peak in",
    "verdict": "verdict",
}
"""Heads of the table. All bytes are shown in GiB; the parts are those of the peak."""


def forecast_command(
    files: opt.Files = None,
    scale: opt.Scale = "paper",
    memory: Annotated[
        str | None, opt.option("--memory", "SIZE", "Of the card, as in 24GiB: asks for verdicts.")
    ] = None,
    options: opt.Set = None,
) -> opt.Answer:
    """Predict the peak memory of each case, without a GPU and without data."""
    card = None if memory is None else card_bytes(memory)
    if memory is not None and card is None:
        where, units = f'--memory "{memory}"', UNITS_OF["bytes"]
        raise SpecError(where, "is no amount of memory", allowed=units, next_step="write --memory 24GiB")
    request, _ = opt.request_of(scale, None, None, options)
    benchmarks = load_benchmarks(files)
    plan(benchmarks, request, [0], EVERY_DEVICE)  # a mistake is told before torch is imported
    from resnet18.training.forecast import forecasts

    found, usual = forecasts(benchmarks, (request, Request(request.scale)))
    rows = []
    for benchmark, case in every_case(benchmarks):
        label = f"{benchmark.name}/{case.name}"
        rows.append({"case": label, **row_of(resolve(benchmark, case, request, seed=0)[0], found[label], card)})
        if request.overrides:
            before = usual[label].peak_bytes
            rows[-1] |= {"peak_bytes_without_options": before, "verdict_without_options": verdict(before, card)}
    return opt.Answer(rows, as_text(rows))


def row_of(experiment: Experiment, found: Forecast, card: float | None) -> dict[str, Any]:
    """Return the flat row of a case, without its name."""
    return {
        "verdict": verdict(found.peak_bytes, card),
        "peak_bytes": found.peak_bytes,
        "phase": found.phase,
        **{f"{part}_bytes": getattr(found, part) for part in PARTS},
        "training_bytes": found.training_bytes,
        "saved_bytes": found.saved_bytes,
        "says": "; ".join(_says(experiment, found, card)),
    }


def _says(experiment: Experiment, found: Forecast, card: float | None) -> Iterator[str]:
    fixed = f"{_size(found.weights + found.gradients + found.state)} of weights, gradients and optimizer state"
    if found.phase == "evaluation":
        images = f"to evaluate {evaluation_batch(experiment):,} images of {experiment.image_size} px"
        parts = f"{_size(found.input + found.transient)} of feature maps {images}, {fixed}"
    else:
        images = f"for {training_batch(experiment):,} images of {experiment.image_size} px"
        saved = f"{_size(found.activations + found.input)} of activations {images}"
        parts = f"{saved}, {fixed}, {_size(found.transient)} in passing"
    peak = found.peak_bytes
    yield f"{parts}: together {_size(peak)}"
    if card is not None and peak > card:
        yield f"a card of {_size(card)} cannot hold these tensors alone"
    elif card is not None:
        left = f"{_size(card - peak)} for context, workspaces and fragmentation"
        takes = f"{_size(SMALL_ALLOWANCE)} to {_size(large_allowance(peak))}"
        yield f"a card of {_size(card)} leaves {left}, which may take {takes}"


def _size(size: float) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB else f"{size / MIB:,.0f} MiB"


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a table in GiB, and below it the cases that do not clearly fit, now or without options."""
    from tabulate import tabulate

    shown = [key for key in HEADS if any(row.get(key) is not None for row in rows)]
    cells = [[_cell(row.get(key)) for key in shown] for row in rows]
    table = tabulate(cells, headers=[HEADS[key] for key in shown], tablefmt="plain", disable_numparse=True)
    if all(row["verdict"] is None for row in rows):
        return f"{table}\n\nfor verdicts name a card: --memory 24GiB"
    remarks = []
    for row in rows:
        before = row.get("verdict_without_options", row["verdict"])
        if not row["verdict"] == before == FITS:
            changed = f" (without the options {before})" if before != row["verdict"] else ""
            text = f"{row['case']}: {row['verdict']}{changed}. {row['says']}"
            remarks.append(fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))
    return "\n".join([table, *([""] if remarks else []), *remarks])


def _cell(value: object) -> str:
    return f"{value / GIB:,.2f}" if isinstance(value, int) else str(value or "")
