"""Selective copying: symbols at any places, asked in order."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.base import Tokens
from cellbench.generators.selective_copying import LAYOUTS, SelectiveCopying
from cellbench.generators.stream import Stream


def make(**settings):
    usual = {"length": 12, "symbols": 3, "alphabet": 5, "layout": "s4", "loss": "answer"}
    return SelectiveCopying(**usual | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


@pytest.mark.parametrize(
    ("layout", "row", "answer"),
    [
        ("s4", [0, 4, 0, 0, 1, 6, 6], [0, 0, 0, 0, 0, 4, 1]),
        ("mad", [0, 4, 0, 0, 1, 6, 0, 0], [0, 0, 0, 0, 0, 0, 4, 1]),
    ],
)
def test_a_sequence_worked_out_by_hand(layout, row, answer) -> None:
    generator = make(length=5, symbols=2, layout=layout)

    assert generator.oracle(torch.tensor([row]).T).flatten().tolist() == answer


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("loss", ["answer", "all"])
def test_it_is_what_a_loop_makes_of_it(layout, loss) -> None:
    generator = make(layout=layout, loss=loss)
    batch = drawn(generator, 50)

    for column in range(50):
        row = batch.inputs[:, column].tolist()
        symbols = [one for one in row[:12] if one]
        ask = [6, 6, 6] if layout == "s4" else [6, 0, 0, 0]
        assert row[12:] == ask
        assert len(symbols) == 3
        assert set(symbols) <= set(range(1, 6))
        assert batch.targets[:, column].tolist() == [0] * (len(row) - 3) + symbols
        assert batch.scored[:, column].tolist() == [False] * (len(row) - 3) + [True] * 3
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert batch.trained.all() == (loss == "all")
    assert loss == "all" or torch.equal(batch.trained, batch.scored)
    assert (generator.reads.size, generator.answers.size) == (7, 6)


def test_every_set_of_places_is_equally_likely() -> None:
    places = drawn(make(length=6), 20_000).inputs[:6] > 0
    found = torch.unique(places, dim=1, return_counts=True)[1].tolist()

    assert len(found) == math.comb(6, 3)
    assert chisquare(found).pvalue > 0.001


def test_the_step_before_the_marker_may_show_a_blank() -> None:
    """In layout mad it never does: that is how it differs."""
    last = (drawn(make(), 4000).inputs[11] > 0).double().mean().item()

    assert last == pytest.approx(3 / 12, abs=0.03)
    assert (drawn(make(layout="mad"), 4000).inputs[11] > 0).all()


def test_in_layout_mad_each_blank_falls_before_a_random_symbol() -> None:
    """Two symbols, three blanks: the first symbol has none to three before it, as coins fall."""
    first = (drawn(make(length=5, symbols=2, layout="mad"), 8000).inputs > 0).int().argmax(dim=0)

    assert chisquare(torch.bincount(first).tolist(), [1000, 3000, 3000, 1000]).pvalue > 0.001


def test_symbols_are_equally_likely_and_none_needs_no_memory() -> None:
    batch = drawn(make(), 10_000)

    assert chisquare(torch.bincount(batch.targets[batch.scored])[1:].tolist()).pvalue > 0.001
    assert make(alphabet=14).trivial() == 1 / 14
    assert make(alphabet=14).answers == Tokens(15, (".", *map(str, range(1, 15))))


def test_symbols_may_fill_all_places() -> None:
    batch = drawn(make(length=3), 20)

    assert torch.equal(batch.inputs[:3], batch.targets[3:])


def test_at_another_length_there_are_as_many_symbols() -> None:
    batch = drawn(make().at_length(40), 20)

    assert ((batch.inputs[:40] > 0).sum(dim=0) == 3).all()
    assert len(batch.inputs) == 43


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length must be a whole number of at least 1, not 0."),
        ({"symbols": 13}, "symbols must be a whole number from 1 to length=12, not 13."),
        ({"alphabet": 1}, "alphabet must be a whole number of at least 2, not 1."),
        ({"layout": "mamba"}, "layout must be one of s4, mad, not 'mamba'"),
        ({"loss": "last"}, "loss must be one of answer, all, not 'last'"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value).startswith(message)
