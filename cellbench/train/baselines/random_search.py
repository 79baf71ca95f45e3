"""Guessing weights: what a task is worth that this solves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from cellbench.catalog import Task
from cellbench.generators.base import Fields, Reads, Tokens
from cellbench.options import whole
from cellbench.train.baselines.base import Baseline, questions
from cellbench.train.draws import Question, cut, first_asked
from cellbench.train.scores import Scores, Tally

MOST_NUMBERS = 1 << 22
"""Answers that are held at once."""

SCALES = (-1.0, 2.0)
"""Powers of ten between which each net draws how large its weights are."""


class _Nets(NamedTuple):
    """R tanh networks with their read-outs."""

    table: Float[Tensor, "nets inputs hidden"]
    recurrent: Float[Tensor, "nets hidden hidden"]
    bias: Float[Tensor, "nets 1 hidden"]
    readout: Float[Tensor, "nets hidden answers"]
    readout_bias: Float[Tensor, "nets 1 answers"]


@final
@dataclass(frozen=True, slots=True)
class RandomSearch(Baseline):
    """The best of many small tanh networks with random weights, chosen on validation.

        h_t = tanh(U x_t + W h_{t-1} + b),  answer_t = V h_t + c

    Every weight is uniform in [-s, s], s of each network log-uniform between 0.1 and 100.
    Nothing is learned: a level that this solves proves nothing about learning.

    Source: Schmidhuber, Hochreiter & Bengio 2001, "Evaluating benchmark problems by random
    guessing", in A Field Guide to Dynamical Recurrent Networks.
    Differs from it: the best of a fixed number of guesses in place of guesses until one
    solves; tanh units; one scale a network.

    Attributes:
        draws: Networks.
        hidden: Units of each.
    """

    draws: int = 1000
    hidden: int = 8

    def __post_init__(self) -> None:
        whole("draws", self.draws, low=1)
        whole("hidden", self.hidden, low=1)

    def scores(self, task: Task, seed: int, device: torch.device) -> Scores:
        nets = self._draw(task, seed, device)
        validation = list(questions(task, seed, "validation", task.budget.validation, device))
        found = _scored(nets, task.generator.reads, validation)
        better = max if task.perfect > task.trivial else min
        best = better(range(self.draws), key=lambda place: found[place].metric)
        chosen = _Nets(*(part[best : best + 1] for part in nets))
        test = list(questions(task, seed, "test", task.budget.test, device))
        (scores,) = _scored(chosen, task.generator.reads, test)
        return scores

    def _draw(self, task: Task, seed: int, device: torch.device) -> _Nets:
        """Draw on the CPU, so that a seed means the same networks on every device."""
        numbers = torch.Generator().manual_seed(seed)
        reads, answers, hidden = task.generator.reads.size, task.generator.answers.size, self.hidden
        low, high = SCALES
        power = low + (high - low) * torch.rand(self.draws, 1, 1, generator=numbers)
        shapes = ((reads, hidden), (hidden, hidden), (1, hidden), (hidden, answers), (1, answers))
        parts = [
            (2 * torch.rand(self.draws, *shape, generator=numbers) - 1) * 10**power
            for shape in shapes
        ]
        return _Nets(*(part.to(device) for part in parts))


def _scored(nets: _Nets, reads: Reads, asked: Sequence[Question]) -> list[Scores]:
    """Return the scores of each network, of as many at once as there is room for."""
    question = asked[0]
    numbers = question.targets.shape[0] * question.targets.shape[1] * nets.readout.shape[-1]
    size = max(1, MOST_NUMBERS // numbers)
    found: list[Scores] = []
    with torch.no_grad():
        for first in range(0, len(nets.bias), size):
            some = _Nets(*(part[first : first + size] for part in nets))
            counted = Tally(some.bias.device, len(some.bias))
            for whole_question in asked:
                late = cut(whole_question, first_asked(whole_question))
                counted.add(_answers(some, reads, late), _for_each(late, len(some.bias)))
            found += counted.each()
    return found


def _answers(nets: _Nets, reads: Reads, question: Question) -> Float[Tensor, "time nets batch n"]:
    h = nets.bias.new_zeros((len(nets.bias), question.inputs.shape[1], nets.bias.shape[-1]))
    found = []
    for step, x in enumerate(question.inputs):
        seen = _looked_up(nets.table, reads, x)
        h = torch.tanh(torch.baddbmm(seen + nets.bias, h, nets.recurrent))
        if step >= question.start:
            found.append(torch.baddbmm(nets.readout_bias, h, nets.readout))
    return torch.stack(found)


def _looked_up(table: Tensor, reads: Reads, x: Tensor) -> Float[Tensor, "nets batch hidden"]:
    """Return the part of the next state that the input makes, of each network."""
    if isinstance(reads, Tokens):
        return table[:, x]
    if isinstance(reads, Fields):
        starts = torch.tensor((0, *reads.sizes[:-1]), device=x.device).cumsum(0)
        return table[:, x + starts].sum(2)
    return x @ table


def _for_each(question: Question, nets: int) -> Question:
    """Ask every network the same."""
    inputs, *asked = question.tensors

    def spread(tensor: Tensor) -> Tensor:
        return tensor.unsqueeze(1).expand(len(tensor), nets, *tensor.shape[1:])

    return question.having([inputs, *map(spread, asked)])
