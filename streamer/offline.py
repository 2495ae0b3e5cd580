"""`streamer label`: a file in, one JSON line per row out, by the same pipeline as from Kafka."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO

from streamer.counting import counting
from streamer.feed import Interruptible, in_thread
from streamer.files import FileError, LineSink, RowSource, open_rows, read_values
from streamer.metrics import Metrics
from streamer.pipeline import Pipeline
from streamer.service import brain, decoder, encoder, limits, load_model
from streamer.settings import Settings, load

_FOREVER_SECONDS = 1e8


async def label_file(path: str, kind: str | None, text_column: str, output: str) -> int:
    """Label every row; returns how many lines were written.

    A row that cannot be labelled gives a line with `error`, `detail` and `row`. The output appears under its
    name only when it is whole. Raises FileError, SettingsError and ModelError.
    """
    settings = load(
        {
            "input": {"format": "json", "text_field": text_column},
            # A file is labelled to its end, however many of its rows are bad.
            "dead_letters": {"max_ratio": 1.0},
        }
    )
    stopped = threading.Event()
    stream, kind = open_rows(path, kind)
    if path == "-":
        # A thread that waits for a pipe could not be ended by Ctrl-C.
        stream = io.BufferedReader(Interruptible(stream.fileno(), stopped))
    with stream:
        values = read_values(stream, kind, text_column, path)
        try:
            # Before the model is loaded: a wrong column should not take seconds to be told.
            first = await in_thread(lambda: next(values, None), stopped)
            with _output(output) as lines, counting("rows", None) as written:
                if first is None:
                    return 0
                source = RowSource(chain((first,), values), Path(path).name or path, time.time_ns() // 1_000_000)
                sink = LineSink(lines, written)
                await _label(settings, source, sink)
                return sink.lines
        finally:
            stopped.set()


async def _label(settings: Settings, source: RowSource, sink: LineSink) -> None:
    model = load_model(settings)
    # Nothing is read again from a file: it is worked to its end, however slowly the output takes the lines.
    bounds = replace(limits(settings), drain_timeout=_FOREVER_SECONDS)
    pipeline = Pipeline(
        source, sink, brain(model, settings), decoder(settings), encoder(settings, model), bounds, Metrics()
    )
    await pipeline.on_assigned([source.partition])
    await pipeline.run()


@contextlib.contextmanager
def _output(path: str) -> Iterator[IO[bytes]]:
    """Write beside the file and rename: what stands under its name is whole."""
    if path == "-":
        try:
            yield sys.stdout.buffer
        finally:
            try:
                sys.stdout.buffer.flush()
            except OSError as error:
                # What is left in the buffer would fail once more, and change the exit code, when the interpreter ends.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise FileError(f"the output cannot be written: {error.strerror or error}") from None
        return
    partial = Path(f"{path}.partial")
    try:
        with partial.open("wb") as lines:
            yield lines
        partial.replace(path)
    except OSError as error:
        raise FileError(f"{error.filename or path}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
