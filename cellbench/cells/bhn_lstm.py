"""BHN-LSTM: an LSTM whose weights are drawn, by a hypernetwork that knows how likely they are."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State, constant
from cellbench.cells.flow import Flow, log_normal
from cellbench.cells.gates import apart, by_gate, remember


class BHNLSTMState(NamedTuple):
    """What BHNLSTM remembers; g and its excess are those of the draw, and stay as they are."""

    h: Tensor
    c: Tensor
    g: Tensor
    excess: Tensor


class BHNLSTMProjected(NamedTuple):
    """What BHNLSTM makes of its inputs: rows times x; and its rows for h."""

    x: Tensor
    rows: Tensor


@final
class BHNLSTM(Cell):
    """LSTM with a Bayesian hypernetwork, which draws the norm of each row of its weights.

        g_x, g_h = g = flow(eps), eps ~ N(0, I)             once for a batch of sequences

        y   = g_x * (R_x x_t) + g_h * (R_h h_{t-1}) + b     y = i, f, o, u, stacked in this order
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(u)
        h_t = sigmoid(o) * tanh(c_t)                        and the output is h_t

        excess = log q(g) - log p(g)                        p = N(mu_0, 1 / prior_precision)
        log q(g) = log N(eps; 0, I) - log |d flow / d eps|

    The rows of R_x and R_h are those of V_x and V_h, each divided by its norm: the weights are
    diag(g_x) R_x and diag(g_h) R_h. The flow is a scale and a shift of each number, and then
    couplings, each followed by a reversal.

    In training mode `initial_state` draws eps, from torch's global generator, and the state
    carries g: one draw for all sequences of the batch and all of time. In evaluation mode eps is
    0; to average over draws, go on from `drawn_state` of each.

    If the loss of a sequence is its negative log likelihood, then the expected loss of the
    training sequences, `penalty` included, times their number, is at least minus the logarithm
    of their evidence. The penalty is that of one draw, whatever the batch and the time.

    At the start V_x and V_h are orthogonal, gate by gate, and b_0 such that eps = 0 gives the
    norms of their rows: an LSTM of these weights. Scales start as e^-7.

    Source: Krueger et al. 2017, "Bayesian Hypernetworks", arXiv:1710.04759.
    Differs from it: there, no network is recurrent. The authors' code starts with b_0 near 0,
    and so with weights near 0, which would silence a recurrence; it adds 0.001 to the first
    scales too, and has mu_0 = 0, here `prior_mean="zero"`. The read-out is not the cell's, and
    so has no g.

    Parameters: 4*H*(X + H) + 4*H + 16*H + couplings*(12*H*flow_size + flow_size + 8*H)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        couplings: Of the flow; with none, q is a diagonal Gaussian.
        flow_size: Hidden units of each coupling.
        prior_precision: Of every g.
        prior_mean: mu_0: "start", the norms that training starts from, or "zero".
        sequences: How many sequences the training set has.
        kl_weight: Times the excess; 0 leaves it out, 1 is the bound.
        forget_bias: The forget gate's part of b at the start; learned from there.
    """

    prior: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        couplings: int = 1,
        flow_size: int = 200,
        prior_precision: float = 1.0,
        prior_mean: str = "start",
        sequences: int = 10000,
        kl_weight: float = 1.0,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("couplings", couplings, low=0)
        options.whole("flow_size", flow_size, low=1)
        options.real("prior_precision", prior_precision, low=1e-12)
        options.choice("prior_mean", prior_mean, ("start", "zero"))
        options.whole("sequences", sequences, low=1)
        options.real("kl_weight", kl_weight, low=0.0)
        options.real("forget_bias", forget_bias, low=0.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.prior_precision = prior_precision
        self.cost = kl_weight / sequences
        self.penalised = kl_weight > 0
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_size, input_size))  # V_x
        self.weight_h = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))  # V_h
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        by_gate(nn.init.orthogonal_, self.weight_x)
        by_gate(nn.init.orthogonal_, self.weight_h)
        self.bias.detach()[hidden_size : 2 * hidden_size] += forget_bias
        norms = torch.cat(
            [weight.detach().norm(dim=1) for weight in (self.weight_x, self.weight_h)]
        )
        self.flow = Flow(8 * hidden_size, couplings, flow_size)
        self.flow.centre(norms)
        self.register_buffer("prior", norms if prior_mean == "start" else torch.zeros_like(norms))

    def weight_makers(self) -> list[nn.Parameter]:
        return list(self.flow.parameters())

    def penalty(self, state: State) -> Float[Tensor, ""]:
        *_, excess = state
        return self.cost * excess.mean()

    def initial_state(self, batch: int) -> BHNLSTMState:
        like = self.flow.shift
        return self.drawn_state(
            batch, torch.randn_like(like) if self.training else torch.zeros_like(like)
        )

    def drawn_state(self, batch: int, eps: Float[Tensor, "*batch gains"]) -> BHNLSTMState:
        """Return the state before the first step, for weights that are drawn already.

        Args:
            batch: Sequences.
            eps: One draw for all of them, or one for each.
        """
        g, log_det = self.flow(eps)
        excess = log_normal(eps) - log_det - log_normal(g, self.prior, self.prior_precision)
        zeros = g.new_zeros(batch, self.hidden_size)
        return BHNLSTMState(
            zeros, zeros, g.expand(batch, -1), excess.unsqueeze(-1).expand(batch, 1)
        )

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> BHNLSTMProjected:
        rows_x, rows_h = (functional.normalize(v, dim=1) for v in (self.weight_x, self.weight_h))
        return BHNLSTMProjected(functional.linear(x, rows_x), constant(rows_h, like=x))

    def step(
        self, p_t: BHNLSTMProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], BHNLSTMState]:
        h, c, g, excess = state
        g_x, g_h = g.chunk(2, dim=-1)
        y = torch.addcmul(self.bias + g_x * p_t.x, g_h, functional.linear(h, p_t.rows))
        o, c = remember(apart(y, 4), c)
        h = o * torch.tanh(c)
        return h, BHNLSTMState(h, c, g, excess)
