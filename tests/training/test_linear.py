"""The linear part: what it computes, that it learns, and that it is served as it was fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_model import batch, model
from training.evaluate import accuracy_of, logits_of
from training.linear import Blend, Linear, best_share, fit
from training.parts import Part
from training.recipe import Bigrams
from training.serving import Serving, load, script, unspecialised

# Tokens: 2 is "not", 3 "good", 4 "bad", 5 to 9 mean nothing.
NOT, GOOD, BAD = 2, 3, 4


def part(count: int, seed: int = 1) -> Part:
    """Reviews that neighbours tell apart: "good" and "not bad" are positive, "bad" and "not good" are not."""
    random = np.random.default_rng(seed)
    reviews, positive = [], []
    for number in range(count):
        noise = random.integers(5, 10, random.integers(2, 9)).tolist()
        core = [[GOOD], [NOT, BAD], [BAD], [NOT, GOOD]][number % 4]
        at = int(random.integers(0, len(noise) + 1))
        reviews.append(noise[:at] + core + noise[at:])
        positive.append(number % 4 < 2)
    return Part(
        ids=np.concatenate(reviews).astype(np.int32),
        starts=np.cumsum([0, *map(len, reviews)], dtype=np.int64),
        positive=np.array(positive),
        source=np.zeros(count, np.int64),
    )


def test_the_logit_is_the_sum_of_weights_over_the_root_of_the_length() -> None:
    """By hand: two tokens and their pair, and a pad."""
    linear = Linear(torch.tensor([0.0, 1.0, 2.0, 4.0]), torch.tensor([2 * 4 + 3]), torch.tensor([10.0]))
    tokens = torch.tensor([[2, 3], [3, 2], [0, 1]])
    expected = torch.tensor([(2 + 4 + 10) / 2**0.5, (4 + 2 + 1) / 3**0.5])
    torch.testing.assert_close(linear(tokens), expected)


def test_pairs_are_learnt_where_words_alone_say_nothing() -> None:
    """And not without pairs: the words are as often in one class as in the other."""
    with_pairs = fit(Bigrams(features=50), part(400), 10)
    without = fit(Bigrams(features=0), part(400), 10)
    held_out = part(200, seed=2)
    assert accuracy_of(logits_of(with_pairs, held_out), held_out.positive) > 0.97
    assert accuracy_of(logits_of(without, held_out), held_out.positive) < 0.8


def test_only_the_weightiest_pairs_are_kept() -> None:
    """Of all pairs, those that tell the classes apart."""
    linear = fit(Bigrams(features=2), part(400), 10)
    assert linear.keys.tolist() == [NOT * 10 + GOOD, NOT * 10 + BAD]
    assert linear.pair[0] < 0 < linear.pair[1]


def test_pairs_of_few_reviews_are_left_out() -> None:
    """A pair must be in so many train reviews."""
    assert len(fit(Bigrams(features=50, least=1), part(40), 10).keys) > len(
        fit(Bigrams(features=50, least=10), part(40), 10).keys
    )


def test_the_same_reviews_give_the_same_weights() -> None:
    """Nothing in it is random."""
    one, other = (fit(Bigrams(features=20), part(100), 10) for _ in range(2))
    assert torch.equal(one.token, other.token)
    assert torch.equal(one.pair, other.pair)


def test_the_better_part_gets_the_greater_share() -> None:
    """All of it where the other knows nothing, some of each where both err differently."""
    random = np.random.default_rng(1)
    positive = random.random(2000) < 0.5
    truth = np.where(positive, 1.0, -1.0)
    noise = random.normal(size=2000)
    assert best_share(truth, noise, positive) <= 0.05
    assert best_share(noise, truth, positive) >= 0.95
    one, other = (2 * truth + 2 * random.normal(size=2000) for _ in range(2))
    assert 0.3 <= best_share(one, other, positive) <= 0.7


@pytest.fixture(scope="module")
def linear() -> Linear:
    """Random weights of all tokens and of a third of the pairs of a small vocabulary."""
    torch.manual_seed(1)
    size = model().embedding.num_embeddings
    token = torch.randn(size)
    token[0] = 0
    keys = torch.randperm(size * size)[: size * size // 3].sort().values.int()
    keys = keys[(keys >= size) & (keys % size > 0)]  # The pad has no neighbours.
    return Linear(token, keys, torch.randn(len(keys)))


LENGTHS = [1, 7, 30, 64, 2, 13]


def test_what_is_served_is_the_blend(linear: Linear) -> None:
    """Scores within 1e-6 of the packed network's and the linear part's logits."""
    network, tokens = model(), batch(LENGTHS, extra=3)
    with torch.inference_mode():
        logits = 0.6 * network.forward_packed(tokens) + 0.4 * linear(tokens)
        torch.testing.assert_close(Blend(network, linear, 0.4)(tokens), logits, rtol=0, atol=1e-5)
        served = Serving(network, 1.7, linear, 0.4)(tokens)
        torch.testing.assert_close(served, torch.sigmoid(logits / 1.7), rtol=0, atol=1e-6)


def test_evidence_of_both_parts_sums_to_the_logit(linear: Linear, tmp_path: Path) -> None:
    """After saving and loading, in float32; pads have none, and nothing at all is undecided."""
    script(model(), 1.7, linear, 0.4).save(str(tmp_path / "model.pt"))
    tokens = batch(LENGTHS, extra=3)
    with unspecialised():
        served = load(tmp_path / "model.pt")
        score, weight = served.explain(tokens)
        torch.testing.assert_close(weight.sum(0), torch.logit(score), rtol=0, atol=1e-4)
        torch.testing.assert_close(score, served(tokens), rtol=0, atol=1e-6)
        assert weight[tokens == 0].abs().max() == 0
        assert served(torch.zeros(4, 1, dtype=torch.int64)).item() == 0.5


def test_a_single_token_has_no_pair(linear: Linear) -> None:
    """A batch of one step."""
    tokens = batch([1, 1])
    with torch.inference_mode():
        torch.testing.assert_close(linear(tokens), linear.token[tokens[0]])
