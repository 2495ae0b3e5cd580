"""aiokafka's connections on uvloop, which the worker runs on."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

import streamer.kafka  # noqa: F401  # Mends them.
from tests.brokers import Cluster

uvloop = pytest.importorskip("uvloop")


async def send_when_broken(bootstrap: str) -> None:
    """Break a connection, and send after its transport is closed and before its reader has heard of it."""
    host, port = bootstrap.split(",")[0].split(":")
    connection = await create_conn(host, int(port))
    sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send() -> None:
        assert connection._writer is not None, "it has heard already"
        try:
            connection.send(MetadataRequest([]))
        except Exception as error:
            sent.set_exception(error)
        else:
            sent.set_result(None)

    connection._writer.transport.abort()
    asyncio.get_running_loop().call_soon(send)
    try:
        await sent
    finally:
        connection.close()


def test_a_request_on_a_broken_connection_fails_as_one(cluster: Cluster) -> None:
    """With an error of Kafka's, at which clients look for another broker; not with RuntimeError, of which they die."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(KafkaConnectionError):
        runner.run(send_when_broken(cluster.bootstrap))
