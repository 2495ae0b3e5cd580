"""The output: its topic and the contents of a result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from streamer.settings.fields import Section, Topic


class OutputSettings(Section):
    topic: Topic = "reviews.labelled"
    """Topic to write results to."""
    evidence_tokens: Annotated[int, Field(ge=0, le=4096)] = 5
    """Number of strongest tokens to report as evidence; 0 turns evidence off."""
    include_input: bool = False
    """Whether a result includes its input."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "zstd"
    """Compression of published messages."""
