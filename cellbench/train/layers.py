"""Several cells one above the other, as models are built of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench.cells.base import Carry, Cell, CompositeCell, Projected, State
from cellbench.errors import OptionError
from cellbench.unroll import slices, stepwise

WIDENING = 4
"""Features of a feed-forward part's hidden layer, for each of the block."""

MakeCell = Callable[[int, int], Cell]
"""`(input_size, hidden_size) -> Cell`."""


class Layers(CompositeCell):
    """Cells of which each reads what the one below it gives, with dropout between them.

        y^0 = x_t
        y^k = cell_k(drop(y^{k-1}))        no dropout of x_t; the output is y^depth

    as `torch.nn.LSTM` has it with several layers.

    Args:
        make_cell: Makes each cell.
        input_size: Features of each input vector.
        hidden_size: Asked of every cell.
        depth: How many cells.
        dropout: Chance of dropping a feature of what a cell gives to the next, while training.
    """

    def __init__(
        self, make_cell: MakeCell, input_size: int, hidden_size: int, *, depth: int, dropout: float
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.dropout = dropout
        cells: list[Cell] = []
        for _ in range(depth):
            cells.append(make_cell(cells[-1].hidden_size if cells else input_size, hidden_size))
        self._adopt(cells)

    def _adopt(self, cells: Sequence[Cell]) -> None:
        self.cells = nn.ModuleList(cells)
        self.hidden_size = cells[-1].hidden_size
        self.grows = any(cell.grows for cell in cells)
        self.penalised = any(cell.penalised for cell in cells)
        self.has_population = any(cell.has_population for cell in cells)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            starts = [cell.initial_state(1) for cell in cells]
        self._kinds = [(getattr(type(start), "_make", tuple), len(start)) for start in starts]

    # --- What a block adds to the cells ---------------------------------------------------

    def enter(self, x: Tensor) -> Tensor:
        """Make y^0 of the inputs."""
        return x

    def before(self, layer: int, y: Tensor) -> Tensor:
        """Return what a cell reads, of y of the layer below."""
        return self.drop(y) if layer else y

    def join(self, layer: int, y: Any, given: Tensor) -> Tensor:
        """Return y of a layer, of that of the layer below and of what its cell gives."""
        del layer, y
        return given

    def leave(self, y: Tensor) -> Tensor:
        """Return the output."""
        return y

    def drop(self, y: Tensor) -> Tensor:
        """Drop features at random while training.

        The mask is made of no value of `y`, so that a step can be compiled with it.
        """
        if not (self.training and self.dropout):
            return y
        ones = torch.ones(y.shape, dtype=y.dtype, device=y.device)
        return y * functional.dropout(ones, self.dropout)

    # --- A cell made of cells -------------------------------------------------------------

    def weight_makers(self) -> list[nn.Parameter]:
        """Return those of all cells."""
        return [weight for cell in self._cells() for weight in cell.weight_makers()]

    def penalty(self, state: State) -> Float[Tensor, ""]:
        """Return the sum of all cells'."""
        pairs = zip(self._cells(), self._apart(state), strict=True)
        return torch.stack([cell.penalty(part) for cell, part in pairs if cell.penalised]).sum()

    def population(self, x: Float[Tensor, "time batch input"]) -> dict[str, Tensor]:
        """Ask each cell with what it sees."""
        found: dict[str, Tensor] = {}

        def ask(layer: int, cell: Cell, seen: Tensor) -> Tensor:
            if cell.has_population:
                named = cell.population(seen).items()
                found.update({f"cells.{layer}.{name}": value for name, value in named})
            return stepwise(cell, cell.project(seen), cell.initial_state(seen.shape[-2]))[0]

        with torch.no_grad():
            y = self.enter(x)
            for layer, cell in enumerate(self._cells()):
                y = self.join(layer, y, ask(layer, cell, self.before(layer, y)))
        return found

    def initial_state(self, batch: int) -> State:
        return tuple(part for cell in self._cells() for part in cell.initial_state(batch))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> Projected:
        return self._first().project(x)

    def step(
        self, p_t: Projected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], State]:
        y, p_t = self._entered(p_t)
        after: list[Tensor] = []
        for layer, (cell, part) in enumerate(zip(self._cells(), self._apart(state), strict=True)):
            if layer:
                (p_t,) = slices(cell.project(self.before(layer, y).unsqueeze(0)))
            given, part = cell.step(p_t, part)  # noqa: PLW2901 -- the state goes on
            y = self.join(layer, y, given)
            after += part
        return self.leave(y), tuple(after)

    def carry(
        self, x: Float[Tensor, "time *batch {self.input_size}"], state: State, carry: Carry
    ) -> tuple[Float[Tensor, "time *batch {self.hidden_size}"], State]:
        y = self.enter(x)
        after: list[Tensor] = []
        for layer, (cell, part) in enumerate(zip(self._cells(), self._apart(state), strict=True)):
            given, part = carry(cell, self.before(layer, y), part)  # noqa: PLW2901 -- the state goes on
            y = self.join(layer, y, given)
            after += part
        return self.leave(y), tuple(after)

    def _entered(self, p_t: Projected) -> tuple[Any, Projected]:
        """Return y^0 of this step, and what the first cell reads."""
        return None, p_t  # nobody asks for y^0

    def _cells(self) -> list[Cell]:
        return list(self.cells)  # type: ignore[arg-type]  # they are

    def _first(self) -> Cell:
        return self._cells()[0]

    def _apart(self, state: State) -> Iterator[State]:
        """Yield the state of each cell."""
        start = 0
        for make, parts in self._kinds:
            yield make(state[start : start + parts])
            start += parts


class Entered(NamedTuple):
    """What residual blocks make of the inputs: y^0, and what the first cell makes of it."""

    y: Tensor
    first: Projected


@final
class ResidualLayers(Layers):
    """Pre-norm residual blocks, of a cell and a feed-forward part, as linear cells need them.

        y^0 = W x_t + b
        a   = y^{k-1} + drop(cell_k(LN(y^{k-1})))
        y^k = a + drop(W_2 gelu(W_1 LN(a) + b_1) + b_2)        W_1 makes it four times as wide

    and the output is LN(y^depth).

    Args:
        make_cell: Makes each cell.
        input_size: Features of each input vector.
        hidden_size: Of the block, and asked of every cell.
        depth: How many blocks.
        dropout: Chance of dropping a feature of what a part adds, while training.

    Raises:
        OptionError: A cell's outputs have not the size that was asked for.
    """

    def __init__(
        self, make_cell: MakeCell, input_size: int, hidden_size: int, *, depth: int, dropout: float
    ) -> None:
        super().__init__(make_cell, hidden_size, hidden_size, depth=depth, dropout=dropout)
        if any(cell.hidden_size != hidden_size for cell in self._cells()):
            raise OptionError(
                f"--block residual adds what a cell gives to what it reads: it must give "
                f"{hidden_size} features, not {self.hidden_size}."
            )
        self.input_size = input_size
        self.entry = nn.Linear(input_size, hidden_size)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size) for _ in range(depth))
        self.forwards = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(hidden_size),
                nn.Linear(hidden_size, WIDENING * hidden_size),
                nn.GELU(),
                nn.Linear(WIDENING * hidden_size, hidden_size),
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(hidden_size)

    def enter(self, x: Tensor) -> Tensor:
        return self.entry(x)  # type: ignore[no-any-return]  # torch gives it no type

    def before(self, layer: int, y: Tensor) -> Tensor:
        return self.norms[layer](y)  # type: ignore[no-any-return]  # torch gives it no type

    def join(self, layer: int, y: Any, given: Tensor) -> Tensor:
        a: Tensor = y + self.drop(given)
        return a + self.drop(self.forwards[layer](a))

    def leave(self, y: Tensor) -> Tensor:
        return self.norm(y)  # type: ignore[no-any-return]  # torch gives it no type

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> Entered:
        y = self.enter(x)
        return Entered(y, self._first().project(self.before(0, y)))

    def _entered(self, p_t: Projected) -> tuple[Any, Projected]:
        return p_t.y, p_t.first
