"""The network of the fast path on a CPU: ResNet-18 with the reference network's names, weights and mathematics.

Batch norm comes with what follows it: the addition of a shortcut, ReLU, and the max pool of the ImageNet stem. Its
native form reads and writes each activation as seldom as it can, and keeps for backward the convolution's output and,
after an addition, its own; the mask of a plain ReLU is computed again. torch's operations are the other form.
"""

import struct
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm, linear, max_pool2d, relu

from resnet18.spec.experiment import Experiment
from resnet18.training.device import HALVES
from resnet18.training.fast.convolution import Convolution
from resnet18.training.fast.trimmed import Geometry
from resnet18.training.model import CLASSES, build_model
from resnet18.training.native import Library, network_kernels

STAGES = 4
MOMENTUM, EPS = 0.1, 1e-5  # torch's defaults
FORWARD, BACKWARD = "9P7l2f", "8P4l"
"""`Forward` and `Backward` of norm.h: so many pointers and whole numbers; and momentum and eps."""


class Norm(nn.BatchNorm2d):
    """Batch norm of [n, channels, s, s], and what follows it."""

    num_batches_tracked: Tensor

    def forward(  # type: ignore[override]  # takes what is added, and what follows
        self, x: Tensor, other: Tensor | None = None, *, activate: bool = True, pool: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return relu(norm(x) + other), pooled or not, twice: a user of each gives a gradient of its own.

        The native backward adds the two gradients where it reads them, which saves autograd a pass over memory.
        """
        if self.training:
            self.num_batches_tracked += 1
        statistics = (self.running_mean, self.running_var)
        native, has_backward = network_kernels(), self.training or not torch.is_grad_enabled()
        is_read = native and x.is_contiguous(memory_format=torch.channels_last) and x.shape[1] % native.width == 0
        if native and is_read and has_backward:
            given = (native.vectors, x, other, self.weight, self.bias, *statistics, self.training, activate, pool)
            twice: tuple[Tensor, Tensor] = _Native.apply(*given)
            return twice
        y = batch_norm(x, *statistics, self.weight, self.bias, self.training, MOMENTUM, EPS)
        y = y if other is None else y + other
        y = relu(y) if activate else y
        y = max_pool2d(y, 3, 2, padding=1) if pool else y
        return y, y


class _Native(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917 - apply() takes every tensor as an argument of its own
        ctx: Any,  # noqa: ANN401 - torch has no type with what it puts there
        vectors: Library,
        x: Tensor,
        other: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        training: bool,
        activate: bool,
        pool: bool,
    ) -> tuple[Tensor, Tensor]:
        n, channels, height, width = x.shape
        sides = ((height + 1) // 2, (width + 1) // 2) if pool else (height, width)
        y = torch.empty((n, channels, *sides), dtype=x.dtype, memory_format=torch.channels_last)
        taken = torch.empty_like(y, dtype=torch.uint8) if pool else None
        terms = torch.empty(4, channels)
        addresses = _addresses(x, other, y, taken, weight, bias, running_mean, running_var, terms)
        sizes = (n, height, width, channels, activate, training, x.dtype == torch.bfloat16)
        vectors.call("norm_forward", struct.pack(FORWARD, *addresses, *sizes, MOMENTUM, EPS))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, y if other is not None else None, taken, terms)
        ctx.vectors, ctx.activate, ctx.added = vectors, activate, other is not None
        return y, y.view_as(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dy2: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - as above
        x, y, taken, terms = ctx.saved_tensors
        given = [grad.contiguous(memory_format=torch.channels_last) for grad in (dy, dy2) if grad is not None]
        first, second = given[0], given[1] if len(given) > 1 else None
        channels, bf16, relu_here = x.shape[1], x.dtype == torch.bfloat16, ctx.activate
        if taken is not None:
            pooled, pooled2, first, second, relu_here = first, second, torch.empty_like(x), None, False
            ctx.vectors.call("pool_backward", pooled, pooled2, taken, first, x.shape[0], *x.shape[2:], channels, bf16)
        dz = torch.empty_like(x) if ctx.added else None
        dx = torch.empty_like(x)
        sums = torch.empty(2, channels)
        addresses = _addresses(first, second, y, x, dz, dx, terms, sums)
        sizes = (x.numel() // channels, channels, relu_here, bf16)
        ctx.vectors.call("norm_backward", struct.pack(BACKWARD, *addresses, *sizes))
        return None, dx, dz, sums[1], sums[0], None, None, None, None, None


def _addresses(*tensors: Tensor | None) -> list[int]:
    return [0 if tensor is None else tensor.data_ptr() for tensor in tensors]


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, as `model.BasicBlock`; takes and gives an activation twice (see Norm)."""

    def __init__(self, channels_in: int, channels: int, stride: int, size: int) -> None:
        super().__init__()
        first = Geometry(3, stride, 1, size)
        self.conv1, self.bn1 = Convolution(channels_in, channels, first), Norm(channels)
        self.conv2, self.bn2 = Convolution(channels, channels, Geometry(3, 1, 1, first.out)), Norm(channels)
        self.downsample: nn.ModuleList | None = None
        if stride != 1 or channels_in != channels:
            shortcut = Convolution(channels_in, channels, Geometry(1, stride, 0, size))
            self.downsample = nn.ModuleList([shortcut, Norm(channels)])

    def forward(self, twice: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return relu(f(x) + shortcut(x)), twice."""
        x, shortcut = twice
        if self.downsample is not None:
            convolution, norm = self.downsample
            shortcut, _ = norm(convolution(shortcut), activate=False)
        out, _ = self.bn1(self.conv1(x))
        activated: tuple[Tensor, Tensor] = self.bn2(self.conv2(out), shortcut)
        return activated


class FastNetwork(nn.Module):
    """Images float32 [n, 3, s, s], s as in the experiment, to logits float32 [n, classes]."""

    def __init__(self, experiment: Experiment, precision: str) -> None:
        super().__init__()
        width, imagenet = experiment.width, experiment.stem == "imagenet"
        self.activations = HALVES.get(precision)
        self.pool = imagenet
        stem = Geometry(7, 2, 3, experiment.image_size) if imagenet else Geometry(3, 1, 1, experiment.image_size)
        self.conv1, self.bn1 = Convolution(3, width, stem), Norm(width)
        size, channels_in = (stem.out + 1) // 2 if imagenet else stem.out, width
        for stage in range(STAGES):
            channels, stride = width << stage, 1 if stage == 0 else 2
            first = Block(channels_in, channels, stride, size)
            size, channels_in = (size - 1) // stride + 1, channels
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, Block(channels, channels, 1, size)))
        self.fc = nn.Linear(channels_in, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        x = images if self.activations is None else images.to(self.activations)
        x = x.contiguous(memory_format=torch.channels_last)
        twice = self.bn1(self.conv1(x), pool=self.pool)
        for stage in range(STAGES):
            twice = self.get_submodule(f"layer{stage + 1}")(twice)
        # The last activation has one user; the mean is taken in float32, whatever the activations are.
        return linear(twice[0].mean((2, 3), dtype=torch.float32), self.fc.weight, self.fc.bias)


def build_fast_network(experiment: Experiment, precision: str) -> FastNetwork:
    """Return the network on the CPU, with the initial weights of `model.build_model`."""
    with torch.random.fork_rng(devices=[]):
        network = FastNetwork(experiment, precision)
    network.load_state_dict(build_model(experiment).state_dict())
    return network
