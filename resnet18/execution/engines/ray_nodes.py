"""The nodes of a Ray cluster, and how it is found."""

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resnet18.execution.engines.engine import Needs
from resnet18.spec.errors import EnvironmentMissingError


@dataclass(frozen=True)
class Node:
    """A living node of the cluster."""

    id: str
    address: str
    cpus: int
    gpus: int


NOBODY_HAS = 1_000_000
"""Processors."""


@dataclass(frozen=True)
class Ask:
    """What Ray is asked for on behalf of a run."""

    cpus: int
    gpus: float
    is_alone: bool
    """Whether no other run fits beside it."""


def connected() -> Any:  # noqa: ANN401 - the module
    """Return Ray, connected to the cluster that RAY_ADDRESS names, or that this machine belongs to.

    Raises:
        EnvironmentMissingError: Ray is not installed, or no cluster answers.
    """
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
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
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


def living(ray: Any) -> list[Node]:  # noqa: ANN401 - the module, or what stands for it
    """Return the nodes that can carry runs out now."""
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


def able(nodes: Sequence[Node], wanted: Needs) -> list[Node]:
    """Return the nodes that have what a run needs."""
    return [node for node in nodes if node.cpus >= (wanted.cpus or 1) and node.gpus >= wanted.gpus]


def ask_for(wanted: Needs, nodes: Sequence[Node], before: Ask) -> Ask:
    """Return what to ask for, given the nodes that have what a run needs.

    A run with the node for itself asks for all processors of the largest: on a smaller one, which has fewer, it cannot
    come, so it is alone. One with a GPU gets the processors that belong to it.
    """
    largest = max(nodes, key=lambda one: one.cpus, default=None)
    if largest is None:  # the last one is lost: the task waits for its like, or until the nodes are looked at again
        return before if before.cpus else Ask(wanted.cpus or NOBODY_HAS, wanted.gpus, is_alone=False)
    cpus = wanted.cpus or largest.cpus
    if wanted.cpus is None and not wanted.whole and largest.gpus:
        cpus = max(1, int(largest.cpus * wanted.gpus / largest.gpus))
    return Ask(cpus, wanted.gpus, is_alone=cpus == largest.cpus)


def cannot_be_had(label: str, wanted: Needs, nodes: Sequence[Node]) -> EnvironmentMissingError:
    """Return the error for a run whose needs no node has."""
    what = f"{wanted.cpus or 1} CPUs" + (f" and {wanted.gpus:g} GPUs" if wanted.gpus else "")
    have = ", ".join(f"{node.address}: {node.cpus} CPUs, {node.gpus} GPUs" for node in nodes) or "none"
    return EnvironmentMissingError(
        "--engine ray",
        f"no node has the {what} that {label} needs (nodes: {have})",
        next_step="ask for less with --resources, or start such a node",
    )
