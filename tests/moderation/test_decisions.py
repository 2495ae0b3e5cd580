"""Verdicts: what a person decides comes back as it was written, and what is none is refused by its field."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streamer.events import Message
from streamer.formats.result import text_of
from streamer.moderation.decisions import DecisionError, decision_on, decode, encode, encode_undo, key_of

EVENT: dict[str, Any] = {
    "id": "r1",
    "label": "negative",
    "score": 0.04,
    "group": "p7",
    "model": {"name": "m", "version": "1.0.0"},
    "source": {"topic": "reviews", "partition": 3, "offset": 41},
    "action": "block",
    "rule": "abuse",
    "input": {"id": "r1", "body": {"text": "傻"}},
}
AT = 1_764_000_000_250


def test_a_verdict_comes_back_as_it_was_written() -> None:
    """With the person's label and the text, where they were given."""
    decision = decision_on(EVENT, "allow", "ann", AT, "positive", text_of(EVENT["input"], "body.text"))
    message = encode("out", decision, AT)
    assert decode(message.value or b"") == {
        "action": "allow",
        "label": "positive",
        "by": "ann",
        "at": "2025-11-24T16:00:00.250Z",
        "source": EVENT["source"],
        "group": "p7",
        "event": {"label": "negative", "score": 0.04, "model": EVENT["model"], "rule": "abuse"},
        "text": "傻",
    }


def test_a_verdict_holds_no_text_unless_it_is_given() -> None:
    """Nor a label; and a review that no rule matched has no rule."""
    event = {name: value for name, value in EVENT.items() if name != "rule"}
    decision = decode(encode("out", decision_on(event, "block", "ann", AT), AT).value or b"")
    assert "text" not in decision and "label" not in decision
    assert decision["event"]["rule"] is None


def test_a_verdict_and_its_undoing_have_the_review_as_their_key() -> None:
    """So that the newest counts, and compaction keeps it alone."""
    written = encode("out", decision_on(EVENT, "block", "ann", AT), AT)
    undone = encode_undo("out", EVENT["source"], AT + 5)
    assert written.key == undone.key == key_of(EVENT["source"]) == b"reviews/3/41"
    assert (undone.topic, undone.value, undone.timestamp) == ("out", None, AT + 5)


def test_its_headers_are_a_cloudevent_s() -> None:
    """Each verdict on a review is an event of its own."""

    def headers(message: Message) -> dict[str, bytes | None]:
        return dict(message.headers)

    first, second = (headers(encode("out", decision_on(EVENT, "block", "ann", at), at)) for at in (AT, AT + 1))
    assert first["ce_type"] == b"review.moderation.verdict.v1"
    assert (first["ce_subject"], first["ce_time"]) == (b"reviews/3/41", b"2025-11-24T16:00:00.250Z")
    assert first["ce_id"] != second["ce_id"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"action": "review"}, "action"),
        ({"label": "uncertain"}, "label"),
        ({"by": ""}, "by"),
        ({"at": 5}, "at"),
        ({"source": {"topic": "t", "partition": 0}}, "source.offset"),
        ({"event": {**EVENT["model"]}}, "event.label"),
        ({"text": ["SECRET"]}, "text"),
        ({"more": "SECRET"}, "more"),
    ],
)
def test_what_is_no_verdict_is_refused_by_its_field(change: dict[str, Any], field: str) -> None:
    """And the message quotes nothing of it."""
    value = orjson.dumps({**decision_on(EVENT, "block", "ann", AT), **change})
    with pytest.raises(DecisionError, match=rf"^{field}: ") as refused:
        decode(value)
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("value", [b"", b"null", b"[]", b"SECRET", b'{"a":SECRET', b"\xff"])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    """Whatever it is."""
    with pytest.raises(DecisionError) as refused:
        decode(value)
    assert "SECRET" not in str(refused.value)


def test_there_is_no_verdict_on_what_is_no_event() -> None:
    """Nor one by nobody."""
    with pytest.raises(DecisionError, match=r"^source: "):
        decision_on({name: value for name, value in EVENT.items() if name != "source"}, "block", "ann", AT)
    with pytest.raises(DecisionError, match=r"^by: "):
        decision_on(EVENT, "block", "", AT)
