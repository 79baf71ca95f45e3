"""LSTMN: an LSTM that reads a summary of all its past states in place of the last one."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.gates import by_gate
from cellbench.cells.tape import read, softmax_of_filled, write


class LSTMNState(NamedTuple):
    """What LSTMN remembers: its tape, oldest entry first, and the last summary of it.

    h, c and keys are the entries, [batch, entries, features]; filled is 1 for an entry that
    was written and 0 for one that is still free, [batch, entries].
    """

    h: Tensor
    c: Tensor
    keys: Tensor
    filled: Tensor
    summary: Tensor


class LSTMNProjected(NamedTuple):
    """What LSTMN makes of the inputs: W_x x + b of the gates, and V_x x of the attention."""

    gates: Tensor
    query: Tensor


@final
class LSTMN(Cell):
    """Long short-term memory-network: the state is a tape, read by attention.

        a_j = v . tanh(V_h h_j + V_x x_t + V_s s_{t-1})         for each j < t on the tape
        p   = softmax(a)
        s_t = sum_j p_j h_j    m_t = sum_j p_j c_j              summaries; 0 of an empty tape

        i, f, g, o = W_x x_t + W_h s_t + b                      stacked in this order
        c_t = sigmoid(f) * m_t + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)                            and y_t = h_t

    h_t, c_t and the key V_h h_t are then written on the tape; with its key beside each
    entry, a step costs O(t hidden_size), and all of time O(T^2 hidden_size). A tape of one
    entry makes it an LSTM.

    Source: Cheng, Dong & Lapata 2016, "Long Short-Term Memory-Networks for Machine
    Reading", arXiv:1601.06733.
    Differs from it: a tape may be bounded; the summaries of an empty tape, of which the
    paper says nothing, are 0; weights start as Glorot and Bengio have it, gate by gate,
    and biases as 0.

    Parameters: 4*H*(X + H) + 4*H + (X + 2*H + 1)*(attention_size or H)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of h and c and of each output vector.
        attention_size: Features of keys and queries; 0 for hidden_size.
        tape: How many of the last steps are remembered; 0 for all of them.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, attention_size: int = 0, tape: int = 0
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("attention_size", attention_size, low=0)
        options.whole("tape", tape, low=0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.attention_size = attention_size or hidden_size
        self.tape = tape
        self.grows = tape == 0
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_h = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        self.key_h = nn.Parameter(torch.empty(self.attention_size, hidden_size))
        self.query_x = nn.Parameter(torch.empty(self.attention_size, input_size))
        self.query_s = nn.Parameter(torch.empty(self.attention_size, hidden_size))
        self.score = nn.Parameter(torch.empty(1, self.attention_size))
        by_gate(nn.init.xavier_uniform_, self.weight_x)
        by_gate(nn.init.xavier_uniform_, self.weight_h)
        for weight in (self.key_h, self.query_x, self.query_s, self.score):
            nn.init.xavier_uniform_(weight)

    def initial_state(self, batch: int) -> LSTMNState:
        zeros = self.weight_h.new_zeros
        return LSTMNState(
            h=zeros(batch, self.tape, self.hidden_size),
            c=zeros(batch, self.tape, self.hidden_size),
            keys=zeros(batch, self.tape, self.attention_size),
            filled=zeros(batch, self.tape),
            summary=zeros(batch, self.hidden_size),
        )

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> LSTMNProjected:
        return LSTMNProjected(
            functional.linear(x, self.weight_x, self.bias), functional.linear(x, self.query_x)
        )

    def step(
        self, p_t: LSTMNProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], LSTMNState]:
        past_h, past_c, keys, filled, summary = state
        query = torch.addmm(p_t.query, summary, self.query_s.t())
        p = self._attend(keys, filled, query)
        s, m = read(p, past_h), read(p, past_c)

        i, f, g, o = torch.addmm(p_t.gates, s, self.weight_h.t()).chunk(4, dim=-1)
        c = torch.sigmoid(f) * m + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, LSTMNState(
            h=self._write(past_h, h),
            c=self._write(past_c, c),
            keys=self._write(keys, functional.linear(h, self.key_h)),
            filled=self._write(filled, torch.ones_like(h[:, 0])),
            summary=s,
        )

    def _attend(
        self,
        keys: Float[Tensor, "batch entries {self.attention_size}"],
        filled: Float[Tensor, "batch entries"],
        query: Float[Tensor, "batch {self.attention_size}"],
    ) -> Float[Tensor, "batch entries"]:
        """Return the attention to each entry of the tape, which is 0 to the free ones."""
        a = functional.linear(torch.tanh(keys + query.unsqueeze(1)), self.score).squeeze(-1)
        return softmax_of_filled(a, filled)

    def _write(
        self, entries: Float[Tensor, "batch entries *rest"], entry: Float[Tensor, "batch *rest"]
    ) -> Float[Tensor, "batch after *rest"]:
        return write(entries, entry, bounded=bool(self.tape))
