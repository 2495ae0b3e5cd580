"""Whether topics are there."""

from __future__ import annotations

from streamer.kafka.cluster import TopicHidden, connected
from streamer.settings import KafkaSettings


async def missing_topics(kafka: KafkaSettings, *topics: str) -> list[str]:
    """Those of the topics that do not exist, or may not be seen. Raises BrokerUnreachable."""
    found = []
    async with connected(kafka) as cluster:
        for topic in topics:
            try:
                if await cluster.topic(topic) is None:
                    found.append(topic)
            except TopicHidden:
                found.append(topic)
    return found
