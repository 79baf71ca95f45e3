"""MANN: an LSTM with a memory that is written where it was used least, or read last."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.addressing import cosine
from cellbench.cells.base import Cell, State
from cellbench.cells.controller import Controller
from cellbench.cells.truncated_linear import TruncatedLinear


class MANNState(NamedTuple):
    """What MANN remembers: h and c, what was read and where, its memory, and how used that is."""

    h: Float[Tensor, "batch controller"]
    c: Float[Tensor, "batch controller"]
    read: Float[Tensor, "batch heads width"]
    w_read: Float[Tensor, "batch heads slots"]
    memory: Float[Tensor, "batch slots width"]
    usage: Float[Tensor, "batch slots"]


@final
class MANN(Cell):
    """Memory-augmented network with least recently used access (LRUA).

        h_t, c_t = LSTM([x_t; r_{t-1}], h_{t-1}, c_{t-1})     the controller
        k   = tanh(W_k h_t + b_k), alpha = W_a h_t + b_a      of each head
        w^w = sigmoid(alpha) w^r + (1 - sigmoid(alpha)) w^lu  where it was read last, or not used

        M(i) = M(i) + sum w^w(i) k                            the least used slot made 0 before
        w^r = softmax(cos(k, M))                              in the new memory, by content only
        r   = sum_i w^r(i) M(i)
        w^u = decay w^u + sum w^r + sum w^w                   how used each slot is
        y_t = W_y [h_t; r_t] + b_y

    Sums without an index are over heads, each of which writes and then reads. w^lu is 1 at the
    slots that are used least by the old w^u, as many as there are heads, and 0 elsewhere; of
    equals, those that come first. Which slots these are has no gradient. All starts at 0.

    Source: Santoro et al. 2016, "One-shot Learning with Memory-Augmented Neural Networks",
    arXiv:1605.06065.
    Differs from it: fewer and smaller slots by default than its 128 of 40; where several slots
    are used equally little, w^lu takes no more than it should; tanh of a key; 1e-6 in the
    lengths of a cosine; all weights start normal with a deviation of 1/sqrt(columns), none
    beyond two of them, biases at 0, but at 1 for the LSTM's forget gate. It calls alpha a gate
    parameter: here the controller gives one to each head, and `gate="learned"` makes it one
    number that is learned.

    Parameters: 4*(controller or H)*(X + heads*width + (controller or H) + 1)
        + (heads*width + (gate == "told")*heads)*((controller or H) + 1) + (gate == "learned")
        + H*((controller or H) + heads*width + 1)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of each output vector.
        controller: Features of h; 0 for hidden_size.
        slots: Rows of the memory, at least `heads`.
        width: Features of each slot.
        heads: How many read, and write.
        decay: Share of its usage that a slot keeps in a step.
        gate: alpha: "told" by the controller or "learned".
        least_used: What w^lu is to a head: "all" of those slots, or "own": the n-th least used
            slot to the n-th head.
    """

    places: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        controller: int = 0,
        slots: int = 32,
        width: int = 16,
        heads: int = 4,
        decay: float = 0.95,
        gate: str = "told",
        least_used: str = "all",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("controller", controller, low=0)
        options.whole("slots", slots, low=1)
        options.whole("width", width, low=1)
        options.whole_up_to("heads", heads, low=1, high=slots, of="slots")
        options.real("decay", decay, low=0.0, below=1.0)
        options.choice("gate", gate, ("told", "learned"))
        options.choice("least_used", least_used, ("all", "own"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.slots, self.width, self.heads = slots, width, heads
        self.decay = decay
        self.own = least_used == "own"
        size = controller or hidden_size
        self.controller = Controller(input_size, heads * width, size)
        told = heads * width + (heads if gate == "told" else 0)
        self.interface = TruncatedLinear(size, told)  # k, then alpha
        self.alpha = nn.Parameter(torch.zeros(1)) if gate == "learned" else None
        self.output = TruncatedLinear(size + heads * width, hidden_size)
        self.register_buffer("places", torch.arange(slots), persistent=False)

    def initial_state(self, batch: int) -> MANNState:
        zeros, n, size = self.output.weight.new_zeros, self.slots, self.interface.in_features
        return MANNState(
            h=zeros(batch, size),
            c=zeros(batch, size),
            read=zeros(batch, self.heads, self.width),
            w_read=zeros(batch, self.heads, n),
            memory=zeros(batch, n, self.width),
            usage=zeros(batch, n),
        )

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch gates"]:
        projected: Tensor = self.controller.project(x)
        return projected

    def step(
        self, p_t: Float[Tensor, "batch gates"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MANNState]:
        h, c, read, w_read, memory, usage = state
        h, c = self.controller(p_t, read.flatten(1), h, c)
        k, told = self.interface(h).tensor_split([self.heads * self.width], dim=-1)
        k = torch.tanh(k).view(-1, self.heads, self.width)
        gate = torch.sigmoid(told if self.alpha is None else self.alpha).unsqueeze(-1)

        least = self._least_used(usage)
        w_write = gate * w_read + (1 - gate) * (least if self.own else least.sum(1, keepdim=True))
        memory = torch.baddbmm(memory * (1 - least[:, 0]).unsqueeze(-1), w_write.transpose(1, 2), k)
        w_read = torch.softmax(cosine(memory, k), dim=-1)
        read = torch.bmm(w_read, memory)
        usage = self.decay * usage + w_read.sum(1) + w_write.sum(1)
        y = self.output(torch.cat([h, read.flatten(1)], dim=-1))
        return y, MANNState(h, c, read, w_read, memory, usage)

    def _least_used(
        self, usage: Float[Tensor, "batch slots"]
    ) -> Float[Tensor, "batch heads slots"]:
        """Return a 1 at the slot used least, another one at the next, and so on."""
        order = torch.sort(usage, dim=-1, stable=True).indices[:, : self.heads]
        return (order.unsqueeze(-1) == self.places).to(usage)
