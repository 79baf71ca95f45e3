"""DNC: a differentiable neural computer, which allots its memory and knows in which order."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from cellbench import options
from cellbench.cells.addressing import by_content, written
from cellbench.cells.base import Cell, State
from cellbench.cells.controller import Controller, clipped
from cellbench.cells.truncated_linear import TruncatedLinear

LEAST_USAGE = 1e-6
"""Usage is taken for this much more, so that a product of many is not 0, and has a gradient."""


class DNCState(NamedTuple):
    """What DNC remembers: h and c, what was read, and of its memory all that was done to it."""

    h: Float[Tensor, "batch controller"]
    c: Float[Tensor, "batch controller"]
    read: Float[Tensor, "batch reads width"]
    memory: Float[Tensor, "batch slots width"]
    usage: Float[Tensor, "batch slots"]
    precedence: Float[Tensor, "batch slots"]
    link: Float[Tensor, "batch slots slots"]
    w_write: Float[Tensor, "batch slots"]
    w_read: Float[Tensor, "batch reads slots"]


class Interface(NamedTuple):
    """What the controller tells the memory, squashed."""

    k_read: Float[Tensor, "batch reads width"]
    beta_read: Float[Tensor, "batch reads"]
    k_write: Float[Tensor, "batch 1 width"]
    beta_write: Float[Tensor, "batch 1"]
    e: Float[Tensor, "batch 1 width"]
    v: Float[Tensor, "batch 1 width"]
    free: Float[Tensor, "batch reads 1"]
    g_alloc: Float[Tensor, "batch 1"]
    g_write: Float[Tensor, "batch 1"]
    modes: Float[Tensor, "batch reads 3"]


@final
class DNC(Cell):
    """Differentiable neural computer: an LSTM with a memory that allots its slots.

        h_t, c_t = clip(LSTM([x_t; r_{t-1}], h_{t-1}, c_{t-1}))       the controller
        W_k h_t + b_k: k, beta, free, pi of each reading head; k, beta, e, v, g_a, g_w of the writer

        u = (u + w - u * w) prod (1 - sigmoid(free) w^r)     how used each slot is, by the last w
        a = (1 - u') prod of all u' below it                 u' = 1e-6 + (1 - 1e-6) u, see `_allot`
        w = sigmoid(g_w) (sigmoid(g_a) a + (1 - sigmoid(g_a)) C(k, beta))          where to write
        M(i) = M(i) * (1 - w(i) sigmoid(e)) + w(i) v

        L(i,j) = (1 - w(i) - w(j)) L(i,j) + w(i) p(j)        that i was written next after j;
        p      = (1 - sum w) p + w                           the last written; L(i,i) = 0
        w^r = pi_1 L' w^r + pi_2 L w^r + pi_3 C(k, beta)     back, on, or where alike
        r   = sum_i w^r(i) M(i)                              of each reading head
        y_t = clip(W_y [h_t; r_t] + b_y)

    with C(k, beta) = softmax(S(beta) * cos(k, M)), of the old M to write and of the new one to
    read, S(beta) = 1 + log(1 + exp(beta)), and pi a softmax. Everything starts at 0. A step costs
    O(slots^2), and so does what each keeps for the backward pass: see `--checkpoint`.

    Source: Graves et al. 2016, "Hybrid computing using a neural network with dynamic external
    memory", Nature 538.
    Differs from it: one layer of controller; its three modes of reading in another order; one
    bias to each linear map; clipping, 1e-6 in usage and in the lengths of a cosine, and how
    weights start, as in its authors' code: normal with a deviation of 1/sqrt(columns), none
    beyond two of them; biases start at 0, but at 1 for the LSTM's forget gate. That code has
    `strength="softplus"` and `usage_gradient=False`, which are options here.

    Parameters: 4*(controller or H)*(X + reads*width + (controller or H) + 1)
        + (reads*width + 3*width + 5*reads + 3)*((controller or H) + 1)
        + H*((controller or H) + reads*width + 1)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of each output vector.
        controller: Features of h; 0 for hidden_size.
        slots: Rows of the memory.
        width: Features of each slot.
        reads: Heads that read.
        clip: Largest absolute value of h, c and the output; 0 for any.
        strength: S: "oneplus" as above, or "softplus" without the 1.
        squash: Whether k and v go through tanh.
        usage_gradient: Whether usage hands a gradient on to where was written.
    """

    off_diagonal: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        controller: int = 0,
        slots: int = 16,
        width: int = 16,
        reads: int = 4,
        clip: float = 20.0,
        strength: str = "oneplus",
        squash: bool = False,
        usage_gradient: bool = True,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("controller", controller, low=0)
        options.whole("slots", slots, low=1)
        options.whole("width", width, low=1)
        options.whole("reads", reads, low=1)
        options.real("clip", clip, low=0.0)
        options.choice("strength", strength, ("oneplus", "softplus"))
        options.flag("squash", squash)
        options.flag("usage_gradient", usage_gradient)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.slots, self.width, self.reads = slots, width, reads
        self.clip = clip
        self.least_strength = 1.0 if strength == "oneplus" else 0.0
        self.squash = squash
        self.usage_gradient = usage_gradient
        size = controller or hidden_size
        self.controller = Controller(input_size, reads * width, size)
        self.kinds = [reads * width, reads, width, 1, width, width, reads, 1, 1, 3 * reads]
        self.interface = TruncatedLinear(size, sum(self.kinds))
        self.output = TruncatedLinear(size + reads * width, hidden_size)
        self.register_buffer("off_diagonal", 1 - torch.eye(slots), persistent=False)

    def initial_state(self, batch: int) -> DNCState:
        zeros, n, size = self.output.weight.new_zeros, self.slots, self.interface.in_features
        return DNCState(
            h=zeros(batch, size),
            c=zeros(batch, size),
            read=zeros(batch, self.reads, self.width),
            memory=zeros(batch, n, self.width),
            usage=zeros(batch, n),
            precedence=zeros(batch, n),
            link=zeros(batch, n, n),
            w_write=zeros(batch, n),
            w_read=zeros(batch, self.reads, n),
        )

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch gates"]:
        projected: Tensor = self.controller.project(x)
        return projected

    def step(
        self, p_t: Float[Tensor, "batch gates"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], DNCState]:
        h, c, read, memory, usage, precedence, link, w, w_read = state
        h, c = self.controller(p_t, read.flatten(1), h, c)
        h, c = clipped(h, self.clip), clipped(c, self.clip)
        told = self._told(h)

        usage = self._use(usage, w if self.usage_gradient else w.detach(), w_read, told.free)
        alike = by_content(memory, told.k_write, told.beta_write).squeeze(1)
        w = told.g_write * (told.g_alloc * self._allot(usage) + (1 - told.g_alloc) * alike)
        memory = written(memory, w.unsqueeze(1), told.e, told.v)

        link = self._link(link, w, precedence)
        precedence = (1 - w.sum(-1, keepdim=True)) * precedence + w
        w_read = self._find(memory, link, w_read, told)
        read = torch.bmm(w_read, memory)
        y = clipped(self.output(torch.cat([h, read.flatten(1)], dim=-1)), self.clip)
        return y, DNCState(h, c, read, memory, usage, precedence, link, w, w_read)

    def _told(self, h: Float[Tensor, "batch controller"]) -> Interface:
        raw = torch.split(self.interface(h), self.kinds, dim=-1)
        k_read, beta_read, k_write, beta_write, e, v, free, g_alloc, g_write, modes = raw
        if self.squash:
            k_read, k_write, v = torch.tanh(k_read), torch.tanh(k_write), torch.tanh(v)
        return Interface(
            k_read=k_read.view(-1, self.reads, self.width),
            beta_read=functional.softplus(beta_read) + self.least_strength,
            k_write=k_write.unsqueeze(1),
            beta_write=functional.softplus(beta_write) + self.least_strength,
            e=torch.sigmoid(e).unsqueeze(1),
            v=v.unsqueeze(1),
            free=torch.sigmoid(free).unsqueeze(-1),
            g_alloc=torch.sigmoid(g_alloc),
            g_write=torch.sigmoid(g_write),
            modes=torch.softmax(modes.view(-1, self.reads, 3), dim=-1),
        )

    def _use(
        self,
        usage: Float[Tensor, "batch slots"],
        w: Float[Tensor, "batch slots"],
        w_read: Float[Tensor, "batch reads slots"],
        free: Float[Tensor, "batch reads 1"],
    ) -> Float[Tensor, "batch slots"]:
        """Return the usage after the last write, and after what was read then was set free."""
        usage = usage + w - usage * w
        for freed in (free * w_read).unbind(1):
            usage = usage * (1 - freed)
        return usage

    def _allot(self, usage: Float[Tensor, "batch slots"]) -> Float[Tensor, "batch slots"]:
        """Return how free each slot is, if all that are freer were full: of equals, the first."""
        usage = LEAST_USAGE + (1 - LEAST_USAGE) * usage
        ascending, order = torch.sort(usage, dim=-1, stable=True)
        full = torch.cumprod(ascending, dim=-1)
        before = torch.cat([torch.ones_like(full[:, :1]), full[:, :-1]], dim=-1)
        return ((1 - ascending) * before).gather(-1, order.argsort(dim=-1))

    def _link(
        self,
        link: Float[Tensor, "batch slots slots"],
        w: Float[Tensor, "batch slots"],
        precedence: Float[Tensor, "batch slots"],
    ) -> Float[Tensor, "batch slots slots"]:
        i, j = w.unsqueeze(2), w.unsqueeze(1)
        link = (1 - i - j) * link + i * precedence.unsqueeze(1)
        return link * self.off_diagonal

    def _find(
        self,
        memory: Float[Tensor, "batch slots width"],
        link: Float[Tensor, "batch slots slots"],
        w_read: Float[Tensor, "batch reads slots"],
        told: Interface,
    ) -> Float[Tensor, "batch reads slots"]:
        """Return where every reading head is now, from where it was."""
        alike = by_content(memory, told.k_read, told.beta_read)
        back, on = torch.bmm(w_read, link), torch.bmm(w_read, link.transpose(1, 2))
        pi = told.modes.unsqueeze(-1).unbind(2)
        return pi[0] * back + pi[1] * on + pi[2] * alike
