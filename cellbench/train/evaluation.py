"""Scoring what was learned: on a split, and at other lengths."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from msgspec.structs import replace
from torch import Tensor

from cellbench.catalog import Task
from cellbench.cells.base import State
from cellbench.generators.stream import Stream
from cellbench.record import Rung
from cellbench.train.both_ways import BothWays
from cellbench.train.draws import Question, Streams, cut, draw_whole, split_batches
from cellbench.train.model import CarriedModel
from cellbench.train.reasons import first_line
from cellbench.train.scores import Scores, Tally

Seeds = int | Sequence[int]
"""The seed of a model, or of each model of a stack."""

PIECE = 1024
"""Steps that a model answers at once on a ladder: what it needs of memory does not grow with the
length of a sequence. Of the sequence itself there are its ids and masks."""

MOST_STEPS = 1 << 20
"""Steps of all sequences of a rung together, about."""

LEAST_SEQUENCES = 16

MOST_TAPE = 1 << 12
"""Steps that a cell is carried over which keeps all it has seen: its work grows as their square."""


def evaluate(model: CarriedModel, task: Task, seeds: Seeds, split: str, count: int) -> list[Scores]:
    """Score a model, or each of a stack, on the first `count` sequences of a split.

    Args:
        model: One, or a stack.
        task: The level.
        seeds: Of the data.
        split: Which to draw from.
        count: How many sequences, of each seed.
    """
    device = next(model.parameters()).device
    drawn_from = streams(seeds, split)
    questions = split_batches(task.generator, drawn_from, count, task.budget.batch, device)
    return tally(model, questions, seeds, device).each()


def tally(
    model: CarriedModel, questions: Iterable[Question], seeds: Seeds, device: torch.device
) -> Tally:
    """Answer all questions in evaluation mode, and count."""
    counted = Tally(device, None if isinstance(seeds, int) else len(seeds))
    model.eval()
    with torch.no_grad():
        for question in questions:
            counted.add(model(question.inputs, start=question.start), question)
    model.train()
    return counted


def climb(model: CarriedModel, task: Task, seeds: Seeds) -> list[tuple[Rung, ...]]:
    """Test a model, or each of a stack, at the lengths of a level's ladder.

    A rung that cannot be climbed is no reason to lose what was learned: it says why.
    """
    rungs = [_rung(model, task, seeds, length) for length in task.ladder]
    count = 1 if isinstance(seeds, int) else len(seeds)
    return [tuple(rung[place] for rung in rungs) for place in range(count)]


def _rung(model: CarriedModel, task: Task, seeds: Seeds, length: int) -> list[Rung]:
    """Return what each model scores at one length, on the test split there."""
    sequences = min(max(MOST_STEPS // length, LEAST_SEQUENCES), task.budget.test)
    blank = Rung(length=length, sequences=sequences)
    count = 1 if isinstance(seeds, int) else len(seeds)
    if model.cell.grows and length > MOST_TAPE:
        reason = f"it keeps all it has seen: not carried over more than {MOST_TAPE} steps"
        return [_because(blank, reason)] * count
    try:
        found = _scores_at(model, task, seeds, length, sequences)
    except Exception as error:  # noqa: BLE001 -- out of memory, or whatever a cell does so far out
        model.train()
        return [_because(blank, first_line(error))] * count
    return [_scored(blank, task, scores) for scores in found]


def _scored(blank: Rung, task: Task, scores: Scores) -> Rung:
    if not math.isfinite(scores.metric):
        return _because(blank, "not finite")
    there = dataclasses.replace(task, generator=task.generator.at_length(blank.length))
    return replace(
        blank,
        metric=scores.metric,
        skill=there.skill(scores.metric),
        exact_rate=scores.exact_rate,
    )


def _scores_at(
    model: CarriedModel, task: Task, seeds: Seeds, length: int, sequences: int
) -> list[Scores]:
    device = next(model.parameters()).device
    counted = Tally(device, None if isinstance(seeds, int) else len(seeds))
    drawn_from, generator = streams(seeds, "test"), task.generator.at_length(length)
    batch = min(task.budget.batch, max(MOST_STEPS // length, LEAST_SEQUENCES))
    model.eval()
    with torch.no_grad():
        for first in range(0, sequences, batch):
            index = torch.arange(first, min(first + batch, sequences), device=device)
            question = draw_whole(generator, drawn_from, index)
            piece = len(question.inputs) if isinstance(model.cell, BothWays) else PIECE
            counted.add_pieces(answered_in_pieces(model, question, piece))
    model.train()
    return counted.each()


def answered_in_pieces(
    model: CarriedModel, question: Question, piece: int = PIECE
) -> Iterator[tuple[Tensor, Question]]:
    """Yield the answers to each stretch of a question that starts at step 0, the state carried.

    Args:
        model: In evaluation mode.
        question: Whole.
        piece: Steps of a stretch.
    """
    state: State | None = None
    for first in range(0, len(question.inputs), piece):
        part = question.made_by(lambda tensor, at=first: tensor[at : at + piece])  # type: ignore[misc]  # bound early
        answers, state = model.answer(part.inputs, state=state)
        yield answers, cut(part, 0)


def _because(rung: Rung, reason: str) -> Rung:
    return replace(rung, reason=reason)


def streams(seeds: Seeds, split: str) -> Streams:
    """Return where the sequences of a split come from."""
    if isinstance(seeds, int):
        return Stream(seeds, split)
    return [Stream(seed, split) for seed in seeds]
