"""What is known before anything runs: which runs are recorded, how long the others take here, what a budget buys."""

import platform
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from resnet18.cli.request import Asked
from resnet18.records.content import knows_machine
from resnet18.records.record import Record
from resnet18.records.store import is_done, last_attempts
from resnet18.spec.data import DataSource
from resnet18.spec.errors import SpecError
from resnet18.spec.identity import code_hash
from resnet18.spec.plan import Plan, Run
from resnet18.tables.pace import (
    KNOWN_SIZES,
    Estimate,
    Pace,
    Sizes,
    by_rule,
    estimate,
    images_of,
    kinds_of,
    paces_of,
    work,
)

if TYPE_CHECKING:
    from resnet18.judge.budget import Choice

WORTH_TIMING_S = 60.0
"""By the rule of thumb: what takes less is done in about the time in which it could be foretold."""
MOST_TIMING_S = 10.0
TIMING_SHARE = 1 / 30
"""Of what the runs take by the rule of thumb: an estimate must not take long beside the runs."""
UNKNOWN_SIZES = Sizes(50_000, 10_000)
"""What the rule of thumb takes a data set for that is not opened yet."""

Timing = Literal["never", "if long", "always"]
"""Whether a few steps are timed of kinds of run of which no record tells the pace."""


@dataclass(frozen=True)
class Preview:
    """What is known before the runs."""

    wanted: Asked
    done: frozenset[str]
    """Ids of runs that need no attempt, as far as the data are the same."""
    estimate: Estimate
    """Of the others."""
    jobs: int | None = 1
    """Runs at a time, but for timed runs; None: they run elsewhere, where no time is known."""
    choice: "Choice | None" = None
    """By a budget."""

    @property
    def plan(self) -> Plan:
        """All that is asked for, or what the budget left of it."""
        return replace(self.wanted.plan, runs=self.choice.runs) if self.choice else self.wanted.plan

    def pending(self, runs: Collection[Run]) -> list[Run]:
        """Return the runs without a record."""
        return [run for run in runs if run.run_id not in self.done]


def preview(
    wanted: Asked, records: Collection[Record], timing: Timing, *, keep_stale: bool = False, jobs: int | None = 1
) -> Preview:
    """Return what is known of the runs that are asked for.

    Args:
        wanted: the plan.
        records: all that there are.
        timing: whether a few steps may be timed, for up to ten seconds; `if long`: not where the runs take less than
            a minute by the rule of thumb, and for a thirtieth of their time at most.
        keep_stale: whether a run is done by a record that other code made.
        jobs: how many runs there are at a time on this machine; None: they run elsewhere.
    """
    known = last_attempts(records)
    done = frozenset(
        run.run_id
        for run in wanted.plan.runs
        if run.run_id in known  # the hash of code for which there is no record is not needed
        and is_done(known[run.run_id], None if keep_stale else code_hash(run.experiment, run.execution))
    )
    pending = [run for run in wanted.plan.runs if run.run_id not in done]
    paces = paces_of(records, on_this_machine()) if jobs is not None else {}
    kinds = kinds_of(pending)
    new = [run for run in pending if kinds[run.arm_id] not in paces]
    sizes = KNOWN_SIZES.get(wanted.source.label)
    if new and timing != "never":
        rule_s = sum(by_rule(run.experiment).seconds(run.experiment, sizes or UNKNOWN_SIZES) for run in new)
        if timing == "always" or rule_s >= WORTH_TIMING_S:
            limit_s = MOST_TIMING_S if timing == "always" else min(MOST_TIMING_S, rule_s * TIMING_SHARE)
            sizes, timed = time_some(new, wanted.source, limit_s)
            paces |= timed
        elif not paces:
            sizes = sizes or UNKNOWN_SIZES
        paces = paces or {kinds[run.arm_id]: by_rule(run.experiment) for run in new}
    return Preview(wanted, done, estimate(pending, paces, sizes), jobs)


def within_budget(view: Preview, budget_s: float) -> Preview:
    """Return the same with the runs that give the most verdicts in so many seconds.

    Raises:
        SpecError: none of the benchmarks has claims.
    """
    from resnet18.judge.budget import Situation, choose

    wanted = view.wanted
    if not any(benchmark.claims for benchmark in wanted.benchmarks):
        raise SpecError("--budget", "these benchmarks have no claims to choose by", next_step="leave it out")
    device = next((kind for kind in wanted.devices if kind != "cpu"), "cpu")
    situation = Situation(wanted.plan, wanted.request, view.estimate.seconds, view.done, device)
    return replace(view, choice=choose(wanted.benchmarks, situation, budget_s))


def on_this_machine() -> Callable[[Record], bool]:
    """Return what tells whether a record comes from a machine with this one's processor and GPU, if they are known."""
    from resnet18.measure.devices import cpu_flags_sha256, cpu_model
    from resnet18.measure.nvml import listed_gpus

    here = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu_model": cpu_model(),
        "cpu_flags_sha256": cpu_flags_sha256(),
    }
    models = {None, *listed_gpus().values()}

    def is_here(record: Record) -> bool:
        numerics = record.fingerprint.numerics or {}
        is_alike = all(numerics.get(key) == value for key, value in here.items())
        return is_alike and numerics.get("gpu_model") in models and knows_machine(numerics)

    return is_here


def time_some(runs: Sequence[Run], source: DataSource, limit_s: float) -> tuple[Sizes, dict[str, Pace]]:
    """Return the sizes of the data set, and the pace of as many kinds of run as there is time for, heaviest first.

    Raises:
        ReportedError: the data set is missing or damaged.
    """
    from resnet18.execution.messages import DataQuestion
    from resnet18.execution.questions import look_at_data, timed

    answer = look_at_data(DataQuestion(source=source))
    sizes = Sizes(answer.train_images, answer.test_images)
    kinds = kinds_of(runs)
    examples, weights = {kinds[run.arm_id]: run for run in runs}, Counter[str]()
    for run in runs:
        weights[kinds[run.arm_id]] += int(images_of(run.experiment, sizes)[0] * work(run.experiment) / 1e6) + 1
    heaviest_first = {kind: examples[kind] for kind, _ in weights.most_common()}
    found = timed(list(heaviest_first.values()), source, limit_s)
    return sizes, {
        kind: Pace(steps.prepare_s, steps.train_image_s, steps.eval_image_s, "timed")
        for kind, run in heaviest_first.items()
        if (steps := found.get(run.run_id))
    }
