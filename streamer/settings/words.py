"""Errors of validation in words: pydantic's own speak of inputs, patterns and types, and may quote a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamer.printable import printable

_NAME_CHARACTERS = 80

Context = Mapping[str, Any]

_WORDS: dict[str, str | Callable[[Context], str]] = {
    "missing": "is missing",
    "string_type": "must be a text",
    "bytes_type": "must be a text",
    "string_unicode": "must be UTF-8",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "path_type": "must be the path of a file, as a text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a table of names and values",
    "model_type": "must be a table of names and values",
    "model_attributes_type": "must be a table of names and values",
    "json_invalid": "is not JSON",
    "literal_error": lambda context: f"must be {context['expected']}",
    "enum": lambda context: f"must be {context['expected']}",
    "greater_than": lambda context: f"must be above {_number(context['gt'])}",
    "greater_than_equal": lambda context: f"must be at least {_number(context['ge'])}",
    "less_than": lambda context: f"must be below {_number(context['lt'])}",
    "less_than_equal": lambda context: f"must be at most {_number(context['le'])}",
    "string_too_short": lambda context: _at_least(context["min_length"], "characters"),
    "string_too_long": lambda context: f"must have at most {_number(context['max_length'])} characters",
    "string_pattern_mismatch": "is not written as it must be",
    "too_short": lambda context: _at_least(context["min_length"], _parts(context)),
    "too_long": lambda context: f"must have at most {_number(context['max_length'])} {_parts(context)}",
}


def in_words(error: Mapping[str, Any], unknown: str = "there is no such setting") -> str:
    """The message of one of the entries of pydantic's `ValidationError.errors()`. It does not quote the value.

    unknown: of a name that is not known.
    """
    if error["type"] == "extra_forbidden":
        return unknown
    words = _WORDS.get(error["type"])
    if words is None:  # Ours, which a validator raised.
        return str(error["msg"]).removeprefix("Value error, ")
    return words if isinstance(words, str) else words(error.get("ctx", {}))


def location(error: Mapping[str, Any]) -> tuple[str, ...]:
    """Where it is: the names of the setting and of what it is in, which may come from a file, printable."""
    return tuple(printable(str(part), _NAME_CHARACTERS) for part in error["loc"])


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parts(context: Context) -> str:
    """What the value has so many of: a secret text is of no type that pydantic names."""
    return "entries" if context.get("field_type") in ("Tuple", "List", "Set", "Dictionary") else "characters"


def _at_least(length: int, what: str) -> str:
    return "must not be empty" if length == 1 else f"must have at least {length} {what}"
