"""The task that Ray is given for each run."""

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from resnet18.execution.engines.ray_nodes import Ask, living
from resnet18.execution.engines.remote_worker import carry_out_apart
from resnet18.execution.job import Job
from resnet18.spec.plan import Run

NOTHING = Ask(0, 0.0, is_alone=False)


@dataclass(frozen=True)
class Flight:
    """A run that was given out."""

    run: Run
    job: Job
    held: ExitStack
    """The run's lock in the results directory."""
    ask: Ask = NOTHING


def on_a_node(text: str) -> tuple[str, str]:
    """Carry a job out; the task of each run. Returns the node's id and the `Delivery`.

    A node that is larger than those that the runner knew has room for others: the run then says so.
    """
    import ray  # noqa: PLC0415 - an extra, which a node of Ray has

    context = ray.get_runtime_context()
    own, job = context.get_node_id(), Job.model_validate_json(text)
    largest = max((node.cpus for node in living(ray) if node.id == own), default=0)
    is_alone = context.get_assigned_resources().get("CPU", 0) >= largest
    job = job.model_copy(update={"is_exclusive": job.is_exclusive and is_alone})
    return own, carry_out_apart(job.model_dump_json())


def options_of(ask: Ask, unfit: Collection[str]) -> dict[str, Any]:
    """Return what Ray is told of a task: what it needs, and the nodes that it must not come to."""
    return {
        "num_cpus": ask.cpus,
        "num_gpus": ask.gpus,
        # Ray sets it to 1 or to num_cpus by rules of its own, and a process with another environment is another.
        "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(ask.cpus)}},
        "label_selector": {"ray.io/node-id": f"!in({','.join(unfit)})"} if unfit else None,
    }
