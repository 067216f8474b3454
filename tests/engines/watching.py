"""What the tests of both engines share: a command in a process of its own, and what is done while runs go on."""

import subprocess
import sys
import threading
import time

from builders import TINY, TINY_ARGUMENTS, make_toml
from fakes.jobs import ONE_CASE

from resnet18.execution.job import Policy

EVERY_STEP = Policy(checkpoint_every_s=0.0)
LONG = tuple("epochs=200" if option == "epochs=1" else option for option in TINY)


def start_command(folder, program, engine):
    """Start `run` of a run of many epochs in a process of its own, which prints into a pipe."""
    make_toml(folder, ONE_CASE)
    options = [word.replace("epochs=1", "epochs=200") for word in TINY_ARGUMENTS]
    words = ["run", "mine.toml", *options, "--results", "results", "--checkpoint-every", "0"]
    command = [sys.executable, *program, *words, *engine]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end_when_it_trains(process, number, checkpoints):
    """Send a signal once there is another checkpoint, and return what was printed."""
    before = checkpoints()
    when(lambda: checkpoints() - before, lambda: process.send_signal(number))
    return process.communicate(timeout=120)[0]


def hashes(records):
    return {record.run_id: record.result_hash for record in records}


def states(records):
    return [(record.attempt, record.status) for record in records]


def when(condition, action, limit_s=60.0):
    """Do something in the background as soon as something is so."""

    def watch():
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            if condition():
                action()
                return
            threading.Event().wait(0.02)

    threading.Thread(target=watch, daemon=True).start()
