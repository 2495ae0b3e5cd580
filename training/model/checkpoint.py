"""Checkpoints: the state of a training after an epoch, from which it resumes to exactly the same weights.

A checkpoint is a torch archive of tensors and plain values. Reading it runs no code.
"""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from training.files import write_atomically
from training.model.train import TrainingState
from training.model.training_log import EpochMetrics

FORMAT = 1


class CheckpointError(Exception):
    """A training cannot be resumed from a checkpoint; the message says why."""


def save_checkpoint(path: Path, state: TrainingState, digest: str) -> None:
    """Write the state of a training between two epochs, together with torch's random state.

    digest: of the recipe and the data; `load_checkpoint` must be given the same.
    """
    file = io.BytesIO()
    content = {
        "format": FORMAT,
        "digest": digest,
        "step": state.step,
        "history": [asdict(epoch) for epoch in state.history],
        "random": json.dumps(state.random.bit_generator.state),  # Its integers have 128 bits.
        "torch_random": torch.get_rng_state(),
        "best": state.best,
        **{name: getattr(state, name).state_dict() for name in ("model", "averaged", "optimiser")},
    }
    torch.save(content, file)
    write_atomically(path, file.getvalue())


def load_checkpoint(path: Path, state: TrainingState, digest: str) -> None:
    """Restore the saved state into that of a training that has just begun, and torch's random state too.

    Raises CheckpointError for a file that is damaged or not a checkpoint, and for one of another recipe or other data.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = saved["format"], saved["digest"]
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a checkpoint; delete it to start from the beginning"
        ) from error
    if found != (FORMAT, digest):
        raise CheckpointError(f"{path} is of another recipe or other data; leave out --resume to start anew")
    for name in ("model", "averaged", "optimiser"):
        getattr(state, name).load_state_dict(saved[name])
    state.step, state.best = saved["step"], saved["best"]
    state.history = [EpochMetrics(**epoch) for epoch in saved["history"]]
    state.random.bit_generator.state = json.loads(saved["random"])
    torch.set_rng_state(saved["torch_random"])
