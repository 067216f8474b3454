"""The loop: what is counted, what is keyed, what stops it."""

import contextlib
import math
import time

import numpy as np
import pytest
import torch
from builders import epochs_of, make_experiment
from torch.nn.functional import cross_entropy

from resnet18.data.dataset import read_embedded
from resnet18.data.rng import permutation
from resnet18.measure import Clock
from resnet18.spec.experiment import Execution
from resnet18.training import feed
from resnet18.training.augment import build_pipeline
from resnet18.training.feed import augmented, batches
from resnet18.training.loop import evaluate, train
from resnet18.training.model import build_model
from resnet18.training.results import (
    START,
    DivergedError,
    Position,
    Tally,
    conclude,
    parameter_count,
    parameters_sha256,
)
from resnet18.training.setup import compile_network, set_up

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
    torch.manual_seed(123)

    assert expected == run(make_setup(data))


@pytest.mark.parametrize("changes", [{"seed": 1}, {"batch_size": 8}, {"stem": "cifar"}, {"label_smoothing": 0.1}])
def test_another_experiment_gives_other_bits(changes, data, expected):
    assert expected != run(make_setup(data, **changes))


def test_loader_processes_change_no_bit(data):
    assert run(make_setup(data, epochs=1)) == run(make_setup(data, Execution(workers=1), epochs=1))


@pytest.mark.parametrize(
    ("name", "lr", "width"),
    [
        ("sgd", 1e-4, 2),
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

    assert [20, 20, 30, 30, 30] == [one.as_published.images for one in results]
    assert [20, 20, 30, 30, 30] == [one.clean.images for one in results]


def test_an_infinite_loss_stops_before_the_update(data):
    setup = make_setup(data)
    with torch.no_grad():
        setup.model.fc.weight.fill_(math.inf)
    before = [parameter.clone() for parameter in setup.model.parameters()]

    with pytest.raises(DivergedError, match="epoch 1, step 1"):
        next(epochs_of(setup))
    assert all(torch.equal(one, other) for one, other in zip(before, setup.model.parameters(), strict=True))


def test_a_network_that_the_last_update_broke_has_diverged(data):
    """Its training losses were finite; its test loss is not, and no accuracy is taken from it."""
    setup = make_setup(data)
    with torch.no_grad():
        setup.model.fc.bias.fill_(math.nan)

    with pytest.raises(DivergedError, match="test loss nan after epoch 3"):
        evaluate(setup, np.arange(20), setup.experiment.test_augmentation, epoch=3)


@pytest.fixture
def asked(data, monkeypatch):
    """Train for two epochs; return what batches were asked for, as (split, order, table of the crops)."""
    calls = []

    def spy(split, order, pipeline, *rest):
        crops = pipeline.tables.get("random_resized_crop")
        calls.append(("train" if split is data.train else "test", order.tolist(), crops, pipeline))
        return batches(split, order, pipeline, *rest)

    monkeypatch.setattr(feed, "batches", spy)

    def carry_out(**changes):
        calls.clear()
        run(make_setup(data, **changes))
        return list(calls)

    return carry_out


def test_each_epoch_and_each_seed_has_its_own_order_and_its_own_crops(asked):
    """Of the same training images; published test images have crops of their own, too, from another stream."""
    orders, crops = [], []
    for seed in (0, 1):
        calls = asked(seed=seed)
        orders += [order for split, order, _, _ in calls if split == "train"]
        crops += [table[:1000].tobytes() for _, _, table, _ in calls if table is not None]

    assert sorted(orders[0]) == sorted(orders[1])
    assert 4 == len({tuple(order) for order in orders} - {tuple(sorted(orders[0]))})
    assert 8 == len(set(crops))


def test_test_images_have_their_own_list_and_the_clean_ones_no_random_operation(asked):
    flip = [{"name": "random_horizontal_flip"}, {"name": "to_tensor"}]
    (training, *_), (published, _, _, pipeline), (cleanly, _, _, plain) = asked(test_augmentation=flip)[:3]

    assert ("train", "test", "test") == (training, published, cleanly)
    assert ({"random_horizontal_flip"}, set()) == (set(pipeline.tables), set(plain.tables))


@pytest.mark.parametrize("path", ["reference", "fast"])
def test_the_training_loss_is_torchs_with_label_smoothing(path, data):
    """Of the first step, with the initial weights; the same targets without smoothing give another one."""
    setup = make_setup(data, Execution(path=path), label_smoothing=0.1, batch_size=40, epochs=1)
    first = losses_of_steps(setup)[0]
    plain = build_model(setup.experiment).train()
    images, labels = next(feed.feed_training(make_setup(data, batch_size=40), START))
    theirs = torch.nn.CrossEntropyLoss(label_smoothing=0.1)(plain(images), labels)

    assert first == pytest.approx(theirs.item(), rel=1e-5)
    assert first != pytest.approx(cross_entropy(plain(images), labels).item(), rel=1e-5)


def test_test_losses_have_no_label_smoothing(data):
    operations = make_setup(data).experiment.augmentation
    scores = [
        evaluate(make_setup(data, label_smoothing=share), np.arange(20), operations, 1)[0] for share in (0.0, 0.5)
    ]

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
        tallies.append(Tally(loss_sum, hits, 40))
    results = list(epochs_of(setup))

    assert tallies == [one.train for one in results]
    assert parameters_sha256(model) == parameters_sha256(setup.model)
    assert [optimizer["lr"], optimizer["lr"] * 0.1] == pytest.approx([one.learning_rate for one in results])


def test_drawing_an_epochs_parameters_counts_as_waiting_for_data(data, monkeypatch):
    open_scopes, seen = [], []

    class Spy(Clock):
        @contextlib.contextmanager
        def scope(self, name):
            open_scopes.append(name)
            with super().scope(name):
                yield
            open_scopes.remove(name)

    monkeypatch.setattr(
        feed, "permutation", lambda *arguments: seen.append(list(open_scopes)) or permutation(*arguments)
    )
    next(epochs_of(make_setup(data), Spy(lambda: None)))

    assert [["train_s", "data_wait_s"]] == seen


def test_scopes_do_not_overlap(data):
    """Data wait lies inside training; the scopes together are no more than the whole."""
    start = time.perf_counter()
    seconds = next(epochs_of(make_setup(data))).seconds
    wall_s = time.perf_counter() - start

    assert 0 < seconds["data_wait_s"] < seconds["train_s"]
    assert sum(seconds.values()) - seconds["data_wait_s"] <= wall_s


def test_channels_last_reaches_the_network(data):
    """Weights and inputs; the result differs from the contiguous one in rounding alone."""
    setup = make_setup(data, Execution(memory_format="channels_last"), width=8, epochs=1)
    (ours, *_), (theirs, *_) = (run(one)[0][0] for one in (setup, make_setup(data, width=8, epochs=1)))

    assert setup.model.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert theirs.loss_sum == pytest.approx(ours.loss_sum, rel=1e-3)


def test_half_precision_learns_from_other_bits(data):
    """bf16 by autocast: other losses, near those of fp32, and parameters that stay fp32."""
    setups = [make_setup(data, Execution(precision=precision), epochs=1) for precision in ("fp32", "bf16")]
    full, half = (run(setup)[0][0][0].loss_sum for setup in setups)

    assert {torch.float32} == {parameter.dtype for parameter in setups[1].model.parameters()}
    assert full != half
    assert full == pytest.approx(half, rel=0.05)


def test_a_conclusion_counts_every_test_image_once(data):
    """Rows of the confusion matrix are labels; the samples are spread over the subset."""
    setup = make_setup(data, test_images_last=30)
    end = conclude(setup, list(epochs_of(setup))[-1].predictions)

    assert [3] * 10 == [sum(row) for row in end.confusion]
    assert 6 == len({index for index, _, _ in end.samples})
    assert [int(data.test.labels[index]) for index, _, _ in end.samples] == [label for _, label, _ in end.samples]


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
