"""Every secret of the settings is a word of its own here; none is in anything that a command says or serves."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from streamer.kafka import client_options
from streamer.models.artefact import BUNDLED, ModelError, read_artefact
from streamer.settings import Settings, SettingsError, load
from tests.brokers import NodeCluster, new_topic
from tests.command_line import streamer
from tests.security.canaries import canary, found, paths, secret_paths, variable
from tests.security.certificates import Certificates
from tests.security.conftest import opening
from tests.security.service import environment
from tests.security.tokens import TokenEndpoint, oauth, token_endpoint
from tests.workers import Worker

on_kafka = pytest.mark.requires("faults", "properties")
HTTP_OFF = {"STREAMER_HTTP__ENABLED": "false"}
DEBUG = {"STREAMER_LOG__LEVEL": "DEBUG"}


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without settings."""
    for name in list(os.environ):
        if name.upper().startswith("STREAMER_"):
            monkeypatch.delenv(name)
    return monkeypatch


def said(given: Mapping[str, str], code: int, *arguments: str) -> str:
    """All that a command prints, with these settings and none from outside; it must end with this code.

    `run` is a process of its own.
    """
    if arguments[0] != "run":
        done = streamer(*arguments, environment=given)
        assert done.code == code, done.stdout + done.stderr
        return done.stdout + done.stderr
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("STREAMER_")}
    ended = subprocess.run(
        [sys.executable, "-m", "streamer", *arguments],
        env=inherited | dict(given),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    everything = ended.stdout + ended.stderr
    assert ended.returncode == code, everything
    return everything


def test_the_settings_have_secrets() -> None:
    """So that what follows looks for something."""
    assert set(secret_paths(Settings)) >= {("kafka", "security", "password"), ("kafka", "security", "key_password")}


def test_settings_do_not_show_them(clean: pytest.MonkeyPatch, secrets: dict[str, str]) -> None:
    """Printed, formatted or dumped, as a whole and section by section."""
    for name, value in secrets.items():
        clean.setenv(name, value)
    settings = load()
    for shown in (settings, settings.kafka, settings.kafka.security):
        texts = (repr(shown), str(shown), f"{shown}", str(shown.model_dump()), shown.model_dump_json())
        assert found(secrets.values(), *texts) == []


def test_no_error_of_the_settings_quotes_a_value(clean: pytest.MonkeyPatch) -> None:
    """Whichever variable a secret was put in by mistake, a section's too, as it is, as JSON or one level too deep."""
    secret, refused = canary(), 0
    leaves = [variable("STREAMER", *path) for path, _ in paths(Settings)]
    sections = {variable("STREAMER", *path[:depth]) for path, _ in paths(Settings) for depth in range(1, len(path))}
    deeper = [f"{leaf}__{end}" for leaf in leaves for end in ("X", "PASSWORD")]
    misspelt = ["STREAMER_PASSWORD", "STREAMER_KAFKA__PASSWORD", "STREAMER_KAFKA__SECURITY__PASSWORDS"]
    for name in [*leaves, *sorted(sections), *deeper, *misspelt]:
        for value in (secret, f'"{secret}"', f'["{secret}"]', f'{{"x": "{secret}"}}'):
            with clean.context() as trial:
                trial.setenv(name, value)
                try:
                    load()
                except SettingsError as error:
                    refused += 1
                    assert secret not in str(error), name
    assert refused > len(leaves)


BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
PASTED = f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----\n"
FORMS = {
    "as it is": PASTED,
    "on one line": PASTED.replace("\n", "\\n"),
    "its base64 alone": BODY * 4,
    "encoded again": base64.b64encode(PASTED.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_pasted_key_is_not_shown(clean: pytest.MonkeyPatch, form: str) -> None:
    """In whichever setting it was put: not by the settings, nor by whoever then opens it as a file."""
    value, refused = FORMS[form], 0
    names = [variable("STREAMER", *path) for path, _ in paths(Settings)]
    for name in names:
        with clean.context() as trial:
            trial.setenv(name, value)
            given = {"STREAMER_KAFKA__SECURITY__PROTOCOL": "SSL", "STREAMER_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
            for other, partner in (("CERT_FILE", "KEY_FILE"), ("KEY_FILE", "CERT_FILE")):
                if name.endswith(other):
                    given[name.replace(other, partner)] = __file__
            for needed, with_value in given.items():
                if needed != name:
                    trial.setenv(needed, with_value)
            try:
                settings = load()
                client_options(settings.kafka)
                read_artefact(settings.model.path or BUNDLED)
            except (SettingsError, ModelError) as error:
                refused += 1
                assert value[-60:-30] not in str(error), name
    assert refused > len(names) / 3


@pytest.mark.parametrize("form", ["as it is", "on one line"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("label", "{}"),
        ("label", __file__, "--output", "{}"),
        ("produce", "{}"),
        ("demo", "--input", "{}"),
        ("rules", "test", "{}"),
        ("rules", "test", __file__, "--rules", "{}"),
        ("plan", "--rate", "1", "--profile", "{}"),
        ("plan", "--rate", "1", "--measure", "--save", "{}"),
        ("--config", "{}", "label", __file__),
    ],
    ids=" ".join,
)
def test_a_key_in_place_of_a_file_is_not_shown(form: str, arguments: tuple[str, ...]) -> None:
    """Exit code 2 before anything is done."""
    value = FORMS[form].removeprefix("-----BEGIN PRIVATE KEY")  # Else it would be an option.
    text = said({}, 2, *(argument.format(f"x-----BEGIN PRIVATE KEY{value}") for argument in arguments))
    assert "a PEM text, not the path of a file" in " ".join(text.replace("│", " ").split())
    assert BODY[:20] not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA__BOOTSTRAP_SERVERS", "SASL_SSL://ann:{}@broker:9092"),
        ("KAFKA__BOOTSTRAP_SERVERS", "ann:{}@broker:9092"),
        ("TRACING__ENDPOINT", "http://ann:{}@collector:4318"),
        ("TRACING__ENDPOINT", "http://ann:{}@collector:port"),
        ("DASHBOARD__WORKERS", '["http://ann:{}@worker:8080"]'),
        ("KAFKA__SECURITY__TOKEN_URL", "https://ann:{}@login/token"),
    ],
)
def test_credentials_in_an_address_are_refused_unseen(clean: pytest.MonkeyPatch, name: str, value: str) -> None:
    """They would be shown wherever the address is."""
    secret = canary()
    for setting, given in (
        ("PROTOCOL", "SASL_SSL"),
        ("MECHANISM", "OAUTHBEARER"),
        ("USERNAME", "x"),
        ("PASSWORD", "x"),
    ):
        clean.setenv(f"STREAMER_KAFKA__SECURITY__{setting}", given)
    clean.setenv("STREAMER_KAFKA__SECURITY__TOKEN_URL", "https://login/token")
    load()
    clean.setenv(f"STREAMER_{name}", value.format(secret))
    with pytest.raises(SettingsError) as refused:
        load()
    assert secret not in str(refused.value)


def test_no_error_of_pydantic_quotes_a_value(clean: pytest.MonkeyPatch) -> None:
    """Even where it is not ours that is shown, as in the traceback of a bug: its own message ends with the input."""
    secret = canary()
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"kafka": {"security": {"password": [secret], "passwort": secret}}})
    assert secret not in str(refused.value)


@on_kafka
def test_a_working_service_says_none(talkative: Worker, secrets: dict[str, str]) -> None:
    """Neither its log at DEBUG, nor its pages, nor its command line, which every user of the host can read."""
    pages = [talkative.page(path)[1] for path in ("/metrics", "/health/live", "/health/ready", "/nowhere")]
    command = Path(f"/proc/{talkative.process.pid}/cmdline")
    line = command.read_text() if command.exists() else "not told on this system"
    assert "DEBUG" in talkative.log
    assert found(secrets.values(), talkative.log, *pages, line) == []


@on_kafka
def test_a_check_that_finds_all_well_says_none(
    secured: NodeCluster, certificates: Certificates, secrets: dict[str, str], tmp_path: Path
) -> None:
    """Though it tells how it was let in."""
    topics = {f"STREAMER_{name}__TOPIC": new_topic(secured) for name in ("INPUT", "OUTPUT")}
    dead = {"STREAMER_DEAD_LETTERS__TOPIC": new_topic(secured, max_message_bytes="2000000")}
    given = secrets | opening(secured, certificates, secrets, tmp_path) | topics | dead
    text = said(given, 0, "check")
    assert "lets us in by SASL_SSL, SCRAM-SHA-512" in text
    assert found(secrets.values(), text) == []


@on_kafka
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_refused_command_says_none(
    secured: NodeCluster, certificates: Certificates, secrets: dict[str, str], command: str
) -> None:
    """A password that the broker does not know, by a mechanism that sends it."""
    security = {"PROTOCOL": "SASL_SSL", "CA_FILE": str(certificates.ca_file), "USERNAME": "mallory"}
    given = {f"STREAMER_KAFKA__SECURITY__{name}": value for name, value in security.items()}
    broker = {"STREAMER_KAFKA__BOOTSTRAP_SERVERS": secured.address("SASL_SSL")}
    text = said(secrets | DEBUG | HTTP_OFF | given | broker, 4, command)
    assert found(secrets.values(), text) == []


@on_kafka
def test_a_refused_client_of_oauth_says_none(secured: NodeCluster, secrets: dict[str, str]) -> None:
    """Though the endpoint answers with all that it was sent: neither the secret nor its form in the header."""
    endpoint: TokenEndpoint
    with token_endpoint() as endpoint:
        given = environment(secured.address("SASL_PLAINTEXT"), oauth(endpoint.url))
        text = said(given | secrets | DEBUG, 4, "dlq", "replay")
        sent = endpoint.asked[0]["authorization"].removeprefix("Basic ")
    assert "kafka.security.token_url" in text
    assert found([*secrets.values(), sent], text) == []


@pytest.mark.parametrize("arguments", [(), ("run",), ("check",), ("dlq", "replay")], ids=" ".join)
def test_help_says_none(secrets: dict[str, str], arguments: tuple[str, ...]) -> None:
    """Options that read the environment show it as their default."""
    text = said(secrets, 0, *arguments, "--help")
    assert found(secrets.values(), text) == []


def test_a_refused_setting_says_none(secrets: dict[str, str]) -> None:
    """Beside the secrets, which are all set; and none where one of them is itself what is refused."""
    wrong = {"STREAMER_KAFKA__SECURITY__PROTOCOL": "SASL", "STREAMER_HTTP__PORT": canary()}
    text = said(secrets | wrong, 2, "run")
    assert "kafka.security.protocol (STREAMER_KAFKA__SECURITY__PROTOCOL)" in text
    assert found([*secrets.values(), wrong["STREAMER_HTTP__PORT"]], text) == []
