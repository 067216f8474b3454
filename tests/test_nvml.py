"""What a run costs on an NVIDIA device: the real pynvml over a fake of NVML's library. No GPU was asked."""

import os
import threading
import time
from types import SimpleNamespace

import pynvml
import pytest
import torch
from fakes.nvml import MIB, NEVER_S, FakeNvml, install
from pydantic import TypeAdapter

from resnet18.measure import device_watch, devices
from resnet18.measure.device_watch import DeviceWatch, uuids_of
from resnet18.records.record import Conditions, Memory

CUDA0 = torch.device("cuda", 0)
FIRST, SECOND, SLICE = "GPU-11111111-aaaa", "GPU-22222222-bbbb", "MIG-11111111-aaaa"
USED, OWN, XORG = 2155 * MIB, 2141 * MIB, 10 * MIB
SW_POWER_CAP, HW_SLOWDOWN, HW_THERMAL, GPU_IDLE, SET_BY_SOMEBODY = 0x4, 0x8, 0x40, 0x1, 0x2
PATIENCE_S = 300
LAB = {
    "driver": "515.57", "0.uuid": FIRST, "0.total": 24576 * MIB, "0.used": USED, "0.reserved": 286 * MIB,
    "0.compute": f"self:{OWN}", "0.graphics": f"4893:{XORG}", "0.clock_events": SW_POWER_CAP, "0.clock": 1695,
    "0.energy": 123_456_789,
    "1.uuid": SECOND, "1.total": 24576 * MIB, "1.used": 5 * MIB, "1.compute": "-",
}  # fmt: skip
"""The lab's nvidia-smi: driver 515.57, two RTX 3090, the first training. UUIDs, reserved bytes, energy are made up."""
BEFORE = LAB | {"0.used": 14 * MIB, "0.compute": "-", "0.clock_events": GPU_IDLE, "0.clock": 210}
AFTER_190_J = LAB | {"0.energy": LAB["0.energy"] + 190_000}
FROM_NVML = ("energy_j", "samples", "device_peak_bytes", "device_baseline_bytes", "process_peak_bytes",
             "gpu_reserved_bytes", "gpu_other_processes", "gpu_throttle", "gpu_clock_mhz")  # fmt: skip


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    """The lab's machine, under a torch that sees its first GPU, and allocates on none; NVML is waited for."""
    fake = install(monkeypatch, FakeNvml(dict(LAB)))
    properties = SimpleNamespace(uuid=FIRST.removeprefix("GPU-"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("OPENING_LIMIT_S", "CLOSING_LIMIT_S"):
        monkeypatch.setattr(device_watch, name, PATIENCE_S)
    yield fake
    fake.released.set()
    for thread in threading.enumerate():  # one that hung ends before the next test has its fake
        if thread.name == "nvml-sampler":
            thread.join(10)


def watched(fake, *states, device=CUDA0):
    """Return the facts of a run: one state when it begins, and a sample in each of the others; the last once more."""
    fake.state = states[0]
    with DeviceWatch(device, period_s=NEVER_S) as watch:  # its thread samples at the opening and at the end
        for state in states[1:] if watch._gpu else ():
            fake.state = state
            watch.sample()
    return watch.facts()


def told(facts):
    """Return the values by key; in place of a null its reason."""
    parts, unknown = facts
    reasons = {key.rpartition(".")[2]: reason for key, reason in unknown.items()}
    return {**parts["memory"], **parts["conditions"], **parts["numerics"], "energy_j": parts["energy_j"], **reasons}


def reason_for_all(facts):
    """Return the reason that all values of NVML share, each of which is null."""
    (reason,) = {told(facts)[key] for key in FROM_NVML}
    return reason


def not_answered(name):
    return f"NVML did not answer (NVMLError_{name})"


def at_each_sample(key, *values):
    return [LAB | {key: value} for value in values]


IDLE = LAB | {"0.clock": 210, "0.clock_events": GPU_IDLE}
CROWD = LAB | {"0.compute": f"self:{OWN},77:{MIB},88:NA,4893:{MIB}"}
SWAPPED = {f"{1 - int(key[0])}{key[1:]}" if key[1] == "." else key: value for key, value in LAB.items()}
NO_ENERGY, NO_MEMORY = ({key: LAB[key] for key in LAB if key != missing} for missing in ("0.energy", "0.used"))
NOT_TOLD = "device-level only: the driver does not tell memory by process (so under WDDM and WSL)"
ZERO_BYTES = "device-level only: the driver gives 0 bytes for this process"
NOT_HERE = (
    "device-level only: the driver's list does not hold this process; in a container it has the host's process numbers"
)
NOWHERE = {"process_peak_bytes": NOT_HERE, "gpu_other_processes": NOT_HERE, "device_peak_bytes": USED}
STANDS = "the device's energy counter did not advance"
PLAYED = {
    "the lab's own figures": (  # beside Xorg; 190 W for a second
        [BEFORE, LAB, AFTER_190_J],
        {
            "device_baseline_bytes": 14 * MIB, "device_peak_bytes": USED, "process_peak_bytes": OWN, "energy_j": 190.0,
            "sampling_period_s": NEVER_S, "samples": 4, "gpu_reserved_bytes": 286 * MIB, "gpu_other_processes": 1,
            "gpu_throttle": ("SwPowerCap",), "gpu_clock_mhz": (1695, 1695, 1695), "driver": "515.57",
        },
    ),
    # Torch counts the fastest first, NVML by bus: an index would name the other GPU.
    "another order of devices": ([SWAPPED], {"device_peak_bytes": USED}),
    # The largest answer, whatever was not answered in between.
    "a peak between two silences": (
        [LAB, NO_MEMORY, LAB | {"0.used": 2 * USED}, NO_MEMORY, LAB],
        {"device_peak_bytes": 2 * USED, "sampling_period_s": NEVER_S},
    ),
    # The most that were seen at once; a process that draws and computes counts once.
    "others that come and go": ([BEFORE, LAB, CROWD, LAB], {"gpu_other_processes": 3}),
    "a GPU that is lost": (
        [BEFORE, LAB, LAB | {"lost": 15}, LAB | {"lost": 15}],
        {"device_peak_bytes": USED, "samples": 2, "energy_j": not_answered("GpuIsLost")},
    ),
    "throttling": (
        at_each_sample("0.clock_events", HW_SLOWDOWN, SW_POWER_CAP, 0, HW_THERMAL | SET_BY_SOMEBODY, GPU_IDLE),
        {"gpu_throttle": ("HwThermalSlowdown", "SwPowerCap")},
    ),
    # Lowest, median, highest; the state before the run and idle samples say nothing of the work.
    "clocks": (
        [BEFORE, *at_each_sample("0.clock", 1695, 1410, 1700, 1695), IDLE],
        {"gpu_clock_mhz": (1410, 1695, 1700)},
    ),
    "energy that stands": ([LAB, LAB], {"energy_j": STANDS}),
    "energy that falls": (at_each_sample("0.energy", 5, 0), {"energy_j": STANDS}),
    "no energy": ([NO_ENERGY], {"energy_j": not_answered("NotSupported"), "gpu_clock_mhz": (1695, 1695, 1695)}),
    "an older driver": (
        [LAB | {"fail.nvmlDeviceGetTotalEnergyConsumption": 13}],
        {"energy_j": not_answered("FunctionNotFound"), "device_peak_bytes": USED},
    ),
    "memory by process that is not told": (
        at_each_sample("0.compute", "self:NA"), {"process_peak_bytes": NOT_TOLD, "gpu_other_processes": 1},
    ),
    "a process of 0 bytes": (
        at_each_sample("0.compute", "self:0"), {"process_peak_bytes": ZERO_BYTES, "gpu_other_processes": 1},
    ),
    # The list may hold this process under another number, so that others cannot be counted.
    "numbers of another container": (at_each_sample("0.compute", f"1234567890:{OWN}"), NOWHERE),
    "an empty list": (at_each_sample("0.compute", "-"), NOWHERE),
    # Its memory is its own; what it does not support is null.
    "a slice of a GPU": (
        [LAB | {"0.uuid": "GPU-0", "2.uuid": SLICE, "2.used": 700 * MIB, "2.compute": f"self:{MIB}"}],
        {"device_peak_bytes": 700 * MIB, "process_peak_bytes": MIB, "gpu_other_processes": 0}
        | dict.fromkeys(("energy_j", "gpu_throttle", "gpu_clock_mhz"), not_answered("NotSupported")),
    ),
    "no memory": (  # that of some systems on a chip is the host's
        [NO_MEMORY],
        dict.fromkeys(("device_peak_bytes", "device_baseline_bytes"), not_answered("NotSupported")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAYED)
def test_a_run_records_what_its_gpu_tells(name, fake):
    states, expected = PLAYED[name]

    assert expected.items() <= told(watched(fake, *states)).items()


@pytest.mark.parametrize(("code", "name"), [(9, "DriverNotLoaded"), (18, "LibRmVersionMismatch"), (4, "NoPermission")])
def test_an_nvml_that_does_not_start_is_a_reason(fake, code, name):
    assert not_answered(name) == reason_for_all(watched(fake, LAB | {"fail.nvmlInitWithFlags": code}))


@pytest.mark.parametrize(("loaded", "name"), [(None, "LibraryNotFound"), (object(), "FunctionNotFound")])
def test_an_absent_library_is_a_reason(fake, monkeypatch, loaded, name):
    """And so is a library that is no NVML. The loader is replaced: this machine may have the library."""

    def load(_):
        if loaded is None:
            raise OSError("no such file")
        return loaded

    install(monkeypatch, None)
    monkeypatch.setattr(pynvml, "CDLL", load)

    assert not_answered(name) == reason_for_all(watched(fake, LAB))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"0.split": 1}, "the GPU is split (MIG)"),
        ({"fail.nvmlDeviceGetHandleByUUID": 4}, f"UUID that torch uses: {not_answered('NoPermission')}"),
        ({"0.uuid": "GPU-0"}, "UUID"),
    ],
)
def test_a_gpu_that_is_not_found_leaves_torchs_peaks_alone(changes, reason, fake, monkeypatch):
    """A slice that is not known or may not be asked, a UUID that NVML does not know. Torch's peaks are reset before."""
    reset = []
    monkeypatch.setattr(torch.accelerator, "reset_peak_memory_stats", reset.append)
    monkeypatch.setattr(torch.accelerator, "max_memory_allocated", lambda _: 100)
    monkeypatch.setattr(torch.accelerator, "max_memory_reserved", lambda _: 200)
    facts = watched(fake, LAB | changes)
    peaks = [facts[0]["memory"][f"{kind}_peak_bytes"] for kind in ("allocated", "reserved")]

    assert ([CUDA0], [100, 200]) == (reset, peaks)
    assert reason in reason_for_all(facts)


TOO_LATE, NO_END = (f"NVML had not answered 0.05 s after the run {what}" for what in ("began", "ended"))


def test_a_start_that_hangs_does_not_hold_the_run_up(fake, monkeypatch):
    monkeypatch.setattr(device_watch, "OPENING_LIMIT_S", 0.05)
    monkeypatch.setattr(device_watch, "CLOSING_LIMIT_S", 0.05)

    assert TOO_LATE == reason_for_all(watched(fake, LAB | {"hang.nvmlInitWithFlags": 1}))
    assert not fake.released.is_set()


def test_a_call_that_hangs_does_not_hold_the_run_up(fake, monkeypatch):
    """What was seen before it stays; the energy at the end was not."""
    monkeypatch.setattr(device_watch, "CLOSING_LIMIT_S", 0.05)
    with DeviceWatch(CUDA0, period_s=NEVER_S) as watch:
        fake.state["hang.nvmlDeviceGetClockInfo"] = 1

    assert not fake.released.is_set()
    assert {"device_peak_bytes": USED, "samples": 1, "energy_j": NO_END}.items() <= told(watch.facts()).items()


def test_a_start_that_comes_late_gives_no_baseline(fake, monkeypatch):
    """What is read after the run has begun is no state before it."""
    monkeypatch.setattr(device_watch, "OPENING_LIMIT_S", 0.05)
    fake.state["hang.nvmlDeviceGetHandleByUUID"] = 1
    with DeviceWatch(CUDA0, period_s=NEVER_S) as watch:
        fake.released.set()
        watch._opened.wait(10)
        fake.state.update(AFTER_190_J)
    expected = {"device_peak_bytes": USED, "device_baseline_bytes": TOO_LATE, "energy_j": TOO_LATE}

    assert expected.items() <= told(watch.facts()).items()


def test_the_thread_samples_by_itself(fake):
    """Until the watch closes: here, until it has seen a spike."""
    with DeviceWatch(CUDA0, period_s=0.001) as watch:
        fake.state["0.used"] = 9000 * MIB
        deadline = time.monotonic() + PATIENCE_S
        while watch._seen[device_watch.PEAK] < 9000 * MIB and time.monotonic() < deadline:
            time.sleep(0.001)
        fake.state["0.used"] = USED

    assert 9000 * MIB == watch.facts()[0]["memory"]["device_peak_bytes"]


@pytest.mark.parametrize(
    ("kind", "nvml", "torchs"),
    [
        ("cpu", "the run used no accelerator", "the run used no accelerator"),
        ("mps", "mps devices are not watched: NVML is NVIDIA's", device_watch.NO_PEAKS),
    ],
)
def test_a_device_of_another_maker_is_not_watched(kind, nvml, torchs, fake, monkeypatch):
    """Nor the CPU; the resident memory is known all the same."""

    def unsupported(_):
        raise RuntimeError("no allocator statistics")

    monkeypatch.setattr(pynvml, "nvmlInit", None)
    for name in ("reset_peak_memory_stats", "max_memory_allocated"):
        monkeypatch.setattr(torch.accelerator, name, unsupported)
    facts, reasons = watched(fake, LAB, device=torch.device(kind))

    assert (nvml, torchs) == (reason_for_all((facts, reasons)), reasons["memory.allocated_peak_bytes"])
    assert facts["memory"]["rss_peak_bytes"] > 50_000_000
    assert {} == facts["numerics"]


@pytest.mark.parametrize("device", [CUDA0, torch.device("cpu"), torch.device("mps")], ids=str)
@pytest.mark.parametrize("state", [LAB, LAB | {"0.used": 0}, {"fail.nvmlInitWithFlags": 9}], ids=["known", "0", "no"])
def test_the_facts_fit_the_record(fake, device, state):
    """Its keys, its types, and a reason for each null and for nothing else. 0 is a baseline, and no null."""
    facts, reasons = watched(fake, state, state | {"0.used": USED}, device=device)
    missing = {f"memory.{key}" for key, value in Memory.model_validate(facts["memory"]) if value is None}
    missing |= {f"conditions.{key}" for key, value in facts["conditions"].items() if value is None}

    assert missing | ({"energy_j"} if facts["energy_j"] is None else set()) == set(reasons)
    for key, value in facts["conditions"].items():
        TypeAdapter(Conditions.model_fields[key].annotation).validate_python(value)


@pytest.mark.parametrize(
    ("index", "uuid", "visible", "uuids"),
    [
        (0, "1-a", "", ("GPU-1-a", "MIG-1-a")),
        (0, "GPU-1-a", "1,0", ("GPU-1-a", "MIG-1-a")),
        (1, "1-a", "MIG-2-b, MIG-3-c", ("MIG-3-c",)),
        (2, "1-a", "MIG-2-b", ("GPU-1-a", "MIG-1-a")),
    ],
)
def test_a_device_is_known_by_uuid_never_by_index(index, uuid, visible, uuids, monkeypatch):
    """Torch's, or the one in CUDA_VISIBLE_DEVICES where torch means the GPU around a slice."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid=uuid))
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", visible)

    assert uuids == uuids_of(torch.device("cuda", index))


@pytest.mark.parametrize(
    ("visible", "names"),
    [("", ()), ("0", ("0",)), ("1, 0", ("1", "0")), ("GPU-a,,MIG-b", ("GPU-a", "MIG-b")), (None, (FIRST, SECOND))],
)
def test_gpus_are_those_that_are_listed_else_all_by_uuid(visible, names, monkeypatch):
    monkeypatch.setattr(devices, "listed_gpus", lambda: dict.fromkeys((FIRST, SECOND), "a model"))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert names == devices.nvidia_gpus()
