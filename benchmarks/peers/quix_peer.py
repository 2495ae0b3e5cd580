"""Quix Streams: an Application with a StreamingDataFrame.

With `--batch 1` the model is applied to each message, as its documentation does it. With larger ones a BatchingSink
labels what came since the last checkpoint, a batch for each partition, and `commit_every` says how often that is: its
documented way to handle many messages at once. (Its count windows collect by message key, keep every message in
RocksDB and do not close before they are full.) At-least-once is its default.
"""

from __future__ import annotations

import json
import tempfile
from typing import Any

from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

from benchmarks.peers.command import Job, job, output_event, report


class LabellingSink(BatchingSink):  # type: ignore[misc]  # Without the package there are no types.
    """Labels a checkpoint's reviews and publishes the results before the checkpoint is committed."""

    def __init__(self, todo: Job, application: Application) -> None:
        """Publish by a producer of the application's."""
        super().__init__()
        self._todo = todo
        self._producer = application.get_producer()

    def write(self, batch: SinkBatch) -> None:
        """Label and publish a partition's reviews, and wait until the broker has them all."""
        for items in batch.iter_chunks(self._todo.batch):
            results = self._todo.labeller.label([item.value["text"] for item in items])
            for item, result in zip(items, results, strict=True):
                value = json.dumps(output_event(item.value, result))
                self._producer.produce(self._todo.output, value=value.encode(), key=item.key)
        self._producer.flush()


def main() -> None:
    """Label until told to stop."""
    todo = job(__doc__, form="gated", batch=256)
    with tempfile.TemporaryDirectory() as state:
        application = Application(
            broker_address=todo.bootstrap,
            consumer_group=todo.group,
            auto_offset_reset="earliest",
            commit_every=todo.batch if todo.batch > 1 else 0,
            state_dir=state,
            producer_extra_config={"compression.type": "lz4"},
        )
        reviews = application.dataframe(application.topic(todo.input, value_deserializer="json"))
        if todo.batch > 1:
            reviews.sink(LabellingSink(todo, application))
        else:
            reviews = reviews.apply(lambda review: _labelled(todo, review))
            reviews.to_topic(application.topic(todo.output, value_serializer="json"))
        application.run()
    report(todo.labeller)


def _labelled(todo: Job, review: dict[str, Any]) -> dict[str, Any]:
    (result,) = todo.labeller.label([review["text"]])
    return output_event(review, result)


if __name__ == "__main__":
    main()
