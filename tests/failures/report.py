"""Writes docs/reliability.md to standard output, from what the scenarios have shown.

python -m tests.failures.report DIR > docs/reliability.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from tests.failures.outcomes import Outcome, read

_HEAD = """# Reliability

What the failure suite has shown: each line is a test in `tests/failures/`, with faults injected from outside while
reviews keep coming. Written by:

    .venv/bin/pytest tests/failures --failures --reliability DIR
    .venv/bin/python -m tests.failures.report DIR > docs/reliability.md

Duplicated counts results beyond a review's first, and in brackets how many the test would have put up with: what was
published and not yet committed at the fault. Reordered counts first results that came after one of a later review of
their partition. Recovery is from the fault's end, or from the kill, until every partition has the result of a review
that was written after it.
"""


def report(outcomes: Sequence[Outcome]) -> str:
    """The whole page."""
    return "\n".join(_lines(outcomes)) + "\n"


def _lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield _HEAD
    for broker, cores in sorted({(outcome.broker, outcome.cores) for outcome in outcomes}):
        yield f"Measured on {broker}, with {cores} cores for brokers, workers and tests together.\n"
    yield from _total(outcomes)
    for kind, group in groupby(outcomes, key=lambda outcome: outcome.kind):
        yield f"\n## {kind.capitalize()}\n"
        yield "| scenario | mode | reviews | lost | duplicated | reordered | recovery | notes |"
        yield "|---|---|---:|---:|---:|---:|---:|---|"
        yield from (_row(outcome) for outcome in group)


def _total(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for mode in sorted({outcome.mode for outcome in outcomes}):
        of_mode = [outcome for outcome in outcomes if outcome.mode == mode]
        sent, lost, duplicated, reordered = (
            sum(values) for values in zip(*((o.sent, o.lost, o.duplicated, o.reordered) for o in of_mode), strict=True)
        )
        yield (
            f"`{mode}`: {len(of_mode)} scenarios, {sent:,} reviews, {lost} lost, {duplicated} duplicated, "
            f"{reordered} reordered."
        )


def _row(outcome: Outcome) -> str:
    recovery = "" if outcome.recovery_s is None else f"{outcome.recovery_s:.1f} s"
    repeated = f"{outcome.duplicated} ({outcome.allowed})" if outcome.allowed else f"{outcome.duplicated}"
    cells = (
        outcome.scenario,
        outcome.mode,
        f"{outcome.sent:,}",
        f"{outcome.lost}",
        repeated,
        f"{outcome.reordered}",
        recovery,
        outcome.notes.replace("|", "/"),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(report(read(Path(sys.argv[1]))))
