"""What a simple model expects, and where the design would break first: from the figures alone, no measuring here."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

Row = dict[str, Any]
MOST_S = 10.0
"""That planning, or tables and claims, may take."""
MOST_MS = 50.0
"""That the engine may take a run."""


def at_most_size(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the largest number of runs."""
    most = max(row["runs"] for row in rows)
    return [row for row in rows if row["runs"] == most]


def line_of(rows: Sequence[Row], value: Callable[[Row], float]) -> tuple[float, float]:
    """Return intercept and slope of the least-squares line through the medians of a value by number of runs."""
    sizes = sorted({row["runs"] for row in rows})
    ys = [median(value(row) for row in rows if row["runs"] == size) for size in sizes]
    middle_x, middle_y = sum(sizes) / len(sizes), sum(ys) / len(ys)
    across = sum((x - middle_x) ** 2 for x in sizes)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in zip(sizes, ys, strict=True)) / across if across else 0.0
    return middle_y - slope * middle_x, slope


def reaches(rows: Sequence[Row], value: Callable[[Row], float], limit: float) -> float | None:
    """Return the number of runs at which a value would reach a limit; None where it does not grow."""
    start, slope = line_of(rows, value)
    return (limit - start) / slope if slope > 0 else None


def expected(row: Row, cluster: Row) -> Row:
    """Return what is expected of a simulated plan.

    Work is W, nodes N, the longest run L. N nodes that are never idle take W/N; the last runs end up to L later. A
    worker dies in a share p of all attempts; a node that works dies every MTBF, so W/MTBF runs are lost with theirs.
    """
    share = row["worked_s"] / row["nodes"]
    p = cluster["worker_dies"]
    return {
        "ideal_s": max(share, row["longest_s"]),
        "most_s": share + row["longest_s"],
        "workers_lost": row["runs"] * p / (1 - p),
        "lost_with_nodes": row["worked_s"] / cluster["node_mtbf_s"],
    }
