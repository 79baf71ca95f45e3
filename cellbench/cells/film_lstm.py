"""FiLM-LSTM: a normalised LSTM whose gains and shifts are made at every step."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.conditioner import Conditioner
from cellbench.cells.gates import apart, by_gate, remember


class FiLMLSTMState(NamedTuple):
    """What FiLMLSTM remembers."""

    h: Tensor
    c: Tensor


class FiLMLSTMHyperState(NamedTuple):
    """What FiLMLSTM remembers with a hyper cell: of the main cell, and of the hyper cell."""

    h: Tensor
    c: Tensor
    hyper_h: Tensor
    hyper_c: Tensor


class FiLMLSTMProjected(NamedTuple):
    """What FiLMLSTM makes of the inputs.

    LN(W_x x), and what its conditioner makes. If that is all there is to be made
    (`condition="input"`): what is added to the recurrent term, and the latter's gain.
    """

    main: Tensor
    condition: Tensor


@final
class FiLMLSTM(Cell):
    """LSTM with layer normalisation, with gains and shifts that depend on an embedding e_t.

    All holds for each of the gates i, f, o, g, which are stacked in this order; LN is layer
    normalisation, gate by gate, with no gain and shift of its own.

        d_h, d_x, d_b = B relu(A e_t + a) + k              changes, made by a small network

        y   = (1 + d_h) * LN(W_h h_{t-1}) + (1 + d_x) * LN(W_x x_t) + b + d_b
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(gain_c * LN(c_t) + shift_c)                 and y_t = h_t

    `condition` says what e_t is: x_t ("input", so that `project` makes all changes, for all
    time), h_{t-1} ("state"), or the state h'_t of a small normalised LSTM that reads x and h
    ("hyper"). B and k start at 0: the cell starts as an LSTM with normalised products, the
    same whatever e_t is.

    With e_t = h'_t this is HyperLSTM with normalised products: row scaling of a weight is
    FiLM of the product, and HyperLSTM is a recurrent FiLM without the normaliser, which
    makes its scales and shifts linearly of h'_t.

    Source: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer",
    arXiv:1709.07871; the LSTM's normalisation, Ba et al. 2016, "Layer Normalization",
    arXiv:1607.06450.
    Differs from it: FiLM stands there after the batch normalisation of convolutions, and is
    conditioned on a question; the second source normalises all four gates together. Here
    each gate is normalised by itself, and has its own gain and shift for each product. W_x
    and W_h start out orthogonal, gate by gate.

    Parameters: 4*H*(X + H) + 4*H + 2*H + 12*H*(mlp_size + 1)
        + mlp_size*((condition == "input")*X + (condition == "state")*H
        + (condition == "hyper")*hyper_size + 1)
        + (condition == "hyper")*(4*hyper_size*(X + H + hyper_size) + 14*hyper_size)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        condition: What e_t is: "input", "state" or "hyper".
        mlp_size: Features of the small network's hidden layer.
        hyper_size: Features of the hyper cell's state, if there is one.
        ln_eps: Added to each variance.
        forget_bias: The forget gate's part of b at the start; learned from there.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        condition: str = "input",
        mlp_size: int = 32,
        hyper_size: int = 32,
        ln_eps: float = 1e-5,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.real("ln_eps", ln_eps, low=1e-12)
        options.real("forget_bias", forget_bias, low=0.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.ln_eps = ln_eps
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_h = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        self.norm_c = nn.LayerNorm(hidden_size, eps=ln_eps)
        self.conditioner = Conditioner(
            input_size,
            hidden_size,
            12 * hidden_size,
            condition=condition,
            mlp_size=mlp_size,
            hyper_size=hyper_size,
            ln_eps=ln_eps,
        )
        self.bias.detach()[hidden_size : 2 * hidden_size] = forget_bias
        by_gate(nn.init.orthogonal_, self.weight_x)
        by_gate(nn.init.orthogonal_, self.weight_h)

    def weight_makers(self) -> list[nn.Parameter]:
        """Return what makes gains and shifts."""
        return list(self.conditioner.parameters())

    def initial_state(self, batch: int) -> FiLMLSTMState | FiLMLSTMHyperState:
        zeros = self.weight_h.new_zeros
        return _state(
            zeros(batch, self.hidden_size),
            zeros(batch, self.hidden_size),
            self.conditioner.initial_memory(batch),
        )

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> FiLMLSTMProjected:
        normal = self._normal(functional.linear(x, self.weight_x))
        changes = self.conditioner.project(x)
        if self.conditioner.condition == "input":
            return self._modulated(normal, changes)
        return FiLMLSTMProjected(normal, changes)

    def step(
        self, p_t: FiLMLSTMProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], FiLMLSTMState | FiLMLSTMHyperState]:
        h, c, *rest = state
        memory = tuple(rest)
        if self.conditioner.condition != "input":
            changes, memory = self.conditioner.step(p_t.condition, h, memory)
            p_t = self._modulated(p_t.main, changes)
        normal = self._normal(torch.mm(h, self.weight_h.t()))
        o, c = remember(apart(torch.addcmul(p_t.main, p_t.condition, normal), 4), c)
        h = o * torch.tanh(self.norm_c(c))
        return h, _state(h, c, memory)

    def _modulated(
        self,
        normal: Float[Tensor, "*time batch 4*{self.hidden_size}"],
        changes: Float[Tensor, "*time batch 12*{self.hidden_size}"],
    ) -> FiLMLSTMProjected:
        """Return all of y but the recurrent term, and the gain of that."""
        d_h, d_x, d_b = changes.chunk(3, dim=-1)
        return FiLMLSTMProjected(torch.addcmul(self.bias + d_b, 1 + d_x, normal), 1 + d_h)

    def _normal(self, y: Float[Tensor, "*time batch 4*{self.hidden_size}"]) -> Tensor:
        """Normalise each gate by itself."""
        gates = y.view(*y.shape[:-1], 4, self.hidden_size)
        return functional.layer_norm(gates, (self.hidden_size,), eps=self.ln_eps).flatten(-2)


def _state(h: Tensor, c: Tensor, memory: tuple[Tensor, ...]) -> FiLMLSTMState | FiLMLSTMHyperState:
    return FiLMLSTMHyperState(h, c, *memory) if memory else FiLMLSTMState(h, c)
