"""How the time of one experiment falls with the number of ranks that share it."""

from dataclasses import replace

import pandas as pd

from resnet18.analysis.cells import NOTHING, missing, seconds
from resnet18.analysis.markdown import table
from resnet18.analysis.metrics import libraries, processor, train_s
from resnet18.analysis.speedup import SpeedUp, speed_up
from resnet18.analysis.tables import count_cell, measured_cell
from resnet18.analysis.view import Arm, BenchmarkView
from resnet18.records.record import Record

HEADS = ("Case", "Ranks", "Train time (s, median)", "Speed-up [95 %]", "Efficiency [95 %]", "n (seeds)")
TITLE = "Scaling over ranks (train_s, one experiment trained by several processes):"
SPEED_UP_NOTE = (
    "- Speed-up: the time of the same case with one rank, divided by this one's. Efficiency: speed-up divided by "
    "ranks; 100 % is N ranks that take one N-th of the time."
)
BATCH_NORM_NOTE = (
    "- The ranks share each batch. With local batch norm each of them normalises over its own share of it, so that "
    "results differ from one rank's."
)


def scaling_lines(view: BenchmarkView) -> list[str]:
    """Return the table of the cases with several ranks, each below its case with one, as markdown; or nothing.

    Nothing is returned of a benchmark without such cases, and of one that has no records.
    """
    groups = _groups(view)
    if not groups or not view.records:
        return []
    rows = [row for one, several in groups for row in _rows(one, several)]
    return [TITLE, "", table(pd.DataFrame(rows, columns=list(HEADS))), "", SPEED_UP_NOTE, BATCH_NORM_NOTE, ""]


def counterpart(arm: Arm, view: BenchmarkView) -> Arm | None:
    """Return the case of the same experiment that is carried out alike, but by one rank; None where there is none."""
    execution = arm.execution.model_copy(update={"ranks": 1})
    alike = (one for one in view.arms if (one.experiment, one.execution) == (arm.experiment, execution))
    return next(alike, None)


def _groups(view: BenchmarkView) -> list[tuple[Arm | None, list[Arm]]]:
    """Return the cases with several ranks, fewest first, with the one that they are compared with."""
    groups: dict[str | None, tuple[Arm | None, list[Arm]]] = {}
    for arm in view.arms:
        if arm.execution.ranks > 1:
            one = counterpart(arm, view)
            groups.setdefault(one.arm_id if one else None, (one, []))[1].append(arm)
    return [(one, sorted(several, key=lambda arm: arm.execution.ranks)) for one, several in groups.values()]


def _rows(one: Arm | None, several: list[Arm]) -> list[tuple[str, ...]]:
    rows = [_row(one, "1", "100 %")] if one else []
    return rows + [_row(arm, *_scaling(one, arm)) for arm in several]


def _row(arm: Arm, speed: str, efficiency: str) -> tuple[str, ...]:
    if not arm.measured:
        speed = efficiency = missing(arm)
    time = measured_cell(train_s, seconds, is_time=True)(arm)
    return arm.case.name, str(arm.execution.ranks), time, speed, efficiency, count_cell(arm)


def _scaling(one: Arm | None, several: Arm) -> tuple[str, str]:
    """Return speed-up and efficiency as cells; a speed-up that was refused is its reason."""
    if one is None:
        return "not computed: no such case with one rank", NOTHING
    found = speed_up(one, several, "train_s")
    if found.ratio is not None and (reason := _obstacle(one, several)) is not None:
        found = replace(found, ratio=None, interval=None, reason=reason)
    return found.text, _efficiency(found, several.execution.ranks)


def _efficiency(found: SpeedUp, ranks: int) -> str:
    """Return E = S / N in percent, S the speed-up and N the ranks, with the interval of S divided alike.

    Eager, Zahorjan and Lazowska, "Speedup versus efficiency in parallel systems", IEEE Trans. Computers 38(3), 1989.
    """
    if found.ratio is None:
        return NOTHING
    percent = f"{100 * found.ratio / ranks:.1f} %"
    if found.interval is None:
        return percent
    low, high = (100 * end / ranks for end in found.interval)
    return f"{percent} [{low:.1f}, {high:.1f}]"


def _obstacle(one: Arm, several: Arm) -> str | None:
    """Return why two times say nothing of ranks: unlike a speed-up of devices, these must come from one machine."""
    records = [record for arm in (one, several) for record in arm.measured]
    if len({processor(record) for record in records}) > 1:
        return "not computed: the machines differ"
    if len({libraries(record) for record in records}) > 1:
        return "not computed: versions of torch, CUDA or the driver differ"
    if len({_threads(record) for record in records}) > 1:
        return "not computed: threads of a rank differ"
    return None


def _threads(record: Record) -> object:
    """Return the threads of a rank where they compute; beside a GPU they only feed it."""
    numerics = record.fingerprint.numerics or {}
    return None if numerics.get("gpu_model") else numerics.get("threads")
