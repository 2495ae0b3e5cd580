"""A training as it was after an epoch, in one file: read again, it goes on to the very same weights.

The file is a torch archive of tensors and plain values. Reading it runs no code.
"""

from __future__ import annotations

import io
import json
import os
import pickle
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from training.metrics import Epoch
from training.train import Training

FORMAT = 1


class CheckpointError(Exception):
    """A checkpoint cannot be gone on from; the message says why."""


def save_checkpoint(path: Path, training: Training, digest: str) -> None:
    """Write a training as it is between two epochs, and with it torch's random state.

    digest: of the recipe and the data; `load_checkpoint` wants the same.
    """
    content = io.BytesIO()
    about = {
        "format": FORMAT,
        "digest": digest,
        "step": training.step,
        "history": [asdict(epoch) for epoch in training.history],
        "random": json.dumps(training.random.bit_generator.state),  # Its integers have 128 bits.
        "torch_random": torch.get_rng_state(),
        "best": training.best,
        **{name: getattr(training, name).state_dict() for name in ("model", "averaged", "optimiser")},
    }
    torch.save(about, content)
    replace(path, content.getvalue())


def load_checkpoint(path: Path, training: Training, digest: str) -> None:
    """Bring a training that has just begun to where the saved one was, and torch's random state too.

    Raises CheckpointError for a file that is no checkpoint or damaged, and for one of another recipe or other data.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = saved["format"], saved["digest"]
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or no checkpoint; delete it to start from the beginning") from error
    if found != (FORMAT, digest):
        raise CheckpointError(f"{path} is of another recipe or other data; leave out --resume to start anew")
    for name in ("model", "averaged", "optimiser"):
        getattr(training, name).load_state_dict(saved[name])
    training.step, training.best = saved["step"], saved["best"]
    training.history = [Epoch(**epoch) for epoch in saved["history"]]
    training.random.bit_generator.state = json.loads(saved["random"])
    torch.set_rng_state(saved["torch_random"])


def replace(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whenever the process is killed."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
