"""Word vectors of the texts themselves."""

from __future__ import annotations

import numpy as np
import torch

from training.corpus.corpus import Split
from training.model.word2vec import train_word2vec
from training.recipe import Word2VecSettings


def split() -> Split:
    """Reviews on two things that are never spoken of together: tokens 2 to 5, and 6 to 9."""
    random = np.random.default_rng(1)
    ids = np.concatenate([random.integers(2, 6, 8) + 4 * (number % 2) for number in range(300)])
    none = np.zeros(300, np.int64)
    return Split(ids.astype(np.int32), np.arange(0, len(ids) + 1, 8), none.astype(bool), none)


def test_tokens_of_the_same_company_are_alike() -> None:
    """Nearer to each other than to those of the other kind."""
    vectors = train_word2vec(Word2VecSettings(epochs=20), split(), width=16, seed=1)
    assert vectors.ids.tolist() == list(range(2, 10))
    rows = torch.nn.functional.normalize(vectors.rows, dim=1)
    alike = rows @ rows.T
    within = (alike[:4, :4].sum() - 4) / 12
    assert within > alike[:4, 4:].mean() + 0.3


def test_the_same_texts_give_the_same_vectors() -> None:
    """A run can be made again."""
    one, other = (train_word2vec(Word2VecSettings(epochs=2), split(), width=8, seed=3) for _ in range(2))
    assert torch.equal(one.rows, other.rows)
