"""HyperLSTM: an LSTM whose weights are rescaled at every step by a smaller LSTM."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.gates import GateNorm, apart, by_gate, forget_only, remember


class HyperLSTMState(NamedTuple):
    """What HyperLSTM remembers: of the main cell, and of the hyper cell."""

    h: Tensor
    c: Tensor
    hyper_h: Tensor
    hyper_c: Tensor


class HyperLSTMProjected(NamedTuple):
    """What HyperLSTM makes of the inputs: W_x x, and the hyper cell's W'_x x + b'."""

    main: Tensor
    hyper: Tensor


@final
class HyperLSTM(Cell):
    """LSTM with a hyper cell, which sets the scale of each row of its weights.

    The hyper cell is a small LSTM, marked by a prime, that reads x and h. All holds for each
    of the gates i, f, o, g, which are stacked in this order; LN is layer normalisation, gate
    by gate.

        y'   = LN(W'_x x_t + W'_h h_{t-1} + U' h'_{t-1} + b')       y' = i', f', o', g'
        c'_t = sigmoid(f') * c'_{t-1} + sigmoid(i') * tanh(g')
        h'_t = sigmoid(o') * tanh(LN(c'_t))

        z_h = Z_h h'_t + e_h    z_x = Z_x h'_t + e_x    z_b = Z_b h'_t        embeddings
        d_h = D_h z_h           d_x = D_x z_x           b   = D_b z_b + b_0   scales, bias

        y   = LN(d_h * (W_h h_{t-1}) + d_x * (W_x x_t) + b)         y = i, f, o, g
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * drop(tanh(g))
        h_t = sigmoid(o) * tanh(LN(c_t))                            and the output is h_t

    drop is dropout while training. Every product of x is made by `project`, for all time.

    At the start (`init="paper"`) D_h and D_x are constant, Z_h = Z_x = 0 and e = 1, such
    that every scale is 0.1. The parts of an embedding are then alike and stay alike, since
    their gradients are: each gate's scaling has rank 1 for ever, whatever embedding_size.
    `init="asymmetric"` draws Z_h and Z_x from N(0, 0.01^2) instead.

    Source: Ha, Dai & Le 2016, "HyperNetworks", arXiv:1609.09106, appendix A.2.
    Differs from it: z comes from h'_t, as its text and its authors' code have it, where
    its equations print h'_{t-1} (`hyper_source="prev"`); the order of the gates;
    `forget_bias`, `ln_eps`, dropout in the hyper cell's tanh(g') as an option, and
    `init="asymmetric"`.

    Parameters: 4*H*(X + H) + 4*H + 4*hyper_size*(X + H + hyper_size) + 4*hyper_size
        + 12*hyper_size*embedding_size + 8*embedding_size + 12*H*embedding_size
        + layer_norm*(10*H + 10*hyper_size)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the main state and of each output vector.
        hyper_size: Features of the hyper cell's state.
        embedding_size: Features of each embedding z of each gate.
        layer_norm: Whether to normalise; without, LN is the identity.
        ln_eps: Added to each variance.
        forget_bias: Added to the forget gates of both cells after LN; not learned.
        hyper_source: Which h' makes the embeddings: "new" or "prev".
        init: "paper" or "asymmetric".
        recurrent_dropout: Chance of dropping a feature of the main cell's tanh(g).
        hyper_recurrent_dropout: Chance of dropping one of the hyper cell's tanh(g').
    """

    forget_offset: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        hyper_size: int = 32,
        embedding_size: int = 4,
        layer_norm: bool = True,
        ln_eps: float = 1e-5,
        forget_bias: float = 0.0,
        hyper_source: str = "new",
        init: str = "paper",
        recurrent_dropout: float = 0.0,
        hyper_recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("hyper_size", hyper_size, low=1)
        options.whole("embedding_size", embedding_size, low=1)
        options.flag("layer_norm", layer_norm)
        options.real("ln_eps", ln_eps, low=1e-12)
        options.real("forget_bias", forget_bias, low=0.0)
        options.choice("hyper_source", hyper_source, ("new", "prev"))
        options.choice("init", init, ("paper", "asymmetric"))
        options.real("recurrent_dropout", recurrent_dropout, low=0.0, below=1.0)
        options.real("hyper_recurrent_dropout", hyper_recurrent_dropout, low=0.0, below=1.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.hyper_size = hyper_size
        self.embedding_size = embedding_size
        self.forget_bias = forget_bias
        self.hyper_source = hyper_source
        self.recurrent_dropout = recurrent_dropout
        self.hyper_recurrent_dropout = hyper_recurrent_dropout

        x, h, hyper, z = input_size, hidden_size, hyper_size, embedding_size
        self.weight_x = nn.Parameter(torch.empty(4 * h, x))  # W_x
        self.weight_h = nn.Parameter(torch.empty(4 * h, h))  # W_h
        self.bias = nn.Parameter(torch.empty(4, 1, h))  # b_0
        self.hyper_weight_x = nn.Parameter(torch.empty(4 * hyper, x))  # W'_x
        self.hyper_weight_h = nn.Parameter(torch.empty(4 * hyper, h))  # W'_h
        self.hyper_weight_hyper = nn.Parameter(torch.empty(4 * hyper, hyper))  # U'
        self.hyper_bias = nn.Parameter(torch.empty(4 * hyper))  # b'
        self.embed_scale = nn.Parameter(torch.empty(8 * z, hyper))  # Z_h, then Z_x
        self.embed_scale_bias = nn.Parameter(torch.empty(8 * z))  # e_h, then e_x
        self.embed_bias = nn.Parameter(torch.empty(4 * z, hyper))  # Z_b
        self.scale = nn.Parameter(torch.empty(8, z, h))  # D_h, then D_x
        self.scale_bias = nn.Parameter(torch.empty(4, z, h))  # D_b
        if layer_norm:
            self.norm: nn.Module = GateNorm(4, h, eps=ln_eps)
            self.norm_c: nn.Module = nn.LayerNorm(h, eps=ln_eps)
            self.hyper_norm: nn.Module = GateNorm(4, hyper, eps=ln_eps)
            self.hyper_norm_c: nn.Module = nn.LayerNorm(hyper, eps=ln_eps)
        else:
            self.norm = self.norm_c = self.hyper_norm = self.hyper_norm_c = nn.Identity()
        self.register_buffer("forget_offset", forget_only(forget_bias), persistent=False)
        self._initialise(asymmetric=init == "asymmetric")

    @torch.no_grad()
    def _initialise(self, *, asymmetric: bool) -> None:
        for weight in (self.weight_x, self.weight_h, self.hyper_weight_hyper):
            by_gate(nn.init.orthogonal_, weight)
        both = torch.cat([self.hyper_weight_x, self.hyper_weight_h], dim=1)
        by_gate(nn.init.orthogonal_, both)  # one matrix of [x; h] in the paper
        self.hyper_weight_x.copy_(both[:, : self.input_size])
        self.hyper_weight_h.copy_(both[:, self.input_size :])
        nn.init.zeros_(self.bias)
        nn.init.zeros_(self.hyper_bias)
        nn.init.normal_(self.embed_scale, std=0.01 if asymmetric else 0.0)
        nn.init.ones_(self.embed_scale_bias)
        nn.init.normal_(self.embed_bias, std=0.01)
        nn.init.constant_(self.scale, 0.1 / self.embedding_size)
        nn.init.zeros_(self.scale_bias)

    def weight_makers(self) -> list[nn.Parameter]:
        """Return all but W_x, W_h, b_0 and the main cell's normalisation."""
        main = [self.weight_x, self.weight_h, self.bias]
        main += [*self.norm.parameters(), *self.norm_c.parameters()]
        mains = {id(parameter) for parameter in main}
        return [parameter for parameter in self.parameters() if id(parameter) not in mains]

    def initial_state(self, batch: int) -> HyperLSTMState:
        zeros = self.weight_h.new_zeros
        return HyperLSTMState(
            h=zeros(batch, self.hidden_size),
            c=zeros(batch, self.hidden_size),
            hyper_h=zeros(batch, self.hyper_size),
            hyper_c=zeros(batch, self.hyper_size),
        )

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> HyperLSTMProjected:
        return HyperLSTMProjected(
            functional.linear(x, self.weight_x),
            functional.linear(x, self.hyper_weight_x, self.hyper_bias),
        )

    def step(
        self, p_t: HyperLSTMProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HyperLSTMState]:
        h, c, hyper_h, hyper_c = state
        new_hyper_h, hyper_c = self._hyper_step(p_t.hyper, h, hyper_h, hyper_c)
        d_h, d_x, b = self._scales(new_hyper_h if self.hyper_source == "new" else hyper_h)

        w_h = apart(torch.mm(h, self.weight_h.t()), 4)
        w_x = apart(p_t.main, 4)
        gates = self.norm(torch.addcmul(torch.addcmul(b, d_x, w_x), d_h, w_h))
        if self.forget_bias:
            gates = gates + self.forget_offset
        o, c = remember(gates, c, self._drop(self.recurrent_dropout))
        h = o * torch.tanh(self.norm_c(c))
        return h, HyperLSTMState(h, c, new_hyper_h, hyper_c)

    def _hyper_step(
        self,
        p_t: Float[Tensor, "batch 4*{self.hyper_size}"],
        h: Float[Tensor, "batch {self.hidden_size}"],
        hyper_h: Float[Tensor, "batch {self.hyper_size}"],
        hyper_c: Float[Tensor, "batch {self.hyper_size}"],
    ) -> tuple[Float[Tensor, "batch {self.hyper_size}"], Float[Tensor, "batch {self.hyper_size}"]]:
        """Return the hyper cell's next h' and c'."""
        gates = torch.addmm(p_t, h, self.hyper_weight_h.t())
        gates = torch.addmm(gates, hyper_h, self.hyper_weight_hyper.t())
        gates = self.hyper_norm(apart(gates, 4))
        if self.forget_bias:
            gates = gates + self.forget_offset
        o, hyper_c = remember(gates, hyper_c, self._drop(self.hyper_recurrent_dropout))
        return o * torch.tanh(self.hyper_norm_c(hyper_c)), hyper_c

    def _scales(
        self, hyper_h: Float[Tensor, "batch {self.hyper_size}"]
    ) -> tuple[
        Float[Tensor, "4 batch {self.hidden_size}"],
        Float[Tensor, "4 batch {self.hidden_size}"],
        Float[Tensor, "4 batch {self.hidden_size}"],
    ]:
        """Return d_h, d_x and b of the four gates, gate first: one product of all embeddings."""
        z = functional.linear(hyper_h, self.embed_scale, self.embed_scale_bias)
        z_b = functional.linear(hyper_h, self.embed_bias)
        d_h, d_x = torch.bmm(apart(z, 8), self.scale).chunk(2)
        b = torch.baddbmm(self.bias, apart(z_b, 4), self.scale_bias)
        return d_h, d_x, b

    def _drop(self, chance: float) -> Callable[[Tensor], Tensor] | None:
        """Return dropout while training, if there is any."""
        return partial(functional.dropout, p=chance) if chance and self.training else None
