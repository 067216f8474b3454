"""Whole runs on an accelerator, by the code that CUDA uses: the fake one of `fakes/accelerator.py`.

What only hardware can show is not here: kernels of cuDNN and their rounding, streams and events, TF32, half precision,
what the driver takes beside torch's allocator, and fragmentation.
"""

import pytest
from builders import TINY, TOML, make_experiment, make_job, make_run, make_toml
from fakes import children

from resnet18.records.store import Store
from resnet18.spec.load import load_benchmark
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.training.model import build_model

PLENTY = 2**40
CASES = {
    "SGD": '{ optimizer = { name = "sgd", lr = 0.01 } }',
    "Momentum": '{ optimizer = { name = "sgd", lr = 0.01, momentum = 0.9 } }',
    "Adadelta": '{ optimizer = { name = "adadelta", lr = 0.01 } }',
    "RMSprop": '{ optimizer = { name = "rmsprop", lr = 0.001 } }',
    "Adam": '{ optimizer = { name = "adam", lr = 0.001 } }',
    "ASGD": '{ optimizer = { name = "asgd", lr = 0.01, t0 = 2 } }',
    "Cosine": '{ optimizer = { name = "adamw", lr = 0.001 }, schedule = { name = "cosine" }, label_smoothing = 0.1 }',
    "NHWC": '{ optimizer = { name = "sgd", lr = 0.01 } }\nexecution = { memory_format = "channels_last" }',
}
"""The optimizers of Table 3 (the average of ASGD starts early enough to matter), a rate of each step with a smoothed
loss, and the other memory format."""
AROUND_DATA = {"synchronize": 2 * (1 + 4)}
"""The clock's own waits where it starts and stops `data_wait_s`: for the order, three batches, and their end."""
BATCHES = TOML.split("[[case]]")[0]


def toml_of(cases):
    """A benchmark of the cases, with random crops of training and test images."""
    text = BATCHES.replace('[{ name = "to_tensor" }]', '[{ name = "random_resized_crop" }, { name = "to_tensor" }]')
    text = text.replace('optimizer = { name = "sgd", lr = 0.01 }', "batch_size = 16")
    return text + "".join(f'\n[[case]]\nname = "{name}"\nexperiment = {lines}\n' for name, lines in cases.items())


def trained(folder, text, *overrides, capacity=PLENTY):
    """Train a benchmark's cases in one fresh process that has the accelerator; return the record of each."""
    folder.mkdir(exist_ok=True)
    overrides = (*TINY[:4], "epochs=2", "threads=1", *overrides)
    request = Request(data="fashion-mnist-mini", overrides=overrides)
    runs = plan([load_benchmark(make_toml(folder, text))], request, (0,), {"cpu": 1}).runs
    store = Store(folder / "results")
    store.make_writable()
    children.answer(children.carry_out, [make_job(folder / "results", run) for run in runs], capacity)
    found = {record.run_id: record for record in store.read().records}
    return {run.labels[0].partition("/")[2]: found[run.run_id] for run in runs}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Records of every case on the CPU and on the accelerator: two epochs, of batches of 16, 16 and 8."""
    folder = tmp_path_factory.mktemp("both")
    return [
        trained(folder / device, toml_of(CASES), f"device={device}", capacity=capacity)
        for device, capacity in (("cpu", None), ("auto", PLENTY))
    ]


def test_auto_finds_the_accelerator():
    assert ("fakegpu", "fakegpu:0", 12.0, 512) == children.answer(children.what_it_is)


@pytest.mark.parametrize("case", CASES)
def test_a_run_on_the_accelerator_gives_the_bits_of_the_cpu(case, both):
    """Losses, hits, confusion, parameters and predictions: weights, batches and order do not depend on the device."""
    cpu, accelerator = (records[case] for records in both)

    assert ("cpu", "fakegpu") == (cpu.fingerprint.numerics["device"], accelerator.fingerprint.numerics["device"])
    assert ("ok", "ok") == (cpu.status, accelerator.status)
    assert cpu.result_hash == accelerator.result_hash
    assert [case] == [other for other, record in both[0].items() if record.result_hash == cpu.result_hash]


@pytest.mark.parametrize("case", ["Adam", "Cosine"])
def test_the_fast_path_on_the_accelerator_gives_the_bits_of_torchs_layers(case, tmp_path):
    """Images made on the device, steps that nobody waits for: the bits of the reference path in the same format."""
    cases = toml_of({case: CASES[case]})
    records = [
        trained(tmp_path / "cpu", cases, "device=cpu", "memory_format=channels_last", capacity=None)[case],
        trained(tmp_path / "auto", cases, "device=auto", "path=fast")[case],
    ]

    assert ("cpu", "fakegpu") == tuple(record.fingerprint.numerics["device"] for record in records)
    assert records[0].result_hash == records[1].result_hash
    assert records[1].time.statistics_s is None
    assert "does not wait for" in records[1].nulls["time.statistics_s"]


def test_the_peak_of_memory_counts_the_state_of_the_optimizer(both):
    """Adam keeps two tensors a parameter, in blocks of 512 bytes; momentum keeps one."""
    sizes = [4 * parameter.numel() for parameter in build_model(make_experiment()).parameters()]
    state = sum(-(-size // 512) * 512 for size in sizes)
    peaks = {case: record.memory.allocated_peak_bytes for case, record in both[1].items()}

    assert [state, 2 * state] == [peaks["Momentum"] - peaks["SGD"], peaks["Adam"] - peaks["SGD"]]


def test_what_does_not_fit_ends_as_a_record_and_the_next_run_works(tmp_path):
    """Batch 40 runs out of the card's memory, batch 8 does not, in the same process: all memory is given back."""
    store = Store(tmp_path)
    store.make_writable()
    jobs = [make_job(tmp_path, make_run(make_experiment(batch_size=size))) for size in (40, 8)]
    left = children.answer(children.carry_out, jobs, 700_000)
    records = {record.spec.experiment.batch_size: record for record in store.read().records}
    failure = records[40].failure

    assert [0, 0] == left
    assert {40: "oom_device", 8: "ok"} == {size: record.status for size, record in records.items()}
    assert "OutOfMemoryError: fakegpu out of memory. Tried to allocate " in failure.message
    assert 0 <= failure.free_bytes < failure.requested_bytes < 700_000
    assert records[40].memory.allocated_peak_bytes <= 700_000
    assert "after 0 epochs" == failure.phase


@pytest.mark.parametrize("kind", ["operand", "labels"])
def test_a_forgotten_transfer_is_refused(kind):
    """As a GPU refuses it: the fake would be no test of the device path if it computed across devices."""
    assert "Expected all tensors to be on the same device" in children.answer(children.mistake, kind)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_host_waits_for_the_device_only_where_the_scope_says_so(name):
    """In three steps: loss and hits are read as statistics; training's time waits around each wait for data only."""
    evaluation = {"to_host": 2}

    assert {
        "train_s": AROUND_DATA,
        "data_wait_s": {},
        "statistics_s": {"item": 2 * 3},
        "eval_as_published_s": evaluation,
        "eval_clean_s": evaluation,
    } == children.answer(children.waits, {"name": name, "lr": 0.01})


def test_the_fast_path_reads_once_an_epoch():
    """Loss and hits of the three steps together, as part of the training's time; the waits are the clock's own."""
    waits = children.answer(children.waits, {"name": "sgd", "lr": 0.01}, "fast")

    assert {
        "train_s": {"to_host": 1},
        "data_wait_s": {},
        "eval_as_published_s": {"to_host": 2},
        "eval_clean_s": {"to_host": 2},
    } == waits


@pytest.mark.parametrize(("name", "path"), [("asgd", "reference"), ("rmsprop", "reference"), ("adam", "fast")])
def test_a_training_on_a_device_goes_on_with_equal_bits(name, path):
    """Parameters and what the optimizer keeps go to the host and back, those that stay on the host among them."""
    whole, resumed = children.answer(children.digests_of_resuming, {"name": name, "lr": 0.001}, path)

    assert whole == resumed
