"""The pad-gate form is the packed LSTM, without packing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.model.classifier import Classifier, why_not_servable
from training.recipe import CellType, ModelSettings

VOCABULARY = 50
SHAPES: list[tuple[CellType, bool, int]] = [
    (cell, bidirectional, layers)
    for cell in ("lstm", "gru", "rnn")
    for bidirectional in (True, False)
    for layers in (1, 2)
]


def model(
    hidden: int = 16, width: int = 15, cell: CellType = "lstm", bidirectional: bool = True, layers: int = 1
) -> Classifier:
    torch.manual_seed(1)
    network = Classifier(VOCABULARY, width, hidden, cell=cell, bidirectional=bidirectional, layers=layers).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.3)
        network.embedding.weight[0] = 0
    return network


def batch(lengths: list[int], seed: int = 1, extra: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.zeros(max(lengths) + extra, len(lengths), dtype=torch.int64)
    for column, length in enumerate(lengths):
        tokens[:length, column] = torch.randint(1, VOCABULARY, (length,), generator=generator)
    return tokens


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(0, 99))
def test_the_pad_gate_form_gives_the_packed_logits(lengths: list[int], seed: int) -> None:
    """On any lengths, within 1e-6 of what a batch's largest logit is."""
    network, tokens = model(), batch(lengths, seed)
    with torch.no_grad():
        actual, expected = network(tokens), network.forward_packed(tokens)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


def test_the_pad_gate_form_gives_the_packed_gradients() -> None:
    """So training in it is training the reference."""
    tokens = batch([3, 11, 1, 30])
    gradients = []
    for form in ("forward", "forward_packed"):
        network = model()
        getattr(network, form)(tokens).square().sum().backward()
        gradients.append([weight.grad for weight in network.parameters()])
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("cell", "bidirectional", "layers"), SHAPES)
def test_every_shape_gives_the_packed_logits_and_gradients(cell: CellType, bidirectional: bool, layers: int) -> None:
    """Reversing reviews by their lengths is as good as packing them; pads beyond the longest change nothing either."""
    tokens = batch([3, 11, 1, 30], extra=2)
    results = []
    for form in ("forward", "forward_packed"):
        network = model(cell=cell, bidirectional=bidirectional, layers=layers)
        logits = getattr(network, form)(tokens)
        logits.square().sum().backward()
        results.append([logits.detach(), *(weight.grad for weight in network.parameters())])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_reversed_form_gives_the_pad_gate_forms_logits() -> None:
    """The served shape could be computed as the others are; it is only faster in its own form."""
    network, tokens = model(), batch([3, 11, 1, 30])
    expected = network(tokens)
    network.pad_gated = False
    torch.testing.assert_close(network(tokens), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({}, None),
        ({"kind": "gru"}, "its kind is gru; only LSTMs are served"),
        ({"bidirectional": False}, "it reads in one direction; only bidirectional LSTMs are served"),
        ({"layers": 2}, "it has 2 layers; only one is served"),
    ],
)
def test_one_bidirectional_lstm_layer_is_served(shape: dict[str, object], reason: str | None) -> None:
    """Others are for comparison, and the reason is said."""
    assert why_not_servable(ModelSettings.model_validate(shape)) == reason


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_dropout_is_for_training_alone(precision: torch.dtype) -> None:
    """The same scores every time in eval mode, others in training."""
    network = Classifier(VOCABULARY, 15, 16, embedding_dropout=0.5, pooled_dropout=0.5, precision=precision).eval()
    tokens = batch([4, 9])
    torch.testing.assert_close(network(tokens), network(tokens))
    network.train()
    assert not torch.equal(network(tokens), network(tokens))
