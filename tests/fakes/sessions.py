"""What engines are given and bring back, without any training: a session, runs, and records made to order."""

import io
import json

from builders import TINY, TOML, make_benchmark, make_record
from rich.console import Console

from resnet18.execution.attempt import Session
from resnet18.execution.job import Delivery, Job, Place, Problem
from resnet18.execution.origin import Origin
from resnet18.execution.policy import DEFAULT
from resnet18.execution.progress import Progress
from resnet18.records.store import Store
from resnet18.spec.data import parse_data
from resnet18.spec.errors import EnvironmentMissingError
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

EMBEDDED = parse_data("fashion-mnist-mini")
ORIGIN = Origin(commit=None, dirty=None, data_sha256="d" * 64)
REQUEST = Request(data=EMBEDDED.label, overrides=TINY)
TIMED = TOML.replace('case_title = "Batch"', 'case_title = "Batch"\nspeed_up_over = "8"')
ON_GPU = TOML.replace("experiment = { batch_size", 'execution = { device = "cuda" }\nexperiment = { batch_size')


class Heard(Progress):
    """A progress display that remembers its lines."""

    def __init__(self):
        super().__init__(Console(file=io.StringIO(), force_terminal=False))
        self.lines = []

    def _print(self, text):
        self.lines.append(text)


def make_session(folder, origin=ORIGIN, policy=DEFAULT):
    store = Store(folder / "results")
    store.make_writable()
    return Session(REQUEST, Place.of(EMBEDDED), origin, store, Heard(), policy)


def make_runs(folder, text=TOML, seeds=1):
    return plan([make_benchmark(folder, text)], REQUEST, range(seeds), {"cpu": 1, "cuda": 8}).runs


def record_of(job: Job, status="ok", **changes):
    """The record that a job might leave."""
    own = {"code": job.identity.code_hash, "shared_code": job.identity.shared_code_hash}
    changes = {"attempt": job.attempt, **own, "data": job.identity.data_sha256} | changes
    return make_record(job.spec.experiment, job.spec.execution, request=REQUEST, status=status, **changes)


def record_text(record):
    """A record as the store writes it."""
    return json.dumps(record.model_dump(mode="json", by_alias=True), indent=1) + "\n"


def delivery_of(job: Job, status="ok", **changes):
    """What a node sends back, as text."""
    return Delivery(record=record_text(record_of(job, status, **changes)), log="a word\n").model_dump_json()


def problem(what="is full", error=EnvironmentMissingError):
    """What a node sends back that can carry nothing out, as text."""
    return Delivery(problem=Problem.of(error("node x", what))).model_dump_json()


def states(session):
    """Attempt and status of each record."""
    return [(record.attempt, record.status) for record in session.store.read().records]
