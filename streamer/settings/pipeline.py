"""When the pipeline commits, and how long it may drain."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from streamer.settings.fields import Section


class PipelineSettings(Section):
    commit_interval_ms: PositiveInt = 1000
    """How often offsets are committed; with `exactly_once` also the length of a transaction, which delays results."""
    commit_max_records: PositiveInt = 20_000
    """Commit early after this many results; with `exactly_once` about the largest size of a worker's transaction."""
    revoke_timeout_ms: Annotated[int, Field(ge=0)] = 10_000
    """Time to finish the records in flight when partitions are revoked; below `kafka.rebalance_timeout_ms`."""
    drain_timeout_ms: PositiveInt = 25_000
    """Time to finish the records in flight on SIGTERM or SIGINT before giving up on them."""
