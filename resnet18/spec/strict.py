"""The one kind of model that the suite describes things with: strict, frozen, unknown keys refused."""

import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Strict

T = TypeVar("T")

# TOML and JSON know arrays, not tuples: the container converts, its items stay strict.
Items = Annotated[tuple[T, ...], Strict(False)]


class Model(BaseModel):
    """A frozen value: no coercion, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def strict_json(content: bytes | str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text in which nothing is doubtful.

    Raises:
        ValueError: no JSON, not UTF-8, a key that is there twice (of which json would keep the last), NaN or infinity
            (which json would take), a number of thousands of digits, or deeper than can be followed.
    """
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f'key "{next(key for key in keys if keys.count(key) > 1)}" is there twice')
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
