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


def label(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """In a process of its own where it reads standard input, else in this one."""
    if stdin:
        return subprocess.run([*COMMAND, *arguments], input=stdin, capture_output=True, env=ENVIRONMENT, timeout=120)
    done = streamer("label", *arguments)
    return subprocess.CompletedProcess(arguments, done.code, done.stdout.encode(), done.stderr.encode())


def test_a_csv_becomes_a_line_per_row_in_order(tmp_path: Path) -> None:
    """Quoted line breaks and all, from a .gz, with another text column; the bad row says why in its place."""
    path = tmp_path / "rows.csv.gz"
    rows = "".join(f'{i},"好{"!" * (i % 40)}\n用"\n' for i in range(1500))
    path.write_bytes(gzip.compress(b"id,evaluation\n" + rows.encode() + b"bad,\xff\xfe\n" + "last,差\n".encode()))
    done = label(str(path), "--text-column", "evaluation", "--output", str(tmp_path / "out.jsonl"))
    assert done.returncode == 0, done.stderr.decode()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [line.get("id") for line in lines] == [*map(str, range(1500)), None, "last"]
    assert (lines[1500]["error"], lines[1500]["row"]) == ("not_utf8", 1500)
    assert list(tmp_path.glob("*.partial")) == []


def test_standard_input_is_jsonl() -> None:
    """One object per line, and the answer on standard output."""
    done = label("-", stdin=b'{"text": "This film is great"}\n\n{"text": "This film is terrible"}\n')
    assert done.returncode == 0, done.stderr.decode()
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["positive", "negative"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"id,body\n1,x\n", "no text column 'text'; the columns are id, body"),
        ("rows.jsonl", b'{"id": 1, "body": "x"}\n', "no text column 'text'; the columns are id, body"),
        ("rows.txt", b"x\n", "not a .csv or .jsonl file"),
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
        [*COMMAND, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT
    ) as process:
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
