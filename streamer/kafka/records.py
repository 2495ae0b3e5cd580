"""Converts aiokafka's records to ours."""

from __future__ import annotations

from typing import Any

from streamer.events import Record


def to_record(read: Any) -> Record:
    """Convert aiokafka's `ConsumerRecord`."""
    return Record(
        topic=read.topic,
        partition=read.partition,
        offset=read.offset,
        timestamp=read.timestamp,
        key=read.key,
        value=read.value,
        headers=tuple(read.headers),
    )
