"""Clock, memory and devices, each against a source that the test controls."""

import subprocess

import pynvml
import pytest
import torch

from resnet18.measure import clock as clock_module
from resnet18.measure import devices
from resnet18.measure.clock import SCOPES, Clock
from resnet18.measure.environment import numerics
from resnet18.measure.nvml import watch_device
from resnet18.spec.experiment import Execution
from resnet18.training.device import ready_device


@pytest.fixture
def ticks(monkeypatch):
    """A clock that moves by one second at each reading."""
    seconds = iter(range(100))
    monkeypatch.setattr(clock_module.time, "perf_counter_ns", lambda: next(seconds) * 10**9)


@pytest.mark.usefixtures("ticks")
def test_a_scope_counts_what_happens_inside_it():
    """Twice one second."""
    clock = Clock(lambda: None)
    for _ in range(2):
        with clock.scope("train_s"):
            pass

    assert dict.fromkeys(SCOPES, 0.0) | {"train_s": 2.0} == clock.lap()


@pytest.mark.usefixtures("ticks")
def test_a_lap_starts_from_zero():
    """Each epoch has its own seconds."""
    clock = Clock(lambda: None)
    with clock.scope("train_s"):
        pass
    clock.lap()

    assert 0.0 == clock.lap()["train_s"]


@pytest.mark.usefixtures("ticks")
def test_a_scope_left_by_an_error_is_counted():
    """A diverged run has its time too."""
    clock = Clock(lambda: None)
    with pytest.raises(ZeroDivisionError), clock.scope("train_s"):
        raise ZeroDivisionError

    assert 1.0 == clock.lap()["train_s"]


def test_the_device_is_synchronised_before_each_reading(monkeypatch):
    """Otherwise a GPU's work would be booked on whoever reads next."""
    events = []
    monkeypatch.setattr(clock_module.time, "perf_counter_ns", lambda: events.append("read") or 0)
    with Clock(lambda: events.append("synchronise")).scope("train_s"):
        events.append("work")

    assert ["synchronise", "read", "work", "synchronise", "read"] == events


def test_a_wall_clock_that_jumps_back_changes_no_duration(monkeypatch):
    """Seconds come from the monotonic clock alone."""
    ticks = iter((0, 2_000_000_000))
    monkeypatch.setattr(clock_module.time, "perf_counter_ns", lambda: next(ticks))
    monkeypatch.setattr(clock_module.time, "time", lambda: -1e9)
    clock = Clock(lambda: None)
    with clock.scope("train_s"):
        pass

    assert 2.0 == clock.lap()["train_s"]


def test_a_run_on_the_cpu_has_no_device_memory_and_says_why():
    """Null with a reason, never 0; the resident peak is known."""
    with watch_device(torch.device("cpu")) as watch:
        pass
    found = watch.facts()
    missing = {f"memory.{key}" for key, value in found.memory.items() if value is None}

    assert missing <= set(found.reasons)
    assert {"the run used no accelerator"} == set(found.reasons.values())
    assert found.memory["rss_peak_bytes"] > 50_000_000


def test_the_fingerprint_names_what_changes_bits():
    """Versions, processor, threads, precision and format."""
    found = numerics(Execution(), torch.device("cpu"))

    assert {"torch", "numpy", "pillow", "cpu_model", "cpu_capability", "threads", "precision", "memory_format"} <= set(
        found
    )
    assert torch.get_num_threads() == found["threads"]


def test_only_variables_that_change_bits_are_recorded(monkeypatch):
    """The environment may hold secrets."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("MY_TOKEN", "secret")
    found = numerics(Execution(), torch.device("cpu"))

    assert "AVX2" == found["ONEDNN_MAX_CPU_ISA"]
    assert "secret" not in str(found)


def test_threads_and_determinism_are_set_as_the_spec_asks():
    """Before the device is handed out."""
    before = torch.get_num_threads()
    try:
        ready_device(Execution(device="cpu", threads=1, deterministic=True))
        found = numerics(Execution(), torch.device("cpu"))
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(mode=False)

    assert (1, True) == (found["threads"], found["deterministic"])


def without_driver():
    raise pynvml.NVMLError_LibraryNotFound


@pytest.mark.parametrize(
    ("init", "count", "exit_code", "present"),
    [
        (without_driver, 0, None, {"cpu": 1}),
        (lambda: None, 0, None, {"cpu": 1}),
        (lambda: None, 1, 1, {"cpu": 1}),
        (lambda: None, 1, 0, {"cpu": 1, "cuda": 1}),
    ],
)
def test_a_gpu_is_present_when_a_child_could_allocate_on_it(init, count, exit_code, present, monkeypatch):
    """No driver, no card, a card that torch cannot use, a card that it can."""
    monkeypatch.setattr(pynvml, "nvmlInit", init)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: count)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(
        devices.subprocess,
        "run",
        lambda *_, **__: subprocess.CompletedProcess([], exit_code, b"1\n") if exit_code is not None else 1 / 0,
    )

    assert present == devices.present_devices(prove=True)
