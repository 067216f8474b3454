"""What is simulated: noises under which nothing may be found, and changes that should be."""

from collections.abc import Iterator
from dataclasses import replace
from math import log, sqrt

from noise import Change, Noise

from resnet18.spec.benchmark import Gate

NORMAL = Noise("normal")
HEAVY = Noise("heavy tails (t, 3 degrees of freedom) of accuracies and times", accuracy="t3", times="t3")
TAIL = Noise("accuracies with a lower tail (1 run in 20 falls by 4 sigma)", accuracy="lower tail")
SKEWED = Noise("skewed accuracies (exponential, downwards)", accuracy="exponential")
SLOWED = Noise("15 % of runs slowed by up to 35 %", times="slowed")
DRIFT = Noise("the machine slows by 20 % over the job", times="drift")
WALK = Noise("the machine's speed walks at random, 20 % over the job", times="walk")
ARENA = Noise("memory: 1 run in 8 holds 64 MiB more", memory="arena")
HUGE = Noise("memory in steps of 2 MiB", memory="huge pages")
QUIET = (
    NORMAL,
    HEAVY,
    SLOWED,
    DRIFT,
    WALK,
    Noise("accuracies in steps of 0.1 points", step=0.1),
    Noise("the same, sigma 0.2 points", sigma=0.2, step=0.1),
    Noise("the same, sigma 0.05 points", sigma=0.05, step=0.1),
    TAIL,
    SKEWED,
    HUGE,
    ARENA,
    Noise("seeds of the baseline again, correlation 0", shared=0.0),
    Noise("seeds of the baseline again, correlation 0.5", shared=0.5),
    Noise("lower tail, slowed runs and 64 MiB more at once", accuracy="lower tail", times="slowed", memory="arena"),
)
TIME_NOISES = (0.03, 0.06)
SEEDS = (3, 5, 8, 12, 20)
SIGMAS = (0.5, 1.0, 2.0, 3.5)
MEMORY_NOISES = (0.001, 0.01)
CHANCES = (0.8, 0.95)
HARM = {
    "all runs fall by 1 sigma": Change(points=3.5),
    "by 2 sigma": Change(points=7.0),
    "by 3 sigma": Change(points=10.5),
    "half of the runs fall by 5 sigma": Change(points=17.5, runs=0.5),
    "sigma doubles": Change(wider=2.0),
}
DROP, SLOWER, LARGER = 1.0, 10.0, 5.0


def effects(gate: Gate) -> Iterator[tuple[str, str, str, Noise, Change, float | None]]:
    """Yield what is looked for: words, noise in words, metric, noise, change, effect in sd (none: not normal)."""
    for sigma in SIGMAS:
        words = f"sigma {sigma} points: a drop of {DROP / sigma:.2g} sigma"
        noise, change = replace(NORMAL, sigma=sigma), Change(points=DROP)
        yield f"accuracy falls by {DROP:g} point", words, "accuracy", noise, change, DROP / sigma
    beyond = log((100 + SLOWER) / (100 + gate.slower_percent))
    for spread in TIME_NOISES:
        for noise in (NORMAL, SLOWED, DRIFT, WALK):
            words = f"{100 * spread:g} % a run" + ("" if noise is NORMAL else f"; {noise.name}")
            effect = beyond / spread / sqrt(2) if noise is NORMAL else None
            change = Change(slower=SLOWER)
            yield f"training takes {SLOWER:g} % longer", words, "time", replace(noise, time=spread), change, effect
    beyond = log((100 + LARGER) / (100 + gate.larger_percent))
    for spread in MEMORY_NOISES:
        noise, change = replace(NORMAL, bytes=spread), Change(larger=LARGER)
        words = f"{100 * spread:g} % a run"
        yield f"memory grows by {LARGER:g} %", words, "memory", noise, change, beyond / spread / sqrt(2)
    yield f"memory grows by {LARGER:g} %", ARENA.name, "memory", ARENA, Change(larger=LARGER), None
