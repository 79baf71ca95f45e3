"""A compiled cell gives what its steps give: values, last state and every gradient.

Most tests run the graphs as they are, operation by operation: what is tested is how a step is
cut, differentiated and put together again. Some compile them.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from cellbench.cells import CELLS
from cellbench.cells.adapter import as_cell
from cellbench.cells.base import Cell
from cellbench.unroll import stepwise, traced
from cellbench.unroll.compiled import Program
from cellbench.unroll.traced import CannotCompileError

B = 2


def as_it_is(graph):
    """Stand in for the compiler."""
    return lambda values: graph(*values)


def program_of(cell, *, batch: int = B, compiler=as_it_is) -> Program:
    x = torch.zeros(3, batch, cell.input_size, dtype=next(cell.parameters()).dtype)
    program = Program(cell, cell.project(x), cell.initial_state(batch))
    program.compile(compiler)
    return program


def outcome(carry, cell, time: int, *, batch: int = B):
    """Return outputs, last state and every gradient, from a state that is not zero."""
    generator = torch.Generator().manual_seed(time)
    torch.manual_seed(time)  # for a cell that draws its state

    def noise(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = noise(time, batch, cell.input_size).requires_grad_()
    state = cell.initial_state(batch)
    make = getattr(type(state), "_make", type(state))
    moved = (
        (part + 0.3 * noise(*part.shape)).detach().requires_grad_()
        if part.is_floating_point()
        else part
        for part in state
    )
    state = make(moved)
    y, last = carry(cell, cell.project(x), state)
    parts = [part for part in (y, *last) if part.requires_grad]
    loss = sum((noise(*part.shape) * part).sum() for part in parts)
    leaves = [x, *cell.parameters(), *(part for part in state if part.requires_grad)]
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    zeros = (torch.zeros_like(leaf) for leaf in leaves)
    return [y, *last, *(z if g is None else g for g, z in zip(grads, zeros, strict=True))]


def assert_as_stepwise(cell, program, time: int) -> None:
    right = outcome(stepwise, cell, time)
    found = outcome(program, cell, time)

    for a, b in zip(found, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


class Step(Cell):
    """A cell of one weight; tests say what its step is."""

    def __init__(self, input_size=3, hidden_size=3) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight = nn.Parameter(torch.randn(hidden_size, hidden_size).double() / 3)
        self.other = nn.Parameter(torch.randn(hidden_size).double())
        self.register_buffer("constant", torch.linspace(0.5, 1, hidden_size).double())

    def initial_state(self, batch):
        return (self.weight.new_zeros(batch, self.hidden_size),)


class ByElement(Step):
    """No product anywhere; a parameter and a buffer used element by element."""

    def step(self, p_t, state):
        h = torch.tanh(self.other * state[0] * self.constant + p_t)
        return h, (h,)


class MadeWeight(Step):
    """The weight is made of a parameter: once is enough."""

    def step(self, p_t, state):
        orthogonal = torch.linalg.matrix_exp(self.weight - self.weight.T)
        h = functional.relu(p_t + state[0] @ orthogonal)
        return h, (h,)


class InputInStep(Step):
    """What needs no state is in the step all the same, as in most cells in the wild."""

    def step(self, p_t, state):
        h = torch.tanh(functional.linear(p_t, self.weight, self.other) + 0.5 * state[0])
        return h, (h,)


class LateProduct(Step):
    """The output is a product that the state never sees."""

    def step(self, p_t, state):
        h = torch.tanh(p_t + self.other * state[0])
        return torch.tanh(h @ self.weight) * p_t, (h,)


class Counted(Step):
    """A whole number in the state, a part that is passed on, and one that nothing reads."""

    def initial_state(self, batch):
        zeros = self.weight.new_zeros(batch, self.hidden_size)
        return zeros, torch.zeros(batch, dtype=torch.int64), zeros, zeros

    def step(self, p_t, state):
        h, count, kept, _ = state
        h = torch.tanh(p_t + h @ self.weight + kept) / (count + 1).unsqueeze(-1)
        return h, (h, count + 1, kept, 2 * h)


class InPlace(Step):
    """Changes what it has made itself, which a pure step may."""

    def step(self, p_t, state):
        h = p_t + state[0] @ self.weight
        h.mul_(0.5)
        h[:, 0] = 0.5
        return h, (h,)


class Twice(Step):
    """One weight in two products, one of them with what a step never differentiates."""

    def step(self, p_t, state):
        h = torch.tanh(p_t + state[0] @ self.weight + torch.sigmoid(state[0]) @ self.weight.T)
        return h @ self.weight * 3.0, (h,)


class Blends(Step):
    """Has derivatives that torch makes by changes in place."""

    def step(self, p_t, state):
        h = torch.lerp(state[0], p_t, self.other)
        h = torch.tanh(torch.maximum(h @ self.weight, p_t * self.other))
        return h, (h,)


class KeepsItsInput(Step):
    """Only the output needs the state, which is nothing but an input."""

    def step(self, p_t, state):
        return torch.tanh((p_t + state[0] * self.other) @ self.weight), (p_t,)


class TakesApart(Step):
    """Some parts are for the state, and some for the output."""

    def step(self, p_t, state):
        a, b = (state[0] @ self.weight).split([1, 2], -1)
        h = torch.tanh(a * self.other + p_t)
        return torch.tanh(b.sum(-1, keepdim=True) @ self.weight[:1]) + p_t, (h,)


class OnlyInputs(Step):
    """Has no memory at all."""

    def step(self, p_t, state):
        y = torch.tanh(p_t * self.other)
        return y, (y,)


SHAPES_OF_STEPS = (
    ByElement, MadeWeight, InputInStep, LateProduct, Counted, InPlace, Twice, OnlyInputs,
    Blends, KeepsItsInput, TakesApart,
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(n for n, make in CELLS.items() if not make(3, 4).grows))
def test_every_cell_gives_what_its_steps_give(name) -> None:
    torch.manual_seed(0)
    cell = CELLS[name](3, 4).double()
    program = program_of(cell)

    for time in (1, 2, 7, 64):
        assert_as_stepwise(cell, program, time)


@pytest.fixture(params=[True, False], ids=["as-on-a-gpu", "as-on-a-cpu"])
def ahead(request, monkeypatch) -> bool:
    """Take products of inputs out of the loop, as on a GPU, or leave them in it."""
    monkeypatch.setattr(traced, "is_quicker_in_the_loop", lambda _: not request.param)
    return request.param


@pytest.mark.usefixtures("ahead")
@pytest.mark.parametrize("make", SHAPES_OF_STEPS)
def test_so_does_every_shape_of_step(make) -> None:
    torch.manual_seed(0)
    cell = make()
    program = program_of(cell)
    for time in (1, 2, 5):
        assert_as_stepwise(cell, program, time)


@pytest.mark.usefixtures("ahead")
@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_so_does_a_module_of_torch(kind) -> None:
    torch.manual_seed(0)
    cell = as_cell(kind(3, 4), 3).double()

    assert_as_stepwise(cell, program_of(cell), 6)


@pytest.mark.parametrize("name", ["hyperlstm", "lstm", "min_gru"])
def test_so_it_does_compiled(name) -> None:
    torch.manual_seed(0)
    cell = CELLS[name](3, 4).double()
    assert_as_stepwise(cell, program_of(cell, compiler=None), 7)


def test_the_second_seed_finds_the_steps_compiled() -> None:
    programs = [program_of(CELLS["gru"](3, 4).double(), compiler=None) for _ in range(2)]
    other = program_of(CELLS["gru"](3, 4).double(), batch=B + 1, compiler=None)

    assert programs[0].core.forward_step is programs[1].core.forward_step
    assert other.core.forward_step is not programs[0].core.forward_step


def test_a_bounded_tape_compiles() -> None:
    torch.manual_seed(0)
    cell = CELLS["lstmn"](3, 4, tape=3).double()

    assert_as_stepwise(cell, program_of(cell), 7)


def nodes(graph) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def test_input_products_are_taken_out_of_the_loop_where_that_is_quicker(ahead) -> None:
    cut = program_of(as_cell(nn.LSTMCell(3, 4), 3).double()).cut

    assert sum("addmm" in name for name in nodes(cut.ahead)) == ahead
    assert sum("addmm" in name or "mm." in name for name in nodes(cut.core)) == 2 - ahead


def test_a_weight_that_is_made_is_made_once() -> None:
    cut = program_of(MadeWeight()).cut

    assert any("matrix_exp" in name for name in nodes(cut.once))
    assert not any("matrix_exp" in name for name in nodes(cut.core))


def test_gradients_of_weights_are_products_over_all_of_time() -> None:
    """Of the backward step's products, none is a gradient of a weight: h.T @ dgates."""
    derivative = program_of(CELLS["lstm"](8, 8).double(), batch=4).core.derivative
    shapes = [
        tuple(node.meta["val"].shape)
        for node in derivative.backward.graph.nodes
        if "mm." in str(node.target)
    ]

    assert shapes == [(4, 8), (4, 8)]  # the gradients of h and x
    assert len(derivative.operands) == 3  # those of the gates, h and x


def test_two_sequences_at_once_do_not_share_memory() -> None:
    cell = CELLS["ln_lstm"](3, 4).double()
    program = program_of(cell)
    inputs = [torch.randn(5, B, 3).double() for _ in range(2)]

    def gradient(y):
        return torch.autograd.grad(y.square().sum(), cell.weight_h)[0]

    both = [program(cell, cell.project(x), cell.initial_state(B))[0] for x in inputs]
    found = [gradient(y) for y in both]

    for x, grad in zip(inputs, found, strict=True):
        right = gradient(stepwise(cell, cell.project(x), cell.initial_state(B))[0])
        torch.testing.assert_close(grad, right)


def test_memory_is_used_again_by_the_next_sequence_and_can_be_given_back() -> None:
    cell = CELLS["lstm"](3, 4).double()
    program = program_of(cell)
    spaces = program.core.free

    for _ in range(3):
        y, state = program(cell, torch.randn(5, B, 3).double(), cell.initial_state(B))
        y.sum().backward()
        del y, state

    assert [len(spaces[key]) for key in spaces] == [1]
    program.core.release()
    assert not spaces


def test_backward_may_be_done_twice() -> None:
    cell = CELLS["lstm"](3, 4).double()
    x = torch.randn(5, B, 3).double()
    y, _ = program_of(cell)(cell, x, cell.initial_state(B))
    first = torch.autograd.grad(y.square().sum(), cell.weight_hh, retain_graph=True)
    again = torch.autograd.grad(y.square().sum(), cell.weight_hh)

    assert torch.equal(first[0], again[0])


def test_what_it_returns_is_not_written_over() -> None:
    cell = CELLS["lstm"](3, 4).double()
    program = program_of(cell)
    with torch.no_grad():
        y, state = program(cell, torch.randn(5, B, 3).double(), cell.initial_state(B))
        kept = [v.clone() for v in (y, *state)]
        program(cell, torch.randn(5, B, 3).double(), cell.initial_state(B))

    assert all(torch.equal(a, b) for a, b in zip((y, *state), kept, strict=True))


def test_an_updated_parameter_is_seen() -> None:
    cell = CELLS["lstm"](3, 4).double()
    program = program_of(cell)
    with torch.no_grad():
        cell.weight_hh.mul_(2)

    assert_as_stepwise(cell, program, 3)


class Dropping(Step):
    def step(self, p_t, state):
        mask = functional.dropout(torch.ones_like(p_t), 0.5, training=self.training)
        h = torch.tanh(p_t + state[0] @ self.weight)
        return h * mask, (h,)


def test_a_mask_that_needs_no_state_is_drawn_anew_at_every_step() -> None:
    torch.manual_seed(0)
    cell = Dropping().train()
    y, _ = program_of(cell)(cell, torch.ones(40, B, 3).double(), cell.initial_state(B))
    dropped = (y == 0).double()

    assert 0.3 < dropped.mean() < 0.7
    assert not torch.equal(dropped[0], dropped[1]) or not torch.equal(dropped[1], dropped[2])
    assert_as_stepwise(cell.eval(), program_of(cell), 4)


class Complex(Step):
    def initial_state(self, batch):
        return (torch.zeros(batch, 3, dtype=torch.complex128),)

    def step(self, p_t, state):
        h = state[0] * torch.complex(self.other, self.other) + p_t
        return h.real, (h,)


class Branching(Step):
    def step(self, p_t, state):
        h = p_t if p_t.sum() > 0 else state[0] @ self.weight
        return h, (h,)


class RandomState(Step):
    """Draws what depends on the state, as stochastic units do."""

    def step(self, p_t, state):
        h = torch.bernoulli(torch.sigmoid(p_t + state[0] @ self.weight))
        return h, (h,)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: CELLS["lstmn"](3, 4).double(), "its state grows with every step"),
        (Complex, "its state is complex"),
        (Branching, "tracing one step failed"),
        (RandomState, "it draws random numbers"),
    ],
)
def test_what_cannot_be_compiled_says_why(make, why) -> None:
    with pytest.raises(CannotCompileError, match=why):
        program_of(make())
