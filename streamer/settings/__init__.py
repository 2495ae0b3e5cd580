"""All settings, parsed once at start-up; modules receive plain values. One file for each section."""

from streamer.settings.batching import BatchingSettings
from streamer.settings.dead_letters import DeadLetterSettings
from streamer.settings.deprecated import warn_of_old_names
from streamer.settings.http_pages import HttpSettings
from streamer.settings.input import InputSettings
from streamer.settings.kafka import KafkaSettings, SecuritySettings
from streamer.settings.loader import CONFIG_VARIABLE, Settings, SettingsError, load
from streamer.settings.model import ModelSettings
from streamer.settings.moderation import ModerationSettings, RuleSettings
from streamer.settings.names import PREFIX
from streamer.settings.output import OutputSettings
from streamer.settings.pipeline import PipelineSettings
from streamer.settings.trends import TrendSettings

__all__ = [
    "CONFIG_VARIABLE",
    "PREFIX",
    "BatchingSettings",
    "DeadLetterSettings",
    "HttpSettings",
    "InputSettings",
    "KafkaSettings",
    "ModelSettings",
    "ModerationSettings",
    "OutputSettings",
    "PipelineSettings",
    "RuleSettings",
    "SecuritySettings",
    "Settings",
    "SettingsError",
    "TrendSettings",
    "load",
    "warn_of_old_names",
]
