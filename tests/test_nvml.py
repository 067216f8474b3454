"""What a run costs on an NVIDIA device: the real pynvml over two fakes of NVML. No GPU was asked."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from types import SimpleNamespace

import pynvml
import pytest
import torch
from fakes.nvml import (
    ANSWERS,
    CHILD_LIMIT_S,
    MIB,
    OLD_DRIVER_LACKS,
    SOURCE,
    FakeNvml,
    compile_library,
    install,
    play,
    play_in_child,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from resnet18.measure import devices, sampler
from resnet18.measure.device_facts import device_facts
from resnet18.measure.nvml import watch_device
from resnet18.measure.nvml_device import Reading, uuid_candidates
from resnet18.records.record import Conditions, Memory

CUDA0 = torch.device("cuda", 0)
FIRST, SECOND, SLICE = "GPU-11111111-aaaa", "GPU-22222222-bbbb", "MIG-33333333-cccc"
USED, OWN, XORG = 2155 * MIB, 2141 * MIB, 10 * MIB
SW_POWER_CAP, HW_SLOWDOWN, HW_THERMAL, GPU_IDLE, SET_BY_SOMEBODY = 0x4, 0x8, 0x40, 0x1, 0x2

LAB = {
    "driver": "515.57",
    "0.uuid": FIRST,
    "0.total": 24576 * MIB,
    "0.used": USED,
    "0.reserved": 286 * MIB,
    "0.compute": f"self:{OWN}",
    "0.graphics": f"4893:{XORG}",
    "0.clock_events": SW_POWER_CAP,
    "0.clock": 1695,
    "0.energy": 123_456_789,
    "1.uuid": SECOND,
    "1.total": 24576 * MIB,
    "1.used": 5 * MIB,
    "1.reserved": 286 * MIB,
    "1.compute": "-",
    "1.graphics": "-",
    "1.clock_events": GPU_IDLE,
    "1.clock": 210,
    "1.energy": 1_000,
}
"""The lab's nvidia-smi: driver 515.57, two RTX 3090, the first training. UUIDs, reserved bytes, energy are made up."""
BEFORE = LAB | {"0.used": 14 * MIB, "0.compute": "-", "0.clock_events": GPU_IDLE, "0.clock": 210}
AFTER_190_J = LAB | {"0.energy": LAB["0.energy"] + 190_000}


def without(*keys, state=LAB):
    return {key: value for key, value in state.items() if key not in keys}


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    """Return the folders of the C fake, `new` and `old`. CI must have a compiler: there, none is a failure."""
    if sys.platform != "linux":
        pytest.skip("the fake of libnvidia-ml.so.1 is a Linux library; the callbacks show the same")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("no C compiler (cc, gcc) for the fake of libnvidia-ml")
    folder = tmp_path_factory.mktemp("nvml")
    return {
        "new": compile_library(folder / "new", compiler),
        "old": compile_library(folder / "old", compiler, old_driver=True),
    }


@pytest.fixture(params=["callbacks", "library"])
def observe(request, tmp_path, monkeypatch):
    """Return a function that gives a run's facts, as a dictionary, with a state for its beginning and each sample."""

    def with_callbacks(states, uuids=(FIRST,), *, allocated=None, driver="new"):
        fake = install(monkeypatch, FakeNvml({}, OLD_DRIVER_LACKS if driver == "old" else ()))
        return asdict(play(lambda state: setattr(fake, "state", state), states, uuids, allocated))

    def with_library(states, uuids=(FIRST,), *, allocated=None, driver="new"):
        folder = request.getfixturevalue("libraries")[driver]
        return with_tuples(play_in_child(folder, tmp_path, states, uuids, allocated))

    return with_callbacks if request.param == "callbacks" else with_library


def with_tuples(facts):
    """JSON has made lists of them."""
    conditions = facts["conditions"].items()
    return facts | {
        "conditions": {key: tuple(value) if isinstance(value, list) else value for key, value in conditions}
    }


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """An NVML that answers is waited for, however busy the machine is."""
    monkeypatch.setattr(sampler, "OPENING_LIMIT_S", CHILD_LIMIT_S)
    monkeypatch.setattr(sampler, "CLOSING_LIMIT_S", CHILD_LIMIT_S)


@pytest.fixture
def fake(monkeypatch):
    """The lab's machine, under a torch that sees its first GPU."""
    fake = install(monkeypatch, FakeNvml(dict(LAB)))
    properties = SimpleNamespace(uuid=FIRST.removeprefix("GPU-"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield fake
    fake.released.set()
    for thread in threading.enumerate():  # one that hung ends before the next test has its fake
        if thread.name == "nvml-sampler":
            thread.join(10)


def watched(device=CUDA0, work=lambda: None):
    with watch_device(device, period_s=3600) as watch:  # samples at the opening and at the end
        work()
    return watch.facts()


def test_the_labs_own_figures_are_read(observe):
    """2155 MiB of which 2141 by this process, beside Xorg; 190 W for a second."""
    facts = observe([BEFORE, LAB, AFTER_190_J])

    assert {
        "allocated_peak_bytes": None,
        "device_peak_bytes": USED,
        "device_baseline_bytes": 14 * MIB,
        "process_peak_bytes": OWN,
    } == facts["memory"]
    assert 190.0 == facts["energy_j"]
    assert {
        "sampling_period_s": 3600,
        "samples": 4,
        "gpu_reserved_bytes": 286 * MIB,
        "gpu_other_processes": 1,
        "gpu_throttle": ("SwPowerCap",),
        "gpu_clock_mhz": (1695, 1695, 1695),
    } == facts["conditions"]
    assert {"driver": "515.57"} == facts["numerics"]
    assert {"memory.allocated_peak_bytes": "nothing was allocated"} == facts["reasons"]


def all_null(facts):
    values = [*facts["memory"].values(), facts["energy_j"], *facts["conditions"].values()]
    return all(value is None for value in values) and len(values) == len(facts["reasons"])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (9, "the NVIDIA driver is not loaded (NVML code 9)"),
        (18, "the NVIDIA driver and the NVML library differ in version (NVML code 18)"),
        (4, "no permission to ask the NVIDIA driver (NVML code 4)"),
        (999, "NVML gave an error (NVML code 999)"),
    ],
)
def test_an_nvml_that_does_not_start_is_a_reason(observe, code, reason):
    """For each value of the device."""
    facts = observe([LAB | {"fail.nvmlInitWithFlags": code}])

    assert all_null(facts)
    assert {"nothing was allocated", reason} == set(facts["reasons"].values())


def test_an_absent_library_is_a_reason(monkeypatch):
    """The loader is asked for it, in vain: this machine may have it."""

    def missing(_):
        raise OSError("libnvidia-ml.so.1: cannot open shared object file: No such file or directory")

    install(monkeypatch, None)
    monkeypatch.setattr(pynvml, "CDLL", missing)
    facts = asdict(play(lambda _: None, [LAB], (FIRST,)))

    assert all_null(facts)
    assert "no NVML library could be loaded (NVML code 12)" == facts["reasons"]["energy_j"]


@pytest.mark.skipif(sys.platform != "linux", reason="LD_LIBRARY_PATH is Linux's")
@pytest.mark.parametrize("content", [b"", b"no library"], ids=["empty", "garbage"])
def test_a_library_that_cannot_be_loaded_is_a_reason(content, tmp_path):
    """In a child: the loader looks for it once."""
    (tmp_path / "libnvidia-ml.so.1").write_bytes(content)
    facts = play_in_child(tmp_path, tmp_path, [LAB], (FIRST,))

    assert all_null(facts)
    assert "no NVML library could be loaded (NVML code 12)" == facts["reasons"]["energy_j"]


@pytest.mark.usefixtures("libraries")  # for its compiler
def test_a_library_without_its_functions_is_a_reason(tmp_path):
    """A file of that name that is another library."""
    empty = tmp_path / "empty.c"
    empty.write_text("")
    output = str(tmp_path / "libnvidia-ml.so.1")
    subprocess.run([shutil.which("cc") or "gcc", "-shared", "-o", output, str(empty)], check=True)
    facts = play_in_child(tmp_path, tmp_path, [LAB], (FIRST,))

    assert all_null(facts)
    assert "the NVML library lacks this function (NVML code 13)" == facts["reasons"]["energy_j"]


def test_an_old_driver_is_asked_with_the_functions_it_has(observe):
    """Throttling and processes by their older names; memory by version 1, which counts reserved memory as used."""
    facts = observe([BEFORE, LAB], driver="old")

    assert USED + 286 * MIB == facts["memory"]["device_peak_bytes"]
    assert OWN == facts["memory"]["process_peak_bytes"]
    assert (1, ("SwPowerCap",)) == (
        facts["conditions"]["gpu_other_processes"],
        facts["conditions"]["gpu_throttle"],
    )
    assert facts["conditions"]["gpu_reserved_bytes"] is None
    assert "version 1" in facts["reasons"]["conditions.gpu_reserved_bytes"]


def test_an_older_pynvml_is_asked_with_the_names_it_has(fake, monkeypatch):
    """An AttributeError of pynvml is no error of the run."""
    monkeypatch.delattr(pynvml, "nvmlDeviceGetCurrentClocksEventReasons")
    monkeypatch.delattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption")
    facts = watched()

    assert ("SwPowerCap",) == facts.conditions["gpu_throttle"]
    assert "NVML could not be asked (AttributeError)" == facts.reasons["energy_j"]


def test_a_slice_of_a_gpu_is_read_by_its_own_uuid(observe):
    """What a slice does not support is null; its memory is its own."""
    part = {"2.uuid": SLICE, "2.total": 5000 * MIB, "2.used": 700 * MIB, "2.compute": f"self:{600 * MIB}"}
    facts = observe([LAB | {"0.split": 1} | part], (SLICE,))

    assert (700 * MIB, 600 * MIB) == (facts["memory"]["device_peak_bytes"], facts["memory"]["process_peak_bytes"])
    assert 0 == facts["conditions"]["gpu_other_processes"]
    for key in ("energy_j", "conditions.gpu_throttle", "conditions.gpu_clock_mhz"):
        assert "the device does not support this question (NVML code 3)" == facts["reasons"][key]


def test_a_split_gpu_whose_slice_is_not_known_is_not_read(observe):
    """Its memory is that of all its slices."""
    facts = observe([LAB | {"0.split": 1}])

    assert all_null(facts)
    assert "the GPU is split (MIG)" in facts["reasons"]["memory.device_peak_bytes"]


def test_a_slice_that_may_not_be_asked_leaves_torchs_peaks_alone(observe):
    """The reason is NVML's."""
    facts = observe([LAB | {"fail.nvmlDeviceGetHandleByUUID": 4}], (SLICE,), allocated=100)

    assert 100 == facts["memory"]["allocated_peak_bytes"]
    assert "no permission to ask the NVIDIA driver (NVML code 4)" == facts["reasons"]["memory.device_peak_bytes"]


@pytest.mark.parametrize(
    ("listed", "own", "others", "reason"),
    [
        ("self:NA", None, 1, "device-level only: the driver does not tell memory by process"),
        ("self:0", None, 1, "device-level only: the driver gives 0 bytes for this process, though torch has allocated"),
        (f"1234567890:{OWN}", None, None, "device-level only: the driver's list does not hold this process"),
        ("-", None, None, "device-level only: the driver's list does not hold this process"),
    ],
    ids=["memory-not-told", "zero-bytes", "foreign-pid", "empty-list"],
)
def test_memory_by_process_is_null_where_the_driver_does_not_know(observe, listed, own, others, reason):
    """Never 0; and where the list may hold this process under another number, others cannot be counted."""
    facts = observe([LAB | {"0.compute": listed}], allocated=OWN)

    assert own == facts["memory"]["process_peak_bytes"]
    assert facts["reasons"]["memory.process_peak_bytes"].startswith(reason)
    assert others == facts["conditions"]["gpu_other_processes"]
    assert (others is None) == ("conditions.gpu_other_processes" in facts["reasons"])
    assert USED == facts["memory"]["device_peak_bytes"]


def test_a_device_is_found_whatever_the_order_of_nvml(observe):
    """Torch counts the fastest first, NVML by bus: an index would name the other GPU."""
    swapped = {f"{1 - int(key[0])}{key[1:]}" if key[1] == "." else key: value for key, value in LAB.items()}
    facts = observe([swapped])

    assert USED == facts["memory"]["device_peak_bytes"]


def test_another_process_that_comes_and_goes_is_counted(observe):
    """The most that were seen at once; one that draws and computes counts once."""
    crowd = LAB | {"0.compute": f"self:{OWN},77:{MIB},88:NA,4893:{MIB}"}
    facts = observe([BEFORE, LAB, crowd, LAB])

    assert 3 == facts["conditions"]["gpu_other_processes"]
    assert "77" not in str(facts)


def test_a_device_without_graphics_has_no_such_processes(observe):
    """That NVML does not support the question is an answer."""
    assert 0 == observe([without("0.graphics")])["conditions"]["gpu_other_processes"]


def test_processes_that_may_not_be_listed_are_unknown(observe):
    """Not none."""
    facts = observe([LAB | {"fail.nvmlDeviceGetComputeRunningProcesses_v3": 4}])

    assert facts["conditions"]["gpu_other_processes"] is None
    for key in ("memory.process_peak_bytes", "conditions.gpu_other_processes"):
        assert "no permission to ask the NVIDIA driver (NVML code 4)" == facts["reasons"][key]


def test_a_gpu_that_is_lost_leaves_what_was_seen_before(observe):
    """The peaks so far, with the number of samples that answered; no energy, which needs an end."""
    lost = LAB | {"lost": 15}
    facts = observe([BEFORE, LAB, lost, lost])

    assert (USED, 2) == (facts["memory"]["device_peak_bytes"], facts["conditions"]["samples"])
    assert "the GPU was lost (NVML code 15)" == facts["reasons"]["energy_j"]


def test_a_gpu_that_is_lost_from_the_start_is_a_reason(observe):
    """The library starts, the device does not answer."""
    facts = observe([LAB | {"lost": 15}])

    assert all_null(facts)
    assert {"driver": "515.57"} == facts["numerics"]


def test_a_spike_between_two_samples_is_missed_and_the_period_is_recorded(observe):
    """A sampled peak is a lower bound; the record says of what."""
    seen, missed = LAB | {"0.used": 3000 * MIB}, 20_000 * MIB
    facts = observe([BEFORE, LAB, seen, LAB])

    assert 3000 * MIB == facts["memory"]["device_peak_bytes"] < missed
    assert 3600 == facts["conditions"]["sampling_period_s"]


def test_throttling_is_remembered_and_idling_is_none(observe):
    """Each reason that was there at some sample of the run; clocks set by somebody are not lowered."""
    states = [LAB | {"0.clock_events": bits} for bits in (HW_SLOWDOWN, 0, HW_THERMAL | SET_BY_SOMEBODY, GPU_IDLE)]

    assert ("HwThermalSlowdown",) == observe(states)["conditions"]["gpu_throttle"]


def test_no_throttling_is_an_empty_list(observe):
    """Known, and none."""
    facts = observe([LAB | {"0.clock_events": GPU_IDLE}])

    assert () == facts["conditions"]["gpu_throttle"]
    assert "conditions.gpu_throttle" not in facts["reasons"]


def test_clocks_are_those_at_work(observe):
    """Lowest, median, highest; the state before the run and idle samples say nothing of the work."""
    idle = LAB | {"0.clock": 210, "0.clock_events": GPU_IDLE}
    facts = observe([BEFORE, *(LAB | {"0.clock": mhz} for mhz in (1695, 1410, 1700, 1695)), idle])

    assert (1410, 1695, 1700) == facts["conditions"]["gpu_clock_mhz"]


def test_a_device_that_idled_has_no_clock(observe):
    """The reason says so."""
    facts = observe([BEFORE])

    assert facts["conditions"]["gpu_clock_mhz"] is None
    assert "the device idled at each sample" == facts["reasons"]["conditions.gpu_clock_mhz"]


def test_a_device_before_volta_counts_no_energy(observe):
    """Null, not 0."""
    facts = observe([without("0.energy")])

    assert facts["energy_j"] is None
    assert "the device does not support this question (NVML code 3)" == facts["reasons"]["energy_j"]


@pytest.mark.parametrize("change", [0, -5])
def test_an_energy_counter_that_does_not_advance_is_no_measurement(observe, change):
    """Too short a run, or a driver that was loaded again."""
    facts = observe([LAB, LAB | {"0.energy": LAB["0.energy"] + change}])

    assert "the device's energy counter did not advance" == facts["reasons"]["energy_j"]


def test_a_device_with_the_hosts_memory_has_no_figure_of_its_own(observe):
    """Some systems on a chip; their clocks are still read."""
    facts = observe([without("0.used")])

    assert (1695, 1695, 1695) == facts["conditions"]["gpu_clock_mhz"]
    for key in ("memory.device_peak_bytes", "memory.device_baseline_bytes", "conditions.gpu_reserved_bytes"):
        assert "the device does not support this question (NVML code 3)" == facts["reasons"][key]


def test_an_unknown_uuid_is_a_reason(observe):
    """And so is none at all."""
    assert "UUID" in observe([LAB], ("GPU-0",))["reasons"]["energy_j"]
    assert "UUID" in observe([LAB], ())["reasons"]["energy_j"]


def test_a_start_that_hangs_does_not_hold_the_run_up(libraries, tmp_path):
    """The library sleeps in its first function for longer than the child may take."""
    hung = LAB | {"hang.nvmlInitWithFlags": 2 * CHILD_LIMIT_S}
    facts = play_in_child(libraries["new"], tmp_path, [hung], (FIRST,))

    assert all_null(facts)
    assert "NVML had not answered 2 s after the run began" == facts["reasons"]["memory.device_peak_bytes"]


def test_a_call_that_hangs_does_not_hold_the_run_up(fake, monkeypatch):
    """What was seen before it stays; the energy at the end was not."""
    monkeypatch.setattr(sampler, "CLOSING_LIMIT_S", 0.05)
    facts = watched(work=lambda: fake.state.update({"hang.nvmlDeviceGetClockInfo": 1}))

    assert not fake.released.is_set()
    assert (USED, 1) == (facts.memory["device_peak_bytes"], facts.conditions["samples"])
    assert "NVML had not answered 0.05 s after the run ended" == facts.reasons["energy_j"]


def test_a_start_that_comes_late_gives_no_baseline(fake, monkeypatch):
    """What is read after the run has begun is no state before it."""
    monkeypatch.setattr(sampler, "OPENING_LIMIT_S", 0.05)
    fake.state["hang.nvmlDeviceGetHandleByUUID"] = 1
    with sampler.Sampler((FIRST,), period_s=3600) as late:
        fake.released.set()
        late._opened.wait(10)
        fake.state.update(AFTER_190_J)
    facts = device_facts(late.findings(), {}, "")

    assert USED == facts.memory["device_peak_bytes"]
    assert (None, None) == (facts.memory["device_baseline_bytes"], facts.energy_j)
    for key in ("memory.device_baseline_bytes", "energy_j"):
        assert "NVML had not answered 0.05 s after the run began" == facts.reasons[key]


def test_the_first_reason_is_kept(observe):
    """What went wrong later went wrong for another reason."""
    refused = LAB | {"fail.nvmlDeviceGetClockInfo": 4}
    facts = observe([refused, LAB | {"lost": 15}])

    assert "no permission to ask the NVIDIA driver (NVML code 4)" == facts["reasons"]["conditions.gpu_clock_mhz"]


def test_a_system_without_another_thread_goes_without_nvml(fake, monkeypatch):
    """Rather than without training."""

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sampler.threading.Thread, "start", refuse)

    assert "no thread could be started for NVML" == watched().reasons["energy_j"]


def test_the_thread_samples_by_itself(fake):
    """Until the watch closes: here, until it has seen a spike."""
    seen = sampler.Sampler((FIRST,), period_s=0.001)
    with seen:
        fake.state["0.used"] = 9000 * MIB
        deadline = time.monotonic() + CHILD_LIMIT_S
        while seen.findings().tally.used_peak_bytes < 9000 * MIB and time.monotonic() < deadline:
            time.sleep(0.001)
        fake.state["0.used"] = USED

    assert 9000 * MIB == seen.findings().tally.used_peak_bytes


def test_nvml_is_shut_down_as_often_as_it_was_started(fake):
    """Torch may use it too."""
    before = pynvml._nvmlLib_refcount
    watched()

    assert before == pynvml._nvmlLib_refcount


def test_the_watch_closes_when_the_run_fails(fake):
    """Its facts are known, and the error is the run's."""
    watch = watch_device(CUDA0, period_s=3600)
    with pytest.raises(ZeroDivisionError), watch:
        raise ZeroDivisionError

    assert USED == watch.facts().memory["device_peak_bytes"]


def test_a_watch_that_is_open_has_no_facts():
    """An early question is a mistake of the caller."""
    with watch_device(torch.device("cpu")) as watch, pytest.raises(RuntimeError, match="closed"):
        watch.facts()


def test_torchs_own_peaks_stand_beside_nvmls(fake, monkeypatch):
    """Since the opening: earlier ones are forgotten."""
    asked = []
    monkeypatch.setattr(torch.accelerator, "reset_peak_memory_stats", asked.append)
    monkeypatch.setattr(torch.accelerator, "max_memory_allocated", lambda _: 1_000)
    monkeypatch.setattr(torch.accelerator, "max_memory_reserved", lambda _: 2_000)
    facts = watched(work=lambda: fake.state.update(AFTER_190_J))

    assert [CUDA0] == asked
    assert (1_000, 2_000) == (facts.memory["allocated_peak_bytes"], facts.memory["reserved_peak_bytes"])
    assert {} == facts.reasons


def test_a_run_on_the_cpu_touches_no_nvml(monkeypatch):
    """Each value of the device is null, with the reason; the resident peak is known."""
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: 1 / 0)
    facts = watched(torch.device("cpu"))

    assert {"the run used no accelerator"} == set(facts.reasons.values())
    assert facts.memory["rss_peak_bytes"] > 50_000_000
    assert ({}, None) == (facts.numerics, facts.energy_j)


@pytest.mark.parametrize("kind", ["mps", "xpu"])
def test_a_device_of_another_maker_is_not_watched(kind, monkeypatch):
    """The reason names it."""

    def unsupported(_):
        raise RuntimeError("no allocator statistics")

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: 1 / 0)
    monkeypatch.setattr(torch.accelerator, "reset_peak_memory_stats", unsupported)
    monkeypatch.setattr(torch.accelerator, "max_memory_allocated", unsupported)
    facts = watched(torch.device(kind))

    assert f"{kind} devices are not watched: NVML is for NVIDIA's" == facts.reasons["energy_j"]
    assert "keeps no statistics" in facts.reasons["memory.allocated_peak_bytes"]


@pytest.mark.parametrize("device", [CUDA0, torch.device("cpu"), torch.device("mps")], ids=str)
@pytest.mark.parametrize("state", [LAB, {"fail.nvmlInitWithFlags": 9}], ids=["known", "unknown"])
def test_the_facts_fit_the_record(fake, device, state):
    """Its keys, its types, and a reason for each null and for nothing else."""
    fake.state = state
    facts = watched(device)
    memory = Memory.model_validate(facts.memory)
    missing = {f"memory.{key}" for key, value in memory if value is None}
    missing |= {f"conditions.{key}" for key, value in facts.conditions.items() if value is None}

    assert missing | ({"energy_j"} if facts.energy_j is None else set()) == set(facts.reasons)
    for key, value in facts.conditions.items():
        TypeAdapter(Conditions.model_fields[key].annotation).validate_python(value)


def test_a_device_that_nobody_used_before_fits_the_record(fake):
    """0 is known here: the best baseline there is."""
    fake.state["0.used"] = 0
    facts = watched(work=lambda: fake.state.update(LAB))

    assert (0, USED) == (facts.memory["device_baseline_bytes"], facts.memory["device_peak_bytes"])
    Memory.model_validate(facts.memory)


@given(st.lists(st.one_of(st.none(), st.integers(1, 2**40)), min_size=1))
def test_a_sampled_peak_is_the_largest_answer(answers):
    """Whatever the order, and whatever was not answered in between: never more, never less."""
    tally = sampler.Tally()
    for used in answers:
        tally = sampler.add(tally, Reading(used_bytes=used), os.getpid())
    known = [used for used in answers if used is not None]

    assert (max(known, default=None), len(known)) == (tally.used_peak_bytes, tally.samples)


@pytest.mark.parametrize(
    ("index", "told", "visible", "uuids"),
    [
        (0, "1-a", None, ("GPU-1-a", "MIG-1-a")),
        (0, "GPU-1-a", "1,0", ("GPU-1-a", "MIG-1-a")),
        (0, "1-a", "MIG-3-c", ("MIG-3-c",)),
        (1, None, "GPU-1-a, GPU-2-b", ("GPU-2-b",)),
        (0, None, "0,1", ()),
        (2, None, "GPU-1-a", ()),
        (0, None, None, ()),
    ],
)
def test_a_device_is_known_by_uuid_never_by_index(index, told, visible, uuids):
    """Torch's, or the one in CUDA_VISIBLE_DEVICES where torch does not tell or means the GPU around a slice."""
    assert uuids == uuid_candidates(index, told, visible)


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, AssertionError])
def test_a_torch_that_does_not_tell_the_uuid_is_a_reason(fake, error, monkeypatch):
    """Old, or without a driver."""

    def fail(_):
        raise error

    monkeypatch.setattr(torch.cuda, "get_device_properties", fail)

    assert "torch does not tell the device's UUID" in watched().reasons["memory.device_peak_bytes"]


def test_the_fakes_answer_the_same_functions():
    """Or they would be two stories."""
    assert set(ANSWERS) == set(re.findall(r"^int (nvml\w+)\(", SOURCE.read_text(encoding="utf-8"), re.MULTILINE))


def child(exit_code, out=b""):
    return lambda *_, **__: subprocess.CompletedProcess([], exit_code, out)


@pytest.mark.parametrize(
    ("prove", "answer", "present"),
    [
        (False, None, {"cpu": 1, "cuda": 4}),
        (True, child(0, b"2\n"), {"cpu": 1, "cuda": 2}),
        (True, child(1), {"cpu": 1}),
    ],
)
def test_the_driver_counts_devices_and_torch_those_that_it_may_use(prove, answer, present, monkeypatch):
    """Torch in a child, and only for a proof: it numbers fewer where CUDA_VISIBLE_DEVICES names fewer."""
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 4)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(devices.subprocess, "run", answer or (lambda *_, **__: 1 / 0))

    assert present == devices.present_devices(prove=prove)


@pytest.mark.parametrize(
    ("system", "machine", "prove", "exit_code", "present"),
    [
        ("darwin", "arm64", False, None, {"cpu": 1, "mps": 1}),
        ("darwin", "arm64", True, 1, {"cpu": 1}),
        ("darwin", "x86_64", True, None, {"cpu": 1}),
    ],
)
def test_an_apple_processor_has_mps(system, machine, prove, exit_code, present, monkeypatch):
    """Unless torch cannot allocate on it."""
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: (_ for _ in ()).throw(pynvml.NVMLError(12)))
    monkeypatch.setattr(devices.sys, "platform", system)
    monkeypatch.setattr(devices.platform, "machine", lambda: machine)
    monkeypatch.setattr(devices.subprocess, "run", child(exit_code) if exit_code is not None else lambda *_: 1 / 0)

    assert present == devices.present_devices(prove=prove)


@pytest.mark.parametrize(("prove", "present"), [(False, {"cpu": 1}), (True, {"cpu": 1, "xpu": 1})])
def test_xpu_is_present_only_when_it_is_proved(prove, present, tmp_path, monkeypatch):
    """A torch that was built for it is no device."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libtorch_xpu.so").touch()
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda _: found)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: (_ for _ in ()).throw(pynvml.NVMLError(12)))
    monkeypatch.setattr(devices.subprocess, "run", child(0, b"1\n"))

    assert present == devices.present_devices(prove=prove)
