"""Rows of csv and tsv: what is read, and what is damage."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.files import delimited
from streamer.files.errors import FileError
from tests.files.reading import rows, skipped, texts, values

BOM = b"\xef\xbb\xbf"


def test_a_row_is_an_object_of_its_columns() -> None:
    """Quoted line breaks, commas and quotes included."""
    content = 'id,text\r\n1,"很好，\r\n下次""还""来,真的"\r\n2,差\r\n'.encode()
    assert rows(content) == [{"id": "1", "text": '很好，\r\n下次"还"来,真的'}, {"id": "2", "text": "差"}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way(end: str) -> None:
    """With LF, CR LF, or CR alone as on old Macs; also without an end behind the last."""
    content = end.join(["id,text", '1,"a, b"', "", "2,c"]).encode()
    assert texts(content) == texts(content + end.encode()) == ["a, b", "c"]


@pytest.mark.parametrize("header", [b"text", BOM + b"text", BOM + b'"text"', b' "text"'[1:], b" text ", b"\n\ntext"])
def test_names_of_columns_come_without_what_is_around_them(header: bytes) -> None:
    """A byte order mark as Excel writes it, quotes, blanks, and blank lines before."""
    assert texts(header + b"\na\n") == ["a"]


def test_a_huge_cell_is_read() -> None:
    """csv's own limit is 128 KiB."""
    text = "好" * 400_000
    assert texts(f'text\n"{text}"\n'.encode()) == [text]


def test_blank_lines_are_no_rows_and_empty_cells_are_texts() -> None:
    """An empty cell is a blank review."""
    assert rows(b'id,text\n\n1,\n  \n,""\n') == [{"id": "1", "text": ""}, {"id": "", "text": ""}]
    assert texts(b'text\n""\n') == [""]


@pytest.mark.parametrize(
    ("content", "line", "what", "kind", "kept"),
    [
        (
            "id,text\n1,Great product, but it broke\n2,很好\n",
            2,
            "3 cells, but the header has 2",
            "too many cells",
            ["很好"],
        ),
        ("id,text\n1,a\n2\n3,b\n", 3, "1 cell, but the header has 2", "too few cells", ["a", "b"]),
        ("text\na,b\nc\n", 2, "is the delimiter another one", "too many cells", ["c"]),
        ('id,text\n1,a\n2,"b\n3,c\n4,d\n', 3, "opened and never closed", "an unclosed quote", ["a", "c", "d"]),
        ('id,text\n1,"a\n', 2, "opened and never closed", "an unclosed quote", []),
        ('id,text\n1,"a" b\n2,c\n', 2, "text follows the quote", "text after a quoted cell", ["c"]),
        ('id,text\n1,"a\nb" c\n2,d\n', 2, "text follows the quote", "text after a quoted cell", ["d"]),
        ('id,text\n1,"The \\"pro\\" model, is"\n2,b\n', 2, "--escape", "backslashes before quotes", ["b"]),
        ("id,text\n1,a\0b\n2,c\n", 2, "a NUL character", "a NUL character", ["c"]),
    ],
)
def test_damage_is_an_error_that_names_the_line(content: str, line: int, what: str, kind: str, kept: list[str]) -> None:
    """Or, if such rows are to be skipped, counted; no row around it gets lost."""
    with pytest.raises(FileError, match=rf"^rows\.csv, line {line}: .*{what}"):
        values(content.encode())
    found, counts = skipped(content.encode())
    assert found == kept
    assert [name for name in counts if kind in name] == [f"with {kind}"]
    assert sum(counts.values()) == (2 if kind == "text after a quoted cell" and line == 2 and "\nb" in content else 1)


def test_many_unclosed_quotes_hide_no_row() -> None:
    """Each is one bad row, and takes no long time."""
    content = "text\n" + 'good\n"bad\n' * 2000
    kept, counts = skipped(content.encode())
    assert (kept, sum(counts.values())) == (["good"] * 2000, 2000)


@pytest.mark.parametrize("header", ["text,id,text", "text, text", '"text",text', "text,id,id"])
def test_a_column_that_is_there_twice_is_an_error(header: str) -> None:
    """Blanks and quotes make no difference; nor does skipping bad rows: it is not a row's fault."""
    content = f"{header}\n{header.replace('text', 'a')}\n".encode()
    with pytest.raises(FileError, match=r"line 1: the column (text|id) is there twice"):
        values(content)
    with pytest.raises(FileError, match="twice"):
        skipped(content)


@pytest.mark.parametrize("header", [b'id,"text', b'id,"text"x', b"id,t\0ext", "id,text,评论".encode("gbk")])
def test_a_damaged_header_is_an_error(header: bytes) -> None:
    """Also if bad rows are to be skipped: the next row would be taken for it."""
    content = header + b"\nid,text\n1,a\n"
    with pytest.raises(FileError, match=r"line 1: "):
        skipped(content)


def test_characters_with_a_meaning_must_differ() -> None:
    """Else nothing could be told apart. Excel's line cannot name the quote."""
    for options in ({"delimiter": "'", "quote": "'"}, {"delimiter": ";", "escape": ";"}, {"escape": '"'}):
        with pytest.raises(FileError, match="must differ"):
            values(b"text\na\n", **options)
    assert texts(b"sep=\\\nid,text\n1,a\n", escape="\\") == ["a"]


def test_columns_without_a_name_at_the_end_are_left_out() -> None:
    """As Excel writes those that were once used; but nothing in them may get lost."""
    assert rows(b"text,id,,\na,1,,\n") == [{"text": "a", "id": "1"}]
    with pytest.raises(FileError, match="line 2: a cell that is in no column"):
        values(b"text,id,,\na,1,,x\n")
    assert rows(b",text\n0,a\n") == [{"": "0", "text": "a"}]


def test_a_missing_column_is_reported_with_those_that_are_there() -> None:
    """In the header."""
    with pytest.raises(FileError, match=r"^rows\.csv, line 1: no column 'text'; the columns are id, body$"):
        values(b"id,body\n1,a\n")
    many = ",".join(f"c{number}" for number in range(1000))
    with pytest.raises(FileError, match=r"c18, c19, …$"):
        values(many.encode() + b"\n")


@pytest.mark.parametrize(("delimiter", "name"), [(";", "';'"), ("\t", "tab"), ("|", r"'\|'")])
def test_another_delimiter_is_suggested(delimiter: str, name: str) -> None:
    """For a file of the wrong kind; with the option it is read."""
    content = f'id,text\n1,"a{delimiter}b"\n'.replace(",", delimiter).encode()
    with pytest.raises(FileError, match=f"is the delimiter another one. --delimiter {name}"):
        values(content)
    assert texts(content, delimiter=delimiter) == [f"a{delimiter}b"]


def test_a_tab_may_be_spelt() -> None:
    """It is hard to type."""
    assert texts(b"id\ttext\n1\ta\n", delimiter="tab") == texts(b"id\ttext\n1\ta\n", delimiter="\\t") == ["a"]


@pytest.mark.parametrize("line", [b"sep=;\r\n", b'"sep=;"\n', b"SEP=;\n", BOM + b"sep=;\r\n"])
def test_excels_separator_line_names_the_delimiter(line: bytes) -> None:
    """It is no header, and counts as a line."""
    assert texts(line + b"id;text\n1;a, b\n") == ["a, b"]
    assert texts(line + b"id|text\n1|a, b\n", delimiter="|") == ["a, b"]
    with pytest.raises(FileError, match="line 3: 1 cell"):
        values(line + b"id;text\n1\n")


def test_a_column_may_be_named_as_that_line_begins() -> None:
    """Found by the fuzzer: a quote is no delimiter."""
    assert texts(b'"sep="\r\na\r\n', column="sep=") == ["a"]


def test_without_a_header_columns_are_numbered() -> None:
    """From 1."""
    assert rows("1,质量很好\n2,太差了\n".encode(), column="2", header=False) == [
        {"1": "1", "2": "质量很好"},
        {"1": "2", "2": "太差了"},
    ]
    with pytest.raises(FileError, match=r"no column 'text'; the columns are 1, 2 .--no-header numbers them"):
        values(b"1,a\n", header=False)
    with pytest.raises(FileError, match=r"is that a row of data. --no-header"):
        values(b"1,a\n")
    with pytest.raises(FileError, match="line 2: 3 cells, but the first row has 2"):
        values(b"1,a\n1,a,b\n", column="2", header=False)


def test_a_column_with_dots_is_found_by_its_name() -> None:
    """csv has no objects in objects."""
    content = b"id,reviews.text\n1,Great hotel\n"
    assert rows(content, column="reviews.text") == [{"id": "1", "reviews.text": "Great hotel"}]
    with pytest.raises(FileError, match=r"no column 'reviews.body'"):
        values(content, column="reviews.body")


def test_quotes_may_be_escaped_by_option() -> None:
    """As Kaggle's table of film reviews has them."""
    content = b'id\tsentiment\treview\n"5814_8"\t1\t"With \\"MJ\\" and a ""doubled"" one"\n'
    assert texts(content, "a.tsv", "review", escape="\\") == ['With "MJ" and a "doubled" one']
    with pytest.raises(FileError, match=r"line 2: a quote that is escaped by a backslash.*--escape '\\'"):
        values(content, "a.tsv", "review")


def test_quotes_may_be_letters_by_option() -> None:
    """As in plain tsv; without the option, one at the beginning of a cell is damage."""
    content = b'text\tlabel\n"Best phone ever, he said\t0\n5" screen is fine\t1\n'
    assert texts(content, "a.tsv", quote="none") == ['"Best phone ever, he said', '5" screen is fine']
    with pytest.raises(FileError, match=r"line 2: .*--quote none"):
        values(content, "a.tsv")
    assert skipped(content, "a.tsv") == (['5" screen is fine'], {"with text after a quoted cell": 1})
    assert texts(b"text\n'a,b'\n", quote="'") == ["a,b"]


def test_quotes_inside_of_a_cell_are_letters() -> None:
    """They mean something at its beginning only."""
    assert texts(b'id,text\n1,5" "fine" screen\n') == ['5" "fine" screen']


def test_a_line_without_an_end_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is damage, as is a cell without one; the rows behind it are read."""
    monkeypatch.setattr(delimited, "MAX_LINE", 1000)
    content = b"text\n" + b"x" * 5500 + b"\ngood\n"
    with pytest.raises(FileError, match="line 2: a line of more than"):
        values(content)
    assert skipped(content) == (["good"], {"too long": 1})
    monkeypatch.setattr(delimited, "MAX_CELL", 1000)
    content = b'text\n"' + b"x\n" * 2000 + b'"\n'
    with pytest.raises(FileError, match="line 2: a cell of more than"):
        values(content)


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=2),
        max_size=8,
    )
)
def test_what_csv_writes_is_read_back(written: list[list[str]]) -> None:
    """Cell by cell."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "text"], *written])
    assert [[row["id"], row["text"]] for row in rows(file.getvalue().encode())] == written


def test_a_gigabyte_in_a_megabyte_is_not_held_in_memory(tmp_path: Path) -> None:
    """A process with half a gigabyte is enough for it."""
    import subprocess
    import sys
    import zlib

    packer = zlib.compressobj(1, wbits=31)
    path = tmp_path / "bomb.csv.gz"
    with path.open("wb") as file:
        file.write(packer.compress(b"text\n"))
        block = b"x" * (1 << 20)
        for _ in range(1024):
            file.write(packer.compress(block))
        file.write(packer.flush())
    program = (
        "import sys, resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))\n"
        "from streamer.files.errors import FileError\n"
        "from streamer.files.tables import TableReader\n"
        "try:\n"
        "    with TableReader(sys.argv[1]) as table: list(table.values())\n"
        "except FileError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=120)
    assert "line 2: a line of more than" in done.stdout, done.stderr
