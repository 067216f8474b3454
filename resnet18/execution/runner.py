"""The runner: takes a plan and has it carried out, one record for each run."""

import subprocess
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace

from resnet18.execution.engine import DEFAULT, Engine, Finished, Policy
from resnet18.execution.messages import DataAnswer, DataQuestion, Job
from resnet18.execution.progress import Progress
from resnet18.execution.questions import check_torch, look_at_data
from resnet18.records.arrays import Checkpoints
from resnet18.records.record import Identity, Record
from resnet18.records.store import Store, is_done, last_attempts
from resnet18.spec.code import PACKAGE
from resnet18.spec.data import DataSource
from resnet18.spec.errors import LockedError
from resnet18.spec.identity import code_hash, shared_code_hash
from resnet18.spec.plan import Plan, Run, check_last_batch
from resnet18.spec.resolve import Request


def run_plan(  # noqa: PLR0913, PLR0917 - each is another thing that the command decides
    plan: Plan,
    request: Request,
    source: DataSource,
    engine: Engine,
    store: Store,
    progress: Progress,
    policy: Policy = DEFAULT,
    *,
    records: Iterable[Record] | None = None,
) -> tuple[Finished, ...]:
    """Carry out every run of the plan that is not done, and return how all of them stand.

    Runs that another runner carries out in the same results directory are left to it.

    `records` are those of the store, where it has been read just now; what was added since is seen run by run.

    Raises:
        EnvironmentMissingError: the results directory cannot be written, or the data set is missing.
        IntegrityError: the data set is damaged.
        SpecError: the data set is too small for the plan.
    """
    store.make_writable()
    check_torch()
    known = last_attempts(store.read().records if records is None else records)
    engine.prepare([run for run in plan.runs if run.run_id not in known])
    data = look_at_data(_question(plan.runs, source))
    for run in plan.runs:  # the plan could not know how many images "all" are
        if run.experiment.train_images == "all":
            check_last_batch(run.labels[0], run.experiment, data.train_images)
    jobs = make_jobs(plan.runs, request, source, data, store, policy)
    done = [job for job in jobs if is_done(known.get(job.run.run_id), *job.accepted)]
    finished = [Finished(job.run, known[job.run.run_id].status, was_recorded=True) for job in done]
    # A runner may have died between the record and this; and a time that is taken again is taken from the start.
    for run_id in (*(one.run.run_id for one in finished), *policy.again):
        Checkpoints(store.results, run_id).clear()
    is_recorded = {job.run.run_id for job in done}
    pending = {job.run.run_id: job for job in jobs if job.run.run_id not in is_recorded}
    with progress.of([job.run for job in pending.values()]):
        for one in engine.carry_out(list(pending.values()), store, progress):
            status = one.status or pending[one.run.run_id].recorded(store)  # another runner's, by now
            finished.append(one if one.status else replace(one, status=status, was_recorded=True))
    return tuple(finished)


def make_jobs(
    runs: Collection[Run], request: Request, source: DataSource, data: DataAnswer, store: Store, policy: Policy
) -> list[Job]:
    """Return what is to be carried out of each run, without the number of its attempt."""
    place = replace(source, path=None if source.path is None else source.path.resolve())
    commit, is_dirty = git_commit()
    return [
        Job(
            run=run,
            request=request,
            source=place,
            identity=Identity(
                code_hash=code_hash(run.experiment, run.execution),
                shared_code_hash=shared_code_hash(run.experiment, run.execution),
                commit=commit,
                dirty=is_dirty,
                data_sha256=data.sha256,
            ),
            results=store.results.resolve(),
            policy=replace(policy, again={key: value for key, value in policy.again.items() if key == run.run_id}),
        )
        for run in runs
    ]


def exit_code_of(finished: Collection[Finished]) -> int:
    """Return 0; 3 where a run did not end ok or there was nothing to run; 75 where another runner has some of them."""
    if not finished or any(one.is_failure for one in finished):
        return 3
    return LockedError.exit_code if any(one.status is None for one in finished) else 0


def summary(finished: Collection[Finished], plan: Plan) -> str:
    """Return what happened, in a few lines."""
    counts = Counter(one.status or "being run by another runner" for one in finished)
    before = sum(one.was_recorded for one in finished)
    lines = [
        f"{len(finished)} run{'' if len(finished) == 1 else 's'} ({before} recorded before): "
        + (", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing was measured")
    ]
    lines += [f"not run: {one.label}: {one.reason}" for one in plan.not_planned]
    return "\n".join(lines)


def git_commit() -> tuple[str | None, bool | None]:
    """Return the commit that the package lies in, and whether tracked files differ from it; None where git knows none.

    A virtual environment may lie inside a checkout of something else: the package itself must be tracked.
    """
    if _git("ls-files", "--error-unmatch", str(PACKAGE / "__init__.py")) is None:
        return None, None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return _git("rev-parse", "HEAD"), None if changes is None else bool(changes)


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(PACKAGE.parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _question(runs: Collection[Run], source: DataSource) -> DataQuestion:
    experiments = [run.experiment for run in runs]
    sizes = (size for one in experiments for size in (one.test_images_epoch, one.test_images_last))
    return DataQuestion(
        source=source,
        train_sizes=tuple(dict.fromkeys(one.train_images for one in experiments)),
        test_sizes=tuple(dict.fromkeys(sizes)),
    )
