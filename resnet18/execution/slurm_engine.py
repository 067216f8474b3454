"""The Slurm engine: arrays of jobs, waited for by looking at the records, which all nodes write to one place.

submitit submits them, and Slurm queues them and begins them again. What is known of a run is in the results directory:
its record, or the array that it was submitted with. So a command that was killed is given again and waits on.
"""

import json
import re
import secrets
import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from resnet18.execution.attempt import record_death
from resnet18.execution.engine import Engine, Finished, Resources, resources_of
from resnet18.execution.lock import RunIsTakenError, run_lock
from resnet18.execution.messages import Job, Problem, ReportedError
from resnet18.execution.progress import Progress
from resnet18.execution.remote_worker import carry_out_here, problem_path
from resnet18.records import disk
from resnet18.records.record import FINAL, Status
from resnet18.records.store import Store
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, LockedError, SpecError

LOOK_S = 10.0
"""How often Slurm is asked, which has others to serve."""
LAG_S = 60.0
"""How long a record may take to be seen here after its job has ended: NFS keeps what a folder holds for so long."""
LARGEST_ARRAY = 1_000
"""Slurm's own default (MaxArraySize 1001)."""
ANSWER_LIMIT_S = 60


@dataclass(eq=False)
class Flight:
    """A run that waits or goes on in Slurm."""

    job: Job
    """Its attempt is the first that counts; records of earlier ones are of earlier commands."""
    array: str
    index: int
    """In the array."""
    is_ours: bool = False
    """Submitted by this command, and not by one before it."""
    gone_s: float | None = None
    """When Slurm first knew nothing of it."""


class SlurmEngine(Engine):
    """Submits runs to the Slurm of this machine; so many of an array may run at once."""

    def __init__(self, resources: Resources, at_once: int | None) -> None:
        try:
            import submitit  # noqa: F401, PLC0415 - an extra that may not be installed
        except ImportError:
            raise EnvironmentMissingError(
                "--engine slurm", "submitit is not installed", next_step='pip install "resnet18[slurm]"'
            ) from None
        self._resources, self._at_once = resources, at_once or LARGEST_ARRAY
        self._out: list[Flight] = []
        gpus = most_gpus()
        self.devices = {"cpu": 1, **({"cuda": gpus} if gpus else {})}

    def carry_out(self, jobs: Sequence[Job], store: Store, progress: Progress) -> list[Finished]:
        """Carry out runs that are not done; see `Engine`. Only Ctrl-C ends the jobs: a lost terminal is no reason to.

        Raises:
            LockedError: another command waits for jobs of this results directory; both would submit the same runs.
        """
        self._store, self._progress, self._folder = store, progress, store.results / "slurm"
        disk.make_folder(self._folder)
        try:
            lock = FileLock(self._folder / "lock").acquire(timeout=0)
        except Timeout:
            raise LockedError(str(store.results), "another runner waits for Slurm's jobs here") from None
        with lock:
            return self._wait_for([job.next(store) for job in jobs])

    def _wait_for(self, jobs: Sequence[Job]) -> list[Finished]:
        """Submit runs, save those that an earlier command has submitted, and wait for all of them."""
        left, finished = self._left_over(), list[Finished]()
        self._out = [Flight(job, *left[job.run.run_id]) for job in jobs if job.run.run_id in left]
        if self._out:
            self._progress.say(f"{len(self._out)} runs are in Slurm already")
        try:
            self._submit([job for job in jobs if job.run.run_id not in left])
            while self._out:
                time.sleep(LOOK_S)
                ended = [self._ended(flight) for flight in self._gone()]
                finished += [one for one in ended if isinstance(one, Finished)]
                self._submit([one for one in ended if isinstance(one, Job)])
        except KeyboardInterrupt:
            self._cancel()
            raise
        except BaseException:
            if self._out:
                self._progress.say("the jobs stay in Slurm; the same command waits for them again")
            raise
        return finished

    def _left_over(self) -> dict[str, tuple[str, int]]:
        """Return array and index of each run that earlier commands submitted and that has not ended."""
        arrays = {file.parent.name: json.loads(disk.read(file, 1 << 24)) for file in self._folder.glob("*/array.json")}
        alive = [place for place, state in queued(arrays).items() if state != "CG"]  # those have left their record
        for name in arrays.keys() - {name for name, _ in alive}:
            (self._folder / name / "array.json").unlink()
        return {arrays[name][index]: (name, index) for name, index in alive}

    def _submit(self, jobs: Sequence[Job]) -> None:
        """Submit runs that need the same as one array, or as several where it would be too large."""
        has_gpus = "cuda" in self.devices
        by_needs: dict[Resources, list[Job]] = {}
        for job in jobs:
            by_needs.setdefault(resources_of(job.run, self._resources, has_gpus=has_gpus), []).append(job)
        for wanted, group in by_needs.items():
            for start in range(0, len(group), LARGEST_ARRAY):
                self._submit_array(group[start : start + LARGEST_ARRAY], wanted)

    def _submit_array(self, jobs: Sequence[Job], wanted: Resources) -> None:
        """Submit an array. What it holds is written first: a command that dies then has submitted nothing."""
        name = f"resnet18-{secrets.token_hex(4)}"
        folder = (self._folder / name).resolve()
        disk.make_folder(folder)
        disk.write_new(folder / "array.json", json.dumps([job.run.run_id for job in jobs]).encode())
        for job in jobs:  # what a node found for an earlier command
            problem_path(self._store, job).unlink(missing_ok=True)
        jobs = [job.model_copy(update={"is_exclusive": wanted.whole}) for job in jobs]
        submit(folder, name, [job.model_dump_json() for job in jobs], wanted, self._at_once)
        for index, job in enumerate(jobs):
            self._out.append(Flight(job, name, index, is_ours=True))
        self._progress.say(f"{len(jobs)} runs are submitted as {name}")

    def _gone(self) -> list[Flight]:
        """Return the runs whose jobs Slurm has forgotten."""
        try:
            tasks = queued({flight.array for flight in self._out})
        except EnvironmentMissingError as error:
            self._progress.say(f"{error.what}; asking again")
            return []
        return [flight for flight in self._out if tasks.get((flight.array, flight.index), "CG") == "CG"]

    def _ended(self, flight: Flight) -> Finished | Job | None:
        """Return how a run stands whose job is gone, or what is to be submitted anew; None: its record may yet come."""
        job, store = flight.job, self._store
        run_id = job.run.run_id
        if flight.is_ours and (problem := problem_path(store, job)).is_file():
            raise ReportedError(Problem.model_validate_json(problem.read_bytes()))
        if (attempt := store.attempts(run_id)) >= job.attempt:
            with suppress(IntegrityError):  # another node's file, not all of it seen yet
                status = store.load(run_id, attempt).status
                is_stale = status in FINAL and not flight.is_ours and job.recorded(store) is None
                return self._again(flight) if is_stale else self._finish(flight, status)
        flight.gone_s = flight.gone_s or time.monotonic()
        if time.monotonic() - flight.gone_s < LAG_S:
            return None
        if not flight.is_ours:  # it was on its way out when this command came
            return self._again(flight)
        cause = f"the job ended without a record; its output is in slurm/{flight.array}"
        try:
            with run_lock(store.results, run_id):
                return self._finish(flight, record_death(job.next(store), store, "crashed", cause), cause)
        except RunIsTakenError as error:
            return self._finish(flight, None, f"left to {error}")

    def _again(self, flight: Flight) -> Job:
        """Return the job of an earlier command, to be submitted anew: it ended, or was of other code or data."""
        self._out.remove(flight)
        return flight.job.next(self._store)

    def _finish(self, flight: Flight, status: Status | None, text: str = "") -> Finished:
        self._out.remove(flight)
        self._progress.end(flight.job.run, status, text)
        return Finished(flight.job.run, status)

    def _cancel(self) -> None:
        """Ask Slurm to end the jobs; those that run save a checkpoint, and leave a record that says so."""
        for name in sorted({flight.array for flight in self._out}):
            try:
                answer(["scancel", f"--name={name}"])
            except EnvironmentMissingError as error:  # the others are ended all the same
                self._progress.say(f"{error.what}; {name} goes on")


def most_gpus() -> int:
    """Return how many GPUs the node with the most of them has."""
    listed = re.findall(r"\bgpu(?::[^:,()\s]+)?:(\d+)", answer(["sinfo", "--noheader", "--format=%G"]))
    return max(map(int, listed), default=0)


def queued(arrays: Collection[str]) -> dict[tuple[str, int], str]:
    """Return the state of each task of these arrays that has not ended, by array and index."""
    if not arrays:
        return {}
    # One that Slurm does not know by now is no error when it is asked for by its name.
    lines = answer(["squeue", "--noheader", "--array", f"--name={','.join(sorted(arrays))}", "--format=%j|%K|%t"])
    rows = [line.split("|") for line in lines.splitlines() if line.count("|") == 2]
    return {(name, int(index) if index.isdecimal() else 0): state for name, index, state in rows}


def answer(command: Sequence[str]) -> str:
    """Return what one of Slurm's programs says; where it fails or is silent, EnvironmentMissingError is raised."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_LIMIT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        words = str(getattr(error, "stderr", None) or "").strip() or str(error)
        raise EnvironmentMissingError("--engine slurm", f"{command[0]}: {words.splitlines()[0]}") from None


def submit(folder: Path, name: str, texts: Sequence[str], wanted: Resources, at_once: int) -> None:
    """Submit an array of jobs, of which so many may run at once; `folder` is seen by all nodes, and takes their output.

    Partition, account and time limit are taken from Slurm's own SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT.

    Raises:
        EnvironmentMissingError: Slurm refuses the array.
        SpecError: a part of a GPU, which Slurm does not give.
    """
    from submitit.core.utils import FailedJobError  # noqa: PLC0415 - an extra that may not be installed
    from submitit.slurm.slurm import SlurmExecutor  # noqa: PLC0415 - the same

    gpus = wanted.gpus or 0
    if gpus % 1:
        raise SpecError("--resources", f"{gpus:g} GPUs: Slurm gives whole ones", allowed=["gpus=1", "gpus=2"])
    threads = "$SLURM_CPUS_ON_NODE" if wanted.cpus is None else str(wanted.cpus)
    try:
        executor = SlurmExecutor(folder)
        executor.update_parameters(
            job_name=name,
            time=None,  # submitit would say five minutes
            exclusive=True if wanted.whole else None,
            cpus_per_task=wanted.cpus,
            gpus_per_node=int(gpus) or None,
            array_parallelism=at_once,
            setup=[f"export OMP_NUM_THREADS={threads}"],
            srun_args=["--cpu-bind=none", *([f"--cpus-per-task={wanted.cpus}"] if wanted.cpus else [])],
            additional_parameters={"requeue": True, "signal": "TERM@60"},  # a minute before the limit, to save
        )
        executor.map_array(carry_out_here, texts)
    except (FailedJobError, RuntimeError, OSError) as error:
        what = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise EnvironmentMissingError("--engine slurm", f"the jobs cannot be submitted: {what}") from None
