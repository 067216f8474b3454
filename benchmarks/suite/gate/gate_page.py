"""The page of the simulated checks."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Row = dict[str, Any]
HEAD = """# The gate, simulated

Made by `python benchmarks/suite/gate`; the figures are in gate.json beside this page. Checks are made up, judged as
`resnet18 check` judges, and counted; in brackets Wilson's 95 % interval.
"""
SIZES = """## Other numbers of seeds

No code changed; alarms of a whole check, %; one run's time 3 %.
"""
EDGE = """## Costs that grow by just what is overlooked, in all cases

The most that is still to be overlooked: alarms in times and in memory, %.
"""
RULES = """## Other ways to judge accuracies

Alarms of a whole check where no code changed, %.
"""
FOUND = """What they find in the first case, % of checks.
"""
LEVELS = """Rate inside (`false_alarm_rate`) with which a check has the declared one, %, by how accuracies are judged.
"""
GIVEN = """## One baseline, many heads

A baseline is drawn once and judges many heads. Its own rate of false alarms in accuracy (normal noise, three cases), %.
"""
POWER = """## Chance to find a change of the first of three cases

% of checks, by seeds of the head (pairs for costs), the baseline has twice as many.
"""
NEEDED = """## Seeds needed

Calculated for normal noise; in brackets what was found with so many seeds, % of checks.
"""


def page(found: Row) -> str:
    """Return the figures as markdown."""
    return "\n".join([HEAD, *_summary(found), "", *_quiet(found["quiet"], _declared(found)), "", *_rest(found)])


def _rest(found: Row) -> Iterator[str]:
    yield from (POWER, *_power(found["power"]), "")
    yield from (NEEDED, *_needed(found["needed"]), "")
    yield from (RULES, *_rules(found["rules"], "quiet"), "", FOUND, *_rules(found["rules"], "found"), "")
    yield from (LEVELS, *_levels(found["levels"]), "")
    yield from (SIZES, *_sizes(found["sizes"]), "")
    yield from (EDGE, *_edge(found["edge"]), "")
    yield from (GIVEN, *_given(found["given"]), "")


def _summary(found: Row) -> Iterator[str]:
    gate, checks = found["gate"], found["checks"]
    worst = max(found["quiet"], key=lambda row: row["any"]["value"])
    above = sorted({row["noise"] for row in found["quiet"] if row["any"]["high"] > _declared(found)})
    yield (
        f"Declared: at most {100 * _declared(found):g} % of checks of equal codes find anything. "
        f"Worst: {worst['noise']}, {_cell(worst['any'])} %."
    )
    yield ""
    yield f"Above the declared rate, or not shown to be below: {'; '.join(above) or 'none'}."
    yield ""
    yield (
        f"A check has three cases of three metrics, {gate['seeds']} seeds and a baseline of {2 * gate['seeds']}; it "
        f"overlooks {gate['slower_percent']:g} % of time and {gate['larger_percent']:g} % of memory. "
        f"Accuracies are judged by: {found['rule']}. One run's memory scatters by 0.1 %, its accuracy by 3.5 points if "
        f"nothing else is said. {checks['quiet']:,} checks of equal codes a row, {checks['power']:,} of each change."
    )


def _declared(found: Row) -> float:
    return found["gate"]["false_alarm_rate"]


def _quiet(rows: Sequence[Row], declared: float) -> Iterator[str]:
    yield "## No code changed\n"
    yield "Alarms, % of checks: in anything, and in each metric of any case.\n"
    columns = ["noise", "one run's time", "n", "any", "accuracy", "time", "memory", f"at most {100 * declared:g} %"]
    yield from _table(columns, ([*_noise(row), *_alarms(row), _holds(row["any"], declared)] for row in rows))


def _alarms(row: Row) -> list[str]:
    return [_cell(row["any"]), *(f"{100 * row[metric]['value']:.3f}" for metric in ("accuracy", "time", "memory"))]


def _noise(row: Row) -> list[str]:
    return [row["noise"], f"{100 * row['time_noise']:g} %", str(row["seeds"])]


def _holds(share: Row, declared: float) -> str:
    if share["high"] <= declared:
        return "yes"
    return "**no**" if share["low"] > declared else "unclear"


def _edge(rows: Sequence[Row]) -> Iterator[str]:
    cells = ([*_noise(row), _cell(row["time"]), _cell(row["memory"])] for row in rows)
    return _table(["noise", "one run's time", "n", "time", "memory"], cells)


def _sizes(rows: Sequence[Row]) -> Iterator[str]:
    rows = [row for row in rows if row["time_noise"] == rows[0]["time_noise"]]
    seeds = list(dict.fromkeys(row["seeds"] for row in rows))
    names = dict.fromkeys(row["noise"] for row in rows)
    by = {(row["noise"], row["seeds"]): _cell(row["any"]) for row in rows}
    return _table(["noise", *(f"n = {n}" for n in seeds)], ([name, *(by[name, n] for n in seeds)] for name in names))


def _rules(rows: Sequence[Row], what: str) -> Iterator[str]:
    names = list(rows[0][what])
    return _table(["judged by", *names], ([row["rule"], *(_cell(row[what][name]) for name in names)] for row in rows))


def _levels(found: dict[str, dict[str, float]]) -> Iterator[str]:
    names = next(iter(found.values()))
    cells = ([name, *(f"{100 * levels[name]:.2g}" for levels in found.values())] for name in names)
    return _table(["noise", *found], cells)


def _given(rows: Sequence[Row]) -> Iterator[str]:
    columns = [
        "judged by",
        "baselines",
        "mean",
        "median",
        "9 in 10 below",
        "99 in 100 below",
        "share above declared",
    ]
    shares = ("mean", "p50", "p90", "p99", "above")
    cells = ([row["rule"], f"{row['baselines']:,}", *(f"{100 * row[one]:.2f}" for one in shares)] for row in rows)
    return _table(columns, cells)


def _power(rows: Sequence[Row]) -> Iterator[str]:
    seeds = list(rows[0]["by"])
    cells = ([row["what"], row["noise"], *(_cell(row["by"][n], 1) for n in seeds)] for row in rows)
    return _table(["what", "noise", *(f"n = {n}" for n in seeds)], cells)


def _needed(rows: Sequence[Row]) -> Iterator[str]:
    chances = [key for key in rows[0] if key not in {"what", "noise", "rule"}]
    cells = (
        [row["what"], row["noise"], row["rule"] or "", *(f"{row[c]['seeds']} ({_cell(row[c], 1)})" for c in chances)]
        for row in rows
    )
    return _table(["what", "noise", "judged by", *(f"chance {chance}" for chance in chances)], cells)


def _cell(share: Row, digits: int = 2) -> str:
    return f"{100 * share['value']:.{digits}f} [{100 * share['low']:.{digits}f}, {100 * share['high']:.{digits}f}]"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|" + " --- |" * len(columns)
    yield from ("| " + " | ".join(row) + " |" for row in rows)
