"""Word vectors learnt from the train part's own texts: what stands near a token says what it is like.

The embedding that starts from them knows from the first step which tokens may stand for each other; with a few
thousand labelled reviews that is worth more than any other setting (docs/training.md).
"""

from __future__ import annotations

import numpy as np
import torch
from gensim.models import Word2Vec

from streamer.text import UNKNOWN_ID
from training.parts import Part
from training.recipe import Words
from training.vectors import Vectors


def learn(settings: Words, part: Part, width: int, seed: int) -> Vectors:
    """Skip-gram vectors with negative sampling of all tokens of a part but the pad: float32 [N, width].

    On one thread, since gensim's threads race: the same part and seed give the same vectors.
    """
    ids = [str(index) for index in part.ids]
    reviews = [ids[start:end] for start, end in zip(part.starts[:-1], part.starts[1:], strict=True)]
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
