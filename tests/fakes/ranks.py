"""Questions that several ranks answer together, and runs in which one of them fails.

Whatever starts here is found by its name in a fresh process of the local engine's server, which forks the other ranks.
"""

import itertools
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from builders import make_experiment
from fakes.children import ENTER, answer
from torch import nn

from resnet18.execution import worker, worker_peer
from resnet18.execution.job import Job
from resnet18.measure.clock import Clock
from resnet18.spec.data import path_from_text
from resnet18.spec.experiment import Execution
from resnet18.training import device as devices
from resnet18.training.checkpoint import Arrays, Moment, restore, snapshot
from resnet18.training.embedded import read_embedded
from resnet18.training.loop import evaluate, train
from resnet18.training.outcome import parameters_sha256
from resnet18.training.ranks import Ranks, environment, joined, listen, open_store, store_of_environment
from resnet18.training.results import START, DivergedError, Position
from resnet18.training.setup import Setup, set_up
from resnet18.training.synchronised import synchronised

CPU = torch.device("cpu")


def on_ranks(count: int, question: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Ask a question of so many ranks at once, `question(ranks, *arguments)`; return their answers in order."""
    return answer(_ask_all, count, question, arguments)


def _ask_all(count: int, question: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
    listener = listen()
    port = listener.getsockname()[1]
    context = multiprocessing.get_context("fork")
    links = []
    for number in range(1, count):
        ours, theirs = context.Pipe()
        peer = context.Process(target=_peer, args=(Ranks(number, count), port, question, arguments, theirs))
        peer.start()
        theirs.close()
        links.append((peer, ours))
    with joined(Ranks(0, count), CPU, open_store(listener)):
        torch.set_num_threads(1)
        answers = [question(Ranks(0, count), *arguments), *(link.recv() for _, link in links)]
    for peer, _ in links:
        peer.join()
    return answers


def _peer(ranks: Ranks, port: int, question: Callable[..., Any], arguments: tuple[Any, ...], link: Connection) -> None:
    os.environ.update(environment(ranks, port))
    with joined(ranks, CPU, store_of_environment()):
        torch.set_num_threads(1)
        link.send(question(ranks, *arguments))


def make_setup(ranks: Ranks, execution: dict[str, Any], changes: dict[str, Any]) -> Setup:
    execution = {"threads": 1, "ranks": ranks.count, **execution}
    return set_up(make_experiment(**changes), Execution(**execution), read_embedded(), CPU, ranks)


def state(setup: Setup) -> dict[str, np.ndarray[Any, Any]]:
    return {name: tensor.numpy() for name, tensor in setup.model.state_dict().items()}


def trained(ranks: Ranks, execution: dict[str, Any], changes: dict[str, Any]) -> Any:
    """The moments of a training without their times, and the parameters and buffers after it."""
    setup = make_setup(ranks, execution, changes)
    moments = [
        one if isinstance(one, Position) else (one.train, one.as_published, one.clean, one.predictions.tolist())
        for one in train(setup, Clock(lambda: None))
    ]
    return moments, state(setup)


def scored(ranks: Ranks, execution: dict[str, Any], changes: dict[str, Any], images: int) -> Any:
    """Sums and predictions of an untrained network."""
    setup = make_setup(ranks, execution, changes)
    tally, predictions = evaluate(setup, np.arange(images), setup.experiment.test_augmentation, epoch=1)
    return tally, predictions.tolist()


def words_of_divergence(ranks: Ranks, broken: int, changes: dict[str, Any]) -> str:
    """What is said where one rank's loss is no number."""
    setup = make_setup(ranks, {}, changes)
    if ranks.number == broken:
        setup.network.register_forward_hook(lambda layer, images, logits: logits * float("nan"))
    try:
        list(train(setup, Clock(lambda: None)))
    except DivergedError as error:
        return str(error)
    return "it trained"


def resumed(ranks: Ranks, steps: int, execution: dict[str, Any], changes: dict[str, Any]) -> tuple[Any, Any]:
    """Digest and last moment of a training in one piece, and of one that stopped and went on from rank 0's state."""
    whole, first, second = (make_setup(ranks, execution, changes) for _ in range(3))
    *_, last = train(whole, Clock(lambda: None))
    clock = Clock(lambda: None)
    position = next(itertools.islice(train(first, clock), steps - 1, None))
    given = _from_rank_0(ranks, *snapshot(first, position, clock))
    begin = restore(second, Clock(lambda: None), *given)
    *_, ended = train(second, Clock(lambda: None), begin)
    return tuple(
        (parameters_sha256(setup.model), end.train, end.clean, end.predictions.tolist())
        for setup, end in ((whole, last), (second, ended))
    )


def _from_rank_0(ranks: Ranks, moment: Moment, arrays: Arrays) -> tuple[Moment, Arrays]:
    given = {}
    for name, array in arrays.items():
        tensor = torch.from_numpy(np.array(array))
        torch.distributed.broadcast(tensor, 0)
        given[name] = tensor.numpy()
    return moment, given


def normalised(ranks: Ranks, shards: list[np.ndarray[Any, Any]], weights: list[np.ndarray[Any, Any]]) -> Any:
    """Output, gradients, running statistics and evaluation of a synchronised layer, in float64."""
    model = nn.Sequential(nn.BatchNorm2d(shards[0].shape[1]).double())
    layer = synchronised(model, CPU)[0]
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 2.0, len(layer.weight)))
        layer.bias.copy_(torch.linspace(-1.0, 1.0, len(layer.bias)))
    x = torch.from_numpy(shards[ranks.number]).requires_grad_()
    y = layer(x)
    (y * torch.from_numpy(weights[ranks.number])).sum().backward()
    found = (y, x.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var, layer.eval()(x))
    return [one.detach().numpy() for one in found]


def _with_peers_that(do: Callable[[], object], kind: str, payload: str, *rest: Any) -> None:
    """Start a child whose ranks note that they are there, and of which the last does something after two steps."""
    if kind == "job":
        job = Job.model_validate_json(payload)
        folder, last = path_from_text(job.results), job.spec.execution.ranks - 1
        worker_peer.train = lambda setup, *begin: _noted(folder, setup, train(setup, *begin), do, last)
    ENTER(kind, payload, *rest)


def _noted(folder: Path, setup: Setup, moments: Iterator[Any], do: Callable[[], object], last: int) -> Iterator[Any]:
    limit = str(resource.getrlimit(resource.RLIMIT_AS)[0])
    (folder / f"{os.getpid()}.peer").write_text(limit, encoding="ascii")
    for number, moment in enumerate(moments):
        if number == 2 and setup.ranks.number == last:
            do()
        yield moment


def _raise(error: Exception) -> None:
    raise error


def with_peers(*arguments: Any) -> None:
    """Start a child whose peers can be found."""
    _with_peers_that(lambda: None, *arguments)


def with_a_peer_that_is_killed(*arguments: Any) -> None:
    """The last rank dies by a signal."""
    _with_peers_that(lambda: os.kill(os.getpid(), signal.SIGKILL), *arguments)


def with_a_peer_without_memory(*arguments: Any) -> None:
    """The last rank cannot allocate."""
    _with_peers_that(lambda: _raise(MemoryError("std::bad_alloc")), *arguments)


def with_a_peer_without_device(*arguments: Any) -> None:
    """The last rank finds no device."""

    def missing(execution: Execution, ranks: Ranks) -> torch.device:
        raise devices.UnsupportedError(f"no device for {ranks.number}")

    worker_peer.ready_device = missing
    ENTER(*arguments)


def with_a_mistake_in_rank_0(*arguments: Any) -> None:
    """Rank 0 fails by itself after two steps."""
    _with_rank_0_that(lambda: _raise(ValueError("a mistake")), *arguments)


def with_rank_0_killed(*arguments: Any) -> None:
    """Rank 0 dies by a signal, while the last rank hangs and notices nothing."""
    _with_peers_that(lambda: (os.kill(os.getppid(), signal.SIGKILL), signal.pause()), *arguments)


def with_a_stop(*arguments: Any) -> None:
    """All ranks are asked to stop after two steps of rank 0."""
    _with_rank_0_that(lambda: os.killpg(os.getpgrp(), signal.SIGTERM), *arguments)


def _with_rank_0_that(do: Callable[[], None], *arguments: Any) -> None:
    def broken(setup: Setup, clock: Clock, begin: Position = START) -> Iterator[Any]:
        for number, moment in enumerate(train(setup, clock, begin)):
            if number == 2:
                do()
            yield moment

    worker.train = broken
    with_peers(*arguments)
