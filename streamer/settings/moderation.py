"""Moderation rules, and the topics for held reviews and decisions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from streamer.moderation.patterns import compiled
from streamer.settings.fields import FieldPath, Section, Topic
from streamer.settings.words import in_words

_NAME = re.compile(r"[\w.-]{1,100}")


def _searchable(pattern: str) -> str:
    compiled(pattern)  # Its error is a ValueError.
    return pattern


def _as_list(value: Any) -> Any:
    """A single value stands for a list of one."""
    if value in ([], ()):
        raise ValueError("an empty list can never match")
    return value if isinstance(value, list | tuple) else (value,)


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float) or value != value:
        raise ValueError("neither a string nor a number nor a boolean")
    return value


def _is_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must have 1 to 100 characters, and none but letters, digits, '_', '.' and '-'")
    return text


Group = Annotated[str, StringConstraints(min_length=1)]
_Name = Annotated[str, AfterValidator(_is_name)]
_OneOrMore = BeforeValidator(_as_list)


class RuleSettings(Section):
    name: _Name
    """Letters, digits, `_`, `.` and `-`; unique among the rules."""
    action: Literal["allow", "review", "block"]
    """Action for reviews that meet all of the following conditions."""
    label: Annotated[tuple[_Name, ...], _OneOrMore] = ()
    """The label is this one, or one of these; the model must have them."""
    score_min: Annotated[float, Field(ge=0, le=1)] | None = None
    """The score is at least this."""
    score_max: Annotated[float, Field(ge=0, le=1)] | None = None
    """The score is at most this."""
    group: Annotated[tuple[Group, ...], _OneOrMore] = ()
    """The group is this one, or one of these; `*` matches anything."""
    pattern: Annotated[str, StringConstraints(min_length=1), AfterValidator(_searchable)] | None = None
    """Regular expression, in RE2's syntax, that matches somewhere in the original text."""
    field: FieldPath | None = None
    """Dotted path of a field in the JSON input that exists and is not null."""
    equals: Annotated[tuple[Annotated[Any, AfterValidator(_scalar)], ...], _OneOrMore] = ()
    """The value of `field` is this one, or one of these: a string, number or boolean."""

    @model_validator(mode="after")
    def _check_conditions(self) -> Self:
        if self.score_min is not None and self.score_max is not None and self.score_min > self.score_max:
            raise ValueError("score_min is above score_max")
        if self.equals and self.field is None:
            raise ValueError("equals is the value of a field: give field too")
        conditions = (self.label, self.score_min, self.score_max, self.group, self.pattern, self.field)
        if all(condition in (None, ()) for condition in conditions):
            raise ValueError("it has no condition: moderation.default is for reviews that no rule matches")
        return self


def _validate_each(rules: Any) -> Any:
    """Validate each rule on its own, so that an error names the rule, or gives its number from 1 if it has no name."""
    if not isinstance(rules, list | tuple):
        return rules
    errors: list[InitErrorDetails] = []
    valid: list[Any] = []
    names = set[str]()
    for number, raw in enumerate(rules, start=1):
        name = raw.get("name") if isinstance(raw, Mapping) else getattr(raw, "name", None)
        location = name if isinstance(name, str) and name.isprintable() and name else str(number)
        try:
            valid.append(RuleSettings.model_validate(raw))
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False):
                kind = PydanticCustomError("rule", "{why}", {"why": in_words(item)})
                errors.append(InitErrorDetails(type=kind, loc=(location, *item["loc"]), input=None))
        if isinstance(name, str):
            if name in names:
                kind = PydanticCustomError("rule", "two rules have this name")
                errors.append(InitErrorDetails(type=kind, loc=(location, "name"), input=None))
            names.add(name)
    if errors:
        raise ValidationError.from_exception_data("rules", errors, hide_input=True)
    return tuple(valid)


class ModerationSettings(Section):
    default: Literal["allow", "review", "block"] = "allow"
    """Action for reviews that no rule matches. Without any rule, moderation is off."""
    review_topic: Topic | None = None
    """Topic for a copy of each review that is not allowed; unset, `<output.topic>.review`."""
    verdict_topic: Topic | None = None
    """Topic for moderators' decisions; unset, `<output.topic>.verdicts`."""
    verdict_text: bool = False
    """Whether a moderator's decision includes the review's text, for training; every reader of the topic sees it."""
    rules: Annotated[tuple[RuleSettings, ...], BeforeValidator(_validate_each)] = ()
    """The rules, tried in order; the first that matches wins. The variable holds them as JSON."""
