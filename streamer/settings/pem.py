r"""Certificates and keys as PEM texts (RFC 7468), as environment variables, secrets and TOML files carry them.

A variable may have its line breaks written as `\n`, as CRLF, or turned into spaces.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Part = Literal["ca", "cert", "key"]

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATES = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
_FILE_OF: dict[Part, str] = {"ca": "certificate authorities", "cert": "the client's certificate", "key": "the key"}


class _Block(NamedTuple):
    label: str
    body: str

    @property
    def is_key(self) -> bool:
        return self.label.endswith("PRIVATE KEY")

    @property
    def is_certificate(self) -> bool:
        return self.label in _CERTIFICATES

    @property
    def encrypted(self) -> bool:
        return self.label.startswith("ENCRYPTED") or "ENCRYPTED" in self.body.partition("\n\n")[0]

    def __str__(self) -> str:
        return f"-----BEGIN {self.label}-----\n{self.body}\n-----END {self.label}-----\n"


def normalise(text: str) -> str:
    """The blocks of a PEM text, with line breaks where they belong and nothing between them."""
    return "".join(map(str, _blocks(text)))


def why_not(part: Part, text: str, *, alone: bool = True) -> str | None:
    """Why a text cannot be this part of the TLS settings, in words that do not quote it; None if it can be.

    alone: whether it must not hold another part too. A file may hold both a certificate and its key.
    """
    blocks = _blocks(text)
    if not blocks:
        return _why_no_pem(part, text)
    keys = [block for block in blocks if block.is_key]
    certificates = [block for block in blocks if block.is_certificate]
    if part != "key" and keys and (alone or not certificates):
        swapped = part == "cert" and not certificates
        also = "it is a private key: are cert and key swapped?" if swapped else "it holds a private key too"
        return f"{also}; a private key belongs in kafka.security.key alone"
    if part == "key" and certificates and (alone or not keys):
        also = "it holds a certificate too" if keys else "it is a certificate: are cert and key swapped?"
        return f"{also}; the certificate belongs in kafka.security.cert"
    if part == "key" and len(keys) != 1:
        return "it must hold one private key" if keys else "it holds no private key"
    if part == "key" and keys[0].label.startswith("OPENSSH"):
        return "an OpenSSH key, which TLS does not use: `ssh-keygen -p -m PKCS8` converts its file"
    if part != "key" and not certificates:
        return "it holds no certificate"
    return None


def is_encrypted(text: str) -> bool:
    """Whether the text holds a private key that needs a password."""
    return any(block.is_key and block.encrypted for block in _blocks(text))


def _blocks(text: str) -> list[_Block]:
    if "\n" not in text.strip():
        text = text.replace("\\r", "").replace("\\n", "\n")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return [_Block(label, _body(body)) for label, body in _BLOCK.findall(text)]


def _body(body: str) -> str:
    """The base64, in lines as OpenSSL reads them. Headers of an old encrypted key, and its blank line, stay."""
    if ":" in body:
        return "\n".join(line.strip() for line in body.strip().split("\n"))
    base64 = "".join(body.split())
    return "\n".join(base64[start : start + 64] for start in range(0, len(base64), 64))


def _why_no_pem(part: Part, text: str) -> str:
    stripped = text.strip()
    if not stripped:
        return "must not be empty"
    if stripped.startswith("LS0tLS1CRUdJTi"):
        return "a PEM text that was encoded in base64 again: decode it"
    if "-----BEGIN" in text:
        return "a PEM text whose end is missing, or whose lines are damaged"
    if len(stripped) < 1000 and "\n" not in stripped and re.search(r"[./\\]", stripped):
        return f"not a PEM text: the path of the file of {_FILE_OF[part]} goes in kafka.security.{part}_file"
    return "not a PEM text, which begins with -----BEGIN"
