"""The runner: takes a plan and carries it out, one child process and one record for each run."""

from collections import Counter
from dataclasses import dataclass

from resnet18.execution import git, local
from resnet18.execution.job import DataQuestion, Place
from resnet18.execution.lock import RunIsTakenError, run_lock
from resnet18.execution.progress import Progress
from resnet18.execution.supervision import DEFAULT, Policy, Session, run_once
from resnet18.records.checkpoints import Checkpoints
from resnet18.records.record import Identity, Record, Status
from resnet18.records.store import Store, is_done, last_attempts
from resnet18.spec.data import DataSource
from resnet18.spec.errors import IntegrityError, LockedError
from resnet18.spec.identity import code_hash
from resnet18.spec.plan import Plan, Run, check_last_batch
from resnet18.spec.resolve import Request


@dataclass(frozen=True)
class Finished:
    """How a run of the plan stands when the runner ends."""

    run: Run
    status: Status | None
    """None: another runner is carrying it out."""
    was_recorded: bool
    """A record settled it before the runner came to it."""

    @property
    def is_failure(self) -> bool:
        """Whether the exit code must say so. Running out of memory where the report did is a finding."""
        is_expected = self.status == "oom_device" and self.run.may_run_out_of_memory
        return self.status not in {"ok", None} and not is_expected


def run_plan(
    plan: Plan, request: Request, source: DataSource, store: Store, progress: Progress, policy: Policy = DEFAULT
) -> tuple[Finished, ...]:
    """Carry out every run of the plan that no record settles, and return how all of them stand.

    Runs that another runner carries out in the same results directory are left to it.

    Raises:
        EnvironmentMissingError: the results directory cannot be written, or the data set is missing.
        IntegrityError: the data set is damaged.
        SpecError: the data set is too small for the plan.
    """
    store.make_writable()
    place = Place.of(source)
    answer = local.ask(_question(plan, place))
    _check_last_batches(plan, answer.train_images)
    identity = Identity(code_hash=code_hash(), commit=git.commit(), dirty=git.is_dirty(), data_sha256=answer.sha256)
    session = Session(request, place, identity, store, progress, policy)
    settled = settled_runs(plan, store, None if policy.keep_stale else identity)
    finished = [
        Finished(run, settled[run.run_id].status, was_recorded=True) for run in plan.runs if run.run_id in settled
    ]
    for run_id in settled:  # a runner may have died between the record and this
        Checkpoints(store.results, run_id).clear()
    pending = [run for run in plan.runs if run.run_id not in settled]
    with progress.of(pending):
        tried = [_in_turn(run, session) for run in pending]
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
        f"{len(finished)} runs ({before} recorded before): "
        + (", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing was measured")
    ]
    lines += [f"not run: {one.label}: {one.reason}" for one in plan.not_planned]
    return "\n".join(lines)


def settled_runs(plan: Plan, store: Store, identity: Identity | None) -> dict[str, Record]:
    """Return the record of each run of the plan that needs no further attempt; without identity, stale ones count."""
    known = last_attempts(store.read().records)
    code, data = (None, None) if identity is None else (identity.code_hash, identity.data_sha256)
    return {
        run.run_id: known[run.run_id]
        for run in plan.runs
        if run.run_id in known and is_done(known[run.run_id], code, data)
    }


def _in_turn(run: Run, session: Session) -> Finished:
    """Carry out a run, unless another runner does or has done so."""
    store, progress = session.store, session.progress
    is_one_of_several = not session.policy.is_exclusive  # they share the runs out so: nothing to tell
    progress.start(run)
    try:
        with run_lock(store.results, run.run_id) as left_by:
            recorded = _looked_up(Finished(run, None, was_recorded=False), session)
            if recorded.status is not None:
                progress.skip("" if is_one_of_several else "another runner has recorded it")
                return recorded
            if left_by:
                progress.note(f"taken over from {left_by}, which is gone")
            return Finished(run, run_once(run, session), was_recorded=False)
    except RunIsTakenError as error:
        progress.skip("" if is_one_of_several else f"left to {error}")
        return Finished(run, None, was_recorded=False)


def _looked_up(finished: Finished, session: Session) -> Finished:
    """Return how a run stands that another runner may have recorded meanwhile."""
    store, run, identity = session.store, finished.run, session.identity
    hashes = (None, None) if session.policy.keep_stale else (identity.code_hash, identity.data_sha256)
    try:
        attempt = store.attempts(run.run_id)
        record = store.load(run.run_id, attempt) if attempt else None
    except IntegrityError:
        record = None
    if record is None or not is_done(record, *hashes):
        return finished
    return Finished(run, record.status, was_recorded=True)


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
            check_last_batch(run.labels[0], run.experiment, run.execution.ranks, train_images)
