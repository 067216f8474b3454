"""What engines are given and bring back, without any training: jobs, a progress display, and records made to order."""

import io

from builders import TINY, TOML, fitting, make_benchmark, make_record, make_store
from rich.console import Console

from resnet18.execution.cluster import Delivery
from resnet18.execution.job import DEFAULT, Job
from resnet18.execution.progress import Progress
from resnet18.execution.runner import LocalEngine, make_jobs, run_plan
from resnet18.records.store import Store
from resnet18.spec.errors import EnvironmentMissingError
from resnet18.spec.experiment import parse_data
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

EMBEDDED = parse_data("fashion-mnist-mini")
REQUEST = Request(data=EMBEDDED.label, overrides=TINY)
ONE_CASE = TOML[: TOML.index('[[case]]\nname = "16"')]
TIMED = TOML.replace('case_title = "Batch"', 'case_title = "Batch"\nspeed_up_over = "8"')
ON_GPU = TOML.replace("experiment = { batch_size", 'execution = { device = "cuda" }\nexperiment = { batch_size')


class Quiet(Progress):
    """A progress display that remembers its lines."""

    def __init__(self):
        super().__init__(Console(file=io.StringIO(), force_terminal=False))
        self.lines = []

    def tell(self, text, *events):
        self.lines += [text] if text else []


def run_in(results, text=TOML, *, engine=None, seeds=1, overrides=TINY, source=EMBEDDED, progress=None, policy=DEFAULT):
    """Run a benchmark file, which is written beside the results, and return how its runs stand."""
    request = Request(data=source.label, overrides=overrides)
    planned = plan([make_benchmark(results.parent, text)], request, range(seeds), {"cpu": 1, "cuda": 1})
    engine, store, progress = engine or LocalEngine(), Store(results), progress or Quiet()
    return run_plan(planned, request, source, engine, store, store.read().records, progress, policy)


def jobs_of(folder, text=TOML, seeds=1, *, data="d" * 64):
    """What an engine is given of each run; its store is in the folder `results`."""
    runs = plan([make_benchmark(folder, text)], REQUEST, range(seeds), {"cpu": 1, "cuda": 8}).runs
    return make_jobs(runs, REQUEST, EMBEDDED, data, make_store(folder / "results"))


def record_of(job: Job, status="ok", **changes):
    """The record that a job might leave."""
    of = job.identity
    own = {"code": of.code_hash, "shared_code": of.shared_code_hash, "commit": of.commit, "dirty": of.dirty}
    changes = {"attempt": job.attempt, **own, "data": of.data_sha256} | changes
    return fitting(make_record(job.run.experiment, job.run.execution, request=REQUEST, status=status, **changes))


def delivery_of(job: Job, status="ok", **changes):
    """What a node sends back, as text."""
    record = record_of(job, status, **changes).model_dump_json().encode()
    return Delivery(record=record, log=b"a word\n").model_dump_json()


def problem(what="is full", error=EnvironmentMissingError):
    """What a node sends back that can carry nothing out, as text."""
    return Delivery.of(error("node x", what)).model_dump_json()


def states(store):
    """Attempt and status of each record."""
    return [(record.attempt, record.status) for record in store.read().records]
