"""Values from outside: strict models, JSON and TOML within limits, and pydantic's findings as sentences."""

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Strict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from resnet18.spec.errors import SpecError, did_you_mean, one_line

T = TypeVar("T")

# TOML and JSON know arrays, not tuples: the container converts, its items stay strict.
Items = Annotated[tuple[T, ...], Strict(False)]

MOST_DOTS = 100
"""On a line of TOML. A dotted key costs the parser the square of its parts: 100,000 of them fill any memory."""
LARGEST = 2**64
"""Of numbers. Larger ones, written in hexadecimal, cannot even be printed in a message."""
DEEPEST = 64
"""Tables and arrays inside one another."""
TYPES = frozenset({"int", "constrained-int", "constrained-str"})
SENTENCES = {
    "missing": 'the key "{key}" is missing',
    "string_pattern_mismatch": "{key}: {value} has a character that is not allowed here",
    "model_attributes_type": '{key}: must be a table such as {{ name = "…" }}, got {value}',
}
HOW_TO_ADD = 'to add one, see benchmarks/README.md, "What is not here"'


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
    _check_limits(content, 0)
    return content


def _check_limits(value: object, depth: int) -> None:
    if depth == DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError("a whole number beyond 64 bits")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_limits(inner, depth + 1)


def spec_error(where: str, model: type[BaseModel], error: ValidationError, next_step: str = "") -> SpecError:
    """Return one error that names every finding of pydantic, the first one in full."""
    findings = error.errors(include_url=False)
    # An array whose items are all wrong is also "too short": that is no second mistake.
    findings = [finding for finding in findings if finding["type"] != "too_short"] or findings
    first = findings[0]
    text, allowed = _sentence(model, first)
    more = "".join(f"\n  also: {_sentence(model, finding)[0]}" for finding in findings[1:6])
    is_choice = first["type"] == "union_tag_invalid" and first["ctx"]["discriminator"] == "'name'"
    if is_choice or (first["type"], first["loc"]) == ("literal_error", ("model",)):
        next_step = next_step or HOW_TO_ADD
    return SpecError(where, text + more, allowed=allowed, next_step=next_step)


def _sentence(model: type[BaseModel], finding: ErrorDetails) -> tuple[str, tuple[str, ...]]:
    """Return what is wrong, key first, and the allowed values where there is a list of them."""
    key, value, context = _dotted(model, finding["loc"]), finding["input"], finding.get("ctx", {})
    if sentence := SENTENCES.get(finding["type"]):
        return sentence.format(key=key, value=_as_toml(value)), ()
    match finding["type"]:
        case "extra_forbidden":
            known = _known_keys(model, finding["loc"])
            return f'unknown key "{key}"{did_you_mean(str(finding["loc"][-1]), known)}', tuple(sorted(known))
        case "union_tag_not_found":
            tag = context["discriminator"].strip("'")
            hint = " (a case replaces the whole table, not single keys of it)" if tag == "name" else ""
            return f'{key}: the key "{tag}" is missing{hint}', ()
        case "union_tag_invalid":
            tags = tuple(sorted(tag.strip(" '") for tag in context["expected_tags"].split(",")))
            return f'{key}: unknown name "{context["tag"]}"{did_you_mean(context["tag"], tags)}', tags
        case "value_error":
            return f"{key}: {context['error']}" if key else str(context["error"]), ()
    message = finding["msg"].removeprefix("Input should be ")
    hint = did_you_mean(str(value), re.findall("'([^']*)'", str(context.get("expected", ""))))
    return f"{key}: must be {message}, got {_as_toml(value)}{hint}", ()


def _as_toml(value: object) -> str:
    """Return a value as TOML would write it, cut where it is long."""
    text = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
    return text if len(text) <= 60 else text[:57] + "..."


def _dotted(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Return pydantic's location as the key that a user wrote: tags of unions and types are not part of it."""
    words: list[str] = []
    for part in location:
        if isinstance(part, int):
            words.append(f"[{part + 1}]")
        elif part not in _tags(model) and part not in TYPES and not part.startswith("literal["):
            words.append(one_line(part))
    return ".".join(words).replace(".[", "[")


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that are known at the place where an unknown one was found."""
    tags = _tags(model)
    for part in location[:-1]:
        inside = next(_models_in(_fields(model)[part].annotation), model) if part in _fields(model) else model
        model = tags.get(part, inside) if isinstance(part, str) else model
    return [str(key) for key in _fields(model)]


def _fields(model: type[BaseModel]) -> dict[str | int, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


@cache
def _tags(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the models anywhere inside a model that a union tells apart, each by its tag: `sgd`, `greater`."""
    found: dict[str, type[BaseModel]] = {}
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            tag = inner.model_fields.get("kind") or inner.model_fields.get("name")
            found |= dict.fromkeys(get_args(tag.annotation) if tag else (), inner) | _tags(inner)
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - a type expression
    """Yield the models inside a type expression such as `tuple[Case, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
