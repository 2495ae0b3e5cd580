"""The linear part beside the network: a weight for each token and for many pairs of neighbouring tokens.

    logit = (sum of the weights of a review's tokens and pairs) / sqrt(tokens)

Pairs hold what is said in two words ("not good"), which a network learns slowly from few reviews; the network holds
what is said in more. A weight belongs to a token or to two, so the logit splits over the tokens exactly. Fitted
after Wang and Manning, Baselines and Bigrams (ACL 2012): logistic regression on features scaled by their log-count
ratios. Instead of whether a feature is there, we count it and divide by sqrt(tokens): as good, and quick to serve.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from streamer.text import PAD_ID
from training.corpus.corpus import Split
from training.evaluation.arrays import Floats, Integers
from training.recipe import BigramSettings


def pair_weights(tokens: Tensor, vocabulary: int, keys: Tensor, weights: Tensor) -> Tensor:
    """The weight of each pair of neighbours: float [T - 1, B], 0 for a pair without a weight. Also scripted.

    tokens: int64 [T, B]. keys: int32 or int64 [K], sorted: first id * vocabulary + second id. weights: float [K].
    K is not 0.
    """
    pairs = (tokens[:-1] * vocabulary + tokens[1:]).to(keys.dtype).contiguous()
    found = torch.searchsorted(keys, pairs).clamp(max=keys.shape[0] - 1)
    return weights[found] * (keys[found] == pairs).to(weights.dtype)


def token_weights(tokens: Tensor, token: Tensor, keys: Tensor, pair: Tensor) -> Tensor:
    """What each token adds to the sum, float32 [T, B]; each token of a pair gets half of its weight.

    For the other arguments see `LinearClassifier`. Also scripted.
    """
    added = token[tokens].float()
    if keys.shape[0] > 0 and tokens.shape[0] > 1:
        half = 0.5 * pair_weights(tokens, token.shape[0], keys, pair).float()
        added[:-1] += half
        added[1:] += half
    return added


class LinearClassifier(nn.Module):
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


def fit_linear(settings: BigramSettings, split: Split, vocabulary: int) -> LinearClassifier:
    """Fit the weights on a split; `vocabulary` is the number of tokens.

    First all pairs that occur in enough reviews are fitted, then those with the largest |weight| * sqrt(reviews) once
    more alone. Deterministic.
    """
    rows = np.repeat(np.arange(len(split)), split.lengths)
    ids = split.ids.astype(np.int64)
    within = rows[1:] == rows[:-1]
    pairs, pair_rows = (ids[:-1] * vocabulary + ids[1:])[within], rows[1:][within]
    in_reviews = np.unique(np.stack([pairs, pair_rows]), axis=1)[0]
    keys, reviews = np.unique(in_reviews, return_counts=True)
    keys, reviews = keys[reviews >= settings.least], reviews[reviews >= settings.least]

    tokens = _counts(rows, ids, len(split), vocabulary)
    if len(keys) > settings.features:
        weights = _fit_weights(tokens, _pair_counts(pair_rows, pairs, len(split), keys), split, settings.strength)
        importance = np.abs(weights[vocabulary:]) * np.sqrt(reviews)
        keys = np.sort(keys[np.argsort(-importance, kind="stable")[: settings.features]])
    weights = _fit_weights(tokens, _pair_counts(pair_rows, pairs, len(split), keys), split, settings.strength)
    weights[PAD_ID] = 0
    token, pair = torch.from_numpy(weights[:vocabulary]).float(), torch.from_numpy(weights[vocabulary:]).float()
    fits_int32 = vocabulary**2 <= np.iinfo(np.int32).max  # Half the size.
    return LinearClassifier(token, torch.from_numpy(keys.astype(np.int32) if fits_int32 else keys), pair)


def _counts(rows: Integers, columns: Integers, height: int, width: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(height, width))


def _pair_counts(rows: Integers, pairs: Integers, height: int, keys: Integers) -> sparse.csr_matrix:
    """How often each review has each of the given pairs."""
    if not len(keys):
        return _counts(rows[:0], rows[:0], height, 0)
    found = np.minimum(np.searchsorted(keys, pairs), len(keys) - 1)
    kept = keys[found] == pairs
    return _counts(rows[kept], found[kept], height, len(keys))


def _fit_weights(tokens: sparse.csr_matrix, pairs: sparse.csr_matrix, split: Split, strength: float) -> Floats:
    """Weights of the columns of both matrices, without an intercept: a review without tokens has the logit 0."""
    counts = sparse.hstack([tokens, pairs]).tocsr()
    present = counts.astype(bool).astype(np.float64)
    positive = 1 + np.asarray(present[split.positive].sum(0)).ravel()
    negative = 1 + np.asarray(present[~split.positive].sum(0)).ravel()
    ratio = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    lengths = sparse.diags(1 / np.sqrt(np.maximum(split.lengths, 1)))
    model = LogisticRegression(C=strength, fit_intercept=False, max_iter=1000, tol=1e-5)
    model.fit(lengths @ counts @ sparse.diags(ratio), split.positive)
    weights: Floats = model.coef_.ravel() * ratio
    return weights
