"""Says what a file likely is, where it is not what it should be."""

from __future__ import annotations

from collections.abc import Iterable

from streamer.files.encoding import marked_encoding
from streamer.files.errors import listed_columns
from streamer.printable import printable

_PARQUET = b"PAR1"
_BINARY = {
    b"%PDF": "a PDF",
    b"SQLite format 3\0": "an SQLite database: export the table as csv",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Excel workbook (.xls) or another Office file: save the sheet as csv",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it first",
    b"Rar!\x1a\x07": "a RAR archive: unpack it first",
    b"\xfd7zXZ\0": "compressed with xz: decompress it first",
    b"\x04\x22\x4d\x18": "compressed with LZ4: decompress it first",
    b"\x1f\x9d": "compressed with compress (.Z): decompress it first",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"ARROW1": "an Arrow file",
    b"FEA1": "a Feather file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
}
_TAR_AT = 257
_SPACE = b" \t\r\n"


def wrong_bytes(head: bytes, *, encoding_given: bool) -> str | None:
    """What a file that begins like this is, if it is no text: a message; None for text and for Parquet."""
    for magic, kind in _BINARY.items():
        if head.startswith(magic):
            return f"this is {kind}" if not kind.startswith("compressed") else f"the file is {kind}"
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return "this is a tar archive: unpack it first"
    if not encoding_given and (name := marked_encoding(head)) is not None:
        return f"this looks like {name.upper()}: --encoding {name}"
    return None


def wrong_text(head: bytes, format: str) -> str | None:
    """What a text that begins like this is, if it is not of this format: a message."""
    if head.startswith(_PARQUET):
        return "this is Parquet: --format parquet"
    begin = head.lstrip(_SPACE)
    if begin[:1] == b"<" and begin[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "this is HTML or XML"
    if format in ("csv", "tsv"):
        if begin.startswith((b'{"', b"{'")):
            return f"this looks like lines of JSON, not {format}: --format jsonl"
        if begin[:1] == b"[" and begin[1:].lstrip(_SPACE)[:1] == b"{":
            return f"this looks like a JSON array, not {format}: --format json"
    elif begin[:1] == b"[" and format == "jsonl":
        return "this looks like a JSON array, not lines of JSON: --format json"
    elif begin.translate(None, _SPACE).lstrip(b"[").startswith(b"{'"):
        return "these are Python dicts in single quotes, not JSON: write them with json.dumps"
    return None


def why_not_json(line: bytes) -> str:
    """What is likely wrong with a line that is not JSON, to stand after "not JSON"; may be empty."""
    line = line.strip()
    if line.endswith(b","):
        return " (a comma follows the object: are these the lines of an array?)"
    if line in (b"{", b"[") or line.endswith((b"{", b"[")):
        return " (one object a line is expected: this one seems to go on)"
    if line.startswith(b"{'"):
        return " (a Python dict in single quotes)"
    if b"}\r{" in line:
        return " (the lines end in CR alone)"
    if not line.startswith(b"{"):
        return " (is it csv? --format names the kind)"
    return ""


def no_column(column: str, columns: Iterable[str]) -> str:
    """The message for a column that is missing."""
    return f"no column {printable(column)!r}; the columns are {listed_columns(columns)}"


def likely_delimiter(header: Iterable[str], delimiter: str) -> str | None:
    """Another delimiter that the names of columns contain, as it is written on the command line."""
    for other, name in (("\t", "tab"), (";", "';'"), ("|", "'|'"), (",", "','")):
        if other != delimiter and any(other in column for column in header):
            return name
    return None
