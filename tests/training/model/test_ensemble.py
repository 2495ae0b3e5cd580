"""The share of the linear part is chosen by what it adds."""

from __future__ import annotations

import numpy as np

from training.model.ensemble import fit_share


def test_the_better_part_gets_the_greater_share() -> None:
    """All of it where the other knows nothing, some of each where both err differently."""
    random = np.random.default_rng(1)
    positive = random.random(2000) < 0.5
    truth = np.where(positive, 1.0, -1.0)
    noise = random.normal(size=2000)
    assert fit_share(truth, noise, positive) <= 0.05
    assert fit_share(noise, truth, positive) >= 0.95
    one, other = (2 * truth + 2 * random.normal(size=2000) for _ in range(2))
    assert 0.3 <= fit_share(one, other, positive) <= 0.7
