"""PEM texts as values of settings."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import SecretStr

from streamer.kafka import client_options
from streamer.settings import CONFIG_VARIABLE, SecuritySettings, SettingsError, load
from streamer.settings.pem import Part, is_encrypted, normalise, why_not

PASSWORD = "key-horse"  # noqa: S105  # Of a key that lives for one test run.
AUTHORITY = trustme.CA()
MADE = AUTHORITY.issue_cert("client")
CA = AUTHORITY.cert_pem.bytes().decode()
CHAIN = "".join(blob.bytes().decode() for blob in MADE.cert_chain_pems) + CA
KEY = MADE.private_key_pem.bytes().decode()
LOADED = load_pem_private_key(KEY.encode(), None)
ENCRYPTION = BestAvailableEncryption(PASSWORD.encode())
ENCRYPTED = LOADED.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, ENCRYPTION).decode()
OLD_ENCRYPTED = LOADED.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, ENCRYPTION).decode()
BODY = KEY.split("\n")[1]

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "with \\n": lambda text: text.replace("\n", "\\n"),
    "with \\r\\n": lambda text: text.replace("\n", "\\r\\n"),
    "with CRLF": lambda text: text.replace("\n", "\r\n"),
    "with text around it": lambda text: f"Bag Attributes\n  friendlyName: x\n{text}\n\n",
    "indented": lambda text: "\n".join(f"   {line}" for line in text.split("\n")),
}
FLAT: dict[str, Callable[[str], str]] = {
    "with blanks": lambda text: " ".join(text.split("\n")),
    "with nothing": lambda text: text.replace("\n", ""),
}


def context(**values: object) -> ssl.SSLContext:
    """The SSL context for these settings."""
    security = SecuritySettings.model_validate({"protocol": "SSL"} | values)
    made = client_options(load({"kafka": {"security": security.model_dump()}}).kafka)["ssl_context"]
    assert isinstance(made, ssl.SSLContext)
    return made


@pytest.mark.parametrize("form", FORMS | FLAT)
def test_a_pem_text_is_read_in_every_form_that_variables_give_it(form: str) -> None:
    """Certificates, a chain, a key and an encrypted one."""
    change = (FORMS | FLAT)[form]
    made = context(ca=change(CA), cert=change(CHAIN), key=change(KEY))
    assert len(made.get_ca_certs()) == 1
    context(ca=change(CA + trustme.CA().cert_pem.bytes().decode()))
    context(cert=change(CHAIN), key=change(ENCRYPTED), key_password=PASSWORD)


@pytest.mark.parametrize("form", FORMS)
def test_an_old_encrypted_key_keeps_its_headers(form: str) -> None:
    """Its lines say by what it is encrypted."""
    change = FORMS[form]
    assert is_encrypted(change(OLD_ENCRYPTED))
    context(cert=CHAIN, key=change(OLD_ENCRYPTED), key_password=PASSWORD)


@pytest.mark.parametrize(
    ("part", "text", "said"),
    [
        ("ca", KEY, "a private key belongs in kafka.security.key"),
        ("ca", CA + KEY, "holds a private key too"),
        ("cert", KEY, "are cert and key swapped"),
        ("cert", CHAIN + KEY, "holds a private key too"),
        ("key", CHAIN, "are cert and key swapped"),
        ("key", KEY + CHAIN, "holds a certificate too"),
        ("key", KEY + KEY, "one private key"),
        ("key", KEY.replace("PRIVATE", "PUBLIC"), "holds no private key"),
        ("cert", CHAIN.replace("CERTIFICATE", "CERTIFICATE REQUEST"), "holds no certificate"),
        ("key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "OpenSSH"),
        ("key", "", "must not be empty"),
        ("key", " \n", "must not be empty"),
        ("ca", "/etc/streamer/ca.pem", "goes in kafka.security.ca_file"),
        ("key", "client.key", "goes in kafka.security.key_file"),
        ("key", "hunter2", "begins with -----BEGIN"),
        ("key", base64.b64encode(KEY.encode()).decode(), "encoded in base64 again"),
        ("key", KEY[:-40], "whose end is missing"),
    ],
)
def test_what_is_no_such_part_is_said_in_words(part: Part, text: str, said: str) -> None:
    """Without a word of it, in its own error and in that of the settings."""
    reason = why_not(part, text)
    assert reason is not None and said in reason
    with pytest.raises(SettingsError, match=rf"^kafka\.security\.{part} \(") as refused:
        load({"kafka": {"security": {part: text}}})
    assert said in str(refused.value)
    assert BODY not in str(refused.value) and "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ca": CA, "ca_file": "ca.pem"}, "give ca or ca_file, not both"),
        ({"cert": CHAIN, "cert_file": "c.pem", "key": KEY}, "give cert or cert_file, not both"),
        ({"key": KEY, "key_file": "c.key", "cert": CHAIN}, "give key or key_file, not both"),
        ({"cert": CHAIN}, "go together"),
        ({"key": KEY}, "go together"),
        ({"cert": CHAIN, "key": ENCRYPTED}, "key is encrypted: set key_password"),
        ({"cert": CHAIN, "key": OLD_ENCRYPTED}, "key is encrypted: set key_password"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(values: dict[str, str], said: str) -> None:
    """By a line that names the section."""
    with pytest.raises(SettingsError, match=said) as refused:
        load({"kafka": {"security": values}})
    assert BODY not in str(refused.value)


def test_a_pair_that_does_not_match_is_named_by_its_settings() -> None:
    """So is a damaged text; OpenSSL says what is wrong, and nothing is quoted."""
    with pytest.raises(SettingsError, match=r"^kafka\.security\.cert, key, key_password: key values mismatch$"):
        context(cert=CHAIN, key=trustme.CA().issue_cert("x").private_key_pem.bytes().decode())
    with pytest.raises(SettingsError, match=r"^kafka\.security\.cert, key, key_password: "):
        context(cert=CHAIN, key=ENCRYPTED, key_password="wrong")  # noqa: S106  # Made up.
    with pytest.raises(SettingsError, match=r"^kafka\.security\.ca: "):
        context(ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")


def test_a_text_and_a_file_go_together(tmp_path: Path) -> None:
    """The certificate as a file, the key as text, and the other way round; a file may hold both."""
    (tmp_path / "cert.pem").write_text(CHAIN)
    (tmp_path / "key.pem").write_text(KEY)
    (tmp_path / "both.pem").write_text(KEY + CHAIN)
    context(cert_file=tmp_path / "cert.pem", key=KEY)
    context(cert=CHAIN, key_file=tmp_path / "key.pem")
    context(cert_file=tmp_path / "both.pem", key_file=tmp_path / "both.pem")


def test_files_that_were_swapped_are_named(tmp_path: Path) -> None:
    """OpenSSL itself only says that a line is missing."""
    (tmp_path / "cert.pem").write_text(CHAIN)
    (tmp_path / "key.pem").write_text(KEY)
    with pytest.raises(SettingsError, match=r"cert_file .*key\.pem: it is a private key: are cert and key swapped\?"):
        context(cert_file=tmp_path / "key.pem", key_file=tmp_path / "cert.pem")


def test_variables_and_toml_hold_pem_texts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a line with written line breaks, and as a text of several lines; both are secrets."""
    config = tmp_path / "streamer.toml"
    config.write_text(f'[kafka.security]\nca = """\n{CA}"""\ncert = """{CHAIN}"""\n')
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    monkeypatch.setenv("STREAMER_KAFKA__SECURITY__KEY", KEY.replace("\n", "\\n"))
    settings = load()
    security = settings.kafka.security
    assert (security.ca, security.cert, security.key) == (SecretStr(CA), SecretStr(normalise(CHAIN)), SecretStr(KEY))
    assert BODY not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
