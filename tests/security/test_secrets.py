"""Every secret of the settings is a word of its own here; none is in anything that a command says or serves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

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
