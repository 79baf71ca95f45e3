"""Overwrite: the latest value of each key, and what the first one or any one is worth."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.overwrite import Overwrite
from cellbench.generators.stream import Stream


def make(**settings):
    return Overwrite(**{"keys": 3, "values": 4, "times": 2} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    """Keys 0 and 1, values from 2 on: 0=2, 1=5, 0=4, 1=3; then 1 has value 1 and 0 has 2."""
    answer = make(keys=2).oracle(torch.tensor([[0, 2, 1, 5, 0, 4, 1, 3, 1, 0]]).T)

    assert answer.flatten().tolist() == [0] * 8 + [1, 2]


@pytest.mark.parametrize("settings", [{}, {"times": 1}, {"keys": 1, "times": 5}, {"keys": 30}])
def test_it_is_what_a_loop_makes_of_it(settings) -> None:
    generator = make(**settings)
    keys, end = generator.keys, 2 * generator.keys * generator.times
    batch = drawn(generator, 50)

    for row, target in zip(batch.inputs.T.tolist(), batch.targets.T.tolist(), strict=True):
        table = dict(zip(row[:end:2], row[1:end:2], strict=True))
        assert all(row[:end:2].count(key) == generator.times for key in range(keys))
        assert sorted(row[end:]) == list(range(keys))
        assert target == [0] * end + [table[key] - keys for key in row[end:]]
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert batch.scored.T.unique(dim=0).tolist() == [[False] * end + [True] * keys]


@pytest.mark.parametrize("times", [1, 2, 5])
def test_the_first_value_and_any_value_are_worth_what_is_said(times) -> None:
    """Measured on keys asked first: its first value, and the mean over all its values."""
    generator = make(times=times)
    batch = drawn(generator, 8000)
    end = 6 * times
    own = batch.inputs[:end:2] == batch.inputs[end]
    right = (batch.inputs[1:end:2] - 3 == batch.targets[end]) & own
    first = right.gather(0, own.int().argmax(dim=0, keepdim=True)).double().mean().item()
    found = generator.controls()

    assert found["first value"] == (1 if times == 1 else 1 / 4)
    assert found["any value of this key"] == pytest.approx(1 / times + (1 - 1 / times) / 4)
    assert first == pytest.approx(found["first value"], abs=0.02)
    assert (right.sum() / own.sum()).item() == pytest.approx(
        found["any value of this key"], abs=0.02
    )


def test_writes_come_in_every_order_equally_often() -> None:
    found = torch.unique(drawn(make(), 18_000).inputs[:12:2], dim=1, return_counts=True)[1]

    assert len(found) == math.factorial(6) // 2**3
    assert chisquare(found.tolist()).pvalue > 0.001


def test_values_and_askings_are_equally_likely() -> None:
    batch = drawn(make(), 12_000)

    assert chisquare(torch.bincount(batch.targets[-1]).tolist()).pvalue > 0.001
    asked = torch.unique(batch.inputs[12:], dim=1, return_counts=True)[1].tolist()
    assert len(asked) == 6
    assert chisquare(asked).pvalue > 0.001
    assert make().trivial() == 1 / 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keys": 0}, "keys must be a whole number of at least 1, not 0."),
        ({"values": 1}, "values must be a whole number of at least 2, not 1."),
        ({"times": 0}, "times must be a whole number of at least 1, not 0."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
