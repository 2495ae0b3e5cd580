"""From the settings to the parts of a worker, which get plain values."""

from __future__ import annotations

import logging
from zoneinfo import ZoneInfo

from streamer.formats.decode import Decoder, value_format
from streamer.formats.encode import Encoder
from streamer.models.artefact import BUNDLED
from streamer.models.cost_table import measure_costs
from streamer.models.torchscript import Model, load
from streamer.moderation.rules import Rule, Rules
from streamer.moderation.step import Moderation
from streamer.observe.cores import available_cores
from streamer.pipeline.inference import Predictor, ServingModel
from streamer.pipeline.limits import Limits
from streamer.settings import Settings, SettingsError

log = logging.getLogger(__name__)

# What a batch costs besides the model: to choose it, to hand it over, and to publish its results by partition. Without
# it, batches of 55 reviews looked as good as ones of 100, and a review took 0.42 ms of CPU instead of 0.32.
_BATCH_SECONDS = 0.002


def load_model(settings: Settings, workers: int = 1) -> Model:
    """The artefact of the settings, checked and loaded.

    Raises ModelError if it is refused, and SettingsError for settings that ask for what it does not have.
    """
    chosen = settings.model
    model = load(
        chosen.path or BUNDLED,
        chosen.device,
        chosen.precision,
        chosen.threads or max(1, available_cores() // (2 * workers)),
        settings.output.evidence_tokens,
        chosen.sha256,
    )
    low, high = chosen.uncertain_low, chosen.uncertain_high
    if not model.labels.binary and (low is not None or high is not None):
        raise SettingsError("model.uncertain_low, model.uncertain_high: only a model with two labels has such a band")
    try:
        model.labels = model.labels.with_band(low, high)
    except ValueError as error:
        raise SettingsError(f"model.uncertain_low, model.uncertain_high: {error} (one is the artefact's)") from None
    settings.check_rule_labels(model.labels.names)
    manifest = model.manifest
    log.info("model %s %s in %s on %s", manifest.name, manifest.version, model.precision, model.device)
    return model


def predictor(model: Model, settings: Settings) -> Predictor:
    """The model as the pipeline sees it, with the cost of batches measured on this machine."""
    batching = settings.batching
    costs = measure_costs(model.predict, model.manifest.max_tokens, batching.max_reviews, batching.max_padded_tokens)
    columns = model.labels.columns
    return Predictor(
        model.vocabulary,
        model.manifest.max_tokens,
        model.predict,
        costs.plus(_BATCH_SECONDS),
        columns,
        settings.input.markup,
    )


def serving_model(model: Model, settings: Settings) -> ServingModel:
    """What the pipeline swaps as one: the predictor, and the encoder that writes its results."""
    return ServingModel(predictor(model, settings), encoder(settings, model))


def decoder(settings: Settings) -> Decoder:
    """How the settings say to read input records."""
    given = settings.input
    return Decoder(
        value_format=value_format(given.format, given.text_field, given.missing_text),
        time_zone=ZoneInfo(given.time_zone),
        id_field=given.id_field,
        event_time_field=given.event_time_field,
        group_field=given.group_field,
        max_bytes=given.max_bytes,
        keep_fields=any(rule.field is not None for rule in settings.moderation.rules),
    )


def moderation(settings: Settings) -> Moderation | None:
    """The moderation step with the rules of the settings, compiled; None where there are none."""
    given = [
        Rule(
            name=r.name,
            action=r.action,
            labels=r.label,
            score_min=r.score_min,
            score_max=r.score_max,
            groups=r.group,
            pattern=r.pattern,
            field=r.field,
            equals=r.equals,
        )
        for r in settings.moderation.rules
    ]
    return Moderation(Rules(given, settings.moderation.default)) if given else None


def topics(settings: Settings) -> tuple[str, ...]:
    """What the service writes to."""
    held = (settings.review_topic,) if settings.moderation.rules else ()
    return (settings.output.topic, settings.dead_letter_topic, *held)


def encoder(settings: Settings, model: Model) -> Encoder:
    """How the settings say to write results."""
    return Encoder(
        topic=settings.output.topic,
        dead_letter_topic=settings.dead_letter_topic,
        group_id=settings.kafka.group_id,
        model_name=model.manifest.name,
        model_version=model.manifest.version,
        include_input=settings.output.include_input,
        value_format=value_format(settings.input.format, settings.input.text_field),
        review_topic=settings.review_topic,
    )


def limits(settings: Settings) -> Limits:
    """The pipeline's bounds, in seconds instead of milliseconds."""
    batching, pipeline = settings.batching, settings.pipeline
    return Limits(
        bucketing=batching.policy == "length",
        max_wait=batching.max_wait_ms / 1000,
        max_reviews=batching.max_reviews,
        max_padded_tokens=batching.max_padded_tokens,
        max_tokens_in_flight=batching.max_tokens_in_flight,
        commit_interval=pipeline.commit_interval_ms / 1000,
        commit_records=pipeline.commit_max_records,
        revoke_timeout=pipeline.revoke_timeout_ms / 1000,
        drain_timeout=pipeline.drain_timeout_ms / 1000,
        cache_entries=settings.model.cache_entries,
        dead_letter_ratio=settings.dead_letters.max_ratio,
        dead_letter_window=settings.dead_letters.window,
    )
