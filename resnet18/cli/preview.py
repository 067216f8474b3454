"""What is known before anything runs: which runs are recorded, and how long the others take here."""

import platform
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from resnet18.cli.request import Asked
from resnet18.records.content import knows_machine
from resnet18.records.record import Record
from resnet18.records.store import is_done, last_attempts
from resnet18.spec.identity import code_hash
from resnet18.spec.plan import Run
from resnet18.tables import pace
from resnet18.tables.pace import Basis, Kind, Pace, Sizes, kind_of

WORTH_TIMING_S = 60.0
"""By the rule of thumb: an estimate of shorter runs would take about as long as the runs."""
MOST_TIMING_S = 10.0
TIMING_SHARE = 1 / 30
"""Of what the runs take by the rule of thumb: an estimate must not take long beside the runs."""
UNKNOWN_SIZES = Sizes(50_000, 10_000)
"""What the rule of thumb takes a data set for that is not opened yet."""


@dataclass(frozen=True)
class Preview:
    """What is known before the runs."""

    wanted: Asked
    done: AbstractSet[str]
    """Ids of runs that need no attempt, as far as the data are the same."""
    seconds: Mapping[str, float]
    """Of the other runs, by id, as far as they are known."""
    bases: Collection[Basis]
    """What the seconds are based on."""
    jobs: int | None = 1
    """Runs at a time, but for timed runs; None: they run elsewhere, where no time is known."""

    def pending(self, runs: Iterable[Run]) -> list[Run]:
        """Return the runs without a record."""
        return [run for run in runs if run.run_id not in self.done]


def preview(
    wanted: Asked,
    records: Collection[Record],
    timing: Literal["never", "if long", "always"],
    *,
    keep_stale: bool = False,
    jobs: int | None = 1,
) -> Preview:
    """Return what is known of the runs that are asked for.

    Args:
        wanted: the plan.
        records: all that there are.
        timing: whether a few steps may be timed, for up to ten seconds, of kinds of run of which no record tells the
            pace; `if long`: only where the runs take a minute by the rule of thumb, for a thirtieth of their time.
        keep_stale: whether a run is done by a record that other code made.
        jobs: how many runs there are at a time on this machine; None: they run elsewhere.
    """
    known = last_attempts(records)
    done = {
        run.run_id
        for run in wanted.plan.runs
        if run.run_id in known  # the hash of code for which there is no record is not needed
        and is_done(known[run.run_id], None if keep_stale else code_hash(run.experiment, run.execution))
    }
    if jobs is None:
        return Preview(wanted, done, {}, (), None)
    pending = [run for run in wanted.plan.runs if run.run_id not in done]
    paces = pace.paces_of(of_this_machine(records))
    sizes = pace.KNOWN_SIZES.get(wanted.source.label)
    new = [run for run in pending if kind_of(run.experiment, run.execution) not in paces]
    if new and timing != "never":
        rule_s = sum(pace.by_rule(run.experiment).seconds(run.experiment, sizes or UNKNOWN_SIZES) for run in new)
        if timing == "always" or rule_s >= WORTH_TIMING_S:
            limit_s = MOST_TIMING_S if timing == "always" else min(MOST_TIMING_S, rule_s * TIMING_SHARE)
            sizes, timed_paces = time_some(new, wanted, limit_s)
            paces |= timed_paces
        if not paces:
            sizes = sizes or UNKNOWN_SIZES
            paces = {kind_of(run.experiment, run.execution): pace.by_rule(run.experiment) for run in new}
    return Preview(wanted, done, *pace.estimate(pending, paces, sizes), jobs)


def of_this_machine(records: Iterable[Record]) -> list[Record]:
    """Return the records of a machine with this one's processor and GPU, as far as they are known."""
    from resnet18.measure.devices import cpu_flags_sha256, cpu_model, listed_gpus

    here = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu_model": cpu_model(),
        "cpu_flags_sha256": cpu_flags_sha256(),
    }
    models = {None, *listed_gpus().values()}
    found = []
    for record in records:
        numerics = record.fingerprint.numerics or {}
        is_alike = all(numerics.get(key) == value for key, value in here.items())
        if is_alike and numerics.get("gpu_model") in models and knows_machine(numerics):
            found.append(record)
    return found


def time_some(runs: Sequence[Run], wanted: Asked, limit_s: float) -> tuple[Sizes, dict[Kind, Pace]]:
    """Return the sizes of the data set, and the pace of as many kinds of run as there is time for, heaviest first.

    Raises:
        EnvironmentMissingError: the data set is missing.
        IntegrityError: it is damaged.
    """
    from resnet18.data.source import open_data
    from resnet18.execution.runner import timed

    data = open_data(wanted.source, verify=True)
    sizes = Sizes(len(data.train.labels), len(data.test.labels))
    examples, weights = dict[Kind, Run](), Counter[Kind]()
    for run in runs:
        kind = kind_of(run.experiment, run.execution)
        examples[kind] = run
        weights[kind] += int(pace.images_of(run.experiment, sizes)[0] * pace.work(run.experiment) / 1e6) + 1
    heaviest_first = [examples[kind] for kind, _ in weights.most_common()]
    found = timed(heaviest_first, wanted.source, data.sha256, limit_s, wanted.devices)
    return sizes, {kind: Pace(*timing, "timed") for kind, run in examples.items() if (timing := found.get(run.run_id))}
