"""Find out what `plan` and `run` say before anything runs: what is recorded, and how long the others take here."""

import platform
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from resnet18.cli.request import Asked
from resnet18.records.compare import knows_machine
from resnet18.records.record import Record
from resnet18.records.store import is_done, last_attempts
from resnet18.report.preview import Preview, preview_rows, preview_text
from resnet18.spec.data import DataSource
from resnet18.spec.errors import SpecError, UnfinishedError
from resnet18.spec.identity import code_hash
from resnet18.spec.plan import Plan, Run
from resnet18.spec.scale import TESTED_AT
from resnet18.tables.estimate import (
    KNOWN_SIZES,
    Pace,
    Sizes,
    by_rule,
    by_rule_s,
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
UNKNOWN_SIZES = Sizes(50_000, 10_000)
"""What the rule of thumb takes a data set for that is not opened yet."""
TIMING_SHARE = 1 / 30
"""Of what the runs take by the rule of thumb: nobody shall wait for a forecast of a minute."""


Timing = Literal["never", "if long", "always"]
"""Whether a few steps are timed of what no record tells the pace of."""


def fewest_seeds(budget_s: float | None) -> int:
    """Return how many seeds are planned at least: a budget chooses what decides the most, and one decides nothing."""
    return 1 if budget_s is None else min(TESTED_AT)


@dataclass(frozen=True)
class Announced:
    """What is said before anything runs, and what runs then."""

    view: Preview
    choice: "Choice | None"
    """By the budget."""
    plan: Plan
    """All that is asked for, or what the budget left of it."""
    text: str

    @property
    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The same for a program."""
        yield from (("plan", row) for row in preview_rows(self.view))
        if self.choice is not None:
            from resnet18.report.budget_text import choice_rows

            yield from (("claim", row) for row in choice_rows(self.choice))


def announced(
    wanted: Asked,
    records: Collection[Record],
    timing: Timing,
    *,
    budget_s: float | None = None,
    keep_stale: bool = False,
    jobs: int | None = 1,
) -> Announced:
    """Return what is known of the runs that are asked for, and what the budget leaves of them; see `preview`.

    Raises:
        SpecError: a budget for benchmarks without claims.
        UnfinishedError: no claim fits the budget.
    """
    view = preview(wanted, records, timing, keep_stale=keep_stale, jobs=jobs)
    said = preview_text(view)
    if jobs is not None and (slow := slow_precision(view, wanted.devices)):
        said += f"\n{slow}"
    if budget_s is None:
        return Announced(view, None, wanted.plan, said)
    from resnet18.judge.budget import Situation, choose
    from resnet18.report.budget_text import choice_text

    if not any(one.claims for one in wanted.benchmarks):
        raise SpecError("--budget", "these benchmarks have no claims to choose by", next_step="leave it out")
    device = next((kind for kind in wanted.devices if kind != "cpu"), "cpu")
    situation = Situation(wanted.plan, wanted.request, view.estimate.seconds, view.done, device)
    choice = choose(wanted.benchmarks, situation, budget_s)
    text = choice_text(choice, budget_s, one_at_a_time=view.jobs == 1)
    if not choice.taken:
        raise UnfinishedError("--budget", f"no claim can be decided:\n{text}")
    plan = replace(wanted.plan, runs=choice.runs)
    return Announced(view, choice, plan, f"{said}\n{text}")


def preview(
    wanted: Asked,
    records: Collection[Record],
    timing: Timing,
    *,
    keep_stale: bool = False,
    jobs: int | None = 1,
) -> Preview:
    """Return what is known of the runs that are asked for.

    Args:
        wanted: the plan.
        records: all that there are.
        timing: whether a few steps may be timed, for up to ten seconds; `if long`: not where the runs take less than
            a minute by the rule of thumb, and for a thirtieth of their time at most.
        keep_stale: whether a run is done by a record that other code made.
        jobs: how many runs there are at a time on this machine; None: they go on elsewhere, and nobody knows how long.
    """
    done = done_ids(wanted.plan, records, keep_stale=keep_stale)
    pending = [run for run in wanted.plan.runs if run.run_id not in done]
    paces = paces_of(records, on_this_machine()) if jobs is not None else {}
    sizes = KNOWN_SIZES.get(wanted.source.label)
    kinds = kinds_of(pending)
    new = [run for run in pending if kinds[run.arm_id] not in paces]
    rule_s = by_rule_s(new, sizes or UNKNOWN_SIZES)
    is_short = timing == "if long" and rule_s < WORTH_TIMING_S
    if new and timing != "never" and not is_short:
        limit_s = MOST_TIMING_S if timing == "always" else min(MOST_TIMING_S, rule_s * TIMING_SHARE)
        sizes, timed = time_some(new, wanted.source, limit_s)
        paces = {**paces, **timed} or {kinds[run.arm_id]: by_rule(run.experiment) for run in new}
    briefly_s = {}
    if is_short and len(new) == len(pending):
        briefly_s = {run.run_id: by_rule_s([run], sizes or UNKNOWN_SIZES) for run in pending}
    return Preview(wanted.benchmarks, wanted.plan, done, estimate(pending, paces, sizes), briefly_s, jobs or 1)


def slow_precision(view: Preview, devices: Collection[str]) -> str:
    """Return a line on runs in a precision that this machine's processor emulates, empty where there are none."""
    from resnet18.measure.devices import emulates_bf16

    on_cpu = {"cpu"} if set(devices) - {"cpu"} else {"cpu", "auto"}
    asked_for = [run.execution for run in view.pending(view.plan.runs)]
    count = sum(how.precision == "bf16" and how.device in on_cpu for how in asked_for)
    if not count or not emulates_bf16():
        return ""
    return f"slow here: the processor emulates bf16 ({count} of {len(asked_for)} runs); faster: -o precision=fp32"


def on_this_machine() -> Callable[[Record], bool]:
    """Return what tells whether a record comes from a machine like this one: its processor and its GPU.

    None does where neither is known.
    """
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


def done_ids(plan: Plan, records: Collection[Record], *, keep_stale: bool) -> frozenset[str]:
    """Return the ids of runs that are done, so far as the data are those of their records."""
    known = last_attempts(records)
    return frozenset(
        run.run_id
        for run in plan.runs
        if run.run_id in known
        and is_done(known[run.run_id], None if keep_stale else code_hash(run.experiment, run.execution), None)
    )


def time_some(runs: Sequence[Run], source: DataSource, limit_s: float) -> tuple[Sizes, dict[str, Pace]]:
    """Return the sizes of the data set, and the pace of as many kinds of run as there is time for.

    Raises:
        ReportedError: the data set is missing or damaged.
    """
    from resnet18.execution import process
    from resnet18.execution.job import DataQuestion, Place
    from resnet18.execution.timing import timed

    place = Place.of(source)
    answer = process.ask(DataQuestion(place=place, train_sizes=(), test_sizes=()))
    sizes = Sizes(answer.train_images, answer.test_images)
    kinds = kinds_of(runs)
    examples, weights = dict[str, Run](), Counter[str]()
    for run in runs:
        kind = kinds[run.arm_id]
        examples[kind] = run
        weights[kind] += int(images_of(run.experiment, sizes)[0] * work(run.experiment) / 1e6) + 1
    heaviest_first = [examples[kind] for kind, _ in weights.most_common()]
    found = timed(heaviest_first, place, limit_s)
    return sizes, {
        kinds[run.arm_id]: Pace(one.prepare_s, one.train_image_s, one.eval_image_s, "timed", one.steps)
        for run in heaviest_first
        if (one := found.get(run.run_id))
    }
