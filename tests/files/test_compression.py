"""What is compressed is read as it is, whatever its name; damage is an error."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from streamer.files.compression import compressing, decompressed
from streamer.files.errors import FileError
from tests.files.reading import texts, values

Compress = Callable[[bytes], bytes]
ROWS = b"text\n" + b"".join(b"review %d\n" % number for number in range(5000))
EXPECTED = [f"review {number}" for number in range(5000)]
# A skippable frame of two bytes.
SKIPPED_FRAME = b"\x50\x2a\x4d\x18\x02\x00\x00\x00ab"


def zipped(content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("__MACOSX/._rows.csv", b"not this")
        archive.writestr("folder/rows.csv", content)
    return buffer.getvalue()


def zstandard(content: bytes) -> bytes:
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})


COMPRESSIONS: dict[str, Compress] = {"gzip": gzip.compress, "bzip2": bz2.compress, "Zstandard": zstandard}
MEMBERS = pytest.mark.parametrize("name", COMPRESSIONS)


@MEMBERS
def test_members_one_after_the_other_are_one_text(name: str) -> None:
    """As `cat` and parallel compressors make them; a member may be empty, and may be cut in the middle of a line."""
    compress = COMPRESSIONS[name]
    half = len(ROWS) // 2
    assert texts(compress(ROWS[:half]) + compress(b"") + compress(ROWS[half:])) == EXPECTED


def test_frames_that_are_to_be_skipped_are_skipped() -> None:
    """Some programs write them before the first."""
    assert texts(SKIPPED_FRAME + zstd.compress(ROWS) + SKIPPED_FRAME) == EXPECTED


def test_zeros_after_a_gzip_member_are_padding(caplog: pytest.LogCaptureFixture) -> None:
    """As on tapes."""
    assert texts(gzip.compress(ROWS) + bytes(1000)) == EXPECTED
    assert texts(gzip.compress(ROWS[:99]) + bytes(70_000) + gzip.compress(ROWS[99:])) == EXPECTED
    assert caplog.messages == []


@MEMBERS
def test_what_follows_the_last_member_is_left_out_with_a_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The rows before it are whole."""
    assert texts(COMPRESSIONS[name](ROWS) + b"a signature") == EXPECTED
    assert caplog.messages == [f"rows.csv: something that is not {name} follows the compressed data: it is left out"]


@MEMBERS
@pytest.mark.parametrize("left", [0.999, 0.9, 0.5, 0.1])
def test_a_file_that_is_cut_off_is_an_error(name: str, left: float) -> None:
    """Wherever it is cut; also if bad rows are to be skipped, since nobody knows how many there were."""
    packed = COMPRESSIONS[name](ROWS)
    for content in (packed[: int(len(packed) * left)], packed + packed[: int(len(packed) * left)]):
        for skip in (False, True):
            with pytest.raises(FileError, match=f"rows.csv.*: the {name} data end too early: was the file cut off"):
                values(content, skip_bad_rows=skip)


@pytest.mark.parametrize("at", [-8, -4, 30, 1000])
def test_a_damaged_gzip_is_an_error(at: int) -> None:
    """Its check sum, its length, or something inside."""
    damaged = bytearray(gzip.compress(os.urandom(10).hex().encode() + b"\n" + ROWS))
    damaged[at] ^= 0xFF
    with pytest.raises(FileError, match="the gzip data are damaged"):
        values(bytes(damaged), header=False, column="1")


@pytest.mark.parametrize("name", ["bzip2", "Zstandard"])
def test_other_damage_is_an_error_too(name: str) -> None:
    """By their check sums, or for want of sense."""
    damaged = bytearray(COMPRESSIONS[name](ROWS))
    damaged[len(damaged) // 2] ^= 0xFF
    damaged[len(damaged) // 2 + 7] ^= 0xFF
    with pytest.raises(FileError, match=rf"the {name} data are damaged|with too|line \d"):
        values(bytes(damaged))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_the_one_file_of_a_zip_is_read(compression: int) -> None:
    """In a folder of it too; what macOS adds does not count."""
    assert texts(zipped(ROWS, compression), "a.zip") == EXPECTED


def test_a_damaged_zip_is_an_error() -> None:
    """Its check sum is looked at; an encrypted one, or one that is cut off, cannot be read."""
    content = zipped(ROWS, zipfile.ZIP_STORED)
    with pytest.raises(FileError, match="the zip is damaged"):
        values(content.replace(b"review 4000", b"review 4001"), "a.zip")
    with pytest.raises(FileError, match="a zip that cannot be read"):
        values(content[:-30], "a.zip")
    encrypted = bytearray(content)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := encrypted.find(magic, at + 1)) >= 0:
            encrypted[at + offset] |= 1
    with pytest.raises(FileError, match="an encrypted zip"):
        values(bytes(encrypted), "a.zip")


def test_layers_are_bounded() -> None:
    """Two are common, as of a .csv.gz in a zip."""
    content = gzip.compress(gzip.compress(ROWS))
    assert texts(content) == EXPECTED
    with pytest.raises(FileError, match="compressed more than 2 times over"):
        values(gzip.compress(content))


@pytest.mark.parametrize("text", [b"BZh9 is a name\nx\n", b"BZh\n", b"P\n", b"PK\n", b"\x1f\n", b"(\n"])
def test_a_text_that_begins_as_a_compressed_file_is_a_text(text: bytes) -> None:
    """Only the whole signature counts."""
    assert len(values(text + b"row\n", header=False, column="1")) == text.count(b"\n") + 1


@given(st.binary(max_size=5000), st.sampled_from(sorted(COMPRESSIONS)), st.integers(1, 3))
def test_what_was_written_is_read(content: bytes, name: str, times: int) -> None:
    """Any bytes, in any of them."""
    hidden = b"x" + content  # So that it does not begin like something compressed itself.
    packed: io.BufferedReader = io.BufferedReader(io.BytesIO(COMPRESSIONS[name](hidden) * times))
    with ExitStack() as closing:
        stream, member = decompressed(packed, closing, lambda _: None)
        assert (stream.read(), member) == (hidden * times, None)


@pytest.mark.parametrize("suffix", ["", ".gz", ".GZ", ".bz2", ".zst"])
def test_an_output_is_compressed_by_its_name(tmp_path: Path, suffix: str) -> None:
    """And can be read again."""
    path = tmp_path / f"rows.csv{suffix}"
    with path.open("wb") as file, compressing(file, str(path)) as output:
        output.write(ROWS)
    assert (path.read_bytes() == ROWS) == (suffix == "")
    assert texts(path.read_bytes()) == EXPECTED


def test_a_zip_is_not_written() -> None:
    """It would have to be of a file with a name."""
    with pytest.raises(FileError, match="a zip cannot be written"):
        compressing(io.BytesIO(), "out.zip")
