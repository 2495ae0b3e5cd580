"""Synthetic reviews: two classes told apart by a few words, written here and nowhere copied from."""

from __future__ import annotations

import csv
import random
from pathlib import Path

_GOOD = ("满意", "喜欢", "精致", "great", "lovely")
_BAD = ("失望", "难用", "破损", "awful", "broken")
_PLAIN = ("杯子", "颜色", "昨天", "快递", "桌子", "我们", "the", "cup", "desk", "colour", "came", "with")


def synthetic(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Distinct texts with the labels "positive" and "negative" by turns."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        words = chance.choices(_PLAIN, k=chance.randint(2, 12))
        words.insert(chance.randrange(len(words)), chance.choice(_GOOD if number % 2 else _BAD))
        rows.append((f"{' '.join(words)} {number}", "positive" if number % 2 else "negative"))
    return rows


def write_csv(path: Path, rows: list[tuple[str, str]], header: tuple[str, str] = ("text", "label")) -> Path:
    """Write a table; return its path."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path
