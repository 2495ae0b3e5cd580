"""How batches are formed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from streamer.settings.fields import Section


class BatchingSettings(Section):
    policy: Literal["length", "arrival"] = "length"
    """How batches are formed: `length` groups reviews of similar length, `arrival` takes them in order of arrival."""
    max_wait_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    """A review that has waited this long goes into the next batch."""
    max_reviews: Annotated[int, Field(ge=1, le=4096)] = 256
    """Maximum number of reviews in a batch."""
    max_padded_tokens: PositiveInt = 16_384
    """Maximum number of tokens in a batch, including padding: the number of reviews times the length of the longest."""
    max_tokens_in_flight: PositiveInt = 262_144
    """Reading pauses while this many admitted tokens are not yet published."""
