"""Seeds that are trained at once: each is what it is alone, whatever the others do."""

from __future__ import annotations

import dataclasses
import functools
import math

import pytest
import torch
from levels import STEPWISE, TOKENS, VECTORS, alone, assert_same, model_of, small, together
from torch import nn
from toy_cells import Plain

from cellbench.cells import CELLS
from cellbench.cells.adapter import adapt, as_cell
from cellbench.record import Status
from cellbench.train.loop import train
from cellbench.train.stacked import StackingError, train_stack
from cellbench.train.stacking import stack_cells
from cellbench.unroll import Carrier, Way


class UsersCell(nn.Module):
    """A cell as a user brings it: plain operations, in the form of nn.LSTMCell."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.gates = nn.Linear(input_size + hidden_size, 4 * hidden_size)

    def forward(self, x, state=None):
        h, c = (x.new_zeros(len(x), self.hidden_size),) * 2 if state is None else state
        i, f, g, o = self.gates(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


def of(*arguments, name: str):
    return pytest.param(*arguments, id=name)


@pytest.mark.parametrize(
    ("make", "task"),
    [
        of(CELLS["lstm"], TOKENS, name="lstm, tokens"),
        of(CELLS["lstm"], VECTORS, name="lstm, vectors"),
        of(CELLS["hyperlstm"], TOKENS, name="hyperlstm, tokens"),
        of(CELLS["min_gru"], VECTORS, name="min_gru, vectors"),
        of(CELLS["lstmn"], TOKENS, name="lstmn, tokens: a state that grows"),
        of(adapt(UsersCell), VECTORS, name="a user's, vectors"),
    ],
)
def test_a_seed_learns_in_a_stack_what_it_learns_alone(make, task) -> None:
    right = {seed: alone(make, task, seed) for seed in (3, 1, 8)}
    for seeds in [(1,), (3, 1, 8), (8, 3, 1)]:
        found = together(make, task, seeds)

        assert found.keys() == set(seeds)
        for seed, learned in found.items():
            assert_same(learned, right[seed])
            assert learned.how.stacked == len(seeds)


@pytest.mark.parametrize("way", [Way.AUTO, Way.PARALLEL])
def test_a_parallel_form_is_stacked_too(way) -> None:
    carrier = Carrier(way)
    found = together(CELLS["min_gru"], VECTORS, (0, 1), carrier=carrier)

    assert_same(found[1], alone(CELLS["min_gru"], VECTORS, 1, carrier=carrier))


def test_a_stack_keeps_little_where_that_is_asked_for() -> None:
    carrier = Carrier(Way.STEPWISE, checkpoint=True)
    found = together(CELLS["lstm"], VECTORS, (0, 1), carrier=carrier)

    assert_same(found[1], alone(CELLS["lstm"], VECTORS, 1))


def test_a_stack_is_compiled_as_one_cell() -> None:
    """Three seeds, of which the first to end leaves its place to nobody."""
    task = dataclasses.replace(TOKENS, solved=0.45)
    found = together(Plain, task, (0, 1, 2), steps=60, carrier=Carrier(Way.COMPILED))

    assert len({learned.steps for learned in found.values()}) > 1, "the test needs early ends"
    for seed, learned in found.items():
        assert learned.how.unrolled == "compiled", learned.how.fallback
        assert_same(learned, alone(Plain, task, seed, steps=60))


def test_what_ends_early_leaves_the_others_as_they_are() -> None:
    task = dataclasses.replace(TOKENS, solved=0.45)
    seeds = (0, 1, 2, 3)
    right = {seed: alone(Plain, task, seed, steps=120) for seed in seeds}
    found = together(Plain, task, seeds, steps=120)

    assert len({learned.steps for learned in right.values()}) > 2, "the test needs early ends"
    assert list(found) == sorted(found, key=lambda seed: right[seed].steps)
    for seed in seeds:
        assert_same(found[seed], right[seed])


class Poisoned(Plain):
    """Gives NaN when it is made with seed 1, and infinity with seed 2."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        bad = {1: math.nan, 2: math.inf}.get(torch.initial_seed(), 1.0)
        self.register_buffer("factor", torch.tensor(bad, dtype=torch.float64), persistent=False)

    def step(self, p_t, state):
        y, state = super().step(p_t, state)
        return y * self.factor, state


def test_a_seed_that_diverges_does_not_touch_its_neighbours() -> None:
    right = {seed: alone(Poisoned, TOKENS, seed) for seed in range(4)}
    found = together(Poisoned, TOKENS, range(4))

    assert [found[seed].status for seed in range(4)] == ["ok", "diverged", "diverged", "ok"]
    assert list(found)[:2] == [1, 2]
    for seed, learned in found.items():
        assert_same(learned, right[seed])


def test_clipping_goes_by_the_gradient_of_each_seed() -> None:
    """Seed 2 is clipped hard, as its outputs are large; the others as if it were not there."""
    tight = small("adding/length-10", clip=1e-3, learning_rate=0.1)
    right = {seed: alone(Large, tight, seed) for seed in (1, 2)}

    for seed, learned in together(Large, tight, (1, 2)).items():
        assert_same(learned, right[seed])


class Large(Plain):
    """Has outputs a hundred times as large when it is made with seed 2."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        factor = 100.0 if torch.initial_seed() == 2 else 1.0
        self.register_buffer("factor", torch.tensor(factor), persistent=False)

    def step(self, p_t, state):
        y, state = super().step(p_t, state)
        return y * self.factor, state


def test_a_model_has_learned_when_its_seed_is_yielded() -> None:
    task = dataclasses.replace(TOKENS, solved=0.45)
    seeds = (0, 1, 2)
    lone = {seed: model_of(Plain, task, seed) for seed in seeds}
    for seed in seeds:
        train(lone[seed], task, seed=seed, steps=60, clock=lambda: 0.0)
    stacked = {seed: model_of(Plain, task, seed) for seed in seeds}
    ends = train_stack(
        list(stacked.values()), task, seeds=seeds, steps=60, clock=lambda: 0.0
    )  # fmt: skip
    for seed, _ in ends:
        for found, right in zip(
            stacked[seed].parameters(), lone[seed].parameters(), strict=True
        ):  # fmt: skip
            torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


def test_every_look_is_told_with_its_seed() -> None:
    told = []
    found = together(Plain, TOKENS, (4, 5), look=lambda seed, point: told.append((seed, point)))

    for seed in (4, 5):
        assert [point for s, point in told if s == seed] == found[seed].curve


class Ticking(Plain):
    """Moves a clock on by one second at each training step, and by a thousand at a look."""

    now = 0.0

    def project(self, x):
        Ticking.now += 1.0 if self.training else 1000.0
        return x


def test_the_time_of_a_step_is_shared_out_among_those_on_their_way() -> None:
    def clock() -> float:
        return Ticking.now

    seldom = small("copying/tiny", validate_every=1000)
    found = together(Ticking, seldom, (0, 1, 2, 3), clock=clock, time_limit_s=3.0)

    for learned in found.values():
        assert learned.status is Status.TIMEOUT
        assert learned.steps == 13, "13 / 4 is more than 3"
        assert "3 s were over after 13 of 14 steps" in learned.reason
        assert learned.train_s == (13 + 2 * 1000) / 4, "a look is training, the test is not"
        assert learned.test is not None


class TickingUnevenly(Ticking):
    """The same; made with seed 1 it gives NaN."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        bad = math.nan if torch.initial_seed() == 1 else 1.0
        self.register_buffer("factor", torch.tensor(bad, dtype=torch.float64))

    def step(self, p_t, state):
        y, state = super().step(p_t, state)
        return y * self.factor, state


def test_who_is_alone_at_the_end_has_all_of_the_time() -> None:
    """6 steps and a look of two batches are shared by two, 6 more and a look are not."""
    found = together(TickingUnevenly, TOKENS, (0, 1), steps=12, clock=lambda: Ticking.now)

    assert found[1].train_s == (6 + 2000) / 2
    assert found[0].train_s == (6 + 2000) / 2 + (6 + 2000)
    assert [point.elapsed_s for point in found[0].curve] == [1003.0, 3009.0]


def test_what_is_done_between_two_ends_costs_nobody_time() -> None:
    models = [model_of(TickingUnevenly, TOKENS, seed) for seed in (0, 1)]
    ends = train_stack(models, TOKENS, seeds=(0, 1), steps=12, clock=lambda: Ticking.now)
    next(ends)
    Ticking.now += 1e6
    ((_, learned),) = ends

    assert learned.train_s == 3009.0


class KeepsATensor(Plain):
    """Keeps what it draws where no one can find it."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.kept = torch.randn(hidden_size).double()

    def step(self, p_t, state):
        y, state = super().step(p_t, state)
        return y + self.kept, state


class Branches(Plain):
    """Asks a tensor what to do."""

    def step(self, p_t, state):
        y, state = super().step(p_t, state)
        return (y, state) if y.sum() > 0 else (-y, state)


class NoGradient(Plain):
    """Cuts the gradient for the first seed alone, by what it was made with."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.cut = torch.initial_seed() == 0

    def step(self, p_t, state):
        y, state = super().step(p_t, state)
        return (y.detach() + 0 * y, state) if self.cut else (y, state)


class SlowGRU(nn.Module):
    """Calls what has no batching rule, and only a warning in its place."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x, self.h = (
            nn.Linear(input_size, 3 * hidden_size),
            nn.Linear(hidden_size, 3 * hidden_size),
        )

    def forward(self, x, h=None):
        h = x.new_zeros(len(x), self.h.in_features) if h is None else h
        return torch.gru_cell(x, h, self.x.weight, self.h.weight, self.x.bias, self.h.bias)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (KeepsATensor, "stacked and alone differ by .* neither parameters nor buffers"),
        (NoGradient, "stacked and alone differ by"),
        (Branches, "RuntimeError: .*data-dependent"),
        (adapt(nn.LSTM), "RuntimeError: Batching rule not implemented for aten::lstm"),
        (adapt(SlowGRU), "UserWarning: There is a performance drop"),
    ],
)
def test_what_cannot_be_stacked_is_said_before_training(make, why) -> None:
    models = [model_of(make, TOKENS, seed) for seed in (0, 1)]
    before = [p.clone() for p in models[0].parameters()]
    with pytest.raises(StackingError, match=f"^{why}") as caught:
        train_stack(models, TOKENS, seeds=(0, 1), steps=5, clock=lambda: 0.0)

    assert "\n" not in str(caught.value)
    assert all(map(torch.equal, models[0].parameters(), before))


def test_a_kernel_without_a_batching_rule_is_done_step_by_step() -> None:
    found = together(CELLS["lstm"], TOKENS, (0, 1), carrier=Carrier())

    assert_same(found[1], alone(CELLS["lstm"], TOKENS, 1, carrier=Carrier()))


def test_a_kernel_without_a_batching_rule_is_not_said_to_be_parallel() -> None:
    with pytest.raises(StackingError, match="aten::lstm"):
        together(CELLS["lstm"], TOKENS, (0, 1), carrier=Carrier(Way.PARALLEL))


@pytest.mark.parametrize(
    "make",
    [
        nn.LSTMCell,
        nn.GRUCell,
        nn.RNNCell,
        functools.partial(nn.LSTMCell, bias=False),
        functools.partial(nn.RNNCell, nonlinearity="relu"),
    ],
)
def test_torchs_own_cells_are_stacked_in_plain_operations(make) -> None:
    """What a stack is made of is held to what its cells are, which are torch's."""
    cells = [as_cell(make(3, 5), 3).double() for _ in range(2)]
    stack, _ = stack_cells(cells, Way.STEPWISE)
    x = torch.randn(6, 2, 4, 3, dtype=torch.float64)
    found, _ = STEPWISE(stack, x)

    for seed, cell in enumerate(cells):
        torch.testing.assert_close(found[:, seed], STEPWISE(cell, x[:, seed])[0])


def test_dropout_differs_between_the_seeds_of_a_stack() -> None:
    torch.manual_seed(0)
    cell = CELLS["hyperlstm"](3, 5, recurrent_dropout=0.5)
    stack, _ = stack_cells([cell, cell], Way.STEPWISE)
    x = torch.randn(6, 1, 2, 3).expand(6, 2, 2, 3)
    first, second = STEPWISE(stack, x)[0].unbind(1)

    assert not torch.equal(first, second)

    first, second = STEPWISE(stack.eval(), x)[0].unbind(1)

    torch.testing.assert_close(first, second)


def test_a_learning_rate_is_that_of_the_optimiser_whatever_the_level_says() -> None:
    faster = small("copying/tiny", learning_rate=0.05)
    right = alone(Plain, faster, 3)

    assert_same(alone(Plain, TOKENS, 3, learning_rate=0.05), right)
    assert_same(together(Plain, TOKENS, (1, 3), learning_rate=0.05)[3], right)
    with pytest.raises(AssertionError):
        assert_same(alone(Plain, TOKENS, 3), right)
