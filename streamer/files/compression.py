"""Decompresses what is compressed, by content rather than by name: gzip, bzip2, Zstandard, zip with one file.

Nothing is held in memory but a chunk, however much a few bytes expand to. Only a zip that does not come from a file is
copied to a temporary file first, since its directory is at its end.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any, BinaryIO, NamedTuple, Protocol, cast

from backports.zstd import ZstdDecompressor, ZstdError, ZstdFile
from typing_extensions import Buffer

from streamer.files.errors import FileError
from streamer.printable import printable

CHUNK = 1 << 16
SUFFIXES = (".gz", ".bz2", ".zst", ".zip")
_MOST_LAYERS = 3  # A .csv.gz in a .zip is two.
_LONGEST_MAGIC = 10
_GZIP_LEVEL = 6

Warn = Callable[[str], None]


class _Member(Protocol):
    """One member of a compressed file, as bz2's decompressor has it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _GzipMember:
    """zlib's decompressor with the methods of bz2's."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        found = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        # zlib may have taken all of its input and still have output.
        self.needs_input = not self._zlib.unconsumed_tail and len(found) < max_length
        return found


class _Kind(NamedTuple):
    name: str
    magic: tuple[bytes, ...]
    member: Callable[[], _Member]
    padding: bytes = b""  # May follow a member.


_KINDS = (
    _Kind("gzip", (b"\x1f\x8b",), _GzipMember, b"\0"),
    _Kind("bzip2", tuple(b"BZh%d" % level for level in range(1, 10)), bz2.BZ2Decompressor),
    # A frame, or one that is to be skipped.
    _Kind(
        "Zstandard", (b"\x28\xb5\x2f\xfd", *(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60))), ZstdDecompressor
    ),
)
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
# bzip2's three letters may begin a text; its blocks, or its end, begin with these numbers.
_BZIP2_BLOCKS = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")
_ALL_MAGIC = (*(magic for kind in _KINDS for magic in kind.magic), *_ZIP)


def decompressed(
    stream: io.BufferedReader, closing: contextlib.ExitStack, warn: Warn
) -> tuple[io.BufferedReader, str | None]:
    """The stream without its compression, and the name of the file in it, where a zip gives one.

    What has to be closed at the end goes to `closing`. `warn` is called for what is odd but no damage. Reading the
    result raises FileError for damage; this raises it for an archive without or with several files.
    """
    name = None
    for _ in range(_MOST_LAYERS):
        head, stream = peek(stream, _is_enough)
        kind = _kind(head)
        if kind is not None:
            stream = io.BufferedReader(_Decompressed(stream, kind, warn), CHUNK)
        elif head.startswith(_ZIP):
            stream, name = _only_member(stream, closing)
        else:
            return stream, name
    raise FileError(f"compressed more than {_MOST_LAYERS - 1} times over")


def peek(stream: io.BufferedReader, is_enough: Callable[[bytes], bool]) -> tuple[bytes, io.BufferedReader]:
    """The beginning of a stream, as much of it as is enough, and a stream that still has it. Waits for no more."""
    head = stream.peek(CHUNK)
    if not head or is_enough(head):
        return head, stream
    head = b""
    while not is_enough(head) and (more := stream.read1(CHUNK)):
        head += more
    return head, io.BufferedReader(_Prefixed(head, stream), CHUNK)


def _is_enough(head: bytes) -> bool:
    if len(head) >= _LONGEST_MAGIC:
        return True
    return bool(head) and not any(magic.startswith(head) or head.startswith(magic) for magic in _ALL_MAGIC)


def _kind(head: bytes) -> _Kind | None:
    kind = next((kind for kind in _KINDS if head.startswith(kind.magic)), None)
    if kind is not None and kind.name == "bzip2" and not head[4:].startswith(_BZIP2_BLOCKS):
        return None
    return kind


class _Prefixed(io.RawIOBase):
    """A stream after some bytes that were taken from it."""

    def __init__(self, head: bytes, stream: io.BufferedReader) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        if not self._head:
            return self._stream.readinto1(view)
        count = min(len(view), len(self._head))
        view[:count], self._head = self._head[:count], self._head[count:]
        return count


class _Decompressed(io.RawIOBase):
    """The members of a compressed stream, one after the other."""

    def __init__(self, stream: io.BufferedReader, kind: _Kind, warn: Warn) -> None:
        self._stream = stream
        self._kind = kind
        self._warn = warn
        self._member: _Member | None = kind.member()
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        found = b""
        while not found and (member := self._member or self._next_member()) is not None:
            found = self._decompress(member, len(view))
            if member.eof:
                # What follows is looked at by the next read: it may have to be waited for.
                self._input, self._member = member.unused_data, None
        view[: len(found)] = found
        return len(found)

    def _decompress(self, member: _Member, size: int) -> bytes:
        data = b""
        if member.needs_input:
            data, self._input = self._input or self._stream.read1(CHUNK), b""
            if not data:
                raise FileError(f"the {self._kind.name} data end too early: was the file cut off?")
        try:
            return member.decompress(data, size)
        except (zlib.error, OSError, EOFError, ValueError, ZstdError) as error:
            raise FileError(f"the {self._kind.name} data are damaged: {printable(str(error))}") from None

    def _next_member(self) -> _Member | None:
        """The member that follows; None at the end, and where something else follows."""
        rest = self._input.lstrip(self._kind.padding)
        while len(rest) < _LONGEST_MAGIC and (more := self._stream.read1(CHUNK)):
            rest = (rest + more).lstrip(self._kind.padding)
        if not rest:
            return None
        if not rest.startswith(self._kind.magic):
            self._warn(f"something that is not {self._kind.name} follows the compressed data: it is left out")
            self._input, self._stream = b"", io.BufferedReader(io.BytesIO())
            return None
        self._input, self._member = rest, self._kind.member()
        return self._member


class _ZipMember(io.RawIOBase):
    """A file of a zip."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        try:
            found = self._file.read(len(view))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise FileError(f"the zip is damaged: {printable(str(error) or 'it ends too early')}") from None
        view[: len(found)] = found
        return len(found)


def _only_member(stream: io.BufferedReader, closing: contextlib.ExitStack) -> tuple[io.BufferedReader, str]:
    file: IO[bytes] = stream if stream.seekable() else closing.enter_context(on_disk(stream))
    try:
        archive = closing.enter_context(zipfile.ZipFile(file))
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
        if (office := _office_kind(names)) is not None:
            raise FileError(f"{office}: save the sheet as csv")
        if len(names) != 1:
            listed = ", ".join(printable(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
            raise FileError(
                f"a zip of {len(names)} files ({listed}): unpack the one that is meant" if names else "an empty zip"
            )
        if archive.getinfo(names[0]).flag_bits & 1:
            raise FileError("an encrypted zip: unpack it first")
        member = archive.open(names[0])
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, EOFError) as error:
        raise FileError(f"a zip that cannot be read: {printable(str(error))}") from None
    closing.callback(member.close)
    return io.BufferedReader(_ZipMember(member), CHUNK), names[0]


def _office_kind(names: list[str]) -> str | None:
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook (.xlsx)"
    if any(name.startswith("word/") for name in names):
        return "a Word document (.docx)"
    if "mimetype" in names and "content.xml" in names:
        return "an OpenDocument file (.ods)"
    return None


def on_disk(stream: BinaryIO | io.BufferedReader) -> IO[bytes]:
    """The rest of a stream in a temporary file, for what needs to go back in it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # The caller closes it.
    try:
        shutil.copyfileobj(stream, file, CHUNK)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def compressing(file: IO[bytes], name: str) -> IO[bytes]:
    """A file that compresses what is written to it, by the ending of `name`; the file itself where that says nothing.

    Raises FileError for an ending of a compression that is only read.
    """
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    if suffix == ".zip":
        raise FileError("a zip cannot be written: name the output .gz, .bz2 or .zst", name)
    opened: Any = file
    if suffix == ".gz":
        opened = gzip.GzipFile("", "wb", _GZIP_LEVEL, file)
    elif suffix == ".bz2":
        opened = bz2.BZ2File(file, "wb")
    elif suffix == ".zst":
        opened = ZstdFile(file, "wb")
    return cast(IO[bytes], opened)
