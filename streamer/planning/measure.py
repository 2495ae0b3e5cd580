"""`streamer plan --measure`: a profile of this host, without Kafka, in a few seconds.

Measured here: the model, and decoding, tokenising and encoding, on the samples that come along. What needs Kafka
(consume, publish, bucket, the loop) is taken from the stored profile, in proportion to how long decoding, tokenising
and encoding take here and there; so are the share of the GIL, the derating, the latency of an idle worker and what
memory grows by.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

import cramjam
import orjson

from streamer.demo.reviews import SAMPLES
from streamer.events import Message, Prediction, Record, Review
from streamer.formats.codec import Decoder, Encoder
from streamer.kafka import BATCH_BYTES
from streamer.models.torchscript import Model
from streamer.planning.plan import Bytes, Costs, Device, Profile, Stage
from streamer.planning.profiles import stored
from streamer.service import decoder, encoder, load_model
from streamer.settings import Settings
from streamer.text import Encoded

_REVIEWS = 256
_OFFLINE = ("decode", "tokenise", "encode")


def measure(settings: Settings, mean_tokens: float) -> Profile:
    """Time the stages on reviews of half and of one and a half times `mean_tokens`: a line through both.

    Raises ModelError where the model is refused, ProfileError where there is no stored profile to scale.
    """
    reference = stored("cpu")
    began = time.monotonic()
    model = load_model(settings)
    spent, running = time.process_time(), time.perf_counter()
    table = model.measure_costs(settings.batching.max_reviews, settings.batching.max_padded_tokens)
    cores = (time.process_time() - spent) / (time.perf_counter() - running)
    start_seconds = time.monotonic() - began
    mean = min(max(2.0, mean_tokens), model.manifest.max_tokens / 1.5)
    short, long = (_Sample(settings, model, factor * mean) for factor in (0.5, 1.5))
    stages = {name: _line(reference.stages[name], short, long, name) for name in _OFFLINE}
    here, there = (
        sum(stage.seconds(mean) for name, stage in found.items() if name in _OFFLINE)
        for found in (stages, reference.stages)
    )
    resident = _resident_mib()
    device: Device = "cuda" if model.device == "cuda" else "cpu"
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # As the service chooses them; of a GPU's model there is the one that feeds it.
    threads = 1 if device == "cuda" else settings.model.threads or max(1, available // 2)
    return Profile(
        format=1,
        name=f"{device}-here",
        measured=f"without Kafka, {time.strftime('%Y-%m-%d')}; what needs Kafka is scaled from {reference.name}",
        device=device,
        cores=available,
        threads=threads,
        precision=model.precision,
        max_tokens=model.manifest.max_tokens,
        lengths={upper: share for upper, share in reference.lengths.items() if upper <= model.manifest.max_tokens},
        stages={name: stages.get(name) or _scaled(stage, here / there) for name, stage in reference.stages.items()},
        costs=Costs(lengths=table.lengths, sizes=table.sizes, seconds=table.seconds),
        # On the safe side: each thread is busy as long as a batch runs. The share of its time that a CPU was ours
        # would say less on a busy host, where the batch times, the best of several, were not as long.
        model_cores=float(threads) if device == "cpu" else min(1.0, max(0.1, cores)),
        batch_ms=reference.batch_ms,
        overhead_ms=reference.overhead_ms,
        derate=reference.derate,
        resident_start_mib=resident,
        resident_mib=resident + max(0.0, reference.resident_mib - reference.resident_start_mib),
        start_seconds=start_seconds,
        input=_bytes(short.inputs, long.inputs, short.mean, long.mean),
        output=_bytes(short.outputs, long.outputs, short.mean, long.mean),
    )


class _Sample:
    """Reviews of about so many tokens, made of the samples, and what each stage takes for one, in microseconds."""

    def __init__(self, settings: Settings, model: Model, tokens: float) -> None:
        values = [
            orjson.dumps({settings.input.text_field: text, settings.input.id_field: f"r{number}"})
            for number, text in enumerate(_texts(model, tokens))
        ]
        records = [Record("reviews", 0, n, 0, b"user-%d" % n, value, ()) for n, value in enumerate(values)]
        # Field paths may be dotted: the samples are flat.
        reading = Decoder("json", settings.input.text_field, settings.input.id_field)
        configured: Decoder = decoder(settings) if settings.input.format == "json" else reading
        decoded = [review for record in records if isinstance(review := reading.decode(record), Review)]
        vocabulary, limit = model.vocabulary, model.manifest.max_tokens
        texts = [review.text for review in decoded]
        encoded = vocabulary.encode_all(texts, limit)
        predictions = model.predict(encoded)
        writing: Encoder = encoder(settings, model)
        self.us = {
            "decode": _microseconds(lambda: [configured.decode(record) for record in records]),
            "tokenise": _microseconds(lambda: vocabulary.encode_all(texts, limit)),
            "encode": _microseconds(lambda: _written(writing, decoded, predictions)),
        }
        self.mean = _mean(encoded)
        self.inputs = [record.value or b"" for record in records]
        self.outputs = [_on_the_wire(message) for message in _written(writing, decoded, predictions)]


def _texts(model: Model, tokens: float) -> list[str]:
    """The samples, one after the other, cut to as many characters as make `tokens` on average."""
    samples = [orjson.loads(line)["text"] for line in Path(SAMPLES).read_bytes().splitlines() if line.strip()]
    limit = model.manifest.max_tokens
    counted = sum(len(model.vocabulary.encode(text, limit)) for text in samples if len(text) < limit)
    characters = round(tokens * sum(len(text) for text in samples if len(text) < limit) / max(1, counted))
    flow = cycle("".join(f"{text} " for text in samples))
    return ["".join(islice(flow, max(1, characters))) for _ in range(_REVIEWS)]


def _written(writing: Encoder, reviews: Sequence[Review], predictions: Sequence[Prediction]) -> list[Message]:
    now = 1_700_000_000_000
    return [writing.labelled(*pair, now).message for pair in zip(reviews, predictions, strict=True)]


def _on_the_wire(message: Message) -> bytes:
    return b"".join([message.value or b"", *(name.encode() + (value or b"") for name, value in message.headers)])


def _mean(encoded: Sequence[Encoded]) -> float:
    return sum(map(len, encoded)) / len(encoded)


def _microseconds(work: Callable[[], object]) -> float:
    """Core time of a review, the best of five: what else runs on this host does not count."""
    best = float("inf")
    for _ in range(5):
        begin = time.thread_time()
        work()
        best = min(best, time.thread_time() - begin)
    return best / _REVIEWS * 1e6


def _line(reference: Stage, short: _Sample, long: _Sample, name: str) -> Stage:
    low, high = short.us[name], long.us[name]
    per_token = max(0.0, (high - low) / max(1.0, long.mean - short.mean))
    return Stage(
        per_review_us=round(max(0.0, low - per_token * short.mean), 2),
        per_token_us=round(per_token, 3),
        gil=reference.gil,
    )


def _scaled(stage: Stage, factor: float) -> Stage:
    return Stage(
        per_review_us=round(stage.per_review_us * factor, 2),
        per_token_us=round(stage.per_token_us * factor, 3),
        gil=stage.gil,
    )


def _bytes(short: Sequence[bytes], long: Sequence[bytes], tokens: float, more: float) -> Bytes:
    """Sizes along the same line; compressed as the producer does it, a batch at a time, by zstd, its default here."""
    low, high = (sum(map(len, records)) / len(records) for records in (short, long))
    per_token = max(0.0, (high - low) / max(1.0, more - tokens))
    joined = b"".join(long)
    batches = [joined[at : at + BATCH_BYTES] for at in range(0, len(joined), BATCH_BYTES)]
    compressed = sum(len(bytes(cramjam.zstd.compress(batch))) for batch in batches)
    return Bytes(
        per_review=round(max(0.0, low - per_token * tokens), 1),
        per_token=round(per_token, 2),
        ratio=round(min(1.0, compressed / len(joined)), 3),
    )


def _resident_mib() -> float:
    """Of this process, now; where there is no /proc, a usual one."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return stored("cpu").resident_start_mib
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
