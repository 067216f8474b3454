"""Forecasts of memory for people and for programs, and whether a case fits a card.

A forecast counts tensors: a lower bound. Beside them a process needs the driver's context, workspaces of libraries
and room that the allocator cannot use. How much, only a run on the card tells; two allowances bound it.
"""

from collections.abc import Collection, Mapping, Sequence
from textwrap import fill
from typing import Any

from tabulate import tabulate

from resnet18.audit.memory import AS_SOLD, BESIDE
from resnet18.audit.reading import UNITS_OF
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import Experiment
from resnet18.spec.forecast import PARTS, Forecast, evaluation_batch, training_batch
from resnet18.spec.plan import every_case
from resnet18.spec.printed import parse_printed
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


def card_bytes(text: str) -> float:
    """Return the bytes of the card that `24GiB`, `24 GB` or `24576 MiB` describes: 24 GB are sold as 24 GiB.

    Raises:
        SpecError: no amount of memory above 0.
    """
    printed = parse_printed(text)
    if printed is None or printed.is_approximate or printed.unit not in UNITS_OF["bytes"] or printed.value <= 0:
        raise SpecError(
            f'--memory "{text}"', "is no amount of memory", allowed=UNITS_OF["bytes"], next_step="write --memory 24GiB"
        )
    return printed.value * AS_SOLD.get(printed.unit, 1.0)


def allowance(peak_bytes: int) -> tuple[float, float]:
    """Return the small and the large allowance beside tensors of this size, in bytes."""
    return SMALL_ALLOWANCE, BESIDE + LARGE_SHARE * peak_bytes


def memory_verdict(peak_bytes: int, card: float) -> str:
    """Return `out of memory` where the tensors alone are too large, `fits` where the large allowance fits beside them.

    Between the two it is `unsure`.
    """
    if peak_bytes > card:
        return OUT_OF_MEMORY
    return FITS if peak_bytes + allowance(peak_bytes)[1] <= card else UNSURE


def forecast_rows(
    benchmarks: Collection[Benchmark],
    request: Request,
    found: tuple[Mapping[str, Forecast], Mapping[str, Forecast]],
    card: float | None,
) -> list[dict[str, Any]]:
    """Return one flat row for each case, in the order of the files.

    Args:
        benchmarks: the tables.
        request: what was asked for.
        found: the forecasts by `benchmark/case`: under the request, and without its options.
        card: its memory in bytes; without one, verdicts are None.
    """
    asked_for, as_written = found
    rows = []
    for benchmark, case in every_case(benchmarks):
        label = f"{benchmark.name}/{case.name}"
        experiment, _ = resolve(benchmark, case, request, seed=0)
        rows.append({"case": label, **_row(experiment, asked_for[label], card)})
        if request.overrides:
            before = as_written[label].peak_bytes
            rows[-1] |= {"peak_bytes_without_options": before, "verdict_without_options": _verdict(before, card)}
    return rows


def _row(experiment: Experiment, one: Forecast, card: float | None) -> dict[str, Any]:
    return {
        "verdict": _verdict(one.peak_bytes, card),
        "peak_bytes": one.peak_bytes,
        "phase": one.phase,
        **{f"{part}_bytes": getattr(one, part) for part in PARTS},
        "training_bytes": one.training_bytes,
        "saved_bytes": one.saved_bytes,
        "says": _parts(experiment, one) + ("" if card is None else f"; {_beside(one.peak_bytes, card)}"),
    }


def _verdict(peak_bytes: int, card: float | None) -> str | None:
    return None if card is None else memory_verdict(peak_bytes, card)


def _parts(experiment: Experiment, one: Forecast) -> str:
    """Return what the peak is made of, in words."""
    fixed = f"{_size(one.weights + one.gradients + one.state)} of weights, gradients and optimizer state"
    size, total = f"of {experiment.image_size} px", f"together {_size(one.peak_bytes)}"
    if one.phase == "evaluation":
        maps = f"{_size(one.input + one.transient)} of feature maps to evaluate {evaluation_batch(experiment):,} images"
        return f"{maps} {size}, {fixed}: {total}"
    saved = f"{_size(one.activations + one.input)} of activations for {training_batch(experiment):,} images"
    return f"{saved} {size}, {fixed}, {_size(one.transient)} in passing: {total}"


def _beside(peak_bytes: int, card: float) -> str:
    """Return what a card leaves beside the tensors, and what may be needed there."""
    if peak_bytes > card:
        return f"a card of {_size(card)} cannot hold these tensors alone"
    small, large = allowance(peak_bytes)
    return (
        f"a card of {_size(card)} leaves {_size(card - peak_bytes)} for context, workspaces and fragmentation, "
        f"which may take {_size(small)} to {_size(large)}"
    )


def forecast_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a table in GiB; below it, why cases do not clearly fit, and which verdicts options changed."""
    shown = [key for key in HEADS if any(row.get(key) is not None for row in rows)]
    cells = [[_cell(row.get(key)) for key in shown] for row in rows]
    table = tabulate(cells, headers=[HEADS[key] for key in shown], tablefmt="plain", disable_numparse=True)
    if all(row["verdict"] is None for row in rows):
        return f"{table}\n\nfor verdicts name a card: --memory 24GiB"
    remarks = []
    for row in rows:
        before = row.get("verdict_without_options", row["verdict"])
        if row["verdict"] != FITS or before != FITS:
            changed = f" (without the options {before})" if before != row["verdict"] else ""
            remarks.append(_wrapped(f"{row['case']}: {row['verdict']}{changed}. {row['says']}"))
    return "\n".join([table, *([""] if remarks else []), *remarks])


def _cell(value: object) -> str:
    return f"{value / GIB:,.2f}" if isinstance(value, int) else str(value or "")


def _size(size: float) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB else f"{size / MIB:,.0f} MiB"


def _wrapped(text: str) -> str:
    return fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
