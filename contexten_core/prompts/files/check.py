"""Check a parsed file with a pydantic model, and say what is wrong in words, with the place of each problem."""

from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from contexten_core.prompts.files.problems import Path, kind_of, near
from contexten_core.prompts.files.yaml import Document
from contexten_core.security.text import one_line

M = TypeVar("M", bound=BaseModel)

_MOST_LOOKED_AT = 200
_OF_A_KEY = "[key]"
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def validated(document: Document, model: type[M], value: Any, path: Path = ()) -> M | None:
    """Return a value of the document as a model, or None, having added what is wrong to the document's problems."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for problem in error.errors(include_url=False)[:_MOST_LOOKED_AT]:
            _tell(document, model, problem, path)
        return None


def _tell(document: Document, model: type[BaseModel], problem: ErrorDetails, path: Path) -> None:
    location = tuple(part for part in problem["loc"] if part != _OF_A_KEY)
    here, kind = (*path, *location), problem["type"]
    is_key = problem["loc"][-1:] == (_OF_A_KEY,)
    name = str(location[-1]) if location else ""
    if kind == "missing":
        document.complain(here[:-1], f"`{name}` is missing")
    elif kind == "extra_forbidden":
        known = _model_at(model, location[:-1]).model_fields
        what = f"{one_line(name, 80)!r} is no key here"
        document.complain(here, f"{what}{near(name, known) or f'; known are {_listed(known)}'}", at_key=True)
    elif kind == "enum":
        known = problem.get("ctx", {})["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        given = name if is_key else problem["input"]
        meant = near(given, known) if isinstance(given, str) else ""
        document.complain(here, f"must be one of {_listed(known)}, not {kind_of(given)}{meant}", at_key=is_key)
    elif kind in _WANTED:
        given = problem["input"]
        quotes = "; put it in quotes" if kind == "string_type" and isinstance(given, bool | int | float) else ""
        document.complain(here, f"must be {_WANTED[kind]}, not {kind_of(given)}{quotes}")
    elif kind == "string_pattern_mismatch":
        pattern = problem.get("ctx", {})["pattern"]
        document.complain(
            here, f"{kind_of(name if is_key else problem['input'])} is not of the form {pattern}", at_key=is_key
        )
    elif kind == "literal_error":
        document.complain(here, f"can only be {str(problem.get('ctx', {})['expected']).lower()}")
    else:
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
        document.complain(here, message)


def _model_at(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel]:
    """Return the model of the mapping that is at a place within another's."""
    annotation: Any = model
    for part in location:
        fields = annotation.model_fields if _is_model(annotation) else {}
        inside = fields[part].annotation if part in fields else annotation
        annotation = _innermost(inside) or annotation
    return annotation if _is_model(annotation) else model


def _innermost(annotation: Any) -> Any:
    if _is_model(annotation):
        return annotation
    return next((found for inside in get_args(annotation) if (found := _innermost(inside))), None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _listed(names: Any) -> str:
    return ", ".join(names)
