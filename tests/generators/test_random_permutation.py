"""Random permutation: every other symbol once, and the first one back at the end."""

from __future__ import annotations

import itertools

import pytest
import torch
from strings import answers, draw, is_even, tally

from cellbench.errors import OptionError
from cellbench.generators.random_permutation import LOSSES, RandomPermutation


def make(**settings):
    return RandomPermutation(**{"others": 20, "loss": "answer"} | settings)


def test_sequences_worked_out_by_hand() -> None:
    generator = make(others=3)

    assert answers(generator, "y 4 2 3") == "4 2 3 y"
    assert answers(generator, "x 3 2 4") == "3 2 4 x"


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("others", [1, 20])
def test_all_others_come_once_and_then_the_first(loss, others) -> None:
    batch = draw(make(others=others, loss=loss), 60)
    for inputs, targets in zip(batch.inputs.T.tolist(), batch.targets.T.tolist(), strict=True):
        assert inputs[0] in {0, 1}
        assert sorted(inputs[1:]) == list(range(2, others + 2))  # a permutation indeed
        assert targets == [*inputs[1:], inputs[0]]
    assert batch.scored[-1].all()
    assert batch.scored.sum(dim=0).tolist() == [1] * 60
    assert torch.equal(batch.trained, batch.scored) == (loss == "answer")
    assert batch.trained.all() == (loss == "all")


def test_orders_are_equally_likely_whatever_comes_first() -> None:
    batch = draw(make(others=3), 12_000)
    orders = list(itertools.permutations((2, 3, 4)))
    found = [orders.index(tuple(column)) for column in batch.inputs[1:].T.tolist()]
    both = torch.tensor(found) * 2 + batch.inputs[0]

    assert is_even(tally(both, 12))
    assert make().trivial() == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"others": 0}, "others must be a whole number of at least 1, not 0."),
        ({"loss": "al"}, "loss must be one of answer, all, not 'al'; did you mean 'all'?"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message


def test_there_is_no_other_length_with_the_same_symbols() -> None:
    with pytest.raises(OptionError, match="RandomPermutation has no length to be tested at"):
        make().at_length(30)
