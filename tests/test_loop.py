"""The loop: what is counted, what is keyed, what stops it."""

import contextlib
import math
import time

import numpy as np
import pytest
import torch
from builders import epochs_of, make_experiment
from torch.nn.functional import cross_entropy

from resnet18.data.embedded import read_embedded
from resnet18.data.rng import permutation
from resnet18.measure.clock import Clock
from resnet18.measure.environment import numerics
from resnet18.spec.experiment import Execution
from resnet18.training.augment import build_pipeline
from resnet18.training.device import UnsupportedError, carried_out, ready_device
from resnet18.training.feed import feed_training
from resnet18.training.loop import compile_network, evaluate, train
from resnet18.training.model import build_model
from resnet18.training.optimizers import build_optimizer
from resnet18.training.reference import augmented, batches
from resnet18.training.results import (
    START,
    DivergedError,
    Position,
    Tally,
    conclude,
    parameter_count,
    parameters_sha256,
)
from resnet18.training.setup import set_up

AUGMENTED = [
    {"name": "random_resized_crop"},
    {"name": "random_horizontal_flip"},
    {"name": "to_tensor"},
    {"name": "normalize"},
]


@pytest.fixture(scope="module")
def data():
    return read_embedded()


pytestmark = pytest.mark.usefixtures("one_thread")  # equal bits need an equal number of threads


def make_setup(data, execution=None, **changes):
    values = {"augmentation": AUGMENTED, "test_augmentation": AUGMENTED, "epochs": 2, **changes}
    return set_up(make_experiment(**values), execution or Execution(), data, torch.device("cpu"))


def run(setup):
    """Train; return what each epoch gave without its times, and the digest of the parameters."""
    results = list(epochs_of(setup))
    return [(one.train, one.as_published, one.clean) for one in results], parameters_sha256(setup.model)


def test_the_same_experiment_gives_the_same_bits(data):
    """Whatever state torch's global generator is in."""
    first = run(make_setup(data))
    torch.manual_seed(123)

    assert first == run(make_setup(data))


@pytest.mark.parametrize("changes", [{"seed": 1}, {"batch_size": 8}, {"stem": "cifar"}])
def test_another_experiment_gives_other_bits(changes, data):
    """So the test above could fail."""
    assert run(make_setup(data))[1] != run(make_setup(data, **changes))[1]


def test_loader_processes_change_no_bit(data):
    """Randomness is keyed by image, not by process."""
    assert run(make_setup(data, epochs=1)) == run(make_setup(data, Execution(workers=1), epochs=1))


def losses_of_steps(setup):
    return [moment.last_loss for moment in train(setup, Clock(lambda: None)) if isinstance(moment, Position)]


@pytest.mark.parametrize("width", [2, 32])
@pytest.mark.parametrize(
    ("name", "lr"),
    [("sgd", 1e-4), ("adam", 1e-6), ("adamw", 1e-6), ("rmsprop", 1e-6), ("adadelta", 1e-3), ("asgd", 1e-4)],
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
    """Taps that never see data too: its digest is of the whole network, and covers what training leaves alone."""
    setup = make_setup(data, Execution(path="fast"))
    plain = make_setup(data)

    assert parameter_count(plain.model) == parameter_count(setup.model)
    assert parameters_sha256(plain.model) == parameters_sha256(setup.model)


def test_batch_size_changes_no_augmented_image(data):
    """All rows of Table 2 see the same images."""
    setup = make_setup(data)
    pipeline = build_pipeline(
        setup.experiment.augmentation, seed=0, purpose="train-augmentation", epoch=1, images=4000, native=32, size=32
    )
    whole = [
        torch.cat([images for images, _ in batches(data.train, setup.train_indices, pipeline, size, 0)])
        for size in (7, 32)
    ]

    assert torch.equal(*whole)


def test_a_short_last_batch_is_kept_and_weighs_less(data):
    """40 images in batches of 16 are 3 steps; the mean is over images, not over batches."""
    setup = make_setup(data)
    result = next(epochs_of(setup))

    assert (3, 40) == (result.steps, result.train.images)
    assert Tally(1.0 * 16 + 4.0 * 4, 10, 20) == Tally().add(1.0, 8, 16).add(4.0, 2, 4)


def test_evaluation_scores_as_one_large_batch_would(data):
    """Loss and hits of 250 images in batches of 100 against one forward pass over all."""
    setup = make_setup(data, augmentation=[{"name": "to_tensor"}], test_augmentation=[{"name": "to_tensor"}])
    indices = np.arange(250)
    tally, predictions = evaluate(setup, indices, setup.experiment.test_augmentation, epoch=1)
    images = torch.from_numpy(data.test.images[:250]).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(data.test.labels[:250]).long()
    with torch.no_grad():
        logits = setup.model(images)

    assert logits.argmax(1).tolist() == predictions.tolist()
    assert (250, int((logits.argmax(1) == labels).sum())) == (tally.images, tally.correct)
    assert float(cross_entropy(logits, labels)) == pytest.approx(tally.loss_sum / 250, rel=1e-5)


def test_evaluation_changes_nothing(data):
    """Neither parameters nor running statistics."""
    setup = make_setup(data)
    before = parameters_sha256(setup.model)
    evaluate(setup, np.arange(20), setup.experiment.test_augmentation, epoch=1)

    assert before == parameters_sha256(setup.model)


def test_the_two_protocols_score_different_images(data):
    """Random crops against the whole image: other losses."""
    result = next(epochs_of(make_setup(data)))

    assert result.as_published.loss_sum != result.clean.loss_sum


def test_the_last_three_epochs_are_tested_on_their_own_number_of_images(data):
    """20 after each epoch before them."""
    results = list(epochs_of(make_setup(data, test_images_last=30, epochs=5)))

    assert [20, 20, 30, 30, 30] == [one.as_published.images for one in results]
    assert [20, 20, 30, 30, 30] == [one.clean.images for one in results]


def test_an_infinite_loss_stops_before_the_update(data):
    """The parameters are those that gave the loss."""
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
    """Train for two epochs; return what batches were asked for, as (split, order, pipeline)."""
    calls = []

    def spy(split, order, pipeline, *rest):
        calls.append(("train" if split is data.train else "test", order.tolist(), pipeline))
        return batches(split, order, pipeline, *rest)

    monkeypatch.setattr("resnet18.training.reference.batches", spy)

    def carry_out(**changes):
        calls.clear()
        run(make_setup(data, **changes))
        return list(calls)

    return carry_out


def test_each_epoch_has_its_own_order_and_its_own_crops(asked):
    """The same images, otherwise."""
    first, second = [(order, pipeline) for split, order, pipeline in asked() if split == "train"]

    assert sorted(first[0]) == sorted(second[0])
    assert first[0] not in (second[0], sorted(first[0]))
    assert not np.array_equal(first[1].tables["random_resized_crop"], second[1].tables["random_resized_crop"])


def test_each_seed_has_its_own_order_and_its_own_crops(asked):
    """In the first epoch already."""
    (_, order, pipeline), (_, other_order, other_pipeline) = asked()[0], asked(seed=1)[0]

    assert order != other_order
    assert not np.array_equal(pipeline.tables["random_resized_crop"], other_pipeline.tables["random_resized_crop"])


def test_test_images_have_their_own_list_and_their_own_crops(asked):
    """As published: the spec's test list, from a stream apart from training's. Clean: no random operation."""
    flip = [{"name": "random_horizontal_flip"}, {"name": "to_tensor"}]
    train_call, published, cleanly = asked()[:3]
    other = asked(test_augmentation=flip)[1]

    assert ("train", "test", "test") == (train_call[0], published[0], cleanly[0])
    for index in train_call[1][:1]:
        crops = [call[2].tables["random_resized_crop"] for call in (train_call, published)]
        assert not np.array_equal(crops[0][:100], crops[1][:100]), index
    assert {} == cleanly[2].tables
    assert {"random_horizontal_flip"} == set(other[2].tables)


@pytest.mark.parametrize("path", ["reference", "fast"])
def test_the_training_loss_is_torchs_with_label_smoothing(path, data):
    """Of the first step, with the initial weights; the same targets without smoothing give another one."""
    setup = make_setup(data, Execution(path=path), label_smoothing=0.1, batch_size=40, epochs=1)
    first = losses_of_steps(setup)[0]
    plain = build_model(setup.experiment).train()
    images, labels = next(feed_training(make_setup(data, batch_size=40), START))
    theirs = torch.nn.CrossEntropyLoss(label_smoothing=0.1)(plain(images), labels)

    assert first == pytest.approx(theirs.item(), rel=1e-5)
    assert first != pytest.approx(cross_entropy(plain(images), labels).item(), rel=1e-5)


def test_label_smoothing_is_trained(data):
    """Other parameters come out."""
    assert run(make_setup(data))[1] != run(make_setup(data, label_smoothing=0.1))[1]


def test_test_losses_have_no_label_smoothing(data):
    """So they can be compared between rows with and without."""
    scores = [
        evaluate(make_setup(data, label_smoothing=share), np.arange(20), make_setup(data).experiment.augmentation, 1)[0]
        for share in (0.0, 0.5)
    ]

    assert scores[0] == scores[1]


def test_training_moves_the_running_statistics(data):
    """Batch norm is in training mode while it trains, also after an evaluation."""
    setup = make_setup(data)
    seen = [int(setup.model.bn1.num_batches_tracked) for _ in epochs_of(setup)]

    assert [3, 6] == seen


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.05, "momentum": 0.9}, {"name": "adam", "lr": 0.01}])
def test_training_is_the_textbook_loop_bit_for_bit(optimizer, data):
    """Two epochs with a cut of the rate between them, against plain torch: same parameters, losses and hits."""
    schedule = {"name": "step", "every": 80, "factor": 0.1, "first_epoch": 0}
    setup = make_setup(data, optimizer=optimizer, schedule=schedule)
    model = build_model(setup.experiment)
    arguments = {key: value for key, value in optimizer.items() if key not in {"name", "lr"}}
    theirs = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer["name"]](
        model.parameters(), lr=1.0, **arguments
    )
    tallies = []
    for epoch, lr in ((1, optimizer["lr"]), (2, optimizer["lr"] * 0.1)):
        theirs.param_groups[0]["lr"] = lr
        pipeline = build_pipeline(
            setup.experiment.augmentation,
            seed=0,
            purpose="train-augmentation",
            epoch=epoch,
            images=4000,
            native=32,
            size=32,
        )
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
    assert optimizer["lr"] * 0.1 == setup.optimizer.param_groups[0]["lr"]


def test_each_epoch_and_each_seed_has_its_own_published_test_images(asked):
    """And the clean ones never change."""
    tables = {}
    for seed in (0, 1):
        calls = [pipeline for split, _, pipeline in asked(seed=seed) if split == "test"]
        for epoch, pipeline in enumerate(calls[0::2], start=1):
            tables[seed, epoch] = pipeline.tables["random_resized_crop"].tobytes()

    assert 4 == len(tables) == len(set(tables.values()))


def test_every_optimizer_runs_in_the_plain_loop(data):
    """So that a time column compares optimizers, not implementations."""
    assert make_setup(data).optimizer.defaults["foreach"] is False


def test_drawing_an_epochs_parameters_counts_as_waiting_for_data(data, monkeypatch):
    """It belongs to training's time."""
    open_scopes, seen = [], []

    class Spy(Clock):
        @contextlib.contextmanager
        def scope(self, name):
            open_scopes.append(name)
            with super().scope(name):
                yield
            open_scopes.remove(name)

    monkeypatch.setattr(
        "resnet18.training.feed.permutation",
        lambda *arguments: seen.append(list(open_scopes)) or permutation(*arguments),
    )
    next(epochs_of(make_setup(data), Spy(lambda: None)))

    assert [["train_s", "data_wait_s"]] == seen


def test_the_learning_rate_follows_the_schedule(data):
    """Counted from 0, the second epoch runs at a tenth."""
    schedule = {"name": "step", "every": 80, "factor": 0.1, "first_epoch": 0}
    results = list(epochs_of(make_setup(data, schedule=schedule)))

    assert [0.01, 0.001] == pytest.approx([one.learning_rate for one in results])


def test_channels_last_reaches_the_network(data):
    """Weights and inputs; the result differs from the contiguous one in rounding alone."""
    setup = make_setup(data, Execution(memory_format="channels_last"), width=8, epochs=1)

    assert setup.model.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert [one.loss_sum for one in run(make_setup(data, width=8, epochs=1))[0][0]] == pytest.approx(
        [one.loss_sum for one in run(setup)[0][0]], rel=1e-3
    )


CLASSES = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "asgd": torch.optim.ASGD,
}


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adadelta", "asgd"])
def test_every_optimizer_takes_torchs_default_step(name, data):
    """The spec's written-out defaults are torch's own: five steps give the same parameters."""
    spec = make_experiment(optimizer={"name": name, "lr": 0.001}).optimizer
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 50)) for _ in range(2))
    pairs = [
        (ours, build_optimizer(spec, [ours])),
        (theirs, CLASSES[name]([theirs], lr=0.001)),
    ]
    for parameter, optimizer in pairs:
        for _ in range(5):
            optimizer.zero_grad()
            parameter.sin().sum().backward()
            optimizer.step()

    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, torch.linspace(-1, 1, 50))


def test_a_conclusion_counts_every_test_image_once(data):
    """Rows of the confusion matrix are labels; the samples are spread over the subset."""
    setup = make_setup(data, test_images_last=30)
    predictions = list(epochs_of(setup))[-1].predictions
    end = conclude(setup, predictions)

    assert [3] * 10 == [sum(row) for row in end.confusion]
    assert 6 == len({index for index, _, _ in end.samples})
    assert [int(data.test.labels[index]) for index, _, _ in end.samples] == [label for _, label, _ in end.samples]


def test_scopes_do_not_overlap(data):
    """Data wait lies inside training; the scopes together are no more than the whole."""
    start = time.perf_counter()
    result = next(epochs_of(make_setup(data)))
    wall_s = time.perf_counter() - start
    seconds = dict(result.seconds)

    assert 0 < seconds["data_wait_s"] < seconds["train_s"]
    assert sum(seconds.values()) - seconds["data_wait_s"] <= wall_s


def test_half_precision_learns_from_other_bits(data):
    """bf16 by autocast: other losses, near those of fp32, and parameters that stay fp32."""
    losses = {}
    for precision in ("fp32", "bf16"):
        setup = set_up(make_experiment(), Execution(precision=precision, threads=1), data, torch.device("cpu"))
        losses[precision] = [result.train.loss_sum for result in epochs_of(setup)]
        assert {torch.float32} == {parameter.dtype for parameter in setup.model.parameters()}

    assert losses["fp32"] != losses["bf16"]
    assert losses["fp32"] == pytest.approx(losses["bf16"], rel=0.05)


@pytest.mark.parametrize("precision", ["fp16", "tf32"])
def test_a_device_without_the_precision_is_an_answer(precision):
    """Status `unsupported`, with what the device has."""
    with pytest.raises(UnsupportedError, match=rf"precision {precision} on cpu \(allowed: fp32, bf16, or fallback"):
        ready_device(Execution(precision=precision, device="cpu"))


@pytest.mark.parametrize(("fallback", "ran"), [(True, "fp32"), (False, None)])
def test_another_precision_is_taken_only_where_the_spec_says_so(fallback, ran):
    """The fingerprint has what ran."""
    execution = Execution(precision="fp16", device="cpu", fallback=fallback)
    if ran is None:
        with pytest.raises(UnsupportedError, match="fallback = true"):
            carried_out(execution, torch.device("cpu"))
    else:
        assert ran == carried_out(execution, ready_device(execution)).precision


@pytest.mark.parametrize(("capability", "allowed"), [((7, 0), False), ((8, 0), True)])
@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_a_gpu_before_ampere_lacks_two_precisions(precision, capability, allowed, monkeypatch):
    """Torch would emulate the one and ignore the other."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    context = contextlib.nullcontext() if allowed else pytest.raises(UnsupportedError, match="on cuda")

    with context:
        carried_out(Execution(precision=precision), torch.device("cuda"))


@pytest.mark.parametrize(("path", "expected"), [("reference", "contiguous"), ("fast", "channels_last")])
def test_the_memory_format_is_the_paths_own_unless_the_spec_says_one(path, expected):
    """`auto` is in no fingerprint."""
    assert expected == carried_out(Execution(path=path), torch.device("cpu")).memory_format
    assert "channels_last" == carried_out(Execution(memory_format="channels_last"), torch.device("cpu")).memory_format


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 2}, "no data-loader processes"),
        ({"compile": True}, "has its own network"),
        ({"memory_format": "contiguous"}, "reads channels_last"),
    ],
)
def test_what_the_fast_path_has_not_is_refused(changes, message):
    """With what is allowed."""
    with pytest.raises(ValueError, match=message):
        Execution(path="fast", **changes)


def test_compiling_leaves_the_network_as_it_was(data, monkeypatch):
    """Statistics are put back, gradients dropped; full and short batches are compiled, and those of the test set."""
    shapes = []

    def compiled(model, *, dynamic):
        assert not dynamic

        def call(images):
            shapes.append(len(images))
            return model(images)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    plain = set_up(make_experiment(), Execution(), data, torch.device("cpu"))
    setup = set_up(make_experiment(), Execution(compile=True), data, torch.device("cpu"))
    compile_network(setup)

    assert [16, 8, 20] == shapes
    assert all(parameter.grad is None for parameter in setup.model.parameters())
    for (name, one), other in zip(setup.model.state_dict().items(), plain.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize(("threads", "memory_format"), [(2, "contiguous"), (1, "channels_last")])
def test_under_other_numerics_the_first_logits_agree_closely_and_the_fingerprint_differs(threads, memory_format, data):
    """Equal weights and images; bits are promised inside one fingerprint alone.

    Two threads were seen to differ from one by 1.3e-4: batch norm divides by what is left of small activations.
    """
    found = []
    for execution in (Execution(threads=1), Execution(threads=threads, memory_format=memory_format)):
        device = ready_device(execution)
        setup = make_setup(data, execution, width=8, stem="cifar")
        images = torch.from_numpy(data.test.images[:32]).permute(0, 3, 1, 2).float().div(255)
        with torch.no_grad():
            found.append((setup.network(images), numerics(execution, device)))
    (first, here), (second, there) = found

    assert (first - second).norm() <= 1e-3 * first.norm()
    assert here != there
