"""Several ranks train one network: the mathematics of one process, equal bits, and no process left behind."""

import copy
import os
import resource
import select

import numpy as np
import pytest
import torch
from builders import TOML, make_benchmark, make_experiment
from fakes import ranks as fakes
from fakes.ranks import on_ranks
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.nn.functional import cross_entropy

from resnet18.execution import process
from resnet18.execution.job import Job, Place
from resnet18.execution.worker_ranks import call_when_one_fails
from resnet18.execution.worker_record import forget_costs
from resnet18.measure.children import running_cpu_s
from resnet18.records.record import Identity, RecordSpec
from resnet18.records.store import Store
from resnet18.spec.data import parse_data, path_to_text
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import Execution
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.training.dataset import subset
from resnet18.training.device import UnsupportedError, ready_device
from resnet18.training.embedded import read_embedded
from resnet18.training.feed import feed_training
from resnet18.training.loop import evaluate
from resnet18.training.ranks import ALONE, Ranks, part, ranks_numerics, shard
from resnet18.training.results import START, Position

AUGMENTED = [{"name": "random_resized_crop"}, {"name": "random_horizontal_flip"}, {"name": "to_tensor"}]
# Maps of 4x4 at the end, and a small rate: at ten times that, batch norm makes a hundredth of a rounding in five steps,
# in one process too where it runs in another memory format.
SMALL = {
    "stem": "cifar",
    "augmentation": AUGMENTED,
    "optimizer": {"name": "sgd", "lr": 0.0001, "momentum": 0.9},
    "train_images": 44,
    "batch_size": 8,
}


pytestmark = pytest.mark.usefixtures("one_thread")  # equal bits need an equal number of threads


# What is refused, and who takes what


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ranks": 2, "compile": True}, "allowed: false, or ranks = 1"),
        ({"ranks": 2, "device": "cuda:1"}, 'allowed: "auto", "cpu", "cuda"'),
        ({"ranks": 2, "device": "mps"}, 'allowed: "auto", "cpu", "cuda"'),
    ],
)
def test_an_execution_that_ranks_cannot_carry_out_is_refused(values, words):
    """With what is allowed."""
    with pytest.raises(ValidationError, match=words):
        Execution(**values)


def planned(folder, *overrides):
    return plan([make_benchmark(folder, TOML)], Request(overrides=overrides), [0], {"cpu": 1})


def test_statistics_over_ranks_are_refused_on_the_fast_path(tmp_path):
    """Its kernels know one batch; with one rank there is nothing to refuse."""
    options = ('batch_norm="synchronised"', 'path="fast"')
    with pytest.raises(SpecError, match=r'batch_norm: the fast path has no batch norm over 2 ranks.*"local"') as caught:
        planned(tmp_path, *options, "ranks=2")

    assert 'path = "reference"' in str(caught.value)
    assert 2 == len(planned(tmp_path, *options).runs)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("train_images=34", "ranks=3"),
            "34 training images in batches of 8 end with a batch of 2, which has no image",
        ),
        (("train_images=36", "ranks=4"), "end with a batch of 4, and a rank's part of 1 .of 4 ranks., for which"),
        (("train_images=40", "ranks=9"), "end with a batch of 8, which has no image for each of 9 ranks"),
    ],
)
def test_a_last_batch_too_small_for_its_ranks_is_refused(options, words, tmp_path):
    """Before anything is run, with what to do."""
    with pytest.raises(SpecError, match=words) as caught:
        planned(tmp_path, *options)

    assert "fewer ranks" in str(caught.value)


@pytest.mark.parametrize("option", ['batch_norm="synchronised"', "image_size=64"])
def test_one_image_a_rank_is_fine_where_batch_norm_has_more_values(option, tmp_path):
    """Those of the other ranks, or of a larger map."""
    assert 2 == len(planned(tmp_path, "train_images=36", "ranks=4", option).runs)


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 8))
def test_the_ranks_parts_of_each_batch_are_the_batch_in_order(images, batch_size, count):
    """Contiguous, of sizes that differ by one at most, also where the last batch is short."""
    order = np.random.default_rng(images).permutation(images)
    batches = [order[start : start + batch_size] for start in range(0, images, batch_size)]
    if len(batches[-1]) < count:  # refused before
        return
    cut = []
    for number in range(count):
        own, size = shard(order, batch_size, Ranks(number, count))
        cut.append([own[start : start + size] for start in range(0, len(own), size)])

    assert [batch.tolist() for batch in batches] == [np.concatenate(parts).tolist() for parts in zip(*cut, strict=True)]
    assert all(max(map(len, parts)) - min(map(len, parts)) <= 1 for parts in zip(*cut, strict=True))


@pytest.mark.parametrize(("count", "each"), [(1, 8), (3, 2), (8, 1), (9, 1)])
def test_ranks_share_the_processors_out(count, each, monkeypatch):
    """At least one thread each; a number that was asked for is each rank's."""
    monkeypatch.setattr("resnet18.training.device.usable_cpus", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    seen = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    ready_device(Execution(device="cpu", ranks=count))
    ready_device(Execution(device="cpu", ranks=count, threads=5))

    assert [each, 5] == seen


def test_fewer_cuda_devices_than_ranks_are_unsupported(monkeypatch):
    """Each rank has one of its own."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    with pytest.raises(UnsupportedError, match="4 ranks need 4 CUDA devices, this machine has 1"):
        ready_device(Execution(device="cuda", ranks=4))


def test_each_rank_has_the_cuda_device_of_its_number(monkeypatch):
    """And libraries that are not told take it too."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr("resnet18.training.device._precisions", lambda device: ("fp32",))
    found = ready_device(Execution(device="cuda", ranks=4), Ranks(3, 4))

    assert [torch.device("cuda", 3)] * 2 == [found, *chosen]


def test_only_several_ranks_add_to_the_fingerprint():
    """Records of one rank keep theirs."""
    cpu = torch.device("cpu")

    assert {} == ranks_numerics(Execution(), cpu)
    assert {"ranks": 3, "ranks_backend": "gloo"} == ranks_numerics(Execution(ranks=3), cpu)


# The mathematics


@pytest.fixture(scope="module")
def reference_norm():
    """Output, gradients, running statistics and evaluation of torch's layer on the whole batch; the ranks' answers."""
    random = np.random.default_rng(0)
    x, weights = random.normal(3.0, 2.0, (2, 5, 4, 3, 3))
    whole = fakes_layer(torch.from_numpy(x).requires_grad_(), torch.from_numpy(weights))
    cut = [slice(0, 3), slice(3, 5)]
    answers = on_ranks(2, fakes.normalised, [x[one] for one in cut], [weights[one] for one in cut])
    return whole, answers


def fakes_layer(x, weights):
    layer = nn.BatchNorm2d(x.shape[1]).double()
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 2.0, len(layer.weight)))
        layer.bias.copy_(torch.linspace(-1.0, 1.0, len(layer.bias)))
    y = layer(x)
    (y * weights).sum().backward()
    found = (y, x.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var, layer.eval()(x))
    return [one.detach().numpy() for one in found]


@pytest.mark.parametrize(("what", "at"), [("output", 0), ("gradient of the images", 1), ("evaluation", 6)])
def test_synchronised_batch_norm_treats_its_part_as_one_process_treats_the_batch(what, at, reference_norm):
    """Parts of 3 and 2 images, in float64."""
    whole, answers = reference_norm

    np.testing.assert_allclose(np.concatenate([one[at] for one in answers]), whole[at], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("what", "at"), [("weight", 2), ("bias", 3)])
def test_gradients_of_synchronised_batch_norm_add_up_over_ranks(what, at, reference_norm):
    """DistributedDataParallel adds them."""
    whole, answers = reference_norm

    np.testing.assert_allclose(sum(one[at] for one in answers), whole[at], rtol=1e-12)


@pytest.mark.parametrize(("what", "at"), [("mean", 4), ("variance", 5)])
def test_running_statistics_of_synchronised_batch_norm_are_the_batchs_on_all_ranks(what, at, reference_norm):
    """The variance unbiased, as torch has it."""
    whole, answers = reference_norm

    for one in answers:
        np.testing.assert_allclose(one[at], whole[at], rtol=1e-12)


def losses(moments):
    return [one.last_loss for one in moments if isinstance(one, Position)]


def differing(one, other, tolerance):
    """The names of the tensors that are not the same within a tolerance."""
    return [name for name in one if not np.allclose(one[name], other[name], rtol=tolerance, atol=tolerance)]


@pytest.mark.parametrize("count", [2, 3])
def test_synchronised_ranks_train_as_one_process_does(count):
    """Losses of all steps, parameters and running statistics up to rounding: 44 images, batches of 8, uneven parts."""
    changes = {**SMALL, "batch_norm": "synchronised"}
    alone, end = fakes.trained(ALONE, {}, changes)
    together, ended = on_ranks(count, fakes.trained, {}, changes)[0]

    assert losses(alone) == pytest.approx(losses(together), rel=1e-5)
    assert [] == differing(end, ended, 1e-5)


def test_synchronised_ranks_do_not_train_as_local_ones_do():
    """So the test above could fail."""
    alone, _ = fakes.trained(ALONE, {}, SMALL)
    together, _ = on_ranks(2, fakes.trained, {}, SMALL)[0]

    assert losses(alone) != pytest.approx(losses(together), rel=1e-3)


def textbook(count, execution, changes):
    """Losses, hits and the network of a training in which each part of a batch has statistics of its own.

    One process, plain torch: gradients of the mean over the batch; running statistics follow the first part alone.
    """
    setup = fakes.make_setup(ALONE, execution, changes)
    model = setup.model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0001, momentum=0.9)
    found, hits = [], 0
    for images, labels in feed_training(setup, START):
        optimizer.zero_grad()
        buffers = copy.deepcopy(dict(model.named_buffers()))
        total, followed = torch.zeros(()), {}
        for number in range(count):
            own = part(len(labels), Ranks(number, count))
            for name, buffer in model.named_buffers():
                buffer.data = buffers[name].clone()
            logits = model.train()(images[own])
            followed = followed or copy.deepcopy(dict(model.named_buffers()))
            total = total + cross_entropy(logits, labels[own], reduction="sum")
            hits += int((logits.argmax(1) == labels[own]).sum())
        for name, buffer in model.named_buffers():
            buffer.data = followed[name]
        (total / len(labels)).backward()
        optimizer.step()
        found.append(total.item() / len(labels))
    return found, hits, {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="module")
def local_ranks():
    """What three ranks found in local mode, and the textbook."""
    torch.set_num_threads(1)
    return on_ranks(3, fakes.trained, {}, SMALL), textbook(3, {}, SMALL)


def test_local_ranks_train_as_the_textbook_does(local_ranks):
    """Parts of 3, 3 and 2 images, of the last batch 2, 1 and 1: losses and parameters up to rounding."""
    answers, (found, _, end) = local_ranks

    assert found == pytest.approx(losses(answers[0][0]), rel=1e-5)
    assert [] == differing(end, answers[0][1], 1e-5)


def test_all_ranks_have_the_same_parameters_and_figures(local_ranks):
    """To the bit, after every step."""
    answers, _ = local_ranks
    parameters = [{name: one[name].tobytes() for name in one if "running" not in name} for _, one in answers]

    assert answers[0][0] == answers[1][0] == answers[2][0]
    assert parameters[0] == parameters[1] == parameters[2]


def test_hits_and_images_of_training_are_counted_over_all_ranks(local_ranks):
    """Exactly, with parts of different sizes."""
    answers, (_, hits, _) = local_ranks
    (tally, *_) = answers[0][0][-1]

    assert (hits, 44) == (tally.correct, tally.images)


@pytest.mark.parametrize("width", [2, 16])
def test_the_fast_path_trains_on_ranks_as_its_own_textbook_does(width):
    """Width 16 runs the compiled kernels, where there are some. Its agreement with the reference is tested alone.

    Of two ranks even the rounding is the textbook's: neither order nor scale of a sum of two is another.
    """
    changes = {**SMALL, "width": width}
    found, _, end = textbook(2, {"path": "fast"}, changes)
    moments, ended = on_ranks(2, fakes.trained, {"path": "fast"}, changes)[0]

    assert found == pytest.approx(losses(moments), rel=1e-5)
    assert [] == differing(end, ended, 1e-5)


@pytest.mark.parametrize("path", ["reference", "fast"])
@pytest.mark.parametrize("count", [2, 4])
def test_evaluation_gives_the_bits_of_one_process(count, path):
    """Loss, hits and predictions of 250 images, on each rank; of four ranks one has no batch."""
    changes = {"test_augmentation": AUGMENTED, "width": 4}
    alone = fakes.scored(ALONE, {"path": path}, changes, 250)

    assert [alone] * count == on_ranks(count, fakes.scored, {"path": path}, changes, 250)


@pytest.mark.parametrize("execution", [{}, {"path": "fast"}])
def test_all_ranks_evaluate_with_the_running_statistics_of_rank_0(execution):
    """After an epoch in which each had its own: the scores are those of one process with rank 0's network."""
    moments, end = on_ranks(2, fakes.trained, execution, {**SMALL, "test_images_last": 150})[0]
    alone = fakes.make_setup(ALONE, execution, SMALL)
    alone.model.load_state_dict({name: torch.from_numpy(array) for name, array in end.items()})
    tally, predictions = evaluate(
        alone, subset(read_embedded(), "test", 150), alone.experiment.test_augmentation, epoch=1
    )

    assert (tally, predictions.tolist()) == moments[-1][2:]


def test_a_loss_that_is_no_number_ends_all_ranks_alike():
    """Also those whose own part is healthy."""
    said = on_ranks(3, fakes.words_of_divergence, 1, SMALL)

    assert ["loss nan in epoch 1, step 1 (the loss before: None)"] * 3 == said


@pytest.mark.parametrize("batch_norm", ["local", "synchronised"])
def test_three_ranks_that_go_on_give_the_bits_of_a_training_in_one_piece(batch_norm):
    """Three add up in an order that the place in torch's buckets decides, which must not depend on the step."""
    changes = {**SMALL, "width": 16, "epochs": 2, "batch_norm": batch_norm, "train_images": 24, "image_size": 16}
    whole, went_on = on_ranks(3, fakes.resumed, 1, {}, changes)[0]

    assert whole == went_on


# Whole runs


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Carry out a job of two ranks in a child process; return its record."""

    def carry_out(*, start=fakes.with_peers, attempt=1, execution=None, results="results", **changes):
        folder = tmp_path / results
        store = Store(folder)
        store.make_writable()
        job = Job(
            attempt=attempt,
            scale="smoke",
            spec=RecordSpec(
                experiment=make_experiment(**{**SMALL, "epochs": 2, **changes}),
                execution=Execution(**{"device": "cpu", "threads": 1, "ranks": 2, **(execution or {})}),
                overrides=(),
                assumptions=(),
            ),
            identity=Identity(code_hash="c" * 64, commit=None, dirty=None, data_sha256=read_embedded().sha256),
            place=Place.of(parse_data("fashion-mnist-mini")),
            results=path_to_text(folder),
        )
        monkeypatch.setattr(process, "_enter", start)
        process.run(job, tmp_path / f"{results}.log", lambda message: None)
        found = [record for record in store.read().records if record.attempt == attempt]
        return found[0] if found else None

    return carry_out


def has_ended(number):
    """Whether a process has, within seconds. One whose parent is gone may stay listed until somebody waits for it."""
    try:
        descriptor = os.pidfd_open(number)
    except ProcessLookupError:
        return True
    with open(descriptor, "rb") as handle:  # noqa: PTH123 - a descriptor
        return bool(select.select([handle], [], [], 10)[0])


@pytest.fixture
def left(tmp_path):
    """Return the peers that have been, and those of them that are still there."""

    def find(results="results"):
        been = [int(path.stem) for path in (tmp_path / results).glob("*.peer")]
        return len(been), [number for number in been if not has_ended(number)]

    return find


def test_two_runs_of_two_ranks_give_the_same_result_hash(run, left):
    """And leave nobody behind."""
    first, second = run(results="first"), run(results="second")

    assert ("ok", first.result_hash) == (second.status, second.result_hash)
    assert [(1, [])] * 2 == [left("first"), left("second")]


def test_a_record_says_how_many_ranks_there_were(run):
    """In the fingerprint; the accuracy is that of all images."""
    record = run()

    assert (2, "gloo") == tuple(record.fingerprint.numerics[key] for key in ("ranks", "ranks_backend"))
    assert [44, 44] == [epoch.train.images for epoch in record.epochs]


@pytest.mark.parametrize("execution", [{"ranks": 2}, {"ranks": 3, "path": "fast"}])
def test_a_run_that_was_stopped_goes_on_with_the_bits_of_one_that_was_not(execution, run, left):
    """Its peers are gone when it stops, and read the same checkpoint when it goes on."""
    whole = run(results="whole", execution=execution)
    stopped = run(start=fakes.with_a_stop, execution=execution)
    gone = left()
    again = run(attempt=2, execution=execution)

    assert ("interrupted", execution["ranks"] - 1, []) == (stopped.status, *gone)
    assert "stopped by the user in epoch 1 after step 3" in stopped.failure.message
    assert ("ok", True, whole.result_hash) == (again.status, "resumed" in again.flags, again.result_hash)


@pytest.mark.parametrize("count", [2, 3])
def test_a_killed_rank_is_named_and_ends_the_run(count, run, left):
    """Of three ranks the one between notices too, and is not taken for the cause."""
    record = run(start=fakes.with_a_peer_that_is_killed, execution={"ranks": count})

    assert ("crashed", f"RankError: rank {count - 1} was killed by SIGKILL") == (record.status, record.failure.message)
    assert (count - 1, []) == left()


@pytest.mark.parametrize("count", [2, 3])
def test_the_status_of_a_rank_that_fails_is_the_runs(count, run, left):
    """With its words, whoever else lost the connection to it."""
    record = run(start=fakes.with_a_peer_without_memory, execution={"ranks": count})

    assert "oom_host" == record.status
    assert f"RankError: rank {count - 1}: MemoryError: std::bad_alloc" == record.failure.message
    assert (count - 1, []) == left()


def test_a_rank_without_a_device_ends_the_run_before_it_joins(run):
    """Rank 0 does not wait for it."""
    record = run(start=fakes.with_a_peer_without_device)

    assert ("unsupported", "RankError: rank 1: UnsupportedError: no device for 1") == (
        record.status,
        record.failure.message,
    )


def test_an_error_of_rank_0_is_its_own(run, left):
    """What the others say when they lose it is no cause."""
    record = run(start=fakes.with_a_mistake_in_rank_0)

    assert ("crashed", "ValueError: a mistake") == (record.status, record.failure.message)
    assert (1, []) == left()


def test_peers_die_with_rank_0(run, left):
    """However it died: the kernel sees to it."""
    assert run(start=fakes.with_rank_0_killed) is None
    assert (1, []) == left()


def test_diverging_is_said_by_rank_0(run):
    """It happens to all ranks alike."""
    record = run(optimizer={"name": "sgd", "lr": 100.0}, epochs=20)

    assert "diverged" == record.status
    assert record.failure.message.startswith("DivergedError: ")


@pytest.mark.parametrize(("cap", "is_limited"), [("64GiB", True), (None, False)])
def test_a_cap_holds_in_every_rank(cap, is_limited, run, tmp_path):
    """Each has its own, of its own address space."""
    run(execution={"memory_cap": cap}, epochs=1)
    (limit,) = [int(path.read_text(encoding="ascii")) for path in (tmp_path / "results").glob("*.peer")]

    assert is_limited == (limit != resource.getrlimit(resource.RLIMIT_AS)[0])


# What it costs


def test_work_of_running_children_is_counted_with_that_of_their_own(tmp_path):
    """In ticks of a hundredth of a second, after a name that holds anything; one that has ended adds nothing."""
    (tmp_path / "proc" / "7").mkdir(parents=True)
    (tmp_path / "proc" / "7" / "stat").write_text(
        "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 150 50 20 30 15 0 1", encoding="ascii"
    )

    assert 2.5 == running_cpu_s((7, 8), tmp_path)


def test_the_energy_of_one_device_is_not_that_of_all():
    """Of one rank it is."""
    alone, reasons = {"energy_j": 5.0, "flags": []}, {}
    forget_costs(alone, reasons, ranks=1)
    together = dict(alone)
    forget_costs(together, reasons, ranks=2)

    assert (5.0, None) == (alone["energy_j"], together["energy_j"])
    assert {"energy_j": "one device of 2 was read: that of rank 0"} == reasons


def test_the_end_of_a_rank_is_noticed_where_the_backend_does_not_notice_it():
    """Once one has failed, not while all end well."""
    context = process._context()
    calls = []
    for codes in ((0, 0), (0, 3)):
        processes = [context.Process(target=os._exit, args=(code,)) for code in codes]
        for one in processes:
            one.start()
        call_when_one_fails(lambda codes=codes: calls.append(codes), processes)
        for one in processes:
            one.join()

    assert [(0, 3)] == calls
