"""Requests in versions that aiokafka does not have; the fields are named as Kafka's message definitions name them.

Two with what KIP-430 added to them, `authorized_operations`, in the last versions before the protocol's flexible ones:
older brokers are asked in the version before, and tell less. One with KIP-447's `require_stable`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Any

from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeGroupsRequest_v2, DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
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

_SILENT = -(1 << 31)
_UNSTABLE = 88  # UNSTABLE_OFFSET_COMMIT, a transaction over this offset is being ended; not in aiokafka's list.


class Operation(IntEnum):
    """What an ACL may allow, by its code in the protocol: those that matter to us."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8


def operations(bits: int) -> frozenset[Operation] | None:
    """What an `authorized_operations` field allows: bit n stands for the operation with code n.

    None where the broker keeps silent, as the protocol's default says.
    """
    return None if bits == _SILENT else frozenset(operation for operation in Operation if bits >> operation & 1)


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


class TopicsRequest(Request[MetadataRequest_v5 | MetadataRequest_v8]):  # type: ignore[misc]
    """Metadata of the topics named; asking creates none of them."""

    API_KEY = 3

    def __init__(self, names: Collection[str]) -> None:
        self._names = list(names)

    def build(self, struct: Any) -> Any:
        return struct(self._names, False) if struct is MetadataRequest_v5 else struct(self._names, False, False, True)


class DescribeGroupsRequest_v3_told(DescribeGroupsRequest_v3):  # type: ignore[misc]
    RESPONSE_TYPE = DescribeGroupsResponse_v3  # aiokafka 0.14 reads the answer as version 2: without the field.


class GroupRequest(Request[DescribeGroupsRequest_v2 | DescribeGroupsRequest_v3_told]):  # type: ignore[misc]
    """The description of one group."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, struct: Any) -> Any:
        return struct([self._group]) if struct is DescribeGroupsRequest_v2 else struct([self._group], True)


class OffsetsResponse_v7(Response):  # type: ignore[misc]  # aiokafka ships no types.
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


class OffsetsRequest_v7(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetsResponse_v7
    SCHEMA = Schema(
        ("group_id", CompactString()),
        (
            "topics",
            CompactArray(("name", CompactString()), ("partition_indexes", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class OffsetsRequest(Request[OffsetsRequest_v7]):  # type: ignore[misc]
    """OffsetFetch in the version that knows `require_stable`, which aiokafka's does not."""

    API_KEY = 9

    def __init__(self, group: str, partitions: Sequence[TopicPartition], stable: bool) -> None:
        topics: dict[str, list[int]] = {}
        for topic, number in partitions:
            topics.setdefault(topic, []).append(number)
        self._fields: tuple[Any, ...] = group, [(topic, numbers, {}) for topic, numbers in topics.items()], stable, {}

    def build(self, struct: Any) -> Any:
        return struct(*self._fields)


def offsets_of(answer: Any) -> dict[TopicPartition, int] | None:
    """None where some are not stable yet. Raises KafkaError."""
    offsets, codes = {}, {answer.error_code}
    for topic, partitions, _ in answer.topics:
        for number, offset, _, _, code, _ in partitions:
            offsets[TopicPartition(topic, number)] = offset
            codes.add(code)
    for code in codes - {0, _UNSTABLE}:
        raise for_code(code)()
    return None if _UNSTABLE in codes else offsets
