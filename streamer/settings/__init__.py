"""Every setting, parsed once at the edge; modules receive plain values."""

from streamer.settings.loader import (
    CONFIG_VARIABLE,
    PREFIX,
    BatchingSettings,
    DeadLetterSettings,
    HttpSettings,
    InputSettings,
    KafkaSettings,
    ModelSettings,
    ModerationSettings,
    OutputSettings,
    RuleSettings,
    SecuritySettings,
    Settings,
    SettingsError,
    TrendSettings,
    load,
)

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
    "RuleSettings",
    "SecuritySettings",
    "Settings",
    "SettingsError",
    "TrendSettings",
    "load",
]
