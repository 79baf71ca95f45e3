"""Loss and metrics of answers against targets, of one model or of each seed of a stack."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from cellbench.generators.base import Bits, Odds, Sets, Tokens, Vectors
from cellbench.train.draws import Question

IGNORED = -100

_TIME_AND_BATCH = (0, -1)


def loss(answers: Tensor, question: Question) -> Float[Tensor, "*seeds"]:
    """Return what training minimises: a mean over the trained positions.

    Of classes and odds, cross-entropy in nats; of bits and sets, that of each bit, by itself; of
    values, the squared error of each. Of a stack, that of each seed.
    """
    trained = question.trained
    if not isinstance(question.space, Tokens | Odds):
        errors = _errors(answers, question)
        return torch.where(trained, errors, 0).sum(_TIME_AND_BATCH) / trained.sum(_TIME_AND_BATCH)
    classes = question.targets.masked_fill(~trained, IGNORED)
    logits = answers.flatten(0, -2)
    if trained.ndim == 2:  # noqa: PLR2004 -- time and batch: no stack, and one kernel does it
        return cross_entropy(logits, classes.flatten(), ignore_index=IGNORED)
    each = cross_entropy(logits, classes.flatten(), ignore_index=IGNORED, reduction="none")
    return each.view(classes.shape).sum(_TIME_AND_BATCH) / trained.sum(_TIME_AND_BATCH)


def _errors(answers: Tensor, question: Question) -> Float[Tensor, "answered *batch"]:
    """Return the mean error of the bits, or of the values, of each position."""
    if isinstance(question.space, Vectors):
        return (answers - question.targets).square().mean(dim=-1)
    return binary_cross_entropy_with_logits(answers, question.targets, reduction="none").mean(-1)


def _right(answers: Tensor, question: Question) -> Float[Tensor, "answered *batch"]:
    """Return the share of each position that is right: of bits, a part of it may be."""
    if isinstance(question.space, Bits | Sets):
        right = (answers > 0) == question.targets.bool()
        share = right.double().mean(dim=-1)
        return share if isinstance(question.space, Bits) else share.floor()
    return (answers.argmax(dim=-1) == question.targets).double()


def _excess(answers: Tensor, question: Question) -> Float[Tensor, "answered *batch"]:
    """Return the nats of each target beyond what it costs whoever knows the odds."""
    assert question.optimum is not None  # noqa: S101 -- what odds always have
    classes = question.targets.flatten()
    nats = cross_entropy(answers.flatten(0, -2), classes, reduction="none")
    return nats.view(question.targets.shape).double() - question.optimum.double()


@dataclass(frozen=True, slots=True)
class Scores:
    """How a model did on a split.

    Attributes:
        metric: As the level is scored, see `Generator.metric`.
        loss: Mean over batches of what training minimises; None of what gives no answers.
        exact_rate: Share of sequences with every scored position right; None where nobody can be
            right: for regression, and for what is drawn at random.
    """

    metric: float
    loss: float | None
    exact_rate: float | None

    @property
    def finite(self) -> bool:
        """Whether metric and loss are numbers."""
        return math.isfinite(self.metric) and (self.loss is None or math.isfinite(self.loss))


class Tally:
    """Adds up scores over batches on the device; read once, at the end.

    Args:
        device: Of the answers.
        seeds: How many models answer; None for one that is not in a stack.

    Attributes:
        sums: `[4]`, or `[4, seeds]`: right positions (or errors, or nats of excess), scored
            positions, losses, and sequences that are right.
    """

    def __init__(self, device: torch.device, seeds: int | None = None) -> None:
        shape = (4,) if seeds is None else (4, seeds)
        self.sums = torch.zeros(shape, dtype=torch.float64, device=device)
        self._sequences = 0
        self._metric = ""

    def add(self, answers: Tensor, question: Question) -> None:
        """Count one batch in."""
        self.add_pieces([(answers, question)])

    def add_pieces(self, pieces: Iterable[tuple[Tensor, Question]]) -> None:
        """Count one batch in that is answered a stretch of time after the other."""
        sums, exact = torch.zeros_like(self.sums), None
        for answers, question in pieces:
            scored, good = question.scored, self._good(answers, question)
            right = ((good == 1) | ~scored).all(dim=0)
            exact = right if exact is None else exact & right
            size, trained = scored.shape[-1], question.trained.sum(_TIME_AND_BATCH)
            lost = torch.where(trained > 0, loss(answers, question) * trained, 0)
            counts = (torch.where(scored, good, 0), scored)
            found = [*(count.sum(_TIME_AND_BATCH) for count in counts), lost, trained]
            sums += torch.stack([value.double() for value in found])
        assert exact is not None  # noqa: S101 -- a batch has a step
        self._sequences += size
        good_sum, scored_sum, lost_sum, trained_sum = sums
        exact_sum = exact.sum(-1).double()
        self.sums += torch.stack([good_sum, scored_sum, lost_sum / trained_sum * size, exact_sum])

    def _good(self, answers: Tensor, question: Question) -> Float[Tensor, "answered *batch"]:
        """Return what the metric adds up: how right each position is, or how far off."""
        self._metric = question.metric
        if question.metric == "mse":
            return _errors(answers, question)
        return (_excess if question.metric == "excess" else _right)(answers, question)

    def each(self, sums: Tensor | None = None) -> list[Scores]:
        """Return the scores of each model over all that was added.

        Args:
            sums: What `sums` was after counting as many sequences; None for what it is.
        """
        found = self.sums if sums is None else sums
        return [self._scores(one) for one in found.view(4, -1).T.tolist()]

    def _scores(self, sums: list[float]) -> Scores:
        good, scored, lost, exact = sums
        exact_rate = exact / self._sequences if self._metric in {"accuracy", "exact"} else None
        if self._metric == "exact":
            metric = exact / self._sequences
        elif self._metric == "excess":
            metric = good / math.log(2) / self._sequences
        else:
            metric = good / scored
        return Scores(metric, lost / self._sequences, exact_rate)
