"""Lag copy: every symbol is that of some steps before, or drawn anew; asked in any order."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Odds, Reads
from cellbench.generators.known_odds import (
    asked,
    asked_fields,
    constant,
    happens,
    held,
    inner_chance,
    shared_bits,
    told,
    without_memory,
)
from cellbench.generators.ordering import places, turns
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_up_to


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LagCopy(Generator):
    """Ask for symbols that mostly are those of `lag` places before.

    With symbols=2, keep=0.9, lag=4, length=12, order=stride(4), sequence 5 of the training
    stream:

        input 0     ~    0    0    0    0    1    1    1    1    1    1    1
        input 1     0    4    8    1    5    9    2    6   10    3    7   11
        target      0    0    0    0    1    1    1    1    1    1    1    1
        bits     1.00  .07  .07 1.00 4.32  .07 1.00  .07  .07 1.00  .07  .07

    A sequence is `lag` chains that take turns. The first symbol of a chain is fair; each other
    is the one before it in its chain with the chance `keep`, else drawn anew from all symbols.
    The inputs are the symbol that was asked for last (`~` for none yet) and the place that is
    asked for now. The sum of the bits is the same in every order, on average; what differs is
    how long which symbols must be remembered: of `forward` and `reverse`, all chains at once;
    of stride(lag), one.

    Source: our own definition, from known results: a Markov chain that renews itself, so that
    the power of its transitions is in closed form, woven `lag` times.
    Differs from it: in nothing. Chances are whole thousandths, and are drawn as such.

    Attributes:
        symbols: Distinct symbols.
        keep: Chance that a symbol is kept and not drawn anew; more than 0, less than 1.
        lag: Places from a symbol to the next one of its chain.
        length: Symbols of a sequence, more than `lag`.
        order: In which places are asked for: forward, reverse, stride(k), block(k),
            bit_reversed, or random (one for ever); k is a number, or the word lag.
    """

    symbols: int
    keep: float
    lag: int
    length: int
    order: str

    def __post_init__(self) -> None:
        whole("symbols", self.symbols, low=2)
        inner_chance("keep", self.keep)
        whole("length", self.length, low=2)
        whole_up_to("lag", self.lag, low=1, high=self.length - 1, of="length - 1")
        places(self._order, self.length)

    @property
    def reads(self) -> Reads:
        return asked_fields(self.symbols, self.length)

    @property
    def answers(self) -> Answers:
        return Odds(self.symbols)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        rounds = -(-self.length // self.lag)
        count = rounds * self.lag
        fresh = stream.integers("symbols", index, count, below=self.symbols)
        renewed = ~happens(stream, "keep", index, count, self.keep)
        woven = (rounds, self.lag, len(index))
        text = held(fresh.view(woven), renewed.view(woven)).view(count, -1)[: self.length]
        return asked(text, self._order, self.symbols, self._nats(text))

    def trivial(self) -> float:
        """Return what all links of the chains tell: nothing else is known of a symbol."""
        return (self.length - self.lag) * shared_bits(self.symbols, self.keep)

    def controls(self) -> Mapping[str, float]:
        return without_memory(self.trivial(), self._order, self.length, self._shared)

    def oracle(self, inputs: Int[Tensor, "time batch 2"]) -> Float[Tensor, "time batch symbols"]:
        """Look from each place along its chain, both ways, for the nearest that was told."""
        where, when, symbols = told(inputs)
        odds = inputs.new_zeros((*where.shape, self.symbols), dtype=torch.float64)
        for toward in (-self.lag, self.lag):
            odds += self._seen(where, when, symbols, toward)
        return odds.log_softmax(2).float()

    def entropy(self) -> float:
        """Return the bits of a sequence, for whoever knows the law."""
        return self.length * math.log2(self.symbols) - self.trivial()

    def _seen(
        self, where: Tensor, when: Tensor, symbols: Tensor, toward: int
    ) -> Float[Tensor, "time batch symbols"]:
        """Return the log-odds that the nearest symbol told on one side gives."""
        now = torch.arange(len(where), device=where.device).unsqueeze(1)
        kept = torch.zeros_like(where, dtype=torch.float64)
        symbol = torch.zeros_like(where)
        for links in range((self.length - 1) // self.lag, 0, -1):  # the nearest has the last word
            at = where + links * toward
            inside = at.clamp(0, self.length - 1)
            known = (at == inside) & (when.gather(0, inside) < now)
            kept = torch.where(known, self.keep**links, kept)
            symbol = torch.where(known, symbols.gather(0, inside), symbol)
        same = torch.nn.functional.one_hot(symbol, self.symbols)
        return (kept.unsqueeze(2) * same + (1 - kept.unsqueeze(2)) / self.symbols).log()

    def _nats(self, text: Int[Tensor, "length batch"]) -> Float[Tensor, "length batch"]:
        """Look up the nats of each symbol, in the order asked.

        They depend on the number of links to both neighbours that were asked for before, which
        the order decides, and on which of the three symbols are the same.
        """
        around = _neighbours(self._order, self.length, self.lag)
        table = _table(self.symbols, self.keep, around)
        left, here, right = (
            text[constant(at, text)]
            for at in (around.before, places(self._order, self.length), around.after)
        )
        case = (here == left).long() * 4 + (here == right) * 2 + (left == right)
        return constant(table, text).gather(1, case)

    @property
    def _order(self) -> str:
        return self.order.replace("(lag)", f"({self.lag})")

    def _shared(self, one: int, other: int) -> float:
        """Return what the symbols at two places tell of each other."""
        links, off = divmod(abs(one - other), self.lag)
        return 0.0 if off else shared_bits(self.symbols, self.keep**links)


class _Neighbours(NamedTuple):
    """Of each step, the nearest places of the same chain that were asked for before it.

    Attributes:
        before, after: The places; where there is none, the place that is asked itself.
        links_before, links_after: How many links away; 0 where there is none.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    links_before: tuple[int, ...]
    links_after: tuple[int, ...]


@functools.lru_cache(maxsize=64)
def _neighbours(order: str, length: int, lag: int) -> _Neighbours:
    when = turns(order, length)
    found: list[tuple[int, int, int, int]] = []
    for step, place in enumerate(places(order, length)):
        lower = (at for at in range(place - lag, -1, -lag) if when[at] < step)
        upper = (at for at in range(place + lag, length, lag) if when[at] < step)
        before, after = next(lower, place), next(upper, place)
        found.append((before, after, (place - before) // lag, (after - place) // lag))
    return _Neighbours(*zip(*found, strict=True))


@functools.lru_cache(maxsize=64)
def _table(symbols: int, keep: float, around: _Neighbours) -> Float[Tensor, "length 8"]:
    """Return the nats at each step: by same as before, same as after, those two the same.

    p(x | l, r) = K^a(l, x) K^b(x, r) / K^(a+b)(l, r). A missing neighbour is infinitely far off.
    """
    rows = []
    for links in zip(around.links_before, around.links_after, strict=True):
        a, b = (keep**n if n else 0.0 for n in links)
        rows.append(
            [
                _log_link(symbols, a * b, same=case & 1)
                - _log_link(symbols, a, same=case >> 2)
                - _log_link(symbols, b, same=case >> 1 & 1)
                for case in range(8)
            ]
        )
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


def _log_link(symbols: int, kept: float, *, same: int) -> float:
    return math.log(kept * same + (1 - kept) / symbols)
