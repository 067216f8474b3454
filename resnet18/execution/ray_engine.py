"""The Ray engine: a task for each run. Ray queues them, and starts again those whose process or node was lost.

Records travel back with a task's answer: the nodes need not share a folder.
"""

import logging
import os
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from resnet18.execution.attempt import claim
from resnet18.execution.child import GRACE_S
from resnet18.execution.engine import Engine, Finished, Job, Resources, resources_of
from resnet18.execution.failure import record_death
from resnet18.execution.progress import Progress
from resnet18.execution.remote_worker import Delivery, ReportedError, carry_out_apart
from resnet18.records.record import Status
from resnet18.spec.errors import EnvironmentMissingError, SuiteError
from resnet18.spec.plan import Run

PATIENCE_S = 60.0
"""How often the nodes are looked at while nothing comes back: runs wait so long for a node that has what they need."""
RETRIES = 3
"""So often Ray starts a run again whose process or node was lost."""
MOST_OUT = 400
"""Each run that is out holds a lock, which is an open file; many systems allow a process 1,024."""


class Node(NamedTuple):
    """A living node of the cluster."""

    id: str
    address: str
    cpus: int
    gpus: int


class Task(NamedTuple):
    """A run that is given out, its lock in the results directory, and what it asked for."""

    job: Job
    held: ExitStack
    cpus: int
    gpus: float


class RayEngine(Engine):
    """Gives runs out to the nodes of the cluster that RAY_ADDRESS names, or that this machine belongs to.

    So many may be out at once; None: as many as the nodes have room for, and some that wait.
    """

    def __init__(self, resources: Resources, at_once: int | None) -> None:
        self._resources, self._ray = resources, connected()
        self._nodes = living(self._ray)
        self._unfit: dict[str, ReportedError] = {}
        """Nodes that get no more runs, and why."""
        gpus = max((node.gpus for node in self._nodes), default=0)
        self.devices = {"cpu": 1, **({"cuda": gpus} if gpus else {})}
        self._most_out = at_once or min(MOST_OUT, 2 * sum(node.cpus for node in self._nodes) + 2)

    def carry_out(self, jobs: Sequence[Job], progress: Progress) -> list[Finished]:
        """Carry out runs that are not done; see `Engine`."""
        for job in jobs:
            self._needs(job.run)
        waiting, out, finished = deque(jobs), dict[Any, Task](), list[Finished]()
        try:
            while waiting or out:
                while waiting and len(out) < self._most_out:
                    with ExitStack() as held:
                        claimed = claim(waiting.popleft(), progress, held)
                        if isinstance(claimed, Finished):
                            finished.append(claimed)
                        else:
                            self._send(claimed, held, out)
                for ref in self._ended(out) if out else ():
                    task = out.pop(ref)
                    with task.held as held:
                        ended = self._end(ref, task.job, progress)
                        if ended is None:  # its node is no good: another one may be
                            self._send(task.job, held, out)
                        else:
                            finished.append(ended)
        finally:
            self._cancel(out, progress)
        return finished

    def _needs(self, run: Run) -> tuple[int, float]:
        """Return the CPUs and GPUs that Ray is asked for.

        A run with the node for itself asks for all processors of the largest: on a smaller one, which has fewer, it
        cannot come, so it is alone. One with a GPU gets the processors that belong to it.
        """
        wanted = resources_of(run, self._resources, has_gpus="cuda" in self.devices)
        gpus, cpus = wanted.gpus or 0.0, wanted.cpus
        able = [node for node in self._nodes if node.cpus >= (cpus or 1) and node.gpus >= gpus]
        if not able:
            what = f"{cpus or 1} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
            have = ", ".join(f"{node.address}: {node.cpus} CPUs, {node.gpus} GPUs" for node in self._nodes) or "none"
            raise EnvironmentMissingError(
                "--engine ray",
                f"no node has the {what} that {run.labels[0]} needs (nodes: {have})",
                next_step="ask for less with --resources, or start such a node",
            )
        fit = [node for node in able if node.id not in self._unfit]
        if not fit:
            raise self._unfit[able[0].id]
        largest = max(fit, key=lambda node: node.cpus)
        if wanted.whole or not largest.gpus:
            return cpus or largest.cpus, gpus
        return cpus or max(1, int(largest.cpus * gpus / largest.gpus)), gpus

    def _send(self, job: Job, held: ExitStack, out: dict[Any, Task]) -> None:
        """Give a run out, which keeps what is held."""
        cpus, gpus = self._needs(job.run)
        task = self._ray.remote(max_retries=RETRIES, max_calls=0)(on_a_node).options(
            num_cpus=cpus,
            num_gpus=gpus,
            # Ray sets it to 1 or to num_cpus by rules of its own, and a process with another environment is another.
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(cpus)}},
            label_selector={"ray.io/node-id": f"!in({','.join(self._unfit)})"} if self._unfit else None,
        )
        out[task.remote(job.model_dump_json())] = Task(job, held.pop_all(), cpus, gpus)

    def _ended(self, out: Mapping[Any, Task]) -> list[Any]:
        """Wait until something comes back, and return it.

        Raises:
            EnvironmentMissingError: nothing does for a minute, and no node that is left has what the runs need.
        """
        while True:
            back: list[Any] = self._ray.wait(list(out), num_returns=1, timeout=PATIENCE_S)[0]
            if back:
                return back
            alive = [node for node in living(self._ray) if node.id not in self._unfit]
            if not any(node.cpus >= task.cpus and node.gpus >= task.gpus for task in out.values() for node in alive):
                asked = sorted({f"{task.cpus} CPUs and {task.gpus:g} GPUs" for task in out.values()})
                what = f"no node that is left has {' or '.join(asked)}"
                raise EnvironmentMissingError("--engine ray", what, next_step="start such a node")

    def _end(self, ref: object, job: Job, progress: Progress) -> Finished | None:
        """Keep the record that came back, or write one; None where the run goes to another node."""
        errors = self._ray.exceptions
        status: Status
        try:
            node, text = self._ray.get(ref)
        except errors.RayTaskError as error:
            raise EnvironmentMissingError(
                "--engine ray",
                f"a node cannot carry runs out: {str(error).strip().splitlines()[-1]}",
                next_step="install the same version of resnet18 on every node",
            ) from None
        except errors.OutOfMemoryError as error:
            said = f"Ray ended the run: {str(error).splitlines()[0]}"
            status = record_death(job, "oom_host", said)
        except errors.RayError as error:
            said = f"its process or node was lost {RETRIES + 1} times ({type(error).__name__})"
            status = record_death(job, "crashed", said)
        else:
            delivery, said = Delivery.model_validate_json(text), f"on {self._address(node)}"
            if delivery.problem is not None:
                if node not in self._unfit:
                    self._unfit[node] = ReportedError(delivery.problem)
                    progress.say(f"{self._address(node)} gets no more runs: {self._unfit[node]}")
                return None
            status = delivery.keep(job)
        progress.end(job.run, status, said)
        return Finished(job.run, status)

    def _cancel(self, out: Mapping[Any, Task], progress: Progress) -> None:
        """Interrupt what is out, and keep the records that say so."""
        for ref in out:
            self._ray.cancel(ref, force=False)
        back = self._ray.wait(list(out), num_returns=len(out), timeout=2 * GRACE_S)[0] if out else []
        for ref, task in out.items():
            with task.held:
                try:
                    delivery = Delivery.model_validate_json(self._ray.get(ref)[1]) if ref in back else Delivery()
                    if delivery.record:
                        delivery.keep(task.job)
                except self._ray.exceptions.RayError:  # it had not begun, or its node is gone
                    continue
                except SuiteError as error:  # the others are kept all the same
                    progress.say(str(error))

    def _address(self, node: str) -> str:
        return next((living_node.address for living_node in living(self._ray) if living_node.id == node), node[:8])


def on_a_node(text: str) -> tuple[str, str]:
    """Carry a job out; the task of each run. Returns the node's id and the `Delivery`.

    A run that has not all of its node's processors has others beside it, and its record says so.
    """
    import ray  # noqa: PLC0415 - an extra, which a node of Ray has

    context = ray.get_runtime_context()
    own, job = context.get_node_id(), Job.model_validate_json(text)
    cpus = max((node.cpus for node in living(ray) if node.id == own), default=0)
    is_alone = context.get_assigned_resources().get("CPU", 0) >= cpus
    return own, carry_out_apart(job.model_copy(update={"is_exclusive": is_alone}).model_dump_json())


def living(ray: Any) -> list[Node]:  # noqa: ANN401 - the module, or what stands for it
    """Return the nodes that can carry runs out now; a head without processors is none."""
    rows = [(row, row["Resources"]) for row in ray.nodes() if row["Alive"]]
    return [
        Node(row["NodeID"], row["NodeManagerAddress"], int(has["CPU"]), int(has.get("GPU", 0)))
        for row, has in rows
        if has.get("CPU", 0) >= 1
    ]


def connected() -> Any:  # noqa: ANN401 - the module
    """Return Ray, connected to the cluster that RAY_ADDRESS names, or that this machine belongs to.

    Raises:
        EnvironmentMissingError: Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    os.environ.setdefault("RAY_task_oom_retries", "0")
    try:
        import ray  # noqa: PLC0415 - an extra that may not be installed
    except ImportError:
        raise EnvironmentMissingError(
            "--engine ray", "Ray is not installed", next_step='pip install "resnet18[ray]"'
        ) from None
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "auto")
        host, colon, port = address.rpartition(":")
        try:
            if colon and port.isdecimal() and "://" not in address:  # Ray itself would try for minutes
                socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise EnvironmentMissingError(
                f"--engine ray (address {address})",
                f"no cluster answers: {str(error).splitlines()[0]}",
                next_step="start one with: ray start --head, or set RAY_ADDRESS=HOST:6379",
            ) from None
    return ray
