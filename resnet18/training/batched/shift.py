"""Cutting an image's own size out of the image with a border: every output pixel is one input pixel, or black."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet18.spec.augmentation import RandomCrop

BLACK = -1


@dataclass(frozen=True)
class Shift:
    """One corner per image."""

    corners: Tensor
    """int32 [2, images]: the row and the column of the padded image at which the part begins."""
    places: Tensor
    """int32 [side + 2 padding]: which row (or column) of the image a row of the padded one is; -1 where it is black."""

    def __call__(self, image: Tensor, rows: Tensor) -> Tensor:
        """Return packed [n, side, side] from the same."""
        count, side, _ = image.shape
        pixel = torch.arange(side, dtype=torch.int32, device=image.device)
        wanted = self.corners.index_select(1, rows).unsqueeze(-1) + pixel
        y, x = self.places.index_select(0, wanted.view(-1)).view(2, count, side)
        inside = (y >= 0)[:, :, None] & (x >= 0)[:, None, :]
        first = torch.arange(0, count * side * side, side * side, dtype=torch.int32, device=image.device)
        line = (y.clamp(0) * side).add_(first[:, None])
        place = line[:, :, None] + x.clamp(0)[:, None, :]
        return image.reshape(-1).index_select(0, place.view(-1)).view_as(image).mul_(inside)


def build_shift(operation: RandomCrop, corners: NDArray[np.int64], side: int, device: torch.device) -> Shift:
    """Return the operation for corners [images, 2] (top, left) in images of `side` px with the operation's border."""
    border: dict[str, Any] = {"constant_values": BLACK} if operation.mode == "constant" else {}
    places = np.pad(np.arange(side, dtype=np.int32), operation.padding, mode=operation.mode, **border)
    return Shift(
        torch.from_numpy(corners.T.astype(np.int32)).contiguous().to(device), torch.from_numpy(places).to(device)
    )
