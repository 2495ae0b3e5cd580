"""Connections that break while somebody writes to them, on uvloop."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


def _send_unless_broken(connection: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Awaitable[Any]:
    """As aiokafka's own. Raises KafkaConnectionError where the transport is gone and its reader has yet to hear of it.

    asyncio drops what is written then, and the request fails when the reader hears. uvloop raises RuntimeError, which
    aiokafka 0.14 takes for a bug: its fetch task dies of it, and so did workers whose broker was killed.
    """
    writer = connection._writer
    if writer is not None and writer.transport.is_closing():
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken")
    sent: Awaitable[Any] = _send(connection, request, expect_response)
    return sent


def apply() -> None:
    """For all of aiokafka's clients in this process: there is no other way in."""
    AIOKafkaConnection.send = _send_unless_broken
