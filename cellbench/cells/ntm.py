"""NTM: a neural Turing machine, whose heads find their place by content and by moving."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.addressing import by_content, sharpened, shifted, written
from cellbench.cells.base import Cell, State
from cellbench.cells.controller import Controller, clipped
from cellbench.cells.truncated_linear import TruncatedLinear

BLANK = 1e-6
"""What the memory holds before the first step."""


class NTMState(NamedTuple):
    """What NTM remembers: h and c, what was read, where its heads are, readers first, and M."""

    h: Float[Tensor, "batch controller"]
    c: Float[Tensor, "batch controller"]
    reads: Float[Tensor, "batch reads width"]
    w: Float[Tensor, "batch heads slots"]
    memory: Float[Tensor, "batch slots width"]


@final
class NTM(Cell):
    """Neural Turing machine: an LSTM with heads that read and write a memory.

        h_t, c_t = LSTM([x_t; r_{t-1}], h_{t-1}, c_{t-1})    the controller
        k, beta, g, s, gamma, e, a = clip(W_k h_t + b_k)     of every head; e, a if it writes

        w^c  = softmax(softplus(beta) * cos(tanh(k), M))     where the content is alike
        w^g  = sigmoid(g) * w^c + (1 - sigmoid(g)) * w       or where the head was
        w^s  = sum_o softmax(s)_o w^g(i - o)                 moved on by -shift, ..., shift
        w(i) = w^s(i)^gamma' / sum_j w^s(j)^gamma'           gamma' = 1 + softplus(gamma)

        M(i) = M(i) * prod (1 - w(i) sigmoid(e)) + sum w(i) tanh(a)     over heads that write
        r    = sum_i w(i) M(i)                               of every head that reads
        y_t  = clip(W_y [h_t; r_t] + b_y)

    All heads find their place in the memory as it was; what they read is the new memory, or
    (`read_from="old"`) that one too. w sums to 1 from the start, which is learned, as is the
    first r: w = softmax(w_0), r = tanh(r_0). The memory starts at 1e-6 everywhere.

    Source: Graves, Wayne & Danihelka 2014, "Neural Turing Machines", arXiv:1410.5401; with the
    recipe of Collier & Beel 2018, "Implementing Neural Turing Machines", arXiv:1807.08518.
    Differs from it: fewer slots by default than their 128. From the first source: tanh, sigmoid,
    softmax and softplus at the places above, of which it only says in what range the results
    are; 1e-6 in the lengths of a cosine; clipping. From the second: the memory's start is not
    learned, reading comes after writing, and the LSTM starts as all other weights do: normal
    with a deviation of 1/sqrt(columns), none beyond two of them; biases start at 0, but at 1
    for its forget gate.

    Parameters: 4*(controller or H)*(X + reads*width + (controller or H) + 1)
        + ((reads + writes)*(width + 2*shift + 4) + 2*writes*width)*((controller or H) + 1)
        + H*((controller or H) + reads*width + 1) + (reads + writes)*slots + reads*width

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of each output vector.
        controller: Features of h; 0 for hidden_size.
        slots: Rows of the memory, more than 2 * shift.
        width: Features of each slot.
        reads: Heads that read.
        writes: Heads that write.
        shift: How many slots a head may move on or back in a step.
        clip: Largest absolute value of what the heads are told and of the output; 0 for any.
        read_from: What is read: the "new" memory or the "old".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        controller: int = 0,
        slots: int = 32,
        width: int = 20,
        reads: int = 1,
        writes: int = 1,
        shift: int = 1,
        clip: float = 20.0,
        read_from: str = "new",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("controller", controller, low=0)
        options.whole("slots", slots, low=1)
        options.whole("width", width, low=1)
        options.whole("reads", reads, low=1)
        options.whole("writes", writes, low=1)
        options.whole_up_to("shift", shift, low=0, high=(slots - 1) // 2, of="(slots-1)//2")
        options.real("clip", clip, low=0.0)
        options.choice("read_from", read_from, ("new", "old"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.slots, self.width, self.reads, self.writes = slots, width, reads, writes
        self.clip = clip
        self.read_new = read_from == "new"
        heads, size = reads + writes, controller or hidden_size
        self.controller = Controller(input_size, reads * width, size)
        # One linear map tells all heads everything, kind by kind.
        self.kinds = [heads * width, heads, heads, heads * (2 * shift + 1), heads]
        self.kinds += [writes * width, writes * width]
        self.interface = TruncatedLinear(size, sum(self.kinds))
        self.output = TruncatedLinear(size + reads * width, hidden_size)
        self.w_start = nn.Parameter(_published(heads, slots))
        self.reads_start = nn.Parameter(_published(reads, width))

    def initial_state(self, batch: int) -> NTMState:
        new = self.w_start.new_full
        size = (batch, self.interface.in_features)
        return NTMState(
            h=new(size, 0.0),
            c=new(size, 0.0),
            reads=torch.tanh(self.reads_start).expand(batch, -1, -1),
            w=torch.softmax(self.w_start, dim=-1).expand(batch, -1, -1),
            memory=new((batch, self.slots, self.width), BLANK),
        )

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch gates"]:
        projected: Tensor = self.controller.project(x)
        return projected

    def step(
        self, p_t: Float[Tensor, "batch gates"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], NTMState]:
        h, c, reads, w, old = state
        h, c = self.controller(p_t, reads.flatten(1), h, c)
        *place, e, a = torch.split(clipped(self.interface(h), self.clip), self.kinds, dim=-1)
        w = self._find(old, w, place)
        w_read, w_write = torch.split(w, [self.reads, self.writes], dim=1)
        e, a = (part.view(-1, self.writes, self.width) for part in (e, a))
        new = written(old, w_write, torch.sigmoid(e), torch.tanh(a))
        reads = torch.bmm(w_read, new if self.read_new else old)
        y = clipped(self.output(torch.cat([h, reads.flatten(1)], dim=-1)), self.clip)
        return y, NTMState(h, c, reads, w, new)

    def _find(
        self,
        memory: Float[Tensor, "batch slots width"],
        w: Float[Tensor, "batch heads slots"],
        place: list[Float[Tensor, "batch _"]],
    ) -> Float[Tensor, "batch heads slots"]:
        """Return where every head is now, from where it was."""
        k, beta, g, s, gamma = place
        heads, g = self.reads + self.writes, torch.sigmoid(g).unsqueeze(-1)
        keys = torch.tanh(k).view(-1, heads, self.width)
        alike = by_content(memory, keys, functional.softplus(beta))
        w = g * alike + (1 - g) * w
        w = shifted(w, torch.softmax(s.view(-1, heads, s.shape[-1] // heads), dim=-1))
        return sharpened(w, 1 + functional.softplus(gamma))


def _published(rows: int, columns: int) -> Float[Tensor, "{rows} {columns}"]:
    """Draw from U(-b, b) with b^2 = 6 / (1 + columns): each row a layer from a single 1."""
    bound = (6 / (1 + columns)) ** 0.5
    return torch.empty(rows, columns).uniform_(-bound, bound)
