"""Compression: what stood at the place that is named, and targets that are no copy of inputs."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.compression import Compression
from cellbench.generators.stream import Stream


def make(**settings):
    return Compression(**{"length": 4, "alphabet": 3, "asks": 2} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    """Tokens 2 0 1 1; then 6 names the last place and 3 the first."""
    answer = make().oracle(torch.tensor([[2, 0, 1, 1, 6, 3]]).T)

    assert answer.flatten().tolist() == [0, 0, 0, 0, 1, 2]


@pytest.mark.parametrize("settings", [{}, {"length": 20, "asks": 20}, {"length": 1, "asks": 1}])
def test_it_is_what_a_loop_makes_of_it(settings) -> None:
    generator = make(**settings)
    length = generator.length
    batch = drawn(generator, 50)

    for row, target in zip(batch.inputs.T.tolist(), batch.targets.T.tolist(), strict=True):
        places = [one - 3 for one in row[length:]]
        assert len(set(places)) == generator.asks
        assert target == [0] * length + [row[place] for place in places]
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert batch.scored[length:].all()
    assert batch.scored.sum() == 50 * generator.asks


def test_tokens_are_equally_likely_and_places_are_named_in_every_order() -> None:
    batch = drawn(make(), 12_000)
    orders = torch.unique(batch.inputs[4:], dim=1, return_counts=True)[1].tolist()

    assert len(orders) == 4 * 3
    assert chisquare(orders).pvalue > 0.001
    assert chisquare(torch.unique(batch.inputs[:4], dim=1, return_counts=True)[1]).pvalue > 0.001
    assert make().trivial() == 1 / 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length must be a whole number of at least 1, not 0."),
        ({"alphabet": 1}, "alphabet must be a whole number of at least 2, not 1."),
        ({"asks": 5}, "asks must be a whole number from 1 to length=4, not 5."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
