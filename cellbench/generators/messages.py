"""Which messages of a tree meet at which step, when its leaves are told one by one.

A message from a node upward changes only when a leaf below it is told. So a node has as many
messages as it has leaves, and one more; all there ever are can be worked out height by height,
and every step takes those of its moment. Nothing is done in a loop over time.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cellbench.generators.ordering import places, turns


class Meetings(NamedTuple):
    """Which messages meet. Height 0 is the leaves.

    A message's number is that of its node, times the messages a node of that height has, plus
    how many leaves below were told.

    Attributes:
        children: Of each height above 0, for each of its messages, the messages it is made of.
        siblings: Of each height below the root's, for each step, the messages of those beside
            the node whose leaf is asked for.
    """

    children: tuple[Int[Tensor, "messages branching"], ...]
    siblings: tuple[Int[Tensor, "steps others"], ...]


@functools.lru_cache(maxsize=32)
def meetings(order: str, length: int, branching: int, depth: int) -> Meetings:
    """Return which messages meet where the first `length` leaves are asked for in this order.

    The leaves beyond come last; nobody asks for them.
    """
    with torch.device("cpu"):
        beyond = range(length, branching**depth)
        when = torch.tensor([*turns(order, length), *beyond])
        asked = torch.tensor(places(order, length))
        before = when < torch.arange(length).unsqueeze(1)
        return Meetings(
            tuple(_children(when, branching, height) for height in range(depth)),
            tuple(_siblings(before, asked, branching, height) for height in range(depth)),
        )


def _children(
    when: Int[Tensor, "leaves"], branching: int, height: int
) -> Int[Tensor, "messages branching"]:
    """Return the messages of this height that make each message of the next."""
    size = branching**height
    told = when.view(-1, size * branching).argsort(1)  # below each node, the leaf told k-th
    told_to = torch.nn.functional.one_hot(told // size, branching).cumsum(1)
    counts = torch.nn.functional.pad(told_to, (0, 0, 1, 0))  # [node, told, child]
    node = torch.arange(len(counts) * branching).view(-1, 1, branching)
    numbers: Tensor = node * (size + 1) + counts
    return numbers.flatten(0, 1)


def _siblings(
    before: Bool[Tensor, "steps leaves"], asked: Int[Tensor, "steps"], branching: int, height: int
) -> Int[Tensor, "steps others"]:
    """Return the messages of this height that stand beside the asked one, at each step."""
    size = branching**height
    counts = before.view(len(before), -1, size).sum(2)  # [step, node]
    node = asked // size
    beside = (torch.arange(1, branching) + node.unsqueeze(1)) % branching
    others: Tensor = (node // branching * branching).unsqueeze(1) + beside
    numbers: Tensor = others * (size + 1) + counts.gather(1, others)
    return numbers
