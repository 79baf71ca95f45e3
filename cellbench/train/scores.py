"""Loss and metrics of answers against targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cellbench.train.draws import Question

IGNORED = -100


def loss(answers: Tensor, question: Question) -> Tensor:
    """Return the mean cross-entropy in nats, or squared error, over the trained positions."""
    if question.targets.is_floating_point():
        errors = (answers - question.targets).square().mean(dim=-1)
        return torch.where(question.trained, errors, 0).sum() / question.trained.sum()
    classes = question.targets.masked_fill(~question.trained, IGNORED)
    return cross_entropy(answers.flatten(0, 1), classes.flatten(), ignore_index=IGNORED)


@dataclass(frozen=True, slots=True)
class Scores:
    """How a model did on a split.

    Attributes:
        metric: Accuracy over the scored positions of all sequences, or mean squared error.
        loss: Mean over batches of what training minimises.
        exact_rate: Share of sequences with every scored position right; None for regression.
    """

    metric: float
    loss: float
    exact_rate: float | None


class Tally:
    """Adds up scores over batches on the device; read once, by `scores`."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(5, dtype=torch.float64, device=device)
        self._regression = False

    def add(self, answers: Tensor, question: Question) -> None:
        """Count one batch in."""
        scored = question.scored
        self._regression = question.targets.is_floating_point()
        if self._regression:
            good = torch.where(scored, (answers - question.targets).square().mean(dim=-1), 0)
            exact = scored.new_zeros(())
        else:
            right = answers.argmax(dim=-1) == question.targets
            good = right & scored
            exact = (right | ~scored).all(dim=0).sum()
        size = scored.shape[1]
        values = (good.sum(), scored.sum(), loss(answers, question) * size, exact, size)
        self._sums += torch.stack(
            [torch.as_tensor(v, device=scored.device).double() for v in values]
        )

    def scores(self) -> Scores:
        """Return the scores over all that was added."""
        good, scored, lost, exact, sequences = self._sums.tolist()
        return Scores(
            metric=good / scored,
            loss=lost / sequences,
            exact_rate=None if self._regression else exact / sequences,
        )
