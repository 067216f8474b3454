"""The runner: takes a plan and has it carried out, one record for each run."""

import subprocess
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Literal

from resnet18.data.dataset import subset
from resnet18.data.source import open_data
from resnet18.execution.engine import DEFAULT, Engine, Finished, Job, Policy
from resnet18.execution.progress import Progress
from resnet18.records.arrays import Checkpoints
from resnet18.records.record import Identity, Record
from resnet18.records.store import Store, is_done, last_attempts
from resnet18.spec.code import PACKAGE
from resnet18.spec.data import DataSource
from resnet18.spec.errors import LockedError
from resnet18.spec.experiment import CountOrAll
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
    known = last_attempts(store.read().records if records is None else records)
    engine.prepare([run for run in plan.runs if run.run_id not in known])
    jobs = make_jobs(plan.runs, request, source, checked_data(source, plan.runs), store, policy)
    done = {job.run.run_id: job.run for job in jobs if is_done(known.get(job.run.run_id), *job.accepted)}
    finished = [Finished(run, known[run_id].status, was_recorded=True) for run_id, run in done.items()]
    # A runner may have died between the record and this; and a time that is taken again is taken from the start.
    for run_id in (*done, *policy.again):
        Checkpoints(store.results, run_id).clear()
    pending = {job.run.run_id: job for job in jobs if job.run.run_id not in done}
    with progress.of([job.run for job in pending.values()]):
        for result in engine.carry_out(list(pending.values()), progress):
            if result.status is None and (status := pending[result.run.run_id].recorded()):  # another runner's, by now
                finished.append(Finished(result.run, status, was_recorded=True))
            else:
                finished.append(result)
    return tuple(finished)


def checked_data(source: DataSource, runs: Iterable[Run]) -> str:
    """Return the hash of a data set that is whole, and large enough for these runs; otherwise raise a SuiteError.

    It is decoded here, where no decoded copy is kept.
    """
    data = open_data(source, verify=True)
    sizes: list[tuple[Literal["train", "test"], CountOrAll]] = []
    for run in runs:
        experiment = run.experiment
        sizes += [("train", experiment.train_images), ("test", experiment.test_images_epoch)]
        sizes.append(("test", experiment.test_images_last))
        if experiment.train_images == "all":  # the plan could not know how many these are
            check_last_batch(run.labels[0], experiment, len(data.train.labels))
    for which, size in dict.fromkeys(sizes):
        subset(data, which, size)
    return data.sha256


def make_jobs(
    runs: Iterable[Run], request: Request, source: DataSource, data_sha256: str, store: Store, policy: Policy
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
                data_sha256=data_sha256,
            ),
            results=store.results.resolve(),
            policy=replace(policy, again={key: value for key, value in policy.again.items() if key == run.run_id}),
        )
        for run in runs
    ]


def exit_code_of(finished: Collection[Finished]) -> int:
    """Return 0; 3 where a run did not end ok or there was nothing to run; 75 where another runner has some of them."""
    if not finished or any(result.is_failure for result in finished):
        return 3
    return LockedError.exit_code if any(result.status is None for result in finished) else 0


def summary(finished: Collection[Finished], plan: Plan) -> str:
    """Return what happened, in a few lines."""
    counts = Counter(result.status or "being run by another runner" for result in finished)
    before = sum(result.was_recorded for result in finished)
    lines = [
        f"{len(finished)} run{'' if len(finished) == 1 else 's'} ({before} recorded before): "
        + (", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing was measured")
    ]
    lines += [f"not run: {case.label}: {case.reason}" for case in plan.not_planned]
    return "\n".join(lines)


def git_commit() -> tuple[str | None, bool | None]:
    """Return the commit that the package lies in, and whether tracked files differ from it; None where git knows none.

    A virtual environment may lie inside a checkout of something else: the package itself must be tracked.
    """
    try:
        _git("ls-files", "--error-unmatch", str(PACKAGE / "__init__.py"))
        return _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PACKAGE.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
