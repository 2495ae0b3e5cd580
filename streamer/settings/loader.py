"""All settings as one frozen object, and the sources that they are read from.

The first of these that has a value wins:

1. the overrides of a command,
2. environment variables, `STREAMER_*`, nested with `__`: `STREAMER_BATCHING__MAX_WAIT_MS=5`,
3. the TOML file named by `--config` or `STREAMER_CONFIG`.

Units are in the names.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SourceError,
)

from streamer.printable import printable, reason_of, shown_path, why_not_a_path
from streamer.settings.batching import BatchingSettings
from streamer.settings.dashboard import DashboardSettings
from streamer.settings.dead_letters import DeadLetterSettings
from streamer.settings.deprecated import TOP_LEVEL_VARIABLES, renamed
from streamer.settings.fields import TOPIC_CHARACTERS
from streamer.settings.http_pages import HttpSettings
from streamer.settings.input import InputSettings
from streamer.settings.kafka import KafkaSettings
from streamer.settings.log import LogSettings
from streamer.settings.model import ModelSettings
from streamer.settings.moderation import ModerationSettings
from streamer.settings.names import PREFIX, described, variable
from streamer.settings.output import OutputSettings
from streamer.settings.pipeline import PipelineSettings
from streamer.settings.tracing import TracingSettings
from streamer.settings.trends import TrendSettings
from streamer.settings.words import in_words, location

CONFIG_VARIABLE = "STREAMER_CONFIG"
# Variables with the same prefix that are not settings: the path of the file, and those of the tests.
_OTHER_VARIABLES = (CONFIG_VARIABLE, "STREAMER_DATA_DIR", "STREAMER_TEST_BOOTSTRAP", "STREAMER_TEST_BROKER")


class SettingsError(Exception):
    """The settings are invalid. The message names each invalid one and gives the reason."""


class Settings(BaseSettings):
    """The service's settings: one frozen object."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        nested_model_default_partial_update=True,
    )

    delivery: Literal["at_least_once", "exactly_once"] = "at_least_once"
    """Whether a crash may repeat results; with `exactly_once` it does not, for consumers that read `read_committed`."""
    kafka: KafkaSettings = KafkaSettings()
    input: InputSettings = InputSettings()
    output: OutputSettings = OutputSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    moderation: ModerationSettings = ModerationSettings()
    batching: BatchingSettings = BatchingSettings()
    pipeline: PipelineSettings = PipelineSettings()
    model: ModelSettings = ModelSettings()
    trends: TrendSettings = TrendSettings()
    http: HttpSettings = HttpSettings()
    dashboard: DashboardSettings = DashboardSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @property
    def dead_letter_topic(self) -> str:
        return self.dead_letters.topic or f"{self.input.topic}.dlq"

    @property
    def trend_topic(self) -> str:
        return self.trends.topic or f"{self.output.topic}.trends"

    @property
    def review_topic(self) -> str:
        return self.moderation.review_topic or f"{self.output.topic}.review"

    @property
    def verdict_topic(self) -> str:
        return self.moderation.verdict_topic or f"{self.output.topic}.verdicts"

    def check_rule_labels(self, labels: Sequence[str]) -> None:
        """Raises SettingsError if a moderation rule has a label that the model does not have."""
        for rule in self.moderation.rules:
            if not set(rule.label) <= set(labels):
                name, known = f"moderation.rules.{rule.name}.label", ", ".join(labels)
                raise SettingsError(f"{name}: the model has no such label; it has {known}")

    @model_validator(mode="after")
    def _check_timeouts(self) -> Self:
        if self.pipeline.revoke_timeout_ms >= self.kafka.rebalance_timeout_ms:
            raise ValueError("pipeline.revoke_timeout_ms must be below kafka.rebalance_timeout_ms")
        interval = self.pipeline.commit_interval_ms
        if self.delivery == "exactly_once" and self.kafka.transaction_timeout_ms < 2 * interval:
            raise ValueError("kafka.transaction_timeout_ms must be at least twice pipeline.commit_interval_ms")
        return self

    @model_validator(mode="after")
    def _check_topics(self) -> Self:
        names = {
            "input.topic": self.input.topic,
            "output.topic": self.output.topic,
            "dead_letters.topic": self.dead_letter_topic,
        }
        if self.moderation.rules:
            names |= {"moderation.review_topic": self.review_topic, "moderation.verdict_topic": self.verdict_topic}
        if len(set(names.values())) != len(names):
            *most, last = names
            raise ValueError(f"{', '.join(most)} and {last} must differ, but are {', '.join(names.values())}")
        for setting, topic in {**names, "trends.topic": self.trend_topic}.items():
            if len(topic) > TOPIC_CHARACTERS:  # A default: another topic's name with an ending.
                raise ValueError(f"{setting}: set it, since its default is longer than Kafka allows")
        others = names.values()
        if self.trend_topic in others or self.trends.alert_topic in (*others, self.trend_topic):
            raise ValueError(
                "trends.topic and trends.alert_topic must differ from each other and from all other topics"
            )
        return self

    @model_validator(mode="after")
    def _check_rule_fields(self) -> Self:
        with_field = [rule.name for rule in self.moderation.rules if rule.field is not None]
        if with_field and self.input.format == "text":
            raise ValueError(f"moderation.rules.{with_field[0]}.field: with input.format text there are no fields")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = os.environ.get(CONFIG_VARIABLE)
        file = (_File(settings_cls, Path(path)),) if path else ()
        return (init_settings, _Environment(settings_cls), *file)


class _Environment(EnvSettingsSource):
    """Variables, those under an old name included."""

    def __call__(self) -> dict[str, Any]:
        variables = {name.upper(): value for name, value in os.environ.items()}
        old = {field: variables[name] for name, field in TOP_LEVEL_VARIABLES.items() if name in variables}
        return renamed(super().__call__() | old)


class _File(TomlConfigSettingsSource):
    """The TOML file, with its values under an old name moved to the new one."""

    def __call__(self) -> dict[str, Any]:
        return renamed(super().__call__())


def load(overrides: dict[str, Any] | None = None) -> Settings:
    """Read the settings. `overrides` is nested like the TOML file and takes precedence over everything.

    Raises SettingsError. Its message has a line for each invalid setting, with its name but without its value, which
    may be a secret. `warn_of_old_names` says which settings were given under an old name.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if path:
        _require_file(path)
    _refuse_unknown_variables()
    try:
        return Settings(**renamed(overrides or {}))
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
        lines = [f"{described(location(item))}: {in_words(item)}" for item in wrong]
        raise SettingsError("\n".join(lines)) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{shown_path(path or '')}: not TOML: {printable(str(error), 200)}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{shown_path(path or '')}: not UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{CONFIG_VARIABLE}: {shown_path(path or '')}: {reason_of(error)}") from None
    except SourceError as error:  # A variable that should be JSON but is not. It names the field only.
        raise SettingsError(_no_json(error)) from None
    except ValueError as error:  # Two values for one setting.
        raise SettingsError(str(error)) from None


def _no_json(error: SourceError) -> str:
    """The message for a variable that is not JSON; pydantic-settings names its section only."""
    field = re.search(r'field "(\w+)"', str(error))
    section = variable((field[1],)) if field else PREFIX
    given = [name for name in os.environ if name.upper() == section or name.upper().startswith(f"{section}__")]
    return f"{' or '.join(map(printable, sorted(given)))}: a list, or a section in one variable, must be JSON"


def _require_file(path: str) -> None:
    """Raise SettingsError if the path of the TOML file is none, or leads to no file."""
    if (reason := why_not_a_path(path)) is not None:
        raise SettingsError(f"{CONFIG_VARIABLE}: {reason}")
    if not Path(path).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE}: no such file: {shown_path(path)}")


def _refuse_unknown_variables() -> None:
    """Refuse misspelt variables: pydantic-settings itself ignores unknown names."""
    fields = {name.upper(): field for name, field in Settings.model_fields.items()}
    for given in os.environ:
        name = given.upper()
        if not name.startswith(PREFIX) or name in _OTHER_VARIABLES or name in TOP_LEVEL_VARIABLES:
            continue
        top, _, nested = name.removeprefix(PREFIX).partition("__")
        section = isinstance(getattr(fields.get(top), "default", None), BaseModel)
        if top not in fields or (nested and not section):
            raise SettingsError(f"{printable(given)}: no such setting")
