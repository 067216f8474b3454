"""Two fakes under the real pynvml, with one kind of state: callbacks in this process, and a C library in a child.

State is a flat dictionary; what it lacks, the device does not support:
    driver               version
    N.uuid               of device N (0, 1, …); a slice of a GPU is a device more
    N.total, N.used, N.reserved   bytes
    N.compute, N.graphics         processes, `pid:bytes,…`: pid may be `self`, bytes `NA`; `-` for none
    N.clock_events       bits
    N.clock              MHz
    N.energy             mJ
    N.split              1 where the GPU is in MIG mode
    lost                 code that every question about a device gets
    fail.FUNCTION        code that this function gives
    hang.FUNCTION        seconds (C), or anything (Python: until `release`), before it answers
"""

import ctypes
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import pynvml

from resnet18.measure import sampler
from resnet18.measure.device_facts import device_facts
from resnet18.measure.sampler import Sampler

SOURCE = Path(__file__).with_name("fake_nvml.c")
NEVER_S = 3600
CHILD_LIMIT_S = 300
"""So that a child which waits for NVML ends the test."""
MIB = 1 << 20
OLD_DRIVER_LACKS = (
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetCurrentClocksEventReasons",
)


class FakeNvml:
    """Stands where pynvml keeps the library: real code and structures of pynvml, answers from `state`."""

    def __init__(self, state, lacks=()):
        self.state, self.lacks = state, lacks
        self.released = threading.Event()
        self._callbacks = {}

    def __getattr__(self, name):
        if name not in ANSWERS or name in self.lacks:
            raise AttributeError(name)
        arguments, answer = ANSWERS[name]

        def called(*given):
            if f"hang.{name}" in self.state:
                self.released.wait(NEVER_S)
            forced = self.state.get(f"fail.{name}") or ("Device" in name and self.state.get("lost"))
            return forced or answer(self.state, *given) or 0

        return self._callbacks.setdefault(name, ctypes.CFUNCTYPE(ctypes.c_int, *arguments)(called))


def install(monkeypatch, fake):
    """Put the fake where pynvml keeps the library, for one test. Pointers to the library's functions are forgotten."""
    monkeypatch.setattr(pynvml, "nvmlLib", fake)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return fake


def _write(pointer, kind, value):
    ctypes.cast(pointer, ctypes.POINTER(kind))[0] = value


def _of(key, kind):
    def answer(state, handle, pointer):
        value = state.get(f"{handle - 1}.{key}")
        return pynvml.NVML_ERROR_NOT_SUPPORTED if value is None else _write(pointer, kind, value)

    return answer


def _driver(state, buffer, size):
    text = state["driver"].encode() + b"\0"
    ctypes.memmove(buffer, text, min(len(text), size))


def _by_uuid(state, uuid, pointer):
    for key, value in state.items():
        if key.endswith(".uuid") and value == uuid.decode():
            return _write(pointer, ctypes.c_void_p, int(key.partition(".")[0]) + 1)
    return pynvml.NVML_ERROR_NOT_FOUND


def _split(state, handle, current, pending):
    mode = state.get(f"{handle - 1}.split")
    if mode is None:
        return pynvml.NVML_ERROR_NOT_SUPPORTED
    _write(current, ctypes.c_uint, mode)
    return _write(pending, ctypes.c_uint, mode)


def _memory(kind):
    def answer(state, handle, pointer):
        memory = ctypes.cast(pointer, ctypes.POINTER(kind))[0]
        used, reserved = state.get(f"{handle - 1}.used"), state.get(f"{handle - 1}.reserved", 0)
        if used is None:
            return pynvml.NVML_ERROR_NOT_SUPPORTED
        memory.total = state[f"{handle - 1}.total"]
        if kind is pynvml.c_nvmlMemory_t:
            memory.used = used + reserved
        elif memory.version == pynvml.nvmlMemory_v2:
            memory.used, memory.reserved = used, reserved
        else:
            return pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH
        return 0

    return answer


def _processes(key):
    def answer(state, handle, count, array):
        text = state.get(f"{handle - 1}.{key}")
        if text is None:
            return pynvml.NVML_ERROR_NOT_SUPPORTED
        count = ctypes.cast(count, ctypes.POINTER(ctypes.c_uint))
        listed = [item.split(":") for item in text.split(",") if ":" in item]
        room, count[0] = count[0], len(listed)
        if not array or room < len(listed):
            return pynvml.NVML_ERROR_INSUFFICIENT_SIZE if listed else 0
        slots = ctypes.cast(array, ctypes.POINTER(pynvml.c_nvmlProcessInfo_v3_t))
        for slot, (pid, size) in enumerate(listed):
            slots[slot].pid = os.getpid() if pid == "self" else int(pid)
            slots[slot].usedGpuMemory = 2**64 - 1 if size == "NA" else int(size)
        return 0

    return answer


def _clock(state, handle, kind, pointer):
    return _of("clock", ctypes.c_uint)(state, handle, pointer) if kind == pynvml.NVML_CLOCK_SM else 2


_P, _U = ctypes.c_void_p, ctypes.c_uint
ANSWERS = {
    "nvmlInitWithFlags": ([_U], lambda state, flags: 0),
    "nvmlShutdown": ([], lambda state: 0),
    "nvmlSystemGetDriverVersion": ([_P, _U], _driver),
    "nvmlDeviceGetHandleByUUID": ([ctypes.c_char_p, _P], _by_uuid),
    "nvmlDeviceGetMigMode": ([_P, _P, _P], _split),
    "nvmlDeviceGetMemoryInfo": ([_P, _P], _memory(pynvml.c_nvmlMemory_t)),
    "nvmlDeviceGetMemoryInfo_v2": ([_P, _P], _memory(pynvml.c_nvmlMemory_v2_t)),
    "nvmlDeviceGetComputeRunningProcesses_v2": ([_P, _P, _P], _processes("compute")),
    "nvmlDeviceGetComputeRunningProcesses_v3": ([_P, _P, _P], _processes("compute")),
    "nvmlDeviceGetGraphicsRunningProcesses_v2": ([_P, _P, _P], _processes("graphics")),
    "nvmlDeviceGetGraphicsRunningProcesses_v3": ([_P, _P, _P], _processes("graphics")),
    "nvmlDeviceGetCurrentClocksThrottleReasons": ([_P, _P], _of("clock_events", ctypes.c_ulonglong)),
    "nvmlDeviceGetCurrentClocksEventReasons": ([_P, _P], _of("clock_events", ctypes.c_ulonglong)),
    "nvmlDeviceGetClockInfo": ([_P, _U, _P], _clock),
    "nvmlDeviceGetTotalEnergyConsumption": ([_P, _P], _of("energy", ctypes.c_ulonglong)),
}


def compile_library(folder, compiler, *, old_driver=False):
    """Compile the C fake as libnvidia-ml.so.1. The sizes of structures are pynvml's: the compiler asserts them."""
    sizes = {
        "MEMORY_V1": pynvml.c_nvmlMemory_t,
        "MEMORY_V2": pynvml.c_nvmlMemory_v2_t,
        "PROCESS": pynvml.c_nvmlProcessInfo_v3_t,
    }
    defined = [f"-DSIZE_{name}={ctypes.sizeof(kind)}" for name, kind in sizes.items()]
    defined += ["-DOLD_DRIVER"] if old_driver else []
    folder.mkdir(exist_ok=True)
    output = ["-Wl,-soname,libnvidia-ml.so.1", "-o", str(folder / "libnvidia-ml.so.1")]
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, *defined, str(SOURCE), *output], check=True)
    return folder


def play(apply, states, uuids, allocated=None):
    """Return the facts of a run: one state when it begins, and a sample in each of the others; the last once more.

    Args:
        apply: makes a state the fake's.
        states: dictionaries.
        uuids: under which the device may be known.
        allocated: peak of torch's allocator, in bytes.
    """
    apply(states[0])
    with Sampler(uuids, period_s=NEVER_S) as sampler:  # the thread itself samples at the opening and at the end
        for state in states[1:]:
            apply(state)
            sampler.step()
    return device_facts(sampler.findings(), {"allocated_peak_bytes": allocated}, "nothing was allocated")


def play_in_child(folder, scratch, states, uuids, allocated=None):
    """Do the same in a child process whose library loader finds what lies in a folder."""
    variables = {"FAKE_NVML_STATE": str(scratch / "state"), "LD_LIBRARY_PATH": str(folder)}
    child = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps([states, uuids, allocated]),
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=CHILD_LIMIT_S,
    )
    return json.loads(child.stdout)


def _apply_to_file(state):
    """Replace the file: a reader sees the old state or the new."""
    path = Path(os.environ["FAKE_NVML_STATE"])
    path.with_suffix(".new").write_text("".join(f"{key} {value}\n" for key, value in state.items()), encoding="utf-8")
    path.with_suffix(".new").replace(path)


if __name__ == "__main__":
    given_states, given_uuids, given_allocated = json.load(sys.stdin)
    if not any(key.startswith("hang.") for given in given_states for key in given):  # however busy the machine is
        sampler.OPENING_LIMIT_S = sampler.CLOSING_LIMIT_S = CHILD_LIMIT_S
    json.dump(asdict(play(_apply_to_file, given_states, tuple(given_uuids), given_allocated)), sys.stdout)
