"""From what a cell is to what is trained of it: how many, in what blocks, in which directions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from cellbench import options
from cellbench.cells.base import Cell
from cellbench.errors import OptionError
from cellbench.train.both_ways import BothWays
from cellbench.train.layers import Layers, MakeCell, ResidualLayers

BLOCKS = ("plain", "residual")


@dataclass(frozen=True, slots=True)
class Network:
    """How cells are put together.

    Attributes:
        depth: Cells one above the other.
        block: "plain": each reads what the one below gives; "residual": pre-norm residual blocks
            with a feed-forward part.
        dropout: While training: between plain cells, and of what each part of a residual block
            adds.
        bidirectional: Whether a second network reads the sequence from its end.
    """

    depth: int = 1
    block: str = "plain"
    dropout: float = 0.0
    bidirectional: bool = False

    def __post_init__(self) -> None:
        options.whole("--depth", self.depth, low=1)
        options.choice("--block", self.block, BLOCKS)
        options.real("--dropout", self.dropout, low=0.0, below=1.0)
        if self.dropout and self.depth == 1 and self.block == "plain":
            raise OptionError(
                "--dropout drops what one cell gives to the next, and --depth is 1: use "
                "--depth 2 or more, or --block residual."
            )

    def build(self, make_cell: MakeCell, input_size: int, hidden_size: int) -> Cell:
        """Return a network of new cells as one cell; of one plain cell, that cell.

        Raises:
            OptionError: The cell refuses a size or an option, or cannot stand in a block.
        """
        make = partial(self._one_way, make_cell)
        if self.bidirectional:
            return BothWays(make, input_size, hidden_size)
        return make(input_size, hidden_size)

    def _one_way(self, make_cell: MakeCell, input_size: int, hidden_size: int) -> Cell:
        if self.depth == 1 and self.block == "plain":
            return make_cell(input_size, hidden_size)
        layers = ResidualLayers if self.block == "residual" else Layers
        return layers(make_cell, input_size, hidden_size, depth=self.depth, dropout=self.dropout)
