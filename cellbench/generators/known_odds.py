"""What the sources of known entropy share: how symbols are asked for, and sums over their law."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.base import Batch, Fields
from cellbench.generators.ordering import places
from cellbench.generators.stream import Stream
from cellbench.options import between

NOTHING = "~"
"""What is drawn where no symbol was asked for yet."""

THOUSAND = 1000
ENUMERABLE = 2**16
"""Strings that are summed over one by one, at most."""

GRID = 256
"""Kinds of noisy symbol that are told apart; beyond, neighbours are put together."""


# --- asking -----------------------------------------------------------------------------


def asked_fields(symbols: int, length: int, glyphs: tuple[str, ...] = ()) -> Fields:
    """Return what is read at each step: the symbol before, or nothing yet, and the place asked."""
    return Fields((symbols + 1, length), ((*(glyphs or map(str, range(symbols))), NOTHING), ()))


def asked(
    text: Int[Tensor, "length batch"],
    order: str,
    symbols: int,
    nats: Float[Tensor, "length batch"],
) -> Batch:
    """Ask for the symbols of `text` in this order; `nats` are of each step, in that order."""
    length, batch = text.shape
    where = constant(places(order, length), text)
    targets = text[where]
    inputs = text.new_empty((length, batch, 2))
    inputs[0, :, 0] = symbols
    inputs[1:, :, 0] = targets[:-1]
    inputs[:, :, 1] = where.unsqueeze(1)
    everywhere = torch.ones_like(targets, dtype=torch.bool)
    return Batch(inputs, targets, everywhere, everywhere, nats.float())


def told(
    inputs: Int[Tensor, "length batch 2"],
) -> tuple[Int[Tensor, "length batch"], Int[Tensor, "length batch"], Int[Tensor, "length batch"]]:
    """Return what inputs tell: the place asked at each step; of each place when, and its symbol.

    The symbol of the place that is asked last is never told; 0 stands for it.
    """
    where = inputs[:, :, 1]
    steps = torch.arange(len(inputs), device=inputs.device).unsqueeze(1).expand_as(where)
    when = torch.zeros_like(where).scatter_(0, where, steps)
    symbols = torch.zeros_like(where).scatter_(0, where[:-1], inputs[1:, :, 0])
    return where, when, symbols


def constant(values: Sequence[int] | Sequence[float] | Tensor, like: Tensor) -> Tensor:
    """Return values worked out on the CPU, on the device of `like`."""
    return torch.as_tensor(values, device="cpu").to(like.device)


# --- chances ----------------------------------------------------------------------------


def thousandths(name: str, value: float) -> int:
    """Return a chance in thousandths, and raise OptionError unless it is a whole number of them.

    A chance then is compared in integers, and what is computed from it is exact.
    """
    between(name, value, low=0.0, high=1.0)
    count = round(value * THOUSAND)
    if count / THOUSAND != value:
        raise OptionError(f"{name} must be a whole number of thousandths, not {value!r}.")
    return count


def inner_chance(name: str, value: float) -> None:
    """Raise OptionError unless `value` is a chance in thousandths, neither 0 nor 1."""
    if not 0 < thousandths(name, value) < THOUSAND:
        raise OptionError(f"{name} must be more than 0 and less than 1, not {value!r}.")


def happens(
    stream: Stream, purpose: str, index: Int[Tensor, "batch"], count: int, chance: float
) -> Tensor:
    """Return `count` times for each sequence whether something of this chance happens."""
    drawn = stream.integers(purpose, index, count, below=THOUSAND)
    return drawn < thousandths(purpose, chance)


def held(fresh: Int[Tensor, "steps *rest"], renewed: Tensor) -> Int[Tensor, "steps *rest"]:
    """Return at each step the symbol drawn when it was last renewed: no loop over time."""
    steps = torch.arange(len(fresh), device=fresh.device).view(-1, *[1] * (fresh.ndim - 1))
    last = torch.where(renewed, steps, 0).cummax(0).values
    return fresh.gather(0, last)


# --- entropies, in bits -----------------------------------------------------------------


def bits_of(chances: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Return the summands of an entropy: nothing for what cannot happen."""
    nats: Tensor = torch.special.entr(chances)
    return nats / math.log(2)


def shared_bits(symbols: int, kept: float) -> float:
    """Return what a symbol tells of its copy, kept with this chance, else drawn anew."""
    same = kept + (1 - kept) / symbols
    other = (1 - kept) / symbols
    chances = torch.tensor([same] + [other] * (symbols - 1), dtype=torch.float64, device="cpu")
    return math.log2(symbols) - float(bits_of(chances).sum())


def without_memory(
    trivial: float, order: str, length: int, shared: Callable[[int, int], float]
) -> Mapping[str, float]:
    """Return the excess of two predictors: one knows the place, the other also the last symbol.

    Both stand in the input of one step, so that a cell without a memory can do as well.

    Args:
        trivial: Excess of the first.
        order, length: In which places are asked for.
        shared: What the symbols at two places tell of each other, in bits.
    """
    told_by_last = sum(shared(*pair) for pair in itertools.pairwise(places(order, length)))
    return {"no memory": trivial, "the symbol asked last": max(0.0, trivial - told_by_last)}


def every_text(symbols: int, length: int) -> Int[Tensor, "length texts"]:
    """Return all strings of this length."""
    numbers = torch.arange(symbols**length, device="cpu")
    return torch.stack([numbers // symbols**place % symbols for place in range(length)])


def check_countable(symbols: int, length: int) -> None:
    """Raise OptionError unless the entropy of symmetric noise on `symbols` can be computed."""
    if symbols > 2 and symbols**length > ENUMERABLE:  # noqa: PLR2004 -- two need no counting
        raise OptionError(
            f"With symbols above 2 there must be at most {ENUMERABLE} strings, for their entropy "
            f"is summed over them; {symbols} symbols at length {length} are too many."
        )


# Two symbols, as 1 and -1, seen through symmetric noise: what is seen has a strength m from 0 to
# 1, the expected symbol up to its sign. A law of strengths says all there is to say of noise.

Strengths = tuple[Tensor, Tensor]
"""Values of m, and the chance of each."""


def sure() -> Strengths:
    """Return the strength of a symbol that is seen as it is."""
    one = torch.ones(1, dtype=torch.float64, device="cpu")
    return one, one


def weakened(strengths: Strengths, kept: float) -> Strengths:
    """Return what is seen of a symbol through a copy of it, kept with this chance."""
    return strengths[0] * kept, strengths[1]


def joined(one: Strengths, two: Strengths) -> Strengths:
    """Return what two independent sights of a symbol make together.

    Signs agree with the chance (1 + m n) / 2, and then the strength is (m + n) / (1 + m n).
    """
    m, n = one[0].unsqueeze(1), two[0].unsqueeze(0)
    chance = one[1].unsqueeze(1) * two[1].unsqueeze(0) / 2
    product = m * n
    against = ((m - n).abs() / (1 - product).clamp(min=1e-300)).clamp(max=1.0)
    values = torch.cat([((m + n) / (1 + product)).flatten(), against.flatten()])
    chances = torch.cat([(chance * (1 + product)).flatten(), (chance * (1 - product)).flatten()])
    return _merged(values, chances)


def information(strengths: Strengths) -> float:
    """Return what is learned of a fair symbol, in bits."""
    m, chances = strengths
    doubt = bits_of((1 + m) / 2) + bits_of((1 - m) / 2)
    return 1 - float((doubt * chances).sum())


def _merged(values: Tensor, chances: Tensor) -> Strengths:
    """Put equal strengths together; of more than GRID, neighbours, to their mean.

    Cells are equally wide in the angle whose sine is the strength: there an error of
    information is about the same everywhere, below 1e-5 bits.
    """
    cell = (values.asin() * (2 * GRID / math.pi)).long().clamp(max=GRID - 1)
    if len(values) <= GRID**2 // 16:  # else sorting takes long, and they are too many anyway
        kinds, kind = torch.unique((values * 2.0**40).round(), return_inverse=True)
        cell = kind if len(kinds) <= GRID else cell
    count = int(cell.max()) + 1
    weight = chances.new_zeros(count).index_add_(0, cell, chances)
    mean = chances.new_zeros(count).index_add_(0, cell, chances * values) / weight
    there = weight > 0
    return mean[there], weight[there]
