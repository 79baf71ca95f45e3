"""Loss and metrics of answers against targets, of one model or of each seed of a stack."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from cellbench.train.draws import Question

IGNORED = -100

_TIME_AND_BATCH = (0, -1)


def loss(answers: Tensor, question: Question) -> Float[Tensor, "*seeds"]:
    """Return the mean cross-entropy in nats, or squared error, over the trained positions.

    Of a stack, that of each seed.
    """
    trained = question.trained
    if question.targets.is_floating_point():
        errors = (answers - question.targets).square().mean(dim=-1)
        return torch.where(trained, errors, 0).sum(_TIME_AND_BATCH) / trained.sum(_TIME_AND_BATCH)
    classes = question.targets.masked_fill(~trained, IGNORED)
    logits = answers.flatten(0, -2)
    if trained.ndim == 2:  # noqa: PLR2004 -- time and batch: no stack, and one kernel does it
        return cross_entropy(logits, classes.flatten(), ignore_index=IGNORED)
    each = cross_entropy(logits, classes.flatten(), ignore_index=IGNORED, reduction="none")
    return each.view(classes.shape).sum(_TIME_AND_BATCH) / trained.sum(_TIME_AND_BATCH)


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
    """Adds up scores over batches on the device; read once, at the end.

    Args:
        device: Of the answers.
        seeds: How many models answer; None for one that is not in a stack.

    Attributes:
        sums: `[4]`, or `[4, seeds]`: right positions or errors, scored positions, losses, and
            sequences that are right.
    """

    def __init__(self, device: torch.device, seeds: int | None = None) -> None:
        shape = (4,) if seeds is None else (4, seeds)
        self.sums = torch.zeros(shape, dtype=torch.float64, device=device)
        self._sequences = 0
        self._regression = False

    def add(self, answers: Tensor, question: Question) -> None:
        """Count one batch in."""
        scored = question.scored
        self._regression = question.targets.is_floating_point()
        if self._regression:
            good = torch.where(scored, (answers - question.targets).square().mean(dim=-1), 0)
            exact = torch.zeros_like(scored[0])
        else:
            right = answers.argmax(dim=-1) == question.targets
            good = right & scored
            exact = (right | ~scored).all(dim=0)
        size = scored.shape[-1]
        self._sequences += size
        values = (
            good.sum(_TIME_AND_BATCH),
            scored.sum(_TIME_AND_BATCH),
            loss(answers, question) * size,
            exact.sum(-1),
        )
        self.sums += torch.stack([value.double() for value in values])

    def each(self, sums: Tensor | None = None) -> list[Scores]:
        """Return the scores of each model over all that was added.

        Args:
            sums: What `sums` was after counting as many sequences; None for what it is.
        """
        found = self.sums if sums is None else sums
        return [self._scores(one) for one in found.view(4, -1).T.tolist()]

    def _scores(self, sums: list[float]) -> Scores:
        good, scored, lost, exact = sums
        return Scores(
            metric=good / scored,
            loss=lost / self._sequences,
            exact_rate=None if self._regression else exact / self._sequences,
        )
