"""The level and the format of the log."""

from __future__ import annotations

from typing import Literal

from streamer.settings.fields import Section


class LogSettings(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Review text is logged at DEBUG only."""
    format: Literal["text", "json"] = "text"
    """`json`: one object per line."""
