"""Values from outside: strict models, JSON and TOML within limits, and pydantic's findings as sentences."""

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Strict, ValidationError
from pydantic_core import ErrorDetails

from resnet18.spec.errors import SpecError, did_you_mean, one_line

T = TypeVar("T")

# TOML and JSON know arrays, not tuples: the container converts, its items stay strict.
Items = Annotated[tuple[T, ...], Strict(False)]

MOST_DOTS = 100
"""On a line of TOML. A dotted key costs the parser the square of its parts: 100,000 of them fill any memory."""
LARGEST = 2**64
"""Of whole numbers. Larger ones, written in hexadecimal, cannot even be printed in a message."""
DEEPEST = 64
"""Tables and arrays inside one another."""
TYPES = frozenset({"int", "constrained-int", "constrained-str"})
SENTENCES = {
    "missing": 'the key "{key}" is missing',
    "string_pattern_mismatch": "{key}: {text} has a character that is not allowed here",
    "model_attributes_type": '{key}: must be a table such as {{ name = "…" }}, got {text}',
}
HOW_TO_ADD = 'to add one, see benchmarks/README.md, "What is not here"'


class Model(BaseModel):
    """A frozen value: no coercion, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def strict_json(content: bytes | str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text; ValueError if it is none, or something of it is doubtful.

    Doubtful are a key that is there twice (of which json would keep the last), NaN and infinity (which it would take),
    numbers of thousands of digits, and depths that cannot be followed.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ValueError(f'key "{key}" is there twice')
            found[key] = value
        return found

    def no_number(text: str) -> None:
        raise ValueError(f"{text} is no JSON")

    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        return json.loads(text, object_pairs_hook=once, parse_constant=no_number)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML text; ValueError if it is none, or beyond a limit."""
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
    (text, allowed), *others = (_sentence(model, finding) for finding in findings[:6])
    text += "".join(f"\n  also: {other}" for other, _ in others)
    is_choice = findings[0]["type"] == "union_tag_invalid" and findings[0]["ctx"]["discriminator"] == "'name'"
    if is_choice or (findings[0]["type"], findings[0]["loc"]) == ("literal_error", ("model",)):
        next_step = next_step or HOW_TO_ADD
    return SpecError(where, text, allowed=allowed, next_step=next_step)


def _sentence(model: type[BaseModel], finding: ErrorDetails) -> tuple[str, tuple[str, ...]]:
    """Return what is wrong, key first, and the allowed values where there is a list of them."""
    value, context = finding["input"], finding.get("ctx", {})
    key, known = _place(model, finding["loc"])
    text = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')  # as TOML has it
    text = text if len(text) <= 60 else text[:57] + "..."
    if sentence := SENTENCES.get(finding["type"]):
        return sentence.format(key=key, text=text), ()
    match finding["type"]:
        case "extra_forbidden":
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
    return f"{key}: must be {message}, got {text}{hint}", ()


def _place(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """Return pydantic's location as the key that a user wrote, and the keys that are known beside it."""
    words, inner, tags = "", model, _tags(model)
    known = _keys(model)
    for part in location:
        if isinstance(part, int):
            words += f"[{part + 1}]"
        elif part in tags:
            inner = tags[part]
        elif part not in TYPES and not part.startswith("literal["):
            words += f".{one_line(part)}" if words else one_line(part)
            known = _keys(inner)
            inner = known.get(part, inner)
    return words, list(known)


def _keys(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the keys of a model as a user writes them, each with the model inside it, else the model itself."""
    fields = model.model_fields.items()
    return {field.alias or name: next(_models_in(field.annotation), model) for name, field in fields}


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
