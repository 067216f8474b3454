"""ResNet-18 (He et al., 2015, table 1): torchvision's parameter names, any input size, a width for small tests.

The head is written as a mean over both axes: the same bits as adaptive average pooling to 1x1, and its backward
is deterministic on CUDA.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from resnet18.data.dataset import random_words, uniform
from resnet18.spec.experiment import Experiment

CLASSES = 10
NARROW = 16
"""Below so many input channels oneDNN's strided 1x1 convolution writes beyond its memory (docs/upstream.md)."""


class Shortcut(nn.Conv2d):
    """The 1x1 convolution of a shortcut, [n, channels_in, s, s] to [n, channels, s / stride, s / stride]."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution; a narrow shortcut picks its pixels first, which keeps it off the faulty code."""
        if self.in_channels < NARROW:
            return conv2d(x[:, :, :: self.stride[0], :: self.stride[0]], self.weight)
        return super().forward(x)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: [n, channels_in, s, s] to [n, channels, s / stride, s / stride]."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(Shortcut(channels_in, channels, stride), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(f(x) + shortcut(x))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += shortcut
        activated: Tensor = self.relu(out)
        return activated


class ResNet18(nn.Module):
    """Images [n, 3, s, s] to logits [n, classes]."""

    def __init__(self, stem: str, width: int, classes: int = CLASSES) -> None:
        super().__init__()
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
            self.maxpool: nn.Module = nn.MaxPool2d(3, 2, padding=1)
        else:
            self.conv1 = nn.Conv2d(3, width, 3, 1, padding=1, bias=False)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits. The report pools before the ReLU: the order changes no bit, since both are monotone."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(channels_in, channels, stride), BasicBlock(channels, channels, 1))


@torch.no_grad()
def build_model(experiment: Experiment) -> ResNet18:
    """Return the experiment's network on the CPU with torch's layer defaults, each weight keyed by seed and name.

    Convolutions and the linear layer: uniform in ±1/sqrt(fan in), which is what torch's `kaiming_uniform_(a=sqrt(5))`
    amounts to; batch norm: weight 1, bias 0, running mean 0 and variance 1.
    """
    with torch.random.fork_rng(devices=[]):  # what torch itself draws is overwritten
        model = ResNet18(experiment.stem, experiment.width)
    for prefix, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for name, parameter in layer.named_parameters(recurse=False):
                words = random_words(experiment.seed, f"weights/{prefix}.{name}", 0, 1, parameter.numel())[0]
                values = (2 * uniform(words) - 1) * bound
                parameter.copy_(torch.from_numpy(values).view_as(parameter))
    return model
