"""Counts of labels by event time and group. They add up across workers even if records are read twice.

All of it is pure but the two modules that publish.

message: the messages that workers publish: counts of a range of a partition's offsets, and its owner's epoch.
buffer: a worker's counts that are not yet published.
reader: `Trends`, which merges these messages, each range once, into windows of a second, a minute and an hour.
windows: the windows, bounded in memory. anomalies: groups whose share of the watched label leaves its usual band.
schema: the JSON Schemas of both topics.
publisher: publishes what was counted with each commit. recovery: where a partition's new owner goes on counting.
"""

from streamer.trends.anomalies import ALERT_TYPE, Alert, AlertThresholds, AnomalyDetector
from streamer.trends.buffer import CountBuffer, next_epoch
from streamer.trends.message import EVENT_TYPE, Cell, CountDelta, Epoch, decode, encode, source_key
from streamer.trends.reader import SIZES, Statistics, Trends, trends_of
from streamer.trends.windows import HOUR, MINUTE, SECOND, Change, Window

__all__ = [
    "ALERT_TYPE",
    "EVENT_TYPE",
    "HOUR",
    "MINUTE",
    "SECOND",
    "SIZES",
    "Alert",
    "AlertThresholds",
    "AnomalyDetector",
    "Cell",
    "Change",
    "CountBuffer",
    "CountDelta",
    "Epoch",
    "Statistics",
    "Trends",
    "Window",
    "decode",
    "encode",
    "next_epoch",
    "source_key",
    "trends_of",
]
