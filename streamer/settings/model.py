"""The model, and where and how it runs."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from streamer.settings.fields import FilePath, Section

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def _is_sha256(digest: str) -> str:
    if not _SHA256.fullmatch(digest):
        raise ValueError("must be a SHA-256: 64 digits, 0 to 9 and a to f")
    return digest


class ModelSettings(Section):
    path: FilePath | None = None
    """Directory of the artefact; unset, the bundled model."""
    sha256: Annotated[str, AfterValidator(_is_sha256)] | None = None
    """SHA-256 of the artefact's `manifest.json`; any other artefact is refused. Unset, any artefact is accepted."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to run the model; `auto` uses CUDA where available."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Floating-point precision; `auto` uses the fastest one that reproduces the golden scores."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the model on a CPU; 0 means half of the cores, divided by the workers; the rest is for tokenising."""
    uncertain_low: Annotated[float, Field(ge=0, le=1)] | None = None
    """Scores from this one on are `uncertain`; unset, the artefact's band."""
    uncertain_high: Annotated[float, Field(ge=0, le=1)] | None = None
    """Scores from this one on get the second label; unset, the artefact's band."""
    cache_entries: Annotated[int, Field(ge=0)] = 4096
    """Number of predictions that are cached for repeated texts; 0 turns the cache off."""
    watch_ms: Annotated[int, Field(ge=0)] = 10_000
    """How often to check whether the artefact has changed and must be reloaded; 0 reloads only on SIGHUP."""

    @model_validator(mode="after")
    def _check_band(self) -> Self:
        low, high = self.uncertain_low, self.uncertain_high
        if low is not None and high is not None and low > high:
            raise ValueError("uncertain_low is above uncertain_high")
        return self
