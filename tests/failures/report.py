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

What the failure suite has shown. Each line is a test in `tests/failures/`: workers label reviews that keep coming from
a cluster of three brokers, a fault is injected from outside, and at the end all that came out is held against all that
went in. Written by:

    .venv/bin/pytest tests/failures --failures --reliability runs/failures
    .venv/bin/python -m tests.failures.report runs/failures > docs/reliability.md
"""

_LEGEND = """
- *Sent* are the reviews written to the input while it lasted.
- *Lost* are those without a result or a dead letter: must be 0.
- *Duplicated* are results beyond a review's first. In brackets, what `at_least_once` may repeat: published, and not yet
  committed at the fault. `exactly_once` may repeat nothing.
- *Reordered* are first results that came after that of a later review of their partition: must be 0.
- *Recovery* is from the end of the fault, or from the kill, until every partition has the result of a review that was
  written after it. The timeouts that the tests set are in it: 10 s until a dead worker is missed, 3 s for a broker.

A test also fails where an offset was committed past a review without a result, where a partition had two owners at a
time, where offsets were not committed to the end, or where a worker ended by itself other than as it should.

**Recovery times are upper bounds.** Brokers, workers and the test itself shared the cores with other work, so that some
took ten times as long as on a machine of one's own; counts do not depend on that. Measured on
"""


def report(outcomes: Sequence[Outcome]) -> str:
    """The whole page."""
    return "\n".join(_lines(outcomes)) + "\n"


def _lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield _HEAD
    yield from _total(outcomes)
    yield _LEGEND
    for broker, cores in sorted({(outcome.broker, outcome.cores) for outcome in outcomes}):
        yield f"- {broker}; {cores} cores for brokers, workers and tests together"
    for kind, group in groupby(outcomes, key=lambda outcome: outcome.kind):
        yield f"\n## {kind.capitalize()}\n"
        yield "| scenario | mode | sent | lost | duplicated | reordered | recovery | notes |"
        yield "|---|---|---:|---:|---:|---:|---:|---|"
        yield from (_row(outcome) for outcome in group)


def _total(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "| mode | scenarios | sent | lost | duplicated | reordered |"
    yield "|---|---:|---:|---:|---:|---:|"
    for mode in sorted({outcome.mode for outcome in outcomes}):
        of_mode = [outcome for outcome in outcomes if outcome.mode == mode]
        sent, lost, duplicated, reordered = (
            sum(values) for values in zip(*((o.sent, o.lost, o.duplicated, o.reordered) for o in of_mode), strict=True)
        )
        yield f"| `{mode}` | {len(of_mode)} | {sent:,} | {lost} | {duplicated:,} | {reordered} |"


def _row(outcome: Outcome) -> str:
    recovery = "" if outcome.recovery_s is None else f"{outcome.recovery_s:.1f} s"
    repeated = f"{outcome.duplicated} ({outcome.allowed})" if outcome.allowed else f"{outcome.duplicated}"
    cells = (
        outcome.scenario,
        f"`{outcome.mode}`",
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
