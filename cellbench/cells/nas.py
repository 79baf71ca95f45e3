"""NASCell: a cell that a search over trees of operations found."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import State
from cellbench.cells.stacked_gates import MemoryGates, MemoryState


@final
class NAS(MemoryGates):
    """The cell of neural architecture search.

        a_0, ..., a_7 = W_x x_t            m_0, ..., m_7 = W_h h_{t-1} + b

        p_0 = tanh(sigmoid(a_0 + m_0) * relu(a_1 + m_1))
        p_1 = tanh(sigmoid(a_2 + m_2) + relu(a_3 * m_3))       the one product of a and m
        p_2 = tanh(tanh(a_4 + m_4) * sigmoid(a_5 + m_5))
        p_3 = sigmoid(tanh(a_6 + m_6) + sigmoid(a_7 + m_7))

        c_t = tanh(p_0 + c_{t-1}) * p_1
        h_t = tanh(c_t * tanh(p_2 + p_3))                      and y_t = h_t

    Source: Zoph & Le 2017, "Neural Architecture Search with Reinforcement Learning",
    arXiv:1611.01578; in the form of TensorFlow Addons' NASCell.
    Differs from it: `bias`, added to the side of h as TensorFlow has it; the initial values,
    which are those of `torch.nn.LSTM`.

    Parameters: 8*H*(X + H) + bias*8*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        bias: Whether there is b.
    """

    x_gates = 8
    h_gates = 8

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = False) -> None:
        options.flag("bias", bias)
        super().__init__(input_size, hidden_size)
        if not bias:
            del self.bias
            self.register_parameter("bias", None)

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 8*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x)

    def step(
        self, p_t: Float[Tensor, "batch 8*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MemoryState]:
        h, c = state
        a = torch.split(p_t, self.hidden_size, dim=-1)
        of_h = functional.linear(h, self.weight_h, self.bias)
        m = torch.split(of_h, self.hidden_size, dim=-1)
        p_0 = torch.tanh(torch.sigmoid(a[0] + m[0]) * torch.relu(a[1] + m[1]))
        p_1 = torch.tanh(torch.sigmoid(a[2] + m[2]) + torch.relu(a[3] * m[3]))
        p_2 = torch.tanh(torch.tanh(a[4] + m[4]) * torch.sigmoid(a[5] + m[5]))
        p_3 = torch.sigmoid(torch.tanh(a[6] + m[6]) + torch.sigmoid(a[7] + m[7]))
        c = torch.tanh(p_0 + c) * p_1
        h = torch.tanh(c * torch.tanh(p_2 + p_3))
        return h, MemoryState(h, c)
