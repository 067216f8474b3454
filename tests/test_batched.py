"""The batched operations give the bits of torchvision's PIL functions, compiled and in torch."""

import hashlib
from itertools import pairwise

import numpy as np
import PIL
import pytest
import torch
from builders import make_experiment

from resnet18.data.dataset import read_embedded
from resnet18.training.augment import Pipeline, build_pipeline
from resnet18.training.batched import BatchedPipeline
from resnet18.training.feed import augmented

CPU = torch.device("cpu")
MANY, LARGE = 500, 48
KEY = {"seed": 0, "purpose": "train-augmentation", "epoch": 1}
CROP = {"name": "random_resized_crop", "scale_min": 0.5}
WILD_CROP = {"name": "random_resized_crop", "scale_min": 0.001, "ratio_min": 0.1, "ratio_max": 10.0}
ROTATION = {"name": "random_rotation", "degrees": 30.0}
ANY_ROTATION = {"name": "random_rotation", "degrees": 180.0}
FLIP = {"name": "random_horizontal_flip"}
GREY = {"name": "random_grayscale", "p": 0.5}
TENSOR = {"name": "to_tensor"}
MODES = ("constant", "edge", "reflect", "symmetric")
PADDED = {"name": "random_crop", "padding": 4}
ERASING = {"name": "random_erasing", "p": 0.5, "value": 0.25}
CUTOUT = {"name": "cutout", "size": 16}
NORMALIZE = {"name": "normalize"}
JITTER = {"name": "color_jitter", "brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5}
HUE_ONLY, CONTRAST, SATURATION = (
    {"name": "color_jitter", **strength} for strength in ({"hue": 0.5}, {"contrast": 10.0}, {"saturation": 2.0})
)
LISTS = {
    "nothing": [TENSOR],
    "wild crop": [WILD_CROP, TENSOR],
    "any rotation": [ANY_ROTATION, TENSOR],
    "flip": [FLIP, TENSOR],
    "flip of the tensor": [TENSOR, FLIP],
    "flip, rotation": [FLIP, ANY_ROTATION, TENSOR],
    "rotation, crop, flip": [ROTATION, CROP, FLIP, TENSOR],
    "grayscale": [GREY, TENSOR],
    "grayscale of the tensor": [TENSOR, GREY],
    "normalize, grayscale": [TENSOR, NORMALIZE, GREY],
    "contrast": [CONTRAST, TENSOR],
    "saturation": [SATURATION, TENSOR],
    "hue": [HUE_ONLY, TENSOR],
    **{f"padded crop, {mode}": [{**PADDED, "mode": mode}, TENSOR] for mode in MODES},
    "crop padded by the side": [{**PADDED, "padding": 32}, TENSOR],
    "rotation, padded crop, flip": [ROTATION, PADDED, FLIP, TENSOR],
    "crop, padded crop": [CROP, PADDED, TENSOR],
    "erasing always, or not in ten tries": [TENSOR, {**ERASING, "p": 1.0, "scale_max": 1.0, "ratio_max": 10.0}],
    "cutout, normalize, grayscale": [TENSOR, CUTOUT, NORMALIZE, GREY],
    "erasing, flip of the tensor, cutout": [TENSOR, NORMALIZE, ERASING, FLIP, CUTOUT],
    "recipe": [PADDED, FLIP, TENSOR, NORMALIZE, CUTOUT],
    "all": [JITTER, CROP, ROTATION, FLIP, TENSOR, GREY, NORMALIZE],
    "all, in another order": [GREY, FLIP, WILD_CROP, JITTER, ANY_ROTATION, TENSOR, NORMALIZE],
}
GOLDEN = {"13.0.0": "02b1f0718d2354c1"}


def operations(items):
    return make_experiment(augmentation=items).augmentation


def pictures(count, side=32):
    """Return black, white, grey and random images, and real ones whose channels come from three images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    stored = read_embedded().train.images
    real = stored[rng.integers(0, len(stored), (count, 3)), ..., 0].transpose(0, 2, 3, 1)
    repeats = -(-side // 32)
    images[::2] = np.tile(real, (1, repeats, repeats, 1))[::2, :side, :side]
    images[1::8] = images[1::8, :, :, :1]
    images[0], images[min(3, count - 1)], images[min(5, count - 1)] = 0, 255, 77
    return images


def batched_pipeline(items, *, device=CPU, compiled=True, **how):
    return BatchedPipeline(build_pipeline(items, **how), device, compiled=compiled)


def differing(items, *, count=MANY, stored_side=32, size=32):
    """Return of how many images any bit differs: with the compiled kernels, and in torch alone."""
    return differing_from(build_pipeline(items, **KEY, images=count, stored_side=stored_side, size=size))


def differing_from(reference):
    images = pictures(reference.images, reference.stored_side)
    expected = torch.stack([augmented(reference, image, index) for index, image in enumerate(images)])
    batches = [
        BatchedPipeline(reference, CPU, compiled=compiled)(torch.from_numpy(images), torch.arange(len(images)))
        for compiled in (True, False)
    ]
    assert all(batch.dtype == expected.dtype for batch in batches)
    return [int((expected != batch).flatten(1).any(1).sum()) for batch in batches]


def pipeline_of(name, table, native, size):
    """Return the reference pipeline of one operation with a given table."""
    items = operations([{"name": name, **({"degrees": 180.0} if name == "random_rotation" else {})}, TENSOR])
    return Pipeline(items[:1], items[2:], {name: np.array(table)}, len(table), native, size)


@pytest.mark.parametrize("items", LISTS.values(), ids=LISTS)
def test_a_list_of_operations_gives_the_bits_of_pillow(items):
    assert [0, 0] == differing(operations(items))
    assert [0, 0] == differing(operations(items), count=LARGE, size=224)


@pytest.mark.parametrize(("native", "size"), [(90, 24), (61, 61), (224, 32), (32, 45), (37, 64), (2, 3), (3, 1)])
@pytest.mark.parametrize(
    "items",
    [
        [WILD_CROP, TENSOR],
        [ROTATION, TENSOR],
        [PADDED, TENSOR],
        [{**PADDED, "padding": 32, "mode": "reflect"}, TENSOR],
        [TENSOR, ERASING, CUTOUT, FLIP],
    ],
    ids=["crop", "resize", "padding", "reflected by the side", "rectangles"],
)
def test_other_sizes_are_exact(items, native, size):
    """Shrunk and enlarged, down to one pixel: columns before rows where the height shrinks much more than the width."""
    assert [0, 0] == differing(operations(items), count=LARGE, stored_side=native, size=size)


RNG = np.random.default_rng(1)
ANGLES = [sign * (angle + by) for sign in (1, -1) for angle in (0, 90, 180) for by in (0, 1e-20, 1e-15, 1e-13, 1e-6)]
"""Zero, quarter and half turns, and what rounds to them: Pillow has shortcuts for some."""
BOXES = [[0, 0, 32, 32], [31, 31, 1, 1], [0, 0, 1, 32], [0, 31, 32, 1], [0, 0, 31, 32], [1, 0, 31, 32], [5, 7, 2, 3]]
"""The whole image, one pixel, lines one pixel wide, and boxes that touch a border."""
FACTORS = [0.0, 1e-46, 0.5, 1.0, 1.0 - 1e-12, 1.0 + 1e-12, 2.0, 11.0]
"""0, 1, 2 and their neighbours; 0 leaves an image alone, almost 0 not."""
HUES = [0.0, 1e-9, -1e-9, 0.5, -0.5, *np.arange(-127, 128) / 255]
LIMITS = [
    *(("random_rotation", [[angle] for angle in [*ANGLES, 30.0, -30.0, 45.0, -60.0]], side, side) for side in (32, 33)),
    *(("random_resized_crop", BOXES, 32, size) for size in (1, 2, 31, 32, 33, 224)),
    ("color_jitter", [[*RNG.choice(FACTORS, 3), hue, *RNG.permutation(4)] for hue in HUES for _ in range(4)], 32, 32),
]


@pytest.mark.parametrize(("name", "table", "native", "size"), LIMITS, ids=[f"{row[0]}-{row[3]}" for row in LIMITS])
def test_parameters_at_the_limits_are_exact(name, table, native, size):
    assert [0, 0] == differing_from(pipeline_of(name, table, native, size))


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "torch"])
def test_a_batch_may_be_of_any_size_and_in_any_order(compiled):
    """0, 1, a few and many images, which need not lie row by row in memory: nothing depends on the neighbours."""
    items = operations(LISTS["all"])
    batched = batched_pipeline(items, **KEY, images=500, stored_side=32, size=32, compiled=compiled)
    images = torch.from_numpy(pictures(500)).permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    order = torch.from_numpy(np.random.default_rng(2).permutation(500))
    at_once = batched(images[order].contiguous(), order)
    parts = [batched(images[order[low:high]], order[low:high]) for low, high in pairwise([0, 0, 1, 8, 9, 135, 500])]

    assert torch.equal(at_once, torch.cat(parts))
    assert torch.equal(at_once[::2], batched(images[order][::2], order[::2]))


def test_one_batch_is_golden():
    """All operations on 64 images; the key is Pillow's version, whose bits these are."""
    batched = batched_pipeline(operations(LISTS["all"]), **KEY, images=64, stored_side=32, size=32, device=CPU)
    batch = batched(torch.from_numpy(pictures(64)), torch.arange(64))
    if PIL.__version__ not in GOLDEN:
        pytest.skip(f"no hash is kept for Pillow {PIL.__version__}")

    assert GOLDEN[PIL.__version__] == hashlib.sha256(batch.numpy().tobytes()).hexdigest()[:16]
