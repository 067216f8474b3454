"""The loop: what is counted, what is keyed, what stops it; and steps that are queued, or captured as a CUDA graph."""

import contextlib
import math
import time
from types import SimpleNamespace

import builders
import numpy as np
import pytest
import torch
from builders import embedded, epochs_of, make_experiment
from torch.nn.functional import cross_entropy

from resnet18.data.dataset import permutation
from resnet18.measure import SCOPES, Clock
from resnet18.records.record import Score
from resnet18.spec.experiment import Execution
from resnet18.training.augment import build_pipeline
from resnet18.training.feed import augmented
from resnet18.training.loop import WARM_UP, GraphedStep, QueuedSteps, evaluate, train
from resnet18.training.model import build_model
from resnet18.training.results import START, DivergedError, Position, conclude, parameters_sha256
from resnet18.training.setup import Setup, build_optimizer, compile_network

CROPS = [{"name": "random_resized_crop"}, {"name": "to_tensor"}]
CUT = {"name": "step", "every": 80, "factor": 0.1, "first_epoch": 0}
COSINE = {"name": "cosine", "warmup_epochs": 0.5}
ONE_CYCLE = {"name": "one_cycle", "max_lr": 0.01}
pytestmark = pytest.mark.usefixtures("one_thread")  # equal bits need an equal number of threads


def make_setup(execution=None, **changes):
    return builders.make_setup(execution, **{"augmentation": CROPS, "test_augmentation": CROPS, "epochs": 2, **changes})


def run(setup):
    """Train; return what each epoch gave without its times, and the digest of the parameters."""
    results = list(epochs_of(setup))
    return [(one.train, one.as_published, one.clean) for one in results], parameters_sha256(setup.model)


def losses_of_steps(setup):
    return [moment.last_loss for moment in train(setup, Clock(lambda: None)) if isinstance(moment, Position)]


def test_the_same_experiment_gives_the_same_bits():
    """Whatever torch's generator is at, and with or without loader processes."""
    expected = run(make_setup())
    torch.manual_seed(123)

    assert expected == run(make_setup(Execution(workers=1)))


@pytest.mark.parametrize(
    ("name", "lr", "width"),
    [
        ("sgd", 1e-4, 32),
        ("adam", 1e-6, 32),
        ("adamw", 1e-6, 2),
        ("rmsprop", 1e-6, 32),
        ("adadelta", 1e-3, 2),
        ("asgd", 1e-4, 32),
    ],
)
def test_losses_of_the_fast_path_are_the_reference_paths_within_rounding(name, lr, width):
    """Five steps in fp32, the last batch short; width 32 runs the compiled kernels, where there are some.

    Rates are small: at the report's own, batch norm on maps of one pixel makes a thousandfold of any rounding in each
    step, on the reference path too where it runs in another memory format.
    """
    changes = {"train_images": 150, "batch_size": 32, "epochs": 1, "label_smoothing": 0.1}
    plain, fast = (
        losses_of_steps(make_setup(Execution(path=path), optimizer={"name": name, "lr": lr}, width=width, **changes))
        for path in ("reference", "fast")
    )

    assert 5 == len(plain)
    assert plain[:2] == pytest.approx(fast[:2], rel=1e-5)
    assert plain == pytest.approx(fast, rel=1e-3)


def test_the_last_three_epochs_are_tested_on_their_own_number_of_images():
    results = list(epochs_of(make_setup(test_images_last=30, epochs=5)))

    assert [(20, 20)] * 2 + [(30, 30)] * 3 == [(one.as_published.images, one.clean.images) for one in results]


def test_a_network_that_the_last_update_broke_has_diverged():
    """Its training losses were finite; its test loss is not, and no accuracy is taken from it."""
    setup = make_setup()
    with torch.no_grad():
        setup.model.fc.bias.fill_(math.nan)

    with pytest.raises(DivergedError, match="test loss nan after epoch 3"):
        evaluate(setup, np.arange(20), setup.experiment.test_augmentation, epoch=3)


def plain_pass(model, which, indices, key, operations, *, optimizer=None, smoothing=0.0):
    """Train or test in plain torch; return the score and the predictions."""
    batch, split, loss_sum, predictions = 16 if optimizer else 100, getattr(embedded(), which), 0.0, []
    key = {**key, "purpose": f"{which}-augmentation", "images": len(split.labels), "stored_side": 32, "size": 32}
    pipeline = build_pipeline(operations, **key)
    model.train(optimizer is not None)
    for start in range(0, len(indices), batch):
        part = indices[start : start + batch]
        logits = model(torch.stack([augmented(pipeline, split.images[index], int(index)) for index in part]))
        loss = cross_entropy(logits, torch.from_numpy(split.labels[part]).long(), label_smoothing=smoothing)
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss_sum += loss.item() * len(part)
        predictions += logits.argmax(1).tolist()
    correct = int((np.array(predictions) == split.labels[indices]).sum())
    return Score(loss=loss_sum / len(indices), correct=correct, images=len(indices)), predictions


@pytest.mark.parametrize(
    ("name", "optimizer", "smoothing"), [("SGD", {"momentum": 0.9}, 0.1), ("Adam", {"weight_decay": 0.1}, 0.0)]
)
def test_training_is_the_textbook_loop_bit_for_bit(name, optimizer, smoothing):
    """Parameters, scores of three batches of training and of three of the test, as published and clean.

    Two epochs with a cut of the rate between them. Images are changed by a stream of their own in each epoch.
    """
    spec = {"name": name.lower(), "lr": 0.05, **optimizer}
    setup = make_setup(optimizer=spec, schedule=CUT, label_smoothing=smoothing, seed=3, test_images_last=250)
    model, operations, scores = build_model(setup.experiment), setup.experiment.augmentation, []
    theirs = getattr(torch.optim, name)(model.parameters(), lr=1.0, **optimizer)
    for epoch, lr in ((1, 0.05), (2, 0.05 * 0.1)):
        theirs.param_groups[0]["lr"] = lr
        key, order = {"seed": 3, "epoch": epoch}, permutation(3, "order", epoch, setup.train_indices)
        scores += plain_pass(model, "train", order, key, operations, optimizer=theirs, smoothing=smoothing)[:1]
        for which in (operations, operations[1:]):
            score, predictions = plain_pass(model, "test", setup.test_indices_last, key, which)
            scores.append(score)
    results = list(train(setup, Clock(lambda: None)))
    epochs = [one[0] for one in results if isinstance(one, tuple)]

    assert scores == [score for one in epochs for score in (one.train, one.as_published, one.clean)]
    assert predictions == results[-1][1].tolist()
    assert parameters_sha256(model) == parameters_sha256(setup.model)
    assert [0.05, 0.005] == pytest.approx([one.learning_rate for one in epochs])


@pytest.mark.parametrize("schedule", [COSINE, ONE_CYCLE], ids=lambda one: one["name"])
@pytest.mark.parametrize("path", ["reference", "fast"])
def test_the_optimizer_has_the_rate_of_each_step_when_it_makes_it(schedule, path):
    """Seen from the optimizer; the short last batch is a step, whose rate is that of the epoch's result."""
    setup, seen = make_setup(Execution(path=path), schedule=schedule), []
    setup.optimizer.register_step_pre_hook(lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"]))
    results = list(epochs_of(setup))

    assert [setup.experiment.schedule.rate(0.01, step, 3, 2) for step in range(6)] == seen
    assert seen[2::3] == [one.learning_rate for one in results]


def test_scopes_do_not_overlap():
    """Data wait lies inside training; the scopes together are no more than the whole."""
    start = time.perf_counter()
    epoch = next(epochs_of(make_setup()))
    wall_s = time.perf_counter() - start

    assert 0 < epoch.data_wait_s < epoch.train_s
    assert sum(getattr(epoch, scope) for scope in SCOPES) - epoch.data_wait_s <= wall_s


@pytest.mark.parametrize(
    ("execution", "rel"), [({"memory_format": "channels_last"}, 1e-3), ({"precision": "bf16"}, 0.05)], ids=str
)
def test_another_execution_reaches_the_network_and_gives_other_bits_near_the_first(execution, rel):
    """Weights lie as the format says, and stay float32 under autocast."""
    setup = make_setup(Execution(**execution), width=8, epochs=1)
    plain, other = (run(one)[0][0][0].loss for one in (make_setup(width=8, epochs=1), setup))
    weight = setup.model.layer1[0].conv1.weight

    assert ("memory_format" in execution) == weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.float32 == weight.dtype
    assert plain != other
    assert plain == pytest.approx(other, rel=rel)


def test_a_conclusion_counts_every_test_image_once():
    """Rows of the confusion matrix are labels; the samples are spread over the subset."""
    found, _ = conclude(make_setup(test_images_last=30), np.arange(30, dtype=np.uint8) % 10)
    samples = found["samples"]

    assert [3] * 10 == [sum(row) for row in found["confusion"]]
    assert 6 == len({sample.index for sample in samples})
    assert [int(embedded().test.labels[sample.index]) for sample in samples] == [sample.label for sample in samples]


def test_compiling_leaves_the_network_as_it_was(monkeypatch):
    """Statistics are put back, gradients dropped; full and short batches are compiled, and those of the test set."""
    shapes = []
    monkeypatch.setattr(
        torch, "compile", lambda model, *, dynamic: lambda images: shapes.append(len(images)) or model(images)
    )
    plain, setup = (make_setup(Execution(compile=compiled)) for compiled in (False, True))
    compile_network(setup)

    assert [16, 8, 20] == shapes
    assert all(parameter.grad is None for parameter in setup.model.parameters())
    assert parameters_sha256(plain.model) == parameters_sha256(setup.model)


@pytest.fixture
def cuda(monkeypatch):
    """Streams that do nothing, and a capture that computes nothing, as CUDA's; return the list of what happened."""
    happened = []
    stream = SimpleNamespace(wait_stream=lambda _: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext(happened.append("aside")))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=None))
    monkeypatch.setattr(torch.cuda, "graph", lambda _: contextlib.nullcontext())
    genuine = GraphedStep._capture

    def capture(self, images, labels):
        happened.append("capture")
        step, recorded = self.step, []
        self.step = lambda *buffers: recorded.append(buffers) or torch.zeros(2)
        genuine(self, images, labels)
        self.step = step

        def replay():
            happened.append("replay")
            self.figures.copy_(step(*recorded[0]))

        self.graph.replay = replay

    monkeypatch.setattr(GraphedStep, "_capture", capture)
    return happened


def train_queued(graphed, schedule, monkeypatch):
    """Two epochs of seven full batches and one of 8 images; return the last position and the parameters' digest."""
    values = {"schedule": schedule, "train_images": 120, "optimizer": {"name": "adam", "lr": 0.01}}
    setup = make_setup(Execution(memory_format="channels_last"), **values)
    if schedule == COSINE:
        setup.optimizer.param_groups[0]["lr"] = torch.tensor(0.01)
    monkeypatch.setattr(Setup, "is_graphed", property(lambda _: graphed))
    steps = QueuedSteps(setup)
    positions = [position for epoch in (1, 2) for position in steps.epoch(Clock(lambda: None), Position(epoch))]
    return positions[-1], parameters_sha256(setup.model)


@pytest.mark.parametrize(
    ("schedule", "after_warm_up"),
    [(CUT, ["capture", *["replay"] * 4, "capture", *["replay"] * 7]), (COSINE, ["capture", *["replay"] * 11])],
    ids=["a rate for each epoch", "a rate for each step"],
)
def test_graphed_steps_give_the_bits_of_eager_ones(schedule, after_warm_up, cuda, monkeypatch):
    """Three steps aside, then one capture for each rate that is a number; a tensor is captured once."""
    eager, graphed = (train_queued(graphed, schedule, monkeypatch) for graphed in (False, True))

    assert eager == graphed
    assert [*["aside"] * WARM_UP, *after_warm_up] == cuda


@pytest.mark.parametrize(("precision", "device"), [("fp16", "cuda"), ("fp32", "mps")])
def test_steps_that_ask_the_host_are_not_captured(precision, device):
    """The scaling of fp16's loss does; and no other device has such graphs."""
    scaler = SimpleNamespace(is_enabled=lambda: precision == "fp16")
    setup = SimpleNamespace(runs_ahead=True, device=torch.device(device), scaler=scaler)

    assert not Setup.is_graphed.fget(setup)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "adadelta", "asgd"])
@pytest.mark.parametrize(("path", "device"), [("fast", "cuda"), ("fast", "cpu"), ("reference", "cuda")])
@pytest.mark.parametrize("changes", [True, False])
def test_what_a_graph_reads_lies_on_the_device_on_the_fast_path_on_cuda_alone(name, path, device, changes):
    """The count of steps, and a rate that changes within epochs; elsewhere numbers, with which bits stay."""
    spec = make_experiment(optimizer={"name": name, "lr": 0.001}).optimizer
    optimizer = build_optimizer(spec, [torch.nn.Parameter(torch.zeros(2))], path, device, rate_changes=changes)
    rate, is_graphed = optimizer.param_groups[0]["lr"], (path, device) == ("fast", "cuda")

    assert is_graphed == optimizer.defaults["capturable"]
    assert (is_graphed and changes) == isinstance(rate, torch.Tensor)
    assert 0.001 == pytest.approx(float(rate))


def test_a_queued_loss_that_is_no_number_is_named_with_its_step():
    steps = QueuedSteps(make_setup())
    figures = iter([[2.0, 3.0], [math.nan, 0.0], [2.0, 3.0]])
    steps.step = lambda *_: torch.tensor(next(figures))

    with pytest.raises(DivergedError, match=r"loss nan in epoch 1, step 2 \(the loss before: 2.0\)"):
        list(steps.epoch(Clock(lambda: None), START))
