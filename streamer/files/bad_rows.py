"""Rows that cannot be used: an error or, if they are to be skipped, a count by kind."""

from __future__ import annotations

import logging
from collections import Counter

from streamer.files.errors import FileError
from streamer.printable import shown_path

logger = logging.getLogger(__name__)

_MAX_LOGGED = 5  # The first rows that are left out are logged one by one.


class BadRows:
    """The bad rows of a table."""

    def __init__(self, name: str, *, skip: bool, unit: str = "line") -> None:
        """name: of the file. unit: what the rows' numbers count."""
        self.name = name
        self.skip = skip
        self.unit = unit
        self.counts: Counter[str] = Counter()
        self._is_summed_up = False

    def found(self, kind: str, line: int, what: str | None = None) -> None:
        """Count a bad row. Raises FileError if bad rows are not to be skipped.

        kind: the same for all rows with this fault. line: where the row begins. what: the fault in this row, printable.
        """
        error = FileError(what or kind, self.name, line)
        if self.unit != "line":
            error = FileError(f"{self.unit} {line}: {what or kind}", self.name)
        if not self.skip:
            raise error
        if self.counts.total() < _MAX_LOGGED:
            logger.warning("%s; the row is left out", error)
        self.counts[kind] += 1

    def summary(self) -> str:
        """How many rows were left out, by kind; empty if there were none."""
        self._is_summed_up = True
        if not self.counts:
            return ""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.most_common())
        return f"{row_count(self.counts.total(), 'bad row')} left out: {kinds}"

    def log_summary(self) -> None:
        """Log the summary if any row was left out, unless somebody else has shown it."""
        if self.counts and not self._is_summed_up:
            logger.warning("%s: %s", shown_path(self.name), self.summary())


def row_count(count: int, row: str = "row") -> str:
    """A number of rows, in words."""
    return f"{count:,} {row}{'' if count == 1 else 's'}"
