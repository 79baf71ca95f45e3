import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from controllers import BY_HAND, END, START, assert_starts_truncated, lstm, set_weights
from torch import Tensor

from cellbench.cells.mann import MANN, MANNState
from cellbench.errors import OptionError
from cellbench.unroll import unroll

SMALL = {"slots": 5, "width": 3, "heads": 2, "controller": 4}
OTHER = SMALL | {"gate": "learned", "least_used": "own", "decay": 0.5}


def state_of(cell: MANN) -> list[Tensor]:
    """Draw a state as it may come about."""
    shapes = [tuple(part.shape) for part in cell.initial_state(2)]
    *rest, w_read, memory, usage = (draw(*shape, seed=n) for n, shape in enumerate(shapes, 30))
    return [*rest, torch.softmax(w_read, dim=-1), memory, usage.abs()]


def written_out(weights: dict[str, Tensor], x, state, options: dict[str, object]):
    """Write the paper's formulas out: a sequence, a head and a slot at a time."""
    slots, width, heads = (options[name] for name in ("slots", "width", "heads"))
    decay = options.get("decay", 0.95)
    sequences = []
    for b in range(x.shape[1]):
        h, c, read, w_read, memory, usage = (part[b] for part in state)
        outputs = []
        for x_t in x[:, b]:
            h, c = lstm(weights, torch.cat([x_t, read.flatten()]), h, c)
            told = weights["interface.weight"] @ h + weights["interface.bias"]
            by_usage = sorted(range(slots), key=lambda slot, u=usage: u[slot].item())
            rows = [memory[m] * (0 if m == by_usage[0] else 1) for m in range(slots)]
            used = decay * usage
            for n in range(heads):
                k = told[n * width : (n + 1) * width].tanh()
                alpha = weights["alpha"][0] if "alpha" in weights else told[heads * width + n]
                slots_of_mine = by_usage[:heads]
                if options.get("least_used") == "own":
                    slots_of_mine = [by_usage[n]]
                for m in range(slots):
                    w = alpha.sigmoid() * w_read[n, m]
                    if m in slots_of_mine:
                        w = w + 1 - alpha.sigmoid()
                    rows[m] = rows[m] + w * k
                    used = used + w * torch.eye(slots, dtype=x.dtype)[m]
            memory, places = torch.stack(rows), []
            for n in range(heads):
                k = told[n * width : (n + 1) * width].tanh()
                alike = [
                    (row @ k / ((row @ row + 1e-6) * (k @ k + 1e-6)).sqrt()).exp() for row in rows
                ]
                places.append(torch.stack(alike) / sum(alike))
            w_read = torch.stack(places)
            read = torch.stack([sum(w[m] * rows[m] for m in range(slots)) for w in places])
            usage = used + sum(places)
            outputs.append(
                weights["output.weight"] @ torch.cat([h, read.flatten()]) + weights["output.bias"]
            )
        sequences.append((torch.stack(outputs), h, c, read, w_read, memory, usage))
    y, *last = zip(*sequences, strict=True)
    return torch.stack(y, 1), tuple(torch.stack(part) for part in last)


@pytest.mark.parametrize(
    ("options", "time"),
    [*((SMALL, time) for time in (1, 2, 7, 64)), *((OTHER, time) for time in (1, 2, 7))],
    ids=str,
)
def test_it_is_the_formula_of_the_paper(options: dict[str, object], time: int) -> None:
    cell = MANN(3, 4, **options).double()
    weights = {
        name: (0.4 * draw(*weight.shape, seed=n)).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }
    ours = with_weights(cell, weights)
    assert_same(
        lambda x, state: ours(x, MANNState(*state)),
        lambda x, state: written_out(weights, x, state, options),
        draw(time, 2, 3),
        state_of(cell),
        weights.values(),
        cell="mann",
        against=FORMULAS,
    )


def test_one_step_by_hand() -> None:
    """The controller comes to h = 1/8, see `BY_HAND`; k = tanh(ln 3 / 2) = 1/2, gate 3/4.

    Read last at (1/3, 2/3); usage (1/2, 1/4), so w^lu = (0, 1), and w^w = (1/4, 3/4). Of the
    memory (-2, 5) slot 1 is made 0: it is then (-2 + 1/8, 3/8) = (-15/8, 3/8). The cosines are
    -1 and 1, so w^r = (1, e^2) / (1 + e^2), and y = 8 h + 2 r - 1.
    """
    cell = MANN(1, 1, slots=2, width=1, heads=1, decay=0.5).double()
    told = {"weight": [4 * LN_3 / 2, 4 * LN_3], "bias": [LN_3 / 4, LN_3 / 2]}
    told = {f"interface.{name}": values for name, values in told.items()}
    set_weights(cell, BY_HAND | told | {"output.weight": [8, 2], "output.bias": [-1]})
    start = {name: [value] for name, value in START.items()}
    start |= {"read": [[1]], "w_read": [[1 / 3, 2 / 3]], "memory": [[-2], [5]]}
    start |= {"usage": [1 / 2, 1 / 4]}
    start = {name: torch.tensor([value], dtype=torch.float64) for name, value in start.items()}

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), MANNState(**start))

    at = [1 / (1 + math.e**2), 1 / (1 + math.e**-2)]
    read = -15 / 8 * at[0] + 3 / 8 * at[1]
    expected = {"h": [END[0]], "c": [END[1]], "read": [read], "w_read": at}
    expected |= {"memory": [-15 / 8, 3 / 8], "usage": [1 / 2 + at[0], 7 / 8 + at[1]]}
    found = {name: part.flatten().tolist() for name, part in last._asdict().items()}
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(y.item(), 2 * read, rtol=1e-5, atol=1e-5)


def test_it_writes_where_nothing_was_and_then_over_what_was_used_least() -> None:
    """With the gate shut, each step's key goes to a slot by itself, and nothing else changes."""
    torch.manual_seed(0)
    cell = MANN(3, 4, slots=5, width=3, heads=1, gate="learned").double()
    cell.alpha.data.fill_(-1000.0)
    state, keys = cell.initial_state(1), []
    for x_t in cell.project(3 * draw(5, 1, 3)):
        _, state = cell.step(x_t, state)
        keys.append(torch.tanh(cell.interface(state.h))[0])
    before = state
    _, after = cell.step(cell.project(draw(1, 1, 3, seed=9))[0], before)
    least = before.usage[0].argmin()

    torch.testing.assert_close(before.memory[0], torch.stack(keys))
    torch.testing.assert_close(after.memory[0, least], torch.tanh(cell.interface(after.h))[0])
    assert ((after.memory != before.memory).any(-1).sum(-1) == 1).all()


def test_of_slots_that_are_used_equally_little_it_takes_the_first() -> None:
    """As many as there are heads: at the start no slot was used at all."""
    cell = MANN(3, 4, **SMALL | {"gate": "learned"}).double()
    cell.alpha.data.fill_(-1000.0)

    _, last = unroll(cell, draw(1, 2, 3))

    assert last.memory[:, :2].all()
    assert not last.memory[:, 2:].any()


def test_it_starts_as_documented() -> None:
    torch.manual_seed(0)
    cell = MANN(20, 50, controller=40, width=12, heads=5, gate="learned")
    both = torch.cat([cell.controller.weight_x, cell.controller.weight_h], dim=1)
    assert_starts_truncated(both, 20 + 60 + 40)
    assert_starts_truncated(cell.interface.weight, 40)
    assert_starts_truncated(cell.output.weight, 40 + 60)

    assert cell.controller.bias.tolist() == [0.0] * 40 + [1.0] * 40 + [0.0] * 80
    assert not cell.interface.bias.any()
    assert not cell.output.bias.any()
    assert cell.alpha.item() == 0
    assert not any(part.any() for part in cell.initial_state(2))


def test_parameter_count() -> None:
    """The LSTM; a key and a gate to each head, or one gate to all; the output."""
    cell = MANN(7, 11, controller=9, slots=8, width=4, heads=2)
    learned = MANN(7, 11, controller=9, slots=8, width=4, heads=2, gate="learned")

    assert parameter_count(cell) == 36 * (7 + 8 + 9 + 1) + (8 + 2) * 10 + 11 * 18
    assert parameter_count(learned) == 36 * (7 + 8 + 9 + 1) + 8 * 10 + 1 + 11 * 18
    assert MANN(7, 11).interface.in_features == 11


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"controller": -1}, "controller must be a whole number of at least 0"),
        ({"slots": 0}, "slots must be a whole number of at least 1"),
        ({"width": 0}, "width must be a whole number of at least 1"),
        ({"heads": 0}, "heads must be a whole number of at least 1"),
        ({"heads": 9, "slots": 8}, "heads must be a whole number from 1 to slots=8, not 9"),
        ({"decay": 1.0}, "decay must be a number of at least 0 and below 1"),
        ({"gate": "open"}, "gate must be one of told, learned"),
        ({"least_used": "none"}, "least_used must be one of all, own"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        MANN(3, 4, **options)
