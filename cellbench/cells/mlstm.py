"""mLSTM: a matrix memory with exponential gates."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.matrix_scan import gated_linear_attention


class MLSTMState(NamedTuple):
    """What MLSTM remembers of each head: memory, normaliser, and the exponent of their scale.

    c is [batch, heads, key, value], n [batch, heads, key] and m [batch, heads].
    """

    c: Tensor
    n: Tensor
    m: Tensor


class MLSTMProjected(NamedTuple):
    """What MLSTM makes of its inputs: of each head q, k and v, and its gates as logarithms; o."""

    q: Tensor
    k: Tensor
    v: Tensor
    i: Tensor
    log_f: Tensor
    o: Tensor


@final
class MLSTM(ParallelCell):
    """Matrix LSTM of xLSTM: stores values under keys, and forgets all of them at one rate.

        q = W_q x_t + b_q    k = W_k x_t / sqrt(d) + b_k    v = W_v x_t + b_v
        i = w_i . x_t + b_i              exponent of the input gate, one a head
        log f = logsigmoid(w_f . x_t + b_f), or that without logsigmoid ("exponential")
        o = sigmoid(W_o x_t + b_o)

        m_t = max(log f + m_{t-1}, i)                      exponent that c and n are scaled by
        i' = exp(i - m_t)    f' = exp(log f + m_{t-1} - m_t)
        c_t = f' c_{t-1} + i' k v^T                        memory
        n_t = f' n_{t-1} + i' k                            normaliser
        h_t = o * c_t^T q / max(|n_t . q|, exp(-m_t))      and y_t = h_t

    for each of the heads, of d features each; exp(-m) is what 1 becomes at that scale. Only
    m is no linear recurrence. It is a running maximum, of i less all the log f before it, so
    `parallel` makes it first, and c with n beside it is a linear attention with decays.

    Source: Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory", arXiv:2405.04517.
    Differs from it: c is stored transposed; the block around it (up-projection, convolution,
    normalisation of each head) is left to the model. How weights start is taken from the
    authors' code (package xlstm): matrices from N(0, 2 / (5 X)), w_i = w_f = 0, b_i from
    N(0, 0.1^2), b_f from 3 to 6 over the heads, other biases at 0.

    Parameters: 4*H*X + 4*H + 2*heads*X + 2*heads

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of each output vector, of all heads together.
        heads: How many memories there are.
        forget_gate: "sigmoid" or "exponential".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 1,
        forget_gate: str = "sigmoid",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.divides("heads", heads, "hidden_size", hidden_size)
        options.choice("forget_gate", forget_gate, ("sigmoid", "exponential"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.heads = heads
        self.forget_gate = forget_gate
        self.query = nn.Linear(input_size, hidden_size)
        self.key = nn.Linear(input_size, hidden_size)
        self.value = nn.Linear(input_size, hidden_size)
        self.output_gate = nn.Linear(input_size, hidden_size)
        self.input_gate = nn.Linear(input_size, heads)
        self.forgetting = nn.Linear(input_size, heads)
        for linear in (self.query, self.key, self.value, self.output_gate):
            nn.init.normal_(linear.weight, std=math.sqrt(2 / (5 * input_size)))
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.input_gate.weight)
        nn.init.zeros_(self.forgetting.weight)
        nn.init.normal_(self.input_gate.bias, std=0.1)
        self.forgetting.bias.detach().copy_(torch.linspace(3, 6, heads))

    def initial_state(self, batch: int) -> MLSTMState:
        zeros, size = self.query.weight.new_zeros, self.hidden_size // self.heads
        return MLSTMState(
            c=zeros(batch, self.heads, size, size),
            n=zeros(batch, self.heads, size),
            m=zeros(batch, self.heads),
        )

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> MLSTMProjected:
        log_f = self.forgetting(x)
        if self.forget_gate == "sigmoid":
            log_f = functional.logsigmoid(log_f)
        scale = math.sqrt(self.heads / self.hidden_size)
        k = functional.linear(x, self.key.weight * scale, self.key.bias)
        return MLSTMProjected(
            q=self._by_head(self.query(x)),
            k=self._by_head(k),
            v=self._by_head(self.value(x)),
            i=self.input_gate(x),
            log_f=log_f,
            o=torch.sigmoid(self.output_gate(x)),
        )

    def step(
        self, p_t: MLSTMProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MLSTMState]:
        c, n, m = state
        kept = p_t.log_f + m
        m = _larger(kept, p_t.i)
        f = torch.exp(kept - m).unsqueeze(-1)
        k = torch.exp(p_t.i - m).unsqueeze(-1) * p_t.k
        c = f.unsqueeze(-1) * c + k.unsqueeze(-1) * p_t.v.unsqueeze(-2)
        n = f * n + k
        found = (p_t.q.unsqueeze(-2) @ c).squeeze(-2)
        weight = (p_t.q * n).sum(-1)
        return self._read(found, weight, m, p_t.o), MLSTMState(c, n, m)

    def parallel(
        self, p: MLSTMProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], MLSTMState]:
        c, n, m_0 = state
        m = _running_maximum(p.i, p.log_f, m_0)
        before = torch.cat([m_0.unsqueeze(0), m[:-1]])
        k = torch.exp(p.i - m).unsqueeze(-1) * p.k
        # A value that is always 1 makes the normaliser a column of the memory.
        v = torch.cat([p.v, torch.ones_like(p.v[..., :1])], dim=-1)
        memory = torch.cat([c, n.unsqueeze(-1)], dim=-1)
        log_decay = (p.log_f + before - m).unsqueeze(-1)
        y, memory = gated_linear_attention(p.q, k, v, log_decay, memory)
        h = self._read(y[..., :-1], y[..., -1], m, p.o)
        return h, MLSTMState(memory[..., :-1], memory[..., -1], m[-1])

    def _by_head(
        self, features: Float[Tensor, "time batch {self.hidden_size}"]
    ) -> Float[Tensor, "time batch {self.heads} each"]:
        return features.view(*features.shape[:-1], self.heads, -1)

    def _read(
        self,
        found: Float[Tensor, "*time batch {self.heads} each"],
        weight: Float[Tensor, "*time batch {self.heads}"],
        m: Float[Tensor, "*time batch {self.heads}"],
        o: Float[Tensor, "*time batch {self.hidden_size}"],
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        """Return o * found / max(|weight|, exp(-m)).

        Both sides of the fraction by exp(min(m, 0)): exp(-m) of a low m would overflow.
        """
        scale = torch.exp(m.clamp(max=0))
        floor = torch.exp(-m.clamp(min=0))
        share = scale / _larger(weight.abs() * scale, floor)
        return o * (found * share.unsqueeze(-1)).flatten(-2)


def _running_maximum(
    i: Float[Tensor, "time batch heads"],
    log_f: Float[Tensor, "time batch heads"],
    m: Float[Tensor, "batch heads"],
) -> Float[Tensor, "time batch heads"]:
    """Return m_1 ... m_T of m_t = max(log_f_t + m_{t-1}, i_t), with m_0 = `m`.

    Less the sum of all log_f so far, it is a maximum of what is known in advance. Rounding of
    that sum does no harm: c, n and 1 all are scaled by the m that is returned.
    """
    total = log_f.cumsum(0)
    return total + _larger(m, (i - total).cummax(0).values)


def _larger(a: Tensor, b: Tensor) -> Tensor:
    """Return the larger one; the backward of torch.maximum writes in place, and stops compiling."""
    return torch.where(a > b, a, b)
