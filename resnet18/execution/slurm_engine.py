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
from pathlib import Path

from resnet18.execution.attempt import run_lock
from resnet18.execution.cluster import Delivery, Resources, carry_out_here, problem_path, resources_of
from resnet18.execution.job import Engine, Finished, Job, record_death
from resnet18.execution.progress import Progress
from resnet18.records import disk
from resnet18.records.record import Status
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, LockedError, SpecError
from resnet18.spec.metric import how_many
from resnet18.spec.validation import strict_json

LOOK_S = 10.0  # how often Slurm is asked, which has others to serve
LAG_S = 60.0  # for a record to be seen here after its job has ended: NFS keeps what a folder holds for so long
ANSWER_LIMIT_S = 60
Place = tuple[str, int]  # of a run in Slurm: the name of an array, and the index there


class SlurmEngine(Engine):
    """Submits runs to the Slurm of this machine; so many of an array may run at once."""

    def __init__(self, resources: Resources, at_once: int | None) -> None:
        try:
            import submitit  # noqa: F401, PLC0415 - an extra that may not be installed
        except ImportError:
            next_step = 'pip install ".[slurm]"'
            raise EnvironmentMissingError("--engine slurm", "submitit is not installed", next_step=next_step) from None
        self._resources, self._at_once = resources, at_once or 1_000
        self._out: dict[Place, Job] = {}
        """What waits or goes on. Records of attempts before the job's own are of earlier commands."""
        self._ours: set[str] = set()  # arrays that this command has submitted
        self._gone_s: dict[Place, float] = {}  # when Slurm first knew nothing of a run
        gpus = most_gpus()
        self.devices = {"cpu": 1, **({"cuda": gpus} if gpus else {})}

    def carry_out(self, jobs: Sequence[Job], progress: Progress) -> list[Finished]:
        """Carry out runs; see `Engine`. Only Ctrl-C ends the jobs. LockedError: another command waits for jobs here."""
        if not jobs:
            return []
        self._progress, self._folder = progress, jobs[0].results / "slurm"
        disk.make_folder(self._folder)
        try:
            with disk.lock(self._folder / "lock"):
                return self._wait_for([job.next() for job in jobs])
        except disk.LockIsTakenError as error:
            raise LockedError(str(jobs[0].results), f"another runner waits for Slurm's jobs here: {error}") from None
        except KeyboardInterrupt:
            self._cancel()
            raise
        except BaseException:
            if self._out:
                progress.say("the jobs stay in Slurm; the same command waits for them again")
            raise

    def _wait_for(self, jobs: Sequence[Job]) -> list[Finished]:
        """Submit runs, save those that an earlier command has submitted, and wait for all of them."""
        left, finished = self._left_over(), list[Finished]()
        self._out = {left[job.run.run_id]: job for job in jobs if job.run.run_id in left}
        if self._out:
            self._progress.say(f"in Slurm already: {how_many(len(self._out), 'run')}")
        self._submit([job for job in jobs if job.run.run_id not in left])
        while self._out:
            time.sleep(LOOK_S)
            try:
                alive = queued({name for name, _ in self._out})
            except EnvironmentMissingError as error:
                self._progress.say(f"{error.what}; asking again")
                continue
            gone = [place for place in self._out if place not in alive]
            anew = [place for place in gone if self._left_nothing_of_use(place)]
            self._submit([self._out.pop(place).next() for place in anew])
            finished += [ended for place in gone if place in self._out and (ended := self._ended(place)) is not None]
        return finished

    def _left_over(self) -> dict[str, Place]:
        """Return where each run is that earlier commands submitted and that has not ended."""
        arrays = {file.parent.name: strict_json(disk.read(file)) for file in self._folder.glob("*/array.json")}
        alive = queued(arrays)
        for name in arrays.keys() - {name for name, _ in alive}:
            (self._folder / name / "array.json").unlink()
        return {arrays[name][index]: (name, index) for name, index in alive}

    def _submit(self, jobs: Sequence[Job]) -> None:
        """Submit runs that need the same as one array, after writing which runs it holds for the next command."""
        by_needs: dict[Resources, list[Job]] = {}
        for job in jobs:
            wanted = resources_of(job.run, self._resources, has_gpus="cuda" in self.devices)
            by_needs.setdefault(wanted, []).append(job.model_copy(update={"is_exclusive": wanted.whole}))
            problem_path(job).unlink(missing_ok=True)  # what a node found for an earlier command
        for wanted, group in by_needs.items():
            name = f"resnet18-{secrets.token_hex(4)}"
            disk.make_folder(self._folder / name)
            disk.write_new(self._folder / name / "array.json", json.dumps([job.run.run_id for job in group]).encode())
            submit(self._folder / name, [job.model_dump_json() for job in group], wanted, self._at_once)
            self._ours.add(name)
            self._out |= {(name, index): job for index, job in enumerate(group)}
            self._progress.say(f"submitted as {name}: {how_many(len(group), 'run')}")

    def _left_nothing_of_use(self, place: Place) -> bool:
        """Say of a run that an earlier command has submitted whether it ended, and is not done by any record."""
        job = self._out[place]
        if place[0] in self._ours or job.recorded() is not None:
            return False
        return job.store.attempts(job.run.run_id) >= job.attempt or self._is_long_gone(place)

    def _is_long_gone(self, place: Place) -> bool:
        """Say whether Slurm has known nothing of a run for so long that its record would be seen here."""
        return time.monotonic() - self._gone_s.setdefault(place, time.monotonic()) >= LAG_S

    def _ended(self, place: Place) -> Finished | None:
        """Return how a run stands whose job is gone; None: its record may yet come."""
        job = self._out[place]
        problem = problem_path(job)
        with suppress(FileNotFoundError):
            if error := Delivery.model_validate_json(disk.read(problem)).error:
                raise error
        if (attempt := job.store.attempts(job.run.run_id)) >= job.attempt:
            with suppress(IntegrityError):  # another node's file, not all of it seen yet
                return self._finish(place, job.store.load(job.run.run_id, attempt).status)
        if not self._is_long_gone(place):
            return None
        cause = f"the job ended without a record; its output is in slurm/{place[0]}"
        try:
            with run_lock(job.results, job.run.run_id):
                return self._finish(place, record_death(job.next(), "crashed", cause), cause)
        except disk.LockIsTakenError as error:
            return self._finish(place, None, f"left to {error}")

    def _finish(self, place: Place, status: Status | None, text: str = "") -> Finished:
        return self._progress.end(self._out.pop(place).run, status, text)

    def _cancel(self) -> None:
        """Ask Slurm to end the jobs; those that run save a checkpoint, and leave a record that says so."""
        for name in sorted({name for name, _ in self._out}):
            try:
                answer(["scancel", f"--name={name}"])
            except EnvironmentMissingError as error:  # the others are ended all the same
                self._progress.say(f"{error.what}; {name} goes on")


def most_gpus() -> int:
    """Return how many GPUs the node with the most of them has."""
    listed = re.findall(r"\bgpu(?::[^:,()\s]+)?:(\d+)", answer(["sinfo", "--noheader", "--format=%G"]))
    return max(map(int, listed), default=0)


def queued(arrays: Collection[str]) -> set[Place]:
    """Return the runs of these arrays that wait or go on; those that are completing have left their record."""
    if not arrays:
        return set()
    # An array that Slurm does not know by now is no error when it is asked for by its name.
    lines = answer(["squeue", "--noheader", "--array", f"--name={','.join(sorted(arrays))}", "--format=%j|%K|%t"])
    rows = [line.split("|") for line in lines.splitlines() if line.count("|") == 2]
    return {(name, int(index) if index.isdecimal() else 0) for name, index, state in rows if state != "CG"}


def answer(command: Sequence[str]) -> str:
    """Return what a program of Slurm prints; where it fails or is silent, EnvironmentMissingError is raised."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_LIMIT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        words = str(getattr(error, "stderr", None) or "").strip() or str(error)
        raise EnvironmentMissingError("--engine slurm", f"{command[0]}: {words.splitlines()[0]}") from None


def submit(folder: Path, texts: Sequence[str], wanted: Resources, at_once: int) -> None:
    """Submit an array of jobs, of which so many may run at once; all nodes see the folder, which takes their output.

    Slurm itself reads SBATCH_PARTITION, SBATCH_ACCOUNT and SBATCH_TIMELIMIT. EnvironmentMissingError is raised where it
    refuses the array, SpecError for a part of a GPU.
    """
    from submitit.core.utils import FailedJobError  # noqa: PLC0415 - an extra that may not be installed
    from submitit.slurm.slurm import SlurmExecutor  # noqa: PLC0415 - the same

    gpus, cpus = wanted.gpus or 0, wanted.cpus
    if gpus % 1:
        raise SpecError("--resources", f"{gpus:g} GPUs: Slurm gives whole ones", allowed=["gpus=1", "gpus=2"])
    try:
        executor = SlurmExecutor(folder)
        executor.update_parameters(
            job_name=folder.name,
            time=None,  # submitit would say five minutes
            exclusive=True if wanted.whole else None,
            cpus_per_task=cpus,
            gpus_per_node=int(gpus) or None,
            array_parallelism=at_once,
            setup=[f"export OMP_NUM_THREADS={cpus or '$SLURM_CPUS_ON_NODE'}"],
            srun_args=["--cpu-bind=none", *([f"--cpus-per-task={cpus}"] if cpus else [])],
            additional_parameters={"requeue": True, "signal": "TERM@60"},  # a minute before the limit, to save
        )
        executor.map_array(carry_out_here, texts)
    except (FailedJobError, RuntimeError, OSError) as error:
        what = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise EnvironmentMissingError("--engine slurm", f"the jobs cannot be submitted: {what}") from None
