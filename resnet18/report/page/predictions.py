"""The predictions of one case: its confusion counts as a table, and its sample images where they were kept."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from resnet18.records.picture import decode_picture, encode_picture
from resnet18.records.record import Record
from resnet18.report.contents import Chapter
from resnet18.report.figures import summed_confusion
from resnet18.report.illustrations import PictureOf, predicted_case
from resnet18.report.page.grid import Cell, Grid


@dataclass(frozen=True)
class SampleShown:
    """One test image with its label and prediction."""

    index: int
    label: str
    prediction: str
    picture: str
    """A data URI; empty where none was kept."""

    @property
    def is_right(self) -> bool:
        """Whether the network was right."""
        return self.label == self.prediction


@dataclass(frozen=True)
class Predictions:
    """What the network of one case took test images for, after the last epoch."""

    said: str
    """How many are right."""
    confusion: Grid
    seed: int
    samples: tuple[SampleShown, ...]


def predictions_shown(chapter: Chapter, picture_of: PictureOf) -> Predictions | None:
    """Return the predictions that the markdown report draws."""
    if (found := predicted_case(chapter.shown)) is None:
        return None
    view, arm = found
    counts = summed_confusion(arm.measured)
    first = arm.measured[0]
    classes = first.classes or ()
    right, total = sum(row[at] for at, row in enumerate(counts) if at < len(row)), sum(map(sum, counts))
    share = f"{right:,} of {total:,} predictions are right ({100 * right / max(total, 1):.1f} %)"
    n = f"n = {len(arm.measured)} {'seed' if len(arm.measured) == 1 else 'seeds'}"
    title = f'"{arm.case.name}" of {view.benchmark.title}, {n}'
    said = f"After the last epoch, on clean test images. {title}: {share}."
    return Predictions(said, _matrix(title, counts, classes), first.seed, _samples(first, picture_of))


def _matrix(title: str, counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Grid:
    heads = [
        Cell("true → predicted"),
        *(Cell(_name(classes, at), is_number=True) for at in range(len(counts[0]))),
    ]
    rows = [
        (
            Cell(_name(classes, at)),
            *(_count(count, sum(row), is_right=at == column) for column, count in enumerate(row)),
        )
        for at, row in enumerate(counts)
    ]
    return Grid(f"Counts of true (rows) and predicted classes (columns): {title}", tuple(heads), tuple(rows))


def _count(count: int, total: int, *, is_right: bool) -> Cell:
    return Cell(f"{count:,}", True, shade=min(10, -(-10 * count // total)) if total else 0, is_marked=is_right)


def _samples(record: Record, picture_of: PictureOf) -> tuple[SampleShown, ...]:
    samples, classes = record.samples or (), record.classes or ()
    pictures = _pictures(picture_of(record), len(samples))
    return tuple(
        SampleShown(sample.index, _name(classes, sample.label), _name(classes, sample.prediction), picture)
        for sample, picture in zip(samples, pictures, strict=True)
    )


def _pictures(png: bytes | None, count: int) -> list[str]:
    """Return each image as a data URI; empty ones where there is no picture, a damaged one, or one of other samples."""
    try:
        images = decode_picture(png) if png else None
    except ValueError:
        images = None
    if images is None or len(images) != count:
        return [""] * count
    files = (encode_picture(image[None]) for image in images)
    return [f"data:image/png;base64,{base64.b64encode(file).decode()}" for file in files]


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if label < len(classes) else f"(no class {label})"
