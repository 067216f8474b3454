"""TOML from outside, within limits: what a parser may be asked without an end of memory, digits or stack."""

import tomllib
from typing import Any

MOST_DOTS = 100
"""On a line. A dotted key costs the parser the square of its parts: 100,000 of them fill any memory."""
LARGEST = 2**64
"""Of numbers. Larger ones, written in hexadecimal, cannot even be printed in a message."""
DEEPEST = 64
"""Tables and arrays inside one another."""


def parse_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML text.

    Raises:
        ValueError: it is none, or beyond a limit; the text says where or what.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > MOST_DOTS:
            raise ValueError(f"more than {MOST_DOTS} dots (at line {number})")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:  # Python's limit of digits is the one mistake that the parser does not explain
        raise ValueError("a number with thousands of digits") from None
    _check_limits(content)
    return content


def _check_limits(content: dict[str, Any]) -> None:
    """Raise ValueError for a number that is too large, or a value that lies too deep."""
    layer: list[Any] = [content]
    for _ in range(DEEPEST):
        if any(isinstance(value, int) and abs(value) > LARGEST for value in layer):
            raise ValueError("a whole number beyond 64 bits")
        layer = [inner for value in layer for inner in _inside(value)]
    if layer:
        raise ValueError("nested too deeply")


def _inside(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
