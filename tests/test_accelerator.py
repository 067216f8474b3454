"""Whole runs on an accelerator, by the code that CUDA uses: the fake one of `fakes/accelerator.py`.

What only hardware can show is not here: kernels of cuDNN and their rounding, streams and events, TF32, half precision,
what the driver takes beside torch's allocator, and fragmentation.
"""

import pytest
import torch
from builders import make_experiment, make_job, make_run, make_store
from fakes import children

from resnet18.spec.experiment import Execution
from resnet18.training.model import build_model

PLENTY = 2**40
CROPS = [{"name": "random_resized_crop"}, {"name": "to_tensor"}]
CASES = {
    "sgd": {"optimizer": {"name": "sgd", "lr": 0.01}},
    "momentum": {"optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9}},
    "adadelta": {"optimizer": {"name": "adadelta", "lr": 0.01}},
    "rmsprop": {"optimizer": {"name": "rmsprop", "lr": 0.001}},
    "adam": {"optimizer": {"name": "adam", "lr": 0.001}},
    "asgd": {"optimizer": {"name": "asgd", "lr": 0.01, "t0": 2}},
    "cosine": {"schedule": {"name": "cosine"}, "label_smoothing": 0.1},
}
"""The optimizers of Table 3 (the average of ASGD starts early enough to matter), and a rate of each step with a
smoothed loss."""


def trained(folder, cases, capacity=None, **execution):
    """Train cases in a fresh process that has the accelerator, or on this CPU; return the record of each."""
    common = {"epochs": 2, "augmentation": CROPS, "test_augmentation": CROPS}
    how = Execution(**execution, device="auto" if capacity else "cpu", threads=1)
    runs = {name: make_run(make_experiment(**common, **changes), how) for name, changes in cases.items()}
    jobs, threads = [make_job(folder, run) for run in runs.values()], torch.get_num_threads()
    store = make_store(folder)
    left = children.answer(children.carry_out, jobs, capacity) if capacity else children.carry_out(jobs)
    torch.set_num_threads(threads)
    found = {record.run_id: record for record in store.read().records}

    assert [0] * len(jobs) == left  # bytes of the device after each run
    return {name: found[run.run_id] for name, run in runs.items()}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Records of every case on the CPU and on the accelerator: two epochs, of batches of 16, 16 and 8."""
    return [trained(tmp_path_factory.mktemp("both"), CASES, capacity) for capacity in (None, PLENTY)]


@pytest.mark.parametrize("case", CASES)
def test_a_run_on_the_accelerator_gives_the_bits_of_the_cpu(case, both):
    """Losses, hits, confusion, parameters and predictions: weights, batches and order do not depend on the device."""
    cpu, accelerator = (records[case] for records in both)

    assert ("cpu", "fakegpu") == (cpu.fingerprint.numerics["device"], accelerator.fingerprint.numerics["device"])
    assert ("ok", "ok") == (cpu.status, accelerator.status)
    assert cpu.result_hash == accelerator.result_hash
    assert [case] == [other for other, record in both[0].items() if record.result_hash == cpu.result_hash]


def test_the_fast_path_on_the_accelerator_gives_the_bits_of_torchs_layers(tmp_path):
    """Images made on the device, steps that nobody waits for: the bits of the reference path in the same format."""
    cases = {case: CASES[case] for case in ("adam", "cosine")}
    cpu = trained(tmp_path / "cpu", cases, memory_format="channels_last")
    fast = trained(tmp_path / "fast", cases, PLENTY, path="fast")

    assert [cpu[case].result_hash for case in cases] == [fast[case].result_hash for case in cases]
    assert ("fakegpu", None) == (fast["adam"].fingerprint.numerics["device"], fast["adam"].time.statistics_s)
    assert "does not wait for" in fast["adam"].nulls["time.statistics_s"]


def test_the_peak_of_memory_counts_the_state_of_the_optimizer(both):
    """Adam keeps two tensors a parameter, in blocks of 512 bytes; momentum keeps one."""
    sizes = [4 * parameter.numel() for parameter in build_model(make_experiment()).parameters()]
    state = sum(-(-size // 512) * 512 for size in sizes)
    peaks = {case: record.memory.allocated_peak_bytes for case, record in both[1].items()}

    assert [state, 2 * state] == [peaks["momentum"] - peaks["sgd"], peaks["adam"] - peaks["sgd"]]


def test_what_does_not_fit_ends_as_a_record_and_the_next_run_works(tmp_path):
    """Batch 40 runs out of the card's memory, batch 8 does not, in the same process: all memory is given back."""
    records = trained(tmp_path, {size: {"batch_size": size} for size in (40, 8)}, 700_000)
    failure = records[40].failure

    assert {40: "oom_device", 8: "ok"} == {size: record.status for size, record in records.items()}
    assert "OutOfMemoryError: fakegpu out of memory. Tried to allocate " in failure.message
    assert 0 <= failure.free_bytes < failure.requested_bytes < 700_000
    assert records[40].memory.allocated_peak_bytes <= 700_000
    assert "after 0 epochs" == failure.phase


def test_a_forgotten_transfer_is_refused():
    """As a GPU refuses it: the fake would be no test of the device path if it computed across devices."""
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        children.answer(children.train_with_labels_on_the_host)


@pytest.mark.parametrize(
    ("path", "of_training"),
    [
        ("reference", {"train_s": {"synchronize": 2 * (1 + 4)}, "statistics_s": {"item": 2 * 3}}),
        ("fast", {"train_s": {"to_host": 1}}),
    ],
)
def test_the_host_waits_for_the_device_only_where_the_scope_says_so(path, of_training):
    """In three steps: their loss and hits are read as statistics, or on the fast path once, all together.

    The clock waits where it starts and stops `data_wait_s`: for the order, three batches, and their end.
    """
    evaluation = {"eval_as_published_s": {"to_host": 2}, "eval_clean_s": {"to_host": 2}}

    assert {**of_training, "data_wait_s": {}, **evaluation} == children.answer(children.waits, path)


@pytest.mark.parametrize(("name", "path"), [("asgd", "reference"), ("adam", "fast")])
def test_a_training_on_a_device_goes_on_with_equal_bits(name, path):
    """Parameters and what the optimizer keeps go to the host and back, those that stay on the host among them."""
    whole, resumed = children.answer(children.digests_of_resuming, {"name": name, "lr": 0.001}, path)

    assert whole == resumed
