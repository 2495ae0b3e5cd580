"""How long real reviews are, in tokens of the bundled vocabulary: numbers only, so that simulations need no texts.

    python -m benchmarks.lengths --data-dir DATA    # count them anew, where the texts are to be had

food: the food-delivery reviews that were written for training. shop: shopping.csv.gz and jd.csv.gz. hotel:
ChnSentiCorp's train file (hotels, laptops and books). film: aclImdb's train set. mixed: as many of each.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from streamer.models.artefact import BUNDLED
from streamer.text import Vocabulary
from tests.texts import reviews
from training.recipe import load_recipe
from training.sources.reviews import read_reviews

# Reviews have up to so many tokens, and more than the edge before; uncut, but for the few longer than the last.
EDGES = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 96, 112, 128),
    *(144, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024),
)

# Reviews of every 10,000 up to each edge.
COUNTED: dict[str, tuple[int, ...]] = {
    # 900 reviews of 12.5 tokens on average.
    "food": (
        *(
            178,
            544,
            789,
            478,
            322,
            400,
            411,
            522,
            789,
            967,
            900,
            956,
            689,
            689,
            800,
            289,
            89,
            44,
            56,
            0,
            11,
            11,
            11,
            44,
        ),
        *(11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    ),
    # 9,996 reviews of 29.2 tokens.
    "shop": (
        *(
            20,
            59,
            100,
            123,
            184,
            192,
            249,
            300,
            665,
            820,
            814,
            728,
            628,
            612,
            839,
            691,
            537,
            374,
            310,
            458,
            287,
            192,
            162,
        ),
        *(110, 143, 99, 74, 48, 30, 53, 28, 17, 24, 15, 4, 1, 3, 3, 0),
    ),
    # 9,600 reviews of 76.7 tokens.
    "hotel": (
        *(0, 1, 1, 1, 1, 0, 3, 5, 7, 23, 78, 100, 143, 180, 664, 761, 693, 656, 560, 856, 691, 559, 426, 310, 467, 367),
        *(611, 888, 350, 174, 99, 79, 83, 58, 41, 20, 20, 12, 10),
    ),
    # 5,000 reviews of 273.0 tokens.
    "film": (
        *(
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            2,
            0,
            0,
            0,
            0,
            4,
            2,
            2,
            6,
            8,
            48,
            92,
            134,
            108,
            122,
            260,
            266,
            416,
            748,
            914,
            1508,
        ),
        *(1036, 676, 1028, 730, 436, 362, 468, 252, 372),
    ),
}
HISTOGRAMS = (*COUNTED, "mixed")

_LONGEST = 4096
_WRITTEN = Path(__file__).parents[1] / "training" / "written" / "food-delivery.jsonl"
_CACHE = Path(".cache/training")


def shares(name: str) -> tuple[float, ...]:
    """A histogram: the share of reviews up to each edge."""
    chosen = list(COUNTED.values()) if name == "mixed" else [COUNTED[name]]
    every = sum(map(sum, chosen))  # 10,000 each, but for rounding.
    return tuple(sum(counts) / every for counts in zip(*chosen, strict=True))


def draw(name: str, count: int, limit: int, chance: random.Random) -> list[int]:
    """So many lengths at random; longer reviews are cut to `limit` tokens, as the tokeniser does."""
    lowers = dict(zip(EDGES, (0, *EDGES), strict=False))
    uppers = chance.choices(EDGES, shares(name), k=count)
    return [min(limit, chance.randint(lowers[upper] + 1, upper)) for upper in uppers]


def counted(lengths: Sequence[int]) -> tuple[int, ...]:
    """Of every 10,000, how many are up to each edge; those longer than the last count there."""
    found = Counter(next((edge for edge in EDGES if length <= edge), EDGES[-1]) for length in lengths)
    return tuple(round(10_000 * found[edge] / len(lengths)) for edge in EDGES)


def texts(data_dir: Path) -> dict[str, Iterable[str]]:
    """Real reviews by histogram, every so many where there are more than enough."""
    hotel = read_reviews(load_recipe("chnsenticorp").data[0], data_dir, _CACHE)
    film = read_reviews(load_recipe("imdb").data[0], data_dir, _CACHE)
    return {
        "food": [json.loads(line)["text"] for line in _WRITTEN.read_text("utf-8").splitlines()],
        "shop": islice(dict.fromkeys(reviews(50_000)), 0, None, 5),
        "hotel": [review.text for review in hotel],
        "film": islice((review.text for review in film), 0, None, 5),
    }


def main() -> None:
    """Print the histograms as they stand above."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lengths", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    options = parser.parse_args()
    vocabulary = Vocabulary((BUNDLED / "vocabulary.txt").read_text("utf-8").removesuffix("\n").split("\n"))
    for name, chosen in texts(options.data_dir).items():
        lengths = [max(1, len(vocabulary.encode(text, _LONGEST))) for text in chosen]
        print(f"{name!r}: {counted(lengths)},  # {len(lengths):,} reviews, {sum(lengths) / len(lengths):.1f} tokens")


if __name__ == "__main__":
    main()
