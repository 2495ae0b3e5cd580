"""Everything that speaks to Kafka: the only user of aiokafka.

consumer: reads records with pause and resume, tells of rebalances, commits.
producer: publishes releases in batches; at-least-once delivery.
connections: what aiokafka needs mended.
counts: publishes trends with each commit. latest: the last message of each source of them.
security: TLS and SASL. tail: reads a topic beside the groups. admin: what `streamer check` asks the cluster.
"""

from streamer.kafka.check.checks import check_cluster, ensure_topics
from streamer.kafka.check.topics import absent
from streamer.kafka.counts import Counting, Counts
from streamer.kafka.errors import BrokerUnreachable, KafkaFault, PublishRefused, TopicMissing
from streamer.kafka.exactly_once import ExactlyOnce
from streamer.kafka.patches import mend
from streamer.kafka.producer import AtLeastOnce, Publisher
from streamer.kafka.security import client_options
from streamer.kafka.source import Consumer
from streamer.kafka.topic_reader import Tail

__all__ = [
    "AtLeastOnce",
    "BrokerUnreachable",
    "Consumer",
    "Counting",
    "Counts",
    "ExactlyOnce",
    "KafkaFault",
    "PublishRefused",
    "Publisher",
    "Tail",
    "TopicMissing",
    "absent",
    "check_cluster",
    "client_options",
    "ensure_topics",
]

mend()
