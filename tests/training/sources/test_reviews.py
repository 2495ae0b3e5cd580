"""Tables are read as they come, and errors name the file, the line and the column."""

from __future__ import annotations

import bz2
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from training.labels import NEGATIVE, NEUTRAL, POSITIVE
from training.recipe import Source
from training.sources.reviews import Review, read_reviews
from training.sources.tables import DataError

GOOD, BAD = Review("很好", POSITIVE), Review("很差", NEGATIVE)


def source(path: str = "r.csv", **fields: Any) -> Source:
    return Source.model_validate({"name": "r", "language": "zh", "origin": "", "licence": "", "path": path} | fields)


def read_text(tmp_path: Path, content: str | bytes, **fields: Any) -> list[Review]:
    chosen = source(**fields)
    data = content.encode() if isinstance(content, str) else content
    assert chosen.path
    (tmp_path / chosen.path).write_bytes(gzip.compress(data) if chosen.path.endswith(".gz") else data)
    return read_reviews(chosen, tmp_path, tmp_path)


@pytest.mark.parametrize("labels", [("positive", "negative"), ("正面", "负面"), ("1", "0"), ("Positive", " NEG ")])
def test_labels_are_understood_in_the_usual_spellings(tmp_path: Path, labels: tuple[str, str]) -> None:
    """Words in both languages and digits, whatever the case."""
    assert read_text(tmp_path, f"text,label\n很好,{labels[0]}\n很差,{labels[1]}\n") == [GOOD, BAD]


def test_columns_are_mapped(tmp_path: Path) -> None:
    """Other names, another order, columns that nobody needs."""
    text = "n,stars,evaluation\n1,五星,很好\n2,一星,很差\n3,三星,还行\n"
    fields = {"text": "evaluation", "label": "stars", "positive": ("五星",), "negative": ("一星",), "skip": ("三星",)}
    assert read_text(tmp_path, text, **fields) == [GOOD, BAD]


def test_quoted_line_breaks_quotes_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    """CSV as spreadsheets write it."""
    text = '\ufefftext,label\r\n"第一行\r\n第二行，""好""",1\r\n很差,0\r\n'
    assert read_text(tmp_path, text) == [Review('第一行\r\n第二行，"好"', POSITIVE), BAD]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_tsv_and_json_lines_are_read_also_compressed(tmp_path: Path, suffix: str) -> None:
    """The name decides the format."""
    assert read_text(tmp_path, "text\tlabel\n很好\t1\n很差\t0\n", path=f"r.tsv{suffix}") == [GOOD, BAD]
    lines = "\n".join(json.dumps({"text": r.text, "label": r.positive}) for r in (GOOD, BAD))
    assert read_text(tmp_path, lines, path=f"r.jsonl{suffix}") == [GOOD, BAD]


def test_every_format_of_the_commands_is_read(tmp_path: Path) -> None:
    """By the same reader: arrays, columns by a path, files in a zip, encodings and delimiters by option."""
    rows = [{"review": {"body": "很好"}, "label": 1}, {"review": {"body": "很差"}, "label": 0}]
    lines = "\n".join(map(json.dumps, rows))
    assert read_text(tmp_path, lines, path="r.jsonl", text="review.body") == [GOOD, BAD]
    assert read_text(tmp_path, json.dumps(rows, indent=1), path="r.json", text="review.body") == [GOOD, BAD]
    assert read_text(tmp_path, "sep=;\ntext;label\n很好;1\n很差;0\n") == [GOOD, BAD]
    assert read_text(tmp_path, "很好|1\n很差|0\n", header=False, delimiter="|", text="1", label="2") == [GOOD, BAD]
    utf16 = "text\tlabel\n很好\t1\n很差\t0\n".encode("utf-16")
    assert read_text(tmp_path, utf16, encoding="utf-16", path="r.txt", format="tsv") == [GOOD, BAD]
    assert read_text(tmp_path, bz2.compress("text,label\n很好,1\n很差,0\n".encode())) == [GOOD, BAD]


def test_quotes_may_be_escaped_or_letters(tmp_path: Path) -> None:
    """As in the table of film reviews at Kaggle, and in plain tsv."""
    escaped = 'id\tsentiment\treview\n"0_8"\t1\t"很\\"好\\""\n"1_2"\t0\t"很差"\n'
    fields = {"path": "r.tsv", "text": "review", "label": "sentiment"}
    assert read_text(tmp_path, escaped, escape="\\", **fields) == [Review('很"好"', POSITIVE), BAD]
    with pytest.raises(DataError, match=r"r.tsv, line 2: a quote that is escaped by a backslash"):
        read_text(tmp_path, escaped, **fields)
    plain = 'text\tlabel\n"很好\t1\n很差\t0\n'
    assert read_text(tmp_path, plain, quote="none", path="r.tsv") == [Review('"很好', POSITIVE), BAD]


def test_bad_rows_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Those of the reader, and those that lack a text or a label; a null text is as blank as an empty one."""
    lines = [
        '{"text": "很好", "label": 1}',
        "{",
        '{"label": 0}',
        '{"text": 3, "label": 0}',
        '{"text": null, "label": 0}',
    ]
    content = "\n".join([*lines, '{"text": "很差", "label": 0}'])
    with pytest.raises(DataError, match=r"r\.jsonl, line 2: not JSON"):
        read_text(tmp_path, content, path="r.jsonl")
    assert read_text(tmp_path, content, path="r.jsonl", skip_bad_rows=True) == [GOOD, BAD]
    assert "r.jsonl, line 3: column 'text': no such field; there are label; the row is left out" in caplog.messages
    assert caplog.messages[-1] == "r.jsonl: 3 bad rows left out: 1 not JSON, 1 without a column, 1 without a text"


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """The table is read for its digest too."""
    os.mkfifo(tmp_path / "r.csv")
    with pytest.raises(DataError, match="a pipe can be read only once"):
        read_reviews(source(), tmp_path, tmp_path)


def test_rows_are_chosen_by_where_and_limit_and_blank_texts_are_left_out(tmp_path: Path) -> None:
    """A file may hold several sets; a trial needs only some of it."""
    text = "text,label,set\n很好,1,a\n很差,0,a\n不好,0,a\n不错,1,b\n  ,1,a\n"
    assert read_text(tmp_path, text, where={"set": "a"}, limit=1) == [GOOD, BAD]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("r.csv", "", "r.csv: the file is empty"),
        ("r.csv", "text,label\n", "r.csv: no review in it"),
        ("r.csv", " \n", "r.csv: the file is empty"),
        ("r.csv", "text,label\n很好,1\n很差,0\n".encode("utf-16"), "r.csv: this looks like UTF-16: --encoding utf-16"),
        ("r.csv", "review,label\n好,1\n", "r.csv, line 1: no column 'text'; the columns are review, label"),
        ("r.csv", 'text,label\n"好\n好",1\n差,meh\n', r"r.csv, line 4, column 'label': unknown label 'meh'; "),
        ("r.csv", "text,label\n好,1\n很好,1\n", "r.csv, column 'label': only positive reviews in it"),
        ("r.csv", "text,label\n好,1\n很,好,1\n", "r.csv, line 3: 3 cells, but the header has 2"),
        ("r.csv", 'text,label\n"好,1\n', "r.csv, line 2: a quote is opened and never closed"),
        ("r.csv", "text,label\n好,1\n".encode() + "差,0".encode("gbk"), "r.csv, line 3: not UTF-8, likely"),
        ("r.csv.gz", gzip.compress(b"text,label\n", mtime=0)[:-4], "r.csv.gz: the gzip data end too early"),
        ("r.jsonl", '{"text": "好", "label": 1}\n{"text": "好"}', "r.jsonl, line 2, column 'label': no such field"),
        ("r.jsonl", "[]", "r.jsonl: this looks like a JSON array"),
        ("r.jsonl", "7", "r.jsonl, line 1: a JSON number instead of an object"),
        ("r.jsonl", "\n{", "r.jsonl, line 2: not JSON"),
        ("r.jsonl", '{"text": 3, "label": 1}', "r.jsonl, line 1, column 'text': not a text"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, path: str, text: str | bytes, message: str) -> None:
    """File, line and column, so that it can be put right."""
    (tmp_path / path).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=message):
        read_reviews(source(path), tmp_path, tmp_path)


def test_a_missing_file_is_an_error_of_the_data(tmp_path: Path) -> None:
    """It points to --data-dir."""
    with pytest.raises(DataError, match="no such file; is --data-dir right"):
        read_reviews(source(), tmp_path, tmp_path)


def test_another_encoding_can_be_set(tmp_path: Path) -> None:
    """Older Chinese files are in GB 18030."""
    text = "text,label\n很好,1\n很差,0\n".encode("gb18030")
    assert read_text(tmp_path, text, encoding="gb18030") == [GOOD, BAD]


def test_the_evaluation_column_with_chinese_labels_is_read_compressed(tmp_path: Path) -> None:
    """The format of the tutorial that this project grew from."""
    text = 'evaluation,label\n"很\n好",正面\n很差,负面\n'
    assert read_text(tmp_path, text, path="r.csv.gz", text="evaluation") == [Review("很\n好", POSITIVE), BAD]


def test_neutral_labels_are_a_third_class(tmp_path: Path) -> None:
    """Not positive, and limited on their own."""
    text = "text,label\n很好,1\n很差,0\n一般,中\n还行,中\n"
    assert read_text(tmp_path, text, neutral=("中",), limit=1) == [GOOD, BAD, Review("一般", NEUTRAL)]


def test_a_class_without_labels_may_be_missing(tmp_path: Path) -> None:
    """A file of neutral reviews alone says so in the recipe."""
    text = "text,label\n一般,中\n"
    with pytest.raises(DataError, match=r"r.csv, column 'label': only neutral reviews in it"):
        read_text(tmp_path, text, neutral=("中",))
    chosen = read_text(tmp_path, text, neutral=("中",), positive=(), negative=())
    assert [review.label for review in chosen] == ["neutral"]


def test_reviews_know_their_group_their_file_and_their_line(tmp_path: Path) -> None:
    """Of a row over several lines the first."""
    first, second = read_text(tmp_path, 'text,label,product\n"很\n好",1, A1 \n很差,0,7\n', group="product")
    assert (first.group, first.file, first.line) == ("A1", "r.csv", 2)
    assert (second.group, second.file, second.line) == ("7", "r.csv", 4)


def test_reviews_that_follow_each_other_are_a_group(tmp_path: Path) -> None:
    """In blocks of so many, blank ones not counted."""
    rows = "".join(f"review {number},{number % 2}\n" for number in range(5))
    reviews = read_text(tmp_path, f"text,label\n ,1\n{rows}", block=2)
    assert [review.group for review in reviews] == ["0", "0", "1", "1", "2"]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("r.csv", "text,label,product\n好,1,a\n差,0, \n", "r.csv, line 3, column 'product': the group is empty"),
        ("r.jsonl", '{"text": "好", "label": 1, "product": null}', "r.jsonl, line 1, column 'product': the group is"),
        ("r.csv", "text,label\n好,1\n", "r.csv, line 1: no column 'product'"),
    ],
)
def test_a_group_that_is_missing_is_said_with_its_place(tmp_path: Path, path: str, text: str, message: str) -> None:
    """A review of no group could be on either side of the split."""
    with pytest.raises(DataError, match=message):
        read_text(tmp_path, text, path=path, group="product")


def test_a_file_beside_the_recipe_is_found_there(tmp_path: Path) -> None:
    """Whatever the data folder."""
    (tmp_path / "r.csv").write_text("text,label\n很好,1\n很差,0\n", encoding="utf-8")
    assert read_reviews(source("./r.csv"), tmp_path / "elsewhere", tmp_path, recipe_dir=tmp_path) == [GOOD, BAD]
