"""Reviews of mixed lengths: short ones written for training, shop reviews, and long film reviews.

The long ones come from the folder that STREAMER_DATA_DIR names, and so do the shop reviews where it is set.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tests.texts import reviews

Mix = Literal["mixed", "shop"]
SHARES: dict[Mix, dict[str, float]] = {"mixed": {"shop": 0.6, "short": 0.3, "long": 0.1}, "shop": {"shop": 1.0}}
_SHORT = Path(__file__).parents[1] / "training" / "written" / "food-delivery.jsonl"
_LONG = Path("en", "imdb_test.csv.gz")
_DISTINCT = 50_000
_SEED = 20


def mixed(count: int, mix: Mix = "mixed") -> tuple[list[str], dict[str, float]]:
    """So many texts in an order that is the same every time, and the share of each kind.

    Where there are no film reviews their share goes to the shop reviews.
    """
    shares = dict(SHARES[mix])
    if "long" in shares and _long_file() is None:
        shares["shop"] += shares.pop("long")
    return interleaved({kind: _texts(kind) for kind in shares}, shares, count), shares


def interleaved(texts: Mapping[str, list[str]], shares: Mapping[str, float], count: int) -> list[str]:
    """So many texts, each of a kind drawn by its share; a kind's texts come again when there are not enough."""
    draw = random.Random(_SEED)
    orders = {kind: sorted(set(texts[kind])) for kind in shares}
    for order in orders.values():
        draw.shuffle(order)
    taken = dict.fromkeys(shares, 0)
    chosen = []
    for kind in draw.choices(list(shares), list(shares.values()), k=count):
        chosen.append(orders[kind][taken[kind] % len(orders[kind])])
        taken[kind] += 1
    return chosen


def _texts(kind: str) -> list[str]:
    if kind == "shop":
        return reviews(_DISTINCT)
    if kind == "short":
        return [json.loads(line)["text"] for line in _SHORT.read_text("utf-8").splitlines()]
    with gzip.open(_long_file() or _LONG, "rt", encoding="utf-8", newline="") as rows:
        return [row["text"] for row in csv.DictReader(rows)]


def _long_file() -> Path | None:
    path = Path(os.environ.get("STREAMER_DATA_DIR", ""), _LONG)
    return path if "STREAMER_DATA_DIR" in os.environ and path.is_file() else None
