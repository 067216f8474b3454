"""Batch norm over the images of all ranks, whose parts of a batch may differ in size.

torch's SyncBatchNorm refuses tensors on the CPU. There each layer adds up sums over the ranks, the mean first and then
squared deviations from it, as differentiable operations: autograd finds the gradient of Ioffe & Szegedy (2015).
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

AXES = (0, 2, 3)
"""Of [n, channels, height, width]: those that a statistic of a channel is taken over."""


class _Summed(torch.autograd.Function):
    """The sum over ranks. Each rank's loss depends on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:  # noqa: ANN401, ARG004 - torch has no type with what it puts there
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401, ARG004 - as above
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class SynchronisedNorm(nn.BatchNorm2d):
    """Batch norm of [n, channels, s, s] with the statistics of all ranks' images, as one process would have them.

    In evaluation it is plain batch norm. Parameters, buffers and their names are those of `nn.BatchNorm2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised images, in their dtype.

        Raises:
            ValueError: one value per channel on all ranks together, which has no variance.
        """
        if not self.training:
            return super().forward(x)
        exact = x.to(torch.promote_types(x.dtype, torch.float32))  # of 16 bits, statistics would be worth little
        count = x.numel() // x.shape[1]
        # In float64, which counts beyond 2**24 exactly.
        sums = torch.cat((exact.sum(AXES, dtype=torch.float64), exact.new_full((1,), count, dtype=torch.float64)))
        sums = _summed(sums)
        count = int(sums[-1].item())
        if count == 1:
            raise ValueError(f"batch norm needs more than 1 value per channel in training, got {tuple(x.shape)}")
        mean = sums[:-1] / count
        deviations = exact - _channels(mean.to(exact.dtype))
        variance = _summed(deviations.square().sum(AXES, dtype=torch.float64)) / count
        self._follow(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = self.weight * (variance + self.eps).rsqrt().to(exact.dtype)
        return (deviations * _channels(scale) + _channels(self.bias)).to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        """Move the running statistics, as torch does."""
        assert self.running_mean is not None and self.running_var is not None  # noqa: S101, PT018 - they are tracked
        assert self.num_batches_tracked is not None and self.momentum is not None  # noqa: S101, PT018 - the same
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased_variance.to(self.running_var.dtype), self.momentum)


def synchronised(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the network with the statistics of its batch norms taken over all ranks; its parameters stay the same."""
    if device.type != "cpu":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    for name, layer in model.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            model.add_module(name, _of_all_ranks(layer))
        else:
            synchronised(layer, device)
    return model


def _of_all_ranks(layer: nn.BatchNorm2d) -> SynchronisedNorm:
    """Return a layer with the very parameters and buffers of another."""
    made = SynchronisedNorm(layer.num_features, layer.eps, layer.momentum)
    made.weight, made.bias = layer.weight, layer.bias
    for name, buffer in layer.named_buffers():
        made.register_buffer(name, buffer)
    return made


def _summed(own: Tensor) -> Tensor:
    total: Tensor = _Summed.apply(own)
    return total


def _channels(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
