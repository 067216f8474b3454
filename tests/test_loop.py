"""The loop: what is counted, what is keyed, what stops it; and steps that are queued, or captured as a CUDA graph."""

import contextlib
import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders import epochs_of, make_experiment
from torch.nn.functional import cross_entropy

from resnet18.data.dataset import permutation, read_embedded
from resnet18.measure import SCOPES, Clock
from resnet18.records.record import Score
from resnet18.spec.experiment import Execution
from resnet18.training import feed
from resnet18.training.augment import build_pipeline
from resnet18.training.feed import augmented
from resnet18.training.loop import WARM_UP, GraphedStep, QueuedSteps, evaluate, train
from resnet18.training.model import build_model
from resnet18.training.results import (
    START,
    DivergedError,
    Position,
    conclude,
    parameter_count,
    parameters_sha256,
)
from resnet18.training.setup import Setup, build_optimizer, compile_network, set_up

AUGMENTED = [
    {"name": "random_resized_crop"},
    {"name": "random_horizontal_flip"},
    {"name": "to_tensor"},
    {"name": "normalize"},
]
CUT = {"name": "step", "every": 80, "factor": 0.1, "first_epoch": 0}
pytestmark = pytest.mark.usefixtures("one_thread")  # equal bits need an equal number of threads


@pytest.fixture(scope="module")
def data():
    return read_embedded()


def make_setup(data, execution=None, **changes):
    values = {"augmentation": AUGMENTED, "test_augmentation": AUGMENTED, "epochs": 2, **changes}
    return set_up(make_experiment(**values), execution or Execution(), data, torch.device("cpu"))


def run(setup):
    """Train; return what each epoch gave without its times, and the digest of the parameters."""
    results = list(epochs_of(setup))
    return [(one.train, one.as_published, one.clean) for one in results], parameters_sha256(setup.model)


def losses_of_steps(setup):
    return [moment.last_loss for moment in train(setup, Clock(lambda: None)) if isinstance(moment, Position)]


@pytest.fixture(scope="module")
def expected(data):
    return run(make_setup(data))


def test_the_same_experiment_gives_the_same_bits(data, expected):
    """Whatever torch's generator is at, and with or without loader processes."""
    torch.manual_seed(123)

    assert expected == run(make_setup(data, Execution(workers=1)))


@pytest.mark.parametrize("changes", [{"seed": 1}, {"batch_size": 8}, {"stem": "cifar"}, {"label_smoothing": 0.1}])
def test_another_experiment_gives_other_bits(changes, data, expected):
    assert expected != run(make_setup(data, **changes))


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
def test_losses_of_the_fast_path_are_the_reference_paths_within_rounding(name, lr, width, data):
    """Five steps in fp32, the last batch short; width 32 runs the compiled kernels, where there are some.

    Rates are small: at the report's own, batch norm on maps of one pixel makes a thousandfold of any rounding in each
    step, on the reference path too where it runs in another memory format.
    """
    changes = {"optimizer": {"name": name, "lr": lr}, "width": width, "train_images": 150, "batch_size": 32}
    plain, fast = (
        losses_of_steps(make_setup(data, Execution(path=path), **{**changes, "epochs": 1}))
        for path in ("reference", "fast")
    )

    assert 5 == len(plain)
    assert plain[:2] == pytest.approx(fast[:2], rel=1e-5)
    assert plain == pytest.approx(fast, rel=1e-3)


def test_the_fast_path_has_all_parameters(data):
    """Weights that no data reach too: its digest is of the whole network."""
    plain, fast = (make_setup(data, Execution(path=path)).model for path in ("reference", "fast"))

    assert parameter_count(plain) == parameter_count(fast)
    assert parameters_sha256(plain) == parameters_sha256(fast)


def pipeline_of_epoch(experiment, epoch):
    key = {"seed": 0, "purpose": "train-augmentation", "epoch": epoch}
    return build_pipeline(experiment.augmentation, **key, images=4000, native=32, size=32)


def test_evaluation_scores_as_one_large_batch_would(data):
    """Loss and hits of 250 images in batches of 100 against one forward pass over all; it changes nothing."""
    setup = make_setup(data, augmentation=[{"name": "to_tensor"}], test_augmentation=[{"name": "to_tensor"}])
    before = parameters_sha256(setup.model)
    tally, predictions = evaluate(setup, np.arange(250), setup.experiment.test_augmentation, epoch=1)
    images = torch.from_numpy(data.test.images[:250]).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(data.test.labels[:250]).long()
    with torch.no_grad():
        logits = setup.model(images)

    assert logits.argmax(1).tolist() == predictions.tolist()
    assert (250, int((logits.argmax(1) == labels).sum())) == (tally.images, tally.correct)
    assert float(cross_entropy(logits, labels)) == pytest.approx(tally.loss_sum / 250, rel=1e-5)
    assert before == parameters_sha256(setup.model)


def test_the_last_three_epochs_are_tested_on_their_own_number_of_images(data):
    results = list(epochs_of(make_setup(data, test_images_last=30, epochs=5)))

    assert [(20, 20)] * 2 + [(30, 30)] * 3 == [(one.as_published.images, one.clean.images) for one in results]


def test_a_network_that_the_last_update_broke_has_diverged(data):
    """Its training losses were finite; its test loss is not, and no accuracy is taken from it."""
    setup = make_setup(data)
    with torch.no_grad():
        setup.model.fc.bias.fill_(math.nan)

    with pytest.raises(DivergedError, match="test loss nan after epoch 3"):
        evaluate(setup, np.arange(20), setup.experiment.test_augmentation, epoch=3)


def test_images_are_changed_by_streams_of_their_own_and_clean_ones_by_none(data, monkeypatch):
    """In each epoch of each seed, those of training and the published test ones."""
    found = []

    def spy(*operations, **key):
        pipeline = build_pipeline(*operations, **key)
        crops = pipeline.tables.get("random_resized_crop")
        found.append((key["purpose"], None if crops is None else crops[:1000].tobytes()))
        return pipeline

    monkeypatch.setattr(feed, "build_pipeline", spy)
    for seed in (0, 1):
        run(make_setup(data, seed=seed))

    assert ["train-augmentation", *["test-augmentation"] * 2] * 4 == [purpose for purpose, _ in found]
    assert [None] * 4 == [crops for _, crops in found[2::3]]
    assert 8 == len({crops for _, crops in found} - {None})


@pytest.mark.parametrize("path", ["reference", "fast"])
def test_the_training_loss_is_torchs_with_label_smoothing(path, data):
    """Of the first step, with the initial weights. Test losses have none."""
    setup, sharp = (
        make_setup(data, Execution(path=path), label_smoothing=share, batch_size=40, epochs=1) for share in (0.1, 0)
    )
    plain = build_model(setup.experiment).train()
    images, labels = next(feed.feed_training(make_setup(data, batch_size=40), START))
    theirs = torch.nn.CrossEntropyLoss(label_smoothing=0.1)(plain(images), labels)
    scores = [evaluate(one, np.arange(20), setup.experiment.augmentation, 1)[0] for one in (setup, sharp)]

    assert theirs.item() == pytest.approx(losses_of_steps(setup)[0], rel=1e-5)
    assert scores[0] == scores[1]


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.05, "momentum": 0.9}, {"name": "adam", "lr": 0.01}])
def test_training_is_the_textbook_loop_bit_for_bit(optimizer, data):
    """Two epochs with a cut of the rate between them, against plain torch: same parameters, losses and hits."""
    setup = make_setup(data, optimizer=optimizer, schedule=CUT)
    model = build_model(setup.experiment)
    arguments = {key: value for key, value in optimizer.items() if key not in {"name", "lr"}}
    torch_class = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer["name"]]
    theirs = torch_class(model.parameters(), lr=1.0, **arguments)
    tallies = []
    for epoch, lr in ((1, optimizer["lr"]), (2, optimizer["lr"] * 0.1)):
        theirs.param_groups[0]["lr"] = lr
        pipeline = pipeline_of_epoch(setup.experiment, epoch)
        order = permutation(0, "order", epoch, setup.train_indices)
        loss_sum, hits = 0.0, 0
        for part in (order[:16], order[16:32], order[32:]):
            images = torch.stack([augmented(pipeline, data.train.images[index], int(index)) for index in part])
            labels = torch.from_numpy(data.train.labels[part]).long()
            model.train()
            theirs.zero_grad()
            logits = model(images)
            loss = cross_entropy(logits, labels)
            loss.backward()
            theirs.step()
            loss_sum, hits = loss_sum + loss.item() * len(part), hits + int((logits.argmax(1) == labels).sum())
        tallies.append(Score(loss=loss_sum / 40, correct=hits, images=40))
    results = list(epochs_of(setup))

    assert tallies == [one.train for one in results]
    assert parameters_sha256(model) == parameters_sha256(setup.model)
    assert [optimizer["lr"], optimizer["lr"] * 0.1] == pytest.approx([one.learning_rate for one in results])


def test_scopes_do_not_overlap(data):
    """Data wait lies inside training; the scopes together are no more than the whole."""
    start = time.perf_counter()
    epoch = next(epochs_of(make_setup(data)))
    wall_s = time.perf_counter() - start

    assert 0 < epoch.data_wait_s < epoch.train_s
    assert sum(getattr(epoch, scope) for scope in SCOPES) - epoch.data_wait_s <= wall_s


@pytest.mark.parametrize(
    ("execution", "rel"), [({"memory_format": "channels_last"}, 1e-3), ({"precision": "bf16"}, 0.05)], ids=str
)
def test_another_execution_reaches_the_network_and_gives_other_bits_near_the_first(execution, rel, data):
    """Weights lie as the format says, and stay float32 under autocast."""
    setup = make_setup(data, Execution(**execution), width=8, epochs=1)
    plain, other = (run(one)[0][0][0].loss for one in (make_setup(data, width=8, epochs=1), setup))
    weight = setup.model.layer1[0].conv1.weight

    assert ("memory_format" in execution) == weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.float32 == weight.dtype
    assert plain != other
    assert plain == pytest.approx(other, rel=rel)


def test_a_conclusion_counts_every_test_image_once(data):
    """Rows of the confusion matrix are labels; the samples are spread over the subset."""
    setup = make_setup(data, test_images_last=30)
    found, _ = conclude(setup, np.arange(30, dtype=np.uint8) % 10)
    samples = found["samples"]

    assert [3] * 10 == [sum(row) for row in found["confusion"]]
    assert 6 == len({sample.index for sample in samples})
    assert [int(data.test.labels[sample.index]) for sample in samples] == [sample.label for sample in samples]


def test_compiling_leaves_the_network_as_it_was(data, monkeypatch):
    """Statistics are put back, gradients dropped; full and short batches are compiled, and those of the test set."""
    shapes = []
    monkeypatch.setattr(
        torch, "compile", lambda model, *, dynamic: lambda images: shapes.append(len(images)) or model(images)
    )
    plain, setup = (make_setup(data, Execution(compile=compiled)) for compiled in (False, True))
    compile_network(setup)

    assert [16, 8, 20] == shapes
    assert all(parameter.grad is None for parameter in setup.model.parameters())
    for (name, one), other in zip(setup.model.state_dict().items(), plain.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


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


def train_queued(data, graphed, schedule, monkeypatch):
    """Two epochs of seven full batches and one of 8 images; return the last position and the parameters' digest."""
    values = {"schedule": schedule, "train_images": 120, "optimizer": {"name": "adam", "lr": 0.01}}
    setup = make_setup(data, Execution(memory_format="channels_last"), **values)
    if schedule["name"] == "cosine":
        setup.optimizer.param_groups[0]["lr"] = torch.tensor(0.01)
    monkeypatch.setattr(Setup, "is_graphed", property(lambda _: graphed))
    steps = QueuedSteps(setup)
    positions = [position for epoch in (1, 2) for position in steps.epoch(Clock(lambda: None), Position(epoch))]
    return positions[-1], parameters_sha256(setup.model)


@pytest.mark.parametrize(
    ("schedule", "after_warm_up"),
    [
        (CUT, ["capture", *["replay"] * 4, "capture", *["replay"] * 7]),
        ({"name": "cosine", "warmup_epochs": 0.5}, ["capture", *["replay"] * 11]),
    ],
    ids=["a rate for each epoch", "a rate for each step"],
)
def test_graphed_steps_give_the_bits_of_eager_ones(schedule, after_warm_up, cuda, data, monkeypatch):
    """Three steps aside, then one capture for each rate that is a number; a tensor is captured once."""
    eager, graphed = (train_queued(data, graphed, schedule, monkeypatch) for graphed in (False, True))

    assert eager == graphed
    assert [*["aside"] * WARM_UP, *after_warm_up] == cuda


def test_figures_of_a_step_are_not_overwritten_by_the_next(cuda, data):
    setup = make_setup(data)
    step = GraphedStep(QueuedSteps(setup).eager_step, setup)
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 10
    first, second = [step(images, labels) for _ in range(WARM_UP + 2)][-2:]

    assert first[0] != second[0]


@pytest.mark.parametrize(("precision", "device"), [("fp16", "cuda"), ("fp32", "mps")])
def test_steps_that_ask_the_host_are_not_captured(precision, device):
    """The scaling of fp16's loss does; and no other device has such graphs."""
    scaler = SimpleNamespace(is_enabled=lambda: precision == "fp16")
    setup = SimpleNamespace(runs_ahead=True, device=torch.device(device), scaler=scaler)

    assert not Setup.is_graphed.fget(setup)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "adadelta", "asgd"])
def test_on_cuda_the_fast_path_counts_steps_on_the_device(name):
    spec = make_experiment(optimizer={"name": name, "lr": 0.001}).optimizer
    optimizer = build_optimizer(spec, [torch.nn.Parameter(torch.zeros(2))], "fast", "cuda")

    assert optimizer.defaults["capturable"] is True


def test_a_queued_loss_that_is_no_number_is_named_with_its_step(data):
    steps = QueuedSteps(make_setup(data))
    figures = iter([[2.0, 3.0], [math.nan, 0.0], [2.0, 3.0]])
    steps.step = lambda *_: torch.tensor(next(figures))

    with pytest.raises(DivergedError, match=r"loss nan in epoch 1, step 2 \(the loss before: 2.0\)"):
        list(steps.epoch(Clock(lambda: None), START))
