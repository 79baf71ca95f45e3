import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from controllers import BY_HAND, END, START, assert_starts_truncated, lstm, set_weights
from torch import Tensor

from cellbench.cells.ntm import NTM, NTMState
from cellbench.errors import OptionError
from cellbench.unroll import unroll

SMALL = {"slots": 6, "width": 3}
LARGER = dict(SMALL, controller=5, reads=2, writes=2, shift=2, clip=0.4, read_from="old")


def softplus(x: Tensor) -> Tensor:
    return (1 + x.exp()).log()


def cut(stacked: Tensor, heads: int, features: int) -> tuple[list[Tensor], Tensor]:
    """Take the first `heads` vectors of `features` off."""
    own, rest = stacked[: heads * features], stacked[heads * features :]
    return [own[n * features : (n + 1) * features] for n in range(heads)], rest


def written_out(weights: dict[str, Tensor], x, state, options: dict[str, object]):
    """Write the formulas out: a sequence, a head and a slot at a time."""
    reads, writes = options.get("reads", 1), options.get("writes", 1)
    slots, width, r = options["slots"], options["width"], options.get("shift", 1)
    clip = options.get("clip", 20.0)
    sequences = []
    for b in range(x.shape[1]):
        h, c, read, w, memory = (part[b] for part in state)
        outputs = []
        for x_t in x[:, b]:
            h, c = lstm(weights, torch.cat([x_t, read.flatten()]), h, c)
            rest = weights["interface.weight"] @ h + weights["interface.bias"]
            rest = rest.clamp(-clip, clip)
            keys, rest = cut(rest, reads + writes, width)
            betas, rest = cut(rest, reads + writes, 1)
            gates, rest = cut(rest, reads + writes, 1)
            shifts, rest = cut(rest, reads + writes, 2 * r + 1)
            gammas, rest = cut(rest, reads + writes, 1)
            erases, rest = cut(rest, writes, width)
            adds, rest = cut(rest, writes, width)
            assert not len(rest)
            places = []
            for n in range(reads + writes):
                k = keys[n].tanh()
                alike = []
                for m in range(slots):
                    lengths = (memory[m] @ memory[m] + 1e-6) * (k @ k + 1e-6)
                    alike.append((softplus(betas[n]) * (k @ memory[m]) / lengths.sqrt()).exp())
                gate = gates[n].sigmoid()
                mixed = [gate * alike[m] / sum(alike) + (1 - gate) * w[n, m] for m in range(slots)]
                s = shifts[n].exp() / shifts[n].exp().sum()
                moved = [
                    sum(s[offset + r] * mixed[(m - offset) % slots] for offset in range(-r, r + 1))
                    for m in range(slots)
                ]
                powers = torch.cat(moved) ** (1 + softplus(gammas[n]))
                places.append(powers / powers.sum())
            w = torch.stack(places)
            old, new = memory, []
            for m in range(slots):
                slot = memory[m]
                for n in range(writes):
                    slot = slot * (1 - places[reads + n][m] * erases[n].sigmoid())
                new.append(slot + sum(places[reads + n][m] * adds[n].tanh() for n in range(writes)))
            memory = torch.stack(new)
            source = old if options.get("read_from") == "old" else memory
            read = torch.stack([places[n] @ source for n in range(reads)])
            y = weights["output.weight"] @ torch.cat([h, read.flatten()]) + weights["output.bias"]
            outputs.append(y.clamp(-clip, clip))
        sequences.append((torch.stack(outputs), h, c, read, w, memory))
    y, *last = zip(*sequences, strict=True)
    return torch.stack(y, 1), tuple(torch.stack(part) for part in last)


@pytest.mark.parametrize(
    ("options", "time"),
    [*((SMALL, time) for time in (1, 2, 7, 64)), *((LARGER, time) for time in (1, 2, 7))],
    ids=str,
)
def test_it_is_the_formula_of_the_paper(options: dict[str, object], time: int) -> None:
    cell = NTM(3, 4, **options).double()
    weights = {
        name: (0.5 * draw(*weight.shape, seed=n)).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }
    shapes = [tuple(part.shape) for part in cell.initial_state(2)]
    state = [draw(*shape, seed=n) for n, shape in enumerate(shapes, start=20)]
    state[3] = torch.softmax(state[3], dim=-1)
    ours = with_weights(cell, weights)
    assert_same(
        lambda x, state: ours(x, NTMState(*state)),
        lambda x, state: written_out(weights, x, state, options),
        draw(time, 2, 3),
        state,
        weights.values(),
        cell="ntm",
        against=FORMULAS,
    )


def test_one_step_by_hand() -> None:
    """The controller comes to h = 1/8, see `BY_HAND`. Memory (2, -1, 4). The reading head is told

    k = tanh(ln 3 / 2) = 1/2, so its cosines are 1, -1, 1; strength softplus = ln 3 / 2:
    w^c = (3, 1, 3) / 7;  gate 3/4, and it was at (1, 0, 0):  w^g = (16, 3, 9) / 28;
    moves (3, 1, 2) / 6 by -1, 0, 1:    w^s = (9 + 16 + 18, 27 + 3 + 32, 48 + 9 + 6) / 168;
    power 2:  w = (43^2, 62^2, 63^2) / 9662.

    That which writes: k = -1/2, strength ln 3: (1, 9, 1) / 11; gate 1/4, at (0, 0, 1):
    (1, 9, 34) / 44; moves (1, 1, 2) / 4: (78, 45, 53) / 176; power 3:
    w = (474552, 91125, 148877) / 714554; it erases 3/4 and adds 1/2. Then y = 8 h + 2 r - 1.
    """
    cell = NTM(1, 1, slots=3, width=1).double()
    told = [LN_3 / 2, -LN_3 / 2]  # k
    told += [math.log(math.sqrt(3) - 1), math.log(2)]  # softplus ln 3 / 2, ln 3
    told += [LN_3, -LN_3]
    told += [LN_3, 0, math.log(2), 0, 0, math.log(2)]
    told += [math.log(math.e - 1), math.log(math.e**2 - 1)]  # softplus 1, 2
    told += [LN_3, LN_3 / 2]
    told = {"weight": [4 * raw for raw in told], "bias": [raw / 2 for raw in told]}
    told = {f"interface.{name}": values for name, values in told.items()}
    set_weights(cell, BY_HAND | told | {"output.weight": [8, 2], "output.bias": [-1]})
    start = NTMState(
        h=torch.full((1, 1), START["h"]).double(),
        c=torch.full((1, 1), START["c"]).double(),
        reads=torch.ones(1, 1, 1).double(),
        w=torch.tensor([[[1.0, 0, 0], [0, 0, 1]]]).double(),
        memory=torch.tensor([2.0, -1, 4]).double().view(1, 3, 1),
    )

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), start)

    at = [n / 714554 for n in (474552, 91125, 148877)]
    memory = [m * (1 - 3 / 4 * w) + w / 2 for m, w in zip((2, -1, 4), at, strict=True)]
    read_at = [n / 9662 for n in (1849, 3844, 3969)]
    read = sum(w * m for w, m in zip(read_at, memory, strict=True))
    almost = {"rtol": 1e-5, "atol": 1e-5}  # the millionths in the lengths of the cosines
    torch.testing.assert_close((last.h.item(), last.c.item()), END)
    torch.testing.assert_close(last.w.flatten().tolist(), read_at + at, **almost)
    torch.testing.assert_close(last.memory.flatten().tolist(), memory, **almost)
    torch.testing.assert_close(last.reads.item(), read, **almost)
    torch.testing.assert_close(y.item(), 2 * read, **almost)


def test_it_copies_with_weights_set_by_hand() -> None:
    """Inputs: two signs, and whether to read. h: the same, as +-tanh(1) and 0 or tanh(1).

    Both heads begin at slot 0. The writer moves on at every step, and overwrites unless it is
    time to read; the reader moves on only when it is.
    """
    cell = NTM(3, 2, controller=3, slots=12, width=2, clip=0.0).double()
    sure = 1000.0
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.controller.weight_x[9:] = sure * torch.eye(3)  # g
        cell.controller.bias[:] = torch.tensor([sure] * 3 + [-sure] * 3 + [sure] * 3 + [0] * 3)
        cell.w_start[:, 0] = sure
        read, erase = cell.interface.bias[8:11], cell.interface.bias[16:18]
        cell.interface.bias[4:8] = -sure  # strengths 0, gates 0: from where the head was
        read[:] = torch.tensor([-2, 0, -0.4]) * sure
        cell.interface.weight[10, 2] = sure
        cell.interface.bias[11:14] = torch.tensor([0, 0, 1]) * sure
        erase[:] = 0.4 * sure
        cell.interface.weight[16:18, 2] = -sure
        cell.interface.weight[18:, :2] = sure * torch.eye(2)
        cell.output.weight[:, 3:] = torch.eye(2)
    signs = torch.randint(2, (9, 1, 2), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    writing = torch.cat([signs, torch.zeros(9, 1, 1)], dim=-1)
    reading = torch.tensor([0.0, 0, 1]).expand(9, 1, 3)

    y, _ = unroll(cell, torch.cat([writing, reading]).double())

    assert torch.equal(y[9:], signs.double())


def test_its_heads_are_distributions_from_the_start() -> None:
    torch.manual_seed(0)
    cell = NTM(3, 4, reads=2, writes=3).double()
    state = cell.initial_state(2)
    for x_t in cell.project(5 * draw(9, 2, 3)):
        torch.testing.assert_close(state.w.sum(-1), torch.ones(2, 5).double())
        assert (state.w >= 0).all()
        _, state = cell.step(x_t, state)


def test_its_start_is_learned_but_for_the_memory() -> None:
    cell = NTM(3, 4, slots=5, width=3)
    start = cell.initial_state(2)

    torch.testing.assert_close(start.w[1], cell.w_start.softmax(-1))
    torch.testing.assert_close(start.reads[1], cell.reads_start.tanh())
    assert (start.memory == 1e-6).all()
    assert not start.h.any()
    assert not start.c.any()
    assert not start.memory.requires_grad


def test_what_heads_are_told_is_clipped_and_so_is_the_output() -> None:
    cells = [NTM(3, 4, clip=clip).double() for clip in (0.0, 0.3)]
    cells[1].load_state_dict(cells[0].state_dict())
    with torch.no_grad():
        for cell in cells:
            cell.output.weight.mul_(100)
            cell.interface.weight.mul_(30)
    free, clipped = (unroll(cell, draw(5, 2, 3)) for cell in cells)

    assert free[0].abs().max() > 1
    assert clipped[0].abs().max() == 0.3
    assert (free[1].w - clipped[1].w).abs().max() > 1e-3


def test_it_starts_as_documented() -> None:
    torch.manual_seed(0)
    cell = NTM(20, 50, controller=40, slots=200, width=30, reads=2)
    both = torch.cat([cell.controller.weight_x, cell.controller.weight_h], dim=1)
    assert_starts_truncated(both, 20 + 60 + 40)
    assert_starts_truncated(cell.interface.weight, 40)
    assert_starts_truncated(cell.output.weight, 40 + 60)
    narrow = NTM(3, 4, width=1, reads=50)
    for start, columns in ((cell.w_start, 200), (cell.reads_start, 30), (narrow.reads_start, 1)):
        bound = (6 / (1 + columns)) ** 0.5
        assert 0.9 * bound < start.abs().max().item() <= bound

    assert cell.controller.bias.tolist() == [0.0] * 40 + [1.0] * 40 + [0.0] * 80
    assert not cell.interface.bias.any()
    assert not cell.output.bias.any()


def test_parameter_count() -> None:
    """The LSTM; k, beta, g, s, gamma of 5 heads and e, a of 3; the output; the start."""
    cell = NTM(7, 11, controller=9, slots=8, width=4, reads=2, writes=3, shift=2)

    assert parameter_count(cell) == (
        36 * (7 + 8 + 9 + 1) + (5 * (4 + 1 + 1 + 5 + 1) + 3 * 8) * 10 + 11 * 18 + 5 * 8 + 2 * 4
    )
    assert NTM(7, 11).interface.in_features == 11


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"controller": -1}, "controller must be a whole number of at least 0"),
        ({"slots": 0}, "slots must be a whole number of at least 1"),
        ({"width": 0}, "width must be a whole number of at least 1"),
        ({"reads": 0}, "reads must be a whole number of at least 1"),
        ({"writes": 0}, "writes must be a whole number of at least 1"),
        ({"shift": -1}, "shift must be a whole number of at least 0"),
        ({"shift": 3, "slots": 6}, r"shift must be a whole number from 0 to \(slots-1\)//2=2"),
        ({"clip": -1.0}, "clip must be a number of at least 0"),
        ({"read_from": "both"}, "read_from must be one of new, old"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        NTM(3, 4, **options)
