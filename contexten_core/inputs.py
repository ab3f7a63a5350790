"""What comes in from people and scripts, checked before anything is written: one base for every module's inputs."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from contexten_core.errors import InvalidInputError
from contexten_core.security.text import one_line

I = TypeVar("I", bound="Input")  # noqa: E741 - an input

LONGEST_NAME = 500
LONGEST_TEXT = 1_000_000
DEEPEST_JSON = 50
LARGEST_INTEGER = 2**63 - 1
LARGEST_COUNT = 2**31 - 1
_LARGEST_JSON = 1_000_000
_MOST_TAGS = 100
_MOST_PROBLEMS = 20
_LONGEST_PLACE = 200
_LONGEST_PROBLEM = 500
_NUMBER = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")


class Input(BaseModel):
    """A set of fields that somebody gives. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, ser_json_inf_nan="null", allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """Return the fields that were given, by their names, as Python values."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def checked(model: type[I], data: Mapping[str, Any]) -> I:
    """Return `data` as an input of that kind.

    Raises:
        InvalidInputError: a field is unknown, missing, or not what it has to be; names each.
    """
    try:
        return model.model_validate(dict(data) if isinstance(data, Mapping) else data)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> InvalidInputError:
    """Return the same error in our words, without the values that were given; of very many problems the first."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    fields = {
        one_line(".".join(str(part) for part in problem["loc"]) or "input", _LONGEST_PLACE): one_line(
            problem["msg"].removeprefix("Value error, "), _LONGEST_PROBLEM
        )
        for problem in problems[:_MOST_PROBLEMS]
    }
    more = f"; and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
    return InvalidInputError("; ".join(f"{name}: {text}" for name, text in fields.items()) + more, fields=fields)


def missing(field: str, row_id: UUID) -> InvalidInputError:
    """Return the error that says that a field refers to nothing."""
    return InvalidInputError(f"{field}: there is no {row_id}", fields={field: f"there is no {row_id}"})


def absent() -> Any:
    """Stand for a field that may be left out, but whose column takes no null."""


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds a NUL character, which no database keeps")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is no character") from None
    return text


def _aware(moment: datetime) -> datetime:
    """Take a time without a zone as UTC, as `datetime.utcnow()` means it."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is a time that no calendar has in UTC") from None


def _json(value: Any) -> Any:
    """Refuse what JSON, or a database's JSON, cannot hold."""
    size = 0
    level: list[Any] = [value]
    for _ in range(DEEPEST_JSON):
        size += sum(_scalar_size(item) for item in level)
        if size > _LARGEST_JSON:
            raise ValueError(f"is larger than {_LARGEST_JSON} characters")
        level = [part for item in level for part in _parts(item)]
        if not level:
            return value
    raise ValueError(f"is nested more than {DEEPEST_JSON} levels deep")


def _parts(item: Any) -> list[Any]:
    if isinstance(item, dict):
        if any(not isinstance(key, str) for key in item):
            raise ValueError("holds a key that is not text")
        return [*item.keys(), *item.values()]
    return list(item) if isinstance(item, list | tuple) else []


def _scalar_size(item: Any) -> int:
    if isinstance(item, str):
        return len(_storable(item))
    if isinstance(item, int) and not -LARGEST_INTEGER - 1 <= item <= LARGEST_INTEGER:
        raise ValueError("holds an integer beyond 64 bits")
    if isinstance(item, float) and not math.isfinite(item):
        raise ValueError("holds a number that JSON has no word for")
    if item is not None and not isinstance(item, int | float | dict | list | tuple):
        raise ValueError(f"holds a {type(item).__name__}, which JSON has no form for")
    return 1


def _no_number(value: Any) -> Any:
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value.strip())):
        raise ValueError("is a number, not a time in ISO 8601")
    return value


Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_storable)]
Line = Annotated[str, Field(max_length=2_000), AfterValidator(_storable)]
LongText = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_storable)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,199}$")]
Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=1e9)]
Moment = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_aware)]
JSONAny = Annotated[Any, AfterValidator(_json)]
JSONObject = Annotated[dict[str, Any], AfterValidator(_json)]
JSONDocument = Annotated[dict[str, Any] | list[Any], AfterValidator(_json)]
JSONList = Annotated[list[Any], AfterValidator(_json)]
Tags = Annotated[list[Annotated[str, Field(max_length=200), AfterValidator(_storable)]], Field(max_length=_MOST_TAGS)]


class RowInput(Input):
    """The fields that every row takes, all optional here."""

    description: LongText | None = None
    metadata: JSONObject | None = None
    tags: Tags | None = None

    def columns(self) -> dict[str, Any]:
        """Return the fields that were given, by the names of the model's attributes."""
        return {"metadata_" if name == "metadata" else name: value for name, value in self.given().items()}
