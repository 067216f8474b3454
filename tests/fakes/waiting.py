"""A command whose runs wait instead of training: no torch, so that its processes are there in tenths of a second.

Started as a program with a results folder and how many runs it carries out, one after the other.
"""

import os
import signal
import sys
from pathlib import Path
from types import ModuleType

from builders import make_experiment, make_job, make_run

from resnet18.__main__ import main
from resnet18.cli import app as cli
from resnet18.cli.options import Answer
from resnet18.execution import attempt, processes
from resnet18.execution.job import Message

ENTER = attempt._enter


def enter(*arguments):
    """Start a child that has a loader process, tells of its start and waits until it is asked to stop."""
    worker = ModuleType("worker")
    worker.run_job = run_job
    sys.modules["resnet18.execution.worker"] = None if "WORKER_IS_MISSING" in os.environ else worker
    ENTER(*arguments)


def run_job(job, send, stops):
    if os.fork() == 0:
        signal.pause()
    send(Message(note="waits"))
    while not stops:
        signal.pause()
    send(Message(note="stops"))


def waiting_command(folder: Path, runs: int):
    processes.fork_server()
    for seed in range(runs):
        job = make_job(folder, make_run(make_experiment(seed=seed)))
        job.store.make_writable()
        attempt.carry_out(job, lambda message: os.write(1, f"{message.note}\n".encode()))
    return Answer(None, "")


def program():
    processes.PRELOADED[:] = ["fakes.waiting"]
    attempt._enter = enter
    cli.app = cli.made_of([waiting_command], "")
    main()


if __name__ == "__main__":
    import fakes.waiting

    fakes.waiting.program()  # under a name that a child can import
