import math

import pytest
import torch
from cell_parity import (
    FORMULAS,
    LN_3,
    assert_same,
    draw,
    foreign,
    parameter_count,
    sigmoids_first,
    with_weights,
)
from controllers import BY_HAND, END, START, assert_starts_truncated, lstm, set_weights
from torch import Tensor, nn

from cellbench.cells.dnc import DNC, DNCState
from cellbench.errors import OptionError
from cellbench.unroll import unroll

SMALL = {"slots": 5, "width": 3, "reads": 2}


def state_of(cell: DNC) -> list[Tensor]:
    """Draw a state as it may come about, no part of it 0 but the diagonal of the link."""
    shapes = [tuple(part.shape) for part in cell.initial_state(2)]
    h, c, read, memory, usage, p, link, w, w_read = (
        draw(*shape, seed=n) for n, shape in enumerate(shapes, start=30)
    )
    p, w, w_read = (torch.softmax(part, dim=-1) * 0.8 for part in (p, w, w_read))
    link = torch.softmax(link, dim=-1) * 0.2 * (1 - torch.eye(cell.slots).double())
    return [h, c, read, memory, torch.sigmoid(usage), p, link, w, w_read]


class Package:
    """The memory of the package dnc, driven by an LSTM of torch."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        memory = foreign("dnc.memory").Memory
        memory = memory(4, mem_size=5, cell_size=3, read_heads=2, independent_linears=False)
        self.parts = nn.ModuleDict(
            {"lstm": nn.LSTMCell(3 + 6, 4), "memory": memory, "output": nn.Linear(4 + 6, 4)}
        ).double()
        for parameter in self.parts.parameters():
            nn.init.normal_(parameter, std=0.5)

    def run(self, x, state):
        h, c, read, memory, usage, precedence, link, w, w_read = state
        hidden = {
            "memory": memory,
            "usage_vector": usage,
            "precedence": precedence.unsqueeze(1),
            "link_matrix": link.unsqueeze(1),
            "write_weights": w.unsqueeze(1),
            "read_weights": w_read,
        }
        outputs = []
        for x_t in x:
            h, c = self.parts["lstm"](torch.cat([x_t, read.flatten(1)], dim=1), (h, c))
            read, hidden = self.parts["memory"](h, dict(hidden))
            outputs.append(self.parts["output"](torch.cat([h, read.flatten(1)], dim=1)))
        last = (hidden["memory"], hidden["usage_vector"], hidden["precedence"].squeeze(1))
        last += (hidden["link_matrix"].squeeze(1), hidden["write_weights"].squeeze(1))
        return torch.stack(outputs), (h, c, read, *last, hidden["read_weights"])

    def weights(self) -> dict[str, Tensor]:
        lstm_cell, told = self.parts["lstm"], self.parts["memory"].interface_weights
        by_input = sigmoids_first(lstm_cell.weight_ih)  # reads [x; r]
        return {
            "controller.weight_x": by_input[:, :3],
            "controller.weight_h": torch.cat(
                [by_input[:, 3:], sigmoids_first(lstm_cell.weight_hh)], dim=1
            ),
            "controller.bias": sigmoids_first(lstm_cell.bias_ih + lstm_cell.bias_hh),
            "interface.weight": told.weight,
            "interface.bias": told.bias,
            "output.weight": self.parts["output"].weight,
            "output.bias": self.parts["output"].bias,
        }


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_its_memory_is_that_of_the_package_dnc(time: int) -> None:
    """But for the millionth in a cosine, which is added to the product of the lengths there."""
    theirs = Package()
    cell = DNC(3, 4, **SMALL, strength="softplus", squash=True).double()
    ours = with_weights(cell, theirs.weights())
    assert_same(
        lambda x, state: ours(x, DNCState(*state)),
        theirs.run,
        draw(time, 2, 3),
        state_of(cell),
        theirs.parts.parameters(),
        cell="dnc",
        against="dnc: memory.Memory",
        tolerance=1e-5,
    )


def oneplus(x: Tensor) -> Tensor:
    return 1 + (1 + x.exp()).log()


def content(memory: Tensor, k: Tensor, beta: Tensor) -> Tensor:
    """Weigh the slots by their cosine, one at a time."""
    powers = []
    for slot in memory:
        lengths = (slot @ slot + 1e-6).sqrt() * (k @ k + 1e-6).sqrt()
        powers.append((beta * (slot @ k) / lengths).exp())
    return torch.stack(powers) / sum(powers)


def allotted(usage: Tensor) -> Tensor:
    """Walk through the slots from the freest on."""
    free, left = {}, 1.0
    usage = [1e-6 + (1 - 1e-6) * u for u in usage]
    for slot in sorted(range(len(usage)), key=lambda slot: usage[slot].item()):
        free[slot], left = (1 - usage[slot]) * left, left * usage[slot]
    return torch.stack([free[slot] for slot in range(len(usage))])


def written_out(weights: dict[str, Tensor], x, state, options: dict[str, object]):
    """Write the paper's formulas out: a sequence, a head and an entry of the link at a time."""
    slots, width, reads = (options[name] for name in ("slots", "width", "reads"))
    clip, strength = options.get("clip", 20.0), options.get("strength", oneplus)
    squash = torch.tanh if options.get("squash") else lambda v: v
    sequences = []
    for b in range(x.shape[1]):
        h, c, read, memory, usage, p, link, w, w_read = (part[b] for part in state)
        outputs = []
        for x_t in x[:, b]:
            h, c = lstm(weights, torch.cat([x_t, read.flatten()]), h, c)
            h, c = h.clamp(-clip, clip), c.clamp(-clip, clip)
            xi = weights["interface.weight"] @ h + weights["interface.bias"]
            k_r, xi = xi[: reads * width].view(reads, width), xi[reads * width :]
            beta_r, xi = xi[:reads], xi[reads:]
            k_w, beta_w, xi = xi[:width], xi[width], xi[width + 1 :]
            e, v, xi = xi[:width], xi[width : 2 * width], xi[2 * width :]
            free, g_a, g_w, xi = xi[:reads], xi[reads], xi[reads + 1], xi[reads + 2 :]
            modes = xi.view(reads, 3).exp()

            kept = torch.ones_like(usage)
            for head in range(reads):
                kept = kept * (1 - free[head].sigmoid() * w_read[head])
            usage = (usage + w - usage * w) * kept
            alike = content(memory, squash(k_w), strength(beta_w))
            g_a, g_w = g_a.sigmoid(), g_w.sigmoid()
            w = g_w * (g_a * allotted(usage) + (1 - g_a) * alike)
            memory = memory * (1 - torch.outer(w, e.sigmoid())) + torch.outer(w, squash(v))
            rows = []
            for i in range(slots):
                row = [(1 - w[i] - w[j]) * link[i, j] + w[i] * p[j] for j in range(slots)]
                row[i] = torch.zeros_like(row[i])
                rows.append(torch.stack(row))
            link = torch.stack(rows)
            p = (1 - w.sum()) * p + w
            heads = []
            for head in range(reads):
                back, on, same = modes[head] / modes[head].sum()
                alike = content(memory, squash(k_r[head]), strength(beta_r[head]))
                heads.append(
                    back * (link.t() @ w_read[head]) + on * (link @ w_read[head]) + same * alike
                )
            w_read = torch.stack(heads)
            read = w_read @ memory
            y = weights["output.weight"] @ torch.cat([h, read.flatten()]) + weights["output.bias"]
            outputs.append(y.clamp(-clip, clip))
        sequences.append((torch.stack(outputs), h, c, read, memory, usage, p, link, w, w_read))
    y, *last = zip(*sequences, strict=True)
    return torch.stack(y, 1), tuple(torch.stack(part) for part in last)


@pytest.mark.parametrize(
    ("options", "time"),
    [*(({}, time) for time in (1, 2, 7, 64)), *(({"clip": 0.3}, time) for time in (1, 2, 7))],
    ids=str,
)
def test_it_is_the_formula_of_the_paper(options: dict[str, object], time: int) -> None:
    cell = DNC(3, 4, controller=5, **SMALL, **options).double()
    weights = {
        name: (0.4 * draw(*weight.shape, seed=n)).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }
    ours = with_weights(cell, weights)
    assert_same(
        lambda x, state: ours(x, DNCState(*state)),
        lambda x, state: written_out(weights, x, state, SMALL | options),
        draw(time, 2, 3),
        state_of(cell),
        weights.values(),
        cell="dnc",
        against=FORMULAS,
    )


def test_one_step_by_hand() -> None:
    """The controller comes to h = 1/8, see `BY_HAND`. Millionths are left out.

    Usage (1/2, 1/4), last written by (1/2, 1/2): (3/4, 5/8); of what was read, by (1/3, 2/3),
    3/4 is set free: (9/16, 5/16). So slot 1 is the freer, by 11/16, slot 0 by 7/16 * 5/16.
    The key -1 has cosines (-1, 1) with the memory (2, -1); at strength ln 3, (1, 9) / 10.
    With g_a = 1/4, g_w = 3/4:

        w_0 = 3/4 (1/4 * 35/256 + 3/4 * 1/10)    w_1 = 3/4 (1/4 * 11/16 + 3/4 * 9/10)

    3/4 is erased, and -2 added. Of the link (0, 1/2; 1/4, 0) and precedence (1/4, 1/2), with
    k = 1 - w_0 - w_1,

        L(0,1) = k/2 + w_0/2    L(1,0) = k/4 + w_1/4    p = k (1/4, 1/2) + w.

    Modes (1, 2, 3) / 6: back along L(1,0) 2/3 and L(0,1) 1/3, on along L(0,1) 2/3 and L(1,0) 1/3;
    the key 1 has cosines (1, -1); at strength ln 9, (81, 1) / 82. Then y = 8 h + 2 r - 1.
    """
    cell = DNC(1, 1, slots=2, width=1, reads=1).double()
    told = [1, math.log(9 / math.e - 1)]  # key and strength to read by: 1 + softplus = ln 9
    told += [-1, math.log(3 / math.e - 1)]  # and to write by
    told += [LN_3, -2, LN_3, -LN_3, LN_3]  # e, v, free, g_a, g_w
    told += [0, math.log(2), LN_3]
    told = {"weight": [4 * raw for raw in told], "bias": [raw / 2 for raw in told]}
    told = {f"interface.{name}": values for name, values in told.items()}
    set_weights(cell, BY_HAND | told | {"output.weight": [8, 2], "output.bias": [-1]})
    start = {name: [value] for name, value in START.items()}
    start |= {"read": [[1]], "memory": [[2], [-1]], "usage": [1 / 2, 1 / 4]}
    start |= {"precedence": [1 / 4, 1 / 2], "link": [[0, 1 / 2], [1 / 4, 0]]}
    start |= {"w_write": [1 / 2, 1 / 2], "w_read": [[1 / 3, 2 / 3]]}
    start = {name: torch.tensor([value], dtype=torch.float64) for name, value in start.items()}

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), DNCState(**start))

    w = [3 / 4 * (35 / 1024 + 3 / 40), 3 / 4 * (11 / 64 + 27 / 40)]
    memory = [2 * (1 - 3 / 4 * w[0]) - 2 * w[0], -(1 - 3 / 4 * w[1]) - 2 * w[1]]
    k = 1 - w[0] - w[1]
    links = [k / 2 + w[0] / 2, k / 4 + w[1] / 4]
    at = [
        links[1] * 2 / 3 / 6 + links[0] * 2 / 3 / 3 + 81 / 82 / 2,
        links[0] * 1 / 3 / 6 + links[1] * 1 / 3 / 3 + 1 / 82 / 2,
    ]
    read = at[0] * memory[0] + at[1] * memory[1]
    expected = {"h": [END[0]], "c": [END[1]], "read": [read], "memory": memory}
    expected |= {"usage": [9 / 16, 5 / 16], "precedence": [k / 4 + w[0], k / 2 + w[1]]}
    expected |= {"link": [0.0, links[0], links[1], 0.0], "w_write": w, "w_read": at}
    found = {name: part.flatten().tolist() for name, part in last._asdict().items()}
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(y.item(), 2 * read, rtol=1e-5, atol=1e-5)


def test_it_reads_on_and_back_in_the_order_it_wrote_in() -> None:
    """Input 1 writes where nothing was, each time at another slot; input -1 does not write."""
    cell = DNC(1, 1, slots=5, width=2, reads=2).double()
    sure = 1000.0
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.controller.weight_x[3] = sure  # g, and so the sign of h
        cell.controller.bias[:] = torch.tensor([sure, -sure, sure, 0])
        # Of each head two features of key, and a strength; then key, strength, e, v.
        cell.interface.bias[13:16] = torch.tensor([-sure, -sure, sure])  # free, g_a
        cell.interface.weight[16] = sure  # g_w
        cell.interface.bias[17:] = sure * torch.tensor([0, 1, 0, 1, 0, 0])  # on; back
    state, order = cell.initial_state(1), []
    for x_t in cell.project(torch.ones(3, 1, 1).double()):
        _, state = cell.step(x_t, state)
        order.append(state.w_write[0])
    first, second, third = order
    state, found = state._replace(w_read=torch.stack([first, third]).unsqueeze(0)), []
    for x_t in cell.project(-torch.ones(2, 1, 1).double()):
        _, state = cell.step(x_t, state)
        found.append(state.w_read[0])
    expected = torch.stack([torch.stack([second, second]), torch.stack([third, first])])

    torch.testing.assert_close(
        torch.stack(order).amax(1), torch.ones(3).double(), rtol=0, atol=1e-5
    )
    assert len({w.argmax().item() for w in order}) == 3
    torch.testing.assert_close(torch.stack(found), expected, rtol=0, atol=1e-5)


def test_all_that_is_a_share_stays_one() -> None:
    torch.manual_seed(0)
    cell = DNC(3, 4, slots=6, width=3).double()
    with torch.no_grad():
        cell.interface.weight.mul_(10)
    state = cell.initial_state(2)
    assert not any(part.any() for part in state)
    for x_t in cell.project(3 * draw(40, 2, 3)):
        _, state = cell.step(x_t, state)
        shares = [state.w_write, state.w_read, state.precedence, state.link, state.link.mT]
        assert all((part.sum(-1) <= 1 + 1e-12).all() for part in shares)
        assert all((part >= -1e-12).all() for part in [*shares, state.usage])
        assert (state.usage <= 1 + 1e-12).all()
        assert not state.link.diagonal(dim1=1, dim2=2).any()


def test_usage_hands_its_gradient_on_only_if_asked_to() -> None:
    cells = [DNC(3, 4, **SMALL, usage_gradient=passes).double() for passes in (True, False)]
    cells[1].load_state_dict(cells[0].state_dict())
    start, x = DNCState(*state_of(cells[0])), draw(1, 2, 3)
    start.w_write.requires_grad_()
    ends = [unroll(cell, x, start)[1] for cell in cells]
    first, second = (
        torch.autograd.grad(end.usage.sum(), start.w_write, materialize_grads=True)[0]
        for end in ends
    )

    torch.testing.assert_close(ends[0], ends[1])
    assert first.all()
    assert not second.any()


def test_it_starts_as_published() -> None:
    torch.manual_seed(0)
    cell = DNC(20, 50, controller=40, width=12, reads=5)
    both = torch.cat([cell.controller.weight_x, cell.controller.weight_h], dim=1)
    assert_starts_truncated(both, 20 + 60 + 40)
    assert_starts_truncated(cell.interface.weight, 40)
    assert_starts_truncated(cell.output.weight, 40 + 60)

    assert cell.controller.bias.tolist() == [0.0] * 40 + [1.0] * 40 + [0.0] * 80
    assert not cell.interface.bias.any()
    assert not cell.output.bias.any()


def test_parameter_count() -> None:
    """The LSTM; an interface vector of W R + 3 W + 5 R + 3, as published; the output."""
    cell = DNC(7, 11, controller=9, slots=8, width=4, reads=2)

    assert cell.interface.out_features == 4 * 2 + 3 * 4 + 5 * 2 + 3
    assert parameter_count(cell) == 36 * (7 + 8 + 9 + 1) + 33 * 10 + 11 * 18
    assert DNC(7, 11).interface.in_features == 11


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"controller": -1}, "controller must be a whole number of at least 0"),
        ({"slots": 0}, "slots must be a whole number of at least 1"),
        ({"width": 0}, "width must be a whole number of at least 1"),
        ({"reads": 0}, "reads must be a whole number of at least 1"),
        ({"clip": -1.0}, "clip must be a number of at least 0"),
        ({"strength": "exp"}, "strength must be one of oneplus, softplus"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        DNC(3, 4, **options)
