"""PEM texts on their way to OpenSSL, which reads certificates and keys from files only."""

from __future__ import annotations

import os
import ssl
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from streamer.kafka.tls import _as_file, ssl_context
from streamer.settings import SecuritySettings

MADE = trustme.CA().issue_cert("client")
CERT = "".join(blob.bytes().decode() for blob in MADE.cert_chain_pems)
KEY = MADE.private_key_pem.bytes().decode()


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder for temporary files, on a system without files in memory."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def descriptors() -> set[str]:
    """The open files of this process, where the system shows them."""
    folder = Path("/proc/self/fd")
    return {os.readlink(link) for link in folder.iterdir() if link.is_symlink()} if folder.is_dir() else set()


def test_no_copy_of_a_key_is_left(temporary: Path) -> None:
    """Neither after it was loaded nor after it was refused."""
    ssl_context(SecuritySettings(protocol="SSL", cert=SecretStr(CERT), key=SecretStr(KEY)))
    with pytest.raises(RuntimeError, match="refused"), _as_file(SecretStr(KEY), None) as path:
        assert path is not None and path.read_text() == KEY
        raise RuntimeError("refused")
    assert list(temporary.iterdir()) == []


def test_only_the_owner_reads_the_copy(temporary: Path) -> None:
    """While OpenSSL reads it, on a system without files in memory."""
    with _as_file(SecretStr(KEY), None) as path:
        assert path is not None
        assert path.parent == temporary
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no files in memory")
def test_a_key_is_written_to_no_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the system has files in memory, and the file is closed once it has been read."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    load_cert_chain: Callable[..., Any] = ssl.SSLContext.load_cert_chain
    seen: list[str] = []

    def load(context: ssl.SSLContext, *files: object, **more: Any) -> None:
        seen.extend(map(str, files))
        load_cert_chain(context, *files, **more)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    ssl_context(SecuritySettings(protocol="SSL", cert=SecretStr(CERT), key=SecretStr(KEY)))
    assert len(seen) == 2 and all(path.startswith("/proc/self/fd/") for path in seen)
    assert not any("streamer-pem" in name for name in descriptors())
