"""Settings: read from the environment and a file, and refused by name where they are wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streamer.settings import CONFIG_VARIABLE, Settings, SettingsError, load
from streamer.settings.deprecated import _given, _warned, warn_of_old_names
from tests.security.canaries import paths

SECRET = "correct-horse-battery"  # noqa: S105  # A made-up one, to look for.
SASL = {
    "STREAMER_KAFKA__SECURITY__PROTOCOL": "SASL_SSL",
    "STREAMER_KAFKA__SECURITY__USERNAME": "streamer",
    "STREAMER_KAFKA__SECURITY__PASSWORD": SECRET,
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting from outside, and no warning given before."""
    _given.clear()
    _warned.clear()
    for variable in list(os.environ):
        if variable.upper().startswith("STREAMER_"):
            monkeypatch.delenv(variable)


def set_variables(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)


def refusal() -> str:
    with pytest.raises(SettingsError) as refused:
        load()
    return str(refused.value)


def write(monkeypatch: pytest.MonkeyPatch, folder: Path, content: str | bytes) -> Path:
    """A TOML file, named by the variable."""
    path = folder / "streamer.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    return path


def test_there_is_a_default_for_everything() -> None:
    """And the dead letters' topic follows the input's."""
    settings = load()
    assert settings.dead_letter_topic == "reviews.dlq"
    assert load({"input": {"topic": "in"}}).dead_letter_topic == "in.dlq"
    assert load({"dead_letters": {"topic": "bin"}}).dead_letter_topic == "bin"


def test_variables_are_nested_with_two_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sets one value and leaves its neighbours alone."""
    set_variables(monkeypatch, STREAMER_BATCHING__MAX_WAIT_MS="5", STREAMER_KAFKA__SECURITY__PROTOCOL="SSL")
    settings = load()
    assert (settings.batching.max_wait_ms, settings.batching.max_reviews) == (5.0, 256)
    assert (settings.kafka.security.protocol, settings.kafka.security.check_hostname) == ("SSL", True)


def test_a_section_may_be_given_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pydantic-settings has it."""
    set_variables(monkeypatch, STREAMER_BATCHING='{"max_wait_ms": 5}', STREAMER_BATCHING__MAX_REVIEWS="7")
    assert (load().batching.max_wait_ms, load().batching.max_reviews) == (5.0, 7)


def test_the_file_is_below_the_environment_and_both_below_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Value by value, not section by section."""
    write(
        monkeypatch,
        tmp_path,
        'delivery = "exactly_once"\n[input]\ntopic = "file"\nformat = "text"\n'
        "[batching]\nmax_wait_ms = 1\nmax_reviews = 1\n",
    )
    set_variables(monkeypatch, STREAMER_INPUT__TOPIC="environment", STREAMER_BATCHING__MAX_REVIEWS="2")
    settings = load({"batching": {"max_reviews": 3}})
    assert (settings.input.topic, settings.input.format) == ("environment", "text")
    assert (settings.batching.max_wait_ms, settings.batching.max_reviews) == (1.0, 3)
    assert settings.batching.max_padded_tokens == 16_384
    assert settings.delivery == "exactly_once"


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("INPUT__TOPIC", "no spaces", "input.topic"),
        ("INPUT__TOPIC", "", "input.topic"),
        ("INPUT__TOPIC", "t" * 250, "input.topic"),
        ("INPUT__FORMAT", "avro", "input.format"),
        ("INPUT__TEXT_FIELD", "", "input.text_field"),
        ("INPUT__TEXT_FIELD", "a..b", "input.text_field"),
        ("INPUT__ID_FIELD", ".", "input.id_field"),
        ("INPUT__EVENT_TIME_FIELD", "a.", "input.event_time_field"),
        ("INPUT__GROUP_FIELD", ".a", "input.group_field"),
        ("INPUT__MAX_BYTES", "0", "input.max_bytes"),
        ("INPUT__MISSING_TEXT", "ignore", "input.missing_text"),
        ("INPUT__TIME_ZONE", "", "input.time_zone"),
        ("INPUT__TIME_ZONE", "CST", "input.time_zone"),
        ("INPUT__TIME_ZONE", "+08:00", "input.time_zone"),
        ("INPUT__TIME_ZONE", "Asia", "input.time_zone"),
        ("INPUT__TIME_ZONE", "../../etc/passwd", "input.time_zone"),
        ("INPUT__TIME_ZONE", "x" * 300, "input.time_zone"),
        ("OUTPUT__TOPIC", "a/b", "output.topic"),
        ("OUTPUT__EVIDENCE_TOKENS", "-1", "output.evidence_tokens"),
        ("OUTPUT__EVIDENCE_TOKENS", "4097", "output.evidence_tokens"),
        ("OUTPUT__INCLUDE_INPUT", "perhaps", "output.include_input"),
        ("OUTPUT__COMPRESSION", "rar", "output.compression"),
        ("DEAD_LETTERS__TOPIC", "a b", "dead_letters.topic"),
        ("DEAD_LETTERS__MAX_RATIO", "0", "dead_letters.max_ratio"),
        ("DEAD_LETTERS__MAX_RATIO", "1.1", "dead_letters.max_ratio"),
        ("DEAD_LETTERS__MAX_RATIO", "nan", "dead_letters.max_ratio"),
        ("DEAD_LETTERS__WINDOW", "0", "dead_letters.window"),
        ("BATCHING__MAX_WAIT_MS", "0", "batching.max_wait_ms"),
        ("BATCHING__MAX_WAIT_MS", "soon", "batching.max_wait_ms"),
        ("BATCHING__MAX_REVIEWS", "4097", "batching.max_reviews"),
        ("BATCHING__MAX_REVIEWS", "1.5", "batching.max_reviews"),
        ("BATCHING__MAX_PADDED_TOKENS", "0", "batching.max_padded_tokens"),
        ("BATCHING__MAX_TOKENS_IN_FLIGHT", "-1", "batching.max_tokens_in_flight"),
        ("MODEL__DEVICE", "tpu", "model.device"),
        ("MODEL__PRECISION", "int8", "model.precision"),
        ("MODEL__THREADS", "-1", "model.threads"),
        ("MODEL__UNCERTAIN_LOW", "1.5", "model.uncertain_low"),
        ("MODEL__UNCERTAIN_HIGH", "-0.1", "model.uncertain_high"),
        ("MODEL__CACHE_ENTRIES", "-1", "model.cache_entries"),
        ("HTTP__ENABLED", "maybe", "http.enabled"),
        ("HTTP__PORT", "65536", "http.port"),
        ("HTTP__STALLED_AFTER_MS", "0", "http.stalled_after_ms"),
        ("DASHBOARD__PORT", "65536", "dashboard.port"),
        ("DASHBOARD__TOKEN", "short", "dashboard.token"),
        ("DASHBOARD__HISTORY_MINUTES", "0", "dashboard.history_minutes"),
        ("DASHBOARD__QUEUE_SIZE", "1", "dashboard.queue_size"),
        ("LOG__LEVEL", "LOUD", "log.level"),
        ("LOG__FORMAT", "xml", "log.format"),
        ("PIPELINE__DRAIN_TIMEOUT_MS", "0", "pipeline.drain_timeout_ms"),
        ("KAFKA__BOOTSTRAP_SERVERS", "localhost", "kafka.bootstrap_servers"),
        ("KAFKA__GROUP_ID", "", "kafka.group_id"),
        ("KAFKA__CLIENT_ID", "", "kafka.client_id"),
        ("KAFKA__AUTO_OFFSET_RESET", "middle", "kafka.auto_offset_reset"),
        ("KAFKA__SESSION_TIMEOUT_MS", "999", "kafka.session_timeout_ms"),
        ("KAFKA__HEARTBEAT_INTERVAL_MS", "99", "kafka.heartbeat_interval_ms"),
        ("KAFKA__REBALANCE_TIMEOUT_MS", "0", "kafka.rebalance_timeout_ms"),
        ("PIPELINE__REVOKE_TIMEOUT_MS", "-1", "pipeline.revoke_timeout_ms"),
        ("KAFKA__REQUEST_TIMEOUT_MS", "0", "kafka.request_timeout_ms"),
        ("KAFKA__MAX_POLL_RECORDS", "0", "kafka.max_poll_records"),
        ("PIPELINE__COMMIT_INTERVAL_MS", "0", "pipeline.commit_interval_ms"),
        ("PIPELINE__COMMIT_MAX_RECORDS", "0", "pipeline.commit_max_records"),
        ("KAFKA__SECURITY__PROTOCOL", "TELNET", "kafka.security.protocol"),
        ("KAFKA__SECURITY__MECHANISM", "GSSAPI", "kafka.security.mechanism"),
        ("KAFKA__SECURITY__CHECK_HOSTNAME", "?", "kafka.security.check_hostname"),
        # Misspelt.
        ("BATCHING__MAX_WAIT", "5", "batching.max_wait"),
        ("KAFKA__SECURITY__USER", "5", "kafka.security.user"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str) -> None:
    """By its dotted name and by its variable."""
    set_variables(monkeypatch, **{f"STREAMER_{variable}": value})
    assert refusal().startswith(f"{name} (STREAMER_{variable}): ")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OUTPUT__TOPIC": "reviews"}, "input.topic, output.topic and dead_letters.topic must differ"),
        ({"DEAD_LETTERS__TOPIC": "reviews"}, "input.topic, output.topic and dead_letters.topic must differ"),
        ({"OUTPUT__TOPIC": "reviews.dlq"}, "input.topic, output.topic and dead_letters.topic must differ"),
        ({"TRENDS__TOPIC": "reviews"}, "trends.topic and trends.alert_topic must differ"),
        ({"TRENDS__ALERT_TOPIC": "reviews.labelled.trends"}, "trends.topic and trends.alert_topic must differ"),
        ({"MODEL__UNCERTAIN_LOW": "0.7", "MODEL__UNCERTAIN_HIGH": "0.6"}, "uncertain_low is above uncertain_high"),
        (
            {
                "KAFKA__SECURITY__PROTOCOL": "SASL_SSL",
                "KAFKA__SECURITY__MECHANISM": "OAUTHBEARER",
                "KAFKA__SECURITY__USERNAME": "u",
                "KAFKA__SECURITY__PASSWORD": "p",
                "KAFKA__SECURITY__TOKEN_URL": "http://localhost.example.com/token",
            },
            "token_url must be https",
        ),
        ({"CONFIG_FILE": "x.toml"}, "STREAMER_CONFIG_FILE: no such setting"),
        ({"DRAIN_TIMEOUT_MS__X": "1"}, "STREAMER_DRAIN_TIMEOUT_MS__X: no such setting"),
        ({"KAFKA__HEARTBEAT_INTERVAL_MS": "10001"}, "heartbeat_interval_ms must be at most a third"),
        ({"PIPELINE__REVOKE_TIMEOUT_MS": "60000"}, "revoke_timeout_ms must be below kafka.rebalance_timeout_ms"),
        (
            {"DELIVERY": "exactly_once", "PIPELINE__COMMIT_INTERVAL_MS": "30001"},
            "kafka.transaction_timeout_ms must be at least twice pipeline.commit_interval_ms",
        ),
        ({"KAFKA__SECURITY__PROTOCOL": "SASL_SSL"}, "username and password are needed with SASL"),
        ({"KAFKA__SECURITY__CERT_FILE": "cert.pem"}, "cert_file and key_file go together"),
        ({"KAFKA__SECURITY__KEY_FILE": "key.pem"}, "cert_file and key_file go together"),
    ],
)
def test_settings_that_contradict_each_other_are_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    """All of those that do."""
    set_variables(monkeypatch, **{f"STREAMER_{variable}": value for variable, value in variables.items()})
    assert message in refusal()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "token_url is needed with OAUTHBEARER"),
        ("http://sso.example/token", "token_url must be https"),
        ("sso.example/token", "token_url must be https"),
    ],
)
def test_a_token_endpoint_must_be_there_and_safe(
    monkeypatch: pytest.MonkeyPatch, url: str | None, message: str
) -> None:
    """The client secret is sent to it."""
    set_variables(monkeypatch, **SASL, STREAMER_KAFKA__SECURITY__MECHANISM="OAUTHBEARER")
    if url:
        set_variables(monkeypatch, STREAMER_KAFKA__SECURITY__TOKEN_URL=url)
    assert message in refusal()
    monkeypatch.setenv("STREAMER_KAFKA__SECURITY__TOKEN_URL", "https://sso.example/token")
    assert load().kafka.security.mechanism == "OAUTHBEARER"


@pytest.fixture
def _no_system_zones() -> Iterator[None]:
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()


@pytest.mark.usefixtures("_no_system_zones")
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "UTC"])
def test_time_zones_need_no_files_of_the_system(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """Slim images have none: the package tzdata has them, and is required."""
    monkeypatch.setenv("STREAMER_INPUT__TIME_ZONE", zone)
    assert load().input.time_zone == zone


def test_every_wrong_setting_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one run shows them all."""
    set_variables(monkeypatch, STREAMER_HTTP__PORT="x", STREAMER_LOG__LEVEL="x", STREAMER_INPUT__MAX_BYTES="x")
    names = [line.split(" ")[0] for line in refusal().splitlines()]
    assert sorted(names) == ["http.port", "input.max_bytes", "log.level"]


@pytest.mark.parametrize(
    "name", ["STREAMER_BATCH__MAX_WAIT_MS", "STREAMER_BATCHING_MAX_WAIT_MS", "streamer_x", "STREAMER_"]
)
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A misspelt name must not pass in silence."""
    set_variables(monkeypatch, **{name: "1"})
    assert refusal() == f"{name}: no such setting"


def test_the_tests_own_variables_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the prefix."""
    set_variables(monkeypatch, STREAMER_TEST_BOOTSTRAP="localhost:9092")
    assert load() == Settings()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a =", "not TOML"),
        (b"\xff", "not UTF-8"),
        ("[batch]\nx = 1\n", "batch (STREAMER_BATCH): "),
        ("[batching]\nmax_wait = 1\n", "batching.max_wait (STREAMER_BATCHING__MAX_WAIT): "),
        ('batching.max_reviews = "many"\n', "batching.max_reviews (STREAMER_BATCHING__MAX_REVIEWS): "),
        ("kafka = 3\n", "kafka (STREAMER_KAFKA): "),
    ],
)
def test_a_wrong_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | bytes, message: str
) -> None:
    """With the setting's name, or the file's."""
    path = write(monkeypatch, tmp_path, content)
    refused = refusal()
    assert message in refused
    assert "STREAMER_" in refused or str(path) in refused


def test_a_file_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor is a folder a file."""
    for path in (tmp_path / "none.toml", tmp_path):
        set_variables(monkeypatch, **{CONFIG_VARIABLE: str(path)})
        assert refusal() == f"{CONFIG_VARIABLE}: no such file: {path}"


def test_settings_cannot_be_changed() -> None:
    """They are parsed once, at the edge."""
    settings = load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.delivery = "exactly_once"
    with pytest.raises(ValidationError, match="frozen"):
        settings.batching.max_reviews = 1


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when printed nor when dumped as JSON."""
    set_variables(monkeypatch, **SASL, STREAMER_KAFKA__SECURITY__KEY_PASSWORD=SECRET)
    settings = load()
    assert settings.kafka.security.password is not None
    assert settings.kafka.security.password.get_secret_value() == SECRET
    assert SECRET not in f"{settings} {settings!r} {settings.kafka.security!r} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    "variables",
    [
        SASL | {"STREAMER_KAFKA__SECURITY__MECHANISM": "NONE"},
        {"STREAMER_KAFKA__SECURITY__PASSWORD__X": SECRET},
        {"STREAMER_KAFKA__SECURITY": SECRET},
        {"STREAMER_KAFKA__SECURITY": f'"{SECRET}"'},
        {"STREAMER_KAFKA": f'{{"security": {{"password": "{SECRET}"'},
        {"STREAMER_KAFKA": f'{{"security": {{"password": ["{SECRET}"]}}}}'},
        {"STREAMER_KAFKA": f'{{"security": {{"passwort": "{SECRET}"}}}}'},
        {"STREAMER_PASSWORD": SECRET},
    ],
)
def test_no_message_quotes_a_secret(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Wherever it was put by mistake."""
    set_variables(monkeypatch, **variables)
    assert SECRET not in refusal()


@pytest.mark.parametrize(
    "line", ["password = '{}", "password = ['{}']", "password.x = '{}'", "password = {}", "passwort = '{}'"]
)
def test_no_message_quotes_a_secret_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str) -> None:
    """Nor what stands on its line."""
    write(monkeypatch, tmp_path, f"[kafka.security]\n{line.format(SECRET)}\n")
    assert SECRET not in refusal()


# Old names

OLD_NAMES = {
    "drain_timeout_ms": "pipeline.drain_timeout_ms",
    "kafka.commit_interval_ms": "pipeline.commit_interval_ms",
    "kafka.commit_max_records": "pipeline.commit_max_records",
    "kafka.revoke_timeout_ms": "pipeline.revoke_timeout_ms",
}


def value_of(settings: Settings, name: str) -> object:
    section, field = name.split(".")
    return getattr(getattr(settings, section), field)


def as_variable(name: str) -> str:
    return f"STREAMER_{name.upper().replace('.', '__')}"


def nested(name: str, value: object) -> dict[str, object]:
    *section, field = name.split(".")
    return {section[0]: {field: value}} if section else {field: value}


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
def test_an_old_name_goes_on_working_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str
) -> None:
    """In the file, as a variable, whatever its case, and as an override."""
    *section, field = old.split(".")
    write(monkeypatch, tmp_path, f"[{section[0]}]\n{field} = 1234\n" if section else f"{field} = 1234\n")
    assert value_of(load(), new) == 1234
    set_variables(monkeypatch, **{as_variable(old).lower(): "2345"})
    assert value_of(load(), new) == 2345
    assert value_of(load(nested(old, 3456)), new) == 3456


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
def test_an_old_name_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, old: str, new: str
) -> None:
    """With both names, however often a command loads the settings; the new name gives no warning."""
    set_variables(monkeypatch, **{as_variable(new): "1234"})
    load()
    warn_of_old_names()
    assert caplog.messages == []
    monkeypatch.delenv(as_variable(new))
    set_variables(monkeypatch, **{as_variable(old): "1234"})
    for _ in range(2):
        load()
        warn_of_old_names()
    (message,) = caplog.messages
    assert all(name in message for name in (old, as_variable(old), new, as_variable(new)))


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
def test_two_names_with_different_values_are_refused(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Where one source has both. The same value is no contradiction, and between sources the usual order holds."""
    set_variables(monkeypatch, **{as_variable(old): "1234", as_variable(new): "1235"})
    refused = refusal()
    assert all(name in refused for name in (old, as_variable(old), new, as_variable(new)))
    set_variables(monkeypatch, **{as_variable(new): "1234"})
    assert value_of(load(), new) == 1234
    assert value_of(load(nested(new, 7)), new) == 7


def test_a_wrong_value_under_an_old_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under the new one, also in a section that is given as JSON; and a section that is none is named."""
    set_variables(monkeypatch, STREAMER_KAFKA__COMMIT_INTERVAL_MS="0")
    assert refusal().startswith("pipeline.commit_interval_ms (STREAMER_PIPELINE__COMMIT_INTERVAL_MS): ")
    monkeypatch.delenv("STREAMER_KAFKA__COMMIT_INTERVAL_MS")
    set_variables(monkeypatch, STREAMER_KAFKA='{"revoke_timeout_ms": -1}')
    assert refusal().startswith("pipeline.revoke_timeout_ms (STREAMER_PIPELINE__REVOKE_TIMEOUT_MS): ")
    with pytest.raises(SettingsError, match=r"^pipeline \(STREAMER_PIPELINE\): "):
        load({"pipeline": 3, "drain_timeout_ms": 5})


def test_a_command_shows_the_warning() -> None:
    """On standard error, once, also where the command loads the settings a second time; in the format of the log."""
    command = [sys.executable, "-m", "streamer", "rules", "test", "/nowhere.csv"]
    environment = {**os.environ, "STREAMER_DRAIN_TIMEOUT_MS": "1234", "STREAMER_LOG__FORMAT": "json"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    (warning,) = [line for line in done.stderr.splitlines() if "STREAMER_PIPELINE__DRAIN_TIMEOUT_MS" in line]
    assert json.loads(warning)["level"] == "WARNING"


# Moderation rules


def rule(**fields: object) -> dict[str, object]:
    return {"name": "abuse", "action": "block", "pattern": "x"} | fields


def test_rules_are_read_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In their order; one value stands for a list of it."""
    write(
        monkeypatch,
        tmp_path,
        '[moderation]\ndefault = "review"\n'
        '[[moderation.rules]]\nname = "a"\naction = "block"\nlabel = "negative"\nscore_max = 0.2\ngroup = "p-*"\n'
        '[[moderation.rules]]\nname = "b"\naction = "allow"\nfield = "user.role"\nequals = ["x", 1, true]\n',
    )
    moderation = load().moderation
    first, second = moderation.rules
    assert (moderation.default, first.name, second.name) == ("review", "a", "b")
    assert (first.label, first.score_max, first.group) == (("negative",), 0.2, ("p-*",))
    assert (second.field, second.equals) == ("user.role", ("x", 1, True))
    assert [type(value) for value in second.equals] == [str, int, bool]


def test_rules_are_read_from_a_variable_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes the place of the file's."""
    set_variables(monkeypatch, STREAMER_MODERATION__RULES=json.dumps([rule(name="傻")]))
    assert [one.name for one in load().moderation.rules] == ["傻"]


def test_the_topics_of_moderation_follow_the_output_s() -> None:
    """Unless they are named."""
    settings = load({"output": {"topic": "out"}})
    assert (settings.review_topic, settings.verdict_topic) == ("out.review", "out.verdicts")
    named = load({"moderation": {"review_topic": "r", "verdict_topic": "v"}})
    assert (named.review_topic, named.verdict_topic) == ("r", "v")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (rule(pattern="(?=a)"), r"abuse\.pattern .*look-around"),
        (rule(pattern=r"(a)\1"), r"abuse\.pattern .*back-references"),
        (rule(pattern="("), r"abuse\.pattern .*missing \)"),
        (rule(pattern=""), r"abuse\.pattern .*not be empty"),
        (rule(action="blok"), r"abuse\.action .*'allow', 'review' or 'block'"),
        (rule(label="two words"), r"abuse\.label\.0 "),
        (rule(label=[]), r"abuse\.label .*empty list"),
        (rule(score_min=-0.1), r"abuse\.score_min "),
        (rule(score_min=0.5, score_max=0.4), r"abuse .*score_min is above score_max"),
        (rule(group=""), r"abuse\.group\.0 "),
        (rule(field="a..b"), r"abuse\.field .*empty part"),
        (rule(equals="x"), r"abuse .*give field too"),
        (rule(field="a", equals=[{"b": 1}]), r"abuse\.equals\.0 .*neither a string"),
        (rule(field="a", equals=float("nan")), r"abuse\.equals\.0 "),
        (rule(patern="x"), r"abuse\.patern .*no such"),
        ({"name": "abuse", "action": "block"}, r"abuse .*no condition"),
        ({"action": "block", "pattern": "x"}, r"2\.name .*missing"),
        (rule(name="a b"), r"a b\.name "),
        (rule(name="good"), r"good\.name .*two rules"),
        (5, r"2 .*a table of names"),
    ],
)
def test_a_wrong_rule_is_named_with_its_field(wrong: object, message: str) -> None:
    """By its number where it has no name."""
    with pytest.raises(SettingsError, match=rf"^moderation\.rules\.{message}") as refused:
        load({"moderation": {"rules": [rule(name="good"), wrong]}})
    assert "(STREAMER_MODERATION__RULES)" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_list_of_rules_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what is no JSON."""
    set_variables(monkeypatch, STREAMER_MODERATION__RULES='{"name": "abuse"}')
    assert refusal().startswith("moderation.rules (STREAMER_MODERATION__RULES): ")
    set_variables(monkeypatch, STREAMER_MODERATION__RULES='[{"name"')
    assert refusal().startswith("STREAMER_MODERATION__RULES: ")


def test_a_variable_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of its section that are given, and without their values."""
    set_variables(
        monkeypatch, STREAMER_DASHBOARD__WORKERS=SECRET, STREAMER_DASHBOARD__PORT="1", STREAMER_HTTP__PORT="2"
    )
    assert refusal() == (
        "STREAMER_DASHBOARD__PORT or STREAMER_DASHBOARD__WORKERS: a list, or a section in one variable, must be JSON"
    )


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("INPUT__TOPIC", "", "must not be empty"),
        ("INPUT__TOPIC", "my topic", "a topic's name has no characters but a to z"),
        ("INPUT__TOPIC", "评论", "a topic's name has no characters but a to z"),
        ("INPUT__TOPIC", "t" * 250, "at most 249 characters, and this has 250"),
        ("INPUT__TOPIC", ".", "no topic called '.' or '..'"),
        ("DEAD_LETTERS__TOPIC", "..", "no topic called '.' or '..'"),
        ("MODEL__SHA256", "abc", "64 digits"),
        ("MODEL__PATH", "a\nb", "not the path of a file"),
        ("MODEL__PATH", "x" * 300, "not the path of a file: it is too long"),
        ("KAFKA__GROUP_ID", "", "must not be empty"),
        ("KAFKA__SECURITY__PROTOCOL", "TLS", "must be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
        ("BATCHING__MAX_REVIEWS", "many", "must be a whole number"),
        ("BATCHING__MAX_REVIEWS", "0", "must be at least 1"),
        ("BATCHING__MAX_REVIEWS", "9" * 5000, "must be a"),
        ("BATCHING__MAX_WAIT_MS", "soon", "must be a number"),
        ("BATCHING__MAX_WAIT_MS", "inf", "must be a finite number"),
        ("HTTP__PORT", "70000", "must be at most 65535"),
        ("HTTP__ENABLED", "perhaps", "must be true or false"),
        ("DASHBOARD__TOKEN", "short", "must have at least 16 characters"),
        ("DEAD_LETTERS__MAX_RATIO", "0", "must be above 0"),
    ],
)
def test_what_is_wrong_is_said_in_words(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    """No regular expression, no type of Python, and nothing of pydantic's."""
    set_variables(monkeypatch, **{f"STREAMER_{variable}": value})
    refused = refusal()
    assert refused.startswith(f"{variable.replace('__', '.').lower()} (STREAMER_{variable}): ")
    assert said in refused
    assert not {"pattern", "Input", "String", "Value error"} & set(refused.replace(":", " ").split())


def test_no_setting_has_an_error_in_pydantics_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any type, whatever is wrong with the value, in a variable and in a file."""
    refused = 0
    for path, _ in paths(Settings):
        for value in (
            "",
            "x",
            "-1",
            "[]",
            "{}",
            "1.5",
            "é\x1b",
            "\udcff",
            "9" * 5000,
            "nan",
            [1],
            {"a": 1},
            1.5,
            True,
            None,
        ):
            section: dict[str, Any] = {path[-1]: value}
            for name in reversed(path[:-1]):
                section = {name: section}
            try:
                load(section)
            except SettingsError as error:
                refused += 1
                assert "should" not in str(error) and "Value error" not in str(error), (path, value)
                assert all(line.isprintable() for line in str(error).split("\n"))
    assert refused > 300


def test_a_topic_named_after_another_is_not_too_long() -> None:
    """Its default has an ending; the setting to give is named."""
    with pytest.raises(SettingsError, match=r"dead_letters\.topic: set it, since its default is longer"):
        load({"input": {"topic": "t" * 249}})
    assert load({"input": {"topic": "t" * 249}, "dead_letters": {"topic": "d"}}).input.topic == "t" * 249


def test_rules_and_topics_must_fit_the_rest() -> None:
    """There are no fields in bare text; held reviews must not come back in."""
    with pytest.raises(SettingsError, match=r"moderation\.rules\.abuse\.field: with input\.format text"):
        load({"input": {"format": "text"}, "moderation": {"rules": [rule(field="role")]}})
    for topics in ({"review_topic": "reviews"}, {"verdict_topic": "reviews.labelled"}):
        with pytest.raises(SettingsError, match=r"moderation\.verdict_topic must differ"):
            load({"moderation": {"rules": [rule()], **topics}})
        assert load({"moderation": topics}).moderation.rules == ()  # Off: nothing goes there.


@pytest.mark.parametrize("url", ["ftp://worker:8080", "worker:8080", "http://", "file:///etc/passwd"])
def test_a_worker_of_the_dashboard_is_a_url(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Of http or https: nothing else is ever opened."""
    set_variables(monkeypatch, STREAMER_DASHBOARD__WORKERS=f'["{url}"]')
    assert "a worker is an http or https URL" in refusal()
