"""`streamer plan --measure`: a profile of this host, without Kafka, in a few seconds.

Measures the model, and the decoding, tokenising and encoding of texts that the caller passes. The stages that need
Kafka (consume, publish, bucket, the loop) come from the stored profile, scaled by how much longer decoding,
tokenising and encoding take here. The share of the GIL, the derating, the latency of an idle worker and the growth of
memory also come from the stored profile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

import cramjam
import orjson

from streamer.events import Decoded, Message, Prediction, Record, Review
from streamer.formats.decode import Decoder, value_format
from streamer.formats.encode import Encoder
from streamer.kafka.producer import BATCH_BYTES
from streamer.models.cost_table import measure_costs
from streamer.models.torchscript import Model
from streamer.moderation.step import Moderation
from streamer.observe.cores import available_cores
from streamer.planning.profile import Bytes, Costs, Device, Profile, Stage
from streamer.planning.profiles import stored
from streamer.service.build import decoder, encoder, load_model, moderation
from streamer.settings import Settings
from streamer.text import Encoded

_REVIEWS = 256
_MEASURED = ("decode", "tokenise", "encode")


def measure(settings: Settings, mean_tokens: float, texts: Sequence[str]) -> Profile:
    """Time the stages on reviews of half and of one and a half times `mean_tokens`, and fit a line through both.

    The reviews are built from `texts`. Raises ModelError if the model is refused, ProfileError if there is no stored
    profile to scale.
    """
    reference = stored("cpu")
    started = time.monotonic()
    model = load_model(settings)
    cpu_before, before = time.process_time(), time.perf_counter()
    bounds = settings.batching.max_reviews, settings.batching.max_padded_tokens
    table = measure_costs(model.predict, model.manifest.max_tokens, *bounds)
    cores = (time.process_time() - cpu_before) / (time.perf_counter() - before)
    start_seconds = time.monotonic() - started
    mean = min(max(2.0, mean_tokens), model.manifest.max_tokens / 1.5)
    short, long = (_Sample(settings, model, texts, factor * mean) for factor in (0.5, 1.5))
    stages = {name: _line(reference.stages[name], short, long, name) for name in _MEASURED}
    here, there = (
        sum(stage.seconds(mean) for name, stage in measured.items() if name in _MEASURED)
        for measured in (stages, reference.stages)
    )
    resident = _resident_mib()
    device: Device = "cuda" if model.device == "cuda" else "cpu"
    available = available_cores()
    # As in the service. On a GPU the model has one thread, which feeds it.
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
        # A safe assumption: each thread is busy while a batch runs. On a busy host, CPU time over wall time is too
        # low: the batch times are the best of several, and were not slowed down as much.
        model_cores=float(threads) if device == "cpu" else min(1.0, max(0.1, cores)),
        batch_ms=reference.batch_ms,
        overhead_ms=reference.overhead_ms,
        derate=reference.derate,
        resident_start_mib=resident,
        resident_mib=resident + max(0.0, reference.resident_mib - reference.resident_start_mib),
        start_seconds=start_seconds,
        input=_bytes(short, long, lambda sample: sample.inputs),
        output=_bytes(short, long, lambda sample: sample.outputs),
    )


class _Sample:
    """Reviews of about this many tokens, and the time of each stage for one of them, in microseconds."""

    def __init__(self, settings: Settings, model: Model, texts: Sequence[str], tokens: float) -> None:
        values = [
            orjson.dumps({settings.input.text_field: text, settings.input.id_field: f"r{number}"})
            for number, text in enumerate(_resized(texts, model, tokens))
        ]
        records = [Record("reviews", 0, n, 0, key=b"user-%d" % n, value=value) for n, value in enumerate(values)]
        # A field path may be dotted; these records are flat.
        flat = Decoder(value_format=value_format("json", settings.input.text_field), id_field=settings.input.id_field)
        configured = decoder(settings) if settings.input.format == "json" else flat
        reviews = [review for record in records if isinstance(review := flat.decode(record), Review)]
        vocabulary, limit = model.vocabulary, model.manifest.max_tokens
        decoded = [review.text for review in reviews]
        encoded = vocabulary.encode_all(decoded, limit)
        predictions = model.predict(encoded)
        encoding, rules = encoder(settings, model), moderation(settings)
        self.us = {
            "decode": _microseconds(lambda: _decode(configured, rules, records)),
            "tokenise": _microseconds(lambda: vocabulary.encode_all(decoded, limit)),
            "encode": _microseconds(lambda: _encode(encoding, rules, reviews, predictions)),
        }
        self.mean = _mean(encoded)
        self.inputs = [record.value or b"" for record in records]
        self.outputs = [_wire_bytes(message) for message in _encode(encoding, rules, reviews, predictions)]


def _resized(texts: Sequence[str], model: Model, tokens: float) -> list[str]:
    """The texts, joined and cut into reviews with as many characters as correspond to `tokens` on average."""
    limit = model.manifest.max_tokens
    whole = [text for text in texts if len(text) < limit]
    total_tokens = sum(len(model.vocabulary.encode(text, limit)) for text in whole)
    characters = round(tokens * sum(map(len, whole)) / max(1, total_tokens))
    flow = cycle("".join(f"{text} " for text in texts))
    return ["".join(islice(flow, max(1, characters))) for _ in range(_REVIEWS)]


def _decode(decoder: Decoder, rules: Moderation | None, records: Sequence[Record]) -> list[Decoded]:
    decoded = [decoder.decode(record) for record in records]
    if rules is None:
        return decoded
    return [rules.applicable(review) if isinstance(review, Review) else review for review in decoded]


def _encode(
    encoder: Encoder, rules: Moderation | None, reviews: Sequence[Review], predictions: Sequence[Prediction]
) -> list[Message]:
    now = 1_700_000_000_000
    return [
        encoder.labelled(*pair, now, None if rules is None else rules.apply(*pair)).message
        for pair in zip(reviews, predictions, strict=True)
    ]


def _wire_bytes(message: Message) -> bytes:
    return b"".join([message.value or b"", *(name.encode() + (value or b"") for name, value in message.headers)])


def _mean(encoded: Sequence[Encoded]) -> float:
    return sum(map(len, encoded)) / len(encoded)


def _microseconds(work: Callable[[], object]) -> float:
    """Core time of a review, the best of five runs, so that other processes of this host do not count."""
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


def _bytes(short: _Sample, long: _Sample, records_of: Callable[[_Sample], Sequence[bytes]]) -> Bytes:
    """Record sizes on the same line, and their compression ratio."""
    low, high = (sum(map(len, records_of(sample))) / len(records_of(sample)) for sample in (short, long))
    per_token = max(0.0, (high - low) / max(1.0, long.mean - short.mean))
    return Bytes(
        per_review=round(max(0.0, low - per_token * short.mean), 1),
        per_token=round(per_token, 2),
        ratio=round(min(1.0, compression_ratio(records_of(long))), 3),
    )


def compression_ratio(records: Sequence[bytes]) -> float:
    """Compressed over raw bytes with zstd, the default, for full batches of the producer."""
    joined = b"".join(records)
    batches = [joined[at : at + BATCH_BYTES] for at in range(0, len(joined), BATCH_BYTES)]
    return sum(len(bytes(cramjam.zstd.compress(batch))) for batch in batches) / len(joined)


def _resident_mib() -> float:
    """Memory of this process; on systems without /proc, that of the stored profile."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return stored("cpu").resident_start_mib
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
