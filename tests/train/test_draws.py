"""Drawing batches: which sequences, of which split, in which step."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from cellbench.generators.adding import Adding
from cellbench.generators.copying import Copying
from cellbench.generators.stream import Stream
from cellbench.train.draws import draw, split_batches, training_batches

CPU = torch.device("cpu")
COPYING = Copying(symbols=3, delay=4, alphabet=8, layout="exprnn", loss="answer")
ADDING = Adding(length=6, positions="halves")


@pytest.mark.parametrize("generator", [COPYING, ADDING])
def test_step_n_is_the_same_sequences_however_many_are_drawn_at_once(generator) -> None:
    stream = Stream(7, "train")
    for step, question in enumerate(islice(training_batches(generator, 7, 4, CPU), 150)):
        alone = draw(generator, stream, torch.arange(step * 4, step * 4 + 4))

        assert torch.equal(question.inputs, alone.inputs)
        assert torch.equal(question.targets, alone.targets)
        assert torch.equal(question.scored, alone.scored)
        assert question.start == alone.start


def test_a_long_sequence_is_not_drawn_far_ahead() -> None:
    long = Adding(length=100_000, positions="halves")
    first, second = islice(training_batches(long, 0, 2, CPU), 2)

    assert first.inputs.shape == second.inputs.shape == (100_000, 2, 2)


def test_what_comes_before_the_first_question_is_cut() -> None:
    question = draw(COPYING, Stream(0, "train"), torch.arange(2))

    assert question.start == 7
    assert question.inputs.shape == (10, 2)
    assert question.targets.shape == question.scored.shape == (3, 2)


def test_what_is_learned_besides_the_answer_is_not_cut() -> None:
    everything = Copying(symbols=3, delay=4, alphabet=8, layout="exprnn", loss="all")
    question = draw(everything, Stream(0, "train"), torch.arange(2))

    assert question.start == 0
    assert question.trained.all()
    assert question.scored.sum() == 6


def test_a_split_is_read_to_its_end_and_no_further() -> None:
    stream = Stream(3, "validation")
    sizes = [q.inputs.shape[1] for q in split_batches(COPYING, stream, 10, 4, CPU)]
    whole = draw(COPYING, stream, torch.arange(10))
    parts = torch.cat([q.inputs for q in split_batches(COPYING, stream, 10, 4, CPU)], dim=1)

    assert sizes == [4, 4, 2]
    assert torch.equal(parts, whole.inputs)
