"""The table of a partition's transaction states, and what its transitions allow."""

from __future__ import annotations

import pytest

from streamer.kafka.transaction_state import (
    TRANSITIONS,
    Broken,
    Closed,
    Committing,
    Idle,
    Lost,
    Open,
    Recovering,
    Release,
    State,
    Transaction,
    transition,
)

TRANSACTION = Transaction(0.0)
STATES: dict[type[State], State] = {
    Idle: Idle(),
    Open: Open(TRANSACTION),
    Committing: Committing(TRANSACTION),
    Broken: Broken(TRANSACTION, RuntimeError()),
    Recovering: Recovering(TRANSACTION),
    Lost: Lost(0.0),
    Closed: Closed(),
}
ALLOWED = [
    (Idle, Open),
    (Open, Committing),
    (Open, Broken),
    (Committing, Idle),
    (Committing, Broken),
    (Broken, Recovering),
    (Recovering, Idle),
    (Recovering, Open),
    (Recovering, Lost),
    (Recovering, Broken),
]


@pytest.mark.parametrize("current", STATES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("new", STATES, ids=lambda kind: kind.__name__)
def test_exactly_the_transitions_of_the_table_are_allowed(current: type[State], new: type[State]) -> None:
    """Every state but Closed can be closed; any other transition that is not in the table is a bug, and says so."""
    allowed = (current, new) in ALLOWED or (new is Closed and current is not Closed)
    if allowed:
        assert transition(STATES[current], STATES[new]) is STATES[new]
    else:
        with pytest.raises(RuntimeError, match=f"{current.__name__} -> {new.__name__}"):
            transition(STATES[current], STATES[new])


def test_nothing_is_committed_without_an_open_transaction() -> None:
    """Idle comes only after a commit, or after recovery has found one; a lost or closed partition commits nothing."""
    assert {state for state, targets in TRANSITIONS.items() if Idle in targets} == {Committing, Recovering}
    assert {state for state, targets in TRANSITIONS.items() if Committing in targets} == {Open}
    assert TRANSITIONS[Lost] == {Closed}
    assert TRANSITIONS[Closed] == frozenset()


def test_a_broken_transaction_is_only_recovered() -> None:
    """Never continued: its id is initialised again first."""
    assert TRANSITIONS[Broken] == {Recovering, Closed}


def test_a_transaction_commits_the_offset_of_its_last_release() -> None:
    """Without any release the committed offset stays."""
    assert Transaction(0.0).next_offset(7) == 7
    assert Transaction(0.0, [Release(8, []), Release(12, [])]).next_offset(7) == 12
