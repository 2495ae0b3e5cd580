"""The sample reviews that come along: each with its group, language and kind, and the label its author expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

SAMPLES = Path(__file__).with_name("samples.jsonl")


def samples() -> list[dict[str, Any]]:
    """All of them."""
    return [orjson.loads(line) for line in SAMPLES.read_bytes().splitlines() if line.strip()]


def sample_texts() -> list[str]:
    """The texts of all of them."""
    return [sample["text"] for sample in samples()]
