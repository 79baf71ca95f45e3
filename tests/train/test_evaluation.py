"""Other lengths, and a state that is carried from one stretch of time to the next."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from levels import Doubled, model_of, small

from cellbench.cells import CELLS
from cellbench.generators.adding import Adding
from cellbench.generators.stream import Stream
from cellbench.train import evaluation
from cellbench.train.draws import draw_whole
from cellbench.train.evaluation import answered_in_pieces, climb, evaluate
from cellbench.train.model import SequenceModel
from cellbench.train.scores import Tally

TASK = small("copying/tiny", test=40)


class Lengthy(Doubled):
    """Adding at any length, as a generator with a ladder is."""

    def at_length(self, length):
        return Lengthy(Adding(length=length, positions="halves"))


def laddered(*lengths):
    task = small("adding/length-10", test=40)
    return dataclasses.replace(task, generator=Lengthy(task.generator), ladder=lengths)


@pytest.mark.parametrize("cell", CELLS)
def test_in_pieces_is_at_once(cell) -> None:
    """For every cell, cut after every step, in the middle, and unevenly."""
    torch.manual_seed(0)
    reads, answers = TASK.generator.reads, TASK.generator.answers
    model = SequenceModel(CELLS[cell], reads, answers, 8).double().eval()
    question = draw_whole(TASK.generator, Stream(0, "test"), torch.arange(4))
    with torch.no_grad():
        whole = model(question.inputs)
        for piece in (1, 3, 5):
            pieces = [part for part, _ in answered_in_pieces(model, question, piece)]

            assert torch.allclose(torch.cat(pieces), whole, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("piece", [1, 2, 4, 100])
@pytest.mark.parametrize("level", ["copying-arjovsky/tiny", "adding/length-10"])
def test_pieces_are_scored_as_the_whole(level, piece) -> None:
    task = small(level)
    model = model_of(CELLS["lstm"], task, 0).eval()
    question = draw_whole(task.generator, Stream(0, "test"), torch.arange(9))
    whole, pieces = Tally(torch.device("cpu")), Tally(torch.device("cpu"))
    with torch.no_grad():
        whole.add(model(question.inputs), question)
        pieces.add_pieces(answered_in_pieces(model, question, piece))

    assert dataclasses.astuple(pieces.each()[0]) == pytest.approx(
        dataclasses.astuple(whole.each()[0])
    )


def test_a_rung_is_the_test_split_at_that_length() -> None:
    task = laddered(10, 30)
    model = model_of(CELLS["lstm"], task, 0)
    ((here, there),) = climb(model, task, 3)

    assert (here.length, there.length) == (10, 30)
    assert here.sequences == 40
    assert here.metric == pytest.approx(evaluate(model, task, 3, "test", 40)[0].metric)
    assert there.metric != here.metric
    assert here.skill == pytest.approx(1 - here.metric / (1 / 6))


def test_a_long_rung_is_of_fewer_sequences(monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "MOST_STEPS", 600)
    task = laddered(10, 30, 60)
    (rungs,) = climb(model_of(CELLS["lstm"], task, 0), task, 0)

    assert [rung.sequences for rung in rungs] == [40, 20, evaluation.LEAST_SEQUENCES]


def test_a_rung_that_fails_says_why_and_leaves_the_others(monkeypatch) -> None:
    task = laddered(10, 30)
    model = model_of(CELLS["lstm"], task, 0)
    forward = model.cell.project

    def project(x):
        if len(x) > 10:
            raise MemoryError("no room")
        return forward(x)

    monkeypatch.setattr(model.cell, "project", project)
    ((short, long),) = climb(model, task, 0)

    assert short.metric is not None
    assert (long.metric, long.skill, long.reason) == (None, None, "MemoryError: no room")
    assert model.training


def test_a_cell_that_keeps_all_is_not_carried_without_end(monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "MOST_TAPE", 20)
    task = laddered(10, 30)
    ((short, long),) = climb(model_of(CELLS["lstmn"], task, 0), task, 0)

    assert short.metric is not None
    assert "not carried over more than 20 steps" in long.reason


def test_memory_does_not_grow_with_the_length(monkeypatch) -> None:
    """But for the ids themselves: the most steps that the cell is ever given at once."""
    seen = []
    task = laddered(10, 3000)
    model = model_of(CELLS["lstm"], task, 0)
    project = model.cell.project
    monkeypatch.setattr(model.cell, "project", lambda x: seen.append(len(x)) or project(x))
    climb(model, task, 0)

    assert max(seen) == evaluation.PIECE
    assert sum(seen) >= 3000
