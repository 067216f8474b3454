"""The device of a run: precisions, memory format, and `memory_cap`, a limit that holds while the run goes on."""

import contextlib
import resource
from types import SimpleNamespace

import psutil
import pytest
import torch
from pydantic import ValidationError

from resnet18.spec.experiment import Execution
from resnet18.spec.metric import memory_in_bytes
from resnet18.training import device as on_device
from resnet18.training.device import UnsupportedError, memory_capped, ready_device, resolve_for_device

GIB = 2**30
CPU = torch.device("cpu")
INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize("precision", ["fp16", "tf32"])
def test_a_device_without_the_precision_is_an_answer(precision):
    """Status `unsupported`, with what the device has; another precision is taken only where the spec says so."""
    with pytest.raises(UnsupportedError, match=rf"precision {precision} on cpu \(allowed: fp32, bf16, or fallback"):
        ready_device(Execution(precision=precision, device="cpu"))
    assert "fp32" == resolve_for_device(Execution(precision=precision, fallback=True), CPU).precision


@pytest.mark.parametrize(("capability", "allowed"), [((7, 0), False), ((8, 0), True)])
@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_a_gpu_before_ampere_lacks_two_precisions(precision, capability, allowed, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    context = contextlib.nullcontext() if allowed else pytest.raises(UnsupportedError, match="on cuda")

    with context:
        resolve_for_device(Execution(precision=precision), torch.device("cuda"))


@pytest.mark.parametrize(("path", "expected"), [("reference", "contiguous"), ("fast", "channels_last")])
def test_the_memory_format_is_the_paths_own_unless_the_spec_says_one(path, expected):
    assert expected == resolve_for_device(Execution(path=path), CPU).memory_format
    assert "channels_last" == resolve_for_device(Execution(memory_format="channels_last"), CPU).memory_format


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 2}, "no data-loader processes"),
        ({"compile": True}, "has its own network"),
        ({"memory_format": "contiguous"}, "reads channels_last"),
    ],
)
def test_what_the_fast_path_has_not_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Execution(path="fast", **changes)


@pytest.mark.parametrize("text", ["24 GiB", "24576MiB", "25,769,803,776 B", "24GB"])
def test_a_cap_has_a_unit_and_is_that_of_a_card(text):
    """As cards are sold, GB are GiB."""
    assert text == Execution(memory_cap=text).memory_cap
    assert 24 * GIB == memory_in_bytes(text)


@pytest.mark.parametrize("text", [24, True, "24", "24%", "", "0.1B", "about 24GiB", "24gib", "1e9GiB", "GiB"])
def test_a_cap_that_is_no_size_with_its_unit_is_refused_with_an_example(text):
    with pytest.raises(ValidationError, match='for example "24GiB"'):
        Execution(memory_cap=text)


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:1", 1)])
def test_on_cuda_the_allocator_is_limited_while_the_run_goes_on(device, index, monkeypatch):
    """To a share of the whole card of 24 GiB, not of what is free; torch wants the index of the device."""
    calls = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (20 * GIB, 24 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *arguments: calls.append(arguments))
    with memory_capped(Execution(memory_cap="12GiB"), torch.device(device)):
        assert [(0.5, index)] == calls
    with pytest.raises(UnsupportedError, match=f"memory_cap of {25 * GIB} bytes on a device that has {24 * GIB}"):
        memory_capped(Execution(memory_cap="25GiB"), torch.device(device))

    assert [(0.5, index), (1.0, index)] == calls


@pytest.mark.parametrize(
    ("before", "soft"),
    [((INFINITY, INFINITY), 4 * GIB), ((INFINITY, 8 * GIB), 4 * GIB), ((7 * GIB // 2, 8 * GIB), 7 * GIB // 2)],
)
def test_on_the_cpu_the_address_space_is_limited_beyond_what_is_loaded(before, soft, monkeypatch):
    """Of a process of 3 GiB, to that and the cap, unless a tighter limit holds; afterwards as before."""
    calls = []
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: SimpleNamespace(vms=3 * GIB))
    monkeypatch.setattr(resource, "getrlimit", lambda _: before)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: calls.append(limits))
    with contextlib.suppress(MemoryError), memory_capped(Execution(memory_cap="1GiB"), CPU):
        raise MemoryError
    with memory_capped(Execution(), CPU):
        pass

    assert [(soft, before[1]), before] == calls


@pytest.mark.parametrize(("device", "system"), [("mps", "linux"), ("xpu", "linux"), ("cpu", "darwin")])
def test_a_device_without_such_a_limit_is_an_answer(device, system, monkeypatch):
    monkeypatch.setattr(on_device.sys, "platform", system)

    with pytest.raises(UnsupportedError, match=f"memory_cap on {device}"):
        memory_capped(Execution(memory_cap="1GiB"), torch.device(device))
