"""What this machine has: `data fetch`, `verify` and `where`, and `env` for a bug report, even where torch is broken."""

import importlib
import os
import platform
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated

from resnet18 import __version__
from resnet18.cli import options as opt
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, one_line
from resnet18.spec.experiment import CIFAR10, EMBEDDED, data_folder
from resnet18.spec.redaction import home_folder, redacted

PACKAGES = ("numpy", "pillow", "pydantic", "rich", "torch", "torchvision", "typer")
VARIABLES = (
    *("RESNET18_DATA", "RESNET18_CIFAR10_URL", "RESNET18_NATIVE"),
    *("CUDA_VISIBLE_DEVICES", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_WAIT_POLICY"),
)
"""That change what runs; `env` prints no other."""
Facts = dict[str, str | int | float | None]
FROM_HELP = "Check this archive and copy it instead of downloading."


def fetch_command(brought: Annotated[Path | None, opt.option("--from", "FILE", FROM_HELP)] = None) -> opt.Answer:
    """Download CIFAR-10 from a mirror or the official host. The variable RESNET18_CIFAR10_URL names a first address."""
    from resnet18.data.fetch import bring, fetch

    if brought is None:
        fetch(data_folder(), opt.say)
    else:
        bring(brought, data_folder(), opt.say)
    return opt.Answer({"folder": str(data_folder())}, "next: resnet18 run --scale small")


def verify_command() -> opt.Answer:
    """Check CIFAR-10's archive and the files decoded from it. Exit codes: 0 correct; 4 damaged; 5 no archive."""
    from resnet18.data.archives import find_archive
    from resnet18.data.source import holdings

    rows, lines, exit_code = [], [], 0
    for held in holdings(data_folder()):
        if held.label != CIFAR10 or held.kind == "part":
            continue
        state, says = "right", ""
        try:
            held.check()
        except IntegrityError as error:
            state, says, exit_code = "damaged", error.what, error.exit_code
            opt.say(f"error: {error}")
        rows.append({**held.row(), "state": state, "says": says})
        lines.append(f"{state}: {one_line(str(held.path))}")
    try:
        find_archive(data_folder())
    except EnvironmentMissingError as error:
        opt.say(f"error: {error}")
        exit_code = exit_code or error.exit_code
    return opt.Answer(rows, "\n".join(lines), exit_code)


def where_command() -> opt.Answer:
    """Print the folder of data sets and its contents."""
    from rich.filesize import decimal
    from tabulate import tabulate

    from resnet18.data.source import holdings

    folder, found = str(data_folder()), list(holdings(data_folder()))
    cells = [(held.kind, one_line(held.label), decimal(held.size_bytes), one_line(held.path.name)) for held in found]
    table = tabulate(cells, tablefmt="plain") or "nothing is there yet; next: resnet18 data fetch"
    shown = one_line(folder if not home_folder() else folder.replace(home_folder(), "~", 1))
    return opt.Answer({"folder": folder, "holds": [held.row() for held in found]}, f"{shown}\n{table}")


DATA_COMMANDS = (fetch_command, verify_command, where_command)


def env_command() -> opt.Answer:
    """Print versions, devices and settings for a bug report, without names of users, hosts and folders."""
    versions = {package.name.lower(): package.version for package in distributions()}
    facts: Facts = {
        "resnet18": __version__,
        "python": platform.python_version(),
        **{name: versions.get(name, "not installed") for name in PACKAGES},
        **_torch(),
        **_machine(),
        "locale": sys.stdout.encoding or "unknown",
        **{name: os.environ[name] for name in VARIABLES if name in os.environ},
        f"data {EMBEDDED}": "embedded",
        **_data(),
    }
    facts = {key: redacted(value) if isinstance(value, str) else value for key, value in facts.items()}
    width = max(map(len, facts))
    lines = [f"{key:{width}}  {'unknown' if value is None else value}" for key, value in facts.items()]
    return opt.Answer(facts, "\n".join(lines))


def _data() -> Facts:
    try:
        folder = data_folder()
    except EnvironmentMissingError as error:
        return {"data_home": f"{error.what}; {error.next_step}"}
    is_there = any(folder.glob("cifar-10-*.tar.gz"))
    return {"data_home": str(folder), f"data {CIFAR10}": "present" if is_there else "absent"}


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
