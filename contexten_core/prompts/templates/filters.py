"""The filters and tests that templates have: each for values of JSON alone, and bounded in what it makes.

A value that is absent, None, is an empty text to filters of text and an empty list to those of lists.
The child that renders imports this module, so it imports nothing of ours.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import Undefined

LONGEST_MADE = 200_000
"""Characters of a text that a filter or an operator makes."""

LARGEST_INTEGER = 2**63 - 1

_PLAIN = (str, int, float)
_SHOWN = 40
_WORDS = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "a list",
    range: "a list",
    dict: "an object",
    type(None): "nothing",
}


class TemplateRefusal(Exception):  # noqa: N818 - what a template asks for is refused; the parent makes the error of it
    """What a template does with a value cannot be done."""


def kind_of(value: Any) -> str:
    """Return what a value is, in the words of the types of variables."""
    return next((word for kind, word in _WORDS.items() if isinstance(value, kind)), "no value")


def bounded(text: str) -> str:
    """Return a text that was made; one that is too long is refused."""
    room_for(len(text))
    return text


def room_for(characters: int) -> None:
    """Refuse to make a text of more characters than there may be, before it is made."""
    if characters > LONGEST_MADE:
        raise TemplateRefusal(f"a text of {characters:,} characters is longer than the {LONGEST_MADE:,} there may be")


def text_of(value: Any, who: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    _defined(value)
    raise TemplateRefusal(f"{who} needs a text, and has {kind_of(value)}; `| string` makes one of it")


def number_of(value: Any, who: str) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    _defined(value)
    raise TemplateRefusal(f"{who} needs a number, and has {kind_of(value)}")


def whole_of(value: Any, who: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    _defined(value)
    raise TemplateRefusal(f"{who} needs an integer, and has {kind_of(value)}")


def items_of(value: Any, who: str) -> list[Any]:
    """Return the items of a list, or the keys of an object."""
    if isinstance(value, list | tuple | range | dict):
        return list(value)
    if value is None:
        return []
    _defined(value)
    raise TemplateRefusal(f"{who} needs a list, and has {kind_of(value)}")


def shown(value: Any) -> str:
    """Return how a value is printed: nothing for one that is absent, and as Python does for all others."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int | float | list | tuple | dict):
        return str(value)
    if isinstance(value, range):
        return str(list(value))
    if isinstance(value, Undefined):
        # Raises what is missing; what an `if` without an `else` leaves out prints nothing.
        return str(value)
    _defined(value)
    raise TemplateRefusal("this is nothing that can be printed")


def _defined(value: Any) -> None:
    if isinstance(value, Undefined):
        # Raises what is missing, in the words of whoever made it.
        str(value)


def joined(parts: Iterable[Any], separator: str = "") -> str:
    """Return parts in one text, as they are printed."""
    texts = []
    size = 0
    for part in parts:
        texts.append(shown(part))
        size += len(texts[-1]) + len(separator)
        room_for(size - len(separator))
    return separator.join(texts)


def plain(value: Any) -> Any:
    """Return what may be an item of a list that a template writes down: no list of lists of lists can be made so."""
    if value is None or isinstance(value, _PLAIN):
        return value
    _defined(value)
    raise TemplateRefusal(f"an item of a list or object has to be a text or number, and is {kind_of(value)}")


def _upper(value: Any) -> str:
    return bounded(text_of(value, "upper").upper())


def _lower(value: Any) -> str:
    return bounded(text_of(value, "lower").lower())


def _capitalize(value: Any) -> str:
    return bounded(text_of(value, "capitalize").capitalize())


def _title(value: Any) -> str:
    return bounded(text_of(value, "title").title())


def _trim(value: Any, characters: Any = None) -> str:
    return text_of(value, "trim").strip(None if characters is None else text_of(characters, "trim"))


def _replace(value: Any, old: Any, new: Any, count: Any = -1) -> str:
    text, before, after = text_of(value, "replace"), text_of(old, "replace"), text_of(new, "replace")
    times = whole_of(count, "replace")
    if not before:
        raise TemplateRefusal("replace needs a text to replace")
    found = text.count(before)
    found = found if times < 0 else min(found, times)
    room_for(len(text) + found * (len(after) - len(before)))
    return text.replace(before, after, found)


def _truncate(value: Any, length: Any = 255, killwords: Any = False, end: Any = "...") -> str:
    text, size, mark = text_of(value, "truncate"), whole_of(length, "truncate"), text_of(end, "truncate")
    if len(text) <= size:
        return text
    cut = text[: max(0, size - len(mark))]
    if not killwords and " " in cut and text[len(cut)] != " ":
        cut = cut.rsplit(" ", 1)[0]
    return cut + mark


def _indent(value: Any, width: Any = 4, first: Any = False, blank: Any = False) -> str:
    size = whole_of(width, "indent")
    room_for(size)
    return _prefixed(text_of(value, "indent"), " " * size, first=bool(first), blank=bool(blank))


def _quote(value: Any) -> str:
    return _prefixed(text_of(value, "quote"), "> ", first=True, blank=True)


def _prefixed(text: str, prefix: str, *, first: bool, blank: bool) -> str:
    lines = text.split("\n")
    room_for(len(text) + len(lines) * len(prefix))
    return "\n".join(
        f"{prefix}{line}" if (line or blank) and (position or first) else line for position, line in enumerate(lines)
    )


def _fence(value: Any, language: Any = "") -> str:
    """Return a text as a block of code that no part of it can end."""
    text = text_of(value, "fence")
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    marks = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") else "\n"
    return bounded(f"{marks}{text_of(language, 'fence')}\n{text}{end}{marks}")


def _lines(value: Any) -> list[str]:
    return text_of(value, "lines").splitlines()


def _split(value: Any, separator: Any = None, most: Any = -1) -> list[str]:
    mark = None if separator is None else text_of(separator, "split")
    if mark == "":
        raise TemplateRefusal("split needs a text to split at")
    return text_of(value, "split").split(mark, whole_of(most, "split"))


def _string(value: Any) -> str:
    return bounded(shown(value))


def _tojson(value: Any) -> str:
    _defined(value)
    return bounded(json.dumps(list(value) if isinstance(value, range) else value, ensure_ascii=False))


def _default(value: Any, other: Any = "", boolean: Any = False) -> Any:
    """Return the other where there is no value: an undefined one, an absent one, or with `boolean` an empty one."""
    if isinstance(value, Undefined) or value is None:
        return other
    return value if value or not boolean else other


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict | range) else len(items_of(value, "length"))


def _first(value: Any) -> Any:
    return next(iter(value if isinstance(value, str) else items_of(value, "first")), None)


def _last(value: Any) -> Any:
    found = value if isinstance(value, str) else items_of(value, "last")
    return found[-1] if found else None


def _join(value: Any, separator: Any = "") -> str:
    return joined(items_of(value, "join"), text_of(separator, "join"))


def _sort(value: Any, reverse: Any = False, attribute: Any = None) -> list[Any]:
    items = items_of(value, "sort")
    if attribute is None:
        return sorted(items, reverse=bool(reverse))
    return sorted(items, key=lambda item: _part(item, attribute, "sort"), reverse=bool(reverse))


def _map(value: Any, attribute: Any) -> list[Any]:
    return [_part(item, attribute, "map") for item in items_of(value, "map")]


def _part(item: Any, key: Any, who: str) -> Any:
    name = text_of(key, who)
    if isinstance(item, Mapping):
        return item.get(name)
    raise TemplateRefusal(f"{who} needs a list of objects, and one of its items is {kind_of(item)}")


def _unique(value: Any) -> list[Any]:
    seen: set[Any] = set()
    found = []
    for item in items_of(value, "unique"):
        # 1, 1.0 and True are one key, and three values.
        key = (type(plain(item)), item)
        if key not in seen:
            seen.add(key)
            found.append(item)
    return found


def _reverse(value: Any) -> Any:
    return value[::-1] if isinstance(value, str) else items_of(value, "reverse")[::-1]


def _items(value: Any) -> list[list[Any]]:
    if value is None or isinstance(value, Mapping):
        return [[key, item] for key, item in (value or {}).items()]
    _defined(value)
    raise TemplateRefusal(f"items needs an object, and has {kind_of(value)}")


def _sum(value: Any) -> int | float:
    return checked_number(sum(number_of(item, "sum") for item in items_of(value, "sum")))


def _min(value: Any) -> Any:
    return min(items_of(value, "min"), default=None)


def _max(value: Any) -> Any:
    return max(items_of(value, "max"), default=None)


def _abs(value: Any) -> int | float:
    return abs(number_of(value, "abs"))


def _round(value: Any, digits: Any = 0) -> int | float:
    number, places = number_of(value, "round"), whole_of(digits, "round")
    if not 0 <= places <= _SHOWN:
        raise TemplateRefusal(f"round takes 0 to {_SHOWN} digits")
    return round(number, places) if places else round(number)


def _int(value: Any) -> int:
    if isinstance(value, str):
        if len(value) > _SHOWN:
            raise TemplateRefusal("int needs a text of digits")
        return int(value)
    return int(number_of(value, "int"))


def _float(value: Any) -> float:
    return float(value[: 2 * _SHOWN]) if isinstance(value, str) else float(number_of(value, "float"))


def checked_number(value: float) -> int | float:
    """Return a number that was made; an integer beyond 64 bits is refused."""
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise TemplateRefusal("the result is an integer beyond 64 bits")
    return value


FILTERS: dict[str, Callable[..., Any]] = {
    "abs": _abs,
    "capitalize": _capitalize,
    "count": _length,
    "d": _default,
    "default": _default,
    "fence": _fence,
    "first": _first,
    "float": _float,
    "indent": _indent,
    "int": _int,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _length,
    "lines": _lines,
    "lower": _lower,
    "map": _map,
    "max": _max,
    "min": _min,
    "quote": _quote,
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "sort": _sort,
    "split": _split,
    "string": _string,
    "sum": _sum,
    "title": _title,
    "tojson": _tojson,
    "trim": _trim,
    "truncate": _truncate,
    "unique": _unique,
    "upper": _upper,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TESTS: dict[str, Callable[..., bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "defined": lambda value: not isinstance(value, Undefined),
    "divisibleby": lambda value, by: whole_of(value, "divisibleby") % whole_of(by, "divisibleby") == 0,
    "endswith": lambda value, end: text_of(value, "endswith").endswith(text_of(end, "endswith")),
    "eq": lambda value, other: bool(value == other),
    "equalto": lambda value, other: bool(value == other),
    "even": lambda value: whole_of(value, "even") % 2 == 0,
    "false": lambda value: value is False,
    "ge": lambda value, other: bool(value >= other),
    "gt": lambda value, other: bool(value > other),
    "in": lambda value, others: value in others,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "le": lambda value, other: bool(value <= other),
    "lt": lambda value, other: bool(value < other),
    "mapping": lambda value: isinstance(value, Mapping),
    "ne": lambda value, other: bool(value != other),
    "none": lambda value: value is None,
    "number": _is_number,
    "odd": lambda value: whole_of(value, "odd") % 2 == 1,
    "sequence": lambda value: isinstance(value, list | tuple | range),
    "startswith": lambda value, start: text_of(value, "startswith").startswith(text_of(start, "startswith")),
    "string": lambda value: isinstance(value, str),
    "true": lambda value: value is True,
    "undefined": lambda value: isinstance(value, Undefined),
}

for _name, _function in (FILTERS | TESTS).items():
    # As Python calls them where it says that there are too many arguments.
    _function.__qualname__ = _name
