"""Certificates for one test session, by `trustme`: an authority, brokers good and bad, a client, and a stranger."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

HOST = "127.0.0.1"  # What test brokers listen on and advertise.
CLIENT = "streamer"
KEY_PASSWORD = "key-horse"  # noqa: S105  # Of a key that lives for one session.


@dataclass(frozen=True, slots=True)
class Client:
    """A client's certificate and key as files, the key once as it is and once encrypted."""

    certificate: Path
    key: Path
    encrypted_key: Path


class Certificates:
    """All that a session needs; clients' files are written to `folder`."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        stranger = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.other_ca_file = folder / "other-ca.pem"
        self._authority.cert_pem.write_to_path(self.ca_file)
        stranger.cert_pem.write_to_path(self.other_ca_file)
        self.client = _client(self._authority, folder / "client")
        self.stranger = _client(stranger, folder / "stranger")

    def broker(self, *names: str, expired: bool = False) -> dict[str, str]:
        """Kafka's properties of a listener whose certificate carries these names and addresses."""
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=-1 if expired else 2)
        made = self._authority.issue_cert(*names, not_before=end - datetime.timedelta(days=30), not_after=end)
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": _line(chain),
            "ssl.keystore.key": _line(_key(made.private_key_pem.bytes())),
        }

    def required(self) -> dict[str, str]:
        """Kafka's properties of a listener that lets nobody in without a certificate of ours."""
        return {
            "ssl.client.auth": "required",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": _line(self._authority.cert_pem.bytes()),
            "ssl.principal.mapping.rules": "RULE:^CN=(.*?),.*$/$1/,DEFAULT",
        }


def _client(authority: trustme.CA, folder: Path) -> Client:
    folder.mkdir()
    # With a name of a host too: Java reads no certificate whose list of them is empty.
    made = authority.issue_cert(CLIENT, common_name=CLIENT)
    client = Client(folder / "client.pem", folder / "client.key", folder / "encrypted.key")
    client.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    client.key.write_bytes(made.private_key_pem.bytes())
    encrypt(client.key, KEY_PASSWORD, client.encrypted_key)
    return client


def encrypt(key: Path, password: str, to: Path) -> None:
    """Write a key anew, with a password."""
    to.write_bytes(_key(key.read_bytes(), password))


def _key(pem: bytes, password: str | None = None) -> bytes:
    """The key in PKCS #8, the only form that Kafka reads; encrypted where there is a password."""
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return load_pem_private_key(pem, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _line(pem: bytes) -> str:
    """On one line, as values of properties and of environment variables had better be."""
    return " ".join(pem.decode().split("\n")).strip()
