"""HGRN: an elementwise recurrence with a forget gate that has a lower bound, and a phase."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.scan import gated_scan, linear_scan


class HGRNState(NamedTuple):
    """What HGRN remembers: [batch, parts, hidden], real and imaginary; only real without phase."""

    h: Tensor


class HGRNProjected(NamedTuple):
    """What HGRN makes of its inputs: c by its parts, the forget gate, and the output gate."""

    c: Tensor
    forget: Tensor
    gate: Tensor


@final
class HGRN(ParallelCell):
    """Hierarchically gated recurrent network: its token mixing, a layer of the hierarchy.

        c_t = silu(W_r x_t + b_r) + i silu(W_i x_t + b_i)          what to write, complex
        f_t = lower_bound + (1 - lower_bound) sigmoid(W_f x_t + b_f)
        h_t = f_t exp(i theta) * h_{t-1} + (1 - f_t) * c_t
        g_t = sigmoid(W_g x_t + b_g)
        y_t = W_o LN(g_t * [Re h_t; Im h_t]) + b_o

    All is elementwise but the products with W. With `phase=False` all is real: the imaginary
    parts and theta are left out.

    In the paper the lower bounds of a stack of layers are learned together, each at least that
    below it, so that upper layers remember for longer; they are its `lower_bound`s here.
    No gate reads h, and one scan solves all of time.

    Source: Qin et al. 2023, "Hierarchically Gated Recurrent Neural Network for Sequence
    Modeling", arXiv:2311.04823.
    Differs from it: lower_bound is given, the same for all features, and not learned;
    input_size and hidden_size may differ; weights start as those of torch's linear layers do,
    theta as in its authors' code, as 10000^(-2 n / hidden_size) for feature n.

    Parameters: (2*(1 + phase) + 1)*(H*X + H) + phase*H + 2*H*(1 + phase) + H*H*(1 + phase) + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        lower_bound: At least 0 and below 1.
        phase: Whether the state is complex and turns.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        lower_bound: float = 0.0,
        phase: bool = True,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.real("lower_bound", lower_bound, low=0.0, below=1.0)
        options.flag("phase", phase)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.lower_bound = lower_bound
        self.parts = 2 if phase else 1
        self.candidate = nn.Linear(input_size, self.parts * hidden_size)
        self.forget = nn.Linear(input_size, hidden_size)
        self.gate = nn.Linear(input_size, self.parts * hidden_size)
        angles = 10000 ** (-2 * torch.arange(hidden_size) / hidden_size)
        self.theta = nn.Parameter(angles) if phase else None
        self.norm = nn.LayerNorm(self.parts * hidden_size)
        self.output = nn.Linear(self.parts * hidden_size, hidden_size)

    def initial_state(self, batch: int) -> HGRNState:
        return HGRNState(self.forget.weight.new_zeros(batch, self.parts, self.hidden_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> HGRNProjected:
        c = torch.unflatten(self.candidate(x), -1, (self.parts, self.hidden_size))
        free = torch.sigmoid(self.forget(x))
        return HGRNProjected(
            c=functional.silu(c),
            forget=self.lower_bound + (1 - self.lower_bound) * free,
            gate=torch.sigmoid(self.gate(x)),
        )

    def step(
        self, p_t: HGRNProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HGRNState]:
        (h,) = state
        forget = p_t.forget.unsqueeze(1)
        if self.theta is not None:
            real, imaginary = h.unbind(1)
            cos, sin = torch.cos(self.theta), torch.sin(self.theta)
            h = torch.stack([real * cos - imaginary * sin, imaginary * cos + real * sin], dim=1)
        h = forget * h + (1 - forget) * p_t.c
        return self._output(h, p_t.gate), HGRNState(h)

    def parallel(
        self, p: HGRNProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], HGRNState]:
        (h,) = state
        if self.theta is None:
            hs = gated_scan(1 - p.forget.unsqueeze(2), p.c, h)
        else:
            c, start = (torch.complex(*part.unbind(-2)) for part in (p.c, h))
            cos, sin = p.forget * torch.cos(self.theta), p.forget * torch.sin(self.theta)
            turned = linear_scan(torch.complex(cos, sin), (1 - p.forget) * c, start)
            hs = torch.stack([turned.real, turned.imag], dim=2)
        return self._output(hs, p.gate), HGRNState(hs[-1])

    def _output(
        self,
        h: Float[Tensor, "*time batch parts {self.hidden_size}"],
        gate: Float[Tensor, "*time batch features"],
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        y: Tensor = self.output(self.norm(gate * h.flatten(-2)))
        return y
