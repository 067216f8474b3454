"""Curves over the epochs: means over seeds, and the epoch from which a case overfits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from resnet18.records.record import Epoch, Record
from resnet18.tables.metrics import comparable_epochs

AROUND = 2
"""Epochs on either side that show how much the loss of one seed moves anyway."""


@dataclass(frozen=True)
class Series:
    """Values by epoch, the first epoch first, as long as the shortest run."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    """Lowest over the seeds."""
    high: tuple[float, ...]

    @property
    def epochs(self) -> range:
        """Numbers of the epochs, from 1."""
        return range(1, len(self.mean) + 1)


def series(runs: Sequence[Sequence[Epoch]], value: Callable[[Epoch], float]) -> Series:
    """Return mean, lowest and highest over runs, for as many epochs as all of them have."""
    columns = [[value(epoch) for epoch in same] for same in zip(*runs, strict=False)]
    return Series(tuple(map(fmean, columns)), tuple(map(min, columns)), tuple(map(max, columns)))


def overfitting_epoch(records: Sequence[Record]) -> int | None:
    """Return the epoch of the lowest mean clean test loss if the loss rises from there, else None.

    It rises if that epoch is not among the last tenth, and all of the last tenth is higher by more than the seeds
    differ at that epoch; of one seed, by more than the loss moves over the epochs around it. Epochs tested on another
    number of images than the first are left out.
    """
    loss = series([comparable_epochs(record) for record in records], lambda epoch: epoch.clean.loss)
    last_tenth = loss.mean[len(loss.mean) * 9 // 10 :]
    at = min(range(len(loss.mean)), key=lambda epoch: loss.mean[epoch])
    around = loss.mean[max(at - AROUND, 0) : at + AROUND + 1]
    noise = loss.high[at] - loss.low[at] if len(records) > 1 else max(around) - min(around)
    # The lowest of many noisy values is always low. The last tenth has its own lowest: a flat curve is not marked.
    return at + 1 if min(last_tenth) - loss.mean[at] > noise else None


def images_at_the_end(record: Record) -> tuple[int, int] | None:
    """Return the test images of the first and of the last epoch where they differ."""
    first, last = record.epochs[0].as_published.images, record.epochs[-1].as_published.images
    return None if first == last else (first, last)
