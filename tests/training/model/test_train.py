"""Training learns, and does so the same way every time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.reviews import synthetic, write_csv
from training.corpus.corpus import Corpus
from training.corpus.prepare import prepare
from training.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from training.model.train import TrainingState, drop_tokens, learning_rate_factor, should_stop, start_training, train
from training.model.training_log import EpochMetrics, StepMetrics
from training.recipe import Recipe

SMALL = {"vocabulary": 200, "characters": 1, "width": 15, "hidden": 16, "max_tokens": 32}


def recipe(**optimiser: object) -> Recipe:
    source = {"name": "a", "language": "zh", "origin": "", "licence": "", "path": "a.csv"}
    fields = {"epochs": 3, "batch": 16, "rate": 0.01, "average": 0.9} | optimiser
    return Recipe.model_validate({"name": "x", "version": "1", "data": [source], "model": SMALL, "optimiser": fields})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("data")
    write_csv(folder / "a.csv", synthetic(400))
    return prepare(recipe(), folder, folder)


def trained(corpus: Corpus, **optimiser: object) -> TrainingState:
    wanted = recipe(**optimiser)
    training = start_training(wanted, len(corpus.vocabulary))
    train(training, wanted, corpus)
    return training


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_plain_difference_is_learnt(corpus: Corpus, precision: str) -> None:
    """Two classes told apart by a word are told apart, in either precision."""
    history = trained(corpus, precision=precision).history
    assert history[-1].dev_accuracy > 0.95
    assert history[-1].train_loss < history[0].train_loss


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_every_kind_learns(corpus: Corpus, kind: str) -> None:
    """Also in one direction and in two layers."""
    wanted = recipe(epochs=8)
    model = wanted.model.model_copy(update={"kind": kind, "bidirectional": False, "layers": 2})
    wanted = wanted.model_copy(update={"model": model})
    training = start_training(wanted, len(corpus.vocabulary))
    train(training, wanted, corpus)
    assert max(epoch.dev_accuracy for epoch in training.history) > 0.9


def test_the_same_recipe_gives_the_same_weights(corpus: Corpus) -> None:
    """A seed decides all that is random."""
    first, second = (trained(corpus, epochs=1).best for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


class Killed(Exception):
    """In place of a signal, right after a checkpoint."""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_training_ends_with_the_very_same_weights(corpus: Corpus, precision: str, tmp_path: Path) -> None:
    """Model, average, best weights and optimiser, to the last bit; and the history but for the clock."""
    wanted = recipe(precision=precision)
    expected = trained(corpus, precision=precision)

    def save_then_die(state: TrainingState) -> None:
        save_checkpoint(tmp_path / "checkpoint.pt", state, "digest")
        raise Killed

    with pytest.raises(Killed):
        train(start_training(wanted, len(corpus.vocabulary)), wanted, corpus, on_epoch_end=save_then_die)
    torch.manual_seed(99)  # Whatever the process did in between.
    actual = start_training(wanted, len(corpus.vocabulary))
    load_checkpoint(tmp_path / "checkpoint.pt", actual, "digest")
    train(actual, wanted, corpus)

    for one, other in (
        (actual.model.state_dict(), expected.model.state_dict()),
        (actual.averaged.state_dict(), expected.averaged.state_dict()),
        (actual.best, expected.best),
        *zip(
            actual.optimiser.state_dict()["state"].values(),
            expected.optimiser.state_dict()["state"].values(),
            strict=True,
        ),
    ):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    histories = [
        [replace(epoch, seconds=0.0, tokens_per_s=0.0) for epoch in training.history] for training in (actual, expected)
    ]
    assert histories[0] == histories[1]
    assert actual.step == expected.step


def test_a_checkpoint_of_something_else_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    """Other data or another recipe, a damaged file, and one that would run code."""
    training = start_training(recipe(), len(corpus.vocabulary))
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, training, "one")
    with pytest.raises(CheckpointError, match="of another recipe or other data"):
        load_checkpoint(path, training, "other")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged or not a checkpoint"):
        load_checkpoint(path, training, "one")
    torch.save({"format": 1, "digest": "one", "model": Path("code")}, path)
    with pytest.raises(CheckpointError, match="damaged or not a checkpoint"):
        load_checkpoint(path, training, "one")


def test_training_stops_when_dev_gets_no_better(corpus: Corpus) -> None:
    """`patience` epochs after the best one, the first of equal ones; its weights are kept."""
    history = trained(corpus, epochs=30, patience=2).history
    accuracies = [epoch.dev_accuracy for epoch in history]
    assert len(history) == accuracies.index(max(accuracies)) + 3 < 30


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [([], False), ([0.5], False), ([0.5, 0.5], False), ([0.5, 0.5, 0.4], True), ([0.5, 0.4, 0.6], False)],
)
def test_patience_is_counted_from_the_best_epoch(accuracies: list[float], expected: bool) -> None:
    """An equal epoch is no better one."""
    history = [EpochMetrics(1, 0.0, 0.0, accuracy, 0.0, 0.0) for accuracy in accuracies]
    assert should_stop(history, 2) == expected


def test_the_progress_of_a_training_is_reported(corpus: Corpus) -> None:
    """Every twenty steps and at an epoch's end, then the epoch."""
    events: list[StepMetrics | EpochMetrics] = []
    wanted = recipe(epochs=2, batch=8)
    train(start_training(wanted, len(corpus.vocabulary)), wanted, corpus, events.append)
    steps = [event for event in events if isinstance(event, StepMetrics)]
    each = -(-len(corpus.splits["train"]) // 8)
    assert [event.step for event in steps if event.epoch == 1] == [*range(20, each, 20), each]
    assert steps[-1].step == 2 * each == 2 * steps[-1].of
    assert all(event.loss > 0 and event.gradient_norm > 0 and event.tokens_per_s > 0 for event in steps)
    assert [event.epoch for event in events if isinstance(event, EpochMetrics)] == [1, 2]
    assert str(events[-1]).startswith("epoch 2: train loss")


def test_the_rate_rises_then_falls_to_nothing() -> None:
    """Linear warm-up, then half a cosine."""
    rates = [learning_rate_factor(step, 100, 0.1) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0)


def test_dropped_tokens_become_unknown_and_pads_stay() -> None:
    """A pad is not a token."""
    tokens = torch.tensor([[5, 6], [7, 0]])
    assert drop_tokens(tokens, 1.0).tolist() == [[1, 1], [1, 0]]
    assert drop_tokens(tokens, 0.0).tolist() == tokens.tolist()
