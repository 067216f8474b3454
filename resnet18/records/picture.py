"""The picture beside a record: its sample images side by side, as an RGB PNG of their own pixels."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_picture(images: NDArray[np.uint8]) -> bytes:
    """Return images [n, side, side, 3] as a PNG, n * side px wide and side px high. It holds no time stamp."""
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(images), axis=1)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def decode_picture(png: bytes) -> NDArray[np.uint8]:
    """Return the images [n, side, side, 3] of a picture.

    Raises:
        ValueError: it is damaged, or not a row of square images.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            row = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow, bad chunk
        raise ValueError(f"no picture: {error}") from None
    side, width = row.shape[:2]
    if width % side:
        raise ValueError(f"no row of square images: {width} x {side} px")
    return np.stack(np.split(row, width // side, axis=1))
