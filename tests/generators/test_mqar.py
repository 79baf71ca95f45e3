"""Multi-query recall: every key asked once, at gaps of a power law, with nothing ambiguous."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.base import Tokens
from cellbench.generators.mqar import MultiQueryRecall
from cellbench.generators.stream import Stream


def make(**settings):
    usual = {"vocabulary": 40, "pairs": 4, "length": 32, "power": 0.01, "filler": "zero"}
    return MultiQueryRecall(**usual | settings)


def drawn(generator, sequences, split="train"):
    return generator.sample(Stream(0, split), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    """Keys 2 and 4 with values 8 and 7, as the docstring of the public code has it."""
    inputs = torch.tensor([[2, 8, 4, 7, 0, 0, 4, 0, 0, 0, 0, 0, 2, 0]]).T
    answer = make(vocabulary=12, pairs=2, length=14).oracle(inputs)

    assert answer.flatten().tolist() == [0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 8, 0]


@pytest.mark.parametrize("filler", ["zero", "random"])
@pytest.mark.parametrize("length", [16, 17, 32])
def test_every_key_is_asked_once_at_an_even_step_with_its_value(filler, length) -> None:
    batch = drawn(make(filler=filler, length=length), 100)

    for column in range(100):
        row, target = batch.inputs[:, column].tolist(), batch.targets[:, column].tolist()
        value_of = dict(zip(row[:8:2], row[1:8:2], strict=True))
        asked = [step for step in range(length) if batch.scored[step, column]]
        assert len(value_of) == len(set(value_of.values())) == 4
        assert all(1 <= key < 20 <= value < 40 for key, value in value_of.items())
        assert sorted(row[step] for step in asked) == sorted(value_of)
        assert all(step >= 8 and step % 2 == 0 for step in asked)
        for step in range(length):
            assert target[step] == (value_of[row[step]] if step in asked else 0)
            assert step < 8 or step in asked or row[step] not in value_of
            assert step < 8 or step in asked or row[step] == 0 or filler == "random"


def test_random_fillers_are_all_other_ids() -> None:
    batch = drawn(make(filler="random"), 3000)
    fillers = batch.inputs[8:][~batch.scored[8:]]
    counts = torch.bincount(fillers, minlength=40).tolist()

    assert min(counts) > 0
    assert max(counts[1:20]) < min(counts[21:])  # four keys of 19 gave their share to values
    assert make(filler="random").reads == Tokens(40)


@pytest.mark.parametrize("power", [0.01, 0.5, 1.0])
def test_gaps_follow_the_power_law_without_replacement(power) -> None:
    """Two keys, four gaps: the chances of the twelve ordered pairs of gaps, enumerated."""
    count = 20_000
    batch = drawn(make(pairs=2, length=12, power=power), count)
    keys = batch.inputs[:4:2]
    gap = (batch.inputs[4::2].unsqueeze(1) == keys).int().argmax(dim=0)
    found = torch.bincount(gap[0] * 4 + gap[1], minlength=16).tolist()
    share = [(gap + 1) ** (power - 1) for gap in range(4)]
    share = [one / sum(share) for one in share]
    ordered = list(itertools.permutations(range(4), 2))
    chances = [share[one] * share[other] / (1 - share[one]) for one, other in ordered]

    assert [found[five * 5] for five in range(4)] == [0] * 4
    assert (
        chisquare(
            [found[one * 4 + other] for one, other in ordered], [count * c for c in chances]
        ).pvalue
        > 0.001
    )


def test_all_gaps_are_taken_where_there_is_room_for_no_more() -> None:
    batch = drawn(make(pairs=8, length=32), 20)

    assert batch.scored[16::2].all()


def test_what_is_known_without_binding() -> None:
    generator = make(vocabulary=8192, pairs=8, length=128)

    assert generator.trivial() == 1 / 4096
    assert generator.controls() == {"any value shown": 1 / 8}


def test_at_another_length_the_pairs_are_the_same() -> None:
    here, there = make(), make().at_length(64)

    assert len(drawn(there, 2).inputs) == 64
    assert torch.equal(drawn(there, 9).inputs[:8], drawn(here, 9).inputs[:8])


def test_wrong_answers_are_noticed() -> None:
    generator = make()
    batch = drawn(generator, 50)
    batch.inputs[1:8:2] = batch.inputs[1:8:2].roll(1, dims=0)

    assert (generator.oracle(batch.inputs) != batch.targets)[batch.scored].all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocabulary": 3}, "vocabulary must be a whole number of at least 4, not 3."),
        ({"pairs": 20}, "pairs must be a whole number from 1 to vocabulary/2-1=19, not 20."),
        ({"length": 15}, "length must be a whole number of at least 16, not 15."),
        ({"power": 0}, "power must be a number above 0 and up to 1, not 0."),
        ({"power": 1.5}, "power must be a number above 0 and up to 1, not 1.5."),
        ({"filler": "zeros"}, "filler must be one of zero, random, not 'zeros'"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value).startswith(message)
