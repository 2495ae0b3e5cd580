"""From a table to an artefact by the command line."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.training.reviews import synthetic, write_csv
from training.cli import main
from training.evaluation.checklist import load_pairs
from training.evaluation.model_card import model_card
from training.model.export import golden_scores

RECIPE = """
name = "tiny"
version = "0.1"
model = { vocabulary = 200, characters = 1, width = 15, hidden = 16, max_tokens = 32 }
optimiser = { epochs = 4, batch = 16, rate = 0.01, average = 0.9 }
"""
PLOTS = ["confusion.png", "coverage.png", "learning-curve.png", "lengths.png", "reliability.png"]
FILES = sorted(
    ["README.md", "golden.json", "manifest.json", "model.pt", "vocabulary.txt", "weights.safetensors", *PLOTS]
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments of a run that was made, but for the step; the first is its recipe, the last its folder."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    table = write_csv(folder / "own.csv", synthetic(400), header=("review", "stars"))
    own = ["--csv", str(table), "--text-column", "review", "--label-column", "stars"]
    arguments = [str(folder / "tiny.toml"), *own, "--out", str(folder / "out")]
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


def test_an_artefact_shows_its_plots_and_what_it_can_read(run: list[str]) -> None:
    """The plots are those that `evaluate` left; the checklist is whole, and what fails is named in the manifest."""
    artefact = Path(run[-1]) / "artefact"
    manifest = json.loads((artefact / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["plots"] == PLOTS
    plots = {name: (artefact / name).read_bytes() for name in PLOTS}
    assert plots == {name: (Path(run[-1]) / "plots" / name).read_bytes() for name in PLOTS}
    assert all(content.startswith(b"\x89PNG") for content in plots.values())
    assert sum(map(len, plots.values())) < 150_000
    found = manifest["checklist"]
    assert found["pairs"] == sum(not case.known_failure for case in load_pairs())
    assert found["passed"] == sum(capability["passed"] for capability in found["by_capability"].values())
    assert [*found["known_failures"]] == ["irony"]
    failed = [one for capability in found["by_capability"].values() for one in capability["failed"]]
    assert len(failed) == found["pairs"] - found["passed"]
    card = (artefact / "README.md").read_text(encoding="utf-8")
    assert card == model_card(manifest)
    assert all(f"]({name})" in card for name in PLOTS)


def test_golden_scores_come_from_the_files_beside_them(run: list[str]) -> None:
    """Vocabulary and model as they were saved reproduce every score."""
    artefact = Path(run[-1]) / "artefact"
    tokens = (artefact / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    golden = json.loads((artefact / "golden.json").read_text(encoding="utf-8"))
    assert golden_scores(artefact / "model.pt", tokens, 32) == golden
    assert len(golden) >= 40
    assert any(len(item["text"]) > 900 for item in golden)
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


def test_a_step_reuses_what_is_prepared_and_evaluate_alone_leaves_the_test_split_unread(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model is chosen on dev."""
    assert main(["evaluate", *run, "--json", str(tmp_path / "metrics.json")]) == 0
    printed = capsys.readouterr().out
    assert "preparing" not in printed
    assert "dev: " in printed
    assert "test: " not in printed
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert metrics == json.loads((Path(run[-1]) / "evaluation.json").read_text(encoding="utf-8"))
    assert metrics["test"] is None
    assert main(["evaluate", *run, "--test"]) == 0
    assert "test: " in capsys.readouterr().out


def test_an_artefact_is_measured_on_a_labelled_file(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any on any, without a run's folder."""
    table = write_csv(tmp_path / "other.csv", synthetic(60, seed=5), header=("a", "b"))
    columns = ["--text-column", "a", "--label-column", "b"]
    arguments = ["evaluate", "--model", str(Path(run[-1]) / "artefact"), "--data", str(table), *columns]
    assert main([*arguments, "--json", str(tmp_path / "metrics.json")]) == 0
    evaluation = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert evaluation["reviews"] == 60
    assert evaluation["figures"]["accuracy"] > 0.85
    assert "other.csv: 60 reviews, accuracy" in capsys.readouterr().out
    assert main([*arguments, "--json", str(tmp_path / "none" / "metrics.json")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main([*arguments[:2], str(tmp_path), *arguments[3:]]) == 2
    assert "error: " in capsys.readouterr().err


def test_a_run_leaves_a_record_of_itself(run: list[str]) -> None:
    """Recipe, splits, environment, metrics and plots; nothing of the machine's folders is in them."""
    folder = Path(run[-1])
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("artefact", "checkpoint.pt", "environment.json", "evaluation.json", "metrics.jsonl", "plots"),
        *("prepared.json", "prepared.npz", "recipe.json", "splits.json", "weights.safetensors"),
    }
    read = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("recipe", "splits", "environment")}
    assert read["recipe"]["data"][0]["path"] == "own.csv"
    assert sum(part["reviews"] for part in read["splits"]["parts"].values()) == 400
    assert all(len(part["sha256"]) == 64 for part in read["splits"]["parts"].values())
    assert read["environment"]["threads"] == 1
    assert str(folder.parent) not in "".join(map(json.dumps, read.values()))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["event"] == "epoch"] == [1, 2, 3, 4]
    assert {"step", "loss", "rate", "gradient_norm", "tokens_per_s"} < lines[0].keys()
    assert sorted(path.name for path in (folder / "plots").iterdir()) == PLOTS


def test_a_run_of_another_recipe_is_not_touched(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what differs. A change that leaves the weights fitting needs no new training, once forced."""
    weights = Path(run[-1]) / "weights.safetensors"
    before = weights.read_bytes()
    assert main(["train", *run, "--set", "optimiser.epochs=1"]) == 2
    assert "another recipe (optimiser.epochs: 4 there, 1 here)" in capsys.readouterr().err
    assert main(["evaluate", *run, "--set", "optimiser.epochs=1", "--force"]) == 2
    assert "train again" in capsys.readouterr().err
    assert main(["evaluate", *run, "--set", "band.least=0.1", "--force"]) == 0
    assert main(["evaluate", *run, "--force"]) == 0
    assert weights.read_bytes() == before


def test_a_model_for_comparison_is_measured_but_not_exported(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`export` says so before any work, `run` leaves it out."""
    arguments = [*run[:-1], str(tmp_path / "out"), "--set", "model.kind=gru"]
    assert main(["export", *arguments]) == 2
    assert "cannot be exported: its kind is gru" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["run", *arguments]) == 0
    assert "not exported: its kind is gru" in capsys.readouterr().out
    assert not (tmp_path / "out" / "artefact").exists()
    assert (tmp_path / "out" / "evaluation.json").exists()


def test_word_vectors_count_into_what_the_weights_fit(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are found from --data-dir, or beside the recipe; other ones need a new training."""
    vectors = Path(run[0]).parent / "vectors.txt"
    numbers = " ".join(["0.5"] * 15)
    vectors.write_text(f"cup {numbers}\n杯子 {numbers}\n", encoding="utf-8")
    change = ["--set", "model.vectors=./vectors.txt"]
    arguments = [*run[:-1], str(tmp_path / "out"), *change]
    assert main(["train", *arguments]) == 0
    assert "vectors.txt: vectors of 2 of" in capsys.readouterr().out
    assert main(["evaluate", *arguments]) == 0
    vectors.write_text(f"cup {numbers}\n", encoding="utf-8")
    assert main(["evaluate", *arguments]) == 2
    assert "train again" in capsys.readouterr().err
    vectors.write_text("cup 1 2 3\n", encoding="utf-8")
    assert main(["train", *arguments]) == 2
    assert "vectors.txt, line 1: its vectors have 3 numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none"], "no such recipe"),
        (["run", "own"], "give --csv"),
        (["run", "own", "--csv", "absent.csv"], "no such file"),
        (["run", "own", "--csv", "."], "Is a directory"),
        (["run", "own", "--csv", __file__, "--out", __file__], "test_cli.py"),
        (["run", "own", "--set", "model.knd=gru"], "--set model.knd=gru: model.knd"),
        (["run", "."], "no such recipe"),
        (["train", "absent.json"], "absent.json: No such file"),
        (["run"], "Missing argument"),
        (["dance"], "No such command"),
        (["run", "own", "--threads", "0"], "--threads"),
        (["evaluate"], "give RECIPE, or both --model and --data"),
        (["evaluate", "--model", "x"], "give RECIPE, or both --model and --data"),
        (["evaluate", "--model", "absent", "--data", __file__], "absent"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With exit code 2 and no traceback, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_other_data_are_refused(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A run's folder stays what it was; forced, its weights are, whose ids would mean other tokens."""
    table = Path(run[run.index("--csv") + 1])
    before = table.read_bytes()
    table.write_bytes(before + "新的杯子,positive\r\n".encode())
    assert main(["evaluate", *run]) == 2
    assert "is of other data" in capsys.readouterr().err
    assert main(["evaluate", *run, "--force"]) == 2
    assert "train again" in capsys.readouterr().err
    table.write_bytes(before)
    assert main(["evaluate", *run, "--force"]) == 0


def test_prepared_data_that_were_cut_off_are_made_again(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As an older version, or a killed copy, may leave them."""
    corpus = Path(run[-1]) / "prepared.json"
    before = corpus.read_bytes()
    corpus.write_bytes(before[:100])
    assert main(["evaluate", *run]) == 0
    assert "preparing" in capsys.readouterr().out
    assert corpus.read_bytes() == before


def test_a_step_too_early_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Evaluating needs weights, exporting an evaluation."""
    table = write_csv(tmp_path / "own.csv", synthetic(100))
    arguments = ["own", "--csv", str(table), "--out", str(tmp_path / "out")]
    assert main(["evaluate", *arguments]) == 2
    assert "weights.safetensors is missing: run the step `train` first" in capsys.readouterr().err
    assert main(["export", *arguments]) == 2
    assert "evaluation.json is missing: run the step `evaluate` first" in capsys.readouterr().err


def case(folder: Path, labels: tuple[str, str, str], encoding: str = "utf-8") -> Path:
    """A table of 200 reviews with labels as written here: of positive, negative and a few further ones."""
    rows = [("text", "label")]
    rows += [(text, labels[0] if label == "positive" else labels[1]) for text, label in synthetic(200)]
    rows += [(f"middling {number}", labels[2]) for number in range(3) if labels[2]]
    path = folder / "own.csv"
    path.write_text("".join(f"{text},{label}\n" for text, label in rows), encoding=encoding)
    return path


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (("1", "-1", "0"), []),
        (("4", "0", ""), []),
        (("好评", "差评", ""), []),
        (("True", "False", ""), []),
        (("1.0", "0.0", "nan"), ["--labels", "skip=nan"]),
        (("1.0", "0.0", "nan"), ["--skip-bad-rows"]),
        (("5.0", "1.0", "3.0"), ["--labels", "positive=4,5", "--labels", "negative=1,2", "--labels", "neutral=3"]),
    ],
    ids=str,
)
def test_labels_as_people_have_them_are_prepared(
    tmp_path: Path, labels: tuple[str, str, str], options: list[str]
) -> None:
    """By themselves where they are clear, else by the option that the error names."""
    (tmp_path / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    table = case(tmp_path, labels)
    arguments = ["prepare", str(tmp_path / "tiny.toml"), "--csv", str(table), "--out", str(tmp_path / "out")]
    assert main([*arguments, *options]) == 0
    if options:
        assert main([*arguments[:-1], str(tmp_path / "other")]) == 2


def test_the_encoding_of_ones_own_table_is_an_option_or_a_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names it, and a recipe without data of its own takes --set data.0 of the table that is added."""
    (tmp_path / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    table = case(tmp_path, ("好评", "差评", ""), "gbk")
    arguments = ["prepare", str(tmp_path / "tiny.toml"), "--csv", str(table), "--out"]
    assert main([*arguments, str(tmp_path / "none")]) == 2
    assert "--encoding" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "option"), "--encoding", "gbk"]) == 0
    assert main([*arguments, str(tmp_path / "change"), "--set", "data.0.encoding=gbk"]) == 0


@pytest.mark.parametrize("option", ["--csv", "--out", "--data-dir", "--cache", "--artefact", "--verdicts"])
def test_a_key_in_place_of_a_path_is_not_shown(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 before anything is read."""
    assert main(["run", "own", option, "x-----BEGIN PRIVATE KEY-----\nMIIEvQ\n"]) == 2
    shown = capsys.readouterr().err
    assert "a PEM text, not the path of a file" in " ".join(shown.replace("│", " ").split())
    assert "MIIEvQ" not in shown


def test_labels_without_a_table_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """They would be without effect."""
    assert main(["prepare", "bundled", "--labels", "skip=nan"]) == 2
    assert "--labels goes with --csv" in capsys.readouterr().err


def test_a_table_whose_name_is_not_utf_8_is_used(tmp_path: Path) -> None:
    """The model card and the saved recipe show its name with escapes."""
    (tmp_path / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    try:
        table = case(tmp_path, ("1", "0", "")).rename(tmp_path / "own\udce9\x1b.csv")
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    assert main(["prepare", str(tmp_path / "tiny.toml"), "--csv", str(table), "--out", str(tmp_path / "out")]) == 0
    saved = json.loads((tmp_path / "out" / "recipe.json").read_text(encoding="utf-8"))
    assert saved["data"][0]["path"] == saved["data"][0]["origin"] == "own\\xe9\\x1b.csv"
