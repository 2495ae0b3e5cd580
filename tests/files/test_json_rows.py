"""Rows of JSON: from lines, and from an array."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events import DeadLetter, Reason, Record, Review
from streamer.files import json_rows
from streamer.files.errors import FileError
from streamer.files.tables import TableReader
from streamer.formats.decode import Decoder
from tests.files.reading import rows, skipped, texts, values

BOM = b"\xef\xbb\xbf"


def test_lines_of_json_stay_as_they_are() -> None:
    """Byte for byte, but for what is around them. Blank lines are no rows; the text may be missing in any."""
    content = b'{"id":1}\r\n\n  \n{"text":"a",  "id": 1.50}\n{"text":"last"}'
    assert values(content, "a.jsonl") == [b'{"id":1}', b'{"text":"a",  "id": 1.50}', b'{"text":"last"}']
    assert values(b"[" + content.replace(b"}", b"},")[:-1] + b"]", "a.json") == values(content, "a.jsonl")


@pytest.mark.parametrize(
    ("line", "what", "kind"),
    [
        (b"not json", "line 2: not JSON .is it csv", "not JSON"),
        (b'{"text":"great"},', "line 2: not JSON .a comma follows the object", "not JSON"),
        (b'{"text":"great"', "line 2: not JSON", "not JSON"),
        (b"{'text': 'great'}", "line 2: not JSON .a Python dict", "not JSON"),
        (b"{", "line 2: not JSON .one object a line is expected", "not JSON"),
        (b'{"text":"a"} {"text":"b"}', "line 2: not JSON", "not JSON"),
        (b'{"text":"a"}\r{"text":"b"}', "line 2: not JSON .the lines end in CR alone", "not JSON"),
        (b'{"text":"a\tb"}', "line 2: not JSON", "not JSON"),
        (b'{"text":"a\0b"}', "line 2: not JSON", "not JSON"),
        (b'{"text":' + b"[" * 100_000, "line 2: not JSON", "not JSON"),
        (b'{"text":' + b"[" * 5000 + b"]" * 5000 + b"}", "line 2: not JSON", "not JSON"),
        (b"[1]", "line 2: a JSON array instead of an object", "not a JSON object"),
        (b"null", "line 2: a JSON null instead", "not a JSON object"),
        (b'"text"', "line 2: a JSON string instead", "not a JSON object"),
        (b"7", "line 2: a JSON number instead", "not a JSON object"),
        (b'{"text":"\xff"}', "line 2: not UTF-8", "not in UTF-8"),
    ],
)
def test_a_line_that_is_no_object_is_damage(line: bytes, what: str, kind: str) -> None:
    """With the likely reason, or counted."""
    content = b'{"text":"good"}\n' + line + b'\n{"text":"bad"}\n'
    with pytest.raises(FileError, match=what):
        values(content, "a.jsonl")
    assert skipped(content, "a.jsonl") == (["good", "bad"], {kind: 1})


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "Infinity", "1e999", "9" * 400])
@pytest.mark.parametrize("form", ['{{"text":"good","x":[{{"y":{}}}]}}', '[{{"text":"good","x":[{{"y":{}}}]}}]'])
def test_numbers_that_are_none_do_not_matter_in_other_fields(number: str, form: str) -> None:
    """They become null: no reader of JSON need know them."""
    name = "a.json" if form.startswith("[") else "a.jsonl"
    value = values(form.format(number).encode(), name)[0]
    assert json.loads(value) == {"text": "good", "x": [{"y": None}]}
    assert isinstance(Decoder().decode(Record("file", 0, 0, 0, None, value)), Review)


def test_whole_numbers_keep_every_digit() -> None:
    """Beside a NaN, and where an object is written over several lines, too."""
    digits = "123456789012345678901234567890"
    for line in (f'{{"id":{digits},"x":NaN}}', f'{{"id":{digits}}}'):
        for content, name in ((line, "a.jsonl"), (f"[{line}]", "a.json"), (f"[{line}]".replace(",", ",\n"), "a.json")):
            assert f'"id":{digits}'.encode() in values(content.encode(), name)[0]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_lone_surrogate_is_a_fault_of_its_row(name: str) -> None:
    """The decoder says so, as for any record."""
    line = b'{"text":"\\ud800"}'
    value = values(b"[" + line + b"]" if name == "a.json" else line, name)[0]
    decoded = Decoder().decode(Record("file", 0, 0, 0, None, value))
    assert isinstance(decoded, DeadLetter)
    assert decoded.reason is Reason.LONE_SURROGATE


def test_a_file_that_was_appended_to_another_is_read() -> None:
    """With its byte order mark in the middle."""
    assert texts(BOM + b'{"text":"a"}\n' + BOM + b'{"text":"b"}\n', "a.jsonl") == ["a", "b"]


def test_the_last_of_two_keys_counts() -> None:
    """As everywhere in JSON."""
    assert texts(b'{"text":"a","text":"b"}', "a.jsonl") == texts(b'[{"text":"a","text":"b"}]', "a.json") == ["b"]


def test_a_pretty_printed_array_is_rows_on_one_line_each() -> None:
    """The output has a row on each line."""
    content = json.dumps([{"text": "很\n好", "stars": 5.0}, {"text": "b", "more": {"x": [1, 2]}}], indent=2)
    found = values(content.encode(), "a.json")
    assert [json.loads(value) for value in found] == json.loads(content)
    assert not any(b"\n" in value for value in found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"text":"a"},]', "line 1: a comma without a value"),
        (b'[,{"text":"a"}]', "line 1: a comma without a value"),
        (b'[{"text":"a"}\n{"text":"b"}]', "line 2: no comma after a value"),
        (b'[{"text":"a"},\n{"text":"b"}', "line 2: the array is cut off"),
        (b'[{"text":"a"},\n{"text":"b', "line 2: not JSON: unterminated string"),
        (b'[{"text":"a"},\n{"text"', "line 2: not JSON"),
        (b'[{"text":"a"},', "line 1: the array is cut off"),
        (b"[\n", "line 2: the array is cut off"),
        (b'[{"text":"a"}][{"text":"b"}]', "line 1: something follows the array"),
        (b'[{"text":"a"}]\n{"text":"b"}', "line 2: something follows the array"),
        (b'[\n{"text":"a", nonsense}\n, ' + b'{"text":"b"}, ' * 9, "line 2: not JSON: expecting property name"),
        (b'"text"', "line 1: neither lines of objects nor an array"),
        (b"[" * 100_000, "line 1: nested too deeply"),
    ],
)
def test_damage_of_an_array_is_an_error(content: bytes, message: str) -> None:
    """Also if bad rows are to be skipped: nothing tells where the next one begins."""
    with pytest.raises(FileError, match=message):
        values(content, "a.json", format="json")
    with pytest.raises(FileError, match=message):
        skipped(content, "a.json", format="json")


def test_values_of_an_array_that_are_no_objects_are_bad_rows() -> None:
    """The array itself is whole."""
    content = b'[1, {"text":"a"}, [2], null, "x", true, {"text":"b"}]'
    with pytest.raises(FileError, match="a JSON number instead of an object"):
        values(content, "a.json")
    assert skipped(content, "a.json") == (["a", "b"], {"not a JSON object": 5})


def test_an_object_that_is_no_row_is_read_as_one() -> None:
    """Its lack of a text is for the decoder to find."""
    assert rows(b'{"reviews":[{"text":"a"}]}', "a.json") == [{"reviews": [{"text": "a"}]}]


def test_a_long_line_is_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is damage, and the rows behind it are read."""
    monkeypatch.setattr(json_rows, "MAX_LINE", 100_000)
    content = b'{"text":"' + b"x" * 300_000 + b'"}\n{"text":"good"}\n{"text":"' + b"x" * 300_000
    with pytest.raises(FileError, match="line 1: a line of more than"):
        values(content, "a.jsonl")
    assert skipped(content, "a.jsonl") == (["good"], {"too long": 2})
    monkeypatch.setattr(json_rows, "MAX_ELEMENT", 100_000)
    with pytest.raises(FileError, match="a value of more than"):
        values(b"[" + content, "a.json")
    assert texts(b'{"text":"' + b"x" * 70_000 + b'"}', "a.jsonl") == ["x" * 70_000]


def test_a_large_value_of_an_array_takes_linear_time() -> None:
    """It is read in growing steps."""
    text = "很" * 3_000_000
    assert texts(json.dumps([{"text": text}] * 2, ensure_ascii=False).encode(), "a.json") == [text, text]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


ARRAYS = st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=5)


@given(ARRAYS, st.none() | st.integers(0, 3), st.integers(1, 9))
def test_an_array_is_read_as_json_reads_it(written: list[dict[str, Any]], indent: int | None, size: int) -> None:
    """However it is written, and however it is cut into reads."""

    class Slow(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            return super().readinto(memoryview(buffer)[:size])

    content = json.dumps(written, indent=indent, ensure_ascii=bool(size % 2)).encode("utf-8", "surrogatepass")
    with TableReader("a.json", content=Slow(content)) as table:
        found = [row for _, row, _ in table.rows()]
    assert found == written
