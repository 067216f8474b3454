"""Properties of batches and of the look of images: every image once, and nothing lost by normalizing."""

import numpy as np
from builders import make_experiment
from hypothesis import example, given
from hypothesis import strategies as st

from resnet18.data.dataset import Split, permutation
from resnet18.training.augment import build_pipeline
from resnet18.training.feed import augmented, batches

SEEDS = st.integers(0, 2**32 - 1)
PLAIN = make_experiment().augmentation
NORMALIZED = make_experiment(augmentation=[{"name": "to_tensor"}, {"name": "normalize"}]).augmentation


def pipeline(operations, side, images=1):
    return build_pipeline(operations, seed=0, purpose="any", epoch=1, images=images, native=side, size=side)


def numbered(count):
    """Images that are told apart by their label and by their first pixel."""
    pixels = np.zeros((count, 2, 2, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(count)
    return Split(pixels, np.arange(count, dtype=np.uint8))


@given(SEEDS, st.integers(1, 60), st.integers(1, 70))
@example(0, 60, 60)
@example(0, 60, 59)
def test_batches_are_disjoint_and_hold_every_image_in_order(seed, count, batch_size):
    order = permutation(seed, "order", 1, np.arange(count))
    found = list(batches(numbered(count), order, pipeline(PLAIN, 2, count), batch_size, workers=0))
    labels = [labels.tolist() for _, labels in found]
    first_pixels = [round(float(image[0, 0, 0]) * 255) for images, _ in found for image in images]

    assert order.tolist() == [label for batch in labels for label in batch] == first_pixels
    assert [batch_size] * (count // batch_size) == [len(batch) for batch in labels][: count // batch_size]
    assert -(-count // batch_size) == len(labels)


def test_a_normalized_pixel_is_golden():
    image = np.array([[[0, 0, 0], [255, 255, 255]]] * 2, np.uint8)
    normalized = augmented(pipeline(NORMALIZED, 2), image, 0).numpy()[:, 0]

    assert np.allclose(
        [[-0.485 / 0.229, 0.515 / 0.229], [-0.456 / 0.224, 0.544 / 0.224], [-0.406 / 0.225, 0.594 / 0.225]], normalized
    )
