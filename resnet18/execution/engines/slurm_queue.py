"""Slurm's own words: what its programs are asked, and what they answer. It keeps no history that could be relied on."""

import re
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet18.execution.engines.engine import Needs
from resnet18.execution.redact import redacted
from resnet18.records import disk
from resnet18.spec.errors import EnvironmentMissingError, SpecError

ANSWER_LIMIT_S = 60
NOT_HERE = "is not on PATH: this is no machine that jobs can be submitted from"


@dataclass(frozen=True)
class Queued:
    """A task of an array that waits or runs."""

    array: str
    """The job's name."""
    index: int
    state: str
    reason: str
    """Why it waits."""


def most_gpus() -> int:
    """Return how many GPUs the node with the most of them has.

    Raises:
        EnvironmentMissingError: there is no Slurm here, or it does not answer.
    """
    listed = re.findall(r"\bgpu(?::[^:,()\s]+)?:(\d+)", answer(["sinfo", "--noheader", "--format=%G"]))
    return max(map(int, listed), default=0)


def queued(arrays: Collection[str]) -> list[Queued]:
    """Return the tasks of these arrays that have not ended.

    Raises:
        EnvironmentMissingError: Slurm does not answer.
    """
    if not arrays:
        return []
    # One that Slurm does not know by now is no error when it is asked for by its name.
    lines = answer(["squeue", "--noheader", "--array", f"--name={','.join(arrays)}", "--format=%j|%K|%t|%r"])
    rows = [line.split("|", 3) for line in lines.splitlines() if line.count("|") >= 3]
    return [Queued(name, int(index) if index.isdecimal() else 0, state, reason) for name, index, state, reason in rows]


def end(array: str) -> None:
    """Ask all tasks of an array to end: what waits is forgotten, what runs gets a signal.

    Raises:
        EnvironmentMissingError: Slurm does not answer.
    """
    answer(["scancel", f"--name={array}"])


def answer(command: Sequence[str]) -> str:
    """Return what one of Slurm's programs says.

    Raises:
        EnvironmentMissingError: it is not there, or fails.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=ANSWER_LIMIT_S, check=True
        )
    except FileNotFoundError:
        raise EnvironmentMissingError("--engine slurm", f"{command[0]} {NOT_HERE}") from None
    except subprocess.TimeoutExpired:
        raise EnvironmentMissingError("--engine slurm", f"{command[0]} gave no answer in a minute") from None
    except subprocess.CalledProcessError as error:
        words = error.stderr.strip() or error.stdout.strip() or f"exit code {error.returncode}"
        raise EnvironmentMissingError("--engine slurm", f"{command[0]}: {words.splitlines()[0]}") from None
    return done.stdout


def submit(folder: Path, name: str, texts: Sequence[str], wanted: Needs, at_once: int) -> None:
    """Submit an array of jobs, each of which carries out one run.

    Partition, account and time limit are taken from Slurm's own SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT.

    Args:
        folder: where submitit keeps what it ships, and the jobs' output; seen by all nodes.
        name: of the array.
        texts: the jobs, as JSON.
        wanted: what each of them needs.
        at_once: how many may run.

    Raises:
        EnvironmentMissingError: submitit is not installed, or Slurm refuses the array.
        SpecError: a part of a GPU, which Slurm does not give.
    """
    try:
        from submitit.core.utils import FailedJobError  # noqa: PLC0415 - an extra that may not be installed
        from submitit.slurm.slurm import SlurmExecutor  # noqa: PLC0415 - the same
    except ImportError:
        raise not_installed() from None
    from resnet18.execution.engines.remote_worker import carry_out_here  # noqa: PLC0415 - found by name in the job

    if wanted.gpus % 1:
        raise SpecError("--resources", f"{wanted.gpus:g} GPUs: Slurm gives whole ones", allowed=["gpus=1", "gpus=2"])
    threads = "$SLURM_CPUS_ON_NODE" if wanted.cpus is None else str(wanted.cpus)
    extra = {"requeue": True, "signal": "TERM@60"}  # a minute before the limit, to save a checkpoint
    try:
        executor = SlurmExecutor(folder)
        executor.update_parameters(
            job_name=name,
            time=None,  # submitit would say five minutes
            exclusive=True if wanted.whole else None,
            cpus_per_task=wanted.cpus,
            gpus_per_node=int(wanted.gpus) or None,
            array_parallelism=at_once,
            setup=[f"export OMP_NUM_THREADS={threads}"],
            srun_args=["--cpu-bind=none", *([f"--cpus-per-task={wanted.cpus}"] if wanted.cpus else [])],
            additional_parameters=extra,
        )
        executor.map_array(carry_out_here, texts)
    except (FailedJobError, RuntimeError, OSError) as error:
        what = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise EnvironmentMissingError("--engine slurm", f"the jobs cannot be submitted: {what}") from None


def not_installed() -> EnvironmentMissingError:
    """Return the error for a missing submitit."""
    return EnvironmentMissingError(
        "--engine slurm", "submitit is not installed", next_step='pip install "resnet18[slurm]"'
    )


def last_words(folder: Path, index: int, *, is_only_one: bool) -> str:
    """Return the last line that a job of an array printed to its error output, "" where it printed none.

    It goes into a record, which says neither who ran it nor where.
    """
    files = sorted(folder.glob("*_0_log.err" if is_only_one else f"*_{index}_0_log.err"))
    try:
        lines = disk.read(files[-1], 1 << 24).decode(errors="replace").strip().splitlines() if files else []
    except OSError:
        return ""
    return redacted(lines[-1], folders=[str(folder)]) if lines else ""
