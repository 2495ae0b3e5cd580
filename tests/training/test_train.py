"""Training learns, and does so the same way every time."""

from __future__ import annotations

import pytest
import torch

from tests.training.reviews import synthetic, write_csv
from training.parts import Prepared
from training.prepare import prepare
from training.recipe import Recipe
from training.train import drop_tokens, rate_at, train

SMALL = {"vocabulary": 200, "characters": 1, "width": 15, "hidden": 16, "max_tokens": 32}


def recipe(**optimiser: object) -> Recipe:
    source = {"name": "a", "language": "zh", "origin": "", "licence": "", "path": "a.csv"}
    fields = {"epochs": 3, "batch": 16, "rate": 0.01, "average": 0.9} | optimiser
    return Recipe.model_validate({"name": "x", "version": "1", "data": [source], "model": SMALL, "optimiser": fields})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("data")
    write_csv(folder / "a.csv", synthetic(400))
    return prepare(recipe(), folder, folder)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_plain_difference_is_learnt(prepared: Prepared, precision: str) -> None:
    """Two classes told apart by a word are told apart, in either precision."""
    _, history = train(recipe(precision=precision), prepared, say=lambda line: None)
    assert history[-1].dev_accuracy > 0.95
    assert history[-1].train_loss < history[0].train_loss


def test_the_same_recipe_gives_the_same_weights(prepared: Prepared) -> None:
    """A seed decides all that is random."""
    lines: list[str] = []
    (first, _), (second, _) = (train(recipe(epochs=1), prepared, say=lines.append) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert lines[0].startswith("epoch 1: train loss")


def test_the_rate_rises_then_falls_to_nothing() -> None:
    """Linear warm-up, then half a cosine."""
    rates = [rate_at(step, 100, 0.1) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0)


def test_dropped_tokens_become_unknown_and_pads_stay() -> None:
    """A pad is not a token."""
    tokens = torch.tensor([[5, 6], [7, 0]])
    assert drop_tokens(tokens, 1.0).tolist() == [[1, 1], [1, 0]]
    assert drop_tokens(tokens, 0.0).tolist() == tokens.tolist()
