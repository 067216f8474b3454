"""Which processor this machine has, as the system tells it; without torch, so that planning can ask."""

import hashlib
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def cpu_model() -> str:
    """Return the processor's name, `unknown` where the system does not tell."""
    return _of_cpu("model name") or platform.processor() or "unknown"


def cpu_flags_sha256() -> str | None:
    """Return the SHA-256 of what the processor can do, in order: two of one name may differ in it. None if untold."""
    flags = cpu_flags()
    return hashlib.sha256(" ".join(sorted(flags)).encode()).hexdigest() if flags else None


def cpu_flags() -> frozenset[str]:
    """Return what the processor can do, by Linux's names; nothing where the system does not tell."""
    return frozenset((_of_cpu("flags") or _of_cpu("Features")).split())  # the second on ARM


def _of_cpu(key: str) -> str:
    """Return a value of the first processor that Linux lists, empty where there is none."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in found if name.strip() == key), "")
