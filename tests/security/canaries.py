"""Words that occur nowhere else, put where secrets and reviews are, to be looked for where they must not be."""

from __future__ import annotations

import typing
import uuid
from collections.abc import Iterable, Iterator

from pydantic import BaseModel, SecretStr


def canary() -> str:
    """A word that occurs nowhere else."""
    return f"canary{uuid.uuid4().hex}"


def paths(section: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every setting that is not a section itself, as the names that lead to it, with its annotation."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from (((name, *path), annotation) for path, annotation in paths(inner))
        else:
            yield (name,), inner


def secret_paths(section: type[BaseModel]) -> list[tuple[str, ...]]:
    """Those that are secrets, also ones that this test has never heard of."""
    return [path for path, annotation in paths(section) if SecretStr in (annotation, *typing.get_args(annotation))]


def pem_paths(section: type[BaseModel]) -> list[tuple[str, ...]]:
    """Those of the secrets that are PEM texts, which no single word is: each beside the setting of its file."""
    known = {path for path, _ in paths(section)}
    return [path for path in secret_paths(section) if (*path[:-1], f"{path[-1]}_file") in known]


def variable(prefix: str, *path: str) -> str:
    """The environment variable of a setting."""
    return f"{prefix}_" + "__".join(path).upper()


def found(words: Iterable[str], *texts: str) -> list[str]:
    """Those of the words that are in any of the texts; not empty texts, which would show nothing."""
    assert all(texts)
    return [word for word in words if any(word in text for text in texts)]
