"""The sections' base class and shared field types. Each type's errors are words, and none quotes the value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from streamer.printable import why_not_a_path

TOPIC_CHARACTERS = 249  # Kafka's limit.
_TOPIC = re.compile(r"[a-zA-Z0-9._-]*")


def check_topic(name: str) -> str:
    """The name, if Kafka allows it for a topic. Raises ValueError, which says what it does not allow."""
    if not name:
        raise ValueError("must not be empty")
    if not _TOPIC.fullmatch(name):
        raise ValueError("a topic's name has no characters but a to z, A to Z, 0 to 9, '.', '_' and '-'")
    if len(name) > TOPIC_CHARACTERS:
        raise ValueError(f"a topic's name has at most {TOPIC_CHARACTERS} characters, and this has {len(name)}")
    if name in (".", ".."):
        raise ValueError("Kafka allows no topic called '.' or '..'")
    return name


def _has_no_empty_part(path: str) -> str:
    if not all(path.split(".")):
        raise ValueError("a dotted path has an empty part")
    return path


def _may_be_a_path(path: Path) -> Path:
    if (reason := why_not_a_path(path)) is not None:
        raise ValueError(reason)
    return path


def split_url(url: str, what: str) -> SplitResult:
    """The parts of an http or https URL without a user or password. Raises ValueError, which names `what`."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # Raises ValueError for what is no number.
    except ValueError:
        raise ValueError(f"{what} is not a valid URL") from None
    if not url.isprintable() or " " in url:
        raise ValueError(f"{what} is not a valid URL: it has blanks or control characters")
    return parts


Topic = Annotated[str, AfterValidator(check_topic)]
FieldPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_has_no_empty_part)]
FilePath = Annotated[Path, AfterValidator(_may_be_a_path)]


class Section(BaseModel):
    """A frozen section. Its attribute docstrings become the descriptions in docs/operations.md.

    No error quotes a value, since a value may be a secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)
