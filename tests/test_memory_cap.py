"""`memory_cap`: one spelling for each size, and a limit that holds while a run goes on."""

import resource

import pytest
import torch
from builders import make_experiment
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resnet18.spec.experiment import Execution
from resnet18.spec.identity import ids_of, run_id
from resnet18.spec.printed import LARGEST_SIZE, canonical_size, size_in_bytes
from resnet18.training import device as memory_cap
from resnet18.training.device import UnsupportedError, memory_capped

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("24GiB", "24GiB"),
        ("24 GiB", "24GiB"),
        ("24576MiB", "24GiB"),
        ("25,769,803,776 B", "24GiB"),
        ("1.5GiB", "1536MiB"),
        ("24GB", "23437500KiB"),
        ("1000B", "1000B"),
    ],
)
def test_a_size_has_one_spelling(text, canonical):
    """Ids do not depend on how it was written."""
    one, other = Execution(memory_cap=text), Execution(memory_cap=canonical)

    assert canonical == one.memory_cap
    assert ids_of(make_experiment(), one).execution_id == ids_of(make_experiment(), other).execution_id


@given(st.integers(min_value=1, max_value=LARGEST_SIZE))
def test_the_canonical_spelling_is_exact(size):
    """To the byte, and its own canonical spelling."""
    canonical = canonical_size(f"{size}B")

    assert size == size_in_bytes(canonical)
    assert canonical == canonical_size(canonical)


@pytest.mark.parametrize(
    "text",
    [24, True, "24", "24s", "24%", "plenty", "", "0GiB", "-1GiB", "0.1B", "about 24GiB", "24gib", "1e9GiB", "GiB"],
)
def test_nonsense_is_refused_with_an_example(text):
    """A number without its unit is nonsense too: of bytes or of gibibytes?"""
    with pytest.raises(ValidationError, match='for example "24GiB"'):
        Execution(memory_cap=text)


def test_a_cap_makes_another_run():
    """Without one, ids are what they were before there were caps (`test_ids_are_golden`)."""
    experiment = make_experiment()

    assert run_id(experiment, Execution()) != run_id(experiment, Execution(memory_cap="24GiB"))
    assert Execution().memory_cap is None


@pytest.fixture
def card(monkeypatch):
    """A CUDA card of 24 GiB, as far as limits go; returns what was set, as (fraction, index)."""
    calls = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (20 * GIB, 24 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *arguments: calls.append(arguments))
    return calls


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:1", 1)])
def test_on_cuda_the_allocator_is_limited_while_the_run_goes_on(device, index, card):
    """To a share of the whole card, not of what is free; torch wants the index of the device."""
    with memory_capped(Execution(memory_cap="12GiB"), torch.device(device)):
        assert [(0.5, index)] == card

    assert [(0.5, index), (1.0, index)] == card


def test_a_cap_above_the_card_is_refused(card):
    """The run would not be what the cap says; nothing is set."""
    expected = f"memory_cap of {25 * GIB} bytes on a device that has {24 * GIB}"
    with (
        pytest.raises(UnsupportedError, match=expected),
        memory_capped(Execution(memory_cap="25GiB"), torch.device("cuda")),
    ):
        pass

    assert [] == card


@pytest.fixture
def address_space(monkeypatch):
    """A process of 3 GiB; returns the limits that were set."""
    calls = []
    monkeypatch.setattr(memory_cap, "_address_space", lambda: 3 * GIB)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: calls.append(limits))
    return calls


@pytest.mark.parametrize(
    ("before", "soft"),
    [
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 4 * GIB),
        ((resource.RLIM_INFINITY, 8 * GIB), 4 * GIB),
        ((7 * GIB // 2, 8 * GIB), 7 * GIB // 2),
    ],
)
def test_on_the_cpu_the_address_space_is_limited_beyond_what_is_loaded(before, soft, address_space, monkeypatch):
    """Its size and the cap, unless a tighter limit holds already; afterwards as before, for the record needs memory."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: before)
    with memory_capped(Execution(memory_cap="1GiB"), torch.device("cpu")):
        assert [(soft, before[1])] == address_space

    assert before == address_space[-1]


def test_the_limit_is_lifted_also_where_the_run_fails(address_space, monkeypatch):
    """Out of memory is how it usually ends."""
    before = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: before)
    with pytest.raises(MemoryError), memory_capped(Execution(memory_cap="1GiB"), torch.device("cpu")):
        raise MemoryError

    assert before == address_space[-1]


def test_without_a_cap_nothing_is_limited(card, address_space):
    """On any device."""
    for device in ("cpu", "cuda", "mps"):
        with memory_capped(Execution(), torch.device(device)):
            pass

    assert ([], []) == (card, address_space)


@pytest.mark.parametrize(("device", "system"), [("mps", "linux"), ("xpu", "linux"), ("cpu", "darwin")])
def test_a_device_without_such_a_limit_is_an_answer(device, system, monkeypatch):
    """Instead of a run that is not what its record says."""
    monkeypatch.setattr(memory_cap.sys, "platform", system)
    with (
        pytest.raises(UnsupportedError, match=r"memory_cap on"),
        memory_capped(Execution(memory_cap="1GiB"), torch.device(device)),
    ):
        pass
