"""The process of a rank other than 0: it trains its part of each batch, and tells rank 0 how it failed, if it does.

It is found by torchrun's variables of the environment. It measures nothing, and leaves neither record nor checkpoint.
"""

import os
import signal
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Annotated

import torch
from pydantic import Field

from resnet18.execution.descent import die_with_the_parent
from resnet18.execution.job import Job
from resnet18.execution.worker_ending import classify, told
from resnet18.measure.clock import Clock
from resnet18.records.checkpoints import Checkpoints
from resnet18.records.record import Status
from resnet18.spec.data import path_from_text
from resnet18.spec.errors import IntegrityError
from resnet18.spec.identity import run_id
from resnet18.spec.strict import Model
from resnet18.training.checkpoint import Moment, restore
from resnet18.training.dataset import DataSet
from resnet18.training.device import ready_device
from resnet18.training.loop import train
from resnet18.training.memory_cap import memory_capped
from resnet18.training.ranks import Ranks, joined, store_of_environment
from resnet18.training.results import START, DivergedError, Position
from resnet18.training.setup import Setup, set_up
from resnet18.training.source import open_data

Whole = Annotated[int, Field(ge=0)]


class Begin(Model):
    """From rank 0, once it knows: where training begins. Beyond the first step a checkpoint holds the rest."""

    epoch: Whole
    steps: Whole

    @classmethod
    def at(cls, position: Position) -> "Begin":
        """Return what rank 0 says of a position."""
        return cls(epoch=position.epoch, steps=position.steps)


class Said(Model):
    """From a peer: that it is ready to join (no status), or how it failed."""

    status: Status | None = None
    words: str = ""
    at_ns: Whole = 0
    """By the machine's monotonic clock: the first of several is the cause of the others."""


def data_of(job: Job) -> DataSet:
    """Open a job's data set.

    Raises:
        IntegrityError: it is not the one that the runner has seen.
    """
    data = open_data(job.place.source, verify=False)
    if data.sha256 != job.identity.data_sha256:
        raise IntegrityError(f"data set {data.label}", "was changed after the runner had opened it")
    return data


def enter(text: str, variables: Mapping[str, str], parent: int, link: Connection) -> None:
    """Start of a peer's process.

    Args:
        text: the job, as JSON.
        variables: torchrun's, of this rank.
        parent: rank 0's process number.
        link: carries `Begin` from rank 0, and `Said` to it.
    """
    die_with_the_parent(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # rank 0 decides, and saves a checkpoint before it ends the others
        signal.signal(number, signal.SIG_IGN)
    os.environ.update(variables)
    job = Job.model_validate_json(text)
    try:
        _follow(job, Ranks(int(variables["RANK"]), int(variables["WORLD_SIZE"])), link)
    except DivergedError:
        return  # on all ranks alike: rank 0 says it
    except Exception:  # noqa: BLE001 - whatever it is, rank 0 says it
        traceback.print_exc()  # into the log beside the records
        raise SystemExit(1) from None


def _follow(job: Job, ranks: Ranks, link: Connection) -> None:
    """Train in step with rank 0, from where it begins on."""
    execution = job.spec.execution
    try:
        device = ready_device(execution, ranks)
        with memory_capped(execution, device):
            _say(link, Said())
            with joined(ranks, device, store_of_environment()):
                _train(job, ranks, device, link)
    except DivergedError:
        raise
    except Exception as error:
        status = classify(error, is_capped=execution.memory_cap is not None)
        _say(link, Said(status=status, words=told(error, job), at_ns=time.monotonic_ns()))
        raise


def _train(job: Job, ranks: Ranks, device: torch.device, link: Connection) -> None:
    setup = set_up(job.spec.experiment, job.spec.execution, data_of(job), device, ranks)
    clock = Clock(lambda: None)  # nobody reads it
    begin = Begin.model_validate_json(link.recv_bytes())
    for _ in train(setup, clock, _position(job, setup, clock, begin)):
        pass  # rank 0 has the same


def _position(job: Job, setup: Setup, clock: Clock, begin: Begin) -> Position:
    """Return where to begin, with the tensors of the checkpoint from which rank 0 goes on.

    Raises:
        IntegrityError: the last checkpoint that is whole is another one.
    """
    if begin == Begin.at(START):
        return START
    checkpoint, _ = Checkpoints(path_from_text(job.results), run_id(job.spec.experiment, job.spec.execution)).latest()
    if checkpoint is None:
        raise IntegrityError("checkpoint", "is gone since rank 0 has read it")
    position = restore(setup, clock, Moment.model_validate(checkpoint.head.training), checkpoint.arrays)
    if begin != Begin.at(position):
        raise IntegrityError("checkpoint", "is another than rank 0 has read")
    return position


def _say(link: Connection, said: Said) -> None:
    with suppress(OSError):  # rank 0 is gone, and this process with it
        link.send_bytes(said.model_dump_json().encode())
