"""`streamer label`: writes one JSON line for each row of a file, through the same pipeline as with Kafka."""

from __future__ import annotations

from streamer.files.sink import LineSink, open_output
from streamer.files.source import open_source, overrides_for_rows
from streamer.observe.progress_bar import progress_bar
from streamer.service.offline import label_all
from streamer.settings import load


async def label(path: str, *, format: str | None, text_column: str, output: str) -> int:
    """Label every row; returns the number of lines written.

    A row that cannot be labelled becomes a line with `error`, `detail` and `row`. The output gets its name only
    when it is complete. Raises FileError, SettingsError and ModelError.
    """
    settings = load(overrides_for_rows(text_column))
    # Before the model is loaded, which takes seconds: a wrong column should be reported at once.
    async with open_source(path, format, text_column) as source:
        with open_output(output) as lines, progress_bar("rows", None) as advance:
            sink = LineSink(lines, advance)
            if source is not None:
                await label_all(settings, source, source.partition, sink)
            return sink.lines
