"""LMU: a sliding window over a signal, remembered as Legendre polynomials."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State, constant


class LMUState(NamedTuple):
    """What LMU remembers: its output, and the window."""

    h: Tensor
    m: Tensor


class LMUProjected(NamedTuple):
    """What LMU makes of its inputs, e_x x and W_x x; and A and B in the dtype of these."""

    signal: Tensor
    driven: Tensor
    decay: Tensor
    write: Tensor


@final
class LMU(Cell):
    """Legendre memory unit.

        u_t = e_x x_t + e_h h_{t-1} + e_m m_{t-1}        the signal, one number
        m_t = A m_{t-1} + B u_t                          its last theta steps, in polynomials
        h_t = tanh(W_x x_t + W_h h_{t-1} + W_m m_t)      and y_t = h_t

    A and B are not learned. They come from dm/dt = A' m + B' u with

        A'_ij = (2i + 1) / theta * (-1 if i < j else (-1)^(i - j + 1))
        B'_i  = (2i + 1) / theta * (-1)^i                i, j = 0, 1, ..., order - 1

    by holding u for a step: e^(A' B'; 0 0) = (A B; 0 1). Then sum_i P_i(2 r - 1) m_i, P_i
    the Legendre polynomials, is about u as it was r theta steps ago, 0 <= r <= 1.

    At the start e_x and e_h are as LeCun et al. have it, uniform; e_m = 0; W_x, W_h and W_m
    are as Glorot and Bengio have it, normal.

    Source: Voelker, Kajic & Eliasmith 2019, "Legendre Memory Units: Continuous-Time
    Representation in Recurrent Neural Networks", NeurIPS.
    Differs from it: in nothing; order and theta, which it chooses for each task, have the
    defaults below.

    Parameters: X + H + order + H*(X + H + order)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of h and of each output vector.
        order: How many polynomials.
        theta: How many steps the window is long; any number of at least 1.
    """

    decay: Tensor
    write: Tensor

    def __init__(
        self, input_size: int, hidden_size: int, *, order: int = 32, theta: float = 100.0
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("order", order, low=1)
        options.real("theta", theta, low=1.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.order = order
        self.encode_x = nn.Parameter(torch.empty(1, input_size))  # e_x
        self.encode_h = nn.Parameter(torch.empty(1, hidden_size))  # e_h
        self.encode_m = nn.Parameter(torch.zeros(1, order))  # e_m
        self.weight_x = nn.Parameter(torch.empty(hidden_size, input_size))  # W_x
        self.weight_h = nn.Parameter(torch.empty(hidden_size, hidden_size))  # W_h
        self.weight_m = nn.Parameter(torch.empty(hidden_size, order))  # W_m
        decay, write = legendre_window(order, theta)
        # Kept in float64, so that a float64 cell is not built on float32 numbers.
        self.register_buffer("decay", decay, persistent=False)
        self.register_buffer("write", write, persistent=False)
        for encoder in (self.encode_x, self.encode_h):
            nn.init.kaiming_uniform_(encoder, nonlinearity="linear")
        for weight in (self.weight_x, self.weight_h, self.weight_m):
            nn.init.xavier_normal_(weight)

    def initial_state(self, batch: int) -> LMUState:
        zeros = self.weight_h.new_zeros
        return LMUState(zeros(batch, self.hidden_size), zeros(batch, self.order))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> LMUProjected:
        return LMUProjected(
            functional.linear(x, self.encode_x),
            functional.linear(x, self.weight_x),
            constant(self.decay.to(x.dtype), like=x),
            constant(self.write.to(x.dtype), like=x),
        )

    def step(
        self, p_t: LMUProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], LMUState]:
        h, m = state
        u = torch.addmm(torch.addmm(p_t.signal, h, self.encode_h.t()), m, self.encode_m.t())
        m = torch.addmm(u * p_t.write, m, p_t.decay.t())
        driven = torch.addmm(p_t.driven, h, self.weight_h.t())
        h = torch.tanh(torch.addmm(driven, m, self.weight_m.t()))
        return h, LMUState(h, m)


def legendre_window(
    order: int, theta: float
) -> tuple[Float[Tensor, "{order} {order}"], Float[Tensor, "{order}"]]:
    """Return A and B of a step, in float64."""
    i = torch.arange(order, dtype=torch.float64)
    odd = 1 - 2 * (i % 2)  # (-1)^i
    scale = (2 * i + 1) / theta
    flow = torch.zeros(order + 1, order + 1, dtype=torch.float64)
    below = -torch.outer(odd, odd)  # (-1)^(i - j + 1)
    flow[:order, :order] = scale.unsqueeze(1) * torch.where(
        i.unsqueeze(1) < i, below.new_tensor(-1.0), below
    )
    flow[:order, order] = scale * odd
    step = torch.matrix_exp(flow)
    return step[:order, :order].contiguous(), step[:order, order].contiguous()
