"""compressed: any cell, its matrices made of a few frequencies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from cellbench import options
from cellbench.cells.adapter import adapt
from cellbench.cells.base import Cell, ParallelCell, Projected, State, constant
from cellbench.cells.frequencies import Frequencies
from cellbench.cells.lstm import LSTM
from cellbench.cells.methods import Methods
from cellbench.errors import OptionError

MATRIX = 2
"""Rows and columns that a matrix has at least; with less it is a vector."""


def compressed(
    input_size: int,
    hidden_size: int,
    *,
    inner_cell: Callable[[int, int], nn.Module] = LSTM,
    coefficients: int = 64,
    by_gate: bool = False,
    residual: bool = False,
    init: str = "spectral",
) -> CompressedCell:
    """Any cell, each of its matrices made of a few of its lowest frequencies.

        W = D_m^T C D_n                 every matrix W [m, n] of the cell inside
        C = 0 but for its first entries along the anti-diagonals, which are learned:
            C_00, C_01, C_10, C_20, C_11, C_02, C_03, ...

        D_n[k, j] = sqrt(2 / n) * cos(pi (2 j + 1) k / (2 n)), and sqrt(1 / n) for k = 0

        W = alpha I + D_m^T C D_n       residual: for each square block, with an alpha of its own

    D_n, of n x n, is the orthonormal DCT-II: W has the norm of C, and as many coefficients as
    entries give any W. K of them give a smooth W, of a rank of about sqrt(2 K). W is made once
    a sequence.

    A parameter counts as a matrix if its last two axes have two entries or more; those before
    count matrices. Biases and all else that is learned stays as it is. A matrix of fewer
    entries than `coefficients` has as many coefficients as entries. Square blocks are those of
    a parameter of hidden_size columns whose rows are a multiple of that.

    At the start the coefficients are those of the weights that the cell inside starts with,
    times a factor for each matrix that makes up for the others that are missing. With
    `init="rms"` W keeps its norm, and with few coefficients a recurrence explodes. So with
    `init="spectral"` a matrix of square blocks keeps the largest of their spectral radii.

    Source: Koutník, Gomez & Schmidhuber 2010, "Evolving Neural Networks in Compressed Weight
    Space", GECCO.
    Differs from it: learned by gradient, not evolved; biases are not compressed, one genome
    has one matrix, and all matrices as many coefficients; which way an anti-diagonal is read;
    the initial values; residual.

    Parameters: max((X == 1)*4*H, min(coefficients, 4*H*X)) * (1 - by_gate)
        + min(coefficients, 4*H*H) * (1 - by_gate)
        + 4*max((X == 1)*H, min(coefficients, H*X)) * by_gate
        + 4*min(coefficients, H*H) * by_gate
        + 8*H + residual*4*(1 + (X == H))

    Args:
        input_size: Features of each input vector.
        hidden_size: Asked of the cell inside.
        inner_cell: What makes the cell inside: on the command line its name, options and all,
            as in `compressed(gru, coefficients=8)`. The number of parameters is with the default.
        coefficients: Learned numbers of each matrix.
        by_gate: Whether a parameter whose rows are a multiple of hidden_size is one matrix for
            each gate, and not one for all that are stacked.
        residual: Whether to add alpha I to square blocks; alpha is learned, and starts such
            that both parts are as large.
        init: "spectral" or "rms": what a matrix of square blocks keeps.
    """
    options.whole("coefficients", coefficients, low=1)
    options.flag("by_gate", by_gate)
    options.flag("residual", residual)
    options.choice("init", init, ("spectral", "rms"))
    inner = adapt(inner_cell)(input_size, hidden_size)
    if isinstance(inner, CompressedCell):
        raise OptionError("inner_cell is compressed already: give the cell inside of it.")
    matrices = {name: p for name, p in inner.named_parameters() if _is_matrix(p)}
    sizes = {name: _rows(p, inner.hidden_size, by_gate=by_gate) for name, p in matrices.items()}
    _check(coefficients, {name: (rows, matrices[name].shape[-1]) for name, rows in sizes.items()})
    made = {
        name: Frequencies(
            matrix,
            coefficients=coefficients,
            rows=sizes[name],
            side=_side(matrix, inner.hidden_size),
            residual=residual,
            spectral=init == "spectral",
        )
        for name, matrix in matrices.items()
    }
    kind = CompressedParallelCell if isinstance(inner, ParallelCell) else CompressedCell
    return kind(inner, made)


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.requires_grad and parameter.ndim >= MATRIX and min(parameter.shape[-2:]) > 1


def _side(matrix: Tensor, hidden_size: int) -> int:
    """Return the side of its square blocks, 0 if it has none."""
    rows, columns = matrix.shape[-2:]
    return columns if columns == hidden_size and rows % columns == 0 else 0


def _rows(matrix: Tensor, hidden_size: int, *, by_gate: bool) -> int:
    """Return the rows of each matrix that it is made of."""
    stacked = by_gate and matrix.shape[-2] % hidden_size == 0 and hidden_size > 1
    return hidden_size if stacked else matrix.shape[-2]


def _check(coefficients: int, shapes: dict[str, tuple[int, int]]) -> None:
    if not shapes:
        raise OptionError("inner_cell has no matrix to compress: its parameters are vectors.")
    name = max(shapes, key=lambda name: shapes[name][0] * shapes[name][1])
    rows, columns = shapes[name]
    if coefficients > rows * columns:
        raise OptionError(
            f"coefficients must be a whole number from 1 to {rows * columns}, the size of the "
            f"largest matrix ({name}, {rows} x {columns}), not {coefficients}."
        )


class CompressedCell(Cell):
    """A cell whose matrices are made, see `compressed`.

    Args:
        inner: The cell, whose parameters become those of this one, but for matrices.
        made: What makes each matrix, by the name of the parameter.
    """

    def __init__(self, inner: Cell, made: dict[str, Frequencies]) -> None:
        super().__init__()
        self.input_size = inner.input_size
        self.hidden_size = inner.hidden_size
        self.grows = inner.grows
        self.penalised = inner.penalised
        self.has_population = inner.has_population
        self.made = nn.ModuleList(made.values())
        self.kept = _without(inner, {id(inner.get_parameter(name)) for name in made})
        self._names = tuple(made)
        self._kind = _kind_of_projection(inner)
        self._makers = _names_of_makers(inner, made)
        # In a tuple: its parameters are none of ours. On meta: to use one of them would fail.
        self._skeleton = (Methods(copy.deepcopy(inner)).to("meta"),)

    def train(self, mode: bool = True) -> CompressedCell:  # noqa: FBT001, FBT002 -- as nn.Module has it
        self._skeleton[0].train(mode)
        super().train(mode)
        return self

    def weight_makers(self) -> list[nn.Parameter]:
        return [self.get_parameter(name) for name in self._makers]

    def penalty(self, state: State) -> Float[Tensor, ""]:
        found: Tensor = self._call("penalty", self._make(), state)
        return found

    def population(self, x: Float[Tensor, "time batch {self.input_size}"]) -> dict[str, Tensor]:
        found = self._call("population", self._make(), x)
        return {f"kept.{name}": value for name, value in found.items()}

    def initial_state(self, batch: int) -> State:
        state: State = self._call("initial_state", self._make(), batch)
        return state

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> tuple[Tensor, ...]:
        made = self._make()
        p = self._call("project", made, x)
        inner = (p,) if isinstance(p, Tensor) else p
        return (*(constant(weight, like=x) for weight in made), *inner)

    def step(
        self, p_t: tuple[Tensor, ...], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], State]:
        made, inner = self._apart(p_t)
        found: tuple[Tensor, State] = self._call("step", made, inner, state)
        return found

    def _make(self) -> list[Tensor]:
        return [frequencies() for frequencies in self.made]

    def _apart(self, p: tuple[Tensor, ...]) -> tuple[Sequence[Tensor], Projected]:
        """Return the made weights, and the projection as the cell inside made it."""
        made, inner = p[: len(self._names)], p[len(self._names) :]
        if self._kind is None:
            return made, inner[0]
        return made, getattr(self._kind, "_make", self._kind)(inner)

    def _call(self, method: str, made: Sequence[Tensor], *args: Any) -> Any:
        """Call a method of the cell inside, with these weights."""
        tensors = dict(zip(self._names, made, strict=True))
        tensors |= dict(self.kept.named_parameters()) | dict(self.kept.named_buffers())
        named = {f"module.{name}": tensor for name, tensor in tensors.items()}
        return functional_call(self._skeleton[0], named, (method, *args))


@final
class CompressedParallelCell(CompressedCell, ParallelCell):
    """One whose cell inside has a parallel form."""

    def parallel(
        self, p: tuple[Tensor, ...], state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], State]:
        made, inner = self._apart(p)
        each = [weight[0] for weight in made]  # the same at every step
        found: tuple[Tensor, State] = self._call("parallel", each, inner, state)
        return found


def _without(module: nn.Module, replaced: set[int]) -> nn.Module:
    """Return a tree of modules that has the tensors of `module` under the same names.

    Args:
        module: Whose tensors; its methods are left out.
        replaced: Ids of those that are left out.
    """
    tree = nn.Module()
    for name, parameter in module.named_parameters(recurse=False):
        if id(parameter) not in replaced:
            tree.register_parameter(name, parameter)
    for name, buffer in module.named_buffers(recurse=False):
        kept = name not in module._non_persistent_buffers_set  # noqa: SLF001 -- no other way
        tree.register_buffer(name, buffer, persistent=kept)
    for name, child in module.named_children():
        tree.add_module(name, _without(child, replaced))
    return tree


def _kind_of_projection(cell: Cell) -> type | None:
    """Return the kind of tuple that `project` makes, None if it makes a tensor."""
    like = next(cell.parameters())
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        p = cell.project(like.new_zeros(1, 1, cell.input_size))
    return None if isinstance(p, Tensor) else type(p)


def _names_of_makers(inner: Cell, made: dict[str, Frequencies]) -> list[str]:
    """Return what the parameters that make weights inside are called here."""
    makers = {id(parameter) for parameter in inner.weight_makers()}
    places = {name: n for n, name in enumerate(made)}
    names = []
    for name, parameter in inner.named_parameters():
        if id(parameter) in makers and name in made:
            own = (part for part, _ in made[name].named_parameters())
            names += [f"made.{places[name]}.{part}" for part in own]
        elif id(parameter) in makers:
            names.append(f"kept.{name}")
    return names
