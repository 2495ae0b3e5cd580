"""When the pipeline commits, and how long it drains."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from streamer.settings.fields import Section


class PipelineSettings(Section):
    commit_interval_ms: PositiveInt = 1000
    """How often offsets are committed; with `exactly_once` also how long a transaction lasts, which delays results."""
    commit_max_records: PositiveInt = 20_000
    """Commit early after this many results; with `exactly_once` about the size of a worker's largest transaction."""
    revoke_timeout_ms: Annotated[int, Field(ge=0)] = 10_000
    """How long to finish what is in flight when partitions are revoked; below `kafka.rebalance_timeout_ms`."""
    drain_timeout_ms: PositiveInt = 25_000
    """On SIGTERM or SIGINT, how long to finish what is in flight before giving up on it."""
