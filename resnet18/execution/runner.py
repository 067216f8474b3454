"""The runner: takes a plan and carries it out, one child process and one record for each run."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from resnet18.execution import process
from resnet18.execution.attempt import Session
from resnet18.execution.engines.engine import Finished, Opening
from resnet18.execution.engines.local import LocalEngine
from resnet18.execution.job import DataQuestion, Place
from resnet18.execution.origin import Origin, origin_of
from resnet18.execution.policy import DEFAULT, Policy
from resnet18.execution.progress import Progress
from resnet18.execution.worker_questions import check_torch, look_at_data
from resnet18.records.checkpoints import Checkpoints
from resnet18.records.record import Record
from resnet18.records.store import Store, is_done, last_attempts
from resnet18.spec.data import DataSource
from resnet18.spec.errors import LockedError
from resnet18.spec.plan import Plan, check_last_batch
from resnet18.spec.resolve import Request


def run_plan(  # noqa: PLR0913, PLR0917 - each is another thing that the command decides
    plan: Plan,
    request: Request,
    source: DataSource,
    store: Store,
    progress: Progress,
    policy: Policy = DEFAULT,
    opening: Opening = LocalEngine,
    *,
    records: Iterable[Record] | None = None,
) -> tuple[Finished, ...]:
    """Carry out every run of the plan that is not done, and return how all of them stand.

    Runs that another runner carries out in the same results directory are left to it.

    Args:
        plan: the runs.
        request: what was asked for, kept in each record.
        source: of the images.
        store: where the records go, and those of runs that are done.
        progress: what the user sees.
        policy: what counts as done, and how an attempt is saved and given up.
        opening: makes the engine that carries the runs out.
        records: those of the store, where it has been read just now; what was added since is seen run by run.

    Raises:
        EnvironmentMissingError: the results directory cannot be written, or the data set is missing.
        IntegrityError: the data set is damaged.
        SpecError: the data set is too small for the plan.
    """
    store.make_writable()
    place = Place.of(source)
    check_torch()
    known = last_attempts(store.read().records if records is None else records)
    if opening is LocalEngine and (new := [run for run in plan.runs if run.run_id not in known]):
        process.begin(new)
    answer = look_at_data(_question(plan, place))
    _check_last_batches(plan, answer.train_images)
    origin = origin_of(answer.sha256)
    session = Session(request, place, origin, store, progress, policy)
    done = done_runs(plan, known, origin, keep_stale=policy.keep_stale)
    finished = [Finished(run, done[run.run_id].status, was_recorded=True) for run in plan.runs if run.run_id in done]
    # A runner may have died between the record and this; and a time that is taken again is taken from the start.
    for run_id in (*done, *policy.again):
        Checkpoints(store.results, run_id).clear()
    pending = [run for run in plan.runs if run.run_id not in done]
    with progress.of(pending), opening(session) as engine:
        for run in pending:
            engine.submit(run)
        tried = [engine.wait() for _ in pending]
    return tuple(finished + [_looked_up(one, session) if one.status is None else one for one in tried])


def exit_code_of(finished: tuple[Finished, ...]) -> int:
    """Return 0; 3 where a run did not end ok or there was nothing to run; 75 where another runner has some of them."""
    if not finished or any(one.is_failure for one in finished):
        return 3
    return LockedError.exit_code if any(one.status is None for one in finished) else 0


def summary(finished: tuple[Finished, ...], plan: Plan) -> str:
    """Return what happened, in a few lines."""
    counts = Counter(one.status or "being run by another runner" for one in finished)
    before = sum(one.was_recorded for one in finished)
    lines = [
        f"{len(finished)} run{'' if len(finished) == 1 else 's'} ({before} recorded before): "
        + (", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing was measured")
    ]
    lines += [f"not run: {one.label}: {one.reason}" for one in plan.not_planned]
    return "\n".join(lines)


def done_runs(plan: Plan, known: Mapping[str, Record], origin: Origin, *, keep_stale: bool) -> dict[str, Record]:
    """Return the record of each run of the plan that needs no further attempt."""
    return {
        run.run_id: known[run.run_id]
        for run in plan.runs
        if run.run_id in known and is_done(known[run.run_id], *origin.hashes(run, keep_stale=keep_stale))
    }


def _looked_up(finished: Finished, session: Session) -> Finished:
    """Return how a run stands that another runner may have recorded meanwhile."""
    return replace(finished, status=session.recorded(finished.run), was_recorded=True)


def _question(plan: Plan, place: Place) -> DataQuestion:
    experiments = [run.experiment for run in plan.runs]
    return DataQuestion(
        place=place,
        train_sizes=tuple(dict.fromkeys(one.train_images for one in experiments)),
        test_sizes=tuple(
            dict.fromkeys(size for one in experiments for size in (one.test_images_epoch, one.test_images_last))
        ),
    )


def _check_last_batches(plan: Plan, train_images: int) -> None:
    """Refuse what the plan could not know: how many images "all" are."""
    for run in plan.runs:
        if run.experiment.train_images == "all":
            check_last_batch(run.labels[0], run.experiment, train_images)
