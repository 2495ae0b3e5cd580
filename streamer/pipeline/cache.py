"""Verdicts kept for texts that come again: real streams repeat themselves."""

from __future__ import annotations

from collections import OrderedDict

from streamer.events import Verdict
from streamer.text import Encoded


class VerdictCache:
    """At most `entries` verdicts; the one not asked for the longest goes first."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._verdicts: OrderedDict[Encoded, Verdict] = OrderedDict()

    def __len__(self) -> int:
        return len(self._verdicts)

    def get(self, encoded: Encoded) -> Verdict | None:
        """What was said of the same tokens before."""
        verdict = self._verdicts.get(encoded)
        if verdict is not None:
            self._verdicts.move_to_end(encoded)
        return verdict

    def put(self, encoded: Encoded, verdict: Verdict) -> None:
        """Keep a verdict, letting go of the oldest where there is no room."""
        if not self._entries:
            return
        self._verdicts[encoded] = verdict
        if len(self._verdicts) > self._entries:
            self._verdicts.popitem(last=False)
