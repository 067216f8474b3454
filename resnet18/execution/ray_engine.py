"""The Ray engine: a task for each run, which Ray queues and starts again. Records come back with the answers."""

import logging
import os
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

from resnet18.execution.attempt import GRACE_S
from resnet18.execution.cluster import Delivery, Resources, carry_out_apart, resources_of
from resnet18.execution.job import Engine, Finished, Job, record_death
from resnet18.execution.progress import Progress
from resnet18.execution.runner import take
from resnet18.records.record import Status
from resnet18.spec.errors import EnvironmentMissingError, SuiteError
from resnet18.spec.plan import Run

RETRIES = 3  # so often Ray starts a run again whose process or node was lost
MOST_OUT = 400  # each run that is out holds a lock, which is an open file; many systems allow a process 1,024


class Node(NamedTuple):
    """A living node of the cluster."""

    id: str
    address: str
    cpus: int
    gpus: int


class RayEngine(Engine):
    """Gives runs out to the nodes of the cluster that RAY_ADDRESS names, or that this machine belongs to."""

    def __init__(self, resources: Resources, at_once: int | None) -> None:
        self._resources, self._most_out, self._ray = resources, at_once or MOST_OUT, connected()
        self._nodes = living(self._ray)
        self._unfit: dict[str, SuiteError] = {}  # nodes that get no more runs, and why
        self._out: dict[Any, tuple[Job, ExitStack]] = {}
        """The runs that are given out, by their tasks, with their locks."""
        gpus = max((node.gpus for node in self._nodes), default=0)
        self.devices = {"cpu": 1, **({"cuda": gpus} if gpus else {})}

    def carry_out(self, jobs: Sequence[Job], progress: Progress) -> list[Finished]:
        """Carry out runs that are not done; see `Engine`."""
        for job in jobs:
            self._needs(job.run)
        waiting, finished = deque(jobs), list[Finished]()
        try:
            while waiting or self._out:
                while waiting and len(self._out) < self._most_out:
                    with ExitStack() as held:
                        taken = take(waiting.popleft(), progress, held)
                        if isinstance(taken, Finished):
                            finished.append(taken)
                        else:
                            self._send(taken, held)
                if self._out:
                    (task,), _ = self._ray.wait(list(self._out))
                    finished += self._take(task, progress)
        finally:
            self._cancel(progress)
        return finished

    def _needs(self, run: Run) -> tuple[int, float]:
        """Return what Ray is asked for: whole nodes are all CPUs of the largest; a GPU comes with its own."""
        wanted = resources_of(run, self._resources, has_gpus="cuda" in self.devices)
        gpus, cpus = wanted.gpus or 0.0, wanted.cpus
        able = [node for node in self._nodes if node.cpus >= (cpus or 1) and node.gpus >= gpus]
        if not able:
            what = f"{cpus or 1} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
            have = ", ".join(f"{node.address}: {node.cpus} CPUs, {node.gpus} GPUs" for node in self._nodes) or "none"
            what = f"no node has the {what} that {run.labels[0]} needs (nodes: {have})"
            raise _missing(what, "ask for less with --resources, or start such a node")
        fit = [node for node in able if node.id not in self._unfit]
        if not fit:
            raise self._unfit[able[0].id]
        largest = max(fit, key=lambda node: node.cpus)
        if wanted.whole or not largest.gpus:
            return cpus or largest.cpus, gpus
        return cpus or max(1, int(largest.cpus * gpus / largest.gpus)), gpus

    def _send(self, job: Job, held: ExitStack) -> None:
        """Give a run out, which keeps what is held."""
        cpus, gpus = self._needs(job.run)
        task = self._ray.remote(max_retries=RETRIES, max_calls=0)(on_a_node).options(
            num_cpus=cpus,
            num_gpus=gpus,
            # Ray sets it to 1 or to num_cpus by rules of its own, and a process with another environment is another.
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(cpus)}},
            label_selector={"ray.io/node-id": f"!in({','.join(self._unfit)})"} if self._unfit else None,
        )
        self._out[task.remote(job.model_dump_json())] = job, held.pop_all()

    def _take(self, task: object, progress: Progress) -> list[Finished]:
        """Keep the record that came back, or write one; a run whose node is no good goes to another node."""
        errors, (job, locks) = self._ray.exceptions, self._out.pop(task)
        status: Status
        with locks as held:
            try:
                node, address, text = self._ray.get(task)
                delivery, said = Delivery.model_validate_json(text), f"on {address}"
                if (refusal := delivery.error) is not None:
                    if node not in self._unfit:
                        self._unfit[node] = refusal
                        progress.say(f"{address} gets no more runs: {refusal}")
                    self._send(job, held)
                    return []
                status = delivery.keep(job)
            except errors.RayTaskError as error:
                what = f"a node cannot carry runs out: {str(error).strip().splitlines()[-1]}"
                raise _missing(what, "install the same version of resnet18 on every node") from None
            except errors.RayError as error:
                is_full = isinstance(error, errors.OutOfMemoryError)
                lost = f"its process or node was lost {RETRIES + 1} times ({type(error).__name__})"
                said = f"Ray ended the run: {str(error).splitlines()[0]}" if is_full else lost
                status = record_death(job, "oom_host" if is_full else "crashed", said)
        return [progress.end(job.run, status, said)]

    def _cancel(self, progress: Progress) -> None:
        """Interrupt what is out, and keep the records that say so."""
        for task in self._out:
            self._ray.cancel(task, force=False)
        tasks = list(self._out)
        back = self._ray.wait(tasks, num_returns=len(tasks), timeout=2 * GRACE_S)[0] if tasks else []
        for task in tasks:
            job, locks = self._out.pop(task)
            with locks, suppress(self._ray.exceptions.RayError):  # it had not begun, or its node is gone
                delivery = Delivery.model_validate_json(self._ray.get(task)[-1]) if task in back else Delivery()
                try:
                    if delivery.record:
                        delivery.keep(job)
                except SuiteError as error:  # the others are kept all the same
                    progress.say(str(error))


def on_a_node(text: str) -> tuple[str, str, str]:
    """Carry a job out; the task of each run. Returns the node's id and address, and the `Delivery`."""
    import ray  # noqa: PLC0415 - an extra, which a node of Ray has

    context = ray.get_runtime_context()
    own, job = context.get_node_id(), Job.model_validate_json(text)
    node = next(node for node in living(ray) if node.id == own)
    is_alone = context.get_assigned_resources().get("CPU", 0) >= node.cpus
    return own, node.address, carry_out_apart(job.model_copy(update={"is_exclusive": is_alone}).model_dump_json())


def living(ray: Any) -> list[Node]:  # noqa: ANN401 - the module, or what stands for it
    """Return the nodes that can carry runs out now; a head without processors is none."""
    nodes = [
        Node(row["NodeID"], row["NodeManagerAddress"], *(int(row["Resources"].get(key, 0)) for key in ("CPU", "GPU")))
        for row in ray.nodes()
        if row["Alive"]
    ]
    return [node for node in nodes if node.cpus]


def connected() -> Any:  # noqa: ANN401 - the module
    """Return Ray, connected; EnvironmentMissingError where it is not installed, or no cluster answers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    os.environ.setdefault("RAY_task_oom_retries", "0")
    try:
        import ray  # noqa: PLC0415 - an extra that may not be installed
    except ImportError:
        raise _missing("Ray is not installed", 'pip install ".[ray]"') from None
    address = os.environ.get("RAY_ADDRESS", "auto")
    host, colon, port = address.rpartition(":")
    try:
        if not ray.is_initialized():
            if colon and port.isdecimal() and "://" not in address:  # Ray itself would try for minutes
                socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        what = f"no cluster answers at {address}: {str(error).splitlines()[0]}"
        raise _missing(what, "start one with: ray start --head, or set RAY_ADDRESS=HOST:6379") from None
    return ray


def _missing(what: str, next_step: str) -> EnvironmentMissingError:
    return EnvironmentMissingError("--engine ray", what, next_step=next_step)
