"""Compile the network before it is trained, so that the compiler's time is not booked on the first epoch."""

import torch
from torch.nn.functional import cross_entropy

from resnet18.training.device import autocast, synchronize
from resnet18.training.loop import EVALUATION_BATCH
from resnet18.training.setup import MEMORY_FORMATS, Setup


def compile_network(setup: Setup) -> None:
    """Run the compiled network forwards and backwards on blank images, and undo what that changed.

    Both shapes of a training epoch are compiled, the full batch and the short last one. Batch-norm statistics are put
    back and gradients dropped, so that training starts as it would without the compiler.
    """
    before = {name: buffer.clone() for name, buffer in setup.model.named_buffers()}
    setup.model.train()
    for count in _batch_sizes(len(setup.train_indices), setup.experiment.batch_size):
        with autocast(setup.execution, setup.device):
            labels = torch.zeros(count, dtype=torch.long, device=setup.device)
            loss = cross_entropy(setup.network(_blank(setup, count)), labels)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no types for it
        setup.optimizer.zero_grad()
    setup.model.eval()
    with torch.no_grad():
        for name, buffer in setup.model.named_buffers():
            buffer.copy_(before[name])
        for count in _batch_sizes(len(setup.test_indices_last), EVALUATION_BATCH):
            with autocast(setup.execution, setup.device):
                setup.network(_blank(setup, count))
    synchronize(setup.device)


def _batch_sizes(images: int, batch: int) -> list[int]:
    """Return the sizes of batch that a pass over the images has."""
    return [size for size in dict.fromkeys((min(batch, images), images % batch)) if size]


def _blank(setup: Setup, count: int) -> torch.Tensor:
    size = setup.experiment.image_size
    images = torch.zeros(count, 3, size, size, device=setup.device)
    return images.to(memory_format=MEMORY_FORMATS[setup.execution.memory_format])
