"""`streamer label`: writes one JSON line for each row of a file, through the same pipeline as with Kafka."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from streamer.files.bad_rows import row_count
from streamer.files.options import TableOptions
from streamer.files.sink import LineSink, open_output
from streamer.files.source import nothing_labelled, open_source, overrides_for_rows
from streamer.files.tables import TableReader
from streamer.observe.progress_bar import progress_bar
from streamer.service.offline import label_all
from streamer.settings import load


async def label(path: str, *, options: TableOptions, text_column: str, output: str) -> int:
    """Label every row; returns the number of lines written. Says on standard error what became of the rows.

    A row that cannot be labelled becomes a line with `error`, `detail` and `row`. The output gets its name only
    when it is complete. Raises FileError, also if there are rows but none could be labelled, SettingsError and
    ModelError.
    """
    settings = load(overrides_for_rows(text_column))
    table = TableReader(path, options, required=(text_column,))
    # Before the model is loaded, which takes seconds: a wrong column should be reported at once.
    async with open_source(table) as source:
        with open_output(output) as lines, progress_bar("rows", None) as advance:
            sink = LineSink(lines, advance)
            counted: dict[str, int] = {}
            if source is not None:
                counted = (await label_all(settings, source, source.partition, sink)).outcomes()
            if not sink.labelled and (sink.lines or counted.get("skipped") or table.bad_rows.counts):
                raise nothing_labelled(path, sink.errors, table.bad_rows)
        print(_summary(sink, table, counted), file=sys.stderr)
        return sink.lines


def _summary(sink: LineSink, table: TableReader, counted: Mapping[str, int]) -> str:
    """The rows, how many were labelled, why others were not, and what could not be used of those that were."""
    skipped = counted.get("skipped", 0)
    parts = [row_count(sink.lines + skipped), f"{sink.labelled:,} labelled"]
    parts += [f"{count:,} {reason}" for reason, count in sink.errors.most_common()]
    if skipped:
        parts.append(f"{skipped:,} skipped: no text")
    parts += [f"{count:,} with {what}" for what, count in counted.items() if " " in what]
    if table.bad_rows.counts:
        parts.append(table.bad_rows.summary())
    return f"streamer: {', '.join(parts)}"
