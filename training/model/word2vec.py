"""Word vectors (word2vec) trained on the train split's own texts, from which the embedding starts.

Tokens with similar neighbours get similar vectors, so the network knows from its first step which tokens are alike.
With a few thousand labelled reviews that is worth more than any other setting (docs/training.md).
"""

from __future__ import annotations

import numpy as np
import torch
from gensim.models import Word2Vec

from streamer.text import UNKNOWN_ID
from training.corpus.corpus import Split
from training.model.vectors import Vectors
from training.recipe import Word2VecSettings


def train_word2vec(settings: Word2VecSettings, split: Split, width: int, seed: int) -> Vectors:
    """Skip-gram vectors with negative sampling for all tokens of a split except the pad: float32 [N, width].

    On one thread, since gensim's threads race: the same split and seed give the same vectors.
    """
    ids = [str(index) for index in split.ids]
    reviews = [ids[start:end] for start, end in zip(split.starts[:-1], split.starts[1:], strict=True)]
    model = Word2Vec(
        reviews,
        vector_size=width,
        window=settings.window,
        epochs=settings.epochs,
        sg=1,
        negative=5,
        min_count=1,
        workers=1,
        seed=seed,
    )
    known = np.array(sorted(int(word) for word in model.wv.index_to_key if int(word) >= UNKNOWN_ID))
    rows = model.wv[[str(index) for index in known]]
    return Vectors(torch.from_numpy(known), torch.from_numpy(np.ascontiguousarray(rows, np.float32)))
