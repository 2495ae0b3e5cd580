"""Rows of Parquet."""

from __future__ import annotations

import datetime
import decimal
import gzip
import io
import json
import sys
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from streamer.files.errors import FileError
from tests.files.reading import rows, values


def parquet(table: Any) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table if isinstance(table, pyarrow.Table) else pyarrow.table(table), buffer)
    return buffer.getvalue()


def test_rows_are_objects_of_their_columns() -> None:
    """Null included; over several batches, from a pipe or a compressed file too."""
    table = {"id": list(range(2500)), "text": ["好", None] * 1250}
    expected = [{"id": number, "text": None if number % 2 else "好"} for number in range(2500)]
    for content in (parquet(table), gzip.compress(parquet(table))):
        assert rows(content, "a.parquet") == rows(content, "a.csv", format="parquet") == expected


def test_every_type_has_a_form_in_json() -> None:
    """Times in ISO 8601, decimals with every digit, bytes in base64; what has no finite value is null."""
    at = datetime.datetime(2026, 11, 21, 8, 15, 30, 250, datetime.UTC)
    table = pyarrow.table(
        {
            "text": pyarrow.array(["a", "b"]).dictionary_encode(),
            "ns": pyarrow.array([at, None], pyarrow.timestamp("ns", "UTC")),
            "day": [datetime.date(2026, 1, 2), None],
            "price": [decimal.Decimal("1.50"), None],
            "raw": [b"\xff", None],
            "stars": [float("nan"), 4.5],
            "list": [["x", "y"], None],
            "inner": [{"text": "c"}, None],
        }
    )
    first, second = rows(parquet(table), "a.parquet")
    assert first == {
        "text": "a",
        "ns": "2026-11-21T08:15:30.000250+00:00",
        "day": "2026-01-02",
        "price": "1.50",
        "raw": "/w==",
        "stars": None,
        "list": ["x", "y"],
        "inner": {"text": "c"},
    }
    assert (second["text"], second["stars"], second["ns"]) == ("b", 4.5, None)


def test_a_column_is_found_by_its_name_or_as_a_path() -> None:
    """Else the error names the columns; one that is there twice is an error."""
    content = parquet({"inner": [{"text": "c"}], "reviews.text": ["d"]})
    assert len(values(content, "a.parquet", "inner.text")) == len(values(content, "a.parquet", "reviews.text")) == 1
    with pytest.raises(FileError, match=r"no column 'text'; the columns are inner, reviews\.text"):
        values(content, "a.parquet")
    with pytest.raises(FileError, match="the column text is there twice"):
        values(parquet(pyarrow.table([["a"], ["b"]], names=["text", "text"])), "a.parquet")


@pytest.mark.parametrize("content", [b"PAR1 and no more", b"text\na\n", parquet({"text": ["a" * 999] * 99})[:-9]])
def test_a_file_that_is_no_parquet_is_an_error(content: bytes) -> None:
    """Or one that is cut off."""
    with pytest.raises(FileError, match="the Parquet file cannot be read") as caught:
        values(content, "a.parquet")
    assert str(caught.value).isprintable()


def test_texts_that_are_no_strings_are_passed_on() -> None:
    """The decoder says what is wrong with them."""
    assert rows(parquet({"text": [1, 2]}), "a.parquet") == [{"text": 1}, {"text": 2}]
    assert json.loads(values(parquet({"text": [["a"]]}), "a.parquet")[0]) == {"text": ["a"]}


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FileError, match=r"needs pyarrow: pip install 'sentiment-streamer\[parquet\]'"):
        values(parquet({"text": ["a"]}), "a.parquet")
