"""`streamer demo` as a newcomer runs it: it starts a broker, labels, sums up, and ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamer.demo.samples import samples

COMMAND = [sys.executable, "-m", "streamer", "demo"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}


def test_the_samples_are_as_varied_as_promised() -> None:
    """At least 200, of every kind at least ten, in both languages, each with what its author says of it."""
    reviews = samples()
    kinds = [sample["kind"] for sample in reviews]
    assert len({sample["text"] for sample in reviews}) == len(reviews) >= 200
    assert {"mixed", "ironic", "negated", "very_short", "very_long", "emoji", "traditional"} <= set(kinds)
    assert min(kinds.count(kind) for kind in kinds) >= 10
    assert {sample["language"] for sample in reviews} == {"zh", "en", "mixed"}
    assert {sample["expected"] for sample in reviews} == {"positive", "negative", "uncertain"}


def test_it_labels_the_samples_and_ends() -> None:
    """All of them, with a summary; most labels are what the samples' authors say."""
    done = subprocess.run([*COMMAND, "--rows", "5"], capture_output=True, env=ENVIRONMENT, timeout=120)
    shown = done.stdout.decode()
    assert done.returncode == 0, shown + done.stderr.decode()
    assert len(re.findall(r"^(positive|negative|uncertain) +[01]\.\d{3} ", shown, re.MULTILINE)) == 5
    assert re.search(r"^labelled +260: ", shown, re.MULTILINE)
    agreed, certain = map(int, re.search(r"(\d+) of (\d+) labels", shown).groups())  # type: ignore[union-attr]  # Or it fails.
    assert agreed / certain > 0.7
    for figure in ("throughput", "latency", "padding efficiency"):
        assert re.search(rf"^{figure} +\d", shown, re.MULTILINE)


def test_it_labels_a_file_of_ones_own(tmp_path: Path) -> None:
    """More rows than it lets be ahead; one without a text is a dead letter, a damaged one is left out on request.

    It says what could not be used of those that it labels.
    """
    path = tmp_path / "own.jsonl"
    odd = b'{"comment": "great value", "event_time": "soon"}\n'
    path.write_bytes(b'{"stars": 4}\n' + b'{"comment": "great value"}\n' * 2999 + odd + b"\xff\xff\n")
    arguments = ["--input", str(path), "--text-column", "comment", "--rows", "0", "--skip-bad-rows"]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, env=ENVIRONMENT, timeout=120)
    shown = done.stdout.decode()
    assert done.returncode == 0, shown + done.stderr.decode()
    assert re.search(r"^labelled +3000: 3000 positive", shown, re.MULTILINE)
    assert re.search(r"^dead letters +1,", shown, re.MULTILINE)
    assert re.search(r"^stand-ins +1 with event_time unreadable *$", shown, re.MULTILINE)
    assert b"1 bad row left out: 1 not in UTF-8" in done.stderr


@pytest.mark.parametrize("content", ["review\na\n", "comment\na\n,b\n", "", None])
def test_a_file_that_cannot_be_used_ends_it(tmp_path: Path, content: str | None) -> None:
    """With exit code 2, before a model is loaded if its beginning is wrong. A file without rows is no error."""
    path = tmp_path / "own.csv"
    if content is not None:
        path.write_text(content)
    arguments = ["--input", str(path), "--text-column", "comment"]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == (0 if content == "" else 2), done.stdout + done.stderr
    assert (b"own.csv" in done.stderr) == (content != "")
    assert b"Traceback" not in done.stderr


def test_kept_it_goes_on_until_ctrl_c() -> None:
    """It says how to produce more, and one SIGINT ends it with 0."""
    with subprocess.Popen([*COMMAND, "--keep", "--rows", "1"], stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        while b"streamer produce FILE" not in (line := process.stdout.readline()):
            assert line, "it ended by itself"
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert b"labelled" in process.stdout.read()
    assert process.returncode == 0
