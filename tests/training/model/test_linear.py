"""The linear part: what it computes, that it learns, and that it is served as it was fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.model.test_classifier import batch, model
from training.corpus.corpus import Split
from training.model.ensemble import Ensemble
from training.model.inference import accuracy_of, logits_of
from training.model.linear import LinearClassifier, fit_linear
from training.model.torchscript import ServedClassifier, load_script, to_torchscript, without_profiling
from training.recipe import BigramSettings

# Tokens: 2 is "not", 3 "good", 4 "bad", 5 to 9 mean nothing.
NOT, GOOD, BAD = 2, 3, 4


def split(count: int, seed: int = 1) -> Split:
    """Reviews that neighbours tell apart: "good" and "not bad" are positive, "bad" and "not good" are not."""
    random = np.random.default_rng(seed)
    reviews, positive = [], []
    for number in range(count):
        noise = random.integers(5, 10, random.integers(2, 9)).tolist()
        core = [[GOOD], [NOT, BAD], [BAD], [NOT, GOOD]][number % 4]
        at = int(random.integers(0, len(noise) + 1))
        reviews.append(noise[:at] + core + noise[at:])
        positive.append(number % 4 < 2)
    return Split(
        ids=np.concatenate(reviews).astype(np.int32),
        starts=np.cumsum([0, *map(len, reviews)], dtype=np.int64),
        positive=np.array(positive),
        source=np.zeros(count, np.int64),
    )


def test_the_logit_is_the_sum_of_weights_over_the_root_of_the_length() -> None:
    """By hand: two tokens and their pair, and a pad."""
    linear = LinearClassifier(torch.tensor([0.0, 1.0, 2.0, 4.0]), torch.tensor([2 * 4 + 3]), torch.tensor([10.0]))
    tokens = torch.tensor([[2, 3], [3, 2], [0, 1]])
    expected = torch.tensor([(2 + 4 + 10) / 2**0.5, (4 + 2 + 1) / 3**0.5])
    torch.testing.assert_close(linear(tokens), expected)


def test_pairs_are_learnt_where_words_alone_say_nothing() -> None:
    """And not without pairs: the words are as often in one class as in the other."""
    with_pairs = fit_linear(BigramSettings(features=50), split(400), 10)
    without = fit_linear(BigramSettings(features=0), split(400), 10)
    held_out = split(200, seed=2)
    assert accuracy_of(logits_of(with_pairs, held_out), held_out.positive) > 0.97
    assert accuracy_of(logits_of(without, held_out), held_out.positive) < 0.8


def test_only_the_weightiest_pairs_are_kept() -> None:
    """Of all pairs, those that tell the classes apart."""
    linear = fit_linear(BigramSettings(features=2), split(400), 10)
    assert linear.keys.tolist() == [NOT * 10 + GOOD, NOT * 10 + BAD]
    assert linear.pair[0] < 0 < linear.pair[1]


def test_pairs_of_few_reviews_are_left_out() -> None:
    """A pair must be in so many train reviews."""
    assert len(fit_linear(BigramSettings(features=50, least=1), split(40), 10).keys) > len(
        fit_linear(BigramSettings(features=50, least=10), split(40), 10).keys
    )


def test_the_same_reviews_give_the_same_weights() -> None:
    """Nothing in it is random."""
    one, other = (fit_linear(BigramSettings(features=20), split(100), 10) for _ in range(2))
    assert torch.equal(one.token, other.token)
    assert torch.equal(one.pair, other.pair)


@pytest.fixture(scope="module")
def linear() -> LinearClassifier:
    """Random weights of all tokens and of a third of the pairs of a small vocabulary."""
    torch.manual_seed(1)
    size = model().embedding.num_embeddings
    token = torch.randn(size)
    token[0] = 0
    keys = torch.randperm(size * size)[: size * size // 3].sort().values.int()
    keys = keys[(keys >= size) & (keys % size > 0)]  # The pad has no neighbours.
    return LinearClassifier(token, keys, torch.randn(len(keys)))


LENGTHS = [1, 7, 30, 64, 2, 13]


def test_what_is_served_is_the_ensemble(linear: LinearClassifier) -> None:
    """Scores within 1e-6 of the packed network's and the linear part's logits."""
    network, tokens = model(), batch(LENGTHS, extra=3)
    with torch.inference_mode():
        logits = 0.6 * network.forward_packed(tokens) + 0.4 * linear(tokens)
        torch.testing.assert_close(Ensemble(network, linear, 0.4)(tokens), logits, rtol=0, atol=1e-5)
        served = ServedClassifier(network, 1.7, linear, 0.4)(tokens)
        torch.testing.assert_close(served, torch.sigmoid(logits / 1.7), rtol=0, atol=1e-6)


def test_evidence_of_both_parts_sums_to_the_logit(linear: LinearClassifier, tmp_path: Path) -> None:
    """After saving and loading, in float32; pads have none, and nothing at all is undecided."""
    to_torchscript(model(), 1.7, linear, 0.4).save(str(tmp_path / "model.pt"))
    tokens = batch(LENGTHS, extra=3)
    with without_profiling():
        served = load_script(tmp_path / "model.pt")
        score, weight = served.explain(tokens)
        torch.testing.assert_close(weight.sum(0), torch.logit(score), rtol=0, atol=1e-4)
        torch.testing.assert_close(score, served(tokens), rtol=0, atol=1e-6)
        assert weight[tokens == 0].abs().max() == 0
        assert served(torch.zeros(4, 1, dtype=torch.int64)).item() == 0.5


def test_a_single_token_has_no_pair(linear: LinearClassifier) -> None:
    """A batch of one step."""
    tokens = batch([1, 1])
    with torch.inference_mode():
        torch.testing.assert_close(linear(tokens), linear.token[tokens[0]])
