"""The command `forecast`: the peak memory of each case, and whether it fits a card.

A forecast counts tensors: a lower bound. Beside them a process needs the driver's context, workspaces of libraries
and room that the allocator cannot use. How much, only a run on the card tells; two allowances bound it.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Annotated, Any

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo_either, errors_reported
from resnet18.cli.request import asked
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import Experiment
from resnet18.spec.forecast import CONTEXT_BYTES, PARTS, Forecast, evaluation_batch, training_batch
from resnet18.spec.metric import UNITS_OF, card_bytes
from resnet18.spec.plan import every_case
from resnet18.spec.resolve import Request, resolve

FITS, OUT_OF_MEMORY, UNSURE = "fits", "out of memory", "unsure"
MIB, GIB = 2**20, 2**30
SMALL_ALLOWANCE = 1.3 * GIB
"""What the lab report's own process held beside tensors: `nvidia-smi` showed 2141 MiB for the case that is forecast
at 825 MiB (Adam, batch 32, 224 px; torch 1.9 with CUDA 11.1 on an RTX 3090)."""
LARGE_SHARE = 0.5
"""Share of the tensors in the large allowance, beside 2 GiB for context and libraries. A choice, not a measurement.

Workspaces and waste grow with the batch. Winograd's transform of 4x4 tiles, 36/16 of a 3x3 convolution's input and
output, would take 16 % of the tensors at 224 px; the share is three times that. The report bounds it from above: batch
512 ran on a card of 24 GiB, so there all that is no tensor took less than 122 % of 10.8 GiB. An algorithm whose
workspace does not fit is no failure yet: torch tries cuDNN's next one (pytorch/pytorch#49207).
"""
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
    memory: Annotated[str | None, typer.Option("--memory", help="Of the card, as in 24GiB: asks for verdicts.")] = None,
    scale: opt.Scale = "paper",
    options: opt.Set = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Predict the peak memory of each case, without a GPU and without data."""
    with errors_reported(debug):
        card = None if memory is None else card_bytes(memory)
        if memory is not None and card is None:
            where, units = f'--memory "{memory}"', UNITS_OF["bytes"]
            raise SpecError(where, "is no amount of memory", allowed=units, next_step="write --memory 24GiB")
        wanted = asked(files, scale, 1, None, None, options)
        from resnet18.training.forecast import forecasts  # torch: a mistake above is answered without it

        request = wanted.request
        found, usual = forecasts(wanted.benchmarks, (request, Request(request.scale)))
        rows = []
        for benchmark, case in every_case(wanted.benchmarks):
            label = f"{benchmark.name}/{case.name}"
            rows.append({"case": label, **row_of(resolve(benchmark, case, request, seed=0)[0], found[label], card)})
            if request.overrides:
                before = usual[label].peak_bytes
                rows[-1] |= {"peak_bytes_without_options": before, "verdict_without_options": verdict(before, card)}
        echo_either(rows, as_text(rows), as_json=as_json)


def large_allowance(peak_bytes: int) -> float:
    """Return the most bytes that a process is expected to need beside tensors of this size."""
    return CONTEXT_BYTES + LARGE_SHARE * peak_bytes


def verdict(peak_bytes: int, card: float | None) -> str | None:
    """Say whether tensors fit a card (bytes): `fits` with the large allowance, `out of memory` without any.

    Between the two it is `unsure`; without a card there is no verdict.
    """
    if card is None:
        return None
    if peak_bytes > card:
        return OUT_OF_MEMORY
    return FITS if peak_bytes + large_allowance(peak_bytes) <= card else UNSURE


def row_of(experiment: Experiment, found: Forecast, card: float | None) -> dict[str, Any]:
    """Return the flat row of a case, without its name."""
    return {
        "verdict": verdict(found.peak_bytes, card),
        "peak_bytes": found.peak_bytes,
        "phase": found.phase,
        **{f"{part}_bytes": getattr(found, part) for part in PARTS},
        "training_bytes": found.training_bytes,
        "saved_bytes": found.saved_bytes,
        "says": _parts(experiment, found) + ("" if card is None else f"; {_beside(found.peak_bytes, card)}"),
    }


def _parts(experiment: Experiment, found: Forecast) -> str:
    fixed = f"{_size(found.weights + found.gradients + found.state)} of weights, gradients and optimizer state"
    size, total = f"of {experiment.image_size} px", f"together {_size(found.peak_bytes)}"
    if found.phase == "evaluation":
        maps = _size(found.input + found.transient)
        images = f"{evaluation_batch(experiment):,} images"
        return f"{maps} of feature maps to evaluate {images} {size}, {fixed}: {total}"
    saved = f"{_size(found.activations + found.input)} of activations for {training_batch(experiment):,} images"
    return f"{saved} {size}, {fixed}, {_size(found.transient)} in passing: {total}"


def _beside(peak_bytes: int, card: float) -> str:
    if peak_bytes > card:
        return f"a card of {_size(card)} cannot hold these tensors alone"
    return (
        f"a card of {_size(card)} leaves {_size(card - peak_bytes)} for context, workspaces and fragmentation, "
        f"which may take {_size(SMALL_ALLOWANCE)} to {_size(large_allowance(peak_bytes))}"
    )


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
