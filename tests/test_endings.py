"""How a run ends: which kind of memory had run out, what diverged, and what trained without learning."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from builders import epochs_of, make_epoch, make_experiment, make_job, make_run, make_setup, make_store
from hypothesis import given
from hypothesis import strategies as st

from resnet18.execution import worker
from resnet18.execution.job import classify, failure_facts, oom_kills
from resnet18.records.record import Failure, Score
from resnet18.spec.experiment import Execution
from resnet18.training import results as chance
from resnet18.training.results import DivergedError, is_at_chance, learned_nothing

MIB, GIB = 2**20, 2**30
CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.69 GiB of which 1.05 GiB is "
    "free. Process 7 has 22.62 GiB memory in use. Of the allocated memory 21.00 GiB is allocated by PyTorch"
)
CPU = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
ONEDNN = RuntimeError("could not create a primitive")


pytestmark = pytest.mark.usefixtures("one_thread")  # jobs in this process set those of their spec


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError(CUDA), "oom_device"),
        (RuntimeError("CUDA error: out of memory"), "oom_device"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "oom_device"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), "oom_device"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GiB)"), "oom_device"),
        (RuntimeError(CPU + "123 bytes."), "oom_host"),
        (MemoryError("std::bad_alloc"), "oom_host"),
        (OSError(12, "Cannot allocate memory"), "oom_host"),
        (RuntimeError("the teacher has not enough memory"), "crashed"),
        (ValueError("something else"), "crashed"),
        (ONEDNN, "crashed"),
    ],
)
def test_memory_of_the_device_and_of_the_host_are_told_apart(error, status):
    """A failure of oneDNN is want of memory under a cap alone."""
    assert status == classify(error)
    assert ("oom_host" if error is ONEDNN else status) == classify(error, is_capped=True)


@pytest.mark.parametrize(
    ("status", "message", "requested", "free"),
    [
        ("oom_device", CUDA, 2 * GIB, round(1.05 * GIB)),
        ("oom_device", "Tried to allocate 20.50 MiB. GPU 0 … of which 0 bytes is free.", round(20.5 * MIB), 0),
        ("oom_device", "Tried to allocate 512 bytes. GPU 0 … of which 1.50 KiB is free.", 512, 1_536),
        ("oom_host", CPU + "123 bytes. Error code 12", 123, None),
        ("oom_host", "MemoryError: Unable to allocate 7.45 GiB for an array", round(7.45 * GIB), None),
        ("oom_device", "no sizes", None, None),
        ("diverged", CUDA, None, None),
    ],
)
def test_the_bytes_of_an_allocators_message_are_kept(status, message, requested, free):
    found = failure_facts(status, "prepare", message)

    assert (requested, free) == (found["requested_bytes"], found["free_bytes"])


@given(st.text())
def test_any_message_makes_a_valid_failure(text):
    for message in (text, f"Tried to allocate {text} bytes", f"Tried to allocate {'9' * 30}.99 GiB"):
        Failure.model_validate(failure_facts("oom_device", "", message))


@pytest.mark.parametrize(
    ("text", "kills"),
    [("nr_free_pages 7\noom_kill 3\n", 3), ("", None), ("oom_kill many\n", None), ("oom_kill\n", None), (None, None)],
)
def test_the_kernels_counter_of_its_kills_is_read(text, kills, tmp_path):
    if text is not None:
        (tmp_path / "vmstat").write_text(text, encoding="utf-8")

    assert kills == oom_kills(tmp_path / "vmstat")


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_before_its_update(step, loss):
    """Parameters are compared: the running statistics of batch norm follow the forward pass."""
    weights = []

    def parameters():
        return torch.cat([parameter.detach().flatten() for parameter in setup.model.parameters()]).numpy().tobytes()

    def broken(images):
        weights.append(parameters())
        return setup.model(images) * (loss if len(weights) == step else 1)

    setup = dataclasses.replace(make_setup(), network=broken)
    with pytest.raises(DivergedError, match=rf"loss \S+ in epoch 1, step {step} \(the loss before: (\S+)\)") as caught:
        list(epochs_of(setup))

    assert step == len(weights) == len(set(weights))
    assert weights[-1] == parameters()
    assert (step == 1) == ("before: None" in str(caught.value))


@pytest.mark.parametrize(
    ("epoch", "train_hits", "test_hits", "flagged"),
    [(50, 9, 6, True), (49, 9, 6, False), (50, 10, 6, False), (50, 9, 7, False)],
)
def test_nothing_was_learned_where_a_thousand_steps_leave_both_scores_at_chance(epoch, train_hits, test_hits, flagged):
    """Chance is 4 of 40 and 2 of 20, and three binomial errors above it."""
    setup = make_setup(batch_size=2)
    last = make_epoch(epoch, correct=test_hits, steps=20, train=Score(loss=2.3, correct=train_hits, images=40))

    assert flagged == learned_nothing(setup, last)


def test_chance_is_what_naming_the_commonest_label_gets():
    assert is_at_chance(Score(loss=2.3, correct=60, images=100), np.arange(100) < 60)


@pytest.mark.parametrize(("least_steps", "flags"), [(3, ("no_learning",)), (4, ())])
def test_a_network_that_stays_where_it_began_is_flagged(least_steps, flags, tmp_path, monkeypatch):
    monkeypatch.setattr(chance, "LEAST_STEPS", least_steps)
    experiment = make_experiment(optimizer={"name": "sgd", "lr": 1e-12})
    store = make_store(tmp_path)
    job = make_job(tmp_path, make_run(experiment, Execution(device="cpu", threads=1)))
    worker.run_job(job, lambda message: None)
    (record,) = store.read().records

    assert ("ok", flags) == (record.status, tuple(flag for flag in record.flags if flag != "unreliable"))
