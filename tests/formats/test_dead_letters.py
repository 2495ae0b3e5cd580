"""A dead letter is the record untouched, and too many of them are noticed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.events import DeadLetter, Headers, Outcome, Reason
from streamer.formats.dead_letters import DeadLetterLimit, original
from tests.formats.samples import NOW, encoder, header_lists, record


@settings(deadline=None)
@given(st.none() | st.binary(max_size=20), st.none() | st.binary(max_size=20), header_lists)
def test_a_dead_letter_is_the_record_untouched(key: bytes | None, value: bytes | None, headers: Headers) -> None:
    """Key, value and headers are there byte for byte, and a replay finds the headers again."""
    came = record(value, headers, key=key)
    outgoing = encoder().dead_letter(DeadLetter(came, Reason.NOT_JSON, "line 1 column 2"), NOW)
    message = outgoing.message
    assert (outgoing.outcome, outgoing.reason) == (Outcome.DEAD_LETTER, Reason.NOT_JSON)
    assert (message.topic, message.key, message.value, message.timestamp) == ("reviews.dlq", key, value, NOW)
    assert message.headers == (
        *headers,
        ("dlq.reason", b"not_json"),
        ("dlq.detail", b"line 1 column 2"),
        ("dlq.topic", b"reviews"),
        ("dlq.partition", b"2"),
        ("dlq.offset", b"41"),
        ("dlq.timestamp", b"1700000000123"),
        ("dlq.group", b"group"),
    )
    assert original(message.headers) == headers


def test_the_detail_is_printable() -> None:
    """Whatever name or value of ours or from outside it quotes, and no longer than a line."""
    letter = DeadLetter(record(b"{}"), Reason.TEXT_MISSING, "no field 'a\x1b[2J\n\u202e\udce9" + "x" * 1000)
    detail = dict(encoder().dead_letter(letter, NOW).message.headers)["dlq.detail"]
    assert detail is not None
    assert detail.decode().startswith("no field 'a\\x1b[2J\\n\\u202e\\xe9xxx")
    assert len(detail) < 600


def observed(limit: DeadLetterLimit, outcomes: str) -> list[bool]:
    """Whether the limit was exceeded at each record; x is an invalid one."""
    return [limit.observe(Reason.NOT_JSON if outcome == "x" else None) for outcome in outcomes]


def test_a_share_above_the_ratio_is_too_many() -> None:
    """Of the last few records; just the ratio is not above it."""
    assert observed(DeadLetterLimit(0.5, 4), "x.x..xxx") == [False] * 7 + [True]


def test_no_share_is_too_many_before_the_window_is_full() -> None:
    """One invalid record at the start says nothing."""
    assert observed(DeadLetterLimit(0.5, 4), "xxxx") == [False, False, False, True]


def test_a_stream_recovers() -> None:
    """Old records leave the window."""
    assert observed(DeadLetterLimit(0.5, 2), "xx..x") == [False, True, False, False, False]


def test_the_reasons_are_those_of_the_window() -> None:
    """The most frequent first, with their counts; what has left the window is not among them."""
    limit = DeadLetterLimit(0.5, 4)
    for reason in (Reason.NOT_UTF8, None, Reason.TEXT_MISSING, Reason.NOT_JSON, Reason.NOT_JSON):
        limit.observe(reason)
    assert limit.reasons() == [(Reason.NOT_JSON, 2), (Reason.TEXT_MISSING, 1)]


def test_a_ratio_of_one_never_stops() -> None:
    """Not even when all are invalid."""
    assert not any(observed(DeadLetterLimit(1.0, 2), "xxxxxx"))


@settings(deadline=None)
@given(st.floats(0.05, 0.99), st.integers(1, 8), st.lists(st.booleans(), max_size=40))
def test_the_limit_is_the_share_of_the_last_window(ratio: float, window: int, outcomes: Sequence[bool]) -> None:
    """Counted from scratch for each record, it is the same."""
    limit, latest = DeadLetterLimit(ratio, window), deque[bool](maxlen=window)
    for outcome in outcomes:
        latest.append(outcome)
        assert limit.observe(Reason.TEXT_MISSING if outcome else None) == (
            len(latest) == window and sum(latest) > ratio * window
        )
