"""The Ray engine: one task for each run, sent out and taken back by the runner.

Ray's own retries are off. A run whose process or node was lost is given out again from here, so that the user is told
and a run that Ray killed for want of memory is recorded as that. Records travel back with the task's answer: the nodes
need not share a folder.
"""

import time
from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Self

from resnet18.execution.attempt import Session, job_of, record_death
from resnet18.execution.engines.delivery import kept
from resnet18.execution.engines.engine import Finished, Needs, Resources, Site, needs
from resnet18.execution.engines.ray_nodes import Node, able, ask_for, cannot_be_had, connected, living
from resnet18.execution.engines.ray_tasks import Flight, on_a_node, options_of
from resnet18.execution.job import Delivery
from resnet18.execution.lock import RunIsTakenError, locks_at_most, run_lock
from resnet18.execution.process import GRACE_S, ReportedError
from resnet18.records.record import Status
from resnet18.spec.errors import EnvironmentMissingError, SuiteError
from resnet18.spec.plan import Run

LOOK_S = 5.0
"""How often the nodes are counted."""
PATIENCE_S = 60.0
"""How long a run waits for a node that has what it needs, after the last one was lost."""
LOSSES = 3
"""So often a run is given out again after its process or its node was lost."""
MOST_IN_FLIGHT = 2_000


def connect(resources: Resources, at_once: int | None) -> Site:
    """Connect to the cluster that RAY_ADDRESS names, or that this machine belongs to.

    Args:
        resources: what a run takes of a node.
        at_once: how many runs may go on; None: as many as the nodes have room for.

    Raises:
        EnvironmentMissingError: Ray is not installed, or no cluster answers.
    """
    ray = connected()
    gpus = max((node.gpus for node in living(ray)), default=0)
    return Site(
        {"cpu": 1, **({"cuda": gpus} if gpus else {})}, lambda session: RayEngine(session, ray, resources, at_once)
    )


class RayEngine:
    """Gives runs out to the nodes of a cluster.

    Args:
        session: what the runs share.
        ray: the module, connected.
        resources: what a run takes of a node.
        at_once: how many may go on.
    """

    def __init__(self, session: Session, ray: Any, resources: Resources, at_once: int | None) -> None:  # noqa: ANN401 - a module, or what stands for it
        self._session, self._ray, self._resources = session, ray, resources
        self._waiting: deque[Run] = deque()
        self._flying: dict[Any, Flight] = {}
        self._ended: deque[Finished] = deque()
        self._unfit: dict[str, ReportedError] = {}
        """Nodes that get no more runs, and why."""
        self._losses: Counter[str] = Counter()
        self._nodes = living(ray)
        self._has_gpus = any(node.gpus for node in self._nodes)
        """When the runs were planned: `auto` means the same for all of them, whatever nodes are lost."""
        self._looked_s = self._all_well_s = time.monotonic()
        self._at_once = at_once
        self._most = min(MOST_IN_FLIGHT, locks_at_most())
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
        if not self._able(run):
            raise cannot_be_had(run.labels[0], self._needs(run), self._nodes)
        self._waiting.append(run)

    def wait(self) -> Finished:
        """Return the next run that has come back."""
        while not self._ended:
            while self._waiting and len(self._flying) < self._room():
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
        """Keep the record of a run that was interrupted; where that fails, the others are kept all the same."""
        try:
            _, text = self._ray.get(ref)
            delivery = Delivery.model_validate_json(text)
            if delivery.problem is None:
                kept(delivery, self._session.store, flight.run.run_id, flight.job.attempt)
        except self._ray.exceptions.RayError:  # it had not begun, or its node is gone
            return
        except SuiteError as error:
            self._session.progress.say(str(error))

    def _give_out(self, run: Run) -> None:
        """Send a run to a node, unless another runner does or has done so."""
        session, held = self._session, ExitStack()
        try:
            held.enter_context(run_lock(session.store.results, run.run_id))
        except RunIsTakenError as error:
            self._finish(run, None, f", left to {error}")
            return
        status = session.recorded(run)
        if status is not None:
            held.close()
            self._finish(run, status, ", recorded by another runner", was_recorded=True)
            return
        self._send(Flight(run, job_of(run, session), held))

    def _send(self, flight: Flight) -> None:
        ask = ask_for(self._needs(flight.run), self._able(flight.run), flight.ask)
        job = flight.job.model_copy(update={"is_exclusive": flight.job.is_exclusive and ask.is_alone})
        task = self._task.options(**options_of(ask, self._unfit))
        self._flying[task.remote(job.model_dump_json())] = replace(flight, ask=ask)

    def _take_back(self) -> None:
        """Wait until something comes back, and deal with all that has; now and then look which nodes there are."""
        back, _ = self._ray.wait(list(self._flying), num_returns=1, timeout=LOOK_S)
        if back:
            self._all_well_s = time.monotonic()
            back, _ = self._ray.wait(list(self._flying), num_returns=len(self._flying), timeout=0)
        for ref in back:
            self._judge(ref, self._flying.pop(ref))
        if not back or time.monotonic() - self._looked_s > LOOK_S:
            self._look_at_nodes()

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
            with flight.held:
                status = kept(delivery, self._session.store, flight.run.run_id, flight.job.attempt)
            self._finish(flight.run, status, f" on {self._address(node)}")

    def _exclude(self, node: str, why: ReportedError, flight: Flight) -> None:
        """Give a node no more runs, and this one to another."""
        if node not in self._unfit:
            self._session.progress.say(f"{self._address(node)} gets no more runs: {why}")
        self._unfit[node] = why
        if not self._able(flight.run):
            flight.held.close()
            raise why
        self._send(flight)

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
        self._send(flight)

    def _bury(self, flight: Flight, status: Status, cause: str) -> None:
        """Record the end of a run that left no record."""
        with flight.held:
            status = record_death(flight.job, self._session.store, status, cause)
        self._finish(flight.run, status, f": {cause}")

    def _finish(self, run: Run, status: Status | None, text: str, *, was_recorded: bool = False) -> None:
        self._session.progress.came_back(run, status, text)
        self._ended.append(Finished(run, status, was_recorded))

    def _needs(self, run: Run) -> Needs:
        return needs(run, self._resources, has_gpus=self._has_gpus)

    def _able(self, run: Run) -> list[Node]:
        return able(self._fit(), self._needs(run))

    def _room(self) -> int:
        """Return how many runs may be out at once: twice what the nodes can hold, so that none of them waits."""
        return min(self._most, self._at_once or 2 * sum(node.cpus for node in self._nodes) + 2)

    def _look_at_nodes(self) -> None:
        """Count the nodes anew. What waits for one that is gone asks for another; give up where there is none.

        Raises:
            EnvironmentMissingError: for a minute no node has had what a run needs.
        """
        self._nodes, self._looked_s = living(self._ray), time.monotonic()
        fit = self._fit()  # once: there may be thousands of both
        stuck = [
            ref
            for ref, flight in self._flying.items()
            if not any(node.cpus >= flight.ask.cpus and node.gpus >= flight.ask.gpus for node in fit)
        ]
        hopeless = [self._flying[ref].run for ref in stuck if not self._able(self._flying[ref].run)]
        for ref in stuck:
            if self._able(self._flying[ref].run):
                self._ray.cancel(ref)
                self._send(self._flying.pop(ref))
        if not hopeless:
            self._all_well_s = time.monotonic()
        elif time.monotonic() - self._all_well_s > PATIENCE_S:
            raise cannot_be_had(hopeless[0].labels[0], self._needs(hopeless[0]), self._nodes)

    def _fit(self) -> list[Node]:
        return [node for node in self._nodes if node.id not in self._unfit]

    def _address(self, node: str) -> str:
        return next((one.address for one in self._nodes if one.id == node), node[:8])
