"""A plan under an engine whose cluster is made up: what the engine itself costs, and what becomes of each run."""

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from canned import IDENTITY, REQUEST, one_table
from clock import Clock
from cluster import Cluster, Faults
from fake_ray import FakeRay
from fake_slurm import FakeSlurm
from rich.console import Console

from resnet18.execution.engines import ray_engine, slurm_engine
from resnet18.execution.engines.engine import Claim, Engine, Finished
from resnet18.execution.engines.ray_engine import RayEngine
from resnet18.execution.engines.slurm_engine import SlurmEngine
from resnet18.execution.job import Place
from resnet18.execution.progress import Progress
from resnet18.execution.runner import settled_runs
from resnet18.execution.supervision import Session
from resnet18.records.store import Store, last_attempts
from resnet18.spec.data import DataSource
from resnet18.spec.plan import Plan

Row = dict[str, Any]


def session_in(folder: Path) -> Session:
    """Return what all runs of a command share, with nobody to look at its progress."""
    store = Store(folder / "results")
    store.make_writable()
    place = Place.of(DataSource("embedded", "fashion-mnist-mini", None))
    return Session(REQUEST, place, IDENTITY, store, Progress(Console(file=io.StringIO(), force_terminal=False)))


def charged(planned: Plan, session: Session, engine: Engine, clock: Clock) -> tuple[list[Finished], Row]:
    """Hand every run in and wait for all, as the runner does; return how they ended, and what the engine took."""
    with clock.charged() as spent, session.progress.of(planned.runs):
        for run in planned.runs:
            engine.submit(run)
        finished = [engine.wait() for _ in planned.runs]
        engine_took = spent()
    each = 1e3 / len(planned.runs)
    return finished, {"wall_ms_per_run": each * engine_took.wall_s, "cpu_ms_per_run": each * engine_took.cpu_s}


@contextmanager
def standing_in(module: Any, name: str, one: object) -> Iterator[None]:  # noqa: ANN401 - an engine's module
    """Put something in place of a name of a module."""
    kept = getattr(module, name)
    setattr(module, name, one)
    try:
        yield
    finally:
        setattr(module, name, kept)


def under_ray(folder: Path, runs: int, nodes: int, mean_s: float, faults: Faults, seed: int = 0) -> Row:
    """Carry a plan out under the Ray engine with a made-up Ray.

    Args:
        folder: for its results.
        runs: how many.
        nodes: of one processor.
        mean_s: how long a run takes, in virtual seconds.
        faults: what goes wrong.
        seed: of what is drawn.
    """
    _, planned = one_table(folder, runs)
    session, clock = session_in(folder), Clock()
    cluster = Cluster(clock, nodes, faults, random.Random(seed))  # noqa: S311 - no secret
    ray = FakeRay(clock, cluster, mean_s)
    with standing_in(ray_engine, "time", clock), RayEngine(session, ray, Claim(), None) as engine:
        finished, spent = charged(planned, session, engine, clock)
    return {
        "runs": len(planned.runs), "nodes": nodes, "mean_s": mean_s, "seed": seed, **spent,
        "most_in_flight": ray.most_in_flight, **asdict(cluster.count), **outcome(planned, session.store, finished),
    }  # fmt: skip


def under_slurm(folder: Path, runs: int, nodes: int, mean_s: float, faults: Faults, seed: int = 0) -> Row:
    """Carry a plan out under the Slurm engine with a made-up Slurm; the arguments are those of `under_ray`."""
    _, planned = one_table(folder, runs)
    session, clock = session_in(folder), Clock()
    cluster = Cluster(clock, nodes, faults, random.Random(seed))  # noqa: S311 - no secret
    slurm = FakeSlurm(clock, cluster, mean_s, session.store.folder)
    with (
        standing_in(slurm_engine, "time", clock),
        standing_in(slurm_engine, "slurm_queue", slurm),
        SlurmEngine(session, Claim(), None, has_gpus=False) as engine,
    ):
        finished, spent = charged(planned, session, engine, clock)
    return {
        "runs": len(planned.runs), "nodes": nodes, "mean_s": mean_s, "seed": seed, **spent,
        "asked": slurm.asked, **asdict(cluster.count), **outcome(planned, session.store, finished),
    }  # fmt: skip


def outcome(planned: Plan, store: Store, finished: list[Finished]) -> Row:
    """Return what is on disk afterwards: files, runs with a record that settles them, and ends that are not ok."""
    files = sum(path.name.endswith(".json") for path in store.folder.iterdir())
    return {
        "records": files,
        "settled": len(settled_runs(planned, last_attempts(store.read().records), IDENTITY)),
        "finished_ok": sum(one.status == "ok" for one in finished),
        "each_ended_once": len({one.run.run_id for one in finished}) == len(finished),
    }
