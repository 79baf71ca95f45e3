"""Fast weights: an RNN whose state is drawn to its recent ones by a matrix made of them."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.tape import read, write
from cellbench.errors import OptionError


class FastWeightsState(NamedTuple):
    """What FastWeights remembers.

    Its last h; and as memory A itself, [batch, hidden, hidden], or a tape of past h, oldest
    first, [batch, entries, hidden], whose free entries are 0.
    """

    h: Tensor
    memory: Tensor


@final
class FastWeights(Cell):
    """RNN whose state settles under a matrix of fast weights, made of its recent states.

        A_{t-1} = decay * A_{t-2} + rate * h_{t-1} h_{t-1}^T       0 before the first step
        a   = W h_{t-1} + C x_t
        g_0 = f(a)
        g_s = f(LN(a + A_{t-1} g_{s-1}))                           s = 1 ... inner
        h_t = g_inner                                              and y_t = h_t

    f is max(0, .) or tanh; LN is layer normalisation, and what keeps the loop from blowing up.
    A pulls g towards each past state by how much they are alike:

        A_t g = rate * sum_j decay^(t - j) h_j (h_j . g)

    `form="tape"` computes this sum and never makes A: O(t hidden_size) for each inner step,
    from a tape of past h. `form="matrix"` carries A: the same values at O(hidden_size^2). It
    is the default, since its state does not grow (so it can be compiled) and it costs less
    as soon as a sequence is longer than h is wide. A bounded tape drops what has decayed to
    less than decay^tape.

    Source: Ba et al. 2016, "Using Fast Weights to Attend to the Recent Past",
    arXiv:1610.06258.
    Differs from it: A is carried, where the paper recommends the tape, unless
    `form="tape"`; a tape may be bounded; ln_eps; "tanh". Without biases, as there: LN shifts.

    Parameters: H*H + H*X + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        inner: How often g is updated at each step.
        decay: What is kept of A at each step.
        rate: How much of each state goes into A.
        nonlinearity: "relu" or "tanh".
        form: "matrix" or "tape".
        tape: How many of the last states are remembered; 0 for all. For `form="tape"` only.
        ln_eps: Added to the variance.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        inner: int = 1,
        decay: float = 0.95,
        rate: float = 0.5,
        nonlinearity: str = "relu",
        form: str = "matrix",
        tape: int = 0,
        ln_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("inner", inner, low=1)
        options.real("decay", decay, low=0.0, below=1.0)
        options.real("rate", rate, low=0.0)
        options.choice("nonlinearity", nonlinearity, ("relu", "tanh"))
        options.choice("form", form, ("matrix", "tape"))
        options.whole("tape", tape, low=0)
        options.real("ln_eps", ln_eps, low=1e-12)
        if tape and form == "matrix":
            raise OptionError(f'tape must be 0 unless form is "tape", not {tape!r}.')
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.inner = inner
        self.decay = decay
        self.rate = rate
        self.squash = torch.relu if nonlinearity == "relu" else torch.tanh
        self.carries_matrix = form == "matrix"
        self.tape = tape
        self.grows = form == "tape" and tape == 0
        self.weight_h = nn.Parameter(0.05 * torch.eye(hidden_size))
        self.weight_x = nn.Parameter(torch.empty(hidden_size, input_size))
        self.norm = nn.LayerNorm(hidden_size, eps=ln_eps)
        nn.init.uniform_(self.weight_x, -(hidden_size**-0.5), hidden_size**-0.5)

    def initial_state(self, batch: int) -> FastWeightsState:
        zeros = self.weight_h.new_zeros
        rows = self.hidden_size if self.carries_matrix else self.tape
        return FastWeightsState(
            h=zeros(batch, self.hidden_size), memory=zeros(batch, rows, self.hidden_size)
        )

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.hidden_size}"]:
        return functional.linear(x, self.weight_x)

    def step(
        self, p_t: Float[Tensor, "batch {self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], FastWeightsState]:
        h, memory = state
        a = torch.addmm(p_t, h, self.weight_h.t())
        g = self.squash(a)
        for _ in range(self.inner):
            g = self.squash(self.norm(a + self._recall(memory, g)))
        return g, FastWeightsState(g, self._remember(memory, g))

    def _recall(
        self,
        memory: Float[Tensor, "batch rows {self.hidden_size}"],
        g: Float[Tensor, "batch {self.hidden_size}"],
    ) -> Float[Tensor, "batch {self.hidden_size}"]:
        """Return A g."""
        alike = torch.bmm(memory, g.unsqueeze(-1)).squeeze(-1)
        if self.carries_matrix:
            return alike
        age = torch.arange(memory.shape[1] - 1, -1, -1, dtype=memory.dtype, device=g.device)
        return read(alike * (self.rate * self.decay**age), memory)

    def _remember(
        self,
        memory: Float[Tensor, "batch rows {self.hidden_size}"],
        h: Float[Tensor, "batch {self.hidden_size}"],
    ) -> Float[Tensor, "batch after {self.hidden_size}"]:
        if self.carries_matrix:
            return self.decay * memory + self.rate * h.unsqueeze(-1) * h.unsqueeze(-2)
        return write(memory, h, bounded=not self.grows)
