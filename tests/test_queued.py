"""The CUDA graph of a step, with a graph that repeats the step itself: when it captures, and what it is given."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from builders import make_experiment

from resnet18.data.dataset import read_embedded
from resnet18.measure import Clock
from resnet18.spec.experiment import Execution
from resnet18.training import loop
from resnet18.training.loop import WARM_UP, GraphedStep
from resnet18.training.results import START, DivergedError, Position, parameters_sha256
from resnet18.training.setup import Setup, build_optimizer, set_up

pytestmark = pytest.mark.usefixtures("one_thread")
CUT = {"name": "step", "every": 80, "factor": 0.1, "first_epoch": 0}


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

    def capture(self, images, labels):
        happened.append("capture")
        step, recorded = self.step, []
        self.step = lambda *buffers: recorded.append(buffers) or torch.zeros(2)
        GENUINE(self, images, labels)
        self.step = step

        def replay():
            happened.append("replay")
            self.figures.copy_(step(*recorded[0]))

        self.graph.replay = replay

    monkeypatch.setattr(GraphedStep, "_capture", capture)
    return happened


GENUINE = GraphedStep._capture


def make_setup(**changes):
    values = {"epochs": 2, "schedule": CUT, "train_images": 120, "optimizer": {"name": "adam", "lr": 0.01}, **changes}
    return set_up(make_experiment(**values), Execution(memory_format="channels_last"), read_embedded(), CPU)


CPU = torch.device("cpu")


def train_queued(setup, graphed, monkeypatch):
    """Two epochs of queued steps at the schedule's rates; return all positions."""
    monkeypatch.setattr(Setup, "is_graphed", property(lambda _: graphed))
    steps, positions = loop.QueuedSteps(setup), []
    for epoch in (1, 2):
        positions += list(steps.epoch(Clock(lambda: None), Position(epoch)))
    return positions


def test_graphed_steps_give_the_bits_of_eager_ones_through_a_cut_of_the_rate_and_short_batches(cuda, monkeypatch):
    """Two epochs of seven full batches and one of 8 images: three steps aside, one capture for each rate."""
    eager, graphed = make_setup(), make_setup()
    expected = train_queued(eager, False, monkeypatch)
    actual = train_queued(graphed, True, monkeypatch)

    assert expected[-1].tally == actual[-1].tally
    assert parameters_sha256(eager.model) == parameters_sha256(graphed.model)
    assert [*["aside"] * WARM_UP, "capture", *["replay"] * 4, "capture", *["replay"] * 7] == cuda


def test_a_rate_of_every_step_is_captured_once(cuda, monkeypatch):
    """As a tensor, which the graph reads: the bits of eager steps with such a tensor, eleven replays of one capture."""
    schedule = {"name": "cosine", "warmup_epochs": 0.5}
    eager, graphed = make_setup(schedule=schedule), make_setup(schedule=schedule)
    for setup, is_graphed in ((eager, False), (graphed, True)):
        setup.optimizer.param_groups[0]["lr"] = torch.tensor(0.01)
        train_queued(setup, is_graphed, monkeypatch)

    assert parameters_sha256(eager.model) == parameters_sha256(graphed.model)
    assert [*["aside"] * WARM_UP, "capture", *["replay"] * 11] == cuda


def test_figures_of_a_step_are_not_overwritten_by_the_next(cuda, monkeypatch):
    setup = make_setup()
    step = GraphedStep(loop.QueuedSteps(setup).eager_step, setup)
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


def test_a_loss_that_is_no_number_is_named_with_its_step(monkeypatch):
    setup = make_setup()
    steps = loop.QueuedSteps(setup)
    figures = iter([[2.0, 3.0], [float("nan"), 0.0], *[[2.0, 3.0]] * 6])
    steps.step = lambda *_: torch.tensor(next(figures))

    with pytest.raises(DivergedError, match=r"loss nan in epoch 1, step 2 \(the loss before: 2.0\)"):
        list(steps.epoch(Clock(lambda: None), START))
