"""CfC: a continuous-time network whose differential equation is solved in closed form."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State


class CfCState(NamedTuple):
    """What CfC remembers."""

    h: Tensor


@final
class CfC(Cell):
    """Closed-form continuous-time network.

        s   = squash(W x_t + U h_{t-1} + b), and so on, W_k s + b_k    the backbone
        f_1 = F_1 s + b_1    f_2 = F_2 s + b_2
        z   = sigmoid((T_a s + b_a) elapsed + T_b s + b_b)             gate of time

        h_t = (1 - z) * tanh(f_1) + z * tanh(f_2)        `mode="default"`
        h_t = tanh(f_1) + z * tanh(f_2)                  `mode="no_gate"`
        h_t = A - A * f_1 * e^(-elapsed (|w| + |f_1|))   `mode="pure"`, without f_2 and z

    and y_t = h_t; squash(v) is 1.7159 tanh(0.666 v). elapsed is the time since the last
    input. Matrices start as Glorot and Bengio have it, biases of n inputs as
    U(-1/sqrt(n), 1/sqrt(n)); A = 1 and w = 0.

    Source: Hasani et al. 2022, "Closed-form Continuous-time Neural Networks",
    arXiv:2106.13898; squash and how weights start as in its authors' code, ncps.
    Differs from it: elapsed is a constant, since inputs here come at equal times; in ncps,
    A and w too start as matrices do.

    Parameters: backbone_units*(X + H + 1) + (backbone_layers - 1)*backbone_units*(
        backbone_units + 1) + (1 if mode == "pure" else 4)*H*(backbone_units + 1)
        + (2*H if mode == "pure" else 0)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        mode: "default", "no_gate" or "pure".
        backbone_units: Features of each layer of the backbone.
        backbone_layers: How many layers it has, at least 1.
        elapsed: Time between two inputs.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        mode: str = "default",
        backbone_units: int = 128,
        backbone_layers: int = 1,
        elapsed: float = 1.0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.choice("mode", mode, ("default", "no_gate", "pure"))
        options.whole("backbone_units", backbone_units, low=1)
        options.whole("backbone_layers", backbone_layers, low=1)
        options.real("elapsed", elapsed, low=0.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.mode = mode
        self.elapsed = elapsed
        n = backbone_units
        self.backbone = nn.Linear(input_size + hidden_size, n)  # W and U, b
        self.deeper = nn.ModuleList(nn.Linear(n, n) for _ in range(backbone_layers - 1))
        heads = 1 if mode == "pure" else 4
        self.heads = nn.Linear(n, heads * hidden_size)  # F_1, F_2, T_a, T_b
        if mode == "pure":
            self.rate = nn.Parameter(torch.zeros(hidden_size))  # w
            self.rest = nn.Parameter(torch.ones(hidden_size))  # A
        for layer in (self.backbone, *self.deeper):
            nn.init.xavier_uniform_(layer.weight)
        for block in self.heads.weight.chunk(heads):
            nn.init.xavier_uniform_(block.detach())

    def initial_state(self, batch: int) -> CfCState:
        return CfCState(self.heads.weight.new_zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch units"]:
        return functional.linear(x, self.backbone.weight[:, : self.input_size], self.backbone.bias)

    def step(
        self, p_t: Float[Tensor, "batch units"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], CfCState]:
        (h,) = state
        s = squash(torch.addmm(p_t, h, self.backbone.weight[:, self.input_size :].t()))
        for layer in self.deeper:
            s = squash(layer(s))
        heads = self.heads(s)
        if self.mode == "pure":
            decay = torch.exp(-self.elapsed * (self.rate.abs() + heads.abs()))
            h = self.rest - self.rest * heads * decay
        else:
            f_1, f_2, a, b = heads.chunk(4, dim=-1)
            z = torch.sigmoid(a * self.elapsed + b)
            keep = 1 if self.mode == "no_gate" else 1 - z
            h = keep * torch.tanh(f_1) + z * torch.tanh(f_2)
        return h, CfCState(h)


def squash(v: Tensor) -> Tensor:
    """Return LeCun's tanh, which is near 1 at 1."""
    return 1.7159 * torch.tanh(0.666 * v)
