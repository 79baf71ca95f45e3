"""Cells of a repository of somebody else: as they were, and as a bad change left them."""

GOOD = """
import torch
from torch import nn


class Cell(nn.GRUCell):
    pass


class Leaks(Cell): ...
class Keeps(Cell): ...
class Breaks(Cell): ...
class Bigger(Cell): ...
class Forgets(Cell): ...
class Costs(Cell): ...
class Gone(Cell): ...
class Crashes(Cell): ...
class Same(Cell): ...
"""

BAD = """
import torch
from torch import nn


class Cell(nn.GRUCell):
    pass


class Leaks(Cell):
    held = []

    def forward(self, x, h):
        y = super().forward(x, h)
        self.held.append(y.detach())
        return y


class Keeps(Cell):
    held = {}

    def forward(self, x, h):
        for _ in range(4):
            self.held[len(self.held)] = object()
        return super().forward(x, h)


class Breaks(Cell):
    def forward(self, x, h):
        y = super().forward(x, h)
        if y.sum() > 1e9:
            return h
        return y


class Bigger(Cell):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.more = nn.Parameter(torch.zeros(1))


class Forgets(Cell):
    def forward(self, x, h):
        return super().forward(x, torch.zeros_like(h))


class Costs(Cell):
    def forward(self, x, h):
        return super().forward(x, h) + 0 * h @ self.weight_hh[: self.hidden_size].T


class Crashes(Cell):
    def forward(self, x, h):
        raise RuntimeError("out of order")


class Same(Cell):
    pass
"""
