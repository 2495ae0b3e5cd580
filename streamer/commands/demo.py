"""`streamer demo`: the main job on an embedded broker."""

from __future__ import annotations

from streamer.demo.reviews import demo

__all__ = ["demo"]
