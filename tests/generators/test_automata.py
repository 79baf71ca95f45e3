"""Automata: strings are read as one would by hand, and drawn evenly from all that fit."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from cellbench.generators.automata import NOWHERE, Automaton, ends, powers, states_after, walks
from cellbench.generators.stream import Stream

LOOP = Automaton(((0, 1, 1), (2, NOWHERE, 1), (NOWHERE, 0, 2)))  # three states, three symbols


def read(automaton, string, state=0):
    for symbol in string:
        state = automaton.moves[state][symbol] if state != NOWHERE else NOWHERE
    return state


def strings(automaton, length, end):
    symbols = range(len(automaton.moves[0]))
    every = itertools.product(symbols, repeat=length)
    return [one for one in every if read(automaton, one) == end]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9])
def test_states_are_those_of_reading_one_symbol_after_the_other(length) -> None:
    symbols = Stream(0, "train").integers("symbols", torch.arange(40), length, below=4)
    states = states_after(LOOP, 0, symbols)

    for column in range(40):
        state = 0
        for step in range(length):
            symbol = symbols[step, column].item()
            to = LOOP.moves[state][symbol] if symbol < 3 else NOWHERE
            state = state if to == NOWHERE else to
            assert states[step, column] == state


def test_powers_count_strings() -> None:
    for length in range(6):
        for end in range(3):
            assert powers(LOOP, 6)[length][0][end] == len(strings(LOOP, length, end))


@pytest.mark.parametrize("longest", [4, 5, 7])
def test_every_string_that_fits_is_equally_likely(longest) -> None:
    index = torch.arange(12_000)
    length = 3 + index % 2
    end = torch.where(index % 4 < 2, 0, 2)
    walk = walks(Stream(0, "train"), index, LOOP, start=0, end=end, length=length, longest=longest)
    assert walk.symbols.shape == (longest, len(index))
    for size, last in itertools.product((3, 4), (0, 2)):
        mine = (length == size) & (end == last)
        found = Counter(map(tuple, walk.symbols[:size, mine].T.tolist()))
        expected = strings(LOOP, size, last)
        assert set(found) == set(expected)
        assert chisquare([found[one] for one in expected]).pvalue > 1e-3
    after = walk.states[1:]
    rows = torch.arange(longest).unsqueeze(1)
    inside = rows < length
    assert torch.equal(after[inside], states_after(LOOP, 0, walk.symbols)[inside])
    assert torch.equal(after.gather(0, (length - 1).unsqueeze(0))[0], end)


def test_ends_are_as_likely_as_their_weights_and_never_those_of_none() -> None:
    row = torch.arange(9000) % 2
    found = ends(Stream(0, "train"), "end", torch.arange(9000), ((1, 0, 3, 0), (0, 0, 0, 5)), row)

    first = torch.bincount(found[row == 0], minlength=4).tolist()
    assert (found[row == 1] == 3).all()
    assert first[1] == first[3] == 0
    assert chisquare([first[0], first[2]], [1125, 3375]).pvalue > 1e-3
