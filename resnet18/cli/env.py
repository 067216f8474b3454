"""The command `env`: what a report of a bug needs to know, even where torch is broken."""

import importlib
import os
import platform
import sys
from importlib.metadata import distributions
from pathlib import Path

from resnet18 import __version__
from resnet18.cli import options as opt
from resnet18.spec.experiment import CIFAR10, EMBEDDED, data_home

PACKAGES = ("numpy", "pillow", "pydantic", "rich", "torch", "torchvision", "typer")
VARIABLES = ("CUDA_VISIBLE_DEVICES", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
"""Of others, that change what runs; beside them all of ours."""
Facts = dict[str, str | int | float | None]


def env_command() -> opt.Answer:
    """Print versions, devices and settings for a bug report. No names of users or hosts are printed."""
    versions = {package.name.lower(): package.version for package in distributions()}
    own = {name: os.environ[name] for name in sorted(os.environ) if name.startswith("RESNET18_") or name in VARIABLES}
    facts: Facts = {
        "resnet18": __version__,
        "python": platform.python_version(),
        **{name: versions.get(name, "not installed") for name in PACKAGES},
        **_torch(),
        **_machine(),
        "locale": sys.stdout.encoding or "unknown",
        **own,
        "data_home": str(data_home()),
        f"data {EMBEDDED}": "embedded",
        f"data {CIFAR10}": "present" if any(data_home().glob("cifar-10-*.tar.gz")) else "absent",
    }
    home = str(Path.home())  # its name is often a person's
    if home != "/":
        facts = {key: value.replace(home, "~") if isinstance(value, str) else value for key, value in facts.items()}
    width = max(map(len, facts))
    lines = [f"{key:{width}}  {'unknown' if value is None else value}" for key, value in facts.items()]
    return opt.Answer(facts, "\n".join(lines))


def _torch() -> Facts:
    """Return what torch was built with; where it cannot be imported, why."""
    try:
        torch = importlib.import_module("torch")
        return {
            "torch_works": "yes",
            "cuda": str(torch.version.cuda or "none"),
            "cudnn": str(torch.backends.cudnn.version() or "none"),
            "threads": torch.get_num_threads(),
        }
    except Exception as error:  # noqa: BLE001 - whatever is broken, the rest is told
        first = (str(error).splitlines() or [""])[0]
        return {"torch_works": f"no: {type(error).__name__}: {first}"}


def _machine() -> Facts:
    import psutil

    from resnet18.measure.devices import cpu_model, driver_version, listed_gpus, present_devices
    from resnet18.measure.host import usable_cpus

    return {
        "driver": driver_version() or "none",
        "gpus": ", ".join(listed_gpus().values()) or "none",
        "devices": ", ".join(f"{count} {kind}" for kind, count in present_devices(prove=True).items()),
        "system": platform.platform(),
        "architecture": platform.machine(),
        "cpu_model": cpu_model(),
        "cpus": os.cpu_count(),
        "cpus_used": len(usable_cpus()),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }
