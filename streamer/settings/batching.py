"""How reviews are put into batches."""

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
    """Most reviews in a batch."""
    max_padded_tokens: PositiveInt = 16_384
    """Most tokens in a batch, padding included: reviews times the longest of them."""
    max_tokens_in_flight: PositiveInt = 262_144
    """Reading pauses while this many tokens are admitted and not yet published."""
