"""Writes results as lines of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TextIO

import orjson

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.files.compression import compressing
from streamer.files.errors import FileError
from streamer.printable import printable


class LineSink:
    """Writes each result as a line, in the order of the rows. Implements `ports.Delivery`."""

    def __init__(self, output: TextIO | IO[bytes], on_written: Callable[[int], Any]) -> None:
        """`on_written` is called with the number of lines after each write."""
        self._output: Any = output
        self._on_written = on_written
        self.lines = 0
        self.errors: Counter[str] = Counter()  # Rows that could not be labelled, by reason.

    @property
    def labelled(self) -> int:
        """How many rows have a label."""
        return self.lines - self.errors.total()

    async def assigned(self, _: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Empty: reading starts at the first row."""
        return {}

    async def revoked(self, _: Sequence[TopicPartition]) -> None:
        """Does nothing: written lines stay."""

    async def send(self, _: TopicPartition, __: int, messages: Sequence[Message]) -> Awaitable[None]:
        """Write the messages before returning. Raises FileError if that fails."""
        lines = [_line(message) for message in messages]
        try:
            await asyncio.to_thread(self._output.write, b"".join(lines))
        except OSError as error:
            raise _cannot_write(error) from None
        self.lines += len(lines)
        self.errors.update(reason.decode() for message in messages if (reason := _reason(message)) is not None)
        self._on_written(len(lines))
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        written.set_result(None)
        return written

    async def commit(self, positions: Mapping[TopicPartition, int]) -> CommitOutcome:
        """Do nothing: a file has no offsets to commit."""
        return CommitOutcome.DONE


_UNWRITABLE = (".xz", ".lzma", ".zip", ".7z", ".lz4", ".br", ".parquet", ".xlsx")


def _reason(message: Message) -> bytes | None:
    """Why the row could not be labelled; None if it was."""
    return next((value for name, value in message.headers if name == "dlq.reason"), None)


def _line(message: Message) -> bytes:
    headers = dict(message.headers)
    reason, detail = headers.get("dlq.reason"), headers.get("dlq.detail")
    if reason is None:
        return (message.value or b"null") + b"\n"
    row = int(headers["dlq.offset"] or 0)
    return orjson.dumps({"error": reason.decode(), "detail": (detail or b"").decode(), "row": row}) + b"\n"


@contextlib.contextmanager
def open_output(path: str) -> Iterator[IO[bytes]]:
    """A file that gets its name only when it is complete; standard output for `-`. Raises FileError.

    A name that ends in .gz, .bz2 or .zst is written compressed.
    """
    if path == "-":
        try:
            yield sys.stdout.buffer
        finally:
            _flush_standard_output()
        return
    if path.lower().endswith(_UNWRITABLE):
        raise FileError("only .gz, .bz2 and .zst can be written compressed", path)
    partial = Path(f"{path}.partial")
    try:
        with partial.open("wb") as file, compressing(file, path) as output:
            yield output
        partial.replace(path)
    except OSError as error:
        raise FileError(printable(error.strerror or str(error)), path) from None
    finally:
        partial.unlink(missing_ok=True)


def _flush_standard_output() -> None:
    try:
        sys.stdout.buffer.flush()
    except OSError as error:
        # The interpreter flushes again at exit: that would also fail, and change the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _cannot_write(error) from None


def _cannot_write(error: OSError) -> FileError:
    return FileError(f"the output cannot be written: {error.strerror or error}")
