"""What is on its way through the pipeline: its place in the order, its size, and when it was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from streamer.events import Outgoing, Record, Review, TopicPartition
from streamer.pipeline.sequencer import Ticket
from streamer.text import Encoded

CHUNK = 256  # Records handled in one go: bounds how long the event loop is held.
_BYTES_PER_TOKEN = 64  # A record with more counts by its bytes: the cap on tokens bounds memory as well.

Chunk = list[tuple[TopicPartition, Sequence[Record]]]


class Admitted(NamedTuple):
    """A review that waits for the model, or is with it; the rest is as in Finished."""

    ticket: Ticket
    review: Review
    encoded: Encoded
    tokens: int
    read_at: float


class Finished(NamedTuple):
    """A record whose result waits for its turn to be published.

    tokens: what it counts against the cap in flight, at least 1. read_at: monotonic, in seconds.
    """

    outgoing: Outgoing
    record: Record
    tokens: int
    read_at: float


def tokens_in_flight(record: Record, encoded: Encoded | None) -> int:
    """What a record counts against the cap in flight: its tokens, or its bytes where it has many for its tokens."""
    return max(1, len(encoded or ()), len(record.value or b"") // _BYTES_PER_TOKEN)


def chunks(polled: Mapping[TopicPartition, Sequence[Record]]) -> Iterator[Chunk]:
    """Records by partition in portions of CHUNK over all partitions: each portion is one call to a thread."""
    chunk: Chunk = []
    room = CHUNK
    for partition, records in polled.items():
        begin = 0
        while begin < len(records):
            piece = records[begin : begin + room]
            chunk.append((partition, piece))
            begin, room = begin + len(piece), room - len(piece)
            if not room:
                yield chunk
                chunk, room = [], CHUNK
    if chunk:
        yield chunk
