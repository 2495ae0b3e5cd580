"""The sections' base class and shared field types."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

Topic = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


def _has_no_empty_part(path: str) -> str:
    if not all(path.split(".")):
        raise ValueError("a dotted path has an empty part")
    return path


FieldPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_has_no_empty_part)]


class Section(BaseModel):
    """A frozen section. Its attribute docstrings become the descriptions in docs/operations.md.

    No error quotes a value, since a value may be a secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)
