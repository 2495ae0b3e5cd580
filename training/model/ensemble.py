"""The network and the linear part together: a weighted mean of their logits."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

from training.evaluation.arrays import Bools, Floats
from training.evaluation.calibration import fit_temperature, log_loss
from training.model.classifier import Classifier
from training.model.linear import LinearClassifier

Logits = TypeVar("Logits", Tensor, Floats)


def combine_logits(network: Logits, linear: Logits, share: float) -> Logits:
    """The mean of both parts' logits, weighted by the linear part's share; tensors or arrays."""
    return (1 - share) * network + share * linear


class Ensemble(nn.Module):
    """(1 - share) * the network's logit + share * the linear part's; without a linear part the network alone."""

    def __init__(self, network: Classifier, linear: LinearClassifier | None = None, share: float = 0.0) -> None:
        """Take both parts and the linear part's share, between 0 and 1."""
        super().__init__()
        self.network = network
        self.linear = linear
        self.share = share

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits, float32 [B], of tokens int64 [T, B]."""
        logits: Tensor = self.network(tokens)
        if self.linear is not None:
            logits = combine_logits(logits, self.linear(tokens), self.share)
        return logits


def fit_share(network: Floats, linear: Floats, positive: Bools) -> float:
    """The linear part's share, in steps of 0.05, with the lowest log loss once the temperature is fitted.

    network, linear: the parts' logits, float64 [N], of reviews that neither was fitted on.
    """

    def loss(share: float) -> float:
        logits = combine_logits(network, linear, share)
        return log_loss(logits, positive, fit_temperature(logits, positive))

    return min((step / 20 for step in range(21)), key=loss)
