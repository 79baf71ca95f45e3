"""Tree: leaves of a tree whose nodes mostly copy their parent; asked in any order."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.base import Answers, Batch, Generator, Odds, Reads
from cellbench.generators.known_odds import (
    asked,
    asked_fields,
    bits_of,
    check_countable,
    constant,
    every_text,
    happens,
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

MOST_LEAVES = 1024


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Tree(Generator):
    """Ask for the leaves of a tree in which every node mostly copies its parent.

    With symbols=2, keep=0.8, branching=2, depth=3, order=bit_reversed,
    sequence 5 of the training stream:

        input 0     ~    1    0    1    0    1    0    1
        input 1     0    4    2    6    1    5    3    7
        target      1    0    1    0    1    0    1    0
        bits     1.00 1.44  .74  .92  .27  .28  .23  .23

    The root is fair; each node below is its parent's symbol with the chance `keep`, else drawn
    anew from all symbols. Only the leaves are shown, from left to right. The inputs are the
    symbol that was asked for last (`~` for none yet) and the place that is asked for now. Two
    leaves that are n places apart tell of each other as a power of n, as the parts of a text
    do; in a chain it would be exponentially less. The sum of the bits is the same in every
    order, on average.

    Source: Lin & Tegmark 2017, "Critical Behavior in Physics and Probabilistic Formal
    Languages", arXiv:1606.06737.
    Differs from it: its grammars are any; here a node copies or renews itself. Chances are
    whole thousandths, and are drawn as such.

    Attributes:
        symbols: Distinct symbols; above 2, at most 65536 strings, for the entropy is summed.
        keep: Chance that a node copies its parent; more than 0, less than 1.
        branching: Children of a node.
        depth: Levels below the root; there are branching**depth leaves, at most 1024.
        order: In which places are asked for: forward, reverse, stride(k), block(k),
            bit_reversed, or random (one for ever).
    """

    symbols: int
    keep: float
    branching: int
    depth: int
    order: str

    def __post_init__(self) -> None:
        whole("symbols", self.symbols, low=2)
        inner_chance("keep", self.keep)
        whole("branching", self.branching, low=2)
        whole("depth", self.depth, low=1)
        if self.depth * math.log2(self.branching) > math.log2(MOST_LEAVES):
            raise OptionError(
                f"branching**depth must be from 2 to {MOST_LEAVES}, "
                f"not {self.branching}**{self.depth}."
            )
        check_countable(self.symbols, self.length)
        places(self.order, self.length)

    @property
    def length(self) -> int:
        """Leaves."""
        return int(self.branching**self.depth)

    @property
    def reads(self) -> Reads:
        return asked_fields(self.symbols, self.length)

    @property
    def answers(self) -> Answers:
        return Odds(self.symbols)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        text = stream.integers("root", index, 1, below=self.symbols)
        for level in range(1, self.depth + 1):
            nodes = self.branching**level
            fresh = stream.integers(f"level {level}", index, nodes, below=self.symbols)
            kept = happens(stream, f"kept {level}", index, nodes, self.keep)
            text = torch.where(kept, text.repeat_interleave(self.branching, 0), fresh)
        return asked(text, self.order, self.symbols, self._nats(text))

    def trivial(self) -> float:
        """Return what the leaves tell of each other: nothing of it is known.

        Exact up to 8 leaves, or above 2 symbols; else to 1e-4 bits, since kinds of message that
        are next to each other are put together.
        """
        bits = _entropy(self.symbols, self.keep, self.branching, self.depth)
        return self.length * math.log2(self.symbols) - bits

    def controls(self) -> Mapping[str, float]:
        return without_memory(self.trivial(), self.order, self.length, self._shared)

    def oracle(self, inputs: Int[Tensor, "time batch 2"]) -> Float[Tensor, "time batch symbols"]:
        """Return the odds of each symbol by the chance of all that was told, and it.

        Each is found by pruning: from the leaves to the root, with ones for what is not told.
        """
        where, when, symbols = told(inputs)
        now = torch.arange(len(where), device=where.device).view(-1, 1, 1)
        known = (when < now).unsqueeze(3)  # [time, place, batch, 1]
        shown = torch.nn.functional.one_hot(symbols, self.symbols)
        leaves = torch.where(known, shown, 1).double()
        asks = now.squeeze(2).new_tensor(range(self.length)).view(1, -1, 1) == where.unsqueeze(1)
        guesses = torch.eye(self.symbols, device=where.device, dtype=torch.float64)
        odds = [
            _log_chance(torch.where(asks.unsqueeze(3), guess, leaves), self.keep, self.branching)
            for guess in guesses
        ]
        return torch.stack(odds, 2).log_softmax(2).float()

    def entropy(self) -> float:
        """Return the bits of a sequence, for whoever knows the law."""
        return _entropy(self.symbols, self.keep, self.branching, self.depth)

    def _shared(self, one: int, other: int) -> float:
        """Return what two leaves tell of each other: all that matters is where they part."""
        height = 0
        while one != other:
            one, other, height = one // self.branching, other // self.branching, height + 1
        return shared_bits(self.symbols, self.keep ** (2 * height))

    def _nats(self, text: Int[Tensor, "length batch"]) -> Float[Tensor, "length batch"]:
        """Pass messages up the tree, then down to each place that is asked for.

        A message changes only when a leaf below its node is told, so that a node has as many
        messages as it has leaves, and one more. All that there ever are go up, height by height;
        then every step takes those of its moment: no loop over time.
        """
        plan = meetings(self.order, self.length, self.branching, self.depth)
        shown = torch.nn.functional.one_hot(text, self.symbols).double()
        messages = torch.stack([torch.ones_like(shown), shown], 1).flatten(0, 1)
        heights = []
        for children in plan.children:
            copied = _copied(messages, self.keep)
            heights.append(copied)
            messages = _normal(_product(copied, constant(children, text)))
        down = torch.full_like(shown, 1 / self.symbols)
        for copied, siblings in zip(reversed(heights), reversed(plan.siblings), strict=True):
            node = down * _product(copied, constant(siblings, text))
            down = _copied(_normal(node), self.keep)
        targets = text[constant(places(self.order, self.length), text)]
        return -down.gather(2, targets.unsqueeze(2)).squeeze(2).log()


def _copied(message: Float[Tensor, "*any symbols"], keep: float) -> Float[Tensor, "*any symbols"]:
    """Carry a message along an edge, up or down: it is the same."""
    return keep * message + (1 - keep) / message.shape[-1] * _total(message)


def _normal(message: Float[Tensor, "*any symbols"]) -> Float[Tensor, "*any symbols"]:
    return message / _total(message)


def _total(message: Float[Tensor, "*any symbols"]) -> Float[Tensor, "*any 1"]:
    """Add over symbols, in the same order on every device."""
    total = message[..., :1]
    for symbol in range(1, message.shape[-1]):
        total = total + message[..., symbol : symbol + 1]
    return total


def _product(
    messages: Float[Tensor, "kept batch symbols"], which: Int[Tensor, "nodes of"]
) -> Float[Tensor, "nodes batch symbols"]:
    """Multiply, for each node, the messages of these numbers."""
    result = messages[which[:, 0]]
    for column in which.unbind(1)[1:]:
        result = result * messages[column]
    return result


def _log_chance(
    leaves: Float[Tensor, "time place batch symbols"], keep: float, branching: int
) -> Float[Tensor, "time batch"]:
    """Return the logarithm of the chance of what leaves show; ones, where they show nothing."""
    logarithm = leaves.new_zeros(leaves.shape[0], leaves.shape[2])
    while leaves.shape[1] > 1:
        time, places_left, batch, symbols = leaves.shape
        family = (time, places_left // branching, branching, batch, symbols)
        leaves = _copied(leaves, keep).view(family).prod(2)
        total = leaves.sum(3, keepdim=True)
        logarithm = logarithm + total.log().sum((1, 3))
        leaves = leaves / total
    return logarithm + (leaves.sum((1, 3)) / leaves.shape[3]).log()


@functools.lru_cache(maxsize=64)
def _entropy(symbols: int, keep: float, branching: int, depth: int) -> float:
    """Return the bits of all leaves: summed over all strings, or, of two symbols, by height.

    Given a node, the leaves below its children are independent. So with H the bits of the leaves
    below a node, I what they tell of it, and J what they tell of its parent,
    H = branching * (H - J of a child) + I.
    """
    if symbols > 2:  # noqa: PLR2004 -- two have strengths
        text = every_text(symbols, branching**depth)
        shown = torch.nn.functional.one_hot(text, symbols).double().unsqueeze(0)
        return float(bits_of(_log_chance(shown, keep, branching).exp()).sum())
    bits, seen = 1.0, sure()
    for _ in range(depth):
        copy = weakened(seen, keep)
        seen = functools.reduce(joined, [copy] * branching)
        bits = branching * (bits - information(copy)) + information(seen)
    return bits
