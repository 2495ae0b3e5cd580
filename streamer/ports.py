"""The interfaces between the pipeline and the outside world, as Protocols."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from streamer.events import CommitOutcome, Message, Outgoing, Prediction, Record, TopicPartition
from streamer.text import Encoded


class Source(Protocol):
    """Where records come from: `streamer.kafka.Consumer`, `streamer.files.source.RowSource`."""

    async def poll(self, wait: float) -> Mapping[TopicPartition, Sequence[Record]] | None:
        """The next records by partition, in the order of their offsets; empty if none arrive within `wait` seconds.

        None instead of a mapping means that there will be no more. A cancelled call must consume no records.
        """
        ...

    def pause(self) -> int:
        """Return no records until `resume`; polling continues. Returns how many partitions are paused."""
        ...

    def resume(self) -> None: ...

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Continue reading from these offsets, in assigned partitions."""
        ...

    def positions(self) -> Mapping[TopicPartition, int]:
        """The next offset to read in each partition, if it is known, after any offsets without a record."""
        ...

    def watermarks(self) -> Mapping[TopicPartition, int]:
        """The end offset of each assigned partition, if it is known."""
        ...


class Delivery(Protocol):
    """Publishes results and commits offsets: `streamer.kafka.AtLeastOnce`, `streamer.kafka.ExactlyOnce`,
    `streamer.files.sink.LineSink`."""

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Called before newly assigned partitions are read; returns offsets to read from instead of the source's."""
        ...

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Called when partitions are no longer ours: uncommitted results may be undone."""
        ...

    async def send(self, partition: TopicPartition, next_offset: int, messages: Sequence[Message]) -> Awaitable[None]:
        """Send the results of the next records of a partition, up to `next_offset`, in this order.

        The returned awaitable completes once all of them are stored safely.
        """
        ...

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """Store the next offset of each partition, to continue from after a restart."""
        ...


class Predict(Protocol):
    """Predicts labels: `streamer.models.torchscript.Model.predict`. Called from one thread."""

    def __call__(self, reviews: Sequence[Encoded]) -> list[Prediction]: ...


class Observer(Protocol):
    """Receives measurements: `streamer.observe.metrics.Metrics`. All times are in seconds; called from any thread."""

    def finished(
        self, outgoings: Sequence[Outgoing], since_read: Sequence[float], since_created: Sequence[float]
    ) -> None: ...
    def stage(self, name: str, seconds: float, reviews: int) -> None: ...
    def batch(self, reviews: int, tokens: int, padded: int, waited: float) -> None: ...
    def replaced(self, field: str, cause: str, count: int) -> None: ...
    def in_flight(self, tokens: int, waiting: int, paused: int) -> None: ...
    def cache(self, hit: bool) -> None: ...
    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None: ...
    def revoked(self, partitions: Sequence[TopicPartition]) -> None: ...
    def commit(self, outcome: CommitOutcome) -> None: ...
    def loop_delay(self, seconds: float) -> None: ...


class ModelObserver(Protocol):
    """Receives the model in use and reloads: `streamer.observe.metrics.Metrics`."""

    def model(self, name: str, version: str) -> None: ...
    def reload(self, outcome: str) -> None: ...


class Tracer(Protocol):
    """Traces batches and commits across services: `streamer.observe.tracing.Spans` or `NullTracer`.

    Called from any thread.
    """

    def infer(
        self, records: Iterable[Record], reviews: int, tokens: int, length: int
    ) -> AbstractContextManager[object]:
        """A context for the prediction of a batch: its records, their number, their tokens, the longest length."""
        ...

    def commit(
        self, positions: Mapping[TopicPartition, int]
    ) -> AbstractContextManager[Callable[[CommitOutcome], object]]:
        """A context for a commit; call the yielded function with the outcome."""
        ...


class NullTracer:
    """A Tracer that does nothing, for when tracing is off. Its contexts are created once."""

    _infer = nullcontext()
    _commit: AbstractContextManager[Callable[[CommitOutcome], object]] = nullcontext(lambda outcome: None)

    def infer(
        self, records: Iterable[Record], reviews: int, tokens: int, length: int
    ) -> AbstractContextManager[object]:
        return self._infer

    def commit(
        self, positions: Mapping[TopicPartition, int]
    ) -> AbstractContextManager[Callable[[CommitOutcome], object]]:
        return self._commit
