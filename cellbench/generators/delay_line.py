"""Delay line: give back a smooth signal, so many steps late."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Vectors
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_between

LEVELS = 256  # of the noise: the odd numbers from -255 to 255
PASSES = 3  # how often the noise is smoothed
WIDEST = 40  # 255 * 40**3 is below 2**24: float32 holds every sum


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DelayLine(Generator):
    """Show a smooth signal, and ask at every step for its value of `lag` steps before.

    With length=8, lag=3, width=4, sequence 1 of the training stream:

        input    .86  .83  .95 1.20 1.29 1.13  .71  .15
        target     -    -    -  .86  .83  .95 1.20 1.29

    The signal is white noise, replaced three times by its sum over `width` steps. That lets
    low frequencies pass: half of the power at about .26 / `width` cycles a step, nothing at
    1 / `width`, and beyond it never more than a ten-thousandth. It is the same everywhere in
    the sequence, and has mean 0. The noise is whole numbers, and the sum is scaled by a power
    of two, so that values are exact, and the variance, which is what a constant answer errs
    by, is known: from .5 to 2. The first `lag` steps have no answer, and no loss.

    Source: Gu et al. 2022, arXiv:2206.12037, delay task: length 4000, lag 1000.
    Differs from it: another band, as said above, where the source cuts sharply by way of
    sines; scored is the mean squared error, and not its root.

    Attributes:
        length: Steps of the sequence.
        lag: Steps from a value to its answer; below `length`.
        width: Steps that are summed, from 1 (white noise) to 40: the smoother, the wider.
    """

    length: int
    lag: int
    width: int

    def __post_init__(self) -> None:
        whole("length", self.length, low=2)
        whole_between("lag", self.lag, low=1, high=self.length - 1)
        whole_between("width", self.width, low=1, high=WIDEST)

    @property
    def reads(self) -> Reads:
        return Vectors(1)

    @property
    def answers(self) -> Answers:
        return Vectors(1)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        before = PASSES * (self.width - 1)
        noise = stream.integers("noise", index, before + self.length, below=LEVELS)
        signal = noise.mul_(2).sub_(LEVELS - 1)
        for _ in range(PASSES if self.width > 1 else 0):
            total = signal.cumsum(dim=0)
            signal = total[self.width - 1 :].clone()
            signal[1:] -= total[: -self.width]
        inputs = (signal.float() * 2.0**-self._shift).unsqueeze(2)
        targets = torch.zeros_like(inputs)
        targets[self.lag :] = inputs[: -self.lag]
        step = torch.arange(self.length, device=index.device).unsqueeze(1)
        scored = (step >= self.lag).expand(self.length, len(index))
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return self._power * 0.25**self._shift

    def oracle(self, inputs: Float[Tensor, "time batch 1"]) -> Float[Tensor, "time batch 1"]:
        """Turn the signal round by the lag, and blank what came in at the start."""
        step = torch.arange(len(inputs), device=inputs.device).view(-1, 1, 1)
        return torch.where(step < self.lag, 0.0, inputs.roll(self.lag, 0))

    def at_length(self, length: int) -> DelayLine:
        """Return it with more steps, and the same lag."""
        return dataclasses.replace(self, length=length)

    @property
    def _power(self) -> int:
        """The variance before it is scaled: that of the noise, times the squared weights."""
        weights = [1]
        for _ in range(PASSES):
            ends = [0] * (self.width - 1)
            padded = [*ends, *weights, *ends]
            places = range(len(weights) + self.width - 1)
            weights = [sum(padded[place : place + self.width]) for place in places]
        return sum(weight**2 for weight in weights) * (LEVELS**2 - 1) // 3

    @property
    def _shift(self) -> int:
        """The scale is 2 to the minus this."""
        return round(math.log2(self._power) / 2)
