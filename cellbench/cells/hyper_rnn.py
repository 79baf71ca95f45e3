"""HyperRNN: a simple recurrent network whose weights are made at every step by a smaller one."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.gates import apart


class HyperRNNState(NamedTuple):
    """What HyperRNN remembers: of the main cell, and of the hyper cell."""

    h: Tensor
    hyper_h: Tensor


class HyperRNNProjected(NamedTuple):
    """What HyperRNN makes of the inputs: W_x x, of each W_x there is, and W'_x x + b'."""

    main: Tensor
    hyper: Tensor


@final
class HyperRNN(Cell):
    """Recurrent network with a hyper cell, which makes its weights, or scales their rows.

    The hyper cell is a small recurrent network, marked by a prime, that reads x and h.

        h'_t = tanh(W'_x x_t + W'_h h_{t-1} + U' h'_{t-1} + b')

        z_h = Z_h h'_t + e_h    z_x = Z_x h'_t + e_x    z_b = Z_b h'_t      embeddings
        b   = D_b z_b + b_0                                                 made bias

    `form="scaled"` has one W_h and one W_x, and scales each of their rows,

        d_h = D_h z_h    d_x = D_x z_x
        h_t = tanh(d_h * (W_h h_{t-1}) + d_x * (W_x x_t) + b)               and y_t = h_t

    `form="full"` has one W_h and one W_x for each number k of an embedding, and mixes them:

        h_t = tanh(sum_k z_h[k] W_h[k] h_{t-1} + sum_k z_x[k] W_x[k] x_t + b)

    The first is the second with W[k] = diag(D[:, k]) W, for embedding_size times fewer
    weights. Every product of x is made by `project`, for all time; the mixed matrices
    themselves are never made.

    At the start every scale is `initial_scale`. With 0.1 that is a recurrent matrix of
    spectral radius 0.1: h forgets nearly all in a step, until the hyper cell has learned to
    scale it up. With `init="paper"` the numbers of an embedding are alike and stay alike, as
    in HyperLSTM; `init="asymmetric"` draws Z_h and Z_x from N(0, 0.01^2) instead.

    Source: Ha, Dai & Le 2016, "HyperNetworks", arXiv:1609.09106, equations 5, 6 and 8.
    Differs from it: z comes from h'_t, as its text and its authors' HyperLSTM have it, where
    its equations print h'_{t-1} (`hyper_source="prev"`); the initial values are those that
    its appendix A.2.3 gives for HyperLSTM, and in the full form such that the cell starts
    as the scaled one would; `initial_scale`, and `init="asymmetric"`.

    Parameters: (form == "scaled")*(H*(X + H) + 2*H*embedding_size)
        + (form == "full")*embedding_size*H*(X + H) + H
        + hyper_size*(X + H + hyper_size) + hyper_size
        + 3*hyper_size*embedding_size + 2*embedding_size + H*embedding_size

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the main state and of each output vector.
        hyper_size: Features of the hyper cell's state.
        embedding_size: Features of each embedding z.
        form: "scaled" or "full".
        hyper_source: Which h' makes the embeddings: "new" or "prev".
        init: "paper" or "asymmetric".
        initial_scale: Of each row of W_h and W_x at the start.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        hyper_size: int = 32,
        embedding_size: int = 4,
        form: str = "scaled",
        hyper_source: str = "new",
        init: str = "paper",
        initial_scale: float = 0.1,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("hyper_size", hyper_size, low=1)
        options.whole("embedding_size", embedding_size, low=1)
        options.choice("form", form, ("scaled", "full"))
        options.choice("hyper_source", hyper_source, ("new", "prev"))
        options.choice("init", init, ("paper", "asymmetric"))
        options.real("initial_scale", initial_scale, low=0.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.hyper_size = hyper_size
        self.embedding_size = embedding_size
        self.form = form
        self.hyper_source = hyper_source

        x, h, hyper, z = input_size, hidden_size, hyper_size, embedding_size
        copies = z if form == "full" else 1
        self.weight_x = nn.Parameter(torch.empty(copies * h, x))  # W_x, one below the other
        self.weight_h = nn.Parameter(torch.empty(copies * h, h))  # W_h, the same
        self.bias = nn.Parameter(torch.zeros(h))  # b_0
        self.hyper_weight_x = nn.Parameter(torch.empty(hyper, x))  # W'_x
        self.hyper_weight_h = nn.Parameter(torch.empty(hyper, h))  # W'_h
        self.hyper_weight_hyper = nn.Parameter(torch.empty(hyper, hyper))  # U'
        self.hyper_bias = nn.Parameter(torch.zeros(hyper))  # b'
        self.embed_scale = nn.Parameter(torch.zeros(2 * z, hyper))  # Z_h, then Z_x
        self.embed_scale_bias = nn.Parameter(torch.ones(2 * z))  # e_h, then e_x
        self.embed_bias = nn.Parameter(torch.empty(z, hyper))  # Z_b
        if form == "scaled":
            self.scale = nn.Parameter(torch.full((2, z, h), initial_scale / z))  # D_h, then D_x
        self.scale_bias = nn.Parameter(torch.zeros(z, h))  # D_b
        self._initialise(initial_scale, asymmetric=init == "asymmetric")

    @torch.no_grad()
    def _initialise(self, initial_scale: float, *, asymmetric: bool) -> None:
        for weight in (self.weight_x, self.weight_h):
            first, *others = weight.chunk(weight.shape[0] // self.hidden_size)
            nn.init.orthogonal_(first)
            if self.form == "full":
                first.mul_(initial_scale / self.embedding_size)
            for other in others:
                other.copy_(first)
        both = torch.cat([self.hyper_weight_x, self.hyper_weight_h], dim=1)
        nn.init.orthogonal_(both)  # one matrix of [x; h] in the paper
        self.hyper_weight_x.copy_(both[:, : self.input_size])
        self.hyper_weight_h.copy_(both[:, self.input_size :])
        nn.init.orthogonal_(self.hyper_weight_hyper)
        if asymmetric:
            nn.init.normal_(self.embed_scale, std=0.01)
        nn.init.normal_(self.embed_bias, std=0.01)

    def weight_makers(self) -> list[nn.Parameter]:
        """Return all but b_0, and in the scaled form W_x and W_h."""
        main = [self.bias, *([self.weight_x, self.weight_h] if self.form == "scaled" else [])]
        mains = {id(parameter) for parameter in main}
        return [parameter for parameter in self.parameters() if id(parameter) not in mains]

    def initial_state(self, batch: int) -> HyperRNNState:
        zeros = self.weight_h.new_zeros
        return HyperRNNState(zeros(batch, self.hidden_size), zeros(batch, self.hyper_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> HyperRNNProjected:
        return HyperRNNProjected(
            functional.linear(x, self.weight_x),
            functional.linear(x, self.hyper_weight_x, self.hyper_bias),
        )

    def step(
        self, p_t: HyperRNNProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HyperRNNState]:
        h, hyper_h = state
        new_hyper_h = torch.addmm(p_t.hyper, h, self.hyper_weight_h.t())
        new_hyper_h = torch.tanh(torch.addmm(new_hyper_h, hyper_h, self.hyper_weight_hyper.t()))
        source = new_hyper_h if self.hyper_source == "new" else hyper_h

        z = functional.linear(source, self.embed_scale, self.embed_scale_bias)
        z_b = functional.linear(source, self.embed_bias)
        b = torch.addmm(self.bias, z_b, self.scale_bias)
        w_h = torch.mm(h, self.weight_h.t())
        if self.form == "scaled":
            d_h, d_x = torch.bmm(apart(z, 2), self.scale).unbind(0)
            h = torch.tanh(torch.addcmul(torch.addcmul(b, d_x, p_t.main), d_h, w_h))
        else:
            products = torch.cat([w_h, p_t.main], dim=1)
            products = products.view(-1, 2 * self.embedding_size, self.hidden_size)
            h = torch.tanh(b + torch.bmm(z.unsqueeze(1), products).squeeze(1))
        return h, HyperRNNState(h, new_hyper_h)
