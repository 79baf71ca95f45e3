import math
from collections import deque

import pytest
import torch
from cell_parity import FORMULAS, assert_same, draw, parameter_count, with_weights
from torch import Tensor

from cellbench.cells.tape_rnn import TapeRNN, TapeRNNState
from cellbench.errors import OptionError
from cellbench.unroll import unroll

SMALL = {"tapes": 2, "cells": 6, "width": 3, "mlp_size": 4}


def written_out(weights: dict[str, Tensor], x, state, *, jump: int, layers: int, f):
    """Write the paper's formulas out: a sequence, a tape and a cell of it at a time."""
    tapes, cells, width = state[0].shape[1:]
    w_m, w_h = weights["weight_h"][:, : tapes * width], weights["weight_h"][:, tapes * width :]
    actions = 5 if jump else 3
    sequences = []
    for b in range(x.shape[1]):
        tape = [list(state[0][b, n]) for n in range(tapes)]
        h, outputs = state[1][b], []
        for x_t in x[:, b]:
            seen = torch.cat([cells_of[0] for cells_of in tape])
            h = f(weights["weight_x"] @ x_t + w_m @ seen + w_h @ h + weights["bias"])
            v = h
            for n in range(layers + 1):
                v = weights[f"write.{n}.weight"] @ v + weights[f"write.{n}.bias"]
                v = v.clamp(min=0) if n < layers else v
            logits = weights["act.weight"] @ h + weights["act.bias"]
            for n in range(tapes):
                old = [v[n * width : (n + 1) * width], *tape[n][1:]]
                powers = logits[n * actions : (n + 1) * actions].exp()
                a = powers / powers.sum()
                offsets = [0, 1, -1, jump, -jump][:actions]
                tape[n] = [
                    sum(a[k] * old[(i + offset) % cells] for k, offset in enumerate(offsets))
                    for i in range(cells)
                ]
            outputs.append(h)
        last = torch.stack([torch.stack(cells_of) for cells_of in tape])
        sequences.append((torch.stack(outputs), last, h))
    y, tape, h = zip(*sequences, strict=True)
    return torch.stack(y, 1), (torch.stack(tape), torch.stack(h))


@pytest.mark.parametrize(
    ("options", "f"),
    [
        ({}, torch.relu),
        ({"jump": 2, "mlp_layers": 1, "nonlinearity": "tanh"}, torch.tanh),
        ({"mlp_layers": 0}, torch.relu),
    ],
    ids=["relu", "tanh", "linear"],
)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(time: int, options: dict[str, object], f) -> None:
    cell = TapeRNN(3, 4, **SMALL | options).double()
    weights = {
        name: (0.4 * draw(*weight.shape, seed=n)).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }
    jump, layers = options.get("jump", 0), options.get("mlp_layers", 2)
    assert_same(
        with_weights(cell, weights),
        lambda x, state: written_out(weights, x, state, jump=jump, layers=layers, f=f),
        draw(time, 2, 3),
        [draw(2, 2, 6, 3, seed=11), draw(2, 4, seed=12)],
        weights.values(),
        cell="tape_rnn",
        against=FORMULAS,
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2, tape (3, 10, 20, 30, 40): h = relu(2 * 1 - 1 * 3 + 1 * 2 + 0) = 1.

    Written is -1 * relu(2 * 1 + 1) + 5 = 2, on the 3. The moves' powers are 1, 2, 3, 4, 6, of
    16 in all: kept, one and two cells left and right. So 16 M is

        1 *  2 + 2 * 10 + 3 * 40 + 4 * 20 + 6 * 30 = 402
        1 * 10 + 2 * 20 + 3 *  2 + 4 * 30 + 6 * 40 = 416
        1 * 20 + 2 * 30 + 3 * 10 + 4 * 40 + 6 *  2 = 282
        1 * 30 + 2 * 40 + 3 * 20 + 4 *  2 + 6 * 10 = 238
        1 * 40 + 2 *  2 + 3 * 30 + 4 * 10 + 6 * 20 = 294
    """
    cell = TapeRNN(1, 1, cells=5, width=1, jump=2, mlp_size=1, mlp_layers=1).double()
    two, three = math.log(2), math.log(3)
    for name, value in {
        "weight_x": [2],
        "weight_h": [-1, 1],
        "bias": [0],
        "write.0.weight": [2],
        "write.0.bias": [1],
        "write.1.weight": [-1],
        "write.1.bias": [5],
        "act.weight": [0, two, three, two, three],
        "act.bias": [0, 0, 0, two, two],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().view(parameter.shape)
    tape = torch.tensor([3.0, 10, 20, 30, 40]).double().view(1, 1, 5, 1)

    y, last = unroll(
        cell, torch.ones(1, 1, 1).double(), TapeRNNState(tape, torch.full((1, 1), 2.0).double())
    )

    torch.testing.assert_close(y.item(), 1.0)
    torch.testing.assert_close(last.h.item(), 1.0)
    torch.testing.assert_close(
        (16 * last.tape).flatten().tolist(), [402.0, 416.0, 282.0, 238.0, 294.0]
    )


# --- What it can do, with weights set by hand ----------------------------------------------

SURE = 1000.0
"""So large a weight makes a softmax as good as hard."""


def obedient(cells: int, jump: int) -> TapeRNN:
    """Return a cell that does what its inputs say: one of five moves, and what to write (2).

    Its outputs are the inputs, but the last two of nine: those are the cell under the head.
    """
    cell = TapeRNN(7, 9, cells=cells, width=2, jump=jump, mlp_layers=0).double()
    for parameter in cell.parameters():
        torch.nn.init.zeros_(parameter)
    cell.weight_x.data[:7] = torch.eye(7)
    cell.weight_h.data[7:, :2] = torch.eye(2)
    cell.act.weight.data[:, :5] = SURE * torch.eye(5)
    cell.write[0].weight.data[:, 5:7] = torch.eye(2)
    return cell


def test_with_sure_moves_it_is_a_tape() -> None:
    numbers = torch.rand(60, 3, generator=torch.Generator().manual_seed(0)).double().tolist()
    tape, tapes, steps = deque([[0.0, 0.0]] * 7), [], []
    for number, *value in numbers:
        move = int(5 * number)
        steps.append([float(move == n) for n in range(5)] + value)
        tape[0] = value
        tape.rotate((0, -1, 1, -3, 3)[move])
        tapes.append(list(tape))
    cell = obedient(cells=7, jump=3)
    state, found = cell.initial_state(1), []
    for x_t in cell.project(torch.tensor(steps).double().unsqueeze(1)):
        _, state = cell.step(x_t, state)
        found.append(state.tape[0, 0].tolist())

    assert found == tapes


def test_it_copies() -> None:
    """Write and move right; jump back to the first; move right again, reading."""
    stay, right, jump_left = ([float(n == m) for m in range(5)] for n in (0, 2, 3))
    symbols = torch.rand(9, 2, generator=torch.Generator().manual_seed(0)).double()
    blank = [0.0, 0.0]
    writes = [[*right, *symbol] for symbol in symbols.tolist()]
    x = torch.tensor([*writes, [*jump_left, *blank], *[[*right, *blank]] * 9, [*stay, *blank]])

    y, _ = unroll(obedient(cells=20, jump=9), x.double().unsqueeze(1))

    assert torch.equal(y[10:19, 0, 7:], symbols)


def test_a_tape_whose_moves_are_unsure_keeps_its_sum() -> None:
    """Whatever the moves, all that is on a tape stays on it; here nothing new is written."""
    cell = obedient(cells=7, jump=2)
    cell.write[0].weight.data.zero_()
    cell.act.weight.data.zero_()
    start = cell.initial_state(1)
    tape = draw(1, 1, 7, 2)
    tape[:, :, 0] = 0

    _, last = unroll(cell, draw(1, 1, 7), start._replace(tape=tape))

    torch.testing.assert_close(last.tape.sum(2), tape.sum(2))


def test_it_starts_as_published() -> None:
    """A normal number cut off at two deviations has a deviation of 0.88."""
    torch.manual_seed(0)
    cell = TapeRNN(40, 50, tapes=4, mlp_size=60)
    columns = {
        40: [cell.weight_x],
        50 + 32: [cell.weight_h],
        50: [cell.write[0].weight, cell.act.weight],
        60: [cell.write[1].weight, cell.write[2].weight],
    }
    for count, weights in columns.items():
        for weight in weights:
            assert weight.shape[1] == count
            assert weight.std().item() == pytest.approx(0.88 * count**-0.5, rel=0.07)
            assert 1.7 * count**-0.5 < weight.abs().max().item() <= 2 * count**-0.5

    assert not any(b.any() for name, b in cell.named_parameters() if name.endswith("bias"))
    assert not any(part.any() for part in cell.initial_state(2))


def test_parameter_count() -> None:
    """Of h, of the layers in between, of what is written, and of the moves."""
    cell = TapeRNN(7, 11, tapes=2, width=3, jump=4, mlp_size=5)
    plain = TapeRNN(7, 11, tapes=2, width=3, mlp_layers=0)

    assert parameter_count(cell) == 11 * 24 + 11 + (5 * 12 + 5 * 6) + 6 * 6 + 10 * 12
    assert parameter_count(plain) == 11 * 24 + 11 + 6 * 12 + 6 * 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tapes": 0}, "tapes must be a whole number of at least 1"),
        ({"cells": 1}, "cells must be a whole number of at least 2"),
        ({"width": 0}, "width must be a whole number of at least 1"),
        ({"jump": -1}, "jump must be a whole number of at least 0"),
        ({"jump": 9, "cells": 9}, "jump must be a whole number from 0 to cells-1=8, not 9"),
        ({"mlp_size": 0}, "mlp_size must be a whole number of at least 1"),
        ({"mlp_layers": -1}, "mlp_layers must be a whole number of at least 0"),
        ({"nonlinearity": "elu"}, "nonlinearity must be one of relu, tanh"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        TapeRNN(3, 4, **options)
