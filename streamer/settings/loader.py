"""Every setting, parsed once at the edge; modules receive plain values.

Read from, the first wins: the command line's overrides, `STREAMER_*` environment variables (nested with
`__`, for example `STREAMER_BATCHING__MAX_WAIT_MS=5`), the TOML file named by `--config` or `STREAMER_CONFIG`.
Units are in the names.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from streamer.moderation.patterns import compiled

PREFIX = "STREAMER_"
CONFIG_VARIABLE = "STREAMER_CONFIG"
# Not settings of the service, but under the same prefix: the tests' own.
_OTHER_VARIABLES = (CONFIG_VARIABLE, "STREAMER_DATA_DIR", "STREAMER_TEST_BOOTSTRAP", "STREAMER_TEST_BROKER")
_LOOPBACK = tuple(("http", host) for host in ("localhost", "127.0.0.1", "::1"))

Topic = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


def _dotted(path: str) -> str:
    if not all(path.split(".")):
        raise ValueError("a dotted path has an empty part")
    return path


FieldPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_dotted)]


def _searchable(pattern: str) -> str:
    compiled(pattern)  # Its error is a ValueError.
    return pattern


def _listed(given: Any) -> Any:
    """One value may stand for a list of it."""
    if given in ([], ()):
        raise ValueError("an empty list can never match")
    return given if isinstance(given, list | tuple) else (given,)


def _scalar(given: Any) -> Any:
    if not isinstance(given, str | int | float) or given != given:
        raise ValueError("neither a string nor a number nor a boolean")
    return given


Group = Annotated[str, StringConstraints(min_length=1)]
_OneOf = BeforeValidator(_listed)


class SettingsError(Exception):
    """The settings are wrong; the message names each of them and what is wrong with it."""


class _Section(BaseModel):
    # Attribute docstrings become the descriptions of docs/operations.md. No error quotes a value: it may be a secret.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class InputSettings(_Section):
    topic: Topic = "reviews"
    """Topic that reviews are read from."""
    format: Literal["json", "text"] = "json"
    """`json`: the value is a JSON object. `text`: the value is the review itself."""
    text_field: FieldPath = "text"
    """Dotted path of the review's text in the JSON object."""
    id_field: FieldPath = "id"
    """Dotted path of the review's id; a CloudEvent's `id` stands in."""
    event_time_field: FieldPath = "event_time"
    """Dotted path of the event time (RFC 3339 or epoch milliseconds); the record's timestamp stands in."""
    group_field: FieldPath = "group"
    """Dotted path of what reviews are counted by, for example a product id."""
    max_bytes: PositiveInt = 1_000_000
    """A larger value becomes a dead letter."""


class OutputSettings(_Section):
    topic: Topic = "reviews.labelled"
    """Topic that results are written to."""
    evidence_tokens: Annotated[int, Field(ge=0, le=4096)] = 5
    """How many of the strongest tokens to report as evidence; 0 turns evidence off."""
    include_input: bool = False
    """Whether to carry the input event along in the result."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "zstd"
    """Compression of what is published."""


class DeadLetterSettings(_Section):
    topic: Topic | None = None
    """Topic of the dead letters; unset, `<input.topic>.dlq`."""
    max_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of dead letters in the window from which on the service stops with exit code 5; 1 never stops."""
    window: PositiveInt = 1000
    """How many of the latest records the share is taken over; it is not judged before so many have come."""


class RuleSettings(_Section):
    name: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,100}$")]
    """Of letters, digits, `_`, `.` and `-`; no other rule has it."""
    action: Literal["allow", "review", "block"]
    """What to do with reviews for which all of the following conditions hold."""
    label: Annotated[tuple[Literal["positive", "negative", "uncertain"], ...], _OneOf] = ()
    """The label is this, or one of these."""
    score_min: Annotated[float, Field(ge=0, le=1)] | None = None
    """The score, P(positive), is at least this."""
    score_max: Annotated[float, Field(ge=0, le=1)] | None = None
    """The score is at most this."""
    group: Annotated[tuple[Group, ...], _OneOf] = ()
    """The group is this, or one of these; `*` stands for anything."""
    pattern: Annotated[str, StringConstraints(min_length=1), AfterValidator(_searchable)] | None = None
    """Regular expression, in RE2's syntax, that is found in the text as it came."""
    field: FieldPath | None = None
    """Dotted path in the JSON input of what is there, and not null."""
    equals: Annotated[tuple[Annotated[Any, AfterValidator(_scalar)], ...], _OneOf] = ()
    """What is there is this, or one of these: a string, number or boolean."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.score_min is not None and self.score_max is not None and self.score_min > self.score_max:
            raise ValueError("score_min is above score_max")
        if self.equals and self.field is None:
            raise ValueError("equals says what a field must be: give field too")
        asked = (self.label, self.score_min, self.score_max, self.group, self.pattern, self.field)
        if all(condition in (None, ()) for condition in asked):
            raise ValueError("it has no condition: for what no rule matches there is moderation.default")
        return self


def _by_name(given: Any) -> Any:
    """The rules, each validated by itself: an error says the rule's name, or its number from 1 where it has none."""
    if not isinstance(given, list | tuple):
        return given
    wrong: list[InitErrorDetails] = []
    rules: list[Any] = []
    names = set[str]()
    for number, raw in enumerate(given, start=1):
        name = raw.get("name") if isinstance(raw, Mapping) else getattr(raw, "name", None)
        place = name if isinstance(name, str) and name.isprintable() and name else str(number)
        try:
            rules.append(RuleSettings.model_validate(raw))
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False, include_context=False):
                kind = PydanticCustomError("rule", "{why}", {"why": item["msg"]})
                wrong.append(InitErrorDetails(type=kind, loc=(place, *item["loc"]), input=None))
        if isinstance(name, str):
            if name in names:
                kind = PydanticCustomError("rule", "two rules have this name")
                wrong.append(InitErrorDetails(type=kind, loc=(place, "name"), input=None))
            names.add(name)
    if wrong:
        raise ValidationError.from_exception_data("rules", wrong, hide_input=True)
    return tuple(rules)


class ModerationSettings(_Section):
    default: Literal["allow", "review", "block"] = "allow"
    """What to do with reviews that no rule matches. Without a rule, moderation is off."""
    review_topic: Topic | None = None
    """Topic that also gets what is not allowed; unset, `<output.topic>.review`."""
    verdict_topic: Topic | None = None
    """Topic of what people decide; unset, `<output.topic>.verdicts`."""
    verdict_text: bool = False
    """Whether a person's verdict carries the review's text, to train on: whoever reads the topic reads reviews."""
    rules: Annotated[tuple[RuleSettings, ...], BeforeValidator(_by_name)] = ()
    """In order; the first that matches wins. A variable holds them as JSON."""


class BatchingSettings(_Section):
    policy: Literal["length", "arrival"] = "length"
    """What goes into a batch: reviews of like length, or whatever came first (for reviews that are all alike)."""
    max_wait_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    """A review that has waited longer than this is put in the next batch."""
    max_reviews: Annotated[int, Field(ge=1, le=4096)] = 256
    """Most reviews in a batch."""
    max_padded_tokens: PositiveInt = 16_384
    """Most tokens in a batch, padding included (longest review times reviews)."""
    max_tokens_in_flight: PositiveInt = 262_144
    """Tokens admitted but not yet published from which on reading is paused."""


class ModelSettings(_Section):
    path: Path | None = None
    """Directory of the artefact; unset, the bundled model."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    """Of the artefact's `manifest.json`: no other is opened, nor swapped in; unset, any."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to run the model; `auto` takes CUDA where there is one."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic; `auto` takes the fastest that the golden texts agree with."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of the model on the CPU; 0 takes half of the cores, divided by the workers: the rest tokenise."""
    uncertain_low: Annotated[float, Field(ge=0, le=1)] | None = None
    """Scores from here on are `uncertain`; unset, the artefact's band."""
    uncertain_high: Annotated[float, Field(ge=0, le=1)] | None = None
    """Scores from here on are `positive`; unset, the artefact's band."""
    cache_entries: Annotated[int, Field(ge=0)] = 4096
    """Verdicts kept for texts that come again; 0 turns the cache off."""
    watch_ms: Annotated[int, Field(ge=0)] = 10_000
    """How often to look whether the artefact has changed, to load it anew; 0 waits for SIGHUP alone."""

    @model_validator(mode="after")
    def _band(self) -> Self:
        low, high = self.uncertain_low, self.uncertain_high
        if low is not None and high is not None and low > high:
            raise ValueError("uncertain_low is above uncertain_high")
        return self


class SecuritySettings(_Section):
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to talk to the brokers."""
    ca_file: Path | None = None
    """PEM file of the authorities to trust; unset, the system's."""
    cert_file: Path | None = None
    """PEM file of the client's certificate, for mutual TLS."""
    key_file: Path | None = None
    """PEM file of the client's private key."""
    key_password: SecretStr | None = None
    """Password of the private key."""
    check_hostname: bool = True
    """Whether the broker's certificate must carry its host name."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    """SASL mechanism, where the protocol is one of SASL's."""
    username: str | None = None
    """User of PLAIN and SCRAM, client id of OAUTHBEARER."""
    password: SecretStr | None = None
    """Password of PLAIN and SCRAM, client secret of OAUTHBEARER."""
    token_url: str | None = None
    """Token endpoint of OAUTHBEARER (client credentials grant, RFC 6749 section 4.4)."""
    scope: str | None = None
    """Scope to ask the token endpoint for."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.protocol.startswith("SASL") and (self.username is None or self.password is None):
            raise ValueError("username and password are needed with SASL")
        if self.protocol.startswith("SASL") and self.mechanism == "OAUTHBEARER":
            if self.token_url is None:
                raise ValueError("token_url is needed with OAUTHBEARER")
            url = urlsplit(self.token_url)
            if url.scheme != "https" and (url.scheme, url.hostname) not in _LOOPBACK:
                raise ValueError("token_url must be https: the client secret is sent to it")
            if url.username is not None or url.password is not None:
                raise ValueError("token_url must not hold a user or a password: set username and password")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class KafkaSettings(_Section):
    bootstrap_servers: Annotated[str, StringConstraints(pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$")] = "localhost:9092"
    """Brokers to ask first, `host:port`, comma between."""
    group_id: Annotated[str, StringConstraints(min_length=1)] = "sentiment-streamer"
    """Consumer group; workers of one group share the partitions."""
    client_id: Annotated[str, StringConstraints(min_length=1)] = "sentiment-streamer"
    """Name that the brokers log."""
    group_instance_id: str | None = None
    """Static membership: a restart within the session timeout causes no rebalance. One name per worker."""
    auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    """Where a group without committed offsets begins."""
    session_timeout_ms: Annotated[int, Field(ge=1000)] = 30_000
    """A worker not heard of for so long is put out of the group."""
    heartbeat_interval_ms: Annotated[int, Field(ge=100)] = 3_000
    """How often a worker is heard of; at most a third of the session timeout."""
    rebalance_timeout_ms: Annotated[int, Field(ge=1000)] = 60_000
    """How long a rebalance waits for workers to finish what they have."""
    revoke_timeout_ms: Annotated[int, Field(ge=0)] = 10_000
    """How long to finish what is in flight when partitions are taken away."""
    request_timeout_ms: Annotated[int, Field(ge=1000)] = 30_000
    """Longest wait for a broker's answer."""
    metadata_max_age_ms: Annotated[int, Field(ge=1000)] = 60_000
    """New partitions of a topic are found after at most so long."""
    max_poll_records: PositiveInt = 1000
    """Most records taken from the client at a time."""
    commit_interval_ms: PositiveInt = 1000
    """How often offsets are committed; with `exactly_once`, how long a transaction is: nobody sees a result before."""
    commit_max_records: PositiveInt = 20_000
    """Commit early after so many results; with `exactly_once`, about the largest transaction of a worker."""
    transaction_timeout_ms: Annotated[int, Field(ge=10_000)] = 60_000
    """With `exactly_once`: the broker aborts the transaction of a worker that it has not heard of for so long."""
    transactional_id_prefix: Annotated[str, StringConstraints(min_length=1)] = "streamer"
    """With `exactly_once`: what transactional ids begin with; group, topic and partition follow, with `/` between."""
    security: SecuritySettings = SecuritySettings()
    """TLS and SASL."""

    @model_validator(mode="after")
    def _timeouts(self) -> Self:
        if self.heartbeat_interval_ms * 3 > self.session_timeout_ms:
            raise ValueError("heartbeat_interval_ms must be at most a third of session_timeout_ms")
        if self.revoke_timeout_ms >= self.rebalance_timeout_ms:
            raise ValueError("revoke_timeout_ms must be below rebalance_timeout_ms")
        return self


class TrendSettings(_Section):
    enabled: bool = False
    """Whether workers publish, with each commit, what they have counted."""
    topic: Topic | None = None
    """Topic of these counts; unset, `<output.topic>.trends`."""
    lateness_ms: Annotated[int, Field(ge=0)] = 10_000
    """Readers judge a minute for alerts when event times are so far past its end."""
    early_ms: Annotated[int, Field(ge=0)] = 60_000
    """Readers leave reviews out whose event time lies farther in the future."""
    max_groups: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """Most groups that readers keep apart in a window; further ones are counted in total only."""
    alert_topic: Topic | None = None
    """Topic that `streamer trends` publishes alerts to; unset, it only prints them."""
    alert_min_reviews: PositiveInt = 50
    """A minute of a group with fewer reviews is not judged."""
    alert_min_minutes: PositiveInt = 10
    """A group is not judged before so many minutes with that many reviews."""
    alert_sigmas: Annotated[float, Field(gt=0, le=100)] = 4.0
    """Standard deviations from the group's usual share of negative that make an alert."""
    alert_change: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Least difference to the usual share that makes an alert."""


class HttpSettings(_Section):
    enabled: bool = True
    """Whether to serve `/metrics`, `/health/live` and `/health/ready`."""
    host: str = "127.0.0.1"
    """Address to bind; anything but loopback is for you to protect."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to bind; worker i of `--workers` takes port + i. 0 takes any free one."""
    stalled_after_ms: PositiveInt = 60_000
    """Not ready after so long without progress while there is lag."""


def _worker(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a worker is an http or https URL, as in http://127.0.0.1:8080")
    return url.rstrip("/")


class DashboardSettings(_Section):
    host: Annotated[str, StringConstraints(min_length=1)] = "127.0.0.1"
    """Address to bind; anything but loopback needs a token."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8090
    """Port to bind; 0 takes any free one."""
    token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """What a person must know to log in; unset, nobody is asked."""
    workers: tuple[Annotated[str, AfterValidator(_worker)], ...] = ("http://127.0.0.1:8080",)
    """Workers whose `/metrics` the System page reads."""
    history_minutes: PositiveInt = 360
    """How much of the trends topic is read at the start."""
    queue_size: Annotated[int, Field(ge=10, le=100_000)] = 5_000
    """Reviews for moderation that are kept in memory, the newest ones."""


class LogSettings(_Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Review text is logged at DEBUG only."""
    format: Literal["text", "json"] = "text"
    """`json`: one object per line."""


class TracingSettings(_Section):
    enabled: bool = False
    """Whether to send OpenTelemetry traces of batches and commits; needs the extra `tracing`."""
    endpoint: str | None = None
    """OTLP over HTTP, such as `http://collector:4318`; unset, as the standard `OTEL_EXPORTER_OTLP_*` variables say."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of batches and commits that are traced."""
    max_links: Annotated[int, Field(ge=0, le=128)] = 32
    """Most links from a batch's span to the traces of its reviews."""

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.endpoint is not None:
            url = urlsplit(self.endpoint)
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError("endpoint must begin with http:// or https:// and name a host")
            if url.username is not None or url.password is not None:
                raise ValueError("endpoint must not hold a user or a password: set OTEL_EXPORTER_OTLP_HEADERS")
        return self


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
    """Whether a crash may repeat results; with `exactly_once` it does not, for readers that ask `read_committed`."""
    kafka: KafkaSettings = KafkaSettings()
    input: InputSettings = InputSettings()
    output: OutputSettings = OutputSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    moderation: ModerationSettings = ModerationSettings()
    batching: BatchingSettings = BatchingSettings()
    model: ModelSettings = ModelSettings()
    trends: TrendSettings = TrendSettings()
    http: HttpSettings = HttpSettings()
    dashboard: DashboardSettings = DashboardSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    drain_timeout_ms: PositiveInt = 25_000
    """On SIGTERM or SIGINT, how long to finish what is in flight before giving up on it."""

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

    @model_validator(mode="after")
    def _transactions(self) -> Self:
        if self.delivery == "exactly_once" and self.kafka.transaction_timeout_ms < 2 * self.kafka.commit_interval_ms:
            raise ValueError("kafka.transaction_timeout_ms must be at least twice kafka.commit_interval_ms")
        return self

    @model_validator(mode="after")
    def _topics(self) -> Self:
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
        others = names.values()
        if self.trend_topic in others or self.trends.alert_topic in (*others, self.trend_topic):
            raise ValueError(
                "trends.topic and trends.alert_topic must differ from each other and from all other topics"
            )
        return self

    @model_validator(mode="after")
    def _fields(self) -> Self:
        asking = [rule.name for rule in self.moderation.rules if rule.field is not None]
        if asking and self.input.format == "text":
            raise ValueError(f"moderation.rules.{asking[0]}.field: with input.format text there are no fields")
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
        toml = (TomlConfigSettingsSource(settings_cls, Path(path)),) if path else ()
        return (init_settings, env_settings, *toml)


def load(overrides: dict[str, Any] | None = None) -> Settings:
    """Read the settings; `overrides` is nested like the TOML file and wins over everything.

    Raises SettingsError, whose message has a line for each wrong setting, by name; values are not quoted,
    since one may be a secret.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if path and not Path(path).is_file():
        raise SettingsError(f"{CONFIG_VARIABLE}: no such file: {path}")
    _refuse_unknown_variables()
    try:
        return Settings(**(overrides or {}))
    except ValidationError as error:
        lines = [f"{_name(item['loc'])}: {item['msg']}" for item in error.errors(include_input=False)]
        raise SettingsError("\n".join(lines)) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not UTF-8") from None
    except ValueError as error:  # pydantic-settings: a nested variable that is not JSON.
        raise SettingsError(str(error)) from None


def _refuse_unknown_variables() -> None:
    """A misspelt variable must not pass in silence: pydantic-settings itself looks only for names it knows."""
    fields = {name.upper(): field for name, field in Settings.model_fields.items()}
    for variable in os.environ:
        name = variable.upper()
        if not name.startswith(PREFIX) or name in _OTHER_VARIABLES:
            continue
        top, _, nested = name.removeprefix(PREFIX).partition("__")
        section = isinstance(getattr(fields.get(top), "default", None), BaseModel)
        if top not in fields or (nested and not section):
            raise SettingsError(f"{variable}: no such setting")


def _name(location: tuple[int | str, ...]) -> str:
    """`batching.max_wait_ms (STREAMER_BATCHING__MAX_WAIT_MS)`."""
    parts = [str(part) for part in location]
    if not parts:
        return "settings"
    # No variable is nested below the rules.
    variable = parts[:2] if parts[:2] == ["moderation", "rules"] else parts
    return f"{'.'.join(parts)} ({PREFIX}{'__'.join(part.upper() for part in variable)})"
