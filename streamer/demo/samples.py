"""The bundled sample reviews: each with its group, language and kind, and the label that its author expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

SAMPLES = Path(__file__).with_name("samples.jsonl")


def samples() -> list[dict[str, Any]]:
    """All samples."""
    return [orjson.loads(line) for line in SAMPLES.read_bytes().splitlines() if line.strip()]


def sample_texts() -> list[str]:
    """The texts of all samples."""
    return [sample["text"] for sample in samples()]
