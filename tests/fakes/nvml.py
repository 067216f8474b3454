"""A fake of NVML's library under the real pynvml: its code and structures, answers from a flat dictionary.

What the state lacks, the device does not support:
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
    hang.FUNCTION        anything: it answers after `release` alone
"""

import ctypes
import os
import threading

import pynvml

NEVER_S = 3600
MIB = 1 << 20


class FakeNvml:
    """Stands where pynvml keeps the library: real code and structures of pynvml, answers from `state`."""

    def __init__(self, state):
        self.state = state
        self.released = threading.Event()
        self._callbacks = {}

    def __getattr__(self, name):
        if name not in ANSWERS:
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


def _memory(state, handle, pointer):
    memory = ctypes.cast(pointer, ctypes.POINTER(pynvml.c_nvmlMemory_v2_t))[0]
    if f"{handle - 1}.used" not in state:
        return pynvml.NVML_ERROR_NOT_SUPPORTED
    keys = ("total", "used", "reserved")
    memory.total, memory.used, memory.reserved = (state.get(f"{handle - 1}.{key}", 0) for key in keys)
    return 0


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
    "nvmlDeviceGetMigMode": ([_P, _P, _P], lambda state, handle, current, _: _of("split", _U)(state, handle, current)),
    "nvmlDeviceGetMemoryInfo_v2": ([_P, _P], _memory),
    "nvmlDeviceGetComputeRunningProcesses_v3": ([_P, _P, _P], _processes("compute")),
    "nvmlDeviceGetGraphicsRunningProcesses_v3": ([_P, _P, _P], _processes("graphics")),
    "nvmlDeviceGetCurrentClocksEventReasons": ([_P, _P], _of("clock_events", ctypes.c_ulonglong)),
    "nvmlDeviceGetClockInfo": ([_P, _U, _P], _clock),
    "nvmlDeviceGetTotalEnergyConsumption": ([_P, _P], _of("energy", ctypes.c_ulonglong)),
}
