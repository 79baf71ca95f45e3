"""Ways to carry a cell through time: each gives what stepwise gives."""

from __future__ import annotations

import pytest
import torch

from cellbench.cells import CELLS
from cellbench.cells.base import ParallelCell
from cellbench.errors import OptionError
from cellbench.unroll import Carrier, Way, stepwise, unroll

STEPWISE = Carrier(Way.STEPWISE)


def outcome(carrier, cell, time: int):
    """Return outputs, last state and every gradient, from a state that is not zero."""
    generator = torch.Generator().manual_seed(time)
    torch.manual_seed(time)  # for a cell that draws its state

    def noise(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = noise(time, 2, 3).requires_grad_()
    with torch.no_grad():
        _, state = STEPWISE(cell, noise(4, 2, 3))
    # What counts steps has no gradient.
    leaves = [part for part in state if part.is_floating_point() or part.is_complex()]
    for part in leaves:
        part.requires_grad_()
    y, last = carrier(cell, x, state)
    floats = [part for part in last if part.requires_grad]
    loss = sum((noise(*part.shape) * part).sum() for part in (y, *floats))
    wanted = [x, *cell.parameters(), *leaves]
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [y, *last, *(g for g in gradients if g is not None)]


@pytest.mark.parametrize("time", [1, 2, 7, 10, 33])
@pytest.mark.parametrize("name", sorted(CELLS))
def test_checkpoints_change_no_value_and_no_gradient(name, time) -> None:
    torch.manual_seed(0)
    cell = CELLS[name](3, 4).double()
    for way in (Way.AUTO, Way.STEPWISE):
        torch.testing.assert_close(
            outcome(Carrier(way, checkpoint=True), cell, time),
            outcome(STEPWISE, cell, time),
            rtol=1e-9,
            atol=1e-12,
        )


def test_auto_is_parallel_where_there_is_such_a_form() -> None:
    cells = {name: make(3, 4) for name, make in CELLS.items()}
    chosen = {name for name, cell in cells.items() if Carrier().chosen(cell) is Way.PARALLEL}

    assert chosen == {name for name, cell in cells.items() if isinstance(cell, ParallelCell)}


def test_a_form_that_a_cell_does_not_have_is_refused() -> None:
    with pytest.raises(OptionError, match="HyperLSTM has no parallel form; use --unroll"):
        Carrier(Way.PARALLEL).chosen(CELLS["hyperlstm"](2, 3))


def test_without_gradients_nothing_is_checkpointed() -> None:
    cell = CELLS["gru"](2, 3)
    x = torch.randn(9, 2, 2)
    with torch.no_grad():
        y, _ = Carrier(Way.STEPWISE, checkpoint=True)(cell, x)

    assert torch.equal(y, stepwise(cell, x, cell.initial_state(2))[0])


def test_dropout_is_the_same_when_a_stretch_is_done_again() -> None:
    """Otherwise the gradient would be of other numbers than the output."""
    cell = CELLS["hyperlstm"](2, 3, recurrent_dropout=0.5).double().train()
    x = torch.randn(9, 4, 2, dtype=torch.float64)

    def gradient(carrier):
        torch.manual_seed(0)
        y, _ = carrier(cell, x)
        return torch.autograd.grad(y.sum(), cell.weight_h)[0]

    torch.testing.assert_close(gradient(Carrier(checkpoint=True)), gradient(Carrier()))


def test_unroll_starts_from_the_initial_state() -> None:
    cell = CELLS["lstm"](2, 3)
    x = torch.randn(5, 2, 2)

    torch.testing.assert_close(unroll(cell, x), unroll(cell, x, cell.initial_state(2)))
