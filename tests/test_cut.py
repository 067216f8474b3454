"""Padded crops, erased rectangles and cutout: torchvision's, or the paper's, with parameters from the image's key."""

import numpy as np
import pytest
import torch
import torchvision.transforms as T  # noqa: N812 - torchvision's documentation calls it T
from builders import make_experiment
from PIL import Image
from scipy import stats
from test_batched import batched_pipeline

from resnet18.data.rng import random_words, uniform
from resnet18.spec.augmentation import Cutout, RandomCrop, RandomErasing, clean
from resnet18.training.augment import build_pipeline, draw_cutout, draw_erasing, draw_shift
from resnet18.training.reference import augmented

SIZE, MANY = 32, 4_000
TENSOR = {"name": "to_tensor"}
KEY = {"seed": 0, "purpose": "train-augmentation", "epoch": 1}
CORNERS = [[8, 2], [0, 8], [5, 0]]
ERASED = [[12, 1, 7, 16], [15, 7, 12, 21], [2, 11, 6, 12]]
CUT = [[0, 0, 9, 8], [23, 4, 9, 16], [5, 7, 16, 16]]
MODES = ("constant", "edge", "reflect", "symmetric")


def pixels(count=8, side=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def units(lanes, rows=MANY):
    return uniform(random_words(0, "test", 0, rows, lanes))


def operations(*items):
    return make_experiment(augmentation=items).augmentation


def pipeline(*items, images=8, native=SIZE, size=SIZE):
    return build_pipeline(operations(*items), **KEY, images=images, native=native, size=size)


def table_of(operation, native=SIZE, size=SIZE):
    """The parameters of eight images."""
    items = (TENSOR, operation) if operation["name"] in {"cutout", "random_erasing"} else (operation, TENSOR)
    return pipeline(*items, native=native, size=size).tables[operation["name"]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [0, 1, 4, 31, 32, 70])
def test_a_padded_crop_is_numpys_border_and_a_slice_of_it(mode, padding):
    """Also where the border is as wide as the image, or wider."""
    ours = pipeline({"name": "random_crop", "padding": padding, "mode": mode}, TENSOR)
    for index, image in enumerate(pixels()):
        padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode=mode)
        top, left = ours.tables["random_crop"][index]
        part = padded[top : top + SIZE, left : left + SIZE]

        made = (augmented(ours, image, index) * 255).round().numpy().astype(np.uint8)
        assert np.array_equal(np.moveaxis(part, 2, 0), made)


@pytest.mark.parametrize("mode", MODES)
def test_a_padded_crop_is_torchvisions_with_the_same_corner(mode, monkeypatch):
    """Its RandomCrop, told where to cut."""
    ours = pipeline({"name": "random_crop", "padding": 4, "mode": mode}, TENSOR)
    theirs = T.RandomCrop(SIZE, padding=4, padding_mode=mode)
    for index, image in enumerate(pixels()):
        top, left = map(int, ours.tables["random_crop"][index])
        monkeypatch.setattr(T.RandomCrop, "get_params", lambda *_, box=(top, left, SIZE, SIZE): box)

        assert torch.equal(T.ToTensor()(theirs(Image.fromarray(image))), augmented(ours, image, index))


def test_all_corners_of_a_padded_crop_are_equally_frequent():
    """9 x 9 of them with 4 px (chi-squared, p above 0.001)."""
    corners = draw_shift(RandomCrop(padding=4), units(2, 20_000), SIZE)
    found, counts = np.unique(corners, axis=0, return_counts=True)

    assert [[row, column] for row in range(9) for column in range(9)] == found.tolist()
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("ranges", [{}, {"scale_min": 0.5, "scale_max": 0.9, "ratio_min": 0.5, "ratio_max": 5.0}])
def test_erased_rectangles_are_distributed_as_torchvisions(ranges, part):
    """Top, left, height and width of what is erased: two-sample Kolmogorov-Smirnov, p above 0.001."""
    operation = RandomErasing(p=1.0, **ranges)
    ours = draw_erasing(operation, units(23), SIZE)
    torch.manual_seed(0)
    image = torch.zeros(3, SIZE, SIZE)
    scale, ratio = (operation.scale_min, operation.scale_max), (operation.ratio_min, operation.ratio_max)
    theirs = [T.RandomErasing.get_params(image, scale, ratio, [0.0])[:4] for _ in range(MANY)]
    found = [box[part] for box in theirs if box[2:] != (SIZE, SIZE)]

    assert stats.ks_2samp(ours[ours[:, 2] > 0][:, part], found).pvalue > 0.001


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_so_many_images_are_erased(p):
    """Never at 0, always at 1, within four standard errors between; the defaults never fail ten times."""
    erased = draw_erasing(RandomErasing(p=p), units(23), SIZE)[:, 2] > 0

    assert p == pytest.approx(erased.mean(), abs=4 * (p * (1 - p) / MANY) ** 0.5)


@pytest.mark.parametrize(
    "ranges", [{"scale_min": 1.0, "scale_max": 1.0}, {"scale_min": 0.3, "ratio_min": 9.0, "ratio_max": 10.0}]
)
def test_an_image_whose_ten_tries_fail_is_left_as_it_is(ranges):
    """All of the image, or a strip that is higher than the image."""
    ours = pipeline(TENSOR, {"name": "random_erasing", "p": 1.0, **ranges})

    assert not ours.tables["random_erasing"].any()
    assert torch.equal(T.ToTensor()(Image.fromarray(pixels()[0])), augmented(ours, pixels()[0], 0))


@pytest.mark.parametrize("value", [0.0, -1.5])
def test_erasing_is_torchvisions_with_the_same_rectangle(value, monkeypatch):
    """Its RandomErasing, told where to erase."""
    ours = pipeline(TENSOR, {"name": "normalize"}, {"name": "random_erasing", "p": 1.0, "value": value})
    theirs = T.RandomErasing(p=1.0, value=value)
    normalize = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    for index, image in enumerate(pixels()):
        top, left, height, width = map(int, ours.tables["random_erasing"][index])
        box = (top, left, height, width, torch.tensor([value])[:, None, None])
        monkeypatch.setattr(T.RandomErasing, "get_params", lambda *_, box=box, **__: box)

        assert torch.equal(theirs(normalize(T.ToTensor()(Image.fromarray(image)))), augmented(ours, image, index))


def papers_mask(size, square, y, x):
    """The mask of DeVries and Taylor's program for a centre (y, x); theirs makes an odd square one pixel smaller."""
    mask = np.ones((size, size), np.float32)
    y1, y2 = np.clip([y - square // 2, y - square // 2 + square], 0, size)
    x1, x2 = np.clip([x - square // 2, x - square // 2 + square], 0, size)
    mask[y1:y2, x1:x2] = 0.0
    return mask


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "torch"])
@pytest.mark.parametrize(
    ("square", "p", "size"), [(16, 1.0, 32), (7, 0.5, 32), (1, 1.0, 32), (100, 1.0, 32), (9, 1.0, 45), (8, 0.0, 32)]
)
def test_cutout_is_the_papers_mask_over_normalized_images(square, p, size, compiled):
    """2,000 images: a mask of numpy's for each, its centre drawn from the image's own numbers."""
    count = 2_000
    images, rows = torch.from_numpy(np.repeat(pixels(100), 20, axis=0)), np.arange(count)
    items = (TENSOR, {"name": "normalize"}, {"name": "cutout", "size": square, "p": p})
    how = {**KEY, "images": count, "native": SIZE, "size": size, "device": torch.device("cpu"), "compiled": compiled}
    plain, cut = (batched_pipeline(operations(*some), **how)(images, rows).numpy() for some in (items[:2], items))
    drawn = uniform(random_words(0, "train-augmentation/cutout", 1, count, 3))
    whole = np.ones((size, size), np.float32)
    masks = [papers_mask(size, square, int(y * size), int(x * size)) if coin < p else whole for y, x, coin in drawn]

    assert np.array_equal(np.where(np.stack(masks)[:, None] == 0, np.float32(0), plain), cut)


def test_all_centres_of_cutout_are_equally_frequent():
    """Of 8 x 8 pixels, seen by the corner of a square of one pixel (chi-squared, p above 0.001)."""
    boxes = draw_cutout(Cutout(size=1), units(3, 20_000), 8)
    found, counts = np.unique(boxes[:, :2], axis=0, return_counts=True)

    assert (64, 1, 1) == (len(found), boxes[:, 2:].min(), boxes[:, 2:].max())
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("operation", [{"name": "random_erasing"}, {"name": "cutout", "size": 8}])
def test_rectangles_are_drawn_for_the_size_at_which_images_enter_the_network(operation):
    """Also behind a crop that is drawn for the stored image."""
    items = ({"name": "random_resized_crop"}, TENSOR, operation)
    boxes = pipeline(*items, images=500, size=64).tables[operation["name"]]

    assert SIZE < (boxes[:, 0] + boxes[:, 2]).max() <= 64


def test_parameters_are_golden():
    """Of the first three images: a change of these voids every record."""
    assert CORNERS == table_of({"name": "random_crop", "padding": 4})[:3].tolist()
    assert ERASED == table_of({"name": "random_erasing", "p": 1.0})[:3].tolist()
    assert CUT == table_of({"name": "cutout", "size": 16})[:3].tolist()


def test_the_clean_protocol_has_none_of_them():
    """They are random."""
    names = ("random_crop", "to_tensor", "random_erasing", "cutout")
    keys = {"random_crop": {"padding": 4}, "cutout": {"size": 16}}
    experiment = make_experiment(augmentation=[{"name": name, **keys.get(name, {})} for name in names])

    assert ["to_tensor"] == [operation.name for operation in clean(experiment.augmentation)]
