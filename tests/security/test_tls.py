"""TLS on a broker that has it: who may be trusted is, everybody else is refused, at once and in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from streamer.kafka import client_options
from streamer.kafka.check.checks import check_cluster
from streamer.models.torchscript import Model
from streamer.settings import KafkaSettings, SecuritySettings, SettingsError
from tests.brokers import NodeCluster
from tests.command_line import streamer
from tests.jobs import Job
from tests.security.canaries import found
from tests.security.certificates import HOST, KEY_PASSWORD, Certificates, Client
from tests.security.service import ends, environment, put, serve, settings
from tests.workers import running

pytestmark = pytest.mark.requires("faults", "properties")

Capture = pytest.CaptureFixture[str]
Security = Callable[[Certificates], SecuritySettings]


def tls(certificates: Certificates, **more: object) -> SecuritySettings:
    return SecuritySettings.model_validate({"protocol": "SSL", "ca_file": certificates.ca_file} | more)


def mutual(certificates: Certificates, client: Client) -> SecuritySettings:
    return tls(certificates, cert_file=client.certificate, key_file=client.key)


@dataclass(frozen=True, slots=True)
class Refused:
    """A way in that is none: what `streamer check` says of it, and the word of it that `streamer run` logs."""

    listener: str
    security: Security
    said: str
    logged: str = ""
    host: str = HOST


HUNG_UP = "it hung up on {}: does kafka.security.protocol name the listener's own?"
NOT_TRUSTED = "its certificate is not trusted: {}; see kafka.security.ca_file and check_hostname"
NOT_TAKEN = "it does not take our certificate ({}): see kafka.security.cert_file and key_file"
# How Java says that it wants a certificate: in TLS 1.3's own word from 17.0.19 on, or some release before it.
NONE_SENT, NONE_SENT_NOW = "sslv3 alert bad certificate", "tlsv13 alert certificate required"
ISSUER, EXPIRED = "unable to get local issuer certificate", "certificate has expired"
OTHER_HOST = "certificate is not valid for 'localhost'"
REFUSED = {
    "an authority that is not ours": Refused(
        "SSL", lambda made: tls(made, ca_file=made.other_ca_file), NOT_TRUSTED.format(ISSUER), ISSUER
    ),
    "the system's authorities": Refused(
        "SSL", lambda made: tls(made, ca_file=None), NOT_TRUSTED.format(ISSUER), ISSUER
    ),
    "another host's certificate": Refused(
        "SSL", tls, NOT_TRUSTED.format(f"Hostname mismatch, {OTHER_HOST}"), OTHER_HOST, host="localhost"
    ),
    "a certificate that has expired": Refused("EXPIRED", tls, NOT_TRUSTED.format(EXPIRED), EXPIRED),
    "no TLS where there is": Refused("SSL", lambda _: SecuritySettings(), HUNG_UP.format("PLAINTEXT")),
    "TLS where there is none": Refused("PLAINTEXT", tls, HUNG_UP.format("SSL")),
    "TLS without SASL": Refused("SASL_SSL", tls, HUNG_UP.format("SSL")),
    "no certificate of the client": Refused("MUTUAL", tls, NOT_TAKEN.format(NONE_SENT)),
    "a stranger's certificate": Refused(
        "MUTUAL", lambda made: mutual(made, made.stranger), NOT_TAKEN.format("sslv3 alert certificate unknown")
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_who_cannot_be_trusted_is_refused(
    secured: NodeCluster,
    job: Job,
    certificates: Certificates,
    model: Model,
    case: Refused,
    capsys: Capture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Exit code 4 at once; `streamer check` names the setting to look at, and the log of the service the cause."""
    address = secured.address(case.listener).replace(HOST, case.host)
    wanted = settings(job, address, case.security(certificates))
    (found,) = asyncio.run(check_cluster(wanted, False, 1, 1))
    said = found.detail.replace(NONE_SENT_NOW, NONE_SENT)
    assert (found.severity, found.subject, said) == ("error", f"broker {address}", case.said)
    ended = ends(serve(wanted, model, 1), capsys)
    assert ended.code == 4
    assert ended.said.startswith(f"streamer: kafka.bootstrap_servers {address}: ")
    assert case.logged in caplog.text
    assert ended.seconds < 10


WELCOME: dict[str, tuple[str, Security]] = {
    "our authority": ("SSL", tls),
    "a certificate of the client": ("MUTUAL", lambda made: mutual(made, made.client)),
    "a key with a password": (
        "MUTUAL",
        lambda made: tls(
            made,
            cert_file=made.client.certificate,
            key_file=made.client.encrypted_key,
            key_password=SecretStr(KEY_PASSWORD),
        ),
    ),
    "PEM texts": (
        "MUTUAL",
        lambda made: SecuritySettings(
            protocol="SSL",
            ca=SecretStr(made.ca_file.read_text()),
            cert=SecretStr(made.client.certificate.read_text()),
            key=SecretStr(made.client.encrypted_key.read_text()),
            key_password=SecretStr(KEY_PASSWORD),
        ),
    ),
    "another host's certificate, on request": ("ELSEWHERE", lambda made: tls(made, check_hostname=False)),
}


@pytest.mark.parametrize("case", WELCOME.values(), ids=WELCOME)
def test_the_service_works_over_tls(
    secured: NodeCluster,
    job: Job,
    certificates: Certificates,
    model: Model,
    case: tuple[str, Security],
    capsys: Capture,
) -> None:
    """A result and a dead letter come out, and their offsets are committed."""
    listener, security = case
    count = put(job)
    ended = ends(serve(settings(job, secured.address(listener), security(certificates)), model, count), capsys)
    assert (ended.code, ended.said) == (0, "")
    assert (len(job.results(1)), len(job.dead_letters(1))) == (1, 1)
    job.assert_offsets_at_the_end()


def test_a_broker_that_is_not_trusted_where_it_says_to_be(
    secured: NodeCluster, job: Job, certificates: Certificates
) -> None:
    """`streamer check` tells it apart from one that cannot be trusted at all: the bootstrap server is let in."""
    address = secured.address("ELSEWHERE").replace(HOST, "localhost")
    let_in, elsewhere = asyncio.run(check_cluster(settings(job, address, tls(certificates)), False, 1, 1))
    assert (let_in.severity, let_in.detail) == ("ok", "lets us in by SSL")
    assert elsewhere.severity == "error"
    assert "IP address mismatch" in elsewhere.detail
    assert "See its advertised.listeners" in elsewhere.detail


def test_the_service_does_not_hang_where_the_broker_says_to_be_elsewhere(
    secured: NodeCluster, job: Job, certificates: Certificates, model: Model, capsys: Capture
) -> None:
    """Exit code 4 within the request timeout, as with any other broker that cannot be reached."""
    address = secured.address("ELSEWHERE").replace(HOST, "localhost")
    wanted = settings(job, address, tls(certificates))
    wanted = wanted.model_copy(update={"kafka": wanted.kafka.model_copy(update={"request_timeout_ms": 2_000})})
    assert ends(serve(wanted, model, 1), capsys, longest_s=8).code == 4


def test_the_command_ends_with_its_exit_code(
    secured: NodeCluster, job: Job, certificates: Certificates, tmp_path: Path
) -> None:
    """The same of `streamer run` as a process: code 4, the cause in its log, no traceback."""
    security = tls(certificates, ca_file=certificates.other_ca_file)
    job.settings = environment(secured.address("SSL"), security)
    with running(job.environment, tmp_path / "log") as worker:
        assert worker.wait(60) == 4, worker.log
        assert ISSUER in worker.log
        assert "Traceback" not in worker.log


@pytest.mark.parametrize("place", ["environment", "file"])
def test_pem_texts_let_a_command_in(
    secured: NodeCluster, job: Job, certificates: Certificates, tmp_path: Path, place: str
) -> None:
    """On lines that variables hold, or in a TOML file; `streamer check` is let in, and shows none of them."""
    client = certificates.client
    texts = {"ca": certificates.ca_file, "cert": client.certificate, "key": client.key}
    pem = {name: path.read_text() for name, path in texts.items()}
    given = environment(secured.address("MUTUAL"), SecuritySettings(protocol="SSL"))
    given |= {f"STREAMER_{name}__TOPIC": topic for name, topic in (("INPUT", job.input), ("OUTPUT", job.output))}
    given |= {"STREAMER_DEAD_LETTERS__TOPIC": job.dead, "STREAMER_KAFKA__GROUP_ID": job.group}
    if place == "environment":
        given |= {f"STREAMER_KAFKA__SECURITY__{name.upper()}": _one_line(text) for name, text in pem.items()}
    else:
        config = tmp_path / "streamer.toml"
        config.write_text("[kafka.security]\n" + "".join(f'{name} = """\n{text}"""\n' for name, text in pem.items()))
        given["STREAMER_CONFIG"] = str(config)
    done = streamer("check", environment=given)
    assert f"broker {secured.address('MUTUAL')}: lets us in by SSL" in done.stdout, done.stdout + done.stderr
    lines = [line for text in pem.values() for line in text.splitlines() if "-----" not in line]
    assert found(lines, done.stdout + done.stderr) == []


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")


def unreadable(folder: Path, made: Certificates) -> dict[str, tuple[SecuritySettings, str]]:
    """Files that are no certificates, or do not go together, and what is said of them."""
    nowhere, text, client = folder / "nowhere.pem", folder / "text.pem", made.client
    text.write_text("This is no certificate.")
    pair = f"kafka.security.cert_file {client.certificate}, key_file {{}}, key_password: {{}}"
    not_opened = "not in PEM, or the password is another"
    return {
        "no authorities": (tls(made, ca_file=nowhere), f"kafka.security.ca_file {nowhere}: No such file or directory"),
        "a folder": (tls(made, ca_file=folder), f"kafka.security.ca_file {folder}: Is a directory"),
        "authorities in no PEM": (
            tls(made, ca_file=text),
            f"kafka.security.ca_file {text}: no certificate or crl found",
        ),
        "no certificate": (
            tls(made, cert_file=nowhere, key_file=client.key),
            f"kafka.security.cert_file {nowhere}: No such file or directory",
        ),
        "no key": (
            tls(made, cert_file=client.certificate, key_file=nowhere),
            f"kafka.security.key_file {nowhere}: No such file or directory",
        ),
        "another's key": (
            tls(made, cert_file=client.certificate, key_file=made.stranger.key),
            pair.format(made.stranger.key, "key values mismatch"),
        ),
        "a password that is missing": (
            tls(made, cert_file=client.certificate, key_file=client.encrypted_key),
            pair.format(client.encrypted_key, not_opened),
        ),
        "a password that is wrong": (
            tls(
                made, cert_file=client.certificate, key_file=client.encrypted_key, key_password=SecretStr("wrong-pony")
            ),
            pair.format(client.encrypted_key, not_opened),
        ),
    }


def test_files_that_cannot_be_used_are_named(tmp_path: Path, certificates: Certificates) -> None:
    """By their settings, with what is wrong, and without the password."""
    for security, said in unreadable(tmp_path, certificates).values():
        with pytest.raises(SettingsError) as refused:
            client_options(KafkaSettings(security=security))
        assert str(refused.value) == said


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_a_file_that_cannot_be_used_is_a_wrong_setting(
    secured: NodeCluster,
    job: Job,
    certificates: Certificates,
    model: Model,
    capsys: Capture,
    delivery: str,
    tmp_path: Path,
) -> None:
    """Exit code 2, of `streamer run` and of what `streamer check` asks the cluster."""
    security, said = unreadable(tmp_path, certificates)["no key"]
    wanted = settings(job, secured.address("MUTUAL"), security).model_copy(update={"delivery": delivery})
    for command in (serve(wanted, model, 1), lambda: check_cluster(wanted, False, 1, 1)):
        ended = ends(command, capsys)
        assert (ended.code, ended.said) == (2, f"streamer: {said}\n")
