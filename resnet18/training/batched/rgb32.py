"""One pixel in one 32-bit word: red + green x 256 + blue x 65536. Pillow stores RGB images the same way.

Moving a pixel is then one gather, not three; the fourth byte is 0 everywhere.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

CHANNELS = 3
BYTE = 255


def pack(pixels: Tensor) -> Tensor:
    """Return int32 [n, height, width] from uint8 [n, height, width, 3]."""
    return pad(pixels, (0, 1)).view(torch.int32).squeeze(-1)


def channel(image: Tensor, which: int) -> Tensor:
    """Return one channel (0 is red) as int32 [n, height, width] with values 0 to 255."""
    shifted = image >> (8 * which) if which else image
    return shifted.bitwise_and_(BYTE) if which else shifted & BYTE


def to_planes(image: Tensor) -> Tensor:
    """Return float32 [n, 3, height, width] with whole numbers from 0 to 255."""
    planes = torch.empty((len(image), CHANNELS, *image.shape[1:]), device=image.device)
    for which in range(CHANNELS):
        planes[:, which].copy_(channel(image, which))
    return planes


def from_planes(planes: Tensor) -> Tensor:
    """Return the packed form of what `to_planes` gives."""
    red, green, blue = planes.to(torch.int32).unbind(1)
    return red.add(green, alpha=1 << 8).add_(blue, alpha=1 << 16)
