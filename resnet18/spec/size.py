"""Sizes of memory as a spec writes them: `24GiB`."""

from resnet18.spec.printed import UNITS, parse_printed

EXACT = ("GiB", "MiB", "KiB", "B")
"""Units of the canonical form, the largest first."""
BYTE_UNITS = tuple(unit for unit in UNITS if unit.endswith("B"))
LARGEST = 2**50


def size_in_bytes(text: object) -> int:
    """Return the bytes that a size means, to the nearest.

    Raises:
        ValueError: a number without a unit of bytes, none at all, or one that no memory has.
    """
    printed = parse_printed(text) if isinstance(text, str) else None
    if printed is None or printed.is_approximate or printed.unit not in BYTE_UNITS:
        units = ", ".join(BYTE_UNITS)
        raise ValueError(f'"{text}" is no size of memory; write a number and one of {units}, for example "24GiB"')
    size = round(printed.value)
    if not 1 <= size <= LARGEST:
        raise ValueError(f'"{text}" is no size that a memory could have; write for example "24GiB"')
    return size


def canonical_size(text: object) -> str:
    """Return the one spelling of a size, in the largest unit of which it is a whole number: `1.5 GiB` is `1536MiB`.

    Raises:
        ValueError: see `size_in_bytes`.
    """
    size = size_in_bytes(text)
    unit = next(unit for unit in EXACT if size % int(UNITS[unit]) == 0)
    return f"{size // int(UNITS[unit])}{unit}"
