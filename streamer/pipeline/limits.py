"""The bounds of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the pipeline; times in seconds. docs/operations.md says what each is for."""

    bucketing: bool = True
    max_wait: float = 0.02
    max_reviews: int = 256
    max_padded_tokens: int = 16_384
    max_tokens_in_flight: int = 262_144
    commit_interval: float = 1.0
    commit_records: int = 20_000
    revoke_timeout: float = 10.0
    drain_timeout: float = 25.0
    cache_entries: int = 4096
    dead_letter_ratio: float = 0.5
    dead_letter_window: int = 1000
