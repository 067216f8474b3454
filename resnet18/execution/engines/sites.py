"""The engines by name."""

from importlib import import_module

from resnet18.execution.engines.engine import Site, parse_resources
from resnet18.spec.errors import SpecError, did_you_mean

LOCAL = "local"
CLUSTERS = ("ray", "slurm")
"""Each has a module NAME_engine with `connect`, which is imported where somebody asks for it."""
ENGINES = (LOCAL, *CLUSTERS)


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
                next_step=f"name the cluster with --engine ({' or '.join(CLUSTERS)})",
            )
        return None
    engine = import_module(f"resnet18.execution.engines.{name}_engine")
    site: Site = engine.connect(parse_resources(resources), at_once)
    return site
