"""Turn pydantic's findings into sentences: where, what, which values are allowed."""

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from resnet18.spec import augmentation, claim, optimizer
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.text import one_line

UNIONS = (augmentation.Operation, optimizer.Optimizer, optimizer.Schedule)
TYPES = frozenset({"int", "constrained-int", "constrained-str"})
CHECKS: tuple[type[BaseModel], ...] = get_args(get_args(claim.Check)[0])
BY_TAG: dict[str, type[BaseModel]] = {
    model.model_fields["name"].default: model for union in UNIONS for model in get_args(get_args(union)[0])
} | {kind: model for model in CHECKS for kind in get_args(model.model_fields["kind"].annotation)}


HOW_TO_ADD = 'to add one, see benchmarks/README.md, "What is not here"'
SENTENCES = {
    "missing": 'the key "{key}" is missing',
    "string_pattern_mismatch": "{key}: {value} has a character that is not allowed here",
    "model_attributes_type": '{key}: must be a table such as {{ name = "…" }}, got {value}',
}


def spec_error(where: str, model: type[BaseModel], error: ValidationError, next_step: str = "") -> SpecError:
    """Return one error that names every finding, the first one in full."""
    findings = error.errors(include_url=False)
    # An array whose items are all wrong is also "too short": that is no second mistake.
    findings = [one for one in findings if one["type"] != "too_short"] or findings
    text, allowed = _sentence(model, findings[0])
    more = "".join(f"\n  also: {_sentence(model, finding)[0]}" for finding in findings[1:6])
    return SpecError(where, text + more, allowed=allowed, next_step=next_step or _next_step(findings[0]))


def _next_step(finding: ErrorDetails) -> str:
    """Return where it says how to add what is not known: an optimizer, an operation, a schedule or a network."""
    named = finding["type"] == "union_tag_invalid" and finding["ctx"]["discriminator"] == "'name'"
    return HOW_TO_ADD if named or (finding["type"], finding["loc"]) == ("literal_error", ("model",)) else ""


def _sentence(model: type[BaseModel], finding: ErrorDetails) -> tuple[str, tuple[str, ...]]:
    """Return what is wrong, key first, and the allowed values where there is a list of them."""
    key = dotted(finding["loc"])
    context = finding.get("ctx", {})
    if text := SENTENCES.get(finding["type"]):
        return text.format(key=key, value=_shown(finding["input"])), ()
    match finding["type"]:
        case "extra_forbidden":
            fields = _fields(model, finding["loc"])
            word = str(finding["loc"][-1])
            return f'unknown key "{key}"{did_you_mean(word, fields)}', tuple(sorted(fields))
        case "union_tag_not_found":
            tag = context["discriminator"].strip("'")
            hint = " (a case replaces the whole table, not single keys of it)" if tag == "name" else ""
            return f'{key}: the key "{tag}" is missing{hint}', ()
        case "union_tag_invalid":
            tags = tuple(sorted(tag.strip(" '") for tag in context["expected_tags"].split(",")))
            return f'{key}: unknown name "{context["tag"]}"{did_you_mean(context["tag"], tags)}', tags
        case "value_error":
            text = str(context["error"])
            return (f"{key}: {text}" if key else text), ()
        case _:
            message = finding["msg"].removeprefix("Input should be ")
            known = re.findall("'([^']*)'", str(context.get("expected", "")))
            hint = did_you_mean(str(finding["input"]), known)
            return f"{key}: must be {message}, got {_shown(finding['input'])}{hint}", ()


def _shown(value: object) -> str:
    """Return a value as TOML would write it, cut where it is long."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text.replace("'", '"') if len(text) <= 60 else text[:57] + "..."


def dotted(location: tuple[int | str, ...]) -> str:
    """Return pydantic's location as the key that a user wrote: tags of unions and types are not part of it."""
    words: list[str] = []
    for part in location:
        if isinstance(part, int):
            words.append(f"[{part + 1}]")
        elif part not in BY_TAG and part not in TYPES and not part.startswith("literal["):
            words.append(one_line(part))
    return ".".join(words).replace(".[", "[")


def _fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys known at the place where an unknown one was found."""
    for part in reversed(location[:-1]):
        if isinstance(part, str) and part in BY_TAG:
            return list(BY_TAG[part].model_fields)
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _inner_model(model.model_fields[part].annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _inner_model(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - a type expression
    """Return the model inside a type expression such as `tuple[Case, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _inner_model(argument))), None)
