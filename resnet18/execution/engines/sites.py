"""The engines by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from resnet18.execution.engines import ray_engine, slurm_engine
from resnet18.execution.engines.engine import Resources, Site, parse_resources
from resnet18.spec.errors import SpecError, did_you_mean

LOCAL = "local"
SITES: Mapping[str, Callable[[Resources, int | None], Site]] = MappingProxyType(
    {"ray": ray_engine.connect, "slurm": slurm_engine.connect}
)
ENGINES = (LOCAL, *SITES)


def reach(name: str, resources: str | None, at_once: int | None) -> Site | None:
    """Return the place where an engine carries runs out; None for this machine.

    Args:
        name: of the engine.
        resources: what a run takes of a node, as `--resources` says it.
        at_once: how many runs may go on; None: as many as there is room for.

    Raises:
        SpecError: an unknown engine, or resources that mean nothing.
        EnvironmentMissingError: it is not installed, or cannot be reached.
    """
    if name not in ENGINES:
        raise SpecError(f"--engine {name}", f"unknown{did_you_mean(name, ENGINES)}", allowed=ENGINES)
    if name == LOCAL:
        if resources is not None:
            raise SpecError(
                f"--resources {resources}",
                "is for nodes of a cluster: this machine's runs share it by --jobs",
                next_step=f"name the cluster with --engine ({' or '.join(SITES)})",
            )
        return None
    return SITES[name](parse_resources(resources), at_once)
