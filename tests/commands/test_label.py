"""`streamer label` as its users run it: lines in order, clear errors, an output that is whole or not there."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import streamer

COMMAND = [sys.executable, "-m", "streamer", "label"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}


# `streamer`, which writes a line when it begins to wait for standard input. A signal before that, while it is still
# importing, is another case, and how long that takes depends on the machine.
_SAYS_WHEN_IT_WAITS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # Ignored where the tests are a shell's background job.
from streamer.files.read_ahead import Interruptible

readinto = Interruptible.readinto

def waiting(self, buffer):
    print("waiting", file=sys.stderr, flush=True)
    return readinto(self, buffer)

Interruptible.readinto = waiting
from streamer.cli import main
main()
"""


def label(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """In a process of its own where it reads standard input, else in this one."""
    if stdin:
        return subprocess.run([*COMMAND, *arguments], input=stdin, capture_output=True, env=ENVIRONMENT, timeout=120)
    done = streamer("label", *arguments)
    return subprocess.CompletedProcess(arguments, done.code, done.stdout.encode(), done.stderr.encode())


def test_a_csv_becomes_a_line_per_row_in_order(tmp_path: Path) -> None:
    """Quoted line breaks and all, from a .gz, with another text column; at the end it says how many rows there were."""
    path = tmp_path / "rows.csv.gz"
    rows = "".join(f'{i},"好{"!" * (i % 40)}\n用"\n' for i in range(1500))
    path.write_bytes(gzip.compress(b"id,evaluation\n" + rows.encode() + "last,差\n".encode()))
    done = label(str(path), "--text-column", "evaluation", "--output", str(tmp_path / "out.jsonl"))
    assert done.returncode == 0, done.stderr.decode()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [line["id"] for line in lines] == [*map(str, range(1500)), "last"]
    assert b"streamer: 1,501 rows, 1,501 labelled\n" in done.stderr
    assert list(tmp_path.glob("*.partial")) == []


def test_rows_that_cannot_be_labelled_say_why_in_their_place(tmp_path: Path) -> None:
    """The first too; at the end they are counted by reason. One row that could be labelled is a success."""
    (tmp_path / "rows.jsonl").write_text('{"stars": 4}\n{"text": "great"}\n{"text": 7}\n{"text": "awful", "x": NaN}\n')
    done = label(str(tmp_path / "rows.jsonl"))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.get("label", line.get("error")) for line in lines] == [
        "text_missing",
        "positive",
        "text_not_a_string",
        "negative",
    ]
    assert done.returncode == 0
    assert b"streamer: 4 rows, 2 labelled, 1 text_missing, 1 text_not_a_string\n" in done.stderr


@pytest.mark.parametrize("content", ['{"body": "x"}\n{"body": "y"}\n', '{"text": 7}\n[1]\n'])
def test_a_file_of_which_no_row_is_labelled_is_an_error(tmp_path: Path, content: str) -> None:
    """Exit code 2, no output, and the reasons: the column may be the wrong one."""
    (tmp_path / "rows.jsonl").write_text(content)
    done = label(str(tmp_path / "rows.jsonl"), "--skip-bad-rows", "--output", str(tmp_path / "out.jsonl"))
    assert done.returncode == 2
    wanted = "2 text_missing" if "body" in content else "1 text_not_a_string, 1 bad row left out: 1 not a JSON object"
    assert f"rows.jsonl: no row could be labelled: {wanted}\n" in done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


DAMAGED = {
    "rows.csv": b"id,text\n1,great\n2,Great product, but it broke\n3,awful\n",
    "quote.csv": b'id,text\n1,great\n2,"Great phone\n3,awful\n',
    "escaped.csv": b'id,text\n1,great\n2,"The \\"pro\\" model"\n3,awful\n',
    "rows.tsv": b"id\ttext\n1\tgreat\n2\n3\tawful\n",
    "rows.jsonl": b'{"text": "great"}\n\n{"text": "good"},\n{"text": "awful"}\n',
    "gbk.csv": "id,text\n1,great\n2,质量很好\n3,awful\n".encode("gbk"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_ends_it_without_an_output(tmp_path: Path, name: str) -> None:
    """Exit code 2 and the line; left out by option, bad rows are counted at the end, and the rest is labelled."""
    (tmp_path / name).write_bytes(DAMAGED[name])
    done = label(str(tmp_path / name), "--output", str(tmp_path / "out.jsonl"))
    assert done.returncode == 2
    assert f"{name}, line 3: " in done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    done = label(str(tmp_path / name), "--skip-bad-rows", "--output", str(tmp_path / "out.jsonl"))
    assert done.returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [line["label"] for line in lines] == ["positive", "negative"]
    assert "streamer: 2 rows, 2 labelled, 1 bad row left out: 1 " in done.stderr.decode()


def test_a_file_that_is_cut_off_leaves_no_output(tmp_path: Path) -> None:
    """However many of its rows had been labelled."""
    rows = "id,text\n" + "".join(f"{number},很好 {number * 7919 % 1000}\n" for number in range(3000))
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(rows.encode())[:-900])
    done = label(str(tmp_path / "rows.csv.gz"), "--output", str(tmp_path / "out.jsonl"))
    assert done.returncode == 2
    assert "the gzip data end too early" in done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv.gz"]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("id;text\n1;好用\n", ["--delimiter", ";"]),
        ("sep=;\nid;text\n1;好用\n", []),
        ("1,好用\n", ["--no-header", "--text-column", "2"]),
        ("id,reviews.text\n1,好用\n", ["--text-column", "reviews.text"]),
        ('{"id": 1, "body": {"text": "好用"}}', ["--text-column", "body.text", "--format", "jsonl"]),
        ('[{"id": 1, "body.text": "好用", "body": {"text": 7}}]', ["--text-column", "body.text", "--format", "json"]),
        ('id,text\n1,"a \\"好用\\""\n', ["--escape", "\\"]),
        ('id,text\n1,"好用\n', ["--quote", "none"]),
        ("id\ttext\n1\t好用\n", ["--format", "tsv"]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_options_say_how_to_read_a_table(tmp_path: Path, content: str, options: list[str], encoding: str) -> None:
    """Where the file does not show it. The output is compressed by its name."""
    path, output = tmp_path / "rows.csv", tmp_path / "out.jsonl.gz"
    path.write_bytes(content.encode(encoding))
    done = label(str(path), *options, "--encoding", encoding, "--output", str(output))
    assert done.returncode == 0, done.stderr.decode()
    (line,) = gzip.decompress(output.read_bytes()).splitlines()
    assert json.loads(line)["label"] in ("positive", "uncertain")


def test_standard_input_is_jsonl() -> None:
    """One object per line, and the answer on standard output."""
    done = label("-", stdin=b'{"text": "This film is great"}\n\n{"text": "This film is terrible"}\n')
    assert done.returncode == 0, done.stderr.decode()
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["positive", "negative"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"id,body\n1,x\n", "rows.csv, line 1: no column 'text'; the columns are id, body"),
        ("rows.txt", b"x\n", "rows.txt: not named .csv"),
        ("rows.csv", b"PK\x03\x04\x1b[31m", "rows.csv: a zip that cannot be read"),
        ("missing.csv", None, "missing.csv: No such file or directory"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    """Exit code 2, and the columns that were found."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = label(str(tmp_path / name))
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()


@pytest.mark.parametrize("content", [b"", b"text\n"])
def test_a_file_without_rows_gives_an_empty_output(tmp_path: Path, content: bytes) -> None:
    """With or without a header."""
    (tmp_path / "rows.csv").write_bytes(content)
    done = label(str(tmp_path / "rows.csv"), "--output", str(tmp_path / "out"))
    assert (done.returncode, (tmp_path / "out").read_bytes()) == (0, b"")


def test_an_output_that_cannot_be_written_is_said() -> None:
    """A full disk: exit code 2 in a line, no traceback."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "-"], input=b'{"text": "x"}\n', stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=120
        )
    assert done.returncode == 2
    assert "the output cannot be written: No space left on device" in done.stderr.decode()


def test_a_slow_reader_loses_nothing(tmp_path: Path) -> None:
    """However long the other end of the pipe takes: the drain timeout is for signals."""
    rows = b"".join(b'{"text": "great %d"}\n' % i for i in range(3000))
    with subprocess.Popen(
        [*COMMAND, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT | {"STREAMER_PIPELINE__DRAIN_TIMEOUT_MS": "500"},
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(rows)
        process.stdin.close()
        first = process.stdout.readline()
        time.sleep(2)
        lines = [first, *process.stdout]
    assert (process.returncode, len(lines)) == (0, 3000)


def test_ctrl_c_ends_it_while_it_waits_for_input() -> None:
    """Standard input is open and nothing comes: one SIGINT is enough."""
    with subprocess.Popen(
        [sys.executable, "-c", _SAYS_WHEN_IT_WAITS, "label", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
