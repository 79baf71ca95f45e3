"""Which way a cell is carried, why, and what that is compared with."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from cellbench.cells import CELLS
from cellbench.cells.base import ParallelCell
from cellbench.errors import OptionError
from cellbench.unroll import Carrier, Way, carrier, stepwise
from cellbench.unroll.compiled import Program
from cellbench.unroll.worth import repays

MANY = 1_000_000
X = torch.linspace(-1, 1, 20 * 2 * 3).view(20, 2, 3)


@pytest.fixture(autouse=True)
def _no_compiler(monkeypatch):
    """Run graphs as they are: these tests are about choices."""
    compile_ = Program.compile
    as_it_is = lambda graph: lambda values: graph(*values)  # noqa: E731
    monkeypatch.setattr(Program, "compile", lambda self: compile_(self, as_it_is))


def ticking():
    ticks = itertools.count()
    return lambda: float(next(ticks))


class Wrong(ParallelCell):
    """Its parallel form is not its step: `off` says in what."""

    def __init__(self, off: str) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.off = 3, 4, off
        self.inward, self.inner = nn.Linear(3, 4), nn.Linear(4, 4)

    def initial_state(self, batch):
        return (self.inner.weight.new_zeros(batch, 4),)

    def project(self, x):
        return self.inward(x)

    def step(self, p_t, state):
        h = torch.tanh(p_t + self.inner(state[0]))
        return h, (h,)

    def parallel(self, p, state):
        y, last = stepwise(self, p, state)
        if self.off == "values":
            return y * 1.01, last
        if self.off == "gradients":
            weight = self.inner.weight
            return y + (weight - weight.detach()).sum(), last
        return y, (last[0] * float("nan"),)


def test_auto_compiles_what_will_be_trained_for_long_and_nothing_else() -> None:
    cell = CELLS["ln_lstm"](3, 4)

    assert Carrier().prepare(cell, X, calls=MANY).way is Way.COMPILED
    assert Carrier().prepare(cell, X, calls=3).way is Way.STEPWISE
    assert Carrier().prepare(CELLS["lstm"](3, 4), X, calls=MANY).way is Way.PARALLEL


def test_auto_depends_on_the_plan_and_not_on_a_clock() -> None:
    def way(*readings: float) -> Way:
        clock = iter(readings).__next__
        return Carrier().prepare(CELLS["ln_lstm"](3, 4), X, calls=2000, clock=clock).way

    assert way(0.0, 1e-9) == way(0.0, 1e9)


def test_longer_steps_and_sequences_repay_sooner() -> None:
    assert not repays(20, 1000, "cpu")
    assert repays(20, 10_000_000, "cpu")
    assert repays(200, 200_000, "cpu") or not repays(20, 200_000, "cpu")
    for device in ("cpu", "cuda"):
        decisions = [repays(50, 10**n, device) for n in range(9)]
        assert decisions == sorted(decisions)
        assert decisions[0] is False
        assert decisions[-1] is True


def test_compiling_takes_the_time_that_is_reported() -> None:
    carried = Carrier(Way.COMPILED).prepare(CELLS["gru"](3, 4), X, calls=1, clock=ticking())

    assert carried.compile_s == 1
    assert carried.parity_ok
    assert 0 < carried.parity_error < 1e-5


def test_stepwise_has_no_error() -> None:
    carried = Carrier(Way.STEPWISE).prepare(CELLS["gru"](3, 4), X, calls=MANY)

    assert (carried.way, carried.parity_error, carried.fallback) == (Way.STEPWISE, 0, "")


@pytest.mark.parametrize("way", [Way.AUTO, Way.COMPILED])
def test_a_cell_that_cannot_be_compiled_goes_stepwise_and_the_reason_is_told(way) -> None:
    carried = Carrier(way).prepare(CELLS["lstmn"](3, 4), X, calls=MANY)

    assert carried.way is Way.STEPWISE
    assert carried.fallback == "not compiled: its state grows with every step"


@pytest.mark.parametrize("off", ["values", "gradients", "state"])
@pytest.mark.parametrize("way", [Way.AUTO, Way.PARALLEL])
def test_a_way_that_gives_something_else_is_not_gone(way, off) -> None:
    torch.manual_seed(0)
    cell, chosen = Wrong(off), Carrier(way)
    carried = chosen.prepare(cell, X, calls=MANY)

    assert not carried.parity_ok
    assert carried.way is chosen.chosen(cell) is Way.STEPWISE
    assert carried.fallback.startswith("parallel and stepwise differ by ")
    torch.testing.assert_close(
        chosen(cell, X), stepwise(cell, cell.project(X), cell.initial_state(2))
    )


def test_so_it_is_with_a_compiler_that_is_wrong(monkeypatch) -> None:
    right = carrier.Program.__call__

    def wrong(self, cell, p, state):
        y, last = right(self, cell, p, state)
        return y * 1.001, last

    monkeypatch.setattr(carrier.Program, "__call__", wrong)
    carried = Carrier(Way.COMPILED).prepare(CELLS["ln_lstm"](3, 4), X, calls=1)

    assert carried.way is Way.STEPWISE
    assert "compiled and stepwise differ by 1." in carried.fallback


def count_programs(monkeypatch) -> list[int]:
    runs: list[int] = []
    right = carrier.Program.__call__

    def counting(self, cell, p, state):
        runs.append(len(p if isinstance(p, torch.Tensor) else p[0]))
        return right(self, cell, p, state)

    monkeypatch.setattr(carrier.Program, "__call__", counting)
    return runs


def test_one_program_serves_every_length_and_evaluation_as_well(monkeypatch) -> None:
    cell, chosen = CELLS["ln_lstm"](3, 4), Carrier(Way.COMPILED)
    chosen.prepare(cell, X, calls=1)
    runs = count_programs(monkeypatch)
    chosen(cell, X[:7])
    cell.eval()
    with torch.no_grad():
        chosen(cell, X[:9])

    assert runs == [7, 9]


def test_another_batch_than_was_prepared_for_goes_stepwise(monkeypatch) -> None:
    cell, chosen = CELLS["ln_lstm"](3, 4), Carrier(Way.COMPILED)
    chosen.prepare(cell, X, calls=1)
    runs = count_programs(monkeypatch)
    chosen(cell, X[:, :1])

    assert runs == []


def test_dropout_is_compiled_for_training_and_left_out_of_evaluation() -> None:
    torch.manual_seed(0)
    cell, chosen = CELLS["hyperlstm"](3, 4, recurrent_dropout=0.5), Carrier(Way.COMPILED)
    assert chosen.prepare(cell, X, calls=1).parity_ok
    first, second = (chosen(cell.train(), X)[0] for _ in range(2))
    assert not torch.equal(first, second)
    first, second = (chosen(cell.eval(), X)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_without_preparation_explicit_compiling_compiles_or_says_why_not() -> None:
    cell = CELLS["ln_lstm"](3, 4)
    torch.testing.assert_close(Carrier(Way.COMPILED)(cell, X), Carrier(Way.STEPWISE)(cell, X))
    with pytest.raises(OptionError, match="LSTMN is not compiled: its state grows"):
        Carrier(Way.COMPILED)(CELLS["lstmn"](3, 4), X)


@pytest.mark.parametrize("name", ["ln_lstm", "hyperlstm"])
def test_checkpoints_and_compiling_go_together(name) -> None:
    torch.manual_seed(0)
    cell = CELLS[name](3, 4).double()
    chosen = Carrier(Way.COMPILED, checkpoint=True)
    carried = chosen.prepare(cell, X.double(), calls=1)

    assert (carried.way, carried.parity_ok) == (Way.COMPILED, True)
    x = X.double().requires_grad_()
    found, right = (
        torch.autograd.grad(carry(cell, x)[0].square().sum(), [x, *cell.parameters()])
        for carry in (chosen, Carrier(Way.STEPWISE))
    )
    torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


def test_a_compiled_checkpoint_keeps_one_stretch_of_memory() -> None:
    cell, chosen = CELLS["ln_lstm"](3, 4), Carrier(Way.COMPILED, checkpoint=True)
    chosen.prepare(cell, X, calls=1)
    chosen.release()
    chosen(cell, torch.randn(100, 2, 3))[0].sum().backward()
    (program,) = chosen.programs(cell)

    assert max(time for time, _ in program.core.free) == 10
    assert sum(map(len, program.core.free.values())) == 2  # to go, and to come back


class Chaotic(ParallelCell):
    """Magnifies every rounding tenfold a step; its other form rounds otherwise, or is wrong."""

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        self.input_size = self.hidden_size = 3
        self.weight, self.off = nn.Parameter(torch.full((3,), 10.0)), off

    def initial_state(self, batch):
        return (self.weight.new_zeros(batch, 3),)

    def step(self, p_t, state):
        h = torch.sin(p_t + self.weight * state[0])
        return h, (h,)

    def parallel(self, p, state):
        return stepwise(self, p * (1 + self.off), state)


def test_chaos_is_not_taken_for_an_error() -> None:
    cell = Chaotic(off=1e-7)
    carried = Carrier(Way.PARALLEL).prepare(cell, X, calls=1)

    assert (carried.way, carried.parity_ok) == (Way.PARALLEL, True)


def test_an_error_is_not_taken_for_chaos() -> None:
    assert not Carrier(Way.PARALLEL).prepare(Chaotic(off=1e-2), X, calls=1).parity_ok
