"""The peers' command line, and what they read and write: JSON, the result under the review's key."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.network import Form, Labeller, Result


@dataclass(frozen=True, slots=True)
class Job:
    """What a peer is to do."""

    bootstrap: str
    input: str
    output: str
    group: str
    batch: int
    labeller: Labeller


def job(about: str | None, form: Form, batch: int, pad_to: int | None = None) -> Job:
    """Read the command line; `form` and `batch` (reviews) are the peer's defaults."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bootstrap", "input", "output", "group"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--artefact", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=batch, help="most reviews in a batch")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves torch's own choice")
    parser.add_argument("--tokeniser", choices=("jieba", "rjieba"), default="jieba")
    parser.add_argument("--form", choices=("packed", "gated"), default=form)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    labeller = Labeller(options.artefact, options.form, options.precision, options.tokeniser, pad_to)
    return Job(options.bootstrap, options.input, options.output, options.group, options.batch, labeller)


def output_event(review: Mapping[str, Any], result: Result) -> dict[str, Any]:
    """What is published of a review."""
    return {"id": review.get("id"), "label": result.label, "score": round(result.score, 6)}


def report(labeller: Labeller) -> None:
    """The last line of a peer's output: what it has labelled, as JSON."""
    print(json.dumps(labeller.padding()), flush=True)
