"""Order and offsets, whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamer.events import TopicPartition
from streamer.pipeline.sequencer import OffsetRegression, Release, Sequencer, Ticket

PARTITIONS = [TopicPartition("reviews", number) for number in range(3)]
ONE, OTHER, _ = PARTITIONS
partitions = st.sampled_from(PARTITIONS)


@dataclass
class Assignment:
    """What the model knows of a partition since it was assigned."""

    generation: int
    admitted: list[int] = field(default_factory=list)
    completed: set[int] = field(default_factory=set)
    released: list[int] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    in_the_air: list[Release[tuple[TopicPartition, int]]] = field(default_factory=list)
    committed: int | None = None


class Interleaving(RuleBasedStateMachine):
    """Records of several partitions with gaps in their offsets; assignments come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.sequencer: Sequencer[tuple[TopicPartition, int]] = Sequencer()
        self.known: dict[TopicPartition, Assignment] = {}
        self.tickets: list[Ticket] = []
        self.stale_tickets: list[Ticket] = []
        self.stale_releases: list[Release[tuple[TopicPartition, int]]] = []

    @initialize()
    def begin(self) -> None:
        self.assign([ONE, OTHER])

    @rule(chosen=st.lists(partitions, unique=True))
    def assign(self, chosen: list[TopicPartition]) -> None:
        self.forget(chosen)
        generation = self.sequencer.assign(chosen)
        for partition in chosen:
            self.known[partition] = Assignment(generation)
            assert self.sequencer.generation(partition) == generation

    @rule(chosen=st.lists(partitions, unique=True, max_size=2))
    def revoke(self, chosen: list[TopicPartition]) -> None:
        self.forget(chosen)
        self.sequencer.revoke(chosen)

    def forget(self, chosen: list[TopicPartition]) -> None:
        for partition in chosen:
            state = self.known.pop(partition, None)
            self.stale_releases += state.in_the_air if state else []
        self.stale_tickets += [ticket for ticket in self.tickets if ticket.partition in chosen]
        self.tickets = [ticket for ticket in self.tickets if ticket.partition not in chosen]

    @rule(partition=partitions, gap=st.integers(1, 3), count=st.integers(1, 5))
    def admit(self, partition: TopicPartition, gap: int, count: int) -> None:
        state = self.known.get(partition)
        for _ in range(count):
            if state is None:
                assert self.sequencer.admit(partition, 0) is None
                continue
            offset = (state.admitted[-1] if state.admitted else -1) + gap
            ticket = self.sequencer.admit(partition, offset)
            assert ticket == Ticket(partition, state.generation, offset)
            state.admitted.append(offset)
            self.tickets.append(ticket)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), count=st.integers(1, 4))
    def complete(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.tickets))):
            ticket = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
            assert self.sequencer.complete(ticket, (ticket.partition, ticket.offset))
            self.known[ticket.partition].completed.add(ticket.offset)

    @precondition(lambda self: self.stale_tickets)
    @rule()
    def complete_late(self) -> None:
        """What was given up is finished after all: it must leave no trace."""
        ticket = self.stale_tickets.pop()
        assert not self.sequencer.complete(ticket, (ticket.partition, -1))

    @rule(partition=partitions, limit=st.integers(1, 4))
    def release(self, partition: TopicPartition, limit: int) -> None:
        release = self.sequencer.release(partition, limit)
        state = self.known.get(partition)
        if state is None:
            assert release is None
            return
        waiting = state.admitted[len(state.released) :]
        ready = []
        for offset in waiting[:limit]:
            if offset not in state.completed:
                break
            ready.append(offset)
        if not ready:
            assert release is None
            return
        assert release == Release(partition, state.generation, [(partition, at) for at in ready], ready[-1] + 1)
        state.released += ready
        state.in_the_air.append(release)

    @rule(partition=partitions, data=st.data())
    def acknowledge(self, partition: TopicPartition, data: st.DataObject) -> None:
        state = self.known.get(partition)
        if state is not None and state.in_the_air:
            release = state.in_the_air.pop(data.draw(st.integers(0, len(state.in_the_air) - 1)))
            self.sequencer.acknowledge(release)
            state.acknowledged |= {offset for _, offset in release.results}

    @precondition(lambda self: self.stale_releases)
    @rule()
    def acknowledge_late(self) -> None:
        before = self.sequencer.positions()
        self.sequencer.acknowledge(self.stale_releases.pop())
        assert self.sequencer.positions() == before

    @rule()
    def commit(self) -> None:
        positions = self.sequencer.positions()
        self.sequencer.committed(positions)
        for partition, position in positions.items():
            self.known[partition].committed = position
        assert self.sequencer.positions() == {}

    @invariant()
    def the_position_is_the_first_offset_not_acknowledged(self) -> None:
        """Never past a record that is incomplete or unacknowledged, and never short of what is safe."""
        expected = {}
        for partition, state in self.known.items():
            position = None
            for offset in state.admitted:
                if offset not in state.acknowledged:
                    break
                position = offset + 1
            if position is not None and position != state.committed:
                expected[partition] = position
        positions = self.sequencer.positions()
        # A release is acknowledged as a whole, so in the middle of one there is no position.
        assert positions == expected

    @invariant()
    def what_is_unfinished_is_counted(self) -> None:
        assert self.sequencer.assigned == set(self.known)
        for partition, state in self.known.items():
            unfinished = len(state.admitted) - len(state.released)
            releases = self.sequencer.unfinished([partition]) - unfinished
            # Those acknowledged before an earlier one still count: their turn has not come.
            assert releases >= len(state.in_the_air)
            assert (releases == 0) == (not state.in_the_air)

    def teardown(self) -> None:
        """In the end everything can be released and committed, each record once and in order."""
        for ticket in self.tickets:
            self.sequencer.complete(ticket, (ticket.partition, ticket.offset))
        for partition, state in self.known.items():
            for release in state.in_the_air:
                self.sequencer.acknowledge(release)
            while (release_ := self.sequencer.release(partition, 3)) is not None:
                state.released += [offset for _, offset in release_.results]
                self.sequencer.acknowledge(release_)
            assert state.released == state.admitted
        assert self.sequencer.unfinished(self.known) == 0
        ends = {partition: state.admitted[-1] + 1 for partition, state in self.known.items() if state.admitted}
        left = {partition: end for partition, end in ends.items() if end != self.known[partition].committed}
        assert self.sequencer.positions() == left


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def admitted(sequencer: Sequencer[str], partition: TopicPartition, offset: int) -> Ticket:
    ticket = sequencer.admit(partition, offset)
    assert ticket is not None
    return ticket


def released(sequencer: Sequencer[str], partition: TopicPartition, limit: int = 10) -> Release[str]:
    release = sequencer.release(partition, limit)
    assert release is not None
    return release


@pytest.mark.parametrize("offset", [5, 4, 0])
def test_an_offset_that_is_not_above_the_last_is_a_bug(offset: int) -> None:
    """The reader went back without a new assignment."""
    sequencer: Sequencer[str] = Sequencer()
    sequencer.assign([ONE])
    admitted(sequencer, ONE, 5)
    with pytest.raises(OffsetRegression, match=f"went back from offset 5 to {offset}"):
        sequencer.admit(ONE, offset)


def test_a_new_assignment_may_begin_anywhere() -> None:
    """Below what was read before, for example, when the group's offsets are older."""
    sequencer: Sequencer[str] = Sequencer()
    sequencer.assign([ONE])
    admitted(sequencer, ONE, 5)
    sequencer.revoke([ONE])
    sequencer.assign([ONE])
    assert admitted(sequencer, ONE, 2).offset == 2


def test_results_wait_for_the_record_before_them() -> None:
    """Only the head of the line is released, up to the limit, over gaps."""
    sequencer: Sequencer[str] = Sequencer()
    sequencer.assign([ONE])
    tickets = {offset: admitted(sequencer, ONE, offset) for offset in (3, 4, 7, 9)}
    sequencer.complete(tickets[4], "four")
    sequencer.complete(tickets[9], "nine")
    assert sequencer.release(ONE, 10) is None
    sequencer.complete(tickets[3], "three")
    assert released(sequencer, ONE, 1).results == ["three"]
    assert released(sequencer, ONE).results == ["four"]
    sequencer.complete(tickets[7], "seven")
    last = released(sequencer, ONE)
    assert (last.results, last.next_offset) == (["seven", "nine"], 10)


def test_a_position_waits_for_the_release_before_it() -> None:
    """Acknowledgements may overtake each other; positions may not."""
    sequencer: Sequencer[str] = Sequencer()
    sequencer.assign([ONE])
    first, second = (admitted(sequencer, ONE, offset) for offset in (0, 1))
    sequencer.complete(first, "a")
    one = released(sequencer, ONE)
    sequencer.complete(second, "b")
    two = released(sequencer, ONE)
    sequencer.acknowledge(two)
    assert sequencer.positions() == {}
    sequencer.acknowledge(one)
    assert sequencer.positions() == {ONE: 2}


def test_a_late_acknowledgement_does_not_count_for_the_same_records_read_again() -> None:
    """They were given up and assigned anew, and are on their way a second time."""
    sequencer: Sequencer[str] = Sequencer()
    releases = []
    for _ in range(2):
        sequencer.assign([ONE])
        sequencer.complete(admitted(sequencer, ONE, 0), "a")
        releases.append(released(sequencer, ONE))
    sequencer.acknowledge(releases[0])
    assert sequencer.positions() == {}
    sequencer.acknowledge(releases[1])
    assert sequencer.positions() == {ONE: 1}


def test_partitions_do_not_wait_for_each_other() -> None:
    """An incomplete record holds up its own partition only."""
    sequencer: Sequencer[str] = Sequencer()
    sequencer.assign([ONE, OTHER])
    admitted(sequencer, ONE, 0)
    sequencer.complete(admitted(sequencer, OTHER, 0), "other")
    assert sequencer.release(ONE, 10) is None
    sequencer.acknowledge(released(sequencer, OTHER))
    assert sequencer.positions() == {OTHER: 1}


def test_a_position_is_committed_once() -> None:
    """And a failed commit leaves it to be committed again."""
    sequencer: Sequencer[str] = Sequencer()
    sequencer.assign([ONE])
    sequencer.complete(admitted(sequencer, ONE, 0), "a")
    sequencer.acknowledge(released(sequencer, ONE))
    assert sequencer.positions() == sequencer.positions() == {ONE: 1}
    sequencer.committed({ONE: 1, OTHER: 7})
    assert sequencer.positions() == {}
