"""LTC: neurons with leaky membranes and synapses, whose time constants depend on their inputs."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State


class LTCState(NamedTuple):
    """What LTC remembers: the potential of each neuron."""

    v: Tensor


class LTCProjected(NamedTuple):
    """What LTC makes of its inputs: the current into each neuron, and its conductance."""

    current: Tensor
    conductance: Tensor


@final
class LTC(Cell):
    """Liquid time-constant network.

        C dv_j/dt = G_j (rest_j - v_j) + sum_i g_ij (E_ij - v_j)      over all neurons and
        g_ij      = w_ij sigmoid(slope_ij (v_i - centre_ij))          inputs i

    The potential v_i of an input is in_i x_i + offset_i. A step of time 1 is `unfolds`
    steps of an Euler method in which v_j on the right is the new one:

        v <- (C unfolds v + G rest + sum g E) / (C unfolds + G + sum g + 1e-8)

    and the output is y_t = out v_t + shift. What v decays by, (G + sum g) / C, depends on
    all inputs and neurons: hence the name. C, G and w are softplus of parameters, so that
    the denominator stays above 0.

    At the start G ~ U(0.001, 1), rest ~ U(-0.2, 0.2), C ~ U(0.4, 0.6), w ~ U(0.001, 1),
    slope ~ U(3, 8), centre ~ U(0.3, 0.8); E is -1 or 1, at even odds; in, out = 1 and
    offset, shift = 0.

    Source: Hasani et al. 2021, "Liquid Time-constant Networks", arXiv:2006.04439, in the
    form of its authors' code, ncps, with every neuron wired to all.
    Differs from it: softplus keeps C, G and w above 0, which is an option in ncps; there it
    changes where they start. Time between inputs is always 1.

    Parameters: 4*H*(X + H) + 5*H + 2*X

    Args:
        input_size: Features of each input vector.
        hidden_size: Neurons: features of the state and of each output vector.
        unfolds: Steps of the Euler method for each input.
    """

    def __init__(self, input_size: int, hidden_size: int, *, unfolds: int = 6) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("unfolds", unfolds, low=1)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.unfolds = unfolds
        self.leak = nn.Parameter(torch.empty(hidden_size))  # G
        self.rest = nn.Parameter(torch.empty(hidden_size))
        self.capacity = nn.Parameter(torch.empty(hidden_size))  # C
        self.neurons = Synapses(hidden_size, hidden_size)
        self.senses = Synapses(input_size, hidden_size)
        self.scale_in = nn.Parameter(torch.ones(input_size))
        self.shift_in = nn.Parameter(torch.zeros(input_size))
        self.scale_out = nn.Parameter(torch.ones(hidden_size))
        self.shift_out = nn.Parameter(torch.zeros(hidden_size))
        start_above_zero(self.leak, 0.001, 1.0)
        start_above_zero(self.capacity, 0.4, 0.6)
        nn.init.uniform_(self.rest, -0.2, 0.2)

    def initial_state(self, batch: int) -> LTCState:
        return LTCState(self.leak.new_zeros(batch, self.hidden_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> LTCProjected:
        current, conductance = self.senses(x * self.scale_in + self.shift_in)
        leak = functional.softplus(self.leak)
        return LTCProjected(current + leak * self.rest, conductance + leak)

    def step(
        self, p_t: LTCProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], LTCState]:
        (v,) = state
        inertia = functional.softplus(self.capacity) * self.unfolds
        for _ in range(self.unfolds):
            current, conductance = self.neurons(v)
            total = inertia + p_t.conductance + conductance + 1e-8
            v = (inertia * v + p_t.current + current) / total
        return v * self.scale_out + self.shift_out, LTCState(v)


@final
class Synapses(nn.Module):
    """Synapses from each of some potentials to each neuron.

    Args:
        sources: How many potentials.
        neurons: How many neurons.
    """

    def __init__(self, sources: int, neurons: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(sources, neurons))  # w
        self.slope = nn.Parameter(torch.empty(sources, neurons))
        self.centre = nn.Parameter(torch.empty(sources, neurons))
        self.reversal = nn.Parameter(torch.empty(sources, neurons))  # E
        start_above_zero(self.weight, 0.001, 1.0)
        nn.init.uniform_(self.slope, 3.0, 8.0)
        nn.init.uniform_(self.centre, 0.3, 0.8)
        self.reversal.data.bernoulli_(0.5).mul_(2).sub_(1)

    def forward(
        self, v: Float[Tensor, "*batch sources"]
    ) -> tuple[Float[Tensor, "*batch neurons"], Float[Tensor, "*batch neurons"]]:
        """Return the sums of g E and of g into each neuron."""
        opened = torch.sigmoid(self.slope * (v.unsqueeze(-1) - self.centre))
        g = functional.softplus(self.weight) * opened
        return (g * self.reversal).sum(-2), g.sum(-2)


@torch.no_grad()
def start_above_zero(parameter: nn.Parameter, low: float, high: float) -> None:
    """Draw a parameter such that softplus of it is U(low, high)."""
    parameter.uniform_(low, high)
    parameter.copy_(torch.log(torch.expm1(parameter)))
