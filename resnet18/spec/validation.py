"""A model's value from what a file or an option says; what is wrong there is told by the key that the user wrote."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from resnet18.spec.errors import SpecError, did_you_mean, one_line, with_list

M = TypeVar("M", bound=BaseModel)

SENTENCES = {
    "missing": 'the key "{key}" is missing',
    "extra_forbidden": 'unknown key "{key}"',
    "literal_error": "{key}: unknown value {text}",
    "string_pattern_mismatch": "{key}: {text} has a character that is not allowed here",
    "model_attributes_type": '{key}: must be a table such as {{ name = "…" }}, got {text}',
    "union_tag_not_found": "{key}: the key {discriminator} is missing (a case replaces a table as a whole)",
    "union_tag_invalid": '{key}: unknown name "{tag}"',
    "value_error": "{key}: {error}",
}
"""What is wrong, by pydantic's name for it; anything else is told in pydantic's words."""
HOW_TO_ADD = 'to add one, see benchmarks/README.md, "What is not here"'


def validated(model: type[M], values: Mapping[str, Any], where: str, next_step: str = "") -> M:
    """Return the value of a model; SpecError names pydantic's findings, the first with the values that are allowed."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _error_of(where, model, error, next_step) from None


def _error_of(where: str, model: type[BaseModel], error: ValidationError, next_step: str) -> SpecError:
    # An array whose items are all wrong is also "too short": that is no second mistake. Nor is a value that stands
    # under another key as well, which nobody wrote.
    found = {(one["type"], one["loc"][1:] or one["loc"], id(one["input"])): one for one in error.errors()[::-1]}
    findings = [one for one in reversed(found.values()) if one["type"] != "too_short"] or error.errors()
    told = [_sentence(model, one) for one in findings[:6]]
    text, allowed = told[0]
    if len(told) > 1:  # each has its own list
        more = [f"{len(findings) - len(told)} more"] if len(findings) > len(told) else []
        text, allowed = "\n  also: ".join([*(with_list(*one) for one in told), *more]), []
    if findings[0]["type"] == "union_tag_invalid" or findings[0]["loc"] == ("model",):
        next_step = next_step or HOW_TO_ADD
    return SpecError(where, text, allowed=allowed, next_step=next_step)


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
