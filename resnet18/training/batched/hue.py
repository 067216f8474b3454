"""A shift of the hue through Pillow's 8-bit HSV (src/libImaging/Convert.c, which follows Python's colorsys).

The conversions round to 8 bits on both ways and mix float32 with float64; each operation here has the type that it
has there. Divisors are tensors: by a Python number, a GPU may divide through its reciprocal, which rounds otherwise.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STEPS = 256


@dataclass(frozen=True)
class Hue:
    """One shift per image."""

    shifts: Tensor
    """int32 [images, 1, 1]: 0 to 255, to be added to an 8-bit hue, which wraps around."""
    active: Tensor
    """bool [images, 1, 1, 1]: a shift of exactly 0 leaves an image out; HSV and back would change it."""
    six: Tensor
    """float64 []."""
    most: Tensor
    """float32 []: 255."""
    fractions: Tensor
    """float32 [256]: how far a hue lies in its sixth of the circle."""
    odd: Tensor
    """bool [256]: whether that sixth is the second, fourth or sixth."""
    roles: Tensor
    """uint8 [3, 256]: what red, green and blue are at a hue; 0 the largest channel, 1 the middle one, 2 the least."""

    def __call__(self, planes: Tensor, rows: Tensor) -> Tensor:
        """Return float32 [n, 3, side, side] from the same."""
        largest, least = planes.amax(1), planes.amin(1)
        spread = largest - least
        saturation = (spread / largest.clamp(min=1)).double().mul_(255).floor_().float()
        hue = self._hue(planes, largest, spread.clamp_(min=1))
        place = (hue + self.shifts.index_select(0, rows)).bitwise_and_(STEPS - 1)
        shifted = self._to_rgb(place, saturation, largest)
        return torch.where(self.active.index_select(0, rows), shifted, planes)

    def _hue(self, planes: Tensor, largest: Tensor, spread: Tensor) -> Tensor:
        """Return int32 [n, side, side], 0 to 255."""
        red, green, _ = planes.unbind(1)
        from_red, from_green, from_blue = ((largest.unsqueeze(1) - planes) / spread.unsqueeze(1)).unbind(1)
        at_green = (from_red.double() + 2.0).sub_(from_blue).float()
        at_blue = (from_green.double() + 4.0).sub_(from_red).float()
        turn = torch.where(red == largest, from_blue - from_green, torch.where(green == largest, at_green, at_blue))
        whole = turn.double().div_(self.six).add_(1.0)
        return whole.sub_(whole.floor()).float().double().mul_(255).to(torch.int32)

    def _to_rgb(self, place: Tensor, saturation: Tensor, largest: Tensor) -> Tensor:
        """Return float32 [n, 3, side, side] from hue (int32), saturation and value, each [n, side, side]."""
        flat = place.view(-1)
        fraction = self.fractions.index_select(0, flat).view_as(largest)
        odd = self.odd.index_select(0, flat).view_as(largest)
        share = saturation.div_(self.most)
        rising = share.double() * (1.0 - fraction.double())
        gap = torch.where(odd, (share * fraction).double(), rising)
        value = largest.double()
        middle = _rounded(value * (1.0 - gap))
        least = _rounded(value * (1.0 - share.double()))
        roles = self.roles.index_select(1, flat).view(3, *largest.shape).transpose(0, 1)
        middle, least = middle.unsqueeze(1), least.unsqueeze(1)
        return torch.where(roles == 0, largest.unsqueeze(1), torch.where(roles == 1, middle, least))


def _rounded(values: Tensor) -> Tensor:
    """Return float32 whole numbers from float64 that are not negative; halves go up, as C's round() has them."""
    return values.add_(0.5).floor_().float()


def eight_bit_shift(turns: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return 0 to 255 for shifts in turns of the circle: cut to whole steps towards 0, then wrapped, as torchvision."""
    return (turns * 255).astype(np.int32) & (STEPS - 1)


def build_hue(shifts: NDArray[np.float32], active: NDArray[np.bool_], device: torch.device) -> Hue:
    """Return the operation for 8-bit shifts [images]; others than the `active` images stay as they are."""
    steps = np.arange(STEPS)
    sixth = steps * 6 // 255
    roles = np.array([[0, 1, 2, 2, 1, 0], [1, 0, 0, 1, 2, 2], [2, 2, 1, 0, 0, 1]], dtype=np.uint8)
    return Hue(
        torch.from_numpy(shifts.astype(np.int32)).view(-1, 1, 1).to(device),
        torch.from_numpy(active).view(-1, 1, 1, 1).to(device),
        torch.tensor(6.0, dtype=torch.float64, device=device),
        torch.tensor(255.0, device=device),
        torch.from_numpy((steps * 6.0 / 255.0 - sixth).astype(np.float32)).to(device),
        torch.from_numpy(sixth % 2 == 1).to(device),
        torch.from_numpy(roles[:, sixth % 6]).to(device),
    )
