"""Rows of Parquet, which pyarrow reads (extra `parquet`)."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import IO, Any

import orjson

from streamer.files.delimited import Row
from streamer.files.errors import FileError
from streamer.files.wrong_kind import no_column
from streamer.printable import printable

_BATCH_ROWS = 1000


def parquet_rows(file: IO[bytes], required: Sequence[str]) -> Iterator[Row]:
    """The rows, numbered from 1, a batch at a time. Raises FileError for damage and for a missing column.

    What JSON has no type for becomes text: times in ISO 8601, decimals with all their digits, bytes in base64.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise FileError("Parquet needs pyarrow: pip install 'sentiment-streamer[parquet]'") from None
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            schema = table.schema_arrow
            if twice := [name for name in schema.names if schema.names.count(name) > 1]:
                raise FileError(f"the column {printable(twice[0])} is there twice")
            # A path leads into a column: the first part of its name is enough.
            if missing := [
                name for name in required if name not in schema.names and name.split(".")[0] not in schema.names
            ]:
                raise FileError(no_column(missing[0], schema.names))
            schema = pyarrow.schema([_readable(field, pyarrow) for field in schema])
            number = 0
            for batch in table.iter_batches(_BATCH_ROWS):
                for row in pyarrow.Table.from_batches([batch]).cast(schema, safe=False).to_pylist():
                    number += 1
                    yield number, row, orjson.dumps(row, default=_as_json)
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        raise FileError(f"the Parquet file cannot be read: {printable(str(error), 200)}") from None


def _readable(field: Any, pyarrow: Any) -> Any:
    """A field with times that Python can hold: microseconds."""
    if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns":
        return field.with_type(pyarrow.timestamp("us", field.type.tz))
    return field


def _as_json(value: Any) -> Any:
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, int):  # Beyond 64 bits.
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
