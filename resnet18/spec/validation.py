"""What comes from outside becomes values: JSON and TOML within limits, and models, each finding under its key."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from math import isfinite
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from resnet18.spec.errors import SpecError, did_you_mean, one_line, short, with_list

M = TypeVar("M", bound=BaseModel)

SENTENCES = {
    "missing": 'the key "{key}" is missing',
    "extra_forbidden": 'unknown key "{key}"',
    "literal_error": "{key}: unknown value {text}",
    "string_pattern_mismatch": "{key}: {text} has a character that is not allowed here",
    "model_attributes_type": '{key}: must be a table such as {{ name = "…" }}, got {text}',
    "tuple_type": "{key}: must be an array, got {text}",
    "union_tag_not_found": "{key}: the key {discriminator} is missing (a case replaces a table as a whole)",
    "union_tag_invalid": '{key}: unknown name "{tag}"',
    "value_error": "{key}: {error}",
}
"""What is wrong, by pydantic's name for it; anything else is told in pydantic's words."""
HOW_TO_ADD = 'to add one, see benchmarks/README.md, "What is not here"'
MOST_DOTS = 100
"""On a line of TOML. A dotted key costs the parser the square of its parts: 100,000 of them fill any memory."""
LARGEST = 2**64  # of whole numbers. Larger ones, written in hexadecimal, cannot even be printed in a message.
DEEPEST = 64  # tables and arrays inside one another
LONGEST_TEXT, LONGEST_NUMBER = 10_000, 100  # characters of a text, and of a number that is not whole
MOST_BYTES, MOST_VALUES, MOST_KEYS = 8 << 20, 400_000, 1_000
"""Of a JSON text. A record of 10,000 epochs takes 6 MiB and 220,000 values; the most take a second and 100 MB."""


def validated(model: type[M], values: Mapping[str, Any], where: str, next_step: str = "") -> M:
    """Return the value of a model; SpecError names pydantic's findings, the first with the values that are allowed."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _error_of(where, model, error, next_step) from None


def first_finding(error: Exception, whole: str) -> str:
    """Return what was found first: by pydantic, after its key, for which `whole` may stand; else the first line."""
    if not isinstance(error, ValidationError):
        return str(error).partition("\n")[0] or type(error).__name__
    first = error.errors(include_url=False, include_input=False)[0]
    says = "must be an object" if first["type"] == "model_type" else first["msg"].removeprefix("Value error, ")
    return f"{'.'.join(map(str, first['loc'])) or whole}: {says}"


def _error_of(where: str, model: type[BaseModel], error: ValidationError, next_step: str) -> SpecError:
    # An array whose items are all wrong is also "too short": that is no second mistake. Nor is a value that stands
    # under another key as well, which nobody wrote: the augmentation of the training images is that of the test images.
    found = {(one["type"], _twin(one["loc"]), id(one["input"])): one for one in error.errors()[::-1]}
    findings = [one for one in reversed(found.values()) if one["type"] != "too_short"] or error.errors()
    told = [_sentence(model, one) for one in findings[:6]]
    text, allowed = told[0]
    if len(told) > 1:  # each has its own list
        more = [f"{len(findings) - len(told)} more"] if len(findings) > len(told) else []
        text, allowed = "\n  also: ".join([*(with_list(*one) for one in told), *more]), []
    if findings[0]["type"] == "union_tag_invalid" or findings[0]["loc"] == ("model",):
        next_step = next_step or HOW_TO_ADD
    return SpecError(where, text, allowed=allowed, next_step=next_step)


def _twin(place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return (str(place[0]).removeprefix("test_"), *place[1:]) if place else place


def _sentence(model: type[BaseModel], finding: ErrorDetails) -> tuple[str, list[str]]:
    """Return what is wrong, key first, and the allowed values where there is a list of them."""
    value, kind, context = finding["input"], finding["type"], finding.get("ctx", {})
    key, known = _place(model, finding)
    text = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')  # as TOML has it
    text = text if len(text) <= 60 else f"{text[:57]}..."
    said = f"{key}: must be {finding['msg'].removeprefix('Input should be ')}, got {text}"
    if kind in SENTENCES:
        said = SENTENCES[kind].format(key=key, text=text, **context).removeprefix(": ").replace("'", '"')
    if kind == "extra_forbidden":
        return said + did_you_mean(str(finding["loc"][-1]), known), known
    known = sorted(re.findall("'([^']*)'", context.get("expected_tags") or context.get("expected") or ""))
    return said + did_you_mean(str(context.get("tag", value)), known), known


def _place(model: type[BaseModel], finding: ErrorDetails) -> tuple[str, list[str]]:
    """Return pydantic's location as the key that a user wrote, and the keys that are known beside it."""
    words, models, known = "", [model], list[str]()
    for part in finding["loc"]:
        fields = {field.alias or name: field for inner in models for name, field in inner.model_fields.items()}
        if isinstance(part, int):
            words += f"[{part + 1}]"
        elif part in fields or (finding["type"] == "extra_forbidden" and part == finding["loc"][-1]):
            words += f".{one_line(part)}" if words else one_line(part)
            known = sorted(fields)
            models = [*_models_in(fields[part].annotation)] if part in fields else models
        else:  # the tag of one of several models, such as `sgd`, or a type
            models = [inner for inner in models if part in _tags(inner)]
    return words, known


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - a type expression
    """Yield the models inside a type expression such as `tuple[Case, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _tags(model: type[BaseModel]) -> list[str]:
    """Return the names or kinds by which a union tells a model from others."""
    tags = (field.annotation for key, field in model.model_fields.items() if key in {"name", "kind"})
    return [tag for annotation in tags for tag in get_args(annotation)]


def strict_json(content: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text; ValueError if it is none, ambiguous (a key twice, NaN), or beyond a limit.

    Takes linear time: what is too large is refused by its length and its commas and brackets, before it is parsed.
    """
    if len(content) > MOST_BYTES or sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"is larger than {MOST_BYTES:,} bytes, or holds more than {MOST_VALUES:,} values")
    try:
        value = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_number, parse_float=_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_limits(value)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f'key "{short(twice)}" is there twice')
    if len(found) > MOST_KEYS:
        raise ValueError(f"has an object of more than {MOST_KEYS:,} keys")
    return found


def _number(text: str) -> float:
    if len(text) > LONGEST_NUMBER or not isfinite(value := float(text)):
        raise ValueError(f"{short(text)} is no number that JSON and 64 bits can hold")
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML text; ValueError if it is none, or beyond a limit."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > MOST_DOTS:
            raise ValueError(f"more than {MOST_DOTS} dots (at line {number})")
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_limits(content)
    return content


def _check_limits(value: object, depth: int = 0) -> None:
    if depth == DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError("a whole number beyond 64 bits")
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise ValueError(f'"{short(value)}" is longer than {LONGEST_TEXT:,} characters')
    for inner in chain(*value.items()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_limits(inner, depth + 1)
