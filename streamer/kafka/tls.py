"""The SSL context of connections to the brokers, from files or from PEM texts."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from streamer.printable import reason_of, shown_path
from streamer.settings import SecuritySettings, SettingsError
from streamer.settings.pem import Part, why_not

_PEM_BYTES = 1 << 20  # More is read of no file to find out what is wrong with it.


def ssl_context(security: SecuritySettings) -> ssl.SSLContext:
    """The context for the certificates and the key of the settings.

    Raises SettingsError if one of them cannot be used. It names the setting, and quotes no PEM text.
    """
    for part in ("ca", "cert", "key"):
        _require_readable(part, getattr(security, f"{part}_file"))
    parts: tuple[Part, ...] = ("ca",)
    try:
        authorities = security.ca.get_secret_value() if security.ca else None
        context = ssl.create_default_context(cafile=security.ca_file, cadata=authorities)
        context.check_hostname = security.check_hostname
        parts = ("cert", "key")
        password = security.key_password.get_secret_value() if security.key_password else None
        with _as_file(security.cert, security.cert_file) as cert, _as_file(security.key, security.key_file) as key:
            if cert is not None:
                # An empty password instead of none, or OpenSSL would ask for one on the terminal.
                context.load_cert_chain(cert, key, password=password or "")
    except ssl.SSLError as error:
        raise SettingsError(_message(security, parts, error)) from None
    except (OSError, ValueError) as error:  # The files can be opened, but a password is longer than OpenSSL takes.
        reason = reason_of(error) if isinstance(error, OSError) else "the password is too long"
        raise SettingsError(f"{_names(security, parts)}: {reason}") from None
    return context


@contextlib.contextmanager
def _as_file(pem: SecretStr | None, path: Path | None) -> Iterator[Path | None]:
    """The path, or that of a private file with the PEM text: OpenSSL reads keys from files only.

    The file is in memory where the system has such files. Elsewhere only its owner may read it. Afterwards it is gone.
    """
    if pem is None:
        yield path
        return
    content = pem.get_secret_value().encode()
    descriptor = _in_memory()
    if descriptor is None:
        with tempfile.NamedTemporaryFile(prefix="streamer-", suffix=".pem") as file:  # Mode 0600.
            file.write(content)
            file.flush()
            yield Path(file.name)
        return
    with open(descriptor, "wb", buffering=0) as memory:
        memory.write(content)
        yield Path(f"/proc/self/fd/{descriptor}")


def _in_memory() -> int | None:
    """The descriptor of a new file in memory that has a path; None where there is no such thing."""
    if not hasattr(os, "memfd_create") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.memfd_create("streamer-pem", os.MFD_CLOEXEC)
    except OSError:
        return None


def _message(security: SecuritySettings, parts: tuple[Part, ...], error: ssl.SSLError) -> str:
    """The settings, and what is wrong with them: with one of the texts by itself, or else in OpenSSL's words."""
    for part in parts:
        path: Path | None = getattr(security, f"{part}_file")
        if path is not None and (why := _why_not_file(part, path)) is not None:
            return f"{_name(security, part)}: {why}"
    reason = error.reason.replace("_", " ").lower() if error.reason else "not in PEM, or the password is another"
    return f"{_names(security, parts)}: {reason}"


def _why_not_file(part: Part, path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            text = file.read(_PEM_BYTES).decode("ascii", "replace")
    except OSError as error:
        return reason_of(error)
    # What holds no PEM at all is left to OpenSSL's words.
    return why_not(part, text, alone=False) if "-----BEGIN" in text else None


def _names(security: SecuritySettings, parts: tuple[Part, ...]) -> str:
    """`kafka.security.cert_file /a.pem, key, key_password`."""
    names = ", ".join(_name(security, part).removeprefix("kafka.security.") for part in parts)
    return f"kafka.security.{names}{', key_password' if 'key' in parts else ''}"


def _name(security: SecuritySettings, part: Part) -> str:
    path: Path | None = getattr(security, f"{part}_file")
    return _setting(part, path) if path is not None else f"kafka.security.{part}"


def _setting(part: str, path: Path) -> str:
    """The setting of a file with its value, unless that may be the secret itself: a bare word for `key_file`."""
    if part == "key" and not path.is_absolute() and not path.parent.name:
        return f"kafka.security.{part}_file"
    return f"kafka.security.{part}_file {shown_path(path)}"


def _require_readable(part: str, path: Path | None) -> None:
    """Raises SettingsError with the setting's name: OpenSSL does not say which file it cannot read."""
    if path is None:
        return
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsError(f"{_setting(part, path)}: {reason_of(error)}") from None
