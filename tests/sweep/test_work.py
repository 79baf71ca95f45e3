"""Operations and bytes of a cell's calls."""

from __future__ import annotations

import pytest
import torch
from toy_cells import Plain

from cellbench.cells import CELLS
from cellbench.measure.operations import count_operations
from cellbench.sweep.calls import Inference, OneStep, TrainStep, first_rows
from cellbench.sweep.work import inference_work, step_work, training_work
from cellbench.unroll import Carrier, stepwise


def carried(cell, time=9, batch=2):
    x = torch.randn(time, batch, cell.input_size)
    with torch.no_grad():
        return x, stepwise(cell, cell.project(x), cell.initial_state(batch))[1]


def test_a_plain_network_by_hand() -> None:
    """Input 3, hidden 4, 9 steps of 2 sequences, float32.

    A step multiplies 2 rows by a matrix of 7 x 4: 2 * 2 * 7 * 4 operations, and moves at least
    7*4 + 4 parameters, inputs 2*3, outputs 2*4 and a state of 2*4, which is read and written.
    """
    cell = Plain(3, 4)
    x, state = carried(cell)
    step, whole = step_work(cell, x[:1], state), inference_work(cell, x, state)

    assert (step.operations, step.bytes) == (112, 4 * (32 + 6 + 8 + 2 * 8))
    assert (whole.operations, whole.bytes) == (9 * 112, 4 * (32 + 9 * 6 + 9 * 8 + 2 * 8))


def test_a_backward_pass_is_two_products_for_one() -> None:
    """One for the inputs' gradient and one for the weights'."""
    cell = Plain(3, 4)
    x, state = carried(cell)

    assert training_work(cell, x, state).operations == 9 * 3 * 112


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("time", [1, 2, 3, 9])
def test_counting_a_few_steps_is_counting_all(name, time) -> None:
    cell = CELLS[name](5, 6)
    x, state = carried(cell, time)

    def all_steps():
        read = x.clone().requires_grad_() * 1
        y, _ = stepwise(cell, cell.project(read), cell.initial_state(2))
        y.sum().backward()

    with torch.no_grad():
        forward = count_operations(lambda: stepwise(cell, cell.project(x), cell.initial_state(2)))
    assert inference_work(cell, x, state).operations == forward
    assert training_work(cell, x, state).operations == count_operations(all_steps)


def test_a_train_step_gives_the_gradients_of_inputs_and_parameters() -> None:
    cell = Plain(3, 4)
    call = TrainStep(cell, Carrier(), torch.randn(5, 2, 3))
    by_x, *by_parameters = call()

    assert by_x.shape == (5, 2, 3)
    assert by_x.abs().max() > 0
    assert [g.shape for g in by_parameters] == [p.shape for p in cell.parameters()]
    assert all(p.grad is None for p in cell.parameters()), "made, and not added to older ones"


@pytest.mark.parametrize("kind", [Inference, TrainStep])
def test_new_inputs_are_drawn_in_place_and_are_not_zeros(kind) -> None:
    call = kind(Plain(3, 4), Carrier(), torch.zeros(5, 2, 3))
    where = call.x.data_ptr()
    call.refresh()
    first = call.x.detach().clone()
    call.refresh()

    assert call.x.data_ptr() == where
    assert (first != 0).all()
    assert (first != call.x).all()
    call()


def test_inference_and_steps_keep_no_graph() -> None:
    cell = Plain(3, 4)
    y, state = Inference(cell, Carrier(), torch.randn(5, 2, 3))()
    step, _ = OneStep(cell, state, 1)()

    assert not y.requires_grad
    assert not step.requires_grad
    assert step.shape == (1, 4)


def test_one_step_goes_on_where_the_sequence_ended() -> None:
    cell = CELLS["lstm"](3, 4)
    x = torch.randn(6, 2, 3)
    with torch.no_grad():
        y, _ = stepwise(cell, cell.project(x), cell.initial_state(2))
        _, state = stepwise(cell, cell.project(x[:5]), cell.initial_state(2))
    one = OneStep(cell, state, 1)
    one.x.copy_(x[5:, :1])

    torch.testing.assert_close(one()[0], y[5, :1])


def test_the_first_rows_of_a_state_are_a_state_of_its_kind() -> None:
    _, state = carried(CELLS["lstm"](3, 4), batch=3)
    rows = first_rows(state, 2)

    assert type(rows) is type(state)
    assert [part.shape[0] for part in rows] == [2, 2]
