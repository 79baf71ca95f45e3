"""Batch-normalised LSTMs as their papers have them, written out apart from the cells."""

from __future__ import annotations

import torch
from cell_parity import Run, draw, with_weights
from torch import Tensor
from torch.nn import functional

from cellbench.cells.base import Cell
from cellbench.cells.ln_lstm import LNLSTM


def some_weights(cell: Cell) -> dict[str, Tensor]:
    """Every weight drawn, also those that start at 0."""
    return {
        name: (0.4 * draw(*value.shape, seed=10 + n)).requires_grad_()
        for n, (name, value) in enumerate(cell.named_parameters())
    }


def with_statistics(cell: Cell) -> Cell:
    """Draw the statistics of evaluation."""
    cell.mean.copy_(draw(*cell.mean.shape, seed=5))
    cell.var.copy_(draw(*cell.var.shape, seed=6).square() + 0.3)
    return cell


def at(run: Run, t: Tensor) -> Run:
    """Put the counter in the state, and take it out again: it has no gradient."""

    def counted(x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        y, (h, c, last, *rest) = run(x, (*state[:2], t, *state[2:]))
        assert torch.equal(last, t + len(x))
        return y, (h, c, *rest)

    return counted


def cell_at(cell: Cell, weights: dict[str, Tensor], t: Tensor) -> Run:
    return at(with_weights(cell, weights), t)


class Formulas:
    """Equations of Cooijmans et al. for one gate at a time; those of de Vries et al. on top.

    Training statistics are made by torch's own batch normalisation, those of evaluation are
    looked up row by row.

    Args:
        cell: Has the statistics and the settings.
        weights: By name.
        condition: What the changes depend on; "" if there are none.
    """

    def __init__(self, cell: Cell, weights: dict[str, Tensor], condition: str = "") -> None:
        self.w, self.condition = weights, condition
        self.hidden, self.eps, self.training = cell.hidden_size, cell.eps, cell.training
        self.means, self.variances = list(cell.mean), list(cell.var)
        self.hyper = getattr(cell.conditioner, "hyper", None)

    def normal(self, a: Tensor, first: int, t: Tensor) -> Tensor:
        """Normalise features whose statistics stand from `first` on."""
        if self.training:
            return functional.batch_norm(a, None, None, training=True, eps=self.eps)
        place = slice(first, first + a.shape[1])
        rows = []
        for row, time in zip(a, t.tolist(), strict=True):
            known = min(time, len(self.means) - 1)
            deviation = (self.variances[known][place] + self.eps).sqrt()
            rows.append((row - self.means[known][place]) / deviation)
        return torch.stack(rows)

    def embedding(self, x: Tensor, h: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        if self.condition != "hyper":
            return {"input": x, "state": h}[self.condition], memory
        name = "conditioner.hyper."
        weights = {k.removeprefix(name): w for k, w in self.w.items() if k.startswith(name)}
        lstm = LNLSTM(x.shape[1] + h.shape[1], memory[0].shape[1]).double()
        _, last = with_weights(lstm, weights)(torch.cat([x, h], 1).unsqueeze(0), tuple(memory))
        return last[0], list(last)

    def changes(self, x: Tensor, h: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One row for each sequence: of gamma_h, gamma_x, b, gamma_c and beta_c."""
        if not self.condition:
            return x.new_zeros(len(x), 14 * self.hidden), memory
        e, memory = self.embedding(x, h, memory)
        a, b = (self.w[f"conditioner.first.{part}"] for part in ("weight", "bias"))
        rows = torch.clamp(e @ a.T + b, min=0) @ self.w["conditioner.last.weight"].T
        return rows + self.w["conditioner.last.bias"], memory

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        w, size, (h, c, t, *memory) = self.w, self.hidden, state
        rows, memory = self.changes(x, h, memory)
        gates = []
        for k in range(4):
            mine = slice(k * size, (k + 1) * size)
            d_h, d_x, d_b = (rows[:, part * 4 * size :][:, mine] for part in range(3))
            of_x = self.normal(x @ w["weight_x"][mine].T, k * size, t)
            of_h = self.normal(h @ w["weight_h"][mine].T, (4 + k) * size, t)
            y = (w["gamma_h"][mine] + d_h) * of_h + (w["gamma_x"][mine] + d_x) * of_x
            gates.append(y + w["bias"][mine] + d_b)
        i, f, o, g = gates
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        d_c, s_c = rows[:, 12 * size :].chunk(2, dim=1)
        shown = (w["gamma_c"] + d_c) * self.normal(c, 8 * size, t) + w["beta_c"] + s_c
        return o.sigmoid() * shown.tanh(), c, t + 1, *memory

    def run(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        outputs = []
        for x_t in x:
            state = self.step(x_t, state)
            outputs.append(state[0])
        return torch.stack(outputs), state
