"""The one kind of model that the suite describes things with: strict, frozen, unknown keys refused."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Strict

T = TypeVar("T")

# TOML and JSON know arrays, not tuples: the container converts, its items stay strict.
Items = Annotated[tuple[T, ...], Strict(False)]


class Model(BaseModel):
    """A frozen value: no coercion, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
