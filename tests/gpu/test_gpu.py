"""What docs/methodology.md lists as unverified without hardware, one check each. Sizes are tiny: a minute in all."""

import pytest
import torch
from builders import embedded, epochs_of, make_experiment
from test_batched import KEY, LARGE, LISTS, MANY, batched_pipeline, operations, pictures

from resnet18.measure import Clock
from resnet18.spec.experiment import Execution
from resnet18.training.device import ready_device, synchronize
from resnet18.training.model import build_model
from resnet18.training.setup import Setup, set_up


def one_of(records, status="ok"):
    """Return the first record with a status; the message of the others says what went wrong."""
    found = [record for record in records if record.status == status]
    assert found, [(record.status, record.failure) for record in records]
    return found[0]


def test_a_run_on_the_gpu_says_where_it_ran_and_what_it_took(run):
    """Allocated is at most reserved, reserved at most what the device lost; no null without a printed reason.

    Energy and clocks are read from Volta on, and with the right to read them.
    """
    record = one_of(run("basic"))
    numerics, memory = record.fingerprint.numerics, record.memory

    assert "cuda" == numerics["device"]
    assert {"gpu_model", "cuda", "cudnn", "tf32_matmul", "tf32_convolution"} <= set(numerics)
    assert 0 < memory.allocated_peak_bytes <= memory.reserved_peak_bytes
    assert memory.device_peak_bytes is not None, record.nulls
    assert memory.device_peak_bytes - memory.device_baseline_bytes >= memory.reserved_peak_bytes
    assert record.energy_j is not None, record.nulls
    assert record.conditions.gpu_clock_mhz is not None, record.nulls


def test_deterministic_runs_give_equal_bits(run):
    hashes = [one_of(run("basic", "deterministic=true", results=name)).result_hash for name in ("one", "two")]

    assert hashes[0] == hashes[1]


def test_a_stopped_run_goes_on_with_equal_bits(run):
    """With deterministic algorithms: stopped at its time limit again and again until it is done."""
    options = ("deterministic=true", "epochs=60")
    whole = one_of(run("basic", *options, results="whole"))
    for _ in range(20):
        (*_, last) = run("basic", *options, results="pieces", arguments=("--time-limit", "1.5"))
        if last.status == "ok":
            break

    assert (whole.result_hash, True) == (last.result_hash, "resumed" in last.flags)


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_a_precision_trains_to_a_finite_loss(precision, run):
    record = one_of(run("basic", f"precision={precision}", "memory_format=channels_last"))

    assert precision == record.fingerprint.numerics["precision"]


def test_first_logits_agree_with_those_of_the_cpu():
    """Equal weights, strict fp32: relative difference at most 1e-4."""
    device = ready_device(Execution(device="cuda"))
    images = torch.rand(8, 3, 32, 32)
    model = build_model(make_experiment(width=64)).eval()
    with torch.no_grad():
        expected = model(images)
        actual = model.to(device)(images.to(device)).cpu()

    assert torch.allclose(expected, actual, rtol=1e-4, atol=1e-5)


def test_a_cap_replays_a_smaller_card(run):
    record = one_of(run("basic", "memory_cap=1MiB", "batch_size=40"), "oom_device")

    assert record.failure.requested_bytes > 0


def test_a_compiled_network_trains(run):
    assert one_of(run("basic", "compile=true")).time.compile_s > 0


def test_the_clock_waits_for_the_device():
    """Queued products are booked on the scope that queued them: a second's worth is not over in a millisecond."""
    device = torch.device("cuda")
    matrix = torch.rand(4096, 4096, device=device)
    clock = Clock(lambda: synchronize(device))
    with clock.scope("train_s"):
        for _ in range(50):
            matrix @ matrix
    queued_s = clock.lap()["train_s"]
    with clock.scope("train_s"):
        pass

    assert queued_s > 10 * clock.lap()["train_s"]


@pytest.mark.parametrize(("size", "count"), [(32, MANY), (224, LARGE)])
@pytest.mark.parametrize("items", LISTS.values(), ids=LISTS)
def test_images_made_on_the_gpu_have_the_bits_of_the_cpu(items, size, count):
    images, rows = torch.from_numpy(pictures(count)), torch.arange(count)
    expected, actual = (
        batched_pipeline(
            operations(items), **KEY, images=count, stored_side=32, size=size, device=torch.device(device)
        )(images, rows)
        for device in ("cpu", "cuda")
    )

    assert torch.equal(expected, actual.cpu())


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adadelta", "asgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "schedule",
    [{"name": "step", "every": 1, "factor": 0.1, "first_epoch": 1}, {"name": "cosine", "warmup_epochs": 0.5}],
    ids=lambda one: one["name"],
)
def test_a_graph_gives_the_losses_of_eager_steps(name, precision, schedule, monkeypatch):
    """Two epochs of 25 steps, the last batch short, the rate cut between them or changed with every step.

    With deterministic algorithms.
    """
    execution = Execution(device="cuda", path="fast", precision=precision, deterministic=True)
    optimizer = {"name": name, "lr": 1e-4}
    experiment = make_experiment(optimizer=optimizer, schedule=schedule, train_images=390, epochs=2, width=16)
    device, found = ready_device(execution), []
    for graphed in (False, True):
        monkeypatch.setattr(Setup, "is_graphed", property(lambda _, graphed=graphed: graphed))
        epochs = epochs_of(set_up(experiment, execution, embedded(), device), Clock(lambda: synchronize(device)))
        found.append([epoch.train.loss for epoch in epochs])

    assert found[0] == pytest.approx(found[1], rel=1e-5 if precision == "fp32" else 1e-2)
