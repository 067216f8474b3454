"""The memory forecast: the suite's own training step and evaluation on fake tensors, which have sizes and no data.

Every tensor that a torch operation makes is followed from its birth to its death, on the CPU, in about a second,
whatever the batch would take. What is counted is what torch would hold on a device at the worst moment. What a
library allocates inside an operation and gives back before it ends (on a CPU that depends on the processor's
instructions), the driver's context and the allocator's waste are not seen: a lower bound.
"""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.plan import Run
from resnet18.training.device import autocast, memory_format_of
from resnet18.training.model import ResNet18
from resnet18.training.setup import EVALUATION_BATCH, MEMORY_FORMATS, build_optimizer

GRANULE = 512
"""Bytes to whose multiples torch's CUDA allocator rounds each tensor (kMinBlockSize of CUDACachingAllocator)."""
NETWORK = ("model", "stem", "width", "image_size", "optimizer", "label_smoothing")
STEPS = 2
"""The optimizer's state is made in the first step; the second has everything that later steps have."""
CPU = torch.device("cpu")
"""Where the fake tensors are: torch cannot differentiate fake tensors of a device that the machine lacks."""
PARTS = ("weights", "gradients", "state", "activations", "input", "transient")
"""What is live at the peak: weights with running statistics, the optimizer's state, what autograd has saved and not yet
used, the batch; transient are maps and their gradients in passing, and what the optimizer computes with."""
ADD, ADD_IN_PLACE = torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor
READ_SCALAR = torch.ops.aten._local_scalar_dense.default  # noqa: SLF001 - the operation behind Tensor.item()


@dataclass(frozen=True)
class Forecast:
    """The peak memory of a run in bytes."""

    phase: str  # when the peak is: `loading`, `forward`, `backward`, `optimizer step` or `evaluation`
    parts: dict[str, int]  # by what is live at that moment
    training_bytes: int  # the peak of the training steps alone, without the evaluation
    saved_bytes: int  # all that autograd has saved at the end of a forward pass, the batch included

    @property
    def peak_bytes(self) -> int:
        """The sum of the parts."""
        return sum(self.parts.values())


@dataclass
class Block:
    """One storage: its rounded bytes, and which part of the forecast it is. The part is known only later."""

    size: int
    part: str = "transient"


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch ships no types for it
    """Follows the storages that operations make, and keeps those that are live when their sum is largest."""

    def __init__(self, granule: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.granule = granule
        self.phase = "preparation"
        self.live: dict[int, Block] = {}
        self.total = self.peak = 0
        self.peak_phase = self.phase
        self.at_peak: tuple[Block, ...] = ()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - as torch has them
        """Run an operation and enter what it made.

        Fake tensors have no values: every value that is read is 1. ASGD reads its rates so, the loop losses.
        """
        if func is READ_SCALAR:
            return 1.0
        if func is ADD and self.phase == "backward":
            func = ADD_IN_PLACE  # autograd adds up the gradients of a map in place, but not those of a tensor subclass
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._enter(tensor.untyped_storage())
        return made

    def _enter(self, storage: torch.UntypedStorage) -> None:
        if id(storage) in self.live:
            return
        block = Block(-(-storage.nbytes() // self.granule) * self.granule)
        self.live[id(storage)] = block
        weakref.finalize(storage, self._forget, id(storage)).atexit = False
        self.total += block.size
        if self.total > self.peak:
            self.peak, self.peak_phase, self.at_peak = self.total, self.phase, tuple(self.live.values())

    def _forget(self, key: int) -> None:
        self.total -= self.live.pop(key).size

    def mark(self, part: str, tensors: Iterable[Tensor]) -> None:
        """Say which part of the forecast tensors are. What has a part keeps it: autograd saves weights too."""
        for tensor in tensors:
            block = self.live.get(id(tensor.untyped_storage()))
            if block is not None and block.part == "transient":
                block.part = part


def forecast(experiment: Experiment, execution: Execution, granule: int = GRANULE) -> Forecast:
    """Return the peak memory of a run in bytes, and what it is made of, whatever its device.

    Each tensor is rounded to multiples of `granule` bytes; 1 gives the tensors' own sizes.
    """
    with FakeTensorMode(), Ledger(granule) as ledger:
        model = ResNet18(experiment.stem, experiment.width)
        for parameter in model.parameters():
            if parameter.dim() == 4:  # what Module.to does; on fake tensors it fails
                parameter.data = parameter.data.to(memory_format=MEMORY_FORMATS[memory_format_of(execution)])
        ledger.mark("weights", (*model.parameters(), *model.buffers()))
        optimizer = build_optimizer(experiment.optimizer, model.parameters())
        saved = _train(model, optimizer, experiment, execution, ledger)
        training_bytes, ledger.phase = ledger.peak, "evaluation"
        model.eval()
        with torch.no_grad(), autocast(execution, CPU):  # beside the last gradients, which the next step drops
            images, labels = _batch(_batches(experiment)[1], experiment, execution, ledger)
            cross_entropy(model(images), labels)
    parts = {part: sum(block.size for block in ledger.at_peak if block.part == part) for part in PARTS}
    return Forecast(ledger.peak_phase, parts, training_bytes, saved)


def forecasts(runs: Iterable[Run]) -> dict[str, Forecast]:
    """Return the forecast of each `benchmark/case` that runs show."""
    known: dict[tuple[object, ...], Forecast] = {}
    found: dict[str, Forecast] = {}
    for run in runs:
        experiment, execution = run.experiment, run.execution
        key = (  # all that memory depends on: runs that agree in it share a forecast
            *(getattr(experiment, name) for name in NETWORK),
            *_batches(experiment),
            *(execution.precision, execution.memory_format),
        )
        if key not in known:
            known[key] = forecast(experiment, execution)
        found |= dict.fromkeys(run.labels, known[key])
    return found


def _train(
    model: nn.Module, optimizer: torch.optim.Optimizer, experiment: Experiment, execution: Execution, ledger: Ledger
) -> int:
    """Make the loop's steps, in its order and with its lifetimes; return the bytes that autograd saves of a batch."""

    def mark_saved(tensor: Tensor) -> Tensor:
        ledger.mark("activations", [tensor])
        return tensor

    saved = 0
    for _ in range(STEPS):
        ledger.phase = "loading"
        images, labels = _batch(_batches(experiment)[0], experiment, execution, ledger)
        ledger.phase = "forward"
        optimizer.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(mark_saved, lambda tensor: tensor), autocast(execution, CPU):
            logits = model(images)
            loss = cross_entropy(logits, labels, label_smoothing=experiment.label_smoothing)
        saved = sum(block.size for block in ledger.live.values() if block.part in {"activations", "input"})
        (logits.argmax(1) == labels).sum().item()
        ledger.phase = "backward"
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no types for it
        ledger.mark("gradients", (weight.grad for weight in model.parameters() if weight.grad is not None))
        ledger.phase = "optimizer step"
        optimizer.step()
        ledger.mark("state", (kept for kept in tree_leaves(dict(optimizer.state)) if isinstance(kept, Tensor)))
    return saved


def _batches(experiment: Experiment) -> tuple[int, int]:
    """Return the images of the largest batch of training, which no subset is smaller than, and of evaluation."""
    size, subset = experiment.batch_size, experiment.train_images
    counts = (experiment.test_images_epoch, experiment.test_images_last)
    evaluated = (EVALUATION_BATCH if count == "all" else min(EVALUATION_BATCH, count) for count in counts)
    return size if subset == "all" else min(size, subset), max(evaluated)


def _batch(count: int, experiment: Experiment, execution: Execution, ledger: Ledger) -> tuple[Tensor, Tensor]:
    shape = (count, 3, experiment.image_size, experiment.image_size)
    images = torch.empty(shape, memory_format=MEMORY_FORMATS[memory_format_of(execution)])
    labels = torch.empty(count, dtype=torch.int64)
    ledger.mark("input", (images, labels))
    return images, labels
