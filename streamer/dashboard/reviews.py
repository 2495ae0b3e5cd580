"""What a page shows of an output event, and which of them a person asked for. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from streamer.events import Record
from streamer.moderation.decisions import text_of

LABELS = ("negative", "uncertain", "positive")

_TEXT = 4000  # Characters of a review that are sent to a browser.
_SHORT = 200  # Of anything else that a stranger wrote.
_EVIDENCE = 64


class ReviewView(NamedTuple):
    """An output event, cut to what a page has room for.

    id: `<topic>/<partition>/<offset>` of the source record, `name` what its author called it. at: event time, RFC
    3339. seen: when the event was published, in milliseconds. text: None where the event does not carry its input.
    """

    id: str
    label: str
    score: float
    group: str | None
    at: str | None
    seen: int
    text: str | None
    evidence: tuple[tuple[str, float], ...]
    action: str | None
    rule: str | None
    name: str | None
    model: Any
    source: Any

    def as_json(self) -> dict[str, Any]:
        """For a page; `source` and `model` are for verdicts only."""
        fields = self._asdict()
        del fields["source"], fields["model"]
        return fields


def item(record: Record, text_field: str) -> ReviewView | None:
    """Read an output or review event; None for a tombstone and for what is none of ours."""
    try:
        event: dict[str, Any] = orjson.loads(record.value or b"null")
        source = {name: event["source"][name] for name in ("topic", "partition", "offset")}
        weights = [(str(w["token"])[:_SHORT], float(w["weight"])) for w in event.get("evidence", ())[:_EVIDENCE]]
        label = str(event["label"])
        if label not in LABELS:
            return None
        return ReviewView(
            id=f"{source['topic']}/{source['partition']}/{source['offset']}",
            label=label,
            score=float(event["score"]),
            group=_short(event.get("group")),
            at=_short(event.get("event_time")),
            seen=record.timestamp,
            text=text[:_TEXT] if (text := text_of(event, text_field)) is not None else None,
            evidence=tuple(weights),
            action=_short(event.get("action")),
            rule=_short(event.get("rule")),
            name=_short(event.get("id")),
            model=event.get("model"),
            source=source,
        )
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None


def _short(value: object) -> str | None:
    return None if value is None else str(value)[:_SHORT]


class ReviewFilter(NamedTuple):
    """Which events a person wants to see; what is None or empty does not matter."""

    label: str | None = None
    group: str | None = None
    text: str = ""

    def has(self, item: ReviewView) -> bool:
        """Whether the event is one of them; the text is looked for whatever its case."""
        if self.label is not None and item.label != self.label:
            return False
        if self.group is not None and item.group != self.group:
            return False
        if not self.text:
            return True
        wanted = self.text.casefold()
        spoken = item.text if item.text is not None else " ".join(token for token, _ in item.evidence)
        return wanted in spoken.casefold() or wanted in (item.name or "").casefold() or wanted in item.id
