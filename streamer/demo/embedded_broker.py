"""The embedded broker: a small in-memory Kafka for the demo and for tests without Docker or Java.

It is the mock cluster of librdkafka, which the optional dependency confluent-kafka includes, in a child
process: one node on a loopback port, with the real wire protocol. Measured with aiokafka 0.14 and
librdkafka 2.16, it has topics, plain and idempotent producers, every compression, headers, timestamps,
consumer groups of one member and committed offsets. It lacks

- retention: it keeps about the last 5 MB of each partition in memory; for a consumer that is further behind,
  offsets are out of range;
- duplicate detection: idempotent producers are accepted, but a batch sent twice is stored twice;
- rebalancing: a second aiokafka member gets `InvalidRequestError`, and commits are refused while it joins;
- transactions (nothing is isolated or fenced), the admin API, lookup of offsets by time, security.

Topics created on first use have four partitions.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any, Self, cast

_REPLY_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 2.0


class BrokerError(Exception):
    """The embedded broker could not be started, or refused a request."""


class EmbeddedBroker:
    """A broker that runs inside a `with` block, in a child process that ends with its parent.

        with EmbeddedBroker({"reviews": 6}) as broker:
            AIOKafkaProducer(bootstrap_servers=broker.bootstrap)

    `topics` maps the topics to create at the start to their number of partitions. Entering raises BrokerError if
    confluent-kafka is missing or the broker does not answer within `start_timeout_s`. The child has its own
    session: a Ctrl-C at the terminal does not reach it, so that the parent can still drain. It ends when the parent and
    all processes that were forked from it without exec have ended, even by kill -9. Not thread-safe.
    """

    def __init__(self, topics: Mapping[str, int] | None = None, *, start_timeout_s: float = 10.0) -> None:
        self._topics = dict(topics or {})
        self._start_timeout_s = start_timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._bootstrap = ""

    @property
    def bootstrap(self) -> str:
        """The address for `bootstrap.servers`, as `127.0.0.1:port`."""
        if not self._bootstrap:
            raise BrokerError("the embedded broker is not running")
        return self._bootstrap

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._running().pid

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic. Raises BrokerError if it exists already or `partitions` is below one."""
        if partitions < 1:
            raise BrokerError(f"topic {name!r}: {partitions} partitions")
        stdin = cast(IO[bytes], self._running().stdin)
        try:
            stdin.write(json.dumps({"topic": name, "partitions": partitions}).encode() + b"\n")
            stdin.flush()
        except OSError as error:
            raise BrokerError("the embedded broker has ended") from error
        self._reply(_REPLY_TIMEOUT_S)

    def __enter__(self) -> Self:
        if self._child is not None:
            raise BrokerError("the embedded broker is already running")
        if importlib.util.find_spec("confluent_kafka") is None:
            raise BrokerError(
                "the embedded broker needs confluent-kafka: python -m pip install 'sentiment-streamer[demo]'"
            )
        # -P keeps this file's folder off the child's path: its modules must not shadow a library's.
        self._child = subprocess.Popen(  # noqa: S603 -- this very file, and no shell
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        try:
            self._bootstrap = str(self._reply(self._start_timeout_s)["bootstrap"])
            for name, partitions in self._topics.items():
                self.create_topic(name, partitions)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise BrokerError("the embedded broker is not running")
        return self._child

    def _reply(self, timeout_s: float) -> dict[str, Any]:
        """The child's next line. Raises BrokerError if it refuses, has ended or does not answer in time."""
        stdout = cast(IO[bytes], self._running().stdout)
        poll = select.poll()  # Not select(): it fails in a parent with more than a thousand open files.
        poll.register(stdout, select.POLLIN)
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise BrokerError(f"the embedded broker did not answer within {timeout_s:g} s")
            chunk = os.read(stdout.fileno(), 65536)
            if not chunk:
                raise BrokerError("the embedded broker has ended")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise BrokerError(str(reply["error"]))
        return reply

    def _stop(self) -> None:
        child, self._child = self._child, None
        self._bootstrap, self._unread = "", b""
        if child is None:
            return
        with child:  # Closes the pipes; the child ends when its input ends.
            cast(IO[bytes], child.stdin).close()
            try:
                child.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()


def _librdkafka() -> ctypes.CDLL:
    """librdkafka as confluent-kafka has loaded it, with the signatures of rdkafka.h and rdkafka_mock.h.

    Uses the C interface, because only it can create a topic with a chosen number of partitions: the mock cluster
    has no CreateTopics request, and confluent-kafka's own option (`test.mock.num.brokers`) has no such setting.
    """
    from confluent_kafka import cimpl

    library = ctypes.CDLL(cimpl.__file__)
    handle, text = ctypes.c_void_p, ctypes.c_char_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_conf_new": (handle, []),
        "rd_kafka_conf_set": (ctypes.c_int, [handle, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (handle, [ctypes.c_int, handle, text, ctypes.c_size_t]),
        "rd_kafka_err2str": (text, [ctypes.c_int]),
        "rd_kafka_mock_cluster_new": (handle, [handle, ctypes.c_int]),
        "rd_kafka_mock_cluster_bootstraps": (text, [handle]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [handle, ctypes.c_int32]),
        "rd_kafka_mock_topic_create": (ctypes.c_int, [handle, text, ctypes.c_int, ctypes.c_int]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _serve() -> None:
    """The child: print the address, then create each requested topic, until standard input ends."""
    try:
        kafka = _librdkafka()
    except (ImportError, OSError, AttributeError) as error:
        print(json.dumps({"error": f"no mock cluster in confluent-kafka: {error}"}), flush=True)
        return
    reason = ctypes.create_string_buffer(512)
    conf = kafka.rd_kafka_conf_new()
    kafka.rd_kafka_conf_set(conf, b"log_level", b"0", reason, len(reason))
    producer = kafka.rd_kafka_new(0, conf, reason, len(reason))
    cluster = kafka.rd_kafka_mock_cluster_new(producer, 1) if producer else None
    if not cluster:
        print(json.dumps({"error": f"librdkafka: {reason.value.decode() or 'no mock cluster'}"}), flush=True)
        return
    kafka.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    print(json.dumps({"bootstrap": kafka.rd_kafka_mock_cluster_bootstraps(cluster).decode()}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        code = kafka.rd_kafka_mock_topic_create(cluster, request["topic"].encode(), request["partitions"], 1)
        print(json.dumps({"error": kafka.rd_kafka_err2str(code).decode()} if code else {}), flush=True)
    os._exit(0)  # No clean-up: everything is in memory, and clients may still be connected.


if __name__ == "__main__":
    _serve()
