"""Group words: multiply elements of a group one after the other."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole

Permutation = tuple[int, ...]


def _then(one: Permutation, other: Permutation) -> Permutation:
    """Return where each point goes that `one` moves first, and `other` after it."""
    return tuple(other[point] for point in one)


def _is_even(one: Permutation) -> bool:
    pairs = itertools.combinations(one, 2)
    return sum(first > second for first, second in pairs) % 2 == 0


def _powers(one: Permutation) -> list[Permutation]:
    """Return `one` to the power of 0, 1 and so on, until it is where it began."""
    found = [tuple(range(len(one)))]
    while (following := _then(found[-1], one)) != found[0]:
        found.append(following)
    return found


_IN_CIRCLES = (1, 2, 0, 4, 5, 6, 3, 8, 9, 10, 11, 7)  # 3, 4 and 5 points: 60 turns in all
GROUPS: Mapping[str, Sequence[Permutation]] = MappingProxyType(
    {
        "s3": tuple(itertools.permutations(range(3))),
        "s5": tuple(itertools.permutations(range(5))),
        "a5": tuple(filter(_is_even, itertools.permutations(range(5)))),
        "z60": tuple(_powers(_IN_CIRCLES)),
    }
)
"""Name -> elements, each as where it moves the points; element 0 leaves them as they are."""


@functools.cache
def multiplication(group: str) -> Int[Tensor, "elements elements"]:
    """Return the number of each product: of the row, first, and of the column, after it."""
    elements = GROUPS[group]
    numbers = {element: number for number, element in enumerate(elements)}
    return torch.tensor(
        [[numbers[_then(one, other)] for other in elements] for one in elements], device="cpu"
    )


@functools.lru_cache(maxsize=16)
def _flat_table(group: str, device: torch.device) -> Int[Tensor, "pairs"]:
    """Return the products of all pairs, row by row; kept on the device, since copying waits."""
    return multiplication(group).view(-1).to(device)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GroupWords(Generator):
    """Show elements of a group, and ask at every step for the product so far.

    With length=8, group=s3, sequence 5 of the training stream:

        input   4 3 2 3 4 1 5 0
        target  4 0 2 5 2 4 1 1

    Tokens and classes are the numbers of the elements, 0 the one that changes nothing. At
    step i the target is g1 g2 ... gi, the new element on the right; a product moves the
    points by its left factor first. Elements are equally likely, so products are too.

    Permutations are numbered in the order of their images: in s3, 0 is 012, 1 is 021, 2 is
    102, 3 is 120, 4 is 201, 5 is 210. Element k of z60 is k: it adds modulo 60.

    Source: Merrill et al. 2024, arXiv:2404.08819, with s5, a5 and z60.
    Differs from it: the group s3, the smallest that does not commute, is there for a start.
    The numbers of the elements and the side of the product are our own.

    Attributes:
        length: Elements to multiply.
        group: s3 (6 elements), s5 (120), a5 (60), or z60 (60, in which order does not matter).
    """

    length: int
    group: str

    def __post_init__(self) -> None:
        whole("length", self.length, low=1)
        choice("group", self.group, tuple(GROUPS))

    @property
    def reads(self) -> Reads:
        return Tokens(self._elements)

    @property
    def answers(self) -> Answers:
        return Tokens(self._elements)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        """Draw elements, and join ever longer products: log2(length) passes."""
        inputs = stream.integers("elements", index, self.length, below=self._elements)
        table = _flat_table(self.group, index.device)
        products = inputs.clone()
        reach = 1
        while reach < self.length:
            joined = products[:-reach] * self._elements + products[reach:]
            products[reach:] = table[joined]
            reach *= 2
        scored = torch.ones_like(inputs, dtype=torch.bool)
        return Batch(inputs, products, scored, scored)

    def trivial(self) -> float:
        return 1 / self._elements

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Follow the points themselves, and look up which element moves them so."""
        moves = inputs.new_tensor(GROUPS[self.group])
        size = moves.shape[1]
        places = size ** torch.arange(size, device=inputs.device)
        keys, numbers = (moves * places).sum(dim=1).sort()
        where = moves[inputs]
        reach = 1
        while reach < len(where):
            where = torch.cat([where[:reach], where[reach:].gather(2, where[:-reach])])
            reach *= 2
        return numbers[torch.searchsorted(keys, (where * places).sum(dim=2))]

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, length=length)

    @property
    def _elements(self) -> int:
        return len(GROUPS[self.group])
