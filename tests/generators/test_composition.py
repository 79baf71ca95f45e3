"""Composition: a value for each pair of ids, and what half of a pair is worth."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.composition import Composition
from cellbench.generators.stream import Stream


def make(**settings):
    return Composition(**{"firsts": 2, "seconds": 3, "values": 4, "asks": 2} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    """Firsts 0 and 1, seconds 2 and 3, values from 4 on; asked are (1, 2) and (0, 3)."""
    row = [0, 2, 4, 1, 3, 5, 1, 2, 7, 0, 3, 6, 1, 2, 0, 3]
    answer = make(seconds=2).oracle(torch.tensor([row]).T)

    assert answer.flatten().tolist() == [0] * 13 + [3, 0, 2]


@pytest.mark.parametrize("settings", [{}, {"asks": 6}, {"firsts": 5, "seconds": 2, "asks": 1}])
def test_it_is_what_a_loop_makes_of_it(settings) -> None:
    generator = make(**settings)
    firsts, seconds = generator.firsts, generator.seconds
    end = 3 * firsts * seconds
    batch = drawn(generator, 50)

    for row, target in zip(batch.inputs.T.tolist(), batch.targets.T.tolist(), strict=True):
        keys = list(zip(row[:end:3], row[1:end:3], strict=True))
        table = dict(zip(keys, row[2:end:3], strict=True))
        asked = list(zip(row[end::2], row[end + 1 :: 2], strict=True))
        assert sorted(table) == [
            (one, firsts + other) for one in range(firsts) for other in range(seconds)
        ]
        assert len(set(asked)) == generator.asks
        assert target[end + 1 :: 2] == [table[key] - firsts - seconds for key in asked]
        assert not any(target[: end + 1])
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert batch.scored[end + 1 :: 2].all()
    assert batch.scored.sum() == 50 * generator.asks


def test_half_of_a_key_is_worth_what_is_said() -> None:
    """Measured on the pair asked first, over all values shown with its first or second id."""
    generator = make()
    batch = drawn(generator, 8000)
    shown, (one, other) = batch.inputs[:18], batch.inputs[18:20]
    right = shown[2::3] - 5 == batch.targets[19]
    first, second = shown[::3] == one, shown[1::3] == other
    found = generator.controls()

    assert found["any value of this first"] == pytest.approx(1 / 3 + 2 / 3 / 4)
    assert found["any value of this second"] == pytest.approx(1 / 2 + 1 / 2 / 4)
    for which, name in ((first, "first"), (second, "second")):
        measured = ((right & which).sum() / which.sum()).item()
        assert measured == pytest.approx(found[f"any value of this {name}"], abs=0.02)


def test_pairs_are_asked_and_values_are_shown_equally_often() -> None:
    batch = drawn(make(), 12_000)
    asked = torch.unique(batch.inputs[18:], dim=1, return_counts=True)[1].tolist()

    assert len(asked) == 6 * 5
    assert chisquare(asked).pvalue > 0.001
    assert chisquare(torch.bincount(batch.targets[-1]).tolist()).pvalue > 0.001
    assert chisquare(torch.unique(batch.inputs[:2], dim=1, return_counts=True)[1]).pvalue > 0.001
    assert make().trivial() == 1 / 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"firsts": 1}, "firsts must be a whole number of at least 2, not 1."),
        ({"seconds": 1}, "seconds must be a whole number of at least 2, not 1."),
        ({"values": 1}, "values must be a whole number of at least 2, not 1."),
        ({"asks": 7}, "asks must be a whole number from 1 to firsts*seconds=6, not 7."),
        ({"asks": 0}, "asks must be a whole number of at least 1, not 0."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
