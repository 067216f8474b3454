"""The page of the figures."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from statistics import median
from typing import Any

from paper import MOST_MS, MOST_S, at_most_size, expected, reaches

Row = dict[str, Any]
HEAD = """# {runs:,} runs on {nodes:,} workers

Made by `make scale`; the figures are in scale.json beside this page. No run is trained: workers answer with canned
records of ten epochs, which are checked and kept like any other. Numbers are medians over n rounds with the lowest and
the highest. *Processor* is the time that this process had a processor, *wall* what a clock on the wall showed.
"""
STEPS = {
    "plan": "plan",
    "rows": "`resnet18 plan`: records and rows",
    "look": "a second `resnet18 run`: nothing to do",
    "read": "read and check the records",
    "report": "tables and claims",
    "figures": "figures",
}
SUITE = """## The suite itself

Two workloads: the lab's tables with more seeds, and one table of cases with 50 seeds each and a claim on each two
neighbours. Seconds.
"""
SIMULATED = """## Engines on a made-up cluster

Virtual time, {nodes:,} nodes of one processor; a run takes {mean_s:.0f} s (lognormal, sigma 0.5). A worker dies in
{worker_dies:.1%} of attempts; a node lives {hours:.0f} h on average (exponential), its death is seen after
{seen_s:.0f} s and another comes after {replaced_s:.0f} s. What the simulation itself takes is left out: the rest is the
engine's own: under Ray with its locks, the check of each record and its fsyncs, under Slurm, where nodes write the
records, with looking for them and reading them. Submitting with submitit, and Slurm's own programs, are left out.
"""
OUTCOMES = """What became of the runs, and when the last of them ended, in virtual hours (*ideal*: the work shared
evenly, or the longest run). Each row is one draw.
"""
REAL = """## A real Ray

{nodes} nodes of {processors} processors on this machine, {runs} runs whose task returns a canned record.
"""
PAPER = """## On paper

Work W on N workers takes between W/N and W/N + L, with L the longest run. Of attempts p end with their worker, so
p/(1 - p) losses a run; working nodes die every MTBF, so W/MTBF runs are lost with theirs. A lost run begins again: the
simulation leaves out checkpoints, from which it would go on where it comes back to its node.
"""


def page(found: Row) -> str:
    """Return the figures as markdown."""
    largest = max(row["runs"] for row in found["ray"])
    head = HEAD.format(runs=largest, nodes=found["cluster"]["nodes"])
    return "\n".join([head, *_machine(found), "", *_target(found), "", *_parts(found)])


def _parts(found: Row) -> Iterator[str]:
    cluster = found["cluster"]
    yield from (SUITE, *_suite(found["suite"]), "")
    yield from (SIMULATED.format(hours=cluster["node_mtbf_s"] / 3_600, **cluster), *_engines(found), "")
    yield from (OUTCOMES, *_outcomes(found), "")
    yield from (*_real(found["real_ray"]), "")
    yield from (PAPER, *_expected(found), "", *_files(found), "", *_limits(found), "")


def _machine(found: Row) -> Iterator[str]:
    about = found["machine"]
    yield (
        f"Machine: {about['cpu']}, {about['processors']} processors, Python {about['python']}; "
        f"load before {about['load_before']}, after {found['load_after']}."
    )


def _target(found: Row) -> Iterator[str]:
    """Say whether what was asked for is kept, for the largest number of runs."""
    for workload, rows in _largest(found["suite"]):
        of_both = [row["plan"]["cpu_s"] + row["report"]["cpu_s"] for row in rows]
        whole = [
            total + row["read"]["cpu_s"] + row["figures"]["cpu_s"] for total, row in zip(of_both, rows, strict=True)
        ]
        yield (
            f"- planner, tables and claims of {rows[0]['runs']:,} runs ({workload}), at most {MOST_S:.0f} s: "
            f"{spread(of_both, 1)} s of a processor, {_kept(of_both, MOST_S)}; with the reading of the records "
            f"and the figures {spread(whole, 1)} s"
        )
    for name, rows in _engine_rows(found):
        yield (
            f"- {name}, {rows[0]['runs']:,} runs, at most {MOST_MS:.0f} ms a run: {_costs(rows)[1]} ms on the wall, "
            f"{_kept([row['wall_ms_per_run'] for row in rows], MOST_MS)}; {_costs(rows)[0]} ms of a processor"
        )


def _largest(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    return ((workload, at_most_size(of_one)) for workload, of_one in _by(rows, "workload").items())


def _engine_rows(found: Row) -> Iterator[tuple[str, list[Row]]]:
    yield "Ray engine, made-up cluster", at_most_size(found["ray"])
    yield "Slurm engine, made-up cluster", at_most_size(found["slurm"])
    if found["real_ray"] is not None:
        yield "Ray engine, a real Ray", found["real_ray"]["rounds"]


def _kept(values: Sequence[float], limit: float) -> str:
    return "kept" if median(values) <= limit else "**missed**"


def _suite(rows: Sequence[Row]) -> Iterator[str]:
    columns = ["workload", "runs", "n", "step", "processor (s)", "wall (s)"]
    groups = [
        (workload, runs, of_size)
        for workload, of_workload in _by(rows, "workload").items()
        for runs, of_size in _by(of_workload, "runs").items()
    ]
    yield from _table(
        columns,
        (
            [workload, f"{runs:,}", str(len(of_size)), title, *(_both(of_size, step))]
            for workload, runs, of_size in groups
            for step, title in STEPS.items()
        ),
    )


def _both(rows: Sequence[Row], step: str) -> list[str]:
    return [spread([row[step][clock] for row in rows], 2) for clock in ("cpu_s", "wall_s")]


def _engines(found: Row) -> Iterator[str]:
    columns = ["engine", "runs", "n", "processor (ms a run)", "wall (ms a run)"]
    yield from _table(
        columns,
        (
            [name, f"{runs:,}", str(len(rows)), *_costs(rows)]
            for name in ("ray", "slurm")
            for runs, rows in _by(found[name], "runs").items()
        ),
    )


def _costs(rows: Sequence[Row]) -> list[str]:
    return [spread([row[f"{clock}_ms_per_run"] for row in rows], 1) for clock in ("cpu", "wall")]


def _outcomes(found: Row) -> Iterator[str]:
    columns = ["engine", "runs", "given out", "workers lost", "nodes died", "lost with nodes"]
    columns += ["files of records", "recorded once, ok", "last ended (h)", "ideal (h)", "ratio"]
    rows = [(name, row) for name in ("ray", "slurm") for row in found[name]]
    yield from _table(columns, ([name, *_outcome(row, found["cluster"])] for name, row in rows))


def _outcome(row: Row, cluster: Row) -> list[str]:
    ideal_s = expected(row, cluster)["ideal_s"]
    is_once = row["runs"] == row["records"] == row["settled"] == row["finished_ok"] and row["each_ended_once"]
    numbers = ("runs", "given_out", "workers_lost", "nodes_died", "runs_lost_with_nodes", "records")
    hours = [f"{row['last_s'] / 3_600:.2f}", f"{ideal_s / 3_600:.2f}", f"{row['last_s'] / ideal_s:.2f}"]
    return [*(f"{row[key]:,}" for key in numbers), "all" if is_once else "**not all**", *hours]


def _real(found: Row | None) -> Iterator[str]:
    if found is None:
        yield "## A real Ray\n\nNot measured: Ray is not installed."
        return
    rounds = found["rounds"]
    yield REAL.format(runs=rounds[0]["runs"], **found)
    yield from _table(["n", "processor (ms a run)", "wall (ms a run)"], [[str(len(rounds)), *_costs(rounds)]])
    yield f"\nRay takes {found['wait_ms']:.1f} ms to say that none of {found['refs']:,} tasks has come back."


def _expected(found: Row) -> Iterator[str]:
    columns = ["engine", "runs", "last ended (h): expected", "found", "workers lost: expected", "found"]
    columns += ["lost with nodes: expected", "found"]
    rows = [(name, row) for name in ("ray", "slurm") for row in at_most_size(found[name])]
    yield from _table(columns, ([name, *_beside(row, expected(row, found["cluster"]))] for name, row in rows))


def _beside(row: Row, model: Row) -> list[str]:
    return [
        f"{row['runs']:,}",
        f"{model['ideal_s'] / 3_600:.2f} to {model['most_s'] / 3_600:.2f}",
        f"{row['last_s'] / 3_600:.2f}",
        f"{model['workers_lost']:.0f}",
        str(row["workers_lost"]),
        f"{model['lost_with_nodes']:.0f}",
        str(row["runs_lost_with_nodes"]),
    ]


def _files(found: Row) -> Iterator[str]:
    counts = ", ".join(f"{name} {value:.1f}" for name, value in found["operations"].items())
    yield f"- of the file system a run under Ray asks, on the runner's side, counted: {counts}"
    for workload, rows in _largest(found["suite"]):
        size = median(row["record_bytes"] for row in rows)
        peaks = spread([row["peak_bytes"] / 1e6 for row in rows], 0)
        yield (
            f"- records of {workload}: {size:,.0f} bytes each, {size * rows[0]['runs'] / 1e6:,.0f} MB in all; the "
            f"report's process has {peaks} MB at most"
        )
    most = max(row["most_in_flight"] for row in found["ray"])
    yield f"- at most {most:,} runs were out at once, each with its lock, an open file: the engine raises that limit"


def _limits(found: Row) -> Iterator[str]:
    yield "Where it would break first, by straight lines through the processor times of the sizes above:\n"
    rows = _by(found["suite"], "workload")
    for step, title in STEPS.items():
        ends = [reaches(of_one, partial(_cpu_s, step), MOST_S) for of_one in rows.values()]
        yield f"- {title}: {MOST_S:.0f} s at {' or '.join(map(_runs, ends))} runs"
    scans = [reaches(of_one, lambda row: 2e3 * row["scan"]["cpu_s"], MOST_MS) for of_one in rows.values()]
    yield (
        f"- giving a run out, which looks twice through the folder of records: {MOST_MS:.0f} ms a run at "
        f"{' or '.join(map(_runs, scans))} records in it"
    )
    rates = [1e3 / median(row["wall_ms_per_run"] for row in of_engine) for _, of_engine in _engine_rows(found)]
    nodes = found["cluster"]["nodes"]
    yield (
        f"- the engines are one process, which takes back {min(rates):.0f} to {max(rates):.0f} runs a second here: on "
        f"{nodes:,} workers, runs shorter than {nodes / max(rates):.0f} to {nodes / min(rates):.0f} s would wait for it"
    )
    yield "- `squeue`'s own time for so many tasks is not measured: there is no Slurm here"


def _cpu_s(step: str, row: Row) -> float:
    found: float = row[step]["cpu_s"]
    return found


def _runs(number: float | None) -> str:
    return "no number of" if number is None else f"{float(f'{number:.2g}'):,.0f}"


def spread(values: Sequence[float], digits: int) -> str:
    """Return the median, with the lowest and the highest where there are several."""
    middle, low, high = (f"{one:,.{digits}f}" for one in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} [{low}, {high}]"


def _by(rows: Iterable[Row], key: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return dict(sorted(found.items()))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|" + " --- |" * len(columns)
    yield from ("| " + " | ".join(row) + " |" for row in rows)
