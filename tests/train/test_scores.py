"""Loss and metrics, worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from cellbench.generators.base import METRICS, Bits, Odds, Sets, Tokens, Vectors
from cellbench.train.draws import Question
from cellbench.train.scores import Tally, loss

CPU = torch.device("cpu")


def classes(targets, scored, trained=None) -> Question:
    targets, scored = torch.tensor(targets), torch.tensor(scored)
    trained = scored if trained is None else torch.tensor(trained)
    inputs = torch.zeros_like(targets)
    return Question(inputs, 0, targets, scored, trained, None, Tokens(9), "accuracy")


def logits(answers, size: int = 3):
    """Logits that are sure of these answers."""
    return torch.nn.functional.one_hot(torch.tensor(answers), size) * 100.0


def only(tally):
    (scores,) = tally.each()
    return scores


def test_accuracy_looks_at_scored_positions_only() -> None:
    question = classes([[1, 2], [0, 0]], [[True, True], [False, False]])
    tally = Tally(CPU)
    tally.add(logits([[1, 1], [2, 2]]), question)

    assert only(tally).metric == 0.5
    assert only(tally).exact_rate == 0.5


def test_a_sequence_is_exact_only_if_all_of_it_is_right() -> None:
    question = classes([[1, 1], [1, 1]], [[True, True], [True, True]])
    tally = Tally(CPU)
    tally.add(logits([[1, 1], [1, 2]]), question)

    assert only(tally).metric == 0.75
    assert only(tally).exact_rate == 0.5


def test_batches_count_by_their_positions_not_as_equals() -> None:
    tally = Tally(CPU)
    tally.add(logits([[1, 1, 1]]), classes([[1, 1, 1]], [[True] * 3]))
    tally.add(logits([[2]]), classes([[1]], [[True]]))

    assert only(tally).metric == 0.75


def test_a_rare_class_weighs_no_more_than_it_occurs() -> None:
    targets = [[1] * 98 + [2] * 2]
    tally = Tally(CPU)
    tally.add(logits([[1] * 100]), classes(targets, [[True] * 100]))

    assert only(tally).metric == pytest.approx(0.98)


def test_cross_entropy_is_the_mean_in_nats_over_trained_positions() -> None:
    question = classes([[1, 2], [0, 0]], [[True, True], [False, False]])
    even = torch.zeros(2, 2, 8)

    assert loss(even, question).item() == pytest.approx(math.log(8))

    everywhere = classes([[1, 2], [0, 0]], [[True, True], [False, False]], [[True] * 2] * 2)
    answers = torch.cat([torch.zeros(1, 2, 3), logits([[0, 0]])])

    assert loss(answers, everywhere).item() == pytest.approx(math.log(3) / 2)


def test_squared_error_is_the_mean_over_scored_positions() -> None:
    targets = torch.tensor([[[9.0], [9.0]], [[1.0], [2.0]]])
    scored = torch.tensor([[False, False], [True, True]])
    inputs = torch.zeros(2, 2, 2)
    question = Question(inputs, 0, targets, scored, scored, None, Vectors(1), "mse")
    answers = torch.tensor([[[0.0], [0.0]], [[1.5], [1.0]]])
    tally = Tally(CPU)
    tally.add(answers, question)

    assert loss(answers, question).item() == pytest.approx((0.25 + 1) / 2)
    assert only(tally).metric == pytest.approx((0.25 + 1) / 2)
    assert only(tally).exact_rate is None


def of_bits(space, metric, targets, scored) -> Question:
    targets, scored = torch.tensor(targets), torch.tensor(scored)
    return Question(torch.zeros_like(targets), 0, targets, scored, scored, None, space, metric)


TWO_BITS = [[[1.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]]  # [time, batch, bits]
ONE_WRONG = [[[9.0, -9.0], [9.0, 9.0]], [[-9.0, -9.0], [9.0, 9.0]]]  # the last but one of them
EVERYWHERE = [[True, True], [True, True]]


@pytest.mark.parametrize(
    ("space", "metric", "value"),
    [
        (Bits(2), "accuracy", 7 / 8),
        (Sets(2), "accuracy", 3 / 4),
        (Bits(2), "exact", 1 / 2),
        (Sets(2), "exact", 1 / 2),
    ],
)
def test_a_bit_counts_by_itself_and_a_set_as_a_whole(space, metric, value) -> None:
    tally = Tally(CPU)
    tally.add(torch.tensor(ONE_WRONG), of_bits(space, metric, TWO_BITS, EVERYWHERE))

    assert only(tally).metric == pytest.approx(value)
    assert only(tally).exact_rate == 0.5


def test_the_loss_of_bits_is_the_mean_of_theirs_in_nats() -> None:
    question = of_bits(Bits(2), "accuracy", TWO_BITS, [[True, False], [False, False]])

    assert loss(torch.zeros(2, 2, 2), question).item() == pytest.approx(math.log(2))


def test_excess_is_bits_a_sequence_beyond_what_the_odds_cost() -> None:
    """Two sequences; one in four right at each of two places, where the odds said one half."""
    question = dataclasses.replace(
        classes([[1, 2], [0, 0]], [[True, True], [True, True]]),
        optimum=torch.full((2, 2), math.log(2)),
        space=Odds(4),
        metric="excess",
    )
    tally = Tally(CPU)
    tally.add(torch.zeros(2, 2, 4), question)

    assert only(tally).metric == pytest.approx(2.0)
    assert only(tally).loss == pytest.approx(math.log(4))
    assert only(tally).exact_rate is None


def test_an_answer_that_is_no_number_shows_in_the_loss() -> None:
    question = classes([[1]], [[True]])
    tally = Tally(CPU)
    tally.add(torch.full((1, 1, 3), math.nan), question)

    assert math.isnan(only(tally).loss)


def stack_of(questions) -> Question:
    columns = zip(*(question.tensors for question in questions), strict=True)
    return questions[0].having([torch.stack(column, dim=1) for column in columns])


UNEVEN = (
    [[True, False], [True, True], [False, False]],
    [[False, True], [False, False], [False, False]],
)


@pytest.mark.parametrize("spread", [1.0, 100.0])
@pytest.mark.parametrize("space", [None, Vectors(3), Bits(3), Sets(3), Odds(3)])
def test_a_stack_is_scored_as_each_of_it_alone(space, spread) -> None:
    """With masks of which no two have as many positions."""
    torch.manual_seed(0)
    questions = []
    for mask, other in zip(UNEVEN, reversed(UNEVEN), strict=True):
        question = classes(torch.randint(3, (3, 2)).tolist(), mask, other)
        if space is not None:
            targets = torch.randn(3, 2, 3)
            targets = targets if isinstance(space, Vectors) else (targets > 0).float()
            metric = METRICS[type(space)]
            question = dataclasses.replace(question, targets=targets, space=space, metric=metric)
        if isinstance(space, Odds):
            question = dataclasses.replace(
                question, targets=torch.randint(3, (3, 2)), optimum=torch.rand(3, 2)
            )
        questions.append(question)
    answers = torch.randn(3, 2, 2, 3) * spread
    tally = Tally(CPU, seeds=2)
    tally.add(answers, stack_of(questions))
    tally.add(answers, stack_of(questions))
    for seed, question in enumerate(questions):
        lone = Tally(CPU)
        lone.add(answers[:, seed], question)

        assert dataclasses.astuple(tally.each()[seed]) == pytest.approx(
            dataclasses.astuple(only(lone))
        )
        assert loss(answers, stack_of(questions))[seed].item() == pytest.approx(
            loss(answers[:, seed], question).item()
        )
