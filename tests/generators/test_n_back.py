"""n-back: half of all symbols match, wherever they stand, and none shows it by itself."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.base import Tokens
from cellbench.generators.n_back import NBack
from cellbench.generators.stream import Stream


def make(**settings):
    return NBack(**{"length": 40, "lag": 7, "alphabet": 5} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    answer = make(length=6, lag=2).oracle(torch.tensor([[3], [1], [3], [2], [1], [2]]))

    assert answer.flatten().tolist() == [0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("lag", [1, 7, 20, 39])
def test_each_answer_compares_with_so_many_steps_ago(lag) -> None:
    batch = drawn(make(lag=lag), 50)

    assert batch.inputs.shape == (40, 50)
    for step in range(40):
        assert batch.scored[step].all() == (step >= lag)
        assert batch.scored[step].any() == (step >= lag)
        if step >= lag:
            same = batch.inputs[step] == batch.inputs[step - lag]
            assert torch.equal(batch.targets[step], same.long())
    assert (batch.targets[:lag] == 0).all()
    assert torch.equal(batch.scored, batch.trained)


@pytest.mark.parametrize("alphabet", [2, 5])
def test_a_match_is_a_fair_coin_that_the_symbol_does_not_show(alphabet) -> None:
    batch = drawn(make(length=5, lag=2, alphabet=alphabet), 20_000)

    for step in (2, 3, 4):
        joint = batch.inputs[step] * 2 + batch.targets[step]
        assert chisquare(joint.bincount(minlength=2 * alphabet)).pvalue > 1e-4
    other = batch.inputs[2][batch.targets[2] == 0] - batch.inputs[0][batch.targets[2] == 0]
    assert chisquare((other % alphabet).bincount()[1:]).pvalue > 1e-4 or alphabet == 2


def test_half_is_right_without_memory() -> None:
    assert make().trivial() == 0.5
    assert (make().reads, make().answers.size) == (Tokens(5), 2)


def test_it_may_be_longer_with_the_same_lag() -> None:
    assert make().at_length(100) == make(length=100)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "length must be a whole number of at least 2, not 1."),
        ({"lag": 40}, "lag must be a whole number from 1 to 39, not 40."),
        ({"alphabet": 1}, "alphabet must be a whole number of at least 2, not 1."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
