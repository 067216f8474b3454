"""Which processor and which devices this machine has; without torch, so that planning can ask."""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from resnet18.measure import UnknownError, text_of

pynvml: Any = importlib.import_module("pynvml") if importlib.util.find_spec("pynvml") else None
"""NVIDIA's management library (NVML). Where it is not installed, each call is an AttributeError."""
NVML_ERRORS = (getattr(pynvml, "NVMLError", OSError), OSError, AttributeError, ValueError)
"""What pynvml raises: NVML's codes, a library that cannot be loaded, a function that an older pynvml lacks."""
Gpu = Any  # pynvml's handle of a GPU; it has no types
CPU_INFO = Path("/proc/cpuinfo")
BRAND = ("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")  # asks macOS for its processor's name
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


@contextmanager
def nvml() -> Iterator[None]:
    """Start NVML, and shut it down in the end. Raises one of NVML_ERRORS where it does not start."""
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def listed_gpus() -> dict[str, str]:
    """Return the model of each of the driver's GPUs, as torch calls it too, by UUID; none where there is no driver."""
    found: dict[str, str] = {}
    with suppress(*NVML_ERRORS), nvml():
        for index in range(pynvml.nvmlDeviceGetCount()):
            with suppress(*NVML_ERRORS):  # a GPU that is lost
                gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
                found[pynvml.nvmlDeviceGetUUID(gpu)] = pynvml.nvmlDeviceGetName(gpu)
    return found


def driver_version() -> str | None:
    """Return the version of NVIDIA's driver, None where there is none."""
    with suppress(*NVML_ERRORS), nvml():
        return str(pynvml.nvmlSystemGetDriverVersion())
    return None


def find_gpu(uuids: tuple[str, ...]) -> Gpu:
    """Return NVML's handle of the first GPU or slice that has one of the UUIDs.

    Raises UnknownError if there is none, or only the GPU around the slice (MIG) is known.
    """
    reason = ""
    for uuid in uuids:
        try:
            gpu = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except NVML_ERRORS as error:
            reason = f"the UUID that torch uses: {reason_of(error)}"
            continue
        with suppress(*NVML_ERRORS):  # a slice, or a GPU that cannot be split, does not support the question
            if pynvml.nvmlDeviceGetMigMode(gpu)[0] == pynvml.NVML_DEVICE_MIG_ENABLE:
                raise UnknownError("the GPU is split (MIG), and neither torch nor CUDA_VISIBLE_DEVICES names the slice")
        return gpu
    raise UnknownError(reason)


def reason_of(error: Exception) -> str:
    """Return why there is no answer. Of NVML's errors the class alone: their text may ask the library that failed."""
    if isinstance(error, UnknownError):
        return str(error)
    return f"NVML did not answer ({type(error).__name__ if pynvml else 'nvidia-ml-py is not installed'})"


def nvidia_gpus() -> tuple[str, ...]:
    """Return the names by which CUDA_VISIBLE_DEVICES may call this machine's GPUs: those it lists, else all UUIDs."""
    if (listed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(name.strip() for name in listed.split(",") if name.strip())
    return tuple(listed_gpus())


def present_devices(*, prove: bool) -> dict[str, int]:
    """Return how many devices of each kind can be used, by kind: one CPU, and no kind of which there is none.

    To `prove`, a child process allocates on a device of the kind and lets torch count (seconds): nothing else proves
    that CUDA works. Otherwise the driver's word is taken, in a millisecond; of `xpu` no driver can be asked.
    """
    torches = {found.version for found in importlib.metadata.distributions(name="torch")}
    hinted = {
        "cuda": len(listed_gpus()),
        "mps": int(sys.platform == "darwin" and platform.machine() == "arm64"),
        "xpu": int(prove and any(version.endswith("+xpu") for version in torches)),  # built for Intel's GPUs
    }
    found = {kind: _proved(kind) if prove else count for kind, count in hinted.items() if count}
    return {"cpu": 1, **{kind: count for kind, count in found.items() if count}}


def _proved(kind: str) -> int:
    """Return how many devices of a kind torch numbers; 0 where it cannot allocate on the first."""
    command = [sys.executable, "-c", PROBE.format(kind=kind)]
    try:
        child = subprocess.run(command, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return 0
    return int(child.stdout.split()[-1]) if child.returncode == 0 else 0


def cpu_model() -> str:
    """Return the processor's name, on ARM what tells it from others; `unknown`, which is no name, if none is told."""
    if platform.system() == "Linux":  # where platform.processor() is the architecture, the same for all of it
        return _arm_model() or next(filter(None, map(_of_cpu, NAMES)), "unknown")
    if platform.system() == "Darwin":
        with suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(BRAND, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        return "unknown"
    return platform.processor() or "unknown"


def _arm_model() -> str:
    """Return every kind of ARM processor that there is, big and little ones; empty where one is not told in full."""
    kinds = {tuple(cpu.get(f"CPU {key}", "") for key in OF_ARM) for cpu in _cpus()} - {("",) * len(OF_ARM)}
    if not kinds or not all(map(all, kinds)):
        return ""
    told = (", ".join(f"{key} {value}" for key, value in zip(OF_ARM, kind, strict=True)) for kind in kinds)
    return f"ARM {' and '.join(sorted(told))}"


def cpu_flags_sha256() -> str | None:
    """Return the SHA-256 of what the processor can do, in order: two of one name may differ in it. None if untold."""
    flags = cpu_flags()
    return hashlib.sha256(" ".join(sorted(flags)).encode()).hexdigest() if flags else None


def cpu_flags() -> frozenset[str]:
    """Return what the processor can do, by Linux's names; nothing where the system does not tell."""
    return frozenset((_of_cpu("flags") or _of_cpu("Features")).split())  # the second on ARM


def emulates_bf16() -> bool:
    """Tell whether products in bf16 are put together from other instructions, many times slower; False if unknown."""
    flags = cpu_flags()
    return bool(flags) and (not flags & WITH_BF16 or onednn_setting("MAX_CPU_ISA").upper() in ISA_WITHOUT_BF16)


def onednn_setting(name: str) -> str:
    """Return the value of a variable that oneDNN reads under two prefixes, the newer first; an empty one is none."""
    return next(filter(None, (os.environ.get(prefix + name) for prefix in ONEDNN_PREFIXES)), "")


def _of_cpu(key: str) -> str:
    """Return a value of the first CPU that Linux lists with this key, empty where there is none."""
    return next((cpu[key] for cpu in _cpus() if key in cpu), "")


def _cpus() -> list[dict[str, str]]:
    """Return what Linux tells of each CPU."""
    blocks = ([line.partition(":") for line in block.splitlines()] for block in text_of(CPU_INFO).split("\n\n"))
    return [{name.strip(): value.strip() for name, _, value in block} for block in blocks]
