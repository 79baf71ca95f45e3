"""Automata in context: a new machine in every sequence; predict what it emits next."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Odds, Reads, Tokens
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_between

_STATES = 2
_DEAD = _STATES  # where a machine stands that could not have emitted what was shown
_GLYPHS = "abcd"
_WORD = 48  # bits of a mask in one number

Option = tuple[tuple[int, int], tuple[int, int]]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InContextDFA(Generator):
    """Show what an unknown machine emits, and ask for its next symbol.

    With length=9, symbols=3, sequence 0 of the training stream:

        input      b    a    a    a    b    a    a    b    a
        target     a    a    a    b    a    a    b    a    b
        bits    1.78 1.35 1.00 1.46 1.09 1.00 1.10 1.00 1.00

    A machine has two states, and starts in the first. In each state it emits one of two
    symbols, with equal odds, and goes to the state that belongs to the symbol. Which two, and
    where to, is drawn anew for each sequence, all machines equally likely: of three symbols
    there are 144. The target is the next symbol. Nobody knows it, but whoever counts the
    machines that could have emitted all so far knows its odds; `bits` is what it costs them.

    The score is bits a sequence beyond that. Symbols play the same part, so who sees none of
    them gives each the same odds.

    Source: Akyurek et al. 2024, "In-Context Language Learning: Architectures and Algorithms",
    arXiv:2401.12973.
    Differs from it: machines are so small that all can be counted, and the optimum is known. A
    sequence is one run of a machine; there, it is several, with marks between.

    Attributes:
        length: Symbols that are shown.
        symbols: How many there are, 3 or 4.
    """

    length: int
    symbols: int

    def __post_init__(self) -> None:
        whole("length", self.length, low=1)
        whole_between("symbols", self.symbols, low=3, high=len(_GLYPHS))

    @property
    def reads(self) -> Reads:
        return Tokens(self.symbols, _GLYPHS[: self.symbols])

    @property
    def answers(self) -> Answers:
        return Odds(self.symbols, _GLYPHS[: self.symbols])

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        text = self._emitted(stream, index)
        alive = self._alive(text)
        before = torch.cat([torch.full_like(alive[:1], len(machines(self.symbols))), alive[:-1]])
        nats = (2 * before[1:].double() / alive[1:]).log().float()  # rounded once
        scored = torch.ones_like(text[1:], dtype=torch.bool)
        return Batch(text[:-1], text[1:], scored, scored, nats)

    def trivial(self) -> float:
        return _trivial(self.symbols, self.length)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Float[Tensor, "time batch symbols"]:
        """Run every machine step by step, and count the votes of those that still can run."""
        moves = _moves(self.symbols).to(inputs.device)
        states = torch.zeros_like(moves[0, :, 0]).repeat(inputs.shape[1], 1)
        number = torch.arange(moves.shape[1], device=inputs.device)
        votes = []
        for shown in inputs:
            states = moves[shown.unsqueeze(1), number, states]
            votes.append((moves[:, number, states] != _DEAD).sum(2).T.double())
        counted = torch.stack(votes)
        return (counted / counted.sum(2, keepdim=True)).log().float()

    def at_length(self, length: int) -> InContextDFA:
        return replace(self, length=length)

    def _emitted(self, stream: Stream, index: Int[Tensor, "batch"]) -> Int[Tensor, "time batch"]:
        """Return one symbol more than is shown, of a machine of each sequence."""
        table = torch.tensor(_options(self.symbols), device=index.device)  # [option, what, coin]
        drawn = stream.integers("machine", index, _STATES, below=len(table))
        emits, goes = table[drawn].unbind(2)  # [state, batch, coin]
        coin = stream.integers("coins", index, self.length + 1, below=2)
        to = torch.where(coin == 0, goes[..., :1].mT, goes[..., 1:].mT)
        maps = torch.stack([1 - to, to]).permute(2, 3, 1, 0).unsqueeze(4)  # of one machine
        after = _composed(maps)[:, :, 0, 1, 0]
        state = torch.cat([torch.zeros_like(after[:1]), after[:-1]])
        symbol = torch.where(coin == 0, emits[..., :1].mT, emits[..., 1:].mT)
        return torch.where(state == 0, symbol[0], symbol[1])

    def _alive(self, text: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Return how many machines could have emitted all, after each symbol."""
        maps = _words(self.symbols).to(text.device)[text]
        there = _composed(maps)[:, :, 0]
        return _ones(there[:, :, 0] | there[:, :, 1]).sum(2)


def _composed(
    maps: Int[Tensor, "time batch from_ to words"],
) -> Int[Tensor, "time batch from_ to words"]:
    """Return which machines go from state to state by all symbols up to each step.

    `maps` are those by the symbol of each step alone. A bit is a machine; passes double.
    """
    reach = 1
    while reach < len(maps):
        early, late = maps[:-reach], maps[reach:]
        by_zero = early[:, :, :, :1] & late[:, :, :1]
        by_one = early[:, :, :, 1:] & late[:, :, 1:]
        maps = torch.cat([maps[:reach], by_zero | by_one])
        reach *= 2
    return maps


def _ones(words: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Count the bits of numbers below 2**48: of two, of four, of eight, and of all."""
    words = words - ((words >> 1) & 0x555555555555)
    words = (words & 0x333333333333) + ((words >> 2) & 0x333333333333)
    words = (words + (words >> 4)) & 0x0F0F0F0F0F0F
    return ((words * 0x010101010101) >> 40) & 0xFF


@functools.lru_cache(maxsize=4)
def _options(symbols: int) -> tuple[Option, ...]:
    """Return what a state may be: the two symbols it emits, and where each of them leads."""
    pairs = itertools.combinations(range(symbols), 2)
    leads = tuple(itertools.product(range(_STATES), range(_STATES)))
    return tuple((pair, lead) for pair in pairs for lead in leads)


@functools.lru_cache(maxsize=4)
def machines(symbols: int) -> tuple[tuple[Option, ...], ...]:
    """Return every machine: what its states are."""
    return tuple(itertools.product(_options(symbols), repeat=_STATES))


def _moves(symbols: int) -> Int[Tensor, "symbols machines states"]:
    """Return where each machine goes; no state leads out of a dead one."""
    found = torch.full((symbols, len(machines(symbols)), _STATES + 1), _DEAD)
    for number, machine in enumerate(machines(symbols)):
        for state, (pair, leads) in enumerate(machine):
            for symbol, to in zip(pair, leads, strict=True):
                found[symbol, number, state] = to
    return found


@functools.lru_cache(maxsize=4)
def _masks(symbols: int) -> list[list[list[int]]]:
    """Return by symbol and state which machines go to which state, as bits."""
    goes = [[[0] * _STATES for _ in range(_STATES)] for _ in range(symbols)]
    for number, machine in enumerate(machines(symbols)):
        for state, (pair, leads) in enumerate(machine):
            for symbol, to in zip(pair, leads, strict=True):
                goes[symbol][state][to] |= 1 << number
    return goes


@functools.lru_cache(maxsize=4)
def _words(symbols: int) -> Int[Tensor, "symbols from_ to words"]:
    """Return the masks, cut into numbers of 48 bits."""
    shifts = range(0, len(machines(symbols)), _WORD)
    return torch.tensor(
        [
            [
                [[mask >> shift & (1 << _WORD) - 1 for shift in shifts] for mask in row]
                for row in of_one
            ]
            for of_one in _masks(symbols)
        ]
    )


# --- what can be known, worked out over all sequences -------------------------------------


@functools.lru_cache(maxsize=64)
def _trivial(symbols: int, length: int) -> float:
    """Return the bits of even odds beyond the optimum, for `length` targets.

    A sequence of n symbols that m of M machines could have emitted has odds m / M / 2**n. So
    the optimum is known from the logarithm of m, on average; what is known of a machine after
    some symbols is one of finitely many cases, each of them as likely as the sums say.
    """
    follows, share, left = _cases(symbols)
    odds = torch.zeros(len(left), dtype=torch.float64)
    odds[0] = 1.0
    for _ in range(length + 1):
        passed = odds.unsqueeze(1) * share
        odds = torch.zeros_like(odds).index_add_(0, follows.flatten(), passed.flatten())
    known = float((odds * left.log2()).sum())
    optimum = length + 1 + math.log2(len(machines(symbols))) - known
    return (length + 1) * math.log2(symbols) - optimum


@functools.lru_cache(maxsize=4)
def _cases(
    symbols: int,
) -> tuple[Int[Tensor, "cases symbols"], Float[Tensor, "cases symbols"], Float[Tensor, "cases"]]:
    """Return the cases: which follows by symbol, with what odds, and how many machines are left.

    A case is which machines may be in which state, as bits of two whole numbers.
    """
    goes = _masks(symbols)
    numbers = {((1 << len(machines(symbols))) - 1, 0): 0}
    follows, share, left = [], [], []
    cases = list(numbers)
    for zero, one in cases:  # which grows as it is read
        total = (zero | one).bit_count()
        row, odds = [], []
        for from_zero, from_one in goes:
            to_zero, to_one = (
                (zero & a) | (one & b) for a, b in zip(from_zero, from_one, strict=True)
            )
            case = (to_zero, to_one)
            if case not in numbers:
                numbers[case] = len(cases)
                cases.append(case)
            row.append(numbers[case])
            odds.append((to_zero | to_one).bit_count() / (2 * max(total, 1)))
        follows.append(row)
        share.append(odds)
        left.append(max(total, 1))
    return (
        torch.tensor(follows),
        torch.tensor(share, dtype=torch.float64),
        torch.tensor(left, dtype=torch.float64),
    )
