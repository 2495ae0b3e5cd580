"""Everything that talks to Kafka. No other package imports aiokafka.

| module | what is in it |
|---|---|
| source | the consumer: reads records, runs rebalance callbacks, commits |
| producer | the publisher: sends messages in batches |
| at_least_once | delivery that publishes, then commits |
| exactly_once | delivery by transactions |
| transactions, transaction_state | the transactions of one input partition, and their states |
| transactional_ids | the requests of exactly-once delivery outside of transactions |
| records | aiokafka's records as ours |
| topic_reader | reads a topic without a consumer group, forwards or backwards |
| cluster | requests to the cluster about topics and permissions; creates topics |
| check | the checks of `streamer check` |
| security, tls | TLS and SASL; the SSL context |
| protocol | requests in versions that aiokafka lacks |
| patches | every workaround for aiokafka |
| errors | cluster errors that stop the service |
"""

from streamer.kafka import patches
from streamer.kafka.at_least_once import AtLeastOnce
from streamer.kafka.check.checks import check_cluster
from streamer.kafka.check.topics import ensure_topics, missing_topics
from streamer.kafka.errors import BrokerUnreachable, KafkaFault, PublishRefused, TopicMissing
from streamer.kafka.exactly_once import ExactlyOnce
from streamer.kafka.producer import BATCH_BYTES, Publisher
from streamer.kafka.security import client_options
from streamer.kafka.source import Consumer
from streamer.kafka.topic_reader import BackwardReader, TopicReader, read_backwards
from streamer.kafka.transactions import TransactionParticipant

__all__ = [
    "BATCH_BYTES",
    "AtLeastOnce",
    "BackwardReader",
    "BrokerUnreachable",
    "Consumer",
    "ExactlyOnce",
    "KafkaFault",
    "PublishRefused",
    "Publisher",
    "TopicMissing",
    "TopicReader",
    "TransactionParticipant",
    "check_cluster",
    "client_options",
    "ensure_topics",
    "missing_topics",
    "read_backwards",
]

patches.apply()
