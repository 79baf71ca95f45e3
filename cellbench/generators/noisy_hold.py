"""Noisy hold: a symbol that is held, now and then drawn anew, and seen through noise."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Odds, Reads
from cellbench.generators.known_odds import (
    asked,
    asked_fields,
    bits_of,
    check_countable,
    constant,
    every_text,
    happens,
    held,
    information,
    inner_chance,
    joined,
    shared_bits,
    sure,
    told,
    weakened,
    without_memory,
)
from cellbench.generators.messages import meetings
from cellbench.generators.ordering import places
from cellbench.generators.stream import Stream
from cellbench.options import whole

SETTLED = 1e-10
"""Bits by which places may differ to count as the same."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyHold(Generator):
    """Ask for what is seen, through noise, of a symbol that changes rarely.

    With symbols=2, renew=0.1, noise=0.2, length=12, order=forward, sequence 8 of the
    training stream:

        input 0     ~    1    1    1    1    1    1    1    0    1    1    1
        input 1     0    1    2    3    4    5    6    7    8    9   10   11
        target      1    1    1    1    1    1    1    0    1    1    1    1
        bits     1.00  .34  .24  .23  .23  .23  .23 2.79  .71  .29  .23  .23

    The hidden symbol is fair at first, and at each later place it is drawn anew from all
    symbols with the chance `renew`. What is seen there is the hidden symbol, or, with the chance
    `noise`, a symbol drawn from all. Only that is shown. The inputs are the symbol that was asked
    for last (`~` for none yet) and the place that is asked for now. Two places tell of each
    other exponentially less, the farther they are apart. The sum of the bits is the same in
    every order, on average.

    Source: our own definition, from known results: a hidden Markov model.
    Differs from it: in nothing. Both chances are of drawing anew, so that the same symbol may
    come again, and not of a change. Chances are whole thousandths, and are drawn as such.

    Attributes:
        symbols: Distinct symbols; above 2, at most 65536 strings, for the entropy is summed.
        renew: Chance that the hidden symbol is drawn anew; more than 0, less than 1.
        noise: Chance that what is seen is drawn anew; more than 0, less than 1.
        length: Symbols of a sequence.
        order: In which places are asked for: forward, reverse, stride(k), block(k),
            bit_reversed, or random (one for ever).
    """

    symbols: int
    renew: float
    noise: float
    length: int
    order: str

    def __post_init__(self) -> None:
        whole("symbols", self.symbols, low=2)
        inner_chance("renew", self.renew)
        inner_chance("noise", self.noise)
        whole("length", self.length, low=2)
        check_countable(self.symbols, self.length)
        places(self.order, self.length)

    @property
    def reads(self) -> Reads:
        return asked_fields(self.symbols, self.length)

    @property
    def answers(self) -> Answers:
        return Odds(self.symbols)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        fresh = stream.integers("hidden", index, self.length, below=self.symbols)
        renewed = happens(stream, "renew", index, self.length, self.renew)
        noisy = happens(stream, "noise", index, self.length, self.noise)
        instead = stream.integers("seen", index, self.length, below=self.symbols)
        text = torch.where(noisy, instead, held(fresh, renewed))
        return asked(text, self.order, self.symbols, self._nats(text))

    def trivial(self) -> float:
        """Return what the places tell of each other: nothing of it is known.

        Exact up to length 8, or above 2 symbols; else to 1e-4 bits, since strengths that are next
        to each other are put together.
        """
        return self.length * math.log2(self.symbols) - self.entropy()

    def controls(self) -> Mapping[str, float]:
        return without_memory(self.trivial(), self.order, self.length, self._shared)

    def oracle(self, inputs: Int[Tensor, "time batch 2"]) -> Float[Tensor, "time batch symbols"]:
        """Return the odds of each symbol by the chance of all that was told, and it.

        Each is found by the forward algorithm, from the first place to the last, for all steps at
        once, with ones for what is not told.
        """
        where, when, symbols = told(inputs)
        now = torch.arange(len(where), device=where.device).view(-1, 1, 1)
        seen = self._seen(symbols)
        ones = torch.ones_like(seen)
        shown = torch.where((when < now).unsqueeze(3), seen, ones)  # [time, place, batch, hidden]
        odds = []
        for guess in range(self.symbols):
            guessed = self._seen(torch.full_like(symbols, guess))
            asks = torch.arange(self.length, device=where.device).view(-1, 1) == where.unsqueeze(1)
            odds.append(self._log_chance(torch.where(asks.unsqueeze(3), guessed, shown)))
        return torch.stack(odds, 2).log_softmax(2).float()

    def entropy(self) -> float:
        """Return the bits of a sequence, for whoever knows the law."""
        if self.symbols == 2:  # noqa: PLR2004 -- two have strengths
            return _entropy(self.renew, self.noise, self.length)
        text = every_text(self.symbols, self.length)
        return float(bits_of(self._log_chance(self._seen(text).unsqueeze(0)).exp()).sum())

    def _shared(self, one: int, other: int) -> float:
        """Return what the symbols at two places tell of each other."""
        held_on = (1 - self.renew) ** abs(one - other)
        return shared_bits(self.symbols, (1 - self.noise) ** 2 * held_on)

    def _seen(self, text: Int[Tensor, "*any"]) -> Float[Tensor, "*any symbols"]:
        """Return the chance of what is seen, for each hidden symbol."""
        same = torch.nn.functional.one_hot(text, self.symbols).double()
        return (1 - self.noise) * same + self.noise / self.symbols

    def _log_chance(
        self, seen: Float[Tensor, "time place batch symbols"]
    ) -> Float[Tensor, "time batch"]:
        """Return the logarithm of the chance of what is seen, by the forward algorithm."""
        hidden = torch.full_like(seen[:, 0], 1 / self.symbols)
        logarithm = torch.zeros_like(hidden[..., 0])
        for here in seen.unbind(1):
            hidden = ((1 - self.renew) * hidden + self.renew / self.symbols) * here
            total = hidden.sum(2, keepdim=True)
            logarithm = logarithm + total.log().squeeze(2)
            hidden = hidden / total
        return logarithm

    def _nats(self, text: Int[Tensor, "length batch"]) -> Float[Tensor, "length batch"]:
        """Multiply the transitions of neighbours, in pairs, up a tree; then go down it.

        A node's message is the matrix from the hidden symbol before its places to that of its
        last place, with the chance of what was told there. On the way down to the place that is
        asked for, what is left and right of it is multiplied on.
        """
        depth = (self.length - 1).bit_length()
        plan = meetings(self.order, self.length, 2, depth)
        matrices = self._leaves(text, 2**depth)
        heights = [matrices]
        for children in plan.children[:-1]:
            one, two = (matrices[constant(child, text)] for child in children.unbind(1))
            matrices = _normal(_times(one, two))
            heights.append(matrices)
        where = constant(places(self.order, self.length), text)
        before = matrices.new_full((self.length, 1, self.symbols, text.shape[1]), 1 / self.symbols)
        after = matrices.new_ones((self.length, self.symbols, 1, text.shape[1]))
        for height in reversed(range(depth)):
            beside = heights[height][constant(plan.siblings[height][:, 0], text)]
            on_the_left = (where >> height & 1).bool().view(-1, 1, 1, 1)
            before = torch.where(on_the_left, _normal(_times(before, beside)), before)
            after = torch.where(on_the_left, after, _normal(_times(beside, after)))
        odds = _normal(self._moved(before).transpose(1, 2) * after)
        chance = odds.gather(1, text[where].view(self.length, 1, 1, -1)).view(self.length, -1)
        return -((1 - self.noise) * chance + self.noise / self.symbols).log()

    def _moved(
        self, hidden: Float[Tensor, "places rows symbols batch"]
    ) -> Float[Tensor, "places rows symbols batch"]:
        """Go one place on: rows of chances of the hidden symbol."""
        return (1 - self.renew) * hidden + self.renew / self.symbols

    def _leaves(
        self, text: Int[Tensor, "length batch"], leaves: int
    ) -> Float[Tensor, "messages symbols symbols batch"]:
        """Return of each place the transition to it, with nothing told, and with its symbol."""
        length, batch = text.shape
        seen = self._seen(text).transpose(1, 2)
        told_or_not = seen.new_ones((leaves, 2, 1, self.symbols, batch))
        told_or_not[:length, 1, 0] = seen
        same = torch.eye(self.symbols, dtype=torch.float64, device=text.device).unsqueeze(2)
        return ((1 - self.renew) * same + self.renew / self.symbols) * told_or_not.flatten(0, 1)


def _times(
    one: Float[Tensor, "nodes rows inner batch"], two: Float[Tensor, "nodes inner columns batch"]
) -> Float[Tensor, "nodes rows columns batch"]:
    """Multiply matrices, adding in the same order on every device."""
    result = one[:, :, :1] * two[:, :1]
    for inner in range(1, two.shape[1]):
        result = result + one[:, :, inner : inner + 1] * two[:, inner : inner + 1]
    return result


def _normal(
    matrices: Float[Tensor, "nodes rows columns batch"],
) -> Float[Tensor, "nodes rows columns batch"]:
    """Scale to a sum of 1, which no odds depend on, so that nothing gets too small."""
    total = functools.reduce(torch.add, matrices.flatten(1, 2).unbind(1))
    return matrices / total.unsqueeze(1).unsqueeze(2)


@functools.lru_cache(maxsize=64)
def _entropy(renew: float, noise: float, length: int) -> float:
    """Return the bits of a sequence of two symbols, place by place.

    What was seen before tells of the hidden symbol with some strength; a law of strengths is
    carried from place to place.
    """
    kept = 1 - renew
    seen_through = weakened(sure(), 1 - noise)
    known = weakened(seen_through, 0.0)
    bits = 0.0
    last = math.inf
    for place in range(length):
        cost = 1 - information(weakened(known, 1 - noise))
        if abs(cost - last) < SETTLED:
            return bits + (length - place) * cost
        bits += cost
        last = cost
        known = weakened(joined(known, seen_through), kept)
    return bits
