"""Counts by window, and alerts on changes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from streamer.settings.fields import Section, Topic


class TrendSettings(Section):
    enabled: bool = False
    """Whether workers publish counts of their results with each commit."""
    topic: Topic | None = None
    """Topic for the counts; unset, `<output.topic>.trends`."""
    lateness_ms: Annotated[int, Field(ge=0)] = 10_000
    """Readers check a minute for alerts once event time is this far past its end."""
    early_ms: Annotated[int, Field(ge=0)] = 60_000
    """Readers ignore reviews whose event time is further in the future than this."""
    max_groups: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """Maximum number of groups that readers count separately in a window; others count in the total only."""
    alert_topic: Topic | None = None
    """Topic that `streamer trends` publishes alerts to; unset, it only prints them."""
    alert_min_reviews: PositiveInt = 50
    """A minute of a group with fewer reviews than this is not checked."""
    alert_min_minutes: PositiveInt = 10
    """Number of minutes with enough reviews that a group needs before it is checked."""
    alert_sigmas: Annotated[float, Field(gt=0, le=100)] = 4.0
    """An alert needs a share of the watched label this many standard deviations from the group's usual one."""
    alert_change: Annotated[float, Field(ge=0, le=1)] = 0.1
    """An alert also needs at least this absolute difference from the usual share."""
