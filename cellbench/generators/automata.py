"""Finite automata over many strings at once: read them, and draw from all that they accept."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.stream import Stream

_SCALE = 2**31
NOWHERE = -1
"""Stands for the next state where a symbol is not allowed."""

Matrix = list[list[int]]


class Automaton(NamedTuple):
    """A deterministic automaton; hashable, so that its tables are made once.

    Attributes:
        moves: Of each state, the next state by symbol; NOWHERE where there is none.
    """

    moves: tuple[tuple[int, ...], ...]

    @property
    def states(self) -> int:
        """How many states it has."""
        return len(self.moves)


class Walks(NamedTuple):
    """Strings, and the states passed on the way.

    Attributes:
        symbols: Of each step; past the end, whatever.
        states: Before the first step, and after each; past the end, the last one.
    """

    symbols: Int[Tensor, "time batch"]
    states: Int[Tensor, "_ batch"]


# --- reading ----------------------------------------------------------------------------


def states_after(
    automaton: Automaton, start: int, symbols: Int[Tensor, "time batch"]
) -> Int[Tensor, "time batch"]:
    """Return the state after each symbol.

    It stays where a symbol is none of the automaton's, or leads nowhere. A symbol is a map of
    states, and maps are composed in passes that double their reach.
    """
    own = torch.arange(automaton.states)
    table = torch.tensor(automaton.moves).T
    table = torch.cat([torch.where(table == NOWHERE, own, table), own.unsqueeze(0)])
    known = (symbols >= 0) & (symbols < len(table) - 1)
    maps = table.to(symbols.device)[torch.where(known, symbols, len(table) - 1)]
    reach = 1
    while reach < len(symbols):
        later = maps[reach:].gather(2, maps[:-reach])
        maps = torch.cat([maps[:reach], later])
        reach *= 2
    return maps[:, :, start]


# --- counting ---------------------------------------------------------------------------


@functools.lru_cache(maxsize=32)
def powers(automaton: Automaton, longest: int) -> list[Matrix]:
    """Return for 0 to `longest` symbols how many strings lead from state to state."""
    states = range(automaton.states)
    found = [[[int(a == b) for b in states] for a in states]]
    for _ in range(longest):
        last = found[-1]
        found.append([_after(automaton, last, a) for a in states])
    return found


def _after(automaton: Automaton, rest: Matrix, state: int) -> list[int]:
    """Count the strings of one symbol more that start at `state`."""
    rows = [rest[to] for to in automaton.moves[state] if to != NOWHERE]
    return [sum(column) for column in zip(*rows, strict=True)] or [0] * automaton.states


# --- drawing ----------------------------------------------------------------------------


def walks(
    stream: Stream,
    index: Int[Tensor, "batch"],
    automaton: Automaton,
    *,
    start: int,
    end: Int[Tensor, "batch"],
    length: Int[Tensor, "batch"],
    longest: int,
) -> Walks:
    """Draw a string of each `length` that leads from `start` to `end`; all are equally likely.

    The state in the middle is drawn first, with the weight of all strings that pass it there;
    then those in the middle of both halves, and so on; at last a symbol for each step. Weights
    are whole numbers, rounded once to multiples of 2**-31.
    """
    reach = 1
    while reach < longest:
        reach *= 2
    bounds = torch.stack([torch.full_like(end, start), end])  # states at multiples of `reach`
    while reach > 1:
        reach //= 2
        starts = torch.arange(len(bounds) - 1, device=index.device).unsqueeze(1) * (2 * reach)
        left = (length - starts).clamp(0, 2 * reach)
        table = _middles(automaton, reach).to(index.device)
        row = (left * automaton.states + bounds[:-1]) * automaton.states + bounds[1:]
        middle = _picked(stream, f"states at odd multiples of {reach}", index, table, row)
        joined = torch.stack([bounds[:-1], middle], dim=1).flatten(0, 1)
        bounds = torch.cat([joined, bounds[-1:]])
    states = bounds[: longest + 1]
    table = _symbols(automaton).to(index.device)
    row = states[:-1] * automaton.states + states[1:]
    return Walks(_picked(stream, "symbols", index, table, row), states)


def ends(
    stream: Stream,
    purpose: str,
    index: Int[Tensor, "batch"],
    weights: tuple[tuple[int, ...], ...],
    row: Int[Tensor, "batch"],
) -> Int[Tensor, "batch"]:
    """Draw a column of `weights` for each `row`, as likely as its weight says."""
    table = _ends(weights).to(index.device)
    return _picked(stream, purpose, index, table, row.unsqueeze(0))[0]


def _picked(
    stream: Stream,
    purpose: str,
    index: Int[Tensor, "batch"],
    table: Int[Tensor, "rows thresholds"],
    row: Int[Tensor, "count batch"],
) -> Int[Tensor, "count batch"]:
    """Draw how many thresholds of a row are reached."""
    drawn = stream.integers(purpose, index, len(row), below=_SCALE)
    picked = torch.zeros_like(drawn)
    for column in table.unbind(1):
        picked += drawn >= column[row]
    return picked


@functools.lru_cache(maxsize=64)
def _ends(weights: tuple[tuple[int, ...], ...]) -> Int[Tensor, "rows thresholds"]:
    return _thresholds(weights)


def _thresholds(weights: Iterable[Sequence[int]]) -> Int[Tensor, "rows thresholds"]:
    """Return the running sums of each row but the last, as shares of 2**31."""
    rows = []
    for row in weights:
        total, running, found = max(sum(row), 1), 0, []
        for weight in row[:-1]:
            running += weight
            found.append(running * _SCALE // total)
        rows.append(found)
    return torch.tensor(rows, dtype=torch.int64).view(len(rows), -1)


@functools.lru_cache(maxsize=128)
def _middles(automaton: Automaton, reach: int) -> Int[Tensor, "rows thresholds"]:
    """Return the table of middle states, of rows (symbols left, state before, state after).

    Of 2 * `reach` steps, the first `left` have symbols; in the others, the state stays.
    """
    states, counts = range(automaton.states), powers(automaton, reach)
    halves = [
        (counts[min(left, reach)], counts[max(left - reach, 0)]) for left in range(2 * reach + 1)
    ]
    return _thresholds(
        [first[a][middle] * second[middle][b] for middle in states]
        for first, second in halves
        for a in states
        for b in states
    )


@functools.lru_cache(maxsize=32)
def _symbols(automaton: Automaton) -> Int[Tensor, "rows thresholds"]:
    """Return the table of symbols, of rows (state before, state after)."""
    states = range(automaton.states)
    return _thresholds([int(to == b) for to in automaton.moves[a]] for a in states for b in states)
