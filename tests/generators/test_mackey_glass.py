"""Mackey-Glass: solved rightly, windows of three stretches that never meet."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.base import Vectors
from cellbench.generators.mackey_glass import STRETCH, MackeyGlass, _keys, _series, _solved
from cellbench.generators.stream import SPLITS, Stream


def make(**settings):
    return MackeyGlass(**{"length": 60, "ahead": 6, "warmup": 30} | settings)


def drawn(generator, sequences, split="train"):
    return generator.sample(Stream(0, split), torch.arange(sequences))


def test_the_first_values_worked_out_by_hand() -> None:
    """For 17 units the delayed value is 1.2, so that x' = c - .1 x.

    That is x = 10 c + (1.2 - 10 c) e**(-t/10).
    """
    still = 10 * 0.2 * 1.2 / (1 + 1.2**10)
    series = _solved(18)

    assert len(series) == 18
    for time in (0, 1, 5, 16):
        there = still + (1.2 - still) * 2.718281828459045 ** (-time / 10)
        assert series[time] == pytest.approx(there, abs=1e-8)


def test_later_values_obey_the_equation() -> None:
    """Its slope over two units, against the equation in between; Simpson's rule."""
    series = _solved(400)

    def slope(time):
        late = series[time - 17]
        return 0.2 * late / (1 + late**10) - 0.1 * series[time]

    for time in range(100, 399):
        change = (slope(time - 1) + 4 * slope(time) + slope(time + 1)) / 3
        assert series[time + 1] - series[time - 1] == pytest.approx(change, abs=2e-3)


def test_stretches_have_mean_0_and_variance_1_and_no_pair_twice() -> None:
    train, _, test = _series().double().view(3, STRETCH)

    assert train.mean().item() == pytest.approx(0, abs=1e-6)
    assert train.square().mean().item() == pytest.approx(1, abs=1e-6)
    assert test.var().item() == pytest.approx(1, abs=0.02)
    assert len(_keys(_series()).unique()) == 3 * STRETCH - 1  # any two neighbours say where


@pytest.mark.parametrize("split", SPLITS)
def test_windows_stay_in_their_stretch(split) -> None:
    generator = make(length=4096, ahead=4096, warmup=0)
    batch = drawn(generator, 200, split)
    stretch = _series().view(3, STRETCH)[SPLITS.index(split)]
    places = {pair: place for place, pair in enumerate(_keys(stretch).tolist())}
    starts = [places[pair] for pair in _keys(batch.inputs[:2, :, 0])[0].tolist()]

    assert max(starts) + 4096 + 4096 <= STRETCH
    for column, start in enumerate(starts[:20]):
        assert torch.equal(batch.inputs[:, column, 0], stretch[start : start + 4096])
        assert torch.equal(batch.targets[:, column, 0], stretch[start + 4096 : start + 8192])


def test_every_place_is_equally_likely() -> None:
    places = {pair: place for place, pair in enumerate(_keys(_series()).tolist())}
    batch = drawn(make(), 8000)
    starts = torch.tensor([places[pair] for pair in _keys(batch.inputs[:2, :, 0])[0].tolist()])

    assert chisquare((starts * 16 // (STRETCH - 65)).bincount(minlength=16)).pvalue > 1e-4


def test_what_is_asked_comes_so_many_steps_later() -> None:
    generator = make()
    batch = drawn(generator, 50, "test")

    assert torch.equal(batch.targets[30:54], batch.inputs[36:])
    assert (batch.targets[:30] == 0).all()
    assert batch.scored[30:].all()
    assert not batch.scored[:30].any()
    assert torch.equal(batch.scored, batch.trained)
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert (generator.reads, generator.answers) == (Vectors(1), Vectors(1))


def test_the_trivial_score_is_that_of_every_window_counted() -> None:
    generator = make(length=5, ahead=3, warmup=2)
    train, _, test = _series().double().view(3, STRETCH)
    learned, told = (values.unfold(0, 8, 1)[:, 5:] for values in (train, test))
    counted = (told - learned.mean(0)).square().mean().item()

    assert len(told) == STRETCH - 7
    assert generator.trivial() == pytest.approx(counted, rel=1e-9)


def test_it_may_be_longer() -> None:
    assert make().at_length(100) == make(length=100)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "length must be a whole number from 2 to 4096, not 1."),
        ({"length": 4097}, "length must be a whole number from 2 to 4096, not 4097."),
        ({"ahead": 0}, "ahead must be a whole number from 1 to 4096, not 0."),
        ({"warmup": 60}, "warmup must be a whole number from 0 to 59, not 60."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
