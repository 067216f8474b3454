"""What a report of a bug needs to know of the machine, without names of users or hosts; torch may be broken."""

import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from resnet18.measure.bindings import pynvml
from resnet18.measure.cgroup import UnknownError, affinity, cpu_quota, usable_cpus
from resnet18.measure.devices import nvidia_models, present_devices
from resnet18.measure.processor import cpu_model

PACKAGES = ("numpy", "pillow", "pydantic", "rich", "torch", "torchvision", "typer")
OF_OURS = "RESNET18_"
BESIDE = ("CUDA_VISIBLE_DEVICES", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
"""Variables of others that change what runs."""

Facts = dict[str, str | int | float | None]


def surroundings() -> Facts:
    """Return the facts, flat: versions, system, processor, memory, devices, what torch says of itself, variables."""
    variables = {name: os.environ[name] for name in sorted(os.environ) if name.startswith(OF_OURS) or name in BESIDE}
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        **_torch(),
        "driver": _driver(),
        "gpus": ", ".join(nvidia_models()) or "none",
        "devices": ", ".join(f"{count} {kind}" for kind, count in present_devices(prove=True).items()),
        "system": platform.platform(),
        "architecture": platform.machine(),
        "cpu_model": cpu_model(),
        "cpus": os.cpu_count(),
        "cpus_allowed": len(affinity()),
        "cpu_quota": _quota(),
        "cpus_used": usable_cpus(),
        "memory_gib": _memory_gib(),
        "locale": sys.stdout.encoding or "unknown",
        **{name: without_home(value) for name, value in variables.items()},
    }


def without_home(text: str) -> str:
    """Return a text in which the home folder, whose name is often a person's, is `~`."""
    home = str(Path.home())
    return text if home == "/" else text.replace(home, "~")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _torch() -> Facts:
    """Return what torch was built with; where it cannot be imported, why."""
    try:
        torch = importlib.import_module("torch")
        cudnn = torch.backends.cudnn.version()
        return {
            "torch_works": "yes",
            "cuda": str(torch.version.cuda or "none"),
            "cudnn": str(cudnn or "none"),
            "threads": torch.get_num_threads(),
        }
    except Exception as error:  # noqa: BLE001 - whatever is broken, the rest is told
        first = (str(error).splitlines() or [""])[0]
        return {"torch_works": without_home(f"no: {type(error).__name__}: {first}")}


def _driver() -> str:
    try:
        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetDriverVersion()
        pynvml.nvmlShutdown()
    except (pynvml.NVMLError, OSError):
        return "none"
    return version.decode() if isinstance(version, bytes) else str(version)


def _quota() -> float | None:
    try:
        return cpu_quota(Path("/"))
    except UnknownError:
        return None


def _memory_gib() -> float | None:
    known: Callable[[str], int] | None = getattr(os, "sysconf", None)
    try:
        return None if known is None else round(known("SC_PAGE_SIZE") * known("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):  # the system has no such names
        return None
