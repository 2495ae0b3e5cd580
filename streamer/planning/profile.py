"""The measured costs of one worker, from which plans are computed. Pure."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from streamer.pipeline.batching import CostTable

Device = Literal["cpu", "cuda"]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Stage(_Model):
    """Core time of a stage other than the model, in microseconds, and the share of it spent under the GIL."""

    per_review_us: Amount
    per_token_us: Amount = 0.0
    gil: Share = 1.0

    def seconds(self, tokens: float) -> float:
        """Core-seconds for a review of this many tokens."""
        return (self.per_review_us + self.per_token_us * tokens) / 1e6


class Costs(_Model):
    """A stored `CostTable`: seconds[i][j] for a batch of sizes[j] reviews of lengths[i] tokens."""

    lengths: tuple[PositiveInt, ...]
    sizes: tuple[PositiveInt, ...]
    seconds: tuple[tuple[PositiveFloat, ...], ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.lengths or not self.sizes:
            raise ValueError("lengths and sizes must not be empty")
        self.table()  # Raises ValueError if the shape is wrong.
        columns = zip(*self.seconds, strict=True)
        if any(list(line) != sorted(line) for line in (*self.seconds, *columns)):
            raise ValueError("a longer or a larger batch must not take less time")
        return self

    def table(self) -> CostTable:
        """The table, for the bucketer."""
        return CostTable(self.lengths, self.sizes, self.seconds)


class Bytes(_Model):
    """Size of a record on the wire, uncompressed, key and headers included; ratio: compressed over uncompressed."""

    per_review: Amount
    per_token: Amount
    ratio: Annotated[float, Field(gt=0, le=1)]

    def size(self, tokens: float) -> float:
        """Bytes of a record of this many tokens, before compression."""
        return self.per_review + self.per_token * tokens


class Point(_Model):
    """The rate of one worker, measured end to end through Kafka; plans are checked against it."""

    mean_tokens: PositiveFloat
    reviews_per_second: PositiveFloat
    command: str


class Profile(_Model):
    """The costs of one worker, and how they were measured.

    stages: all but the model. model_cores: cores that are busy while a batch runs. lengths: the mix of reviews, as the
    share of those with at most this many tokens, and more than the entry before. batch_ms: the cost of a batch outside
    of the model. overhead_ms: from read to acknowledged on an idle worker, without the model. derate: the measured rate
    of a worker over the rate that the stages alone would allow; caches, memory and the scheduler cost the rest.
    device_mib: memory of the GPU, worker_device_mib: the part of it that a worker uses; 0 if unknown.
    """

    format: Literal[1]
    name: Annotated[str, Field(min_length=1)]
    measured: str
    device: Device
    cores: PositiveInt
    threads: PositiveInt
    precision: str
    max_tokens: PositiveInt
    lengths: Annotated[dict[PositiveInt, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    stages: Annotated[dict[str, Stage], Field(min_length=1)]
    costs: Costs
    model_cores: PositiveFloat
    batch_ms: Amount
    overhead_ms: Amount
    derate: Annotated[float, Field(gt=0, le=1)]
    resident_start_mib: PositiveFloat
    resident_mib: PositiveFloat
    start_seconds: PositiveFloat
    input: Bytes
    output: Bytes
    device_mib: Amount = 0.0
    worker_device_mib: Amount = 0.0
    points: tuple[Point, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.lengths) != sorted(self.lengths):
            raise ValueError("lengths must ascend")
        if self.max_tokens > self.costs.lengths[-1]:
            raise ValueError("the costs end before max_tokens")
        return self
