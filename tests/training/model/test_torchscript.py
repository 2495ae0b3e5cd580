"""What is served: the trained scores, unmoved by padding, and evidence that adds up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.model.test_classifier import batch, model
from training.model.export import PAD_GATE_TOLERANCE
from training.model.torchscript import (
    ServedClassifier,
    load_script,
    max_over_time,
    pad_gate_difference,
    to_torchscript,
    without_profiling,
)

LENGTHS = [1, 7, 30, 64, 2, 13, 30, 5]
TEMPERATURE = 1.7


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module as it is shipped, in float16."""
    path = tmp_path_factory.mktemp("served") / "model.pt"
    to_torchscript(model(hidden=32, width=31), TEMPERATURE).save(str(path))
    return path


@pytest.fixture
def served(saved: Path) -> Iterator[Any]:
    """The module as it is opened: computed with in float32."""
    with without_profiling():
        yield load_script(saved)


def test_scores_are_the_calibrated_packed_scores() -> None:
    """The served form against the reference, in float32, within 1e-6."""
    network, tokens = model(), batch(LENGTHS)
    with torch.inference_mode():
        expected = torch.sigmoid(network.forward_packed(tokens) / TEMPERATURE)
        torch.testing.assert_close(ServedClassifier(network, TEMPERATURE)(tokens), expected, rtol=0, atol=1e-6)


def test_the_check_at_export_finds_a_form_that_is_not_exact() -> None:
    """With the gates left open at pads, scores are off by far more than rounding."""
    network = model()
    assert pad_gate_difference(network, TEMPERATURE, 64) < PAD_GATE_TOLERANCE
    network.gate.zero_()
    assert pad_gate_difference(network, TEMPERATURE, 64) > 100 * PAD_GATE_TOLERANCE


def test_states_are_exactly_zero_at_pads() -> None:
    """Not nearly: nothing of a pad reaches the pools or the backward direction."""
    serving, tokens = ServedClassifier(model(), 1.0), batch(LENGTHS, extra=9)
    with torch.inference_mode():
        states, _ = serving.lstm(serving.embedding(tokens))
    assert states[tokens == 0].abs().max() == 0
    assert states[tokens != 0].abs().min() > 0


def test_more_padding_changes_no_score(served: Any) -> None:
    """A review gets the same score in any batch."""
    tokens = batch(LENGTHS)
    with torch.inference_mode():
        for extra in (1, 40):
            torch.testing.assert_close(served(batch(LENGTHS, extra=extra)), served(tokens), rtol=0, atol=1e-6)
        alone = torch.cat([served(tokens[:length, i : i + 1]) for i, length in enumerate(LENGTHS)])
        torch.testing.assert_close(alone, served(tokens), rtol=0, atol=1e-6)


def test_evidence_sums_to_the_calibrated_logit(served: Any) -> None:
    """Over the tokens of each review; pads have none, and the score is forward's."""
    tokens = batch(LENGTHS, extra=3)
    with torch.inference_mode():
        score, weight = served.explain(tokens)
        torch.testing.assert_close(weight.sum(0), torch.logit(served(tokens)), rtol=0, atol=1e-4)
        torch.testing.assert_close(score, served(tokens), rtol=0, atol=1e-6)
    assert weight.shape == tokens.shape
    assert weight[tokens == 0].abs().max() == 0


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
def test_peaks_are_the_maximum_and_where_it_is(precision: torch.dtype) -> None:
    """Of states and 0, negative ones and zeros of either sign included."""
    torch.manual_seed(1)
    states = torch.randn(40, 5, 64).clamp(-0.9, 0.9).to(precision)
    states[:, 0] = -states[:, 0].abs()
    states[3:9, 1] = -0.0
    states[5, 2] = 1.0
    peak, step = max_over_time(states)
    assert torch.equal(peak, states.amax(0).float().clamp(min=0))
    found = states.gather(0, step.unsqueeze(0)).squeeze(0).float()
    assert (peak - found)[peak > 0].max() < 2**-14
    assert (step[2] == 5).all()


def test_nothing_but_pads_is_undecided(served: Any) -> None:
    """A review without tokens, or a column that fills a batch up."""
    with torch.inference_mode():
        score, weight = served.explain(torch.zeros(5, 2, dtype=torch.int64))
    assert score.tolist() == [0.5, 0.5]
    assert weight.abs().max() == 0


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_short_float_formats_score_nearly_the_same(served: Any, precision: torch.dtype, tolerance: float) -> None:
    """The loaded module may be cast; what it returns is float32 all the same."""
    tokens = batch(LENGTHS, extra=3)
    with torch.inference_mode():
        expected = served(tokens)
        short = served.to(precision)
        score, weight = short.explain(tokens)
        actual = short(tokens)
        summed = torch.sigmoid(weight.sum(0))
    assert (score.dtype, weight.dtype, actual.dtype) == (torch.float32,) * 3
    for one in (score, actual, summed):
        torch.testing.assert_close(one, expected, rtol=0, atol=tolerance)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore:RNN module weights are not part of single contiguous chunk")
def test_scores_on_cuda_are_those_of_the_cpu(served: Any) -> None:
    """In float16, which is what is served there."""
    tokens = batch(LENGTHS, extra=3)
    with torch.inference_mode():
        expected = served(tokens)
        score, weight = served.half().cuda().explain(tokens.cuda())
    torch.testing.assert_close(score.cpu(), expected, rtol=0, atol=0.01)
    assert weight[(tokens == 0).cuda()].abs().max() == 0
