"""The progress of a long command, without a terminal."""

from __future__ import annotations

import pytest

from streamer.observe import progress_bar as module
from streamer.observe.progress_bar import progress_bar


def test_the_end_is_a_line_with_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, since standard output may be the result; before it, no line in less than five seconds."""
    with progress_bar("rows", None) as advance:
        advance(3)
        advance(4)
        assert capsys.readouterr().err == ""
    shown = capsys.readouterr()
    assert (shown.out, shown.err.startswith("7 rows, ")) == ("", True)


def test_a_long_command_shows_lines_meanwhile(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is done so far."""
    monkeypatch.setattr(module, "_LINE_SECONDS", 0.0)
    with progress_bar("rows", 10) as advance:
        advance(3)
        assert capsys.readouterr().err.startswith("3 rows, ")


def test_an_error_does_not_hide_the_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """The line at the end says how far it came."""
    with pytest.raises(ValueError, match="why"), progress_bar("rows", None) as advance:
        advance(2)
        raise ValueError("why")
    assert capsys.readouterr().err.startswith("2 rows, ")
