"""A run that was killed or interrupted goes on to the same weights."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.reviews import synthetic, write_csv
from training.cli import main

RECIPE = """
name = "tiny"
version = "0.1"
model = { vocabulary = 200, characters = 1, width = 15, hidden = 16, max_tokens = 32 }
optimiser = { epochs = 4, batch = 4, rate = 0.01, average = 0.9, patience = 4 }

[[data]]
name = "own"
language = "zh"
path = "./own.csv"
origin = ""
licence = ""
"""
EPOCHS = 4


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("resume")
    (folder / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    write_csv(folder / "own.csv", synthetic(1000))
    return str(folder / "tiny.toml")


@pytest.fixture(scope="module")
def expected(recipe: str) -> dict[str, torch.Tensor]:
    """The weights of a run that nothing happened to."""
    out = Path(recipe).parent / "whole"
    assert main(["train", recipe, "--threads", "1", "--out", str(out)]) == 0
    return load_file(out / "weights.safetensors")


def stopped(recipe: str, out: Path, by: signal.Signals) -> tuple[int, str]:
    """Run in a process of its own until an epoch is done, then send it the signal: exit code and standard error."""
    command = [sys.executable, "-m", "training", "run", recipe, "--threads", "1", "--out", str(out)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell would hand down that it ignores SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    try:
        deadline = time.monotonic() + 120
        while not (out / "checkpoint.pt").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(by)
        return process.wait(60), process.communicate()[1]
    finally:
        process.kill()
        process.wait()


def epochs(out: Path) -> list[int]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["epoch"] for line in lines if line["event"] == "epoch"]


@pytest.mark.parametrize(("by", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_stopped_run_is_resumed_to_the_same_weights(
    recipe: str,
    expected: dict[str, torch.Tensor],
    tmp_path: Path,
    by: signal.Signals,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """To the last bit, with each epoch once in the metrics; an interrupt says how to go on and leaves no scraps."""
    out = tmp_path / "out"
    ended, said = stopped(recipe, out, by)
    assert ended == code
    assert not (out / "weights.safetensors").exists(), "the run was over before the signal came"
    if by == signal.SIGINT:
        assert said.strip() == "interrupted: the same command with --resume goes on after the last whole epoch"
        assert not [path for path in out.iterdir() if path.name.startswith(".")]

    assert main(["run", recipe, "--threads", "1", "--out", str(out), "--resume"]) == 0
    assert "going on after epoch" in capsys.readouterr().out
    actual = load_file(out / "weights.safetensors")
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    assert epochs(out) == list(range(1, EPOCHS + 1))
    assert (out / "artefact" / "manifest.json").exists()
    # A run that is over can be resumed too, to the same end.
    assert main(["train", recipe, "--threads", "1", "--out", str(out), "--resume"]) == 0
    assert "epoch 1:" not in capsys.readouterr().out


def test_without_resume_a_run_starts_anew(
    recipe: str, expected: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    """And says so; a checkpoint of another recipe is not gone on from."""
    out = Path(recipe).parent / "whole"
    arguments = ["train", recipe, "--threads", "1", "--out", str(out), "--set", "optimiser.epochs=1", "--force"]
    assert main([*arguments, "--resume"]) == 2
    assert "of another recipe or other data" in capsys.readouterr().err
    assert main(arguments) == 0
    assert "starting anew" in capsys.readouterr().out
    assert epochs(out) == [1]
    (out / "checkpoint.pt").unlink()
    assert main([*arguments, "--resume"]) == 0
    assert "no checkpoint to go on from" in capsys.readouterr().out
