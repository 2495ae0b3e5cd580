"""The linear part beside the network: a weight for each token and for many pairs of neighbours.

    logit = (sum of the weights of a review's tokens and pairs) / sqrt(tokens)

Pairs hold what is said in two words ("not good"), which a network learns slowly from few reviews; the network holds
what is said in more. A weight belongs to a token or to two, so the logit splits over the tokens exactly. Fitted
after Wang and Manning, Baselines and Bigrams (ACL 2012): logistic regression on features scaled by their log-count
ratios. Instead of whether a feature is there, we count it and divide by sqrt(tokens): as good, and quick to serve.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from streamer.text import PAD_ID
from training.calibrate import Bools, Floats, fit_temperature, log_loss
from training.model import Classifier
from training.parts import Part
from training.recipe import Bigrams

Ints = npt.NDArray[np.int64]
Logits = TypeVar("Logits", Tensor, Floats)


def pair_weights(tokens: Tensor, vocabulary: int, keys: Tensor, weights: Tensor) -> Tensor:
    """The weight of each two neighbours: float [T - 1, B], 0 for a pair without one. It is scripted too.

    tokens: int64 [T, B]. keys: int32 or int64 [K], sorted: first id * vocabulary + second id. weights: float [K].
    K is not 0.
    """
    pairs = (tokens[:-1] * vocabulary + tokens[1:]).to(keys.dtype).contiguous()
    found = torch.searchsorted(keys, pairs).clamp(max=keys.shape[0] - 1)
    return weights[found] * (keys[found] == pairs).to(weights.dtype)


def token_weights(tokens: Tensor, token: Tensor, keys: Tensor, pair: Tensor) -> Tensor:
    """What each token adds to the sum, float32 [T, B]; of a pair's weight each of its tokens has half.

    For the rest see `Linear`. It is scripted too.
    """
    added = token[tokens].float()
    if keys.shape[0] > 0 and tokens.shape[0] > 1:
        half = 0.5 * pair_weights(tokens, token.shape[0], keys, pair).float()
        added[:-1] += half
        added[1:] += half
    return added


class Linear(nn.Module):
    """Logits from single tokens and pairs of neighbours.

    token: float32 [V], 0 at the pad token. keys: sorted, see `pair_weights`. pair: float32 [K].
    """

    token: Tensor
    keys: Tensor
    pair: Tensor

    def __init__(self, token: Tensor, keys: Tensor, pair: Tensor) -> None:
        """Take the weights."""
        super().__init__()
        self.register_buffer("token", token)
        self.register_buffer("keys", keys)
        self.register_buffer("pair", pair)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits, float32 [B], of tokens int64 [T, B]."""
        added = token_weights(tokens, self.token, self.keys, self.pair)
        return added.sum(0) / (tokens != PAD_ID).sum(0).clamp(min=1).sqrt()


def blended(network: Logits, linear: Logits, share: float) -> Logits:
    """The logits of both parts in one, of tensors or of arrays."""
    return (1 - share) * network + share * linear


class Blend(nn.Module):
    """Network and linear part: (1 - share) * one logit + share * the other; the network alone where that is all."""

    def __init__(self, network: Classifier, linear: Linear | None = None, share: float = 0.0) -> None:
        """Take both parts, and the linear one's share, between 0 and 1."""
        super().__init__()
        self.network = network
        self.linear = linear
        self.share = share

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits, float32 [B], of tokens int64 [T, B]."""
        logits: Tensor = self.network(tokens)
        if self.linear is not None:
            logits = blended(logits, self.linear(tokens), self.share)
        return logits


def fit(settings: Bigrams, part: Part, vocabulary: int) -> Linear:
    """Fit the weights on a part; `vocabulary` is the number of tokens.

    All pairs that are in enough reviews are fitted first, then the weightiest of them, |weight| * sqrt(reviews),
    once more alone. Deterministic.
    """
    rows = np.repeat(np.arange(len(part)), part.lengths)
    ids = part.ids.astype(np.int64)
    within = rows[1:] == rows[:-1]
    pairs, pair_rows = (ids[:-1] * vocabulary + ids[1:])[within], rows[1:][within]
    in_reviews = np.unique(np.stack([pairs, pair_rows]), axis=1)[0]
    keys, reviews = np.unique(in_reviews, return_counts=True)
    keys, reviews = keys[reviews >= settings.least], reviews[reviews >= settings.least]

    tokens = _counts(rows, ids, len(part), vocabulary)
    if len(keys) > settings.features:
        weights = _regress(tokens, _matched(pair_rows, pairs, len(part), keys), part, settings.strength)
        weight = np.abs(weights[vocabulary:]) * np.sqrt(reviews)
        keys = np.sort(keys[np.argsort(-weight, kind="stable")[: settings.features]])
    weights = _regress(tokens, _matched(pair_rows, pairs, len(part), keys), part, settings.strength)
    weights[PAD_ID] = 0
    token, pair = torch.from_numpy(weights[:vocabulary]).float(), torch.from_numpy(weights[vocabulary:]).float()
    small = vocabulary**2 <= np.iinfo(np.int32).max  # Half the room.
    return Linear(token, torch.from_numpy(keys.astype(np.int32) if small else keys), pair)


def _counts(rows: Ints, columns: Ints, height: int, width: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(height, width))


def _matched(rows: Ints, pairs: Ints, height: int, keys: Ints) -> sparse.csr_matrix:
    """How often each review has each of the pairs that are kept."""
    if not len(keys):
        return _counts(rows[:0], rows[:0], height, 0)
    found = np.minimum(np.searchsorted(keys, pairs), len(keys) - 1)
    kept = keys[found] == pairs
    return _counts(rows[kept], found[kept], height, len(keys))


def _regress(tokens: sparse.csr_matrix, pairs: sparse.csr_matrix, part: Part, strength: float) -> Floats:
    """Weights of the columns of both matrices, without an intercept: a review of nothing has the logit 0."""
    counts = sparse.hstack([tokens, pairs]).tocsr()
    there = counts.astype(bool).astype(np.float64)
    positive = 1 + np.asarray(there[part.positive].sum(0)).ravel()
    negative = 1 + np.asarray(there[~part.positive].sum(0)).ravel()
    ratio = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    lengths = sparse.diags(1 / np.sqrt(np.maximum(part.lengths, 1)))
    model = LogisticRegression(C=strength, fit_intercept=False, max_iter=1000, tol=1e-5)
    model.fit(lengths @ counts @ sparse.diags(ratio), part.positive)
    weights: Floats = model.coef_.ravel() * ratio
    return weights


def best_share(network: Floats, linear: Floats, positive: Bools) -> float:
    """The linear part's share, in steps of 0.05, that has the least log loss once its temperature is fitted.

    network, linear: the parts' logits, float64 [N], of reviews that neither was fitted on.
    """

    def loss(share: float) -> float:
        logits = blended(network, linear, share)
        return log_loss(logits, positive, fit_temperature(logits, positive))

    return min((step / 20 for step in range(21)), key=loss)
