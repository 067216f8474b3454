"""The gate of the regression check, simulated: how often it cries wolf, and what it finds.

    python benchmarks/suite/gate [--to FOLDER] [--quiet N] [--power N] [--seed N]

Judges made-up checks by the thresholds of benchmarks/suite/regress.toml. Writes gate.json (the figures) and gate.md (a
page).
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gate_page import page
from judged import DEGREES, IN_USE, RULES
from noise import NOTHING, Change, Noise
from scenarios import (
    ARENA,
    CHANCES,
    DRIFT,
    HARM,
    HEAVY,
    HUGE,
    NORMAL,
    QUIET,
    SEEDS,
    SKEWED,
    SLOWED,
    TAIL,
    TIME_NOISES,
    WALK,
    effects,
)
from simulated import Setting, caught, false_alarms, given_a_baseline, level_that_holds, seeds_needed

from resnet18.spec.benchmark import Gate
from resnet18.spec.load import load_benchmark

SPEC = Path(__file__).parents[1] / "regress.toml"
Row = dict[str, Any]


def quiet(seed: int, gate: Gate, checks: int, noises: tuple[Noise, ...] = QUIET, change: Change = NOTHING) -> list[Row]:
    """Return the alarms of equal codes (or of a growth that is overlooked), by scenario and noise of times."""
    return [
        {"noise": noise.name, "time_noise": spread, "seeds": gate.seeds}
        | {name: share.row() for name, share in false_alarms(seed, setting, checks).items()}
        for noise in noises
        for spread in TIME_NOISES
        for setting in [Setting(gate, replace(noise, time=spread), change)]
    ]


def other_sizes(seed: int, gate: Gate, checks: int) -> list[Row]:
    """Return the alarms of equal codes with other numbers of seeds."""
    gates = [gate.model_copy(update={"seeds": seeds}) for seeds in SEEDS]
    return [row for one in gates for row in quiet(seed, one, checks, noises=(NORMAL, HEAVY, TAIL, SKEWED))]


def variants(gate: Gate, levels: dict[str, float]) -> Iterator[tuple[str, Setting]]:
    """Yield other ways to judge accuracies, the one in use first."""
    for rule in [IN_USE, *(rule for rule in RULES if rule != IN_USE)]:
        yield rule, Setting(gate, NORMAL, rule=rule)
    for rule, level in levels.items():
        yield f"{rule}, baseline of {4 * gate.seeds}", Setting(gate, NORMAL, rule=rule, baseline=4)
        other = gate.model_copy(update={"false_alarm_rate": level})
        yield f"{rule}, a rate of {100 * level:.2g} % inside", Setting(other, NORMAL, rule=rule)


def rules(seed: int, gate: Gate, checks: int, levels: dict[str, float]) -> list[Row]:
    """Return what each way to judge accuracies costs and finds, at the gate's own number of seeds."""
    noises = (NORMAL, HEAVY, TAIL, SKEWED)
    return [
        {
            "rule": name,
            "quiet": {one.name: false_alarms(seed, replace(way, noise=one), checks)["any"].row() for one in noises},
            "found": {
                what: caught(seed, replace(way, change=change), "accuracy", checks).row()
                for what, change in HARM.items()
            },
        }
        for name, way in variants(gate, levels)
    ]


def given(seed: int, gate: Gate, baselines: int = 1_000, heads: int = 4_000) -> list[Row]:
    """Return how far the rate of a check depends on the baseline that was drawn."""
    found = []
    for rule in DEGREES:
        rates = given_a_baseline(seed, Setting(gate, NORMAL, rule=rule), baselines, heads)
        found.append(
            {"rule": rule, "baselines": baselines, "mean": float(rates.mean())}
            | {f"p{share}": float(np.quantile(rates, share / 100)) for share in (50, 90, 99)}
            | {"above": float((rates > gate.false_alarm_rate).mean())}
        )
    return found


def power_rows(seed: int, gate: Gate, checks: int) -> list[Row]:
    """Return the chance to find each change, by seeds."""
    return [
        {"what": what, "noise": words}
        | {"by": {str(n): caught(seed, _with(gate, n, noise, change), metric, checks).row() for n in SEEDS}}
        for what, words, metric, noise, change, _ in effects(gate)
    ]


def needed_rows(seed: int, gate: Gate, checks: int) -> list[Row]:
    """Return the seeds that find each change under normal noise, and the share that was found with them."""
    found = []
    for what, words, metric, noise, change, effect in effects(gate):
        if effect is None:
            continue
        for rule in DEGREES if metric == "accuracy" else (None,):
            row: Row = {"what": what, "noise": words, "rule": rule}
            for chance in CHANCES:
                seeds = seeds_needed(effect, gate, chance, rule)
                setting = replace(_with(gate, seeds, noise, change), rule=rule or IN_USE)
                row[f"{chance:g}"] = {"seeds": seeds, **caught(seed, setting, metric, checks).row()}
            found.append(row)
    return found


def _with(gate: Gate, seeds: int, noise: Noise, change: Change) -> Setting:
    return Setting(gate.model_copy(update={"seeds": seeds}), noise, change)


def figures(seed: int, checks: int, powers: int) -> Row:
    """Simulate everything."""
    gate = load_benchmark(SPEC).gate
    assert gate is not None  # noqa: S101 - it stands in the file
    overlooked = Change(slower=gate.slower_percent, larger=gate.larger_percent, everywhere=True)
    levels = {
        rule: {one.name: level_that_holds(seed, Setting(gate, one, rule=rule), checks) for one in QUIET}
        for rule in DEGREES
    }
    lowest = {rule: min(of_rule.values()) for rule, of_rule in levels.items()}
    return {
        "gate": gate.model_dump(mode="json"), "rule": IN_USE, "seed": seed,
        "checks": {"quiet": checks, "power": powers},
        "quiet": quiet(seed, gate, checks), "sizes": other_sizes(seed, gate, checks),
        "edge": quiet(seed, gate, checks, (NORMAL, HEAVY, SLOWED, DRIFT, WALK, HUGE, ARENA), overlooked),
        "levels": levels, "rules": rules(seed, gate, checks, lowest), "given": given(seed, gate),
        "power": power_rows(seed, gate, powers), "needed": needed_rows(seed, gate, powers),
    }  # fmt: skip


def main() -> int:
    """Simulate, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiet", type=int, default=200_000, help="checks of equal codes in each scenario")
    parser.add_argument("--power", type=int, default=20_000, help="checks of each change")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=Path("results/local"), help="folder for gate.json and gate.md")
    asked = parser.parse_args()
    found = figures(asked.seed, asked.quiet, asked.power)
    asked.to.mkdir(parents=True, exist_ok=True)
    (asked.to / "gate.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (asked.to / "gate.md").write_text(page(json.loads(json.dumps(found))), encoding="utf-8")
    print(page(found))  # noqa: T201 - a script
    return 0


if __name__ == "__main__":
    sys.exit(main())
