"""Clock, fingerprint, processor and devices, each against a source that the test controls."""

import hashlib
import subprocess
from types import SimpleNamespace

import pynvml
import pytest
import torch

from resnet18.measure import SCOPES, Clock, devices, environment
from resnet18.measure.devices import cpu_flags_sha256, cpu_model, emulates_bf16, present_devices
from resnet18.measure.environment import VARIABLES
from resnet18.spec.experiment import Execution


@pytest.fixture
def events(monkeypatch):
    """A monotonic clock, and no other, that moves by one second at each reading; and a list of what happens."""
    events = []
    read = lambda: events.append("read") or events.count("read") * 10**9  # noqa: E731 - it is a fake
    monkeypatch.setattr("resnet18.measure.time", SimpleNamespace(perf_counter_ns=read))
    return events


def test_a_scope_counts_what_happens_inside_it_until_the_lap_also_when_an_error_leaves_it(events):
    clock = Clock(lambda: None)
    with clock.scope("train_s"):
        pass
    with pytest.raises(ZeroDivisionError), clock.scope("train_s"):
        raise ZeroDivisionError

    assert dict.fromkeys(SCOPES, 0.0) | {"train_s": 2.0} == clock.lap()
    assert dict.fromkeys(SCOPES, 0.0) == clock.lap()


@pytest.mark.parametrize(("synchronized", "waits"), [(True, ["synchronise"]), (False, [])])
def test_the_device_is_synchronised_before_each_reading(synchronized, waits, events):
    with Clock(lambda: events.append("synchronise")).scope("train_s", synchronized=synchronized):
        events.append("work")

    assert [*waits, "read", "work", *waits, "read"] == events


# -- the fingerprint


def numerics():
    return environment.numerics(Execution(), torch.device("cpu"))


def test_the_fingerprint_names_what_changes_bits():
    keys = {"torch", "numpy", "pillow", "cpu_model", "cpu_capability", "threads", "precision", "memory_format"}

    assert keys <= set(numerics())


def test_only_variables_that_change_bits_are_recorded(monkeypatch):
    """As they are; the environment may hold secrets."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = numerics()
    monkeypatch.setenv("MY_TOKEN", "secret")
    for name in VARIABLES:
        monkeypatch.setenv(name, f"As {name} is")

    assert {**before, **{name: f"As {name} is" for name in VARIABLES}} == numerics()


@pytest.mark.parametrize(
    ("place", "version", "key"),
    [
        ("torch.__version__", "0.0.1", "torch"),
        ("resnet18.measure.environment.importlib.metadata.version", lambda _: "0.0.1", "torchvision"),
    ],
)
def test_another_version_is_another_fingerprint_in_that_key_alone(place, version, key, monkeypatch):
    before = numerics()
    monkeypatch.setattr(place, version)

    assert {key: "0.0.1"} == {name: value for name, value in numerics().items() if before[name] != value}


# -- the processor


@pytest.fixture
def cpu_info(tmp_path, monkeypatch):
    """Return a function that writes what Linux tells of the processor; nothing is told before."""
    monkeypatch.setattr(devices, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(devices.platform, "system", lambda: "Linux")
    monkeypatch.setattr(devices.platform, "processor", lambda: "aarch64")
    return lambda text: (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("key", ["flags", "Features"])
def test_what_the_processor_can_do_is_part_of_the_fingerprint_whatever_the_order(key, cpu_info):
    """Two of one name may differ in it: a hypervisor hides what it likes."""
    found = []
    for flags in ("fpu sse avx2", "avx2 fpu sse", "fpu sse"):
        cpu_info(f"model name\t: A processor\n{key}\t\t: {flags}\n\nprocessor\t: 1\n{key}\t: other\n")
        found.append(numerics()["cpu_flags_sha256"])

    assert hashlib.sha256(b"avx2 fpu sse").hexdigest() == found[0] == found[1]
    assert found[2] != found[0]


NEOVERSE = "CPU implementer : 0x41\nCPU part : 0xd0c\nCPU variant : 0x3\nCPU revision : 1\n"
LITTLE = "CPU implementer : 0x41\nCPU part : 0xd05\nCPU variant : 0x1\nCPU revision : 0\n"
BIG_NAME = "implementer 0x41, part 0xd0c, variant 0x3, revision 1"
LITTLE_NAME = "implementer 0x41, part 0xd05, variant 0x1, revision 0"
SAME_FOR_MANY = "model name\t: ARMv8 Processor rev 1 (v8l)\n"


@pytest.mark.parametrize(
    ("cpus", "name"),
    [
        ((), "unknown"),
        (("processor : 0\n",), "unknown"),
        (("CPU implementer : 0x41\nmodel name :\n",), "unknown"),
        (("CPU part : 0xd0c\n",), "unknown"),
        (("model name\t: A processor\n", "model name\t: A processor\n"), "A processor"),
        ((NEOVERSE, NEOVERSE), f"ARM {BIG_NAME}"),
        ((SAME_FOR_MANY + NEOVERSE, SAME_FOR_MANY + LITTLE), f"ARM {LITTLE_NAME} and {BIG_NAME}"),
        ((LITTLE, NEOVERSE, LITTLE), f"ARM {LITTLE_NAME} and {BIG_NAME}"),
    ],
)
def test_a_processor_has_the_name_that_linux_tells_or_its_maker_and_numbers(cpus, name, cpu_info):
    """The architecture is no name, since every processor of it has the same; and nothing is hashed of no abilities."""
    cpu_info("\n".join(cpus))

    assert (name, None) == (cpu_model(), cpu_flags_sha256())
    assert "cpu_flags_sha256" not in numerics()


@pytest.mark.parametrize(
    ("command", "name"),
    [(("echo", "Apple M1 Max"), "Apple M1 Max"), (("false",), "unknown"), (("/nowhere/sysctl",), "unknown")],
)
def test_on_macos_the_system_is_asked_for_the_name(command, name, cpu_info, monkeypatch):
    """Where it has no answer the processor is unknown: `arm` would be the same for all."""
    monkeypatch.setattr(devices.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(devices, "BRAND", command)

    assert name == cpu_model()


@pytest.mark.parametrize(
    ("told", "most", "expected"),
    [
        ("flags : fpu avx2 avx512f", "", True),
        ("flags : fpu avx512f avx512_bf16", "", False),
        ("flags : fpu amx_bf16", "", False),
        ("flags : fpu avx512f avx512_bf16", "avx2", True),
        ("flags : fpu avx512f avx512_bf16", "AVX512_CORE_BF16", False),
        ("Features : fp asimd", "", True),
        ("Features : fp asimd bf16", "", False),
        ("other : nothing", "", False),
    ],
)
def test_bf16_is_emulated_where_no_instruction_for_it_may_be_used(told, most, expected, cpu_info, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", most)
    cpu_info(f"{told}\n")

    assert expected == emulates_bf16()


# -- devices


MAC = {"system": "darwin", "arch": "arm64"}
XPU = {"torch_version": "2.14.1+xpu"}


@pytest.mark.parametrize(
    ("prove", "machine", "present"),
    [
        (True, {}, {}),  # no driver
        (True, {"gpus": []}, {}),
        (True, {"gpus": ["a"], "counted": 0}, {}),  # a card that torch cannot use
        (True, {"gpus": ["a"], "counted": 2}, {"cuda": 2}),
        (True, {"gpus": ["a", "lost"], "counted": 2}, {"cuda": 2}),
        (False, {"gpus": ["a", "b", "lost"]}, {"cuda": 2}),  # torch may number fewer, as CUDA_VISIBLE_DEVICES says
        (False, MAC, {"mps": 1}),
        (True, MAC | {"counted": 0}, {}),
        (True, {"system": "darwin"}, {}),
        (False, XPU, {}),  # a torch that was built for xpu is no device
        (True, XPU | {"counted": 1}, {"xpu": 1}),
    ],
)
def test_a_device_is_present_when_a_child_could_allocate_on_it_or_its_driver_counts_it(
    prove, machine, present, monkeypatch
):
    """The driver's GPUs (None: no driver), and how many a child counts (None: none is started)."""
    known = {"gpus": None, "counted": None, "system": "linux", "arch": "x86_64", "torch_version": "2.14.1"} | machine

    def handle_of(index):
        if known["gpus"][index] == "lost":
            raise pynvml.NVMLError_GpuIsLost
        return known["gpus"][index]

    def init():
        if known["gpus"] is None:
            raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(pynvml, "nvmlInit", init)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(known["gpus"]))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", handle_of)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda name: f"GPU-{name}")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda name: f"model {name}")
    child = subprocess.CompletedProcess([], 0 if known["counted"] else 1, f"{known['counted']}\n".encode())
    monkeypatch.setattr(devices.subprocess, "run", lambda *_, **__: 1 / 0 if known["counted"] is None else child)
    monkeypatch.setattr(devices.sys, "platform", known["system"])
    monkeypatch.setattr(devices.platform, "machine", lambda: known["arch"])
    torches = [SimpleNamespace(version=known["torch_version"])]
    monkeypatch.setattr(devices.importlib.metadata, "distributions", lambda **_: torches)

    assert {"cpu": 1, **present} == present_devices(prove=prove)
