"""Dead letters: their topic, and the limit on their share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from streamer.settings.fields import Section, Topic


class DeadLetterSettings(Section):
    topic: Topic | None = None
    """Topic of the dead letters; unset, `<input.topic>.dlq`."""
    max_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The service stops with exit code 5 when the share of dead letters in the window exceeds this; 1 means never."""
    window: PositiveInt = 1000
    """Number of latest records that the share is computed from; it is not checked before that many have been read."""
