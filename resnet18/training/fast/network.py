"""ResNet-18 of `resnet18.training.model`, with the same names, weights and mathematics, built to be fast."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from resnet18.spec.experiment import Execution, Experiment
from resnet18.training.device import HALVES
from resnet18.training.fast.convolution import Convolution
from resnet18.training.fast.kernel_support import Geometry, live, shortened
from resnet18.training.fast.norm import Norm
from resnet18.training.fast.state import load_full_state
from resnet18.training.model import CLASSES, allocate, build_model

STAGES = 4


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, as `model.BasicBlock`; takes and gives an activation twice (see Norm)."""

    def __init__(self, channels_in: int, channels: int, stride: int, size: int) -> None:
        super().__init__()
        first = _kept(Geometry(3, stride, 1, size))
        second = _kept(Geometry(3, 1, 1, first[0].out))
        self.conv1, self.bn1 = Convolution(channels_in, channels, *first), Norm(channels)
        self.conv2, self.bn2 = Convolution(channels, channels, *second), Norm(channels)
        self.downsample: nn.ModuleList | None = None
        if stride != 1 or channels_in != channels:
            shortcut = Convolution(channels_in, channels, Geometry(1, stride, 0, size))
            self.downsample = nn.ModuleList([shortcut, Norm(channels)])

    def forward(self, x: Tensor, again: Tensor) -> tuple[Tensor, Tensor]:
        """Return relu(f(x) + shortcut(again)), twice."""
        shortcut = again
        if self.downsample is not None:
            convolution, norm = self.downsample
            shortcut, _ = norm(convolution(again), activate=False)
        out, _ = self.bn1(self.conv1(x))
        once, twice = self.bn2(self.conv2(out), shortcut)
        return once, twice


class FastNetwork(nn.Module):
    """Images float32 [n, 3, s, s], s as in the experiment, to logits float32 [n, classes]."""

    def __init__(self, experiment: Experiment, precision: str) -> None:
        super().__init__()
        width, imagenet = experiment.width, experiment.stem == "imagenet"
        self.activations = HALVES.get(precision)
        self.pool = imagenet
        stem = Geometry(7, 2, 3, experiment.image_size) if imagenet else Geometry(3, 1, 1, experiment.image_size)
        self.conv1, self.bn1 = Convolution(3, width, *_kept(stem)), Norm(width)
        size, channels_in = (stem.out + 1) // 2 if imagenet else stem.out, width
        for stage in range(STAGES):
            channels, stride = width << stage, 1 if stage == 0 else 2
            first = Block(channels_in, channels, stride, size)
            size, channels_in = (size - 1) // stride + 1, channels
            second = Block(channels, channels, 1, size)
            self.add_module(f"layer{stage + 1}", nn.ModuleList([first, second]))
        self.fc = nn.Linear(channels_in, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        x = images if self.activations is None else images.to(self.activations)
        x = x.contiguous(memory_format=torch.channels_last)
        once, twice = self.bn1(self.conv1(x), pool=self.pool)
        for stage in range(STAGES):
            for block in self.get_submodule(f"layer{stage + 1}").children():
                once, twice = block(once, twice)
        # The last activation has one user; the mean is taken in float32, whatever the activations are.
        return linear(once.mean((2, 3), dtype=torch.float32), self.fc.weight, self.fc.bias)


def build_fast_network(experiment: Experiment, execution: Execution, device: torch.device) -> FastNetwork:
    """Return the network on the device, with the initial weights of `model.build_model`."""
    with torch.device("meta"):
        network = FastNetwork(experiment, execution.precision)
    allocate(network)
    load_full_state(network, build_model(experiment).state_dict())
    return network.to(device)


def _kept(geometry: Geometry) -> tuple[Geometry, int, int]:
    """Return the convolution to compute, the first of its rows in the whole kernel, and that kernel's side."""
    begin, end = live(geometry)
    return shortened(geometry, begin, end), begin, geometry.kernel
