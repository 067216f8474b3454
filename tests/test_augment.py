"""Operations are torchvision's; parameters are drawn per image and have torchvision's distributions."""

import numpy as np
import pytest
import torch
import torchvision.transforms as T  # noqa: N812 - torchvision's documentation calls it T
from builders import make_experiment
from PIL import Image
from scipy import stats

from resnet18.data.rng import random_words, uniform
from resnet18.spec.augmentation import ColorJitter, RandomHorizontalFlip, RandomResizedCrop, RandomRotation
from resnet18.training.augment import build_pipeline, draw_angle, draw_coin, draw_crop, draw_jitter
from resnet18.training.reference import augmented

SIZE = 32
CROPS = [[0, 0, 32, 32], [2, 9, 24, 22], [8, 5, 20, 25]]
ANGLE = "0x1.a6fa3215c8bd0p+1"
FULL = [
    {"name": "random_resized_crop", "scale_min": 0.5},
    {"name": "random_rotation", "degrees": 30.0},
    {"name": "random_horizontal_flip"},
    {"name": "to_tensor"},
    {"name": "random_grayscale", "p": 0.5},
    {"name": "normalize"},
]


def pixels(count=8, side=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def units(lanes, rows=4000):
    return uniform(random_words(0, "test", 0, rows, lanes))


def pipeline(operations, *, size=SIZE, epoch=1, seed=0, purpose="train-augmentation", images=8, native=SIZE):
    experiment = make_experiment(augmentation=operations)
    return build_pipeline(
        experiment.augmentation, seed=seed, purpose=purpose, epoch=epoch, images=images, native=native, size=size
    )


def test_no_operation_gives_pixels_over_255():
    """As `ToTensor` does."""
    image = pixels()[0]

    assert torch.equal(T.ToTensor()(Image.fromarray(image)), augmented(pipeline([{"name": "to_tensor"}]), image, 0))


def test_a_larger_input_is_resized_as_torchvision_does_it():
    """Bilinear, on the PIL image, where the list has no crop."""
    image = pixels()[0]
    theirs = T.Compose([T.Resize((64, 64)), T.ToTensor()])(Image.fromarray(image))

    assert torch.equal(theirs, augmented(pipeline([{"name": "to_tensor"}], size=64), image, 0))


@pytest.mark.parametrize("size", [32, 224])
def test_a_pipeline_equals_torchvisions_compose_with_the_same_parameters(size):
    """Crop, rotation and flip on the PIL image, then tensor, grayscale and normalize."""
    ours = pipeline(FULL, size=size)
    for index, image in enumerate(pixels()):
        top, left, height, width = ours.tables["random_resized_crop"][index]
        steps = [
            lambda one, box=(top, left, height, width): T.functional.resized_crop(one, *map(int, box), [size, size]),
            lambda one, index=index: T.functional.rotate(one, float(ours.tables["random_rotation"][index, 0])),
            T.RandomHorizontalFlip(float(ours.tables["random_horizontal_flip"][index, 0])),
            T.ToTensor(),
            T.RandomGrayscale(float(ours.tables["random_grayscale"][index, 0])),
            T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]

        assert torch.equal(T.Compose(steps)(Image.fromarray(image)), augmented(ours, image, index))


def test_crop_boxes_are_those_of_the_stored_image_not_of_the_input():
    """At 224 px a box still lies inside 32 px."""
    top, left, height, width = pipeline(FULL, size=224).tables["random_resized_crop"].T

    assert (top + height).max() <= SIZE
    assert (left + width).max() <= SIZE


def test_color_jitter_without_arguments_changes_nothing():
    """So the report's `ColorJitter()` is no augmentation."""
    plain, jittered = ([*extra, {"name": "to_tensor"}] for extra in ([], [{"name": "color_jitter"}]))
    image = pixels()[0]

    assert torch.equal(augmented(pipeline(plain), image, 0), augmented(pipeline(jittered), image, 0))


def test_color_jitter_applies_torchvisions_adjustments_in_the_drawn_order():
    """Four factors, one order for each image."""
    strengths = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    ours = pipeline([{"name": "color_jitter", **strengths}, {"name": "to_tensor"}])
    for index, image in enumerate(pixels()):
        row = ours.tables["color_jitter"][index]
        adjust = [
            T.functional.adjust_brightness,
            T.functional.adjust_contrast,
            T.functional.adjust_saturation,
            T.functional.adjust_hue,
        ]
        theirs = Image.fromarray(image)
        for which in row[4:].astype(int):
            theirs = adjust[which](theirs, float(row[which]))

        assert torch.equal(T.ToTensor()(theirs), augmented(ours, image, index))


@pytest.mark.parametrize("ranges", [{}, {"scale_min": 0.5}, {"ratio_min": 2.0, "ratio_max": 3.0, "scale_min": 0.9}])
def test_crop_boxes_lie_inside_the_image(ranges):
    """Also where the ten tries fail and the central box is taken."""
    boxes = draw_crop(RandomResizedCrop(**ranges), units(22), SIZE)
    top, left, height, width = boxes.T

    assert (boxes[:, 2:] > 0).all()
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= SIZE).all()
    assert (left + width <= SIZE).all()


@pytest.mark.parametrize("part", range(4))
def test_crop_boxes_are_distributed_as_torchvisions(part):
    """Top, left, height and width: two-sample Kolmogorov-Smirnov against `get_params`, p above 0.001."""
    ours = draw_crop(RandomResizedCrop(scale_min=0.5), units(22), SIZE)[:, part]
    torch.manual_seed(0)
    image = torch.zeros(3, SIZE, SIZE)
    theirs = [T.RandomResizedCrop.get_params(image, [0.5, 1.0], [3 / 4, 4 / 3])[part] for _ in range(4000)]

    assert stats.ks_2samp(ours, theirs).pvalue > 0.001


def test_angles_and_factors_are_uniform_in_their_ranges():
    """Rotation by up to 30 degrees either way, brightness from 0.6 to 1.4, hue shift up to 0.1."""
    angles = draw_angle(RandomRotation(degrees=30.0), units(1), SIZE)[:, 0]
    jitter = draw_jitter(ColorJitter(brightness=0.4, hue=0.1), units(8), SIZE)

    for values, low, high in ((angles, -30, 30), (jitter[:, 0], 0.6, 1.4), (jitter[:, 3], -0.1, 0.1)):
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.001
    assert {1.0} == set(jitter[:, 1])


def test_all_orders_of_jitter_are_equally_frequent():
    """24 orders (chi-squared, p above 0.001)."""
    orders = draw_jitter(ColorJitter(), units(8), SIZE)[:, 4:]
    _, counts = np.unique(orders, axis=0, return_counts=True)

    assert 24 == len(counts)
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_a_coin_falls_with_its_probability(p):
    """Never at 0, always at 1, within four standard errors between."""
    coins = draw_coin(RandomHorizontalFlip(p=p), units(1), SIZE)

    assert p == pytest.approx(coins.mean(), abs=4 * (p * (1 - p) / len(coins)) ** 0.5)


def test_leaving_one_operation_out_changes_no_parameter_of_the_others():
    """So two arms of Table 1 see the same crops."""
    with_rotation, without = pipeline(FULL), pipeline([FULL[0], *FULL[2:]])

    for name in without.tables:
        np.testing.assert_array_equal(with_rotation.tables[name], without.tables[name])


@pytest.mark.parametrize("change", [{"epoch": 2}, {"seed": 1}, {"purpose": "test-augmentation"}])
def test_epoch_seed_and_purpose_each_change_the_parameters(change):
    """Every epoch, seed and split has its own."""
    one, other = pipeline(FULL), pipeline(FULL, **change)

    assert not np.array_equal(one.tables["random_rotation"], other.tables["random_rotation"])


def test_parameters_are_golden():
    """Integers of the crop, and the angle in hexadecimal."""
    tables = pipeline(FULL).tables

    assert CROPS == tables["random_resized_crop"][:3].tolist()
    assert ANGLE == float(tables["random_rotation"][0, 0]).hex()
