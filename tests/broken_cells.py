"""One cell for each promise of the contract, breaking it in a way that people do.

All are the same sound cell but for the lines that are shown.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import nn

from cellbench.cells.base import Cell, ParallelCell


class Sound(Cell):
    """h = tanh(W x + b + u * h), which breaks nothing."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.w = nn.Linear(input_size, hidden_size)
        self.u = nn.Parameter(torch.full((hidden_size,), 0.5))

    def initial_state(self, batch):
        return (self.u.new_zeros(batch, len(self.u)),)

    def project(self, x):
        return self.w(x)

    def next(self, p_t, h):
        return torch.tanh(p_t + self.u * h)

    def step(self, p_t, state):
        h = self.next(p_t, state[0])
        return h, (h,)


class SoundParallel(Sound, ParallelCell):
    """The same, with a parallel form."""

    def parallel(self, p, state):
        return by_steps(self, p, state)


def by_steps(cell, p, state):
    outputs = []
    for p_t in p:
        y, state = cell.step(p_t, state)
        outputs.append(y)
    return torch.stack(outputs), state


# --- shapes -------------------------------------------------------------------------------


class Named(NamedTuple):
    h: torch.Tensor


class LiesAboutItsSize(Sound):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.hidden_size = 7


class ForgetsItsInputSize(Sound):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.input_size = str(input_size)


class ReturnsTwoKindsOfState(Sound):
    def initial_state(self, batch):
        return Named(*super().initial_state(batch))


# --- fixed-size ---------------------------------------------------------------------------


class GrowsInSecret(Sound):
    def initial_state(self, batch):
        return (self.u.new_zeros(batch, 0, self.hidden_size),)

    def step(self, p_t, state):
        h = self.next(p_t, state[0].sum(1))
        return h, (torch.cat([state[0], h.unsqueeze(1)], dim=1),)


# --- stop-and-go --------------------------------------------------------------------------


class SumsOverTime(Sound):
    def project(self, x):
        return self.w(x).cumsum(0)


# --- no-look-ahead ------------------------------------------------------------------------


class LooksAhead(Sound):
    def project(self, x):
        return self.w(x) + self.w(x.roll(-1, dims=0))


class LooksAheadInParallel(SoundParallel):
    def parallel(self, p, state):
        return by_steps(self, p + p.roll(-1, dims=0), state)


# --- rows ---------------------------------------------------------------------------------


class CentresTheBatch(Sound):
    def next(self, p_t, h):
        h = torch.tanh(p_t + self.u * h)
        return h - h.nan_to_num().mean(0)


class StartsRowsApart(Sound):
    """As learned initial states do that are cut from a table by position."""

    def initial_state(self, batch):
        rows = torch.linspace(0, 1, batch + 1, dtype=self.u.dtype, device=self.u.device)[1:]
        return (rows.unsqueeze(1).expand(batch, self.hidden_size).clone(),)


# --- nan-stays ----------------------------------------------------------------------------


class ChecksForNaNByZero(Sound):
    def next(self, p_t, h):
        return torch.tanh(p_t + self.u * h) + 0 * p_t.sum()


# --- parallel -----------------------------------------------------------------------------


class ForgetsTheStateInParallel(SoundParallel):
    def parallel(self, p, state):
        return by_steps(self, p, (torch.zeros_like(state[0]),))


class ReturnsAnOldStateInParallel(SoundParallel):
    def parallel(self, p, state):
        y, state = by_steps(self, p, state)
        return y, ((y[-2],) if len(y) > 7 else state)


class DetachesInParallel(SoundParallel):
    def parallel(self, p, state):
        y, last = by_steps(self, p, state)
        return y, (last[0].detach(),)


# --- gradients ----------------------------------------------------------------------------


def scaled_gradient(x, factor):
    return factor * x - ((factor - 1) * x).detach()


class HasAWrongBackward(Sound):
    def next(self, p_t, h):
        return torch.tanh(p_t + scaled_gradient(self.u * h, 1.01))


class CutsTheGradientOfTime(Sound):
    def next(self, p_t, h):
        return torch.tanh(p_t + self.u * h.detach())


# --- every-parameter ----------------------------------------------------------------------


class HasAParameterToSpare(Sound):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.spare = nn.Parameter(torch.ones(hidden_size))


# --- deterministic ------------------------------------------------------------------------


class CountsItsBuilds(Sound):
    builds = itertools.count(1)

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        with torch.no_grad():
            self.u += 0.01 * next(self.builds)


class IsNeverQuiteTheSame(Sound):
    """As a sum in no fixed order is not."""

    def initial_state(self, batch):
        runs = next(CountsItsBuilds.builds)
        return (self.u.new_full((batch, self.hidden_size), 1e-14 * runs),)


# --- pure ---------------------------------------------------------------------------------


class OverwritesItsState(Sound):
    def step(self, p_t, state):
        h = self.next(p_t, state[0])
        if not torch.is_grad_enabled():
            return h, (state[0].copy_(h),)
        return h, (h,)


class OverwritesItsInput(Sound):
    def step(self, p_t, state):
        h = self.next(p_t, state[0])
        if not torch.is_grad_enabled():
            p_t.zero_()
        return h, (h,)


class KeepsItsLastOutput(Sound):
    def step(self, p_t, state):
        self.last = self.next(p_t, state[0])
        return self.last, (self.last,)


class CountsItsSteps(Sound):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.register_buffer("steps", torch.zeros(()), persistent=False)

    def step(self, p_t, state):
        if not torch.is_grad_enabled():
            self.steps += 1
        return super().step(p_t, state)


class DrawsAndThrowsAway(Sound):
    def next(self, p_t, h):
        torch.rand(())
        return torch.tanh(p_t + self.u * h)


# --- save-and-load ------------------------------------------------------------------------


class KeepsANumberToItself(Sound):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = torch.rand(()).item()

    def project(self, x):
        return self.scale * self.w(x)


# --- dtypes -------------------------------------------------------------------------------


class StartsInFloat32(Sound):
    def initial_state(self, batch):
        return (self.u.new_zeros(batch, self.hidden_size, dtype=torch.float32),)


class CountsInFloat64(Sound):
    def next(self, p_t, h):
        return super().next(p_t, h).double()


# --- devices ------------------------------------------------------------------------------


class StartsOnTheCPU(Sound):
    def initial_state(self, batch):
        return (torch.zeros(batch, self.hidden_size, dtype=self.u.dtype),)


# --- vmap ---------------------------------------------------------------------------------


class AddsIntoZeros(Sound):
    def next(self, p_t, h):
        total = torch.zeros(p_t.shape, dtype=p_t.dtype, device=p_t.device)
        total += p_t + self.u * h
        return torch.tanh(total)


# --- compile ------------------------------------------------------------------------------


@torch.compiler.disable
def kept_out_of_the_compiler(x):
    return torch.tanh(x)


class LeavesTheGraph(Sound):
    def next(self, p_t, h):
        return kept_out_of_the_compiler(p_t + self.u * h)


# --- whatever it is -----------------------------------------------------------------------


class BranchesOnAValue(Sound):
    def next(self, p_t, h):
        h = torch.tanh(p_t + self.u * h)
        return h if h.detach().abs().max() < 2 else h / 2


class Raises(Sound):
    def step(self, *_):
        raise ZeroDivisionError("no reason\nat all")
