"""Everything that speaks to Kafka: the only user of aiokafka.

consumer: reads records with pause and resume, tells of rebalances, commits.
producer: publishes releases in batches; at-least-once delivery.
patches: workarounds for aiokafka.
counts: publishes trends with each commit. latest: the last message of each source of them.
security: TLS and SASL. topic_reader: reads a topic outside of any group.
check: what `streamer check` asks the cluster.
"""

from streamer.kafka.check.checks import check_cluster, ensure_topics
from streamer.kafka.check.topics import missing_topics
from streamer.kafka.counts import TrendDelivery, TrendPublisher
from streamer.kafka.errors import BrokerUnreachable, KafkaFault, PublishRefused, TopicMissing
from streamer.kafka.exactly_once import ExactlyOnce
from streamer.kafka.patches import apply
from streamer.kafka.producer import AtLeastOnce, Publisher
from streamer.kafka.security import client_options
from streamer.kafka.source import Consumer
from streamer.kafka.topic_reader import TopicReader

__all__ = [
    "AtLeastOnce",
    "BrokerUnreachable",
    "Consumer",
    "ExactlyOnce",
    "KafkaFault",
    "PublishRefused",
    "Publisher",
    "TopicMissing",
    "TopicReader",
    "TrendDelivery",
    "TrendPublisher",
    "check_cluster",
    "client_options",
    "ensure_topics",
    "missing_topics",
]

apply()
