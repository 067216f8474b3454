"""Which processor and which devices this machine has; without torch, so that planning can ask."""

import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from resnet18.measure.nvml import listed_gpus

CPU_INFO = Path("/proc/cpuinfo")
SYSCTL = "/usr/sbin/sysctl"
NAMES = ("model name", "Model Name", "cpu model", "cpu", "uarch")
"""Under which Linux names a processor: x86, LoongArch, MIPS, POWER, RISC-V."""
OF_ARM = ("implementer", "part", "variant", "revision")
"""What tells ARM processors apart: Linux gives them no name, or one for many."""
WITH_BF16 = frozenset({"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"})
"""Linux's names of instructions for bf16: the last is ARM's."""
ISA_WITHOUT_BF16 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"})
"""Values of oneDNN's MAX_CPU_ISA that leave them out."""
ONEDNN_PREFIXES = ("ONEDNN_", "DNNL_")
PROBE = "import torch; torch.zeros(1, device='{kind}'); print(torch.{kind}.device_count())"


def present_devices(*, prove: bool) -> dict[str, int]:
    """Return how many devices of each kind can be used, by kind: one CPU, and no kind of which there is none.

    To `prove`, a child process allocates on a device of the kind and lets torch count (seconds): neither NVML nor
    torch.cuda.is_available() proves that CUDA works, and CUDA_VISIBLE_DEVICES and slices of a GPU (MIG) change the
    number. Otherwise the driver's word is taken, in a millisecond; of `xpu` no driver can be asked.
    """
    hinted = {
        "cuda": len(listed_gpus()),
        "mps": int(sys.platform == "darwin" and platform.machine() == "arm64"),
        "xpu": int(prove and _torch_is_for_xpu()),
    }
    found = {kind: _proved(kind) if prove else count for kind, count in hinted.items() if count}
    return {"cpu": 1, **{kind: count for kind, count in found.items() if count}}


def nvidia_gpus() -> tuple[str, ...]:
    """Return the names by which CUDA_VISIBLE_DEVICES may call this machine's GPUs: those it lists, else all UUIDs.

    Numbers would mislead: CUDA counts the fastest first, NVML by the place on the bus.
    """
    if (listed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(name.strip() for name in listed.split(",") if name.strip())
    return tuple(listed_gpus())


def _proved(kind: str) -> int:
    """Return how many devices of a kind torch numbers; 0 where it cannot allocate on the first."""
    command = [sys.executable, "-c", PROBE.format(kind=kind)]
    try:
        child = subprocess.run(command, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return 0
    return int(child.stdout.split()[-1]) if child.returncode == 0 else 0


def _torch_is_for_xpu() -> bool:
    """Tell whether the torch that is installed was built for Intel's GPUs, without importing it."""
    found = importlib.util.find_spec("torch")
    folders = (found.submodule_search_locations or ()) if found else ()
    return any(any(Path(folder, "lib").glob("*torch_xpu*")) for folder in folders)


def cpu_model() -> str:
    """Return the processor's name, on ARM what tells it from others; `unknown` where the system does not tell.

    `unknown` is no name: two records that have it may come from two machines.
    """
    found, system = platform.processor(), platform.system()
    if system == "Linux":  # where platform.processor() is the architecture, the same for every processor of it
        found = _arm_model() or next(filter(None, map(_of_cpu, NAMES)), "")
    elif system == "Darwin":
        command = [SYSCTL, "-n", "machdep.cpu.brand_string"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            found = ""
    return found or "unknown"


def _arm_model() -> str:
    """Return every kind of ARM processor that there is, big and little ones; empty where one is not told in full."""
    kinds = [[cpu.get(f"CPU {key}", "") for key in OF_ARM] for cpu in _cpus()]
    kinds = [values for values in kinds if any(values)]
    if not all(all(values) for values in kinds):
        return ""
    told = {", ".join(f"{key} {value}" for key, value in zip(OF_ARM, values, strict=True)) for values in kinds}
    return f"ARM {' and '.join(sorted(told))}" if told else ""


def cpu_flags_sha256() -> str | None:
    """Return the SHA-256 of what the processor can do, in order: two of one name may differ in it. None if untold."""
    flags = cpu_flags()
    return hashlib.sha256(" ".join(sorted(flags)).encode()).hexdigest() if flags else None


def cpu_flags() -> frozenset[str]:
    """Return what the processor can do, by Linux's names; nothing where the system does not tell."""
    return frozenset((_of_cpu("flags") or _of_cpu("Features")).split())  # the second on ARM


def emulates_bf16() -> bool:
    """Tell whether products in bf16 are put together from other instructions, which takes many times as long as fp32.

    So it is where the processor has none for them, or oneDNN may not use them; False where neither is known.
    """
    flags = cpu_flags()
    return bool(flags) and (not flags & WITH_BF16 or onednn_setting("MAX_CPU_ISA").upper() in ISA_WITHOUT_BF16)


def onednn_setting(name: str) -> str:
    """Return the value of one of oneDNN's environment variables, by the name without prefix; empty where it is not set.

    oneDNN reads each under two prefixes, the newer first, and takes an empty value for none.
    """
    return next(filter(None, (os.environ.get(prefix + name) for prefix in ONEDNN_PREFIXES)), "")


def _of_cpu(key: str) -> str:
    """Return a value of the first CPU that Linux lists with this key, empty where there is none."""
    return next((cpu[key] for cpu in _cpus() if key in cpu), "")


def _cpus() -> list[Mapping[str, str]]:
    """Return what Linux tells of each CPU."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    blocks = ([line.partition(":") for line in block.splitlines()] for block in text.split("\n\n"))
    return [{name.strip(): value.strip() for name, _, value in block} for block in blocks]
