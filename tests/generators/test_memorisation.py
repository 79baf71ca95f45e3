"""Memorisation: one map for all sequences and splits, and each value as frequent as any other."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.memorisation import Memorisation
from cellbench.generators.stream import SPLITS, Stream


def make(**settings):
    return Memorisation(**{"keys": 12, "length": 20, "map": 0} | settings)


def drawn(generator, sequences, stream=None):
    return generator.sample(stream or Stream(0, "train"), torch.arange(sequences))


def learned(batch):
    """Return the map that the answers of a batch tell, if they tell one."""
    keys, values = batch.inputs[::2].flatten().tolist(), batch.targets[1::2].flatten().tolist()
    found = dict(zip(keys, values, strict=True))
    assert [found[key] for key in keys] == values
    return found


def test_the_map_is_the_same_in_all_splits_and_under_all_seeds() -> None:
    maps = [learned(drawn(make(), 200, Stream(seed, s))) for seed in (0, 7) for s in SPLITS]

    assert all(one == maps[0] for one in maps)
    assert sorted(maps[0].values()) == sorted(maps[0]) == list(range(12))


def test_another_number_is_another_map() -> None:
    here, there = (learned(drawn(make(map=number), 200)) for number in (0, 1))

    assert here != there
    assert torch.equal(drawn(make(map=1), 9).inputs, drawn(make(), 9).inputs)


def test_the_oracle_knows_the_map_and_reads_the_key() -> None:
    """Keys 3 and 7, asked; then 3 again, not asked."""
    found = learned(drawn(make(), 200))
    answer = make(length=5).oracle(torch.tensor([[3, 12, 7, 12, 3]]).T)

    assert answer.flatten().tolist() == [0, found[3], 0, found[7], 0]


@pytest.mark.parametrize("length", [2, 19, 20])
def test_a_question_follows_every_key(length) -> None:
    generator = make(length=length)
    batch = drawn(generator, 50)

    assert len(batch.inputs) == length
    assert (batch.inputs[1::2] == 12).all()
    assert (batch.inputs[::2] < 12).all()
    assert batch.scored[1::2].all()
    assert not batch.scored[::2].any()
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


def test_keys_are_equally_likely_and_so_are_values() -> None:
    batch = drawn(make(), 2000)

    assert chisquare(torch.bincount(batch.inputs[::2].flatten()).tolist()).pvalue > 0.001
    assert chisquare(torch.bincount(batch.targets[1::2].flatten()).tolist()).pvalue > 0.001
    assert make().trivial() == 1 / 12


def test_at_another_length_the_map_is_the_same() -> None:
    assert learned(drawn(make().at_length(50), 200)) == learned(drawn(make(), 200))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keys": 1}, "keys must be a whole number of at least 2, not 1."),
        ({"length": 1}, "length must be a whole number of at least 2, not 1."),
        ({"map": -1}, "map must be a whole number of at least 0, not -1."),
        (
            {"map": 2**32},
            "map must be a whole number from 0 to 2**32-1=4294967295, not 4294967296.",
        ),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
