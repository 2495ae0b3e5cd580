"""From a table to an artefact by the command line."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest
from safetensors.torch import load_file

from streamer.tokenise import Vocabulary
from tests.training.reviews import synthetic, write_csv
from training.cli import main
from training.export import golden_scores

RECIPE = """
name = "tiny"
version = "0.1"
model = { vocabulary = 200, characters = 1, width = 15, hidden = 16, max_tokens = 32 }
optimiser = { epochs = 2, batch = 16, rate = 0.01, average = 0.9 }
"""
FILES = ["README.md", "golden.json", "manifest.json", "model.pt", "vocabulary.txt", "weights.safetensors"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments of a run that was made, but for the step; the last one is its folder."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    table = write_csv(folder / "own.csv", synthetic(400), header=("review", "stars"))
    own = ["--csv", str(table), "--text-column", "review", "--label-column", "stars"]
    arguments = ["--recipe", str(folder / "tiny.toml"), *own, "--out", str(folder / "out")]
    assert main(["run", *arguments]) == 0
    return arguments


def test_a_run_leaves_a_complete_artefact(run: list[str]) -> None:
    """Every file is there, and the manifest knows the digest of every other one."""
    artefact = Path(run[-1]) / "artefact"
    assert sorted(path.name for path in artefact.iterdir()) == FILES
    manifest = json.loads((artefact / "manifest.json").read_text(encoding="utf-8"))
    files = {name: hashlib.sha256((artefact / name).read_bytes()).hexdigest() for name in FILES}
    assert manifest["sha256"] == {name: digest for name, digest in files.items() if name != "manifest.json"}
    assert (manifest["name"], manifest["format"], manifest["max_tokens"]) == ("tiny", 1, 32)
    assert manifest["metrics"]["test"]["accuracy"] > 0.9
    assert 0 < manifest["uncertain"]["low"] < 0.5 < manifest["uncertain"]["high"] < 1
    assert "| own | zh | 400 |" in (artefact / "README.md").read_text(encoding="utf-8")


def test_golden_scores_come_from_the_files_beside_them(run: list[str]) -> None:
    """Vocabulary and model as they were saved reproduce every score."""
    artefact = Path(run[-1]) / "artefact"
    tokens = (artefact / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    golden = json.loads((artefact / "golden.json").read_text(encoding="utf-8"))
    assert golden_scores(artefact / "model.pt", tokens, 32) == golden
    assert len(golden) >= 40
    assert any(Vocabulary(tokens).encode(item["text"], 256).truncated for item in golden)
    assert all(0 < item["score"] < 1 and math.isfinite(item["score"]) for item in golden)


def test_the_safetensors_are_the_served_weights(run: list[str]) -> None:
    """In float16 and in the pad-gate form."""
    weights = load_file(Path(run[-1]) / "artefact" / "weights.safetensors")
    assert weights["embedding.weight"].shape[1] == 16
    assert weights["embedding.weight"][0].tolist() == [0.0] * 15 + [1.0]
    assert {str(weight.dtype) for weight in weights.values()} == {"torch.float16"}


def test_an_artefact_is_replaced_only_by_force(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is left lying about."""
    assert main(["export", *run]) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert main(["export", *run, "--force"]) == 0
    assert not [path for path in Path(run[-1]).iterdir() if path.name.startswith(".")]


def test_a_step_reuses_what_is_prepared_and_evaluate_alone_leaves_the_test_part_unread(
    run: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A model is chosen on dev."""
    assert main(["evaluate", *run]) == 0
    printed = capsys.readouterr().out
    assert "preparing" not in printed
    assert '"test": null' in printed
    assert main(["evaluate", *run, "--test"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "none"], "no such recipe"),
        (["--recipe", "own"], "give --csv"),
        (["--recipe", "own", "--csv", "absent.csv"], "no such file"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2 and no traceback."""
    assert main(["run", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_weights_of_other_data_are_refused(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Their ids would mean other tokens."""
    table = Path(run[run.index("--csv") + 1])
    before = table.read_text(encoding="utf-8")
    table.write_text(before + "新的杯子,positive\n", encoding="utf-8")
    assert main(["evaluate", *run]) == 2
    assert "train again" in capsys.readouterr().err
    table.write_text(before, encoding="utf-8")


def test_a_step_too_early_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Evaluating needs weights."""
    table = write_csv(tmp_path / "own.csv", synthetic(100))
    assert main(["evaluate", "--recipe", "own", "--csv", str(table), "--out", str(tmp_path / "out")]) == 2
    assert "weights.safetensors is missing" in capsys.readouterr().err
