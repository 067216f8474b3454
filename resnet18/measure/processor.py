"""Which processor this machine has, as the system tells it; without torch, so that planning can ask."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
SYSCTL = "/usr/sbin/sysctl"
SYSCTL_LIMIT_S = 10
UNKNOWN = "unknown"
NAMES = ("model name", "Model Name", "cpu model", "cpu", "uarch")
"""Under which Linux names a processor: x86, LoongArch, MIPS, POWER, RISC-V."""
OF_ARM = ("implementer", "part", "variant", "revision")
"""What tells ARM processors apart: Linux gives them no name, or one for many."""
WITH_BF16 = frozenset({"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"})
"""Linux's names of instructions for bf16: the last one is ARM's."""
ISA_WITHOUT_BF16 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"})
"""Values of oneDNN's MAX_CPU_ISA that leave them out."""
ONEDNN_PREFIXES = ("ONEDNN_", "DNNL_")


def cpu_model() -> str:
    """Return the processor's name, on ARM what tells it from others; `unknown` where the system does not tell.

    `unknown` is no name: two records that have it may come from two machines.
    """
    system = platform.system()
    if system == "Linux":  # where platform.processor() is the architecture, the same for every processor of it
        return _arm_model() or next(filter(None, map(_of_cpu, NAMES)), UNKNOWN)
    return (_brand() if system == "Darwin" else platform.processor()) or UNKNOWN


def _arm_model() -> str:
    """Return every kind of ARM processor that there is, big and little ones; empty where one is not told."""
    kinds = set()
    for one in _processors():
        values = [one.get(f"CPU {key}", "") for key in OF_ARM]
        if any(values) and not all(values):
            return ""
        if all(values):
            kinds.add(", ".join(f"{key} {value}" for key, value in zip(OF_ARM, values, strict=True)))
    return f"ARM {' and '.join(sorted(kinds))}" if kinds else ""


def _brand() -> str:
    """Return the processor's name as macOS tells it, empty where it does not."""
    command = [SYSCTL, "-n", "machdep.cpu.brand_string"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SYSCTL_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def cpu_flags_sha256() -> str | None:
    """Return the SHA-256 of what the processor can do, in order: two of one name may differ in it. None if untold."""
    flags = cpu_flags()
    return hashlib.sha256(" ".join(sorted(flags)).encode()).hexdigest() if flags else None


def cpu_flags() -> frozenset[str]:
    """Return what the processor can do, by Linux's names; nothing where the system does not tell."""
    return frozenset((_of_cpu("flags") or _of_cpu("Features")).split())  # the second on ARM


def emulates_bf16() -> bool:
    """Say whether products in bf16 are put together from other instructions, which takes many times as long as fp32.

    So it is where the processor has none for them, or oneDNN may not use them; False where neither is known.
    """
    flags = cpu_flags()
    return bool(flags) and (not flags & WITH_BF16 or onednn_setting("MAX_CPU_ISA").upper() in ISA_WITHOUT_BF16)


def onednn_setting(name: str) -> str:
    """Return the value of one of oneDNN's environment variables, by the name without prefix; empty where it is not set.

    oneDNN reads each under two prefixes, the newer one first, and takes an empty value for none.
    """
    return next(filter(None, (os.environ.get(prefix + name) for prefix in ONEDNN_PREFIXES)), "")


def _of_cpu(key: str) -> str:
    """Return a value of the first processor that Linux lists with one, empty where there is none."""
    return next((one[key] for one in _processors() if key in one), "")


def _processors() -> list[Mapping[str, str]]:
    """Return what Linux tells of each processor."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    blocks = ([line.partition(":") for line in block.splitlines()] for block in text.split("\n\n"))
    return [{name.strip(): value.strip() for name, _, value in block} for block in blocks]
