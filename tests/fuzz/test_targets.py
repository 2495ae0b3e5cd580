"""The targets of the fuzzer, on generated inputs, near the seeds and far from them; and what it once found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS

MUTATIONS = 400


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_nearly_right_breaks_nothing(name: str) -> None:
    """Seeds with bytes changed, taken out, doubled, and parts of one in another."""
    chance, target = random.Random(name), TARGETS[name]
    for _ in range(MUTATIONS):
        data = bytearray(chance.choice(SEEDS[name]))
        for _ in range(chance.randint(0, 4)):
            at = chance.randrange(len(data) + 1)
            other = chance.choice(SEEDS[name])
            begin = chance.randrange(len(other))
            data[at : at + chance.randint(0, 3)] = chance.choice(
                (b"", bytes([chance.randrange(256)]), other[begin : begin + 8], data[at : at + 5] * 2)
            )
        target(bytes(data))


@pytest.mark.parametrize("name", TARGETS)
def test_anything_breaks_nothing(name: str) -> None:
    """Bytes of no kind."""

    @settings(max_examples=150, deadline=None)
    @given(st.binary(max_size=300))
    def broken(data: bytes) -> None:
        TARGETS[name](data)

    broken()
