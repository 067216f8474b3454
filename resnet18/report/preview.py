"""What is said before runs begin: for each table how many there are, how many are recorded, and how long they take."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from resnet18.spec.benchmark import Benchmark
from resnet18.spec.plan import NotPlanned, Plan, Run
from resnet18.spec.printed import duration
from resnet18.tables.estimate import Estimate

BY_RULE = "rule of thumb: "
WELL_UNDER_A_MINUTE_S = 30.0
"""The rule of thumb may be wrong by a factor of two."""


@dataclass(frozen=True)
class Preview:
    """What is known before the runs."""

    benchmarks: tuple[Benchmark, ...]
    plan: Plan
    done: frozenset[str]
    """Ids of runs that need no attempt, as far as the data are the same."""
    estimate: Estimate
    """Of the others."""
    briefly_s: Mapping[str, float] = field(default_factory=dict)
    """By run, where the rule of thumb says that all take less than a minute, and nothing was timed."""
    jobs: int = 1
    """Runs at a time, but for timed ones."""

    def pending(self, runs: Iterable[Run]) -> list[Run]:
        """Return the runs without a record."""
        return [run for run in runs if run.run_id not in self.done]

    def briefly(self, runs: Iterable[Run]) -> str:
        """Return how long runs take by the rule of thumb, empty where there is something better than that."""
        if not self.briefly_s:
            return ""
        seconds = sum(self.briefly_s[run.run_id] for run in runs)
        return f"{BY_RULE}{'under' if seconds < WELL_UNDER_A_MINUTE_S else 'about'} a minute"


def preview_rows(preview: Preview) -> list[dict[str, Any]]:
    """Return one flat row for each table of which anything is asked for, and a last one, without a name, for them all.

    Shared runs count once in that.
    """
    tables = {one.name: one for one in preview.benchmarks}
    rows = [_row(preview, name, _runs(preview.plan, name), list(_absent(preview.plan, name))) for name in tables]
    asked_for = [row for row in rows if row["runs"] or row["not_planned"]]
    return [*asked_for, _row(preview, None, preview.plan.runs, list(preview.plan.not_planned))]


def _row(preview: Preview, name: str | None, runs: tuple[Run, ...], absent: list[NotPlanned]) -> dict[str, Any]:
    pending = preview.pending(runs)
    beside_others = sum(not run.is_timed for run in pending)
    at_a_time = max(1, min(preview.jobs, beside_others))
    return {
        "benchmark": name,
        "runs": len(runs),
        "recorded": len(runs) - len(pending),
        "not_planned": len(absent),
        "reasons": list(dict.fromkeys(one.reason for one in absent)),
        "at_a_time": at_a_time,
        "alone": len(pending) if at_a_time == 1 else len(pending) - beside_others,
        "seconds": preview.estimate.total_s(pending, preview.jobs),
        "basis": preview.briefly(pending) or preview.estimate.described or None,
    }


def preview_text(preview: Preview) -> str:
    """Return a line for each table, and one for all of them where there are several."""
    rows = preview_rows(preview)
    names = {one.name: _title(one) for one in preview.benchmarks}
    *tables, everything = rows
    basis = preview.estimate.described
    if len(tables) == 1:
        return _line(preview, names[tables[0]["benchmark"]], tables[0], basis)
    return "\n".join(
        [*(_line(preview, names[row["benchmark"]], row) for row in tables), _line(preview, "In all", everything, basis)]
    )


def _line(preview: Preview, title: str, row: dict[str, Any], basis: str = "") -> str:
    parts = [f"{row['runs']} run{'' if row['runs'] == 1 else 's'}"]
    if row["recorded"]:
        parts.append(f"{row['recorded']} recorded")
    if row["not_planned"]:
        parts.append(f"{row['not_planned']} not planned ({', '.join(row['reasons'])})")
    return f"{title}: {', '.join(parts)}{_time(preview, row, basis)}"


def _time(preview: Preview, row: dict[str, Any], basis: str) -> str:
    if row["recorded"] == row["runs"]:
        return "; nothing is left to run" if row["runs"] else ""
    if preview.briefly_s:
        return f"; {row['basis'].removeprefix(BY_RULE)}"
    if row["seconds"] is None:
        return "; nobody knows yet how long"
    parts = [f"about {duration(row['seconds'])} here"]
    if row["at_a_time"] > 1:  # nobody knows how much they slow each other down
        parts = [f"at best {parts[0]}", f"{row['at_a_time']} at a time"]
        parts += ["timed runs alone"] if row["alone"] else []
    return f"; {', '.join([*parts, basis] if basis else parts)}"


def _title(benchmark: Benchmark) -> str:
    table = benchmark.source.rpartition(", ")[2]
    return f"{table} ({benchmark.name})" if table.startswith("Table ") else benchmark.name


def _runs(plan: Plan, name: str) -> tuple[Run, ...]:
    return tuple(run for run in plan.runs if any(label.startswith(f"{name}/") for label in run.labels))


def _absent(plan: Plan, name: str) -> Iterator[NotPlanned]:
    return (one for one in plan.not_planned if one.label.startswith(f"{name}/"))
