"""What bn_lstm and cbn_lstm share: all but what they say of themselves."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.conditioner import Conditioner
from cellbench.cells.gates import apart, remember


class BatchNormState(NamedTuple):
    """What a batch-normalised LSTM remembers: h, c, and how many steps it has made."""

    h: Tensor
    c: Tensor
    t: Tensor


class BatchNormHyperState(NamedTuple):
    """What a batch-normalised LSTM with a hyper cell remembers."""

    h: Tensor
    c: Tensor
    t: Tensor
    hyper_h: Tensor
    hyper_c: Tensor


Moments = tuple[Tensor, Tensor]
"""Mean and variance."""


class BatchNormLSTM(Cell):
    """LSTM that normalises over the batch, with statistics of its own for each time step.

    Training mode takes the statistics of the batch at hand. Evaluation takes the buffers
    `mean` and `var`, one row a time step, of W_x x, W_h h and c, in this order.

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        conditioner: What changes gains and shifts, if anything does. It makes `NUMBERS *
            hidden_size` numbers: for gamma_h, gamma_x, b, gamma_c and beta_c.
        max_steps: How many time steps have statistics of their own.
        eps: Added to each variance.
        initial_gamma: Every gain at the start.
        forget_bias: The forget gate's part of b at the start; learned from there.
        init: Of W_h, "orthogonal" or "identity".
        h0_noise: Standard deviation of what is added to h_0 while training.
    """

    NUMBERS = 14
    has_population = True
    mean: Tensor
    var: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        conditioner: Conditioner | None,
        max_steps: int,
        eps: float,
        initial_gamma: float,
        forget_bias: float,
        init: str,
        h0_noise: float,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("max_steps", max_steps, low=1)
        options.real("eps", eps, low=1e-12)
        options.real("initial_gamma", initial_gamma, low=0.0)
        options.real("forget_bias", forget_bias, low=0.0)
        options.choice("init", init, ("orthogonal", "identity"))
        options.real("h0_noise", h0_noise, low=0.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.max_steps = max_steps
        self.eps = eps
        self.h0_noise = h0_noise
        self.conditioner = conditioner

        h = hidden_size
        self.weight_x = nn.Parameter(torch.empty(4 * h, input_size))
        self.weight_h = nn.Parameter(torch.empty(4 * h, h))
        self.bias = nn.Parameter(torch.zeros(4 * h))
        self.gamma_h = nn.Parameter(torch.full((4 * h,), initial_gamma))
        self.gamma_x = nn.Parameter(torch.full((4 * h,), initial_gamma))
        self.gamma_c = nn.Parameter(torch.full((h,), initial_gamma))
        self.beta_c = nn.Parameter(torch.zeros(h))
        self.h_0 = nn.Parameter(torch.zeros(h))
        self.c_0 = nn.Parameter(torch.zeros(h))
        self.register_buffer("mean", torch.zeros(max_steps, 9 * h))
        self.register_buffer("var", torch.ones(max_steps, 9 * h))
        self._initialise(forget_bias, identity=init == "identity")

    @torch.no_grad()
    def _initialise(self, forget_bias: float, *, identity: bool) -> None:
        h = self.hidden_size
        nn.init.orthogonal_(self.weight_x)
        if identity:
            nn.init.orthogonal_(self.weight_h[: 3 * h])
            nn.init.eye_(self.weight_h[3 * h :])  # g's: what is written starts out as a copy
        else:
            nn.init.orthogonal_(self.weight_h)
        self.bias[h : 2 * h] = forget_bias

    def initial_state(self, batch: int) -> BatchNormState | BatchNormHyperState:
        return self._start(batch, noisy=self.training)

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> tuple[Tensor, ...]:
        return self._project(x, of_batch=self.training)

    def step(
        self, p_t: tuple[Tensor, ...], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], BatchNormState | BatchNormHyperState]:
        return self._step(p_t, state, of_batch=self.training)

    @torch.no_grad()
    def population(self, x: Float[Tensor, "time batch {self.input_size}"]) -> dict[str, Tensor]:
        """Return the statistics of a batch at each time step; the last ones hold from there on.

        Variances are those of the batch, not estimates of a larger population's: averaged
        over batches, as the paper evaluates.
        """
        x = x[: self.max_steps]
        p = self._project(x, of_batch=True)
        state: State = self._start(x.shape[1], noisy=True)
        states = [state]
        for time in range(len(x)):
            _, state = self._step(tuple(part[time] for part in p), state, of_batch=True)
            states.append(state)
        h, c = (torch.stack([state[k] for state in states]) for k in range(2))
        seen = [functional.linear(x, self.weight_x), functional.linear(h[:-1], self.weight_h)]
        var, mean = torch.var_mean(torch.cat([*seen, c[1:]], dim=-1), dim=1, correction=0)
        rows = torch.arange(self.max_steps, device=x.device).clamp(max=len(x) - 1)
        return {"mean": mean[rows], "var": var[rows]}

    def _start(self, batch: int, *, noisy: bool) -> BatchNormState | BatchNormHyperState:
        h = self.h_0.repeat(batch, 1)
        if noisy and self.h0_noise:
            h = h + self.h0_noise * torch.randn_like(h)
        t = self.h_0.new_zeros(batch, dtype=torch.int64)
        memory = () if self.conditioner is None else self.conditioner.initial_memory(batch)
        return _state(h, self.c_0.repeat(batch, 1), t, memory)

    def _project(self, x: Tensor, *, of_batch: bool) -> tuple[Tensor, ...]:
        """Return W_x x, normalised if that takes the batch alone; and what the conditioner makes.

        In evaluation the time step must be known, which the state has.
        """
        w_x = functional.linear(x, self.weight_x)
        main = self._normal(w_x, None) if of_batch else w_x
        return (main,) if self.conditioner is None else (main, self.conditioner.project(x))

    def _step(
        self, p_t: tuple[Tensor, ...], state: State, *, of_batch: bool
    ) -> tuple[Tensor, BatchNormState | BatchNormHyperState]:
        """Make a step, with the statistics of the batch or of the population."""
        h, c, t, *rest = state
        (gamma_h, gamma_x, b, gamma_c, beta_c), memory = self._affine(p_t, h, tuple(rest))
        of_x, of_h, of_c = (None, None, None) if of_batch else self._moments(t)

        normal_x = p_t[0] if of_batch else self._normal(p_t[0], of_x)
        normal_h = self._normal(torch.mm(h, self.weight_h.t()), of_h)
        gates = torch.addcmul(torch.addcmul(b, gamma_x, normal_x), gamma_h, normal_h)
        o, c = remember(apart(gates, 4), c)
        h = o * torch.tanh(torch.addcmul(beta_c, gamma_c, self._normal(c, of_c)))
        return h, _state(h, c, t + 1, memory)

    def _affine(
        self, p_t: tuple[Tensor, ...], h: Tensor, memory: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return gamma_h, gamma_x, b, gamma_c and beta_c; and the conditioner's next memory."""
        own = (self.gamma_h, self.gamma_x, self.bias, self.gamma_c, self.beta_c)
        if self.conditioner is None:
            return own, memory
        changes, memory = self.conditioner.step(p_t[1], h, memory)
        parts = torch.split(changes, [len(part) for part in own], dim=-1)
        return tuple(part + change for part, change in zip(own, parts, strict=True)), memory

    def _moments(self, t: Int[Tensor, "batch"]) -> list[Moments]:
        """Return mean and variance of W_x x, W_h h and c at step t; the last there are, later."""
        row = t.clamp(max=self.max_steps - 1)
        sizes = [4 * self.hidden_size, 4 * self.hidden_size, self.hidden_size]
        means, variances = (torch.split(part[row], sizes, dim=-1) for part in (self.mean, self.var))
        return list(zip(means, variances, strict=True))

    def _normal(
        self, a: Float[Tensor, "*time batch features"], moments: Moments | None
    ) -> Float[Tensor, "*time batch features"]:
        """Normalise; with the batch's own statistics if none are given."""
        if moments is None:
            var, mean = torch.var_mean(a, dim=-2, correction=0, keepdim=True)
        else:
            mean, var = moments
        return (a - mean) * torch.rsqrt(var + self.eps)


def _state(
    h: Tensor, c: Tensor, t: Tensor, memory: tuple[Tensor, ...]
) -> BatchNormState | BatchNormHyperState:
    return BatchNormHyperState(h, c, t, *memory) if memory else BatchNormState(h, c, t)
