"""Requests in versions that aiokafka lacks. Field names are those of Kafka's message definitions.

- Metadata and DescribeGroups with KIP-430's `authorized_operations`. Older brokers get the previous version, which
  does not have it.
- OffsetFetch with KIP-447's `require_stable`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Any

from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeGroupsRequest_v2
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

from streamer.events import TopicPartition
from streamer.kafka.patches import DescribeGroupsRequest_v3

_NOT_REPORTED = -(1 << 31)  # The default of `authorized_operations`.
# Error code UNSTABLE_OFFSET_COMMIT, which aiokafka does not know: a transaction that commits this offset is ending.
_UNSTABLE_OFFSET_COMMIT = 88


class Operation(IntEnum):
    """The ACL operations that we use, with their protocol codes."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8


def authorized_operations(bits: int) -> frozenset[Operation] | None:
    """The operations in an `authorized_operations` field, where bit n stands for the operation with code n.

    None if the broker did not report them.
    """
    return None if bits == _NOT_REPORTED else frozenset(operation for operation in Operation if bits >> operation & 1)


class MetadataResponse_v8(Response):  # type: ignore[misc]  # aiokafka ships no types.
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("topic_authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class MetadataRequest_v8(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse_v8
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class TopicMetadataRequest(Request[MetadataRequest_v5 | MetadataRequest_v8]):  # type: ignore[misc]
    """Metadata of the named topics. Never creates a topic."""

    API_KEY = 3

    def __init__(self, names: Collection[str]) -> None:
        self._names = list(names)

    def build(self, struct: Any) -> Any:
        return struct(self._names, False) if struct is MetadataRequest_v5 else struct(self._names, False, False, True)


class DescribeGroupRequest(Request[DescribeGroupsRequest_v2 | DescribeGroupsRequest_v3]):  # type: ignore[misc]
    """The description of one group."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, struct: Any) -> Any:
        return struct([self._group]) if struct is DescribeGroupsRequest_v2 else struct([self._group], True)


class OffsetFetchResponse_v7(Response):  # type: ignore[misc]  # aiokafka ships no types.
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString()),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("committed_offset", Int64),
                        ("committed_leader_epoch", Int32),
                        ("metadata", CompactString()),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class OffsetFetchRequest_v7(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetFetchResponse_v7
    SCHEMA = Schema(
        ("group_id", CompactString()),
        (
            "topics",
            CompactArray(("name", CompactString()), ("partition_indexes", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class OffsetFetchRequest(Request[OffsetFetchRequest_v7]):  # type: ignore[misc]
    """The committed offsets of a group."""

    API_KEY = 9

    def __init__(self, group: str, partitions: Sequence[TopicPartition], require_stable: bool) -> None:
        topics: dict[str, list[int]] = {}
        for topic, partition in partitions:
            topics.setdefault(topic, []).append(partition)
        by_topic: list[Any] = [(topic, indexes, {}) for topic, indexes in topics.items()]
        self._fields: tuple[Any, ...] = group, by_topic, require_stable, {}

    def build(self, struct: Any) -> Any:
        return struct(*self._fields)


def committed_offsets(response: Any) -> dict[TopicPartition, int] | None:
    """The offsets of an OffsetFetch response; None if some are not stable yet. Raises KafkaError."""
    offsets, codes = {}, {response.error_code}
    for topic, partitions, _ in response.topics:
        for partition, offset, _, _, code, _ in partitions:
            offsets[TopicPartition(topic, partition)] = offset
            codes.add(code)
    for code in codes - {0, _UNSTABLE_OFFSET_COMMIT}:
        raise for_code(code)()
    return None if _UNSTABLE_OFFSET_COMMIT in codes else offsets
