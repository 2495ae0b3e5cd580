"""`streamer label`: a file in, one JSON line per row out, by the same pipeline as from Kafka."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

from streamer.files.read_ahead import Interruptible, in_thread
from streamer.files.source import FileError, LineSink, RowSource, open_rows, read_values
from streamer.observe.metrics import Metrics
from streamer.observe.progress_bar import progress_bar
from streamer.pipeline.inference import ServingModel
from streamer.pipeline.pipeline import Pipeline
from streamer.ports import Delivery
from streamer.service import decoder, encoder, limits, load_model, moderation, predictor
from streamer.settings import Settings, load

_FOREVER_SECONDS = 1e8


async def label_file(path: str, kind: str | None, text_column: str, output: str) -> int:
    """Label every row; returns how many lines were written.

    A row that cannot be labelled gives a line with `error`, `detail` and `row`. The output appears under its
    name only when it is whole. Raises FileError, SettingsError and ModelError.
    """
    settings = load(for_files(text_column))
    # Before the model is loaded: a wrong column should not take seconds to be told.
    async with rows(path, kind, text_column) as source:
        with _output(output) as lines, progress_bar("rows", None) as written:
            sink = LineSink(lines, written)
            if source is not None:
                await label_rows(settings, source, sink)
            return sink.lines


def for_files(text_column: str) -> dict[str, dict[str, Any]]:
    """What is set otherwise than for Kafka."""
    return {
        "input": {"format": "json", "text_field": text_column},
        # A file is labelled to its end, however many of its rows are bad.
        "dead_letters": {"max_ratio": 1.0},
    }


@contextlib.asynccontextmanager
async def rows(path: str, kind: str | None, text_column: str) -> AsyncIterator[RowSource | None]:
    """A file's rows, or those of standard input, the first of which has been read; None where there are none.

    Raises FileError.
    """
    stopped = threading.Event()
    stream, kind = open_rows(path, kind)
    if path == "-":
        # A thread that waits for a pipe could not be ended by Ctrl-C.
        stream = io.BufferedReader(Interruptible(stream.fileno(), stopped))
    with stream:
        values = read_values(stream, kind, text_column, path)
        try:
            first = await in_thread(lambda: next(values, None), stopped)
            if first is None:
                yield None
            else:
                yield RowSource(chain((first,), values), Path(path).name or path, time.time_ns() // 1_000_000)
        finally:
            stopped.set()


async def label_rows(settings: Settings, source: RowSource, sink: Delivery) -> None:
    """All of a file's rows through the pipeline: one message for each, held by moderation or not."""
    model = load_model(settings)
    # Nothing is read again from a file: it is worked to its end, however slowly the output takes the lines.
    bounds = replace(limits(settings), drain_timeout=_FOREVER_SECONDS)
    writing = replace(encoder(settings, model), review_topic=None)
    pipeline = Pipeline(
        source,
        sink,
        model=ServingModel(predictor(model, settings), writing),
        decoder=decoder(settings),
        limits=bounds,
        observer=Metrics(),
        moderation=moderation(settings),
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
