"""What a page shows of an output event, and which of them a person asked for. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from streamer.events import Record
from streamer.formats.result import read_result, text_of
from streamer.formats.schema import ModelName, SourcePosition

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
    model: ModelName | None
    source: SourcePosition

    def as_json(self) -> dict[str, Any]:
        """For a page; `source` and `model` are for verdicts only."""
        fields = self._asdict()
        del fields["source"], fields["model"]
        return fields


def item(record: Record, text_field: str) -> ReviewView | None:
    """Read an output or review event; None for a tombstone and for anything not ours."""
    event = read_result(record.value)
    if event is None or event.label not in LABELS:
        return None
    return ReviewView(
        id=event.identity,
        label=event.label,
        score=event.score,
        group=_short(event.group),
        at=_short(event.event_time),
        seen=record.timestamp,
        text=text[:_TEXT] if (text := text_of(event.input, text_field)) is not None else None,
        evidence=tuple((token[:_SHORT], weight) for token, weight in event.evidence[:_EVIDENCE]),
        action=_short(event.action),
        rule=_short(event.rule),
        name=_short(event.id),
        model=event.model,
        source=event.source,
    )


def _short(value: str | None) -> str | None:
    return None if value is None else value[:_SHORT]


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
