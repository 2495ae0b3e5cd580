"""The stages one at a time, on a tiny model and without a broker."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from benchmarks import stages
from tests.benchmarks.figures import bars
from tests.training.reviews import synthetic, write_csv
from training.cli import main

RECIPE = """
name = "tiny"
version = "0.1"
model = { vocabulary = 200, characters = 1, width = 15, hidden = 16, max_tokens = 32 }
optimiser = { epochs = 1, batch = 16, rate = 0.01, average = 0.9 }
"""


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few thousand weights."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    table = write_csv(folder / "own.csv", synthetic(200), header=("review", "stars"))
    own = ["--csv", str(table), "--text-column", "review", "--label-column", "stars"]
    assert main(["run", str(folder / "tiny.toml"), *own, "--threads", "1", "--out", str(folder / "out")]) == 0
    return folder / "out" / "artefact"


@pytest.fixture(scope="module")
def figures(artefact: Path) -> dict[str, Any]:
    """What a dry run gives, as it is read back from its file."""
    parser = argparse.ArgumentParser()
    stages.arguments(parser)
    options = ["--no-broker", "--reviews", "200", "--rounds", "2", "--mean-tokens", "0", "--model", str(artefact)]
    figures: dict[str, Any] = json.loads(json.dumps(stages.measure(parser.parse_args(options))))
    return figures


def test_every_stage_takes_time_and_the_sum_is_theirs(figures: dict[str, Any]) -> None:
    """Consume and publish are left out; the bound is cores over the sum, the best round is what counts."""
    assert list(figures["stages"]) == ["decode", "tokenise", "bucket", "infer", "encode"]
    assert all(micros > 0 for micros in (*figures["stages"].values(), *figures["parts"].values()))
    assert figures["sum"] == pytest.approx(sum(figures["stages"].values()))
    assert figures["bound"] == pytest.approx(figures["cores"] * 1e6 / figures["sum"])
    assert figures["model_share"] == pytest.approx(figures["stages"]["infer"] / figures["sum"])
    assert {len(rounds) for rounds in figures["by_round"].values()} == {2}
    assert all(figures["stages"][name] == min(figures["by_round"][name]) for name in figures["stages"])


def test_inference_is_measured_without_evidence_too(figures: dict[str, Any]) -> None:
    """And on one thread, where the service takes more."""
    assert "infer, 1 thread, no evidence" in figures["infer"]
    assert all(spent["wall_microseconds"] > 0 for spent in figures["infer"].values())


def test_the_section_says_the_bound(figures: dict[str, Any]) -> None:
    """From the recorded figures alone, with what was left out."""
    text = stages.section(figures)
    assert f"{figures['bound']:,.0f} reviews/s" in text
    assert "Consume and publish were left out." in text


def test_the_plot_has_a_bar_for_each_stage(figures: dict[str, Any], drawn: list[Figure]) -> None:
    """As long as its core-microseconds, in the order of the stages from the top."""
    files = stages.plots(figures)
    (axes,) = drawn[0].axes
    (lengths,) = bars(axes).values()
    assert lengths == list(figures["stages"].values())
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(figures["stages"])
    assert axes.yaxis_inverted()
    assert list(files) == ["stages.png"]
    assert files == stages.plots(figures), "other bytes for the same figures"
