"""Cells that do one thing, for tests of what is around a cell."""

from __future__ import annotations

import math
import os
import time

import torch
from torch import nn

from cellbench.cells.base import Cell, ParallelCell, constant


class Plain(Cell):
    """A small tanh network."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.both = nn.Linear(input_size + hidden_size, hidden_size)

    def initial_state(self, batch):
        return (self.both.weight.new_zeros(batch, self.hidden_size),)

    def step(self, p_t, state):
        h = torch.tanh(self.both(torch.cat([p_t, state[0]], dim=1)))
        return h, (h,)


class Raises(Plain):
    """Fails in the middle of a run, with batches of 64 only."""

    def step(self, p_t, state):
        if p_t.shape[0] == 64:
            raise ZeroDivisionError("one step too many\nand a second line")
        return super().step(p_t, state)


class NotANumber(Plain):
    """Gives NaN."""

    def step(self, p_t, state):
        y, state = super().step(p_t, state)
        return y * math.nan, state


class RaisesModule(nn.LSTMCell):
    """Fails whenever it is called, as a module from elsewhere."""

    def forward(self, x, state=None):
        raise ZeroDivisionError("never works")


class ScalarModule(nn.LSTMCell):
    """Gives one number for all, as a module from elsewhere."""

    def forward(self, x, state=None):
        return super().forward(x, state)[0].mean()


class WrongShapeModule(nn.LSTMCell):
    """Gives fewer features than it takes back, as a module from elsewhere."""

    def forward(self, x, state=None):
        h, c = super().forward(x, state)
        return h[:, :3], c


class NotANumberModule(nn.GRUCell):
    """Gives NaN, as a module from elsewhere."""

    def forward(self, x, state=None):
        return super().forward(x, state) * math.nan


class NotANumberLayer(nn.LSTM):
    """Gives NaN over whole sequences, as a module from elsewhere."""

    def forward(self, x, state=None):
        y, state = super().forward(x, state)
        return y * math.nan, tuple(part * math.nan for part in state)


class WrongShape(Plain):
    """Gives one feature too many."""

    def step(self, p_t, state):
        y, state = super().step(p_t, state)
        return torch.cat([y, y[:, :1]], dim=1), state


class OutOfMemory(Plain):
    """Asks for more than there is."""

    def step(self, p_t, state):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 PiB")


class Hoards(Plain):
    """Wants 8 GiB, and would touch all of it."""

    def step(self, p_t, state):
        torch.ones(1 << 31)
        return super().step(p_t, state)


class Dies(Plain):
    """Takes its process with it."""

    def step(self, p_t, state):
        os._exit(9)


class Hangs(Plain):
    """Never comes back from its first training step."""

    def step(self, p_t, state):
        while True:
            time.sleep(0.1)


class Slow(Plain):
    """Takes its time."""

    def step(self, p_t, state):
        time.sleep(0.02)
        return super().step(p_t, state)


class Disagrees(Plain, ParallelCell):
    """Its parallel form computes something else."""

    def parallel(self, p, state):
        y = torch.stack([self.step(p_t, state)[0] for p_t in p])
        return y, (y[-1],)


class TouchesPrecision(Plain):
    """Switches to TF32 behind everybody's back."""

    def step(self, p_t, state):
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.set_default_dtype(torch.float64)
        return super().step(p_t, state)


class NeedsItsPeace(Plain):
    """Fails where another cell has changed what is global."""

    def step(self, p_t, state):
        if torch.backends.cuda.matmul.allow_tf32 or torch.get_default_dtype() != torch.float32:
            raise RuntimeError("somebody was here")
        return super().step(p_t, state)


class NotACell:
    """Nothing of the kind."""


class Rotates(Cell):
    """Makes an orthogonal matrix of its parameters, once a sequence."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.skew = nn.Parameter(torch.randn(hidden_size, hidden_size))
        self.read = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch):
        return (self.skew.new_zeros(batch, self.hidden_size),)

    def project(self, x):
        q = torch.matrix_exp(self.skew - self.skew.T)
        return self.read(x), constant(q, like=x)

    def step(self, p_t, state):
        x, q = p_t
        h = torch.tanh(x + state[0] @ q.T)
        return h, (h,)


class Centred(Plain):
    """Subtracts what it is told to be the mean of its inputs; in training, the batch's."""

    has_population = True

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("mean", torch.zeros(input_size))

    def population(self, x):
        return {"mean": x.mean((0, 1))}

    def step(self, p_t, state):
        return super().step(p_t - (p_t.mean(0) if self.training else self.mean), state)


class Shrinks(Plain):
    """Adds the square of a parameter to the loss, and a little of its state."""

    penalised = True

    def penalty(self, state):
        return 3.0 * self.both.bias.square().sum() + state[0].mean()
