"""What a run costs on an NVIDIA device: the real pynvml over a fake of NVML's library. No GPU was asked."""

import os
import threading
import time
from types import SimpleNamespace

import pynvml
import pytest
import torch
from fakes.nvml import MIB, NEVER_S, FakeNvml, install, play
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from resnet18.measure import device_watch
from resnet18.measure.device_watch import DeviceWatch, uuids_of
from resnet18.records.record import Conditions, Memory

CUDA0 = torch.device("cuda", 0)
FIRST, SECOND, SLICE = "GPU-11111111-aaaa", "GPU-22222222-bbbb", "MIG-33333333-cccc"
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
NOT_HERE = "device-level only: the driver's list does not hold this process"


def not_answered(name):
    return f"NVML did not answer (NVMLError_{name})"


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


@pytest.fixture
def observe(fake):
    """Return a function that gives a run's facts, with a state for its beginning and one for each sample."""
    return lambda states, uuids=(FIRST,): play(fake, states, uuids)


def watched(device=CUDA0, work=lambda: None):
    with DeviceWatch(device, period_s=NEVER_S) as watch:  # samples at the opening and at the end
        work()
    return watch.facts()


def test_the_labs_own_figures_are_read(observe):
    """2155 MiB of which 2141 by this process, beside Xorg; 190 W for a second."""
    facts = observe([BEFORE, LAB, AFTER_190_J])

    assert (14 * MIB, USED, OWN) == tuple(
        facts.memory[key] for key in ("device_baseline_bytes", "device_peak_bytes", "process_peak_bytes")
    )
    assert 190.0 == facts.energy_j
    assert {
        "sampling_period_s": NEVER_S,
        "samples": 4,
        "gpu_reserved_bytes": 286 * MIB,
        "gpu_other_processes": 1,
        "gpu_throttle": ("SwPowerCap",),
        "gpu_clock_mhz": (1695, 1695, 1695),
    } == facts.conditions
    assert {"driver": "515.57"} == facts.numerics


def reason_for_all(facts):
    """Return the reason that all values of NVML share, each of which is null."""
    (reason,) = {facts.reasons[key] for key in (*device_watch.GAUGES, "conditions.samples")}
    return reason


@pytest.mark.parametrize(
    ("code", "name"), [(9, "DriverNotLoaded"), (18, "LibRmVersionMismatch"), (4, "NoPermission"), (999, "Unknown")]
)
def test_an_nvml_that_does_not_start_is_a_reason(observe, code, name):
    facts = observe([LAB | {"fail.nvmlInitWithFlags": code}])

    assert not_answered(name) == reason_for_all(facts)


@pytest.mark.parametrize(("loaded", "name"), [(None, "LibraryNotFound"), (object(), "FunctionNotFound")])
def test_an_absent_library_is_a_reason(monkeypatch, loaded, name):
    """And so is a library that is no NVML. The loader is replaced: this machine may have the library."""

    def load(_):
        if loaded is None:
            raise OSError("no such file")
        return loaded

    install(monkeypatch, None)
    monkeypatch.setattr(pynvml, "CDLL", load)

    assert not_answered(name) == reason_for_all(watched())


@pytest.mark.parametrize("lacks", ["driver", "pynvml"])
def test_what_an_older_driver_or_pynvml_lacks_is_a_reason(fake, lacks, monkeypatch):
    name = "nvmlDeviceGetTotalEnergyConsumption"
    if lacks == "pynvml":
        monkeypatch.delattr(pynvml, name)
    fake.state[f"fail.{name}"] = 13
    facts = watched()

    assert USED == facts.memory["device_peak_bytes"]
    expected = {"pynvml": "NVML did not answer (AttributeError)", "driver": not_answered("FunctionNotFound")}
    assert expected[lacks] == facts.reasons["energy_j"]


def test_a_slice_of_a_gpu_is_read_by_its_own_uuid(observe):
    """What a slice does not support is null; its memory is its own."""
    part = {"2.uuid": SLICE, "2.total": 5000 * MIB, "2.used": 700 * MIB, "2.compute": f"self:{600 * MIB}"}
    facts = observe([LAB | {"0.split": 1} | part], (SLICE,))

    assert (700 * MIB, 600 * MIB) == (facts.memory["device_peak_bytes"], facts.memory["process_peak_bytes"])
    assert 0 == facts.conditions["gpu_other_processes"]
    for key in ("energy_j", "conditions.gpu_throttle", "conditions.gpu_clock_mhz"):
        assert not_answered("NotSupported") == facts.reasons[key]


def test_a_split_gpu_whose_slice_is_not_known_is_not_read(observe):
    assert "the GPU is split (MIG)" in reason_for_all(observe([LAB | {"0.split": 1}]))


def test_a_slice_that_may_not_be_asked_leaves_torchs_peaks_alone(fake, observe, monkeypatch):
    """The reason is NVML's. Torch's peaks are reset at the beginning."""
    reset = []
    monkeypatch.setattr(torch.accelerator, "reset_peak_memory_stats", reset.append)
    monkeypatch.setattr(torch.accelerator, "max_memory_allocated", lambda _: 100)
    monkeypatch.setattr(torch.accelerator, "max_memory_reserved", lambda _: 200)
    facts = observe([LAB | {"fail.nvmlDeviceGetHandleByUUID": 4}], (SLICE,))

    assert ([torch.device("cuda")], 100, 200) == (
        reset,
        facts.memory["allocated_peak_bytes"],
        facts.memory["reserved_peak_bytes"],
    )
    assert f"the UUID that torch uses: {not_answered('NoPermission')}" == reason_for_all(facts)


@pytest.mark.parametrize(
    ("listed", "others", "reason"),
    [
        ("self:NA", 1, "device-level only: the driver does not tell memory by process"),
        ("self:0", 1, "device-level only: the driver gives 0 bytes for this process"),
        (f"1234567890:{OWN}", None, NOT_HERE),
        ("-", None, NOT_HERE),
    ],
    ids=["memory-not-told", "zero-bytes", "foreign-pid", "empty-list"],
)
def test_memory_by_process_is_null_where_the_driver_does_not_know(observe, listed, others, reason):
    """Never 0; and where the list may hold this process under another number, others cannot be counted."""
    facts = observe([LAB | {"0.compute": listed}])

    assert facts.memory["process_peak_bytes"] is None
    assert facts.reasons["memory.process_peak_bytes"].startswith(reason)
    assert others == facts.conditions["gpu_other_processes"]
    assert (others is None) == ("conditions.gpu_other_processes" in facts.reasons)
    assert USED == facts.memory["device_peak_bytes"]


def test_a_device_is_found_whatever_the_order_of_nvml(observe):
    """Torch counts the fastest first, NVML by bus: an index would name the other GPU."""
    swapped = {f"{1 - int(key[0])}{key[1:]}" if key[1] == "." else key: value for key, value in LAB.items()}

    assert USED == observe([swapped]).memory["device_peak_bytes"]


def test_another_process_that_comes_and_goes_is_counted(observe):
    """The most that were seen at once; one that draws and computes counts once, and none is named."""
    crowd = LAB | {"0.compute": f"self:{OWN},77:{MIB},88:NA,4893:{MIB}"}
    facts = observe([BEFORE, LAB, crowd, LAB])

    assert 3 == facts.conditions["gpu_other_processes"]
    assert "77" not in str(facts.conditions)


def test_a_gpu_that_is_lost_leaves_what_was_seen_before(observe):
    """The peaks so far, with the number of samples that answered; no energy, which needs an end."""
    lost = LAB | {"lost": 15}
    facts = observe([BEFORE, LAB, lost, lost])

    assert (USED, 2) == (facts.memory["device_peak_bytes"], facts.conditions["samples"])
    assert (None, not_answered("GpuIsLost")) == (facts.energy_j, facts.reasons["energy_j"])


def test_throttling_is_remembered_and_idling_is_none(observe):
    bits = (HW_SLOWDOWN, SW_POWER_CAP, 0, HW_THERMAL | SET_BY_SOMEBODY, GPU_IDLE)
    facts = observe([LAB | {"0.clock_events": each} for each in bits])

    assert ("HwThermalSlowdown", "SwPowerCap") == facts.conditions["gpu_throttle"]


def test_clocks_are_those_at_work(observe):
    """Lowest, median, highest; the state before the run and idle samples say nothing of the work."""
    idle = LAB | {"0.clock": 210, "0.clock_events": GPU_IDLE}
    facts = observe([BEFORE, *(LAB | {"0.clock": mhz} for mhz in (1695, 1410, 1700, 1695)), idle])

    assert (1410, 1695, 1700) == facts.conditions["gpu_clock_mhz"]


@pytest.mark.parametrize("change", [0, -5])
def test_an_energy_counter_that_does_not_advance_is_no_measurement(observe, change):
    facts = observe([LAB, LAB | {"0.energy": LAB["0.energy"] + change}])

    assert (None, "the device's energy counter did not advance") == (facts.energy_j, facts.reasons["energy_j"])


@pytest.mark.parametrize(
    ("missing", "keys"),
    [
        ("0.energy", ["energy_j"]),
        ("0.used", ["memory.device_peak_bytes", "memory.device_baseline_bytes", "conditions.gpu_reserved_bytes"]),
    ],
)
def test_what_a_device_does_not_count_is_null_and_the_rest_is_read(observe, missing, keys):
    """Energy before Volta; memory that is the host's, on some systems on a chip."""
    facts = observe([{key: value for key, value in LAB.items() if key != missing}])

    assert (1695, 1695, 1695) == facts.conditions["gpu_clock_mhz"]
    assert {not_answered("NotSupported")} == {facts.reasons[key] for key in keys}


@pytest.mark.parametrize("uuids", [("GPU-0",), ()])
def test_an_unknown_uuid_is_a_reason(observe, uuids):
    assert "UUID" in reason_for_all(observe([LAB], uuids))


def test_a_start_that_hangs_does_not_hold_the_run_up(fake, monkeypatch):
    monkeypatch.setattr(device_watch, "OPENING_LIMIT_S", 0.05)
    monkeypatch.setattr(device_watch, "CLOSING_LIMIT_S", 0.05)
    fake.state["hang.nvmlInitWithFlags"] = 1

    assert "NVML had not answered 0.05 s after the run began" == reason_for_all(watched())
    assert not fake.released.is_set()


def test_a_call_that_hangs_does_not_hold_the_run_up(fake, monkeypatch):
    """What was seen before it stays; the energy at the end was not."""
    monkeypatch.setattr(device_watch, "CLOSING_LIMIT_S", 0.05)
    facts = watched(work=lambda: fake.state.update({"hang.nvmlDeviceGetClockInfo": 1}))

    assert not fake.released.is_set()
    assert (USED, 1) == (facts.memory["device_peak_bytes"], facts.conditions["samples"])
    assert "NVML had not answered 0.05 s after the run ended" == facts.reasons["energy_j"]


def test_a_start_that_comes_late_gives_no_baseline(fake, monkeypatch):
    """What is read after the run has begun is no state before it."""
    monkeypatch.setattr(device_watch, "OPENING_LIMIT_S", 0.05)
    fake.state["hang.nvmlDeviceGetHandleByUUID"] = 1
    with DeviceWatch(CUDA0, period_s=NEVER_S) as late:
        fake.released.set()
        late._opened.wait(10)
        fake.state.update(AFTER_190_J)
    facts = late.facts()

    assert (USED, None, None) == (
        facts.memory["device_peak_bytes"],
        facts.memory["device_baseline_bytes"],
        facts.energy_j,
    )
    for key in ("memory.device_baseline_bytes", "energy_j"):
        assert "NVML had not answered 0.05 s after the run began" == facts.reasons[key]


def test_a_system_without_another_thread_goes_without_nvml(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(device_watch.threading.Thread, "start", refuse)

    assert "no thread could be started for NVML" == reason_for_all(watched())


def test_the_thread_samples_by_itself(fake):
    """Until the watch closes: here, until it has seen a spike."""
    with DeviceWatch(CUDA0, period_s=0.001) as watch:
        fake.state["0.used"] = 9000 * MIB
        deadline = time.monotonic() + PATIENCE_S
        while watch._seen[device_watch.PEAK] < 9000 * MIB and time.monotonic() < deadline:
            time.sleep(0.001)
        fake.state["0.used"] = USED

    assert 9000 * MIB == watch.facts().memory["device_peak_bytes"]


def test_a_run_on_the_cpu_has_no_device_memory_and_says_why(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: 1 / 0)
    facts = watched(torch.device("cpu"))

    assert {"the run used no accelerator"} == set(facts.reasons.values())
    assert facts.memory["rss_peak_bytes"] > 50_000_000
    assert ({}, None) == (facts.numerics, facts.energy_j)


@pytest.mark.parametrize("kind", ["mps", "xpu"])
def test_a_device_of_another_maker_is_not_watched(kind, monkeypatch):
    def unsupported(_):
        raise RuntimeError("no allocator statistics")

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: 1 / 0)
    monkeypatch.setattr(torch.accelerator, "reset_peak_memory_stats", unsupported)
    monkeypatch.setattr(torch.accelerator, "max_memory_allocated", unsupported)
    facts = watched(torch.device(kind))

    assert f"{kind} devices are not watched: NVML is NVIDIA's" == reason_for_all(facts)
    assert "keeps no statistics" in facts.reasons["memory.allocated_peak_bytes"]


@pytest.mark.parametrize("device", [CUDA0, torch.device("cpu"), torch.device("mps")], ids=str)
@pytest.mark.parametrize("state", [LAB, LAB | {"0.used": 0}, {"fail.nvmlInitWithFlags": 9}], ids=["known", "0", "no"])
def test_the_facts_fit_the_record(fake, device, state):
    """Its keys, its types, and a reason for each null and for nothing else. 0 is a baseline, and no null."""
    fake.state = state
    facts = watched(device, work=lambda: fake.state.update({"0.used": USED}))
    missing = {f"memory.{key}" for key, value in Memory.model_validate(facts.memory) if value is None}
    missing |= {f"conditions.{key}" for key, value in facts.conditions.items() if value is None}

    assert missing | ({"energy_j"} if facts.energy_j is None else set()) == set(facts.reasons)
    for key, value in facts.conditions.items():
        TypeAdapter(Conditions.model_fields[key].annotation).validate_python(value)


@given(st.lists(st.one_of(st.none(), st.integers(1, 2**40)), min_size=1, max_size=9))
def test_a_sampled_peak_is_the_largest_answer(answers):
    """Whatever the order, and whatever was not answered in between; a spike between two samples is missed."""
    with pytest.MonkeyPatch.context() as patch:
        fake = install(patch, FakeNvml({}))
        states = [LAB | {"0.used": used} if used else {"driver": "1", "0.uuid": FIRST} for used in answers]
        facts = play(fake, states, (FIRST,))
    peak = max((used for used in answers if used is not None), default=None)

    assert peak == facts.memory["device_peak_bytes"]
    assert (NEVER_S if peak else None) == facts.conditions["sampling_period_s"]


@pytest.mark.parametrize(
    ("index", "told", "visible", "uuids"),
    [
        (0, "1-a", "", ("GPU-1-a", "MIG-1-a")),
        (0, "GPU-1-a", "1,0", ("GPU-1-a", "MIG-1-a")),
        (0, "1-a", "MIG-3-c", ("MIG-3-c",)),
        (1, None, "GPU-1-a, GPU-2-b", ("GPU-2-b",)),
        (0, None, "0,1", ()),
        (2, None, "GPU-1-a", ()),
        (0, None, "", ()),
    ],
)
def test_a_device_is_known_by_uuid_never_by_index(index, told, visible, uuids, monkeypatch):
    """Torch's, or the one in CUDA_VISIBLE_DEVICES where torch does not tell or means the GPU around a slice."""
    properties = SimpleNamespace(**{"uuid": told} if told else {})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", visible)

    assert uuids == uuids_of(torch.device("cuda", index))
