"""The nodes of a Ray cluster: one task for each run, sent out and taken back by the runner.

Ray's own retries are off. A run whose process or node was lost is given out again from here, so that the user is told
and a run that Ray killed for want of memory is recorded as that. Records travel back with the task's answer: the nodes
need not share a folder. Source of the traps that are named below: Ray's documentation of tasks, 2.60.
"""

import base64
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

from resnet18.execution.engines.engine import Claim, Finished, Needs, Site, needs
from resnet18.execution.engines.node import carry_out_apart
from resnet18.execution.job import Delivery, Job
from resnet18.execution.lock import RunIsTakenError, run_lock
from resnet18.execution.process import GRACE_S, ReportedError
from resnet18.execution.supervision import Session, job_of, record_death
from resnet18.records import disk
from resnet18.records.record import Status
from resnet18.records.store import Store
from resnet18.spec.errors import EnvironmentMissingError, SpecError
from resnet18.spec.plan import Run

LOOK_S = 5.0
"""How often the nodes are counted while nothing comes back."""
PATIENCE_S = 60.0
"""How long a run waits for a node that has what it needs, after the last one was lost."""
LOSSES = 3
"""So often a run is given out again after its process or its node was lost."""
MOST_IN_FLIGHT = 2_000


@dataclass(frozen=True)
class Node:
    """A living node of the cluster."""

    id: str
    address: str
    cpus: int
    gpus: int


@dataclass(frozen=True)
class Flight:
    """A run that was given out."""

    run: Run
    job: Job
    held: ExitStack
    """The run's lock in the results directory."""


def connect(claim: Claim, at_once: int | None) -> Site:
    """Connect to the cluster that RAY_ADDRESS names, or that this machine belongs to.

    Args:
        claim: what a run takes of a node.
        at_once: how many runs may go on; None: as many as the nodes have room for.

    Raises:
        EnvironmentMissingError: Ray is not installed, or no cluster answers.
    """
    ray = _connected()
    gpus = max((node.gpus for node in _nodes(ray)), default=0)
    return Site({"cpu": 1, **({"cuda": gpus} if gpus else {})}, lambda session: RayEngine(session, ray, claim, at_once))


def _connected() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    try:
        import ray  # noqa: PLC0415 - an extra that may not be installed
    except ImportError:
        raise EnvironmentMissingError(
            "--engine ray", "Ray is not installed", next_step='pip install "resnet18[ray]"'
        ) from None
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "auto")
        try:
            _check_answers(address)
            ray.init(address=address, logging_level="ERROR", log_to_driver=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise EnvironmentMissingError(
                f"--engine ray (address {address})",
                f"no cluster answers: {str(error).splitlines()[0]}",
                next_step="start one with: ray start --head, or set RAY_ADDRESS=HOST:6379",
            ) from None
    return ray


def _check_answers(address: str) -> None:
    """Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def _nodes(ray: ModuleType) -> list[Node]:
    return [
        Node(
            one["NodeID"],
            one["NodeManagerAddress"],
            int(one["Resources"].get("CPU", 0)),
            int(one["Resources"].get("GPU", 0)),
        )
        for one in ray.nodes()
        if one["Alive"] and one["Resources"].get("CPU", 0) >= 1
    ]


def on_a_node(text: str) -> tuple[str, str]:
    """Carry a job out; the task of each run. Returns the node's id and the `Delivery`."""
    import ray  # noqa: PLC0415 - as above

    return ray.get_runtime_context().get_node_id(), carry_out_apart(text)


class RayEngine:
    """Gives runs out to the nodes of a cluster.

    Args:
        session: what the runs share.
        ray: the module, connected.
        claim: what a run takes of a node.
        at_once: how many may go on.
    """

    def __init__(self, session: Session, ray: Any, claim: Claim, at_once: int | None) -> None:  # noqa: ANN401 - a module, or what stands for it
        self._session, self._ray, self._claim = session, ray, claim
        self._waiting: deque[Run] = deque()
        self._flying: dict[Any, Flight] = {}
        self._ended: deque[Finished] = deque()
        self._unfit: dict[str, ReportedError] = {}
        """Nodes that get no more runs, and why."""
        self._losses: Counter[str] = Counter()
        self._nodes = _nodes(ray)
        self._all_well_s = time.monotonic()
        self._room = at_once or min(MOST_IN_FLIGHT, 2 * sum(node.cpus for node in self._nodes) + 2)
        self._task = ray.remote(max_retries=0, max_calls=0)(on_a_node)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def submit(self, run: Run) -> None:
        """Take a run.

        Raises:
            EnvironmentMissingError: no node has what it needs.
        """
        if not self._able(self._needs(run)):
            raise self._cannot_be_had([run])
        self._waiting.append(run)

    def wait(self) -> Finished:
        """Return the next run that has come back."""
        while not self._ended:
            while self._waiting and len(self._flying) < self._room:
                self._give_out(self._waiting.popleft())
            if self._flying and not self._ended:
                self._take_back()
        return self._ended.popleft()

    def cancel(self) -> None:
        """Interrupt what goes on, and keep the records that say so."""
        self._waiting.clear()
        for ref in self._flying:
            self._ray.cancel(ref, force=False)
        if self._flying:
            back, _ = self._ray.wait(list(self._flying), num_returns=len(self._flying), timeout=2 * GRACE_S)
            for ref in back:
                flight = self._flying.pop(ref)
                with flight.held:
                    self._keep_if_any(ref, flight)
        for flight in self._flying.values():
            flight.held.close()
        self._flying.clear()

    def _keep_if_any(self, ref: object, flight: Flight) -> None:
        try:
            _, text = self._ray.get(ref)
        except self._ray.exceptions.RayError:  # it had not begun, or its node is gone
            return
        delivery = Delivery.model_validate_json(text)
        if delivery.problem is None:
            self._keep(flight, delivery)

    def _give_out(self, run: Run) -> None:
        """Send a run to a node, unless another runner does or has done so."""
        session, held = self._session, ExitStack()
        try:
            held.enter_context(run_lock(session.store.results, run.run_id))
        except RunIsTakenError as error:
            self._finish(run, None, f", left to {error}")
            return
        status = session.recorded(run.run_id)
        if status is not None:
            held.close()
            self._finish(run, status, ", recorded by another runner", was_recorded=True)
            return
        wanted = self._needs(run)
        job = job_of(run, session).model_copy(update={"is_exclusive": wanted.is_exclusive})
        self._send(Flight(run, job, held), wanted)

    def _send(self, flight: Flight, wanted: Needs) -> None:
        able = self._able(wanted)
        # A run with the node for itself claims all processors of the largest: on a smaller one it would not be alone.
        cpus = wanted.cpus or max((node.cpus for node in able), default=1)
        task = self._task.options(
            num_cpus=cpus,
            num_gpus=wanted.gpus,
            # Ray sets it to 1 or to num_cpus by rules of its own, and a process with another environment is another.
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(cpus)}},
            label_selector={"ray.io/node-id": f"!in({','.join(self._unfit)})"} if self._unfit else None,
        )
        self._flying[task.remote(flight.job.model_dump_json())] = flight

    def _take_back(self) -> None:
        """Wait until something comes back, and deal with all that has; look at the nodes where nothing does."""
        back, _ = self._ray.wait(list(self._flying), num_returns=1, timeout=LOOK_S)
        if not back:
            self._look_at_nodes()
            return
        back, _ = self._ray.wait(list(self._flying), num_returns=len(self._flying), timeout=0)
        for ref in back:
            self._judge(ref, self._flying.pop(ref))

    def _judge(self, ref: object, flight: Flight) -> None:
        """Keep the record that came back, or give the run out again."""
        errors = self._ray.exceptions
        try:
            node, text = self._ray.get(ref)
        except errors.RayTaskError as error:
            flight.held.close()
            raise EnvironmentMissingError(
                "--engine ray",
                f"a node cannot carry runs out: {str(error).strip().splitlines()[-1]}",
                next_step="install the same version of resnet18 on every node",
            ) from None
        except errors.OutOfMemoryError as error:
            self._bury(flight, "oom_host", f"Ray ended the run: {str(error).splitlines()[0]}")
        except errors.RayError as error:
            self._lost(flight, type(error).__name__)
        else:
            delivery = Delivery.model_validate_json(text)
            if delivery.problem is not None:
                self._exclude(node, ReportedError(delivery.problem), flight)
                return
            status = self._keep(flight, delivery)
            flight.held.close()
            self._finish(flight.run, status, f" on {self._address(node)}")

    def _keep(self, flight: Flight, delivery: Delivery) -> Status:
        """Write what came back into the store, the record last, and return its status.

        Raises:
            EnvironmentMissingError: there is no room for it.
            IntegrityError: it is no record.
        """
        store, run, attempt = self._session.store, flight.run.run_id, flight.job.attempt
        try:
            if delivery.log:
                disk.replace(store.log_path(run, attempt), delivery.log.encode())
            if delivery.picture is not None:
                store.save_picture(run, attempt, base64.b64decode(delivery.picture))
            return store.keep(run, attempt, (delivery.record or "").encode()).status
        except OSError as error:
            raise EnvironmentMissingError(
                str(store.results),
                f"a record that came back cannot be kept: {error.strerror}",
                next_step="make room; the same command goes on with what is missing",
            ) from None

    def _exclude(self, node: str, why: ReportedError, flight: Flight) -> None:
        """Give a node no more runs, and this one to another."""
        if node not in self._unfit:
            self._session.progress.say(f"{self._address(node)} gets no more runs: {why}")
        self._unfit[node] = why
        if not self._able(self._needs(flight.run)):
            flight.held.close()
            raise why
        self._send(flight, self._needs(flight.run))

    def _lost(self, flight: Flight, how: str) -> None:
        """Give a run out again whose process or node was lost."""
        run = flight.run
        self._losses[run.run_id] += 1
        if self._losses[run.run_id] > LOSSES:
            self._bury(flight, "crashed", f"its process or node was lost {LOSSES + 1} times ({how})")
            return
        self._session.progress.say(
            f"{run.labels[0]} seed {run.experiment.seed} was lost ({how}), and is given out again"
        )
        self._send(flight, self._needs(run))

    def _bury(self, flight: Flight, status: Status, cause: str) -> None:
        """Record the end of a run that left no record."""
        with flight.held:
            status = record_death(flight.job, Store(self._session.store.results), status, cause)
        self._finish(flight.run, status, f": {cause}")

    def _finish(self, run: Run, status: Status | None, text: str, *, was_recorded: bool = False) -> None:
        self._session.progress.came_back(run, status, text)
        self._ended.append(Finished(run, status, was_recorded))

    def _needs(self, run: Run) -> Needs:
        return needs(run, self._claim, has_gpus=any(node.gpus for node in self._nodes))

    def _able(self, wanted: Needs) -> list[Node]:
        """Return the nodes that have what a run needs."""
        cpus = wanted.cpus or 1
        fit = [node for node in self._nodes if node.id not in self._unfit]
        return [node for node in fit if node.cpus >= cpus and node.gpus >= wanted.gpus]

    def _look_at_nodes(self) -> None:
        """Count the nodes anew; give up when for a minute none has had what a run needs."""
        self._nodes = _nodes(self._ray)
        stuck = [flight.run for flight in self._flying.values() if not self._able(self._needs(flight.run))]
        if not stuck:
            self._all_well_s = time.monotonic()
        elif time.monotonic() - self._all_well_s > PATIENCE_S:
            raise self._cannot_be_had(stuck)

    def _cannot_be_had(self, runs: Iterable[Run]) -> EnvironmentMissingError | SpecError:
        run = next(iter(runs))
        wanted = self._needs(run)
        what = f"{wanted.cpus or 1} CPUs" + (f" and {wanted.gpus:g} GPUs" if wanted.gpus else "")
        have = ", ".join(f"{node.address}: {node.cpus} CPUs, {node.gpus} GPUs" for node in self._nodes) or "none"
        return EnvironmentMissingError(
            "--engine ray",
            f"no node has the {what} that {run.labels[0]} needs (nodes: {have})",
            next_step="claim less with --claim, or start such a node",
        )

    def _address(self, node: str) -> str:
        return next((one.address for one in self._nodes if one.id == node), node[:8])
