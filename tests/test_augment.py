"""Operations are torchvision's; parameters are drawn per image and have torchvision's distributions."""

import numpy as np
import pytest
import torch
import torchvision.transforms as T  # noqa: N812 - torchvision's documentation calls it T
from builders import make_experiment
from PIL import Image
from scipy import stats

from resnet18.data.dataset import random_words, uniform
from resnet18.spec import augmentation as spec
from resnet18.training import augment
from resnet18.training.augment import build_pipeline
from resnet18.training.feed import augmented

SIZE, MANY = 32, 4_000
TENSOR, NORMALIZE = {"name": "to_tensor"}, {"name": "normalize"}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
FULL = [
    {"name": "random_resized_crop", "scale_min": 0.5},
    {"name": "random_rotation", "degrees": 30.0},
    {"name": "random_horizontal_flip"},
    TENSOR,
    {"name": "random_grayscale", "p": 0.5},
    NORMALIZE,
]
GOLDEN = {
    "random_resized_crop": [[0, 0, 32, 32], [2, 9, 24, 22], [8, 5, 20, 25]],
    "random_crop": [[8, 2], [0, 8], [5, 0]],
    "random_erasing": [[12, 1, 7, 16], [15, 7, 12, 21], [2, 11, 6, 12]],
    "cutout": [[0, 0, 9, 8], [23, 4, 9, 16], [5, 7, 16, 16]],
}
ANGLE = "0x1.a6fa3215c8bd0p+1"


def pixels(count=8):
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def units(lanes, rows=MANY):
    return uniform(random_words(0, "test", 0, rows, lanes))


def pipeline(*items, size=SIZE, images=8, **key):
    key = {"seed": 0, "purpose": "train-augmentation", "epoch": 1, **key}
    return build_pipeline(
        make_experiment(augmentation=items).augmentation, **key, images=images, stored_side=SIZE, size=size
    )


def assert_equal(theirs, ours):
    """Compare every image; `theirs` takes a PIL image and its index."""
    for index, image in enumerate(pixels()):
        assert torch.equal(theirs(Image.fromarray(image), index), augmented(ours, image, index))


@pytest.mark.parametrize("size", [32, 224])
def test_a_pipeline_equals_torchvisions_compose_with_the_same_parameters(size):
    """Crop, rotation and flip on the PIL image, then tensor, grayscale and normalize; boxes lie in the stored image.

    Without operations pixels are resized and divided by 255.
    """
    ours = pipeline(*FULL, size=size)
    plain = T.Compose([T.Resize((size, size)), T.ToTensor()])

    def theirs(image, index):
        row = {name: table[index].tolist() for name, table in ours.tables.items()}
        steps = [
            lambda one: T.functional.resized_crop(one, *row["random_resized_crop"], [size, size]),
            lambda one: T.functional.rotate(one, row["random_rotation"][0]),
            T.RandomHorizontalFlip(float(row["random_horizontal_flip"][0])),
            T.ToTensor(),
            T.RandomGrayscale(float(row["random_grayscale"][0])),
            T.Normalize(MEAN, STD),
        ]
        return T.Compose(steps)(image)

    assert_equal(theirs, ours)
    assert_equal(lambda image, _: plain(image), pipeline(TENSOR, size=size))
    assert (ours.tables["random_resized_crop"][:, :2] + ours.tables["random_resized_crop"][:, 2:]).max() <= SIZE


@pytest.mark.parametrize("strengths", [{}, {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}])
def test_color_jitter_applies_torchvisions_adjustments_in_the_drawn_order(strengths):
    """Four factors, one order for each image; without arguments, as in the report, it changes nothing."""
    ours = pipeline({"name": "color_jitter", **strengths}, TENSOR)
    adjust = [getattr(T.functional, f"adjust_{what}") for what in ("brightness", "contrast", "saturation", "hue")]

    def theirs(image, index):
        row = ours.tables["color_jitter"][index]
        for which in row[4:].astype(int) if strengths else ():
            image = adjust[which](image, float(row[which]))
        return T.ToTensor()(image)

    assert_equal(theirs, ours)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("padding", [0, 4, 31, 70])
def test_a_padded_crop_is_numpys_border_and_a_slice_of_it(mode, padding):
    ours = pipeline({"name": "random_crop", "padding": padding, "mode": mode}, TENSOR)

    def theirs(image, index):
        padded = np.pad(np.array(image), ((padding, padding), (padding, padding), (0, 0)), mode=mode)
        top, left = ours.tables["random_crop"][index]
        return T.ToTensor()(padded[top : top + SIZE, left : left + SIZE])

    assert_equal(theirs, ours)


@pytest.mark.parametrize(
    ("keys", "erased"),
    [
        ({}, 8),
        ({"value": -1.5}, 8),
        ({"scale_min": 1.0, "scale_max": 1.0}, 0),
        ({"scale_min": 0.3, "ratio_min": 9.0, "ratio_max": 10.0}, 0),
    ],
    ids=str,
)
def test_erasing_is_torchvisions_with_the_same_rectangle(keys, erased, monkeypatch):
    """Where ten tries fail, at all of the image or a strip higher than it, nothing is erased."""
    ours = pipeline(TENSOR, NORMALIZE, {"name": "random_erasing", "p": 1.0, **keys})
    value = keys.get("value", 0.0)
    erase = T.Compose([T.ToTensor(), T.Normalize(MEAN, STD), T.RandomErasing(p=1.0, value=value)])

    def theirs(image, index):
        box = (*ours.tables["random_erasing"][index].tolist(), torch.tensor([value])[:, None, None])
        monkeypatch.setattr(T.RandomErasing, "get_params", lambda *_, **__: box)
        return erase(image)

    assert_equal(theirs, ours)
    assert erased == np.count_nonzero(ours.tables["random_erasing"][:, 2])


def papers_mask(square, y, x):
    """The mask of DeVries and Taylor's program for a centre (y, x); theirs makes an odd square one pixel smaller."""
    mask = np.ones((SIZE, SIZE), np.float32)
    y1, y2 = np.clip([y - square // 2, y - square // 2 + square], 0, SIZE)
    x1, x2 = np.clip([x - square // 2, x - square // 2 + square], 0, SIZE)
    mask[y1:y2, x1:x2] = 0.0
    return torch.from_numpy(mask)


@pytest.mark.parametrize(("square", "p"), [(16, 1.0), (7, 0.5), (1, 1.0), (100, 1.0), (8, 0.0)])
def test_cutout_is_the_papers_mask_over_normalized_images(square, p):
    ours = pipeline(TENSOR, NORMALIZE, {"name": "cutout", "size": square, "p": p})
    drawn = uniform(random_words(0, "train-augmentation/cutout", 1, 8, 3))

    def theirs(image, index):
        y, x, coin = drawn[index]
        plain = T.Normalize(MEAN, STD)(T.ToTensor()(image))
        return plain * papers_mask(square, int(y * SIZE), int(x * SIZE)) if coin < p else plain

    assert_equal(lambda image, index: theirs(image, index) + 0.0, ours)


@pytest.mark.parametrize("part", range(4))
def test_boxes_are_distributed_as_torchvisions(part):
    """Top, left, height and width of crops and of erased rectangles: two-sample Kolmogorov-Smirnov, p above 0.001."""
    torch.manual_seed(0)
    image = torch.zeros(3, SIZE, SIZE)
    crops = [T.RandomResizedCrop.get_params(image, [0.5, 1.0], [3 / 4, 4 / 3]) for _ in range(MANY)]
    ours = augment.draw_crop(spec.RandomResizedCrop(scale_min=0.5), units(22), SIZE)
    assert stats.ks_2samp(ours[:, part], [box[part] for box in crops]).pvalue > 0.001

    erased = [T.RandomErasing.get_params(image, (0.5, 0.9), (0.5, 5.0), [0.0])[:4] for _ in range(MANY)]
    erasing = spec.RandomErasing(p=1.0, scale_min=0.5, scale_max=0.9, ratio_min=0.5, ratio_max=5.0)
    ours = augment.draw_erasing(erasing, units(23), SIZE)
    theirs = [box[part] for box in erased if box[2:] != (SIZE, SIZE)]
    assert stats.ks_2samp(ours[ours[:, 2] > 0][:, part], theirs).pvalue > 0.001


def test_angles_and_factors_are_uniform_in_their_ranges():
    """Rotation by up to 30 degrees either way, brightness from 0.6 to 1.4, hue shift up to 0.1."""
    angles = augment.draw_angle(spec.RandomRotation(degrees=30.0), units(1), SIZE)[:, 0]
    jitter = augment.draw_jitter(spec.ColorJitter(brightness=0.4, hue=0.1), units(8), SIZE)

    for values, low, high in ((angles, -30, 30), (jitter[:, 0], 0.6, 1.4), (jitter[:, 3], -0.1, 0.1)):
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.001
    assert {1.0} == set(jitter[:, 1])


@pytest.mark.parametrize(
    ("draw", "kinds"),
    [
        (lambda: augment.draw_jitter(spec.ColorJitter(), units(8), SIZE)[:, 4:], 24),
        (lambda: augment.draw_shift(spec.RandomCrop(padding=4), units(2, 20_000), SIZE), 81),
        (lambda: augment.draw_cutout(spec.Cutout(size=1), units(3, 20_000), 8)[:, :2], 64),
    ],
    ids=["orders of jitter", "corners of a padded crop", "centres of cutout"],
)
def test_all_choices_are_equally_frequent(draw, kinds):
    found, counts = np.unique(draw(), axis=0, return_counts=True)

    assert kinds == len(found)
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_an_operation_happens_with_its_probability(p):
    """Never at 0, always at 1, within four standard errors between; default erasing never fails ten times."""
    coins = augment.draw_coin(spec.RandomHorizontalFlip(p=p), units(1), SIZE)
    erased = augment.draw_erasing(spec.RandomErasing(p=p), units(23), SIZE)[:, 2] > 0

    for happened in (coins, erased):
        assert p == pytest.approx(happened.mean(), abs=4 * (p * (1 - p) / MANY) ** 0.5)


@pytest.mark.parametrize("operation", [{"name": "random_erasing"}, {"name": "cutout", "size": 8}])
def test_rectangles_are_drawn_for_the_size_at_which_images_enter_the_network(operation):
    boxes = pipeline({"name": "random_resized_crop"}, TENSOR, operation, images=500, size=64).tables[operation["name"]]

    assert SIZE < (boxes[:, 0] + boxes[:, 2]).max() <= 64


def test_leaving_one_operation_out_changes_no_parameter_of_the_others():
    with_rotation, without = pipeline(*FULL), pipeline(FULL[0], *FULL[2:])

    for name in without.tables:
        np.testing.assert_array_equal(with_rotation.tables[name], without.tables[name])


def test_parameters_are_golden():
    """Of the first three images: a change of these voids every record."""
    cut = pipeline({"name": "random_crop", "padding": 4}, TENSOR, {"name": "cutout", "size": 16})
    tables = pipeline(*FULL, {"name": "random_erasing", "p": 1.0}).tables | cut.tables

    assert GOLDEN == {name: tables[name][:3].tolist() for name in GOLDEN}
    assert ANGLE == float(tables["random_rotation"][0, 0]).hex()


def test_the_clean_protocol_has_no_random_operation():
    cuts = [{"name": "random_crop", "padding": 4}, {"name": "cutout", "size": 16}, {"name": "random_erasing"}]
    experiment = make_experiment(augmentation=[*FULL[:3], cuts[0], *FULL[3:], *cuts[1:]])

    assert ["to_tensor", "normalize"] == [operation.name for operation in spec.clean(experiment.augmentation)]
