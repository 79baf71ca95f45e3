"""Mackey-Glass: tell what a chaotic series will be some steps later."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Vectors
from cellbench.generators.stream import SPLITS, Stream
from cellbench.options import whole_between

STRETCH = 2**14
"""Values of the series that each split has to itself."""

_TAU, _SUBSTEPS, _FIRST = 17, 10, 1.2
_SKIPPED = 1000  # values before each stretch, so that none continues another
_LOW = 0xFFFFFFFF


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MackeyGlass(Generator):
    """Show a stretch of a chaotic series, and ask at every step what comes `ahead` steps later.

    With length=8, ahead=3, warmup=4, sequence 0 of the training stream:

        input    .64  .62  .57  .48  .33  .15 -.05 -.24
        target     -    -    -    - -.24 -.42 -.58 -.70

    The series is x' = .2 x(t-17) / (1 + x(t-17)**10) - .1 x, read once every unit of time,
    less its mean, divided by its deviation: those of the stretch to learn from. A sequence is
    a window of one long series, at a place that is drawn; each split has its own
    stretch of 2**14 values, and no two stretches meet.

    Who sees no input answers the mean of training, and errs by the variance about it of
    the answers of all windows of the test stretch, which is counted.

    Source: Mackey & Glass 1977, "Oscillation and chaos in physiological control systems".
    Differs from it: as we solve it: Runge-Kutta of order 4 with ten steps a unit of time, 1.2
    at and before the start, the delayed value between two steps taken as their mean, and 1000
    values left out before each stretch. It is made once, of sums, products and quotients
    alone, so that it is the same everywhere.

    Attributes:
        length: Steps of the sequence.
        ahead: How many steps later the asked value comes.
        warmup: Steps before the first answer; below `length`. Less than about 17 leaves too
            little to tell the future from.
    """

    length: int
    ahead: int
    warmup: int

    def __post_init__(self) -> None:
        whole_between("length", self.length, low=2, high=STRETCH // 4)
        whole_between("ahead", self.ahead, low=1, high=STRETCH // 4)
        whole_between("warmup", self.warmup, low=0, high=self.length - 1)

    @property
    def reads(self) -> Reads:
        return Vectors(1)

    @property
    def answers(self) -> Answers:
        return Vectors(1)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        start = stream.integers("places", index, 1, below=self._windows)
        step = torch.arange(self.length, device=index.device).unsqueeze(1)
        place = start + step + SPLITS.index(stream.split) * STRETCH
        series = _on(index.device)
        scored = (step >= self.warmup).expand(self.length, len(index))
        targets = torch.where(scored, series[place + self.ahead], 0.0)
        return Batch(series[place].unsqueeze(2), targets.unsqueeze(2), scored, scored)

    def trivial(self) -> float:
        """Count, at every step, how far the answers in a test are from the mean of training."""
        train, _, test = _series().double().view(len(SPLITS), STRETCH)
        first = self.ahead + self.warmup
        last = first + self.length - self.warmup
        sums, squares, learned = (
            torch.cat([values.new_zeros(1), values.cumsum(0)])
            for values in (test, test.square(), train)
        )
        count = self._windows
        sums, squares, learned = (
            (total[first + count : last + count] - total[first:last]) / count
            for total in (sums, squares, learned)
        )
        return float((squares - 2 * sums * learned + learned.square()).mean())

    def oracle(self, inputs: Float[Tensor, "time batch 1"]) -> Float[Tensor, "time batch 1"]:
        """Find the window in the series, by its first two values, and read on."""
        series = _on(inputs.device)
        keys, order = _keys(series).sort()
        found = torch.searchsorted(keys, _keys(inputs[:2, :, 0])[0]).clamp(max=len(keys) - 1)
        step = torch.arange(len(inputs), device=inputs.device).unsqueeze(1)
        place = (order[found] + step + self.ahead).clamp(max=len(series) - 1)
        return torch.where(step >= self.warmup, series[place], 0.0).unsqueeze(2)

    def at_length(self, length: int) -> MackeyGlass:
        return dataclasses.replace(self, length=length)

    @property
    def _windows(self) -> int:
        """How many places a window can be at, in one stretch."""
        return STRETCH - self.length - self.ahead + 1


def _keys(values: Float[Tensor, "values ..."]) -> Int[Tensor, "pairs ..."]:
    """Return a whole number for each pair of values that follow each other."""
    bits = values.contiguous().view(torch.int32).long() & _LOW
    return (bits[:-1] << 32) | bits[1:]


@functools.lru_cache(maxsize=8)
def _on(device: torch.device) -> Float[Tensor, "values"]:
    return _series().to(device)


@functools.cache
def _series() -> Float[Tensor, "values"]:
    """Return the stretches of all splits, one after the other."""
    whole_series = _solved(len(SPLITS) * (_SKIPPED + STRETCH))
    starts = [_SKIPPED + place * (_SKIPPED + STRETCH) for place in range(len(SPLITS))]
    values = [value for start in starts for value in whole_series[start : start + STRETCH]]
    mean = math.fsum(values[:STRETCH]) / STRETCH
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values[:STRETCH]) / STRETCH)
    return torch.tensor([(value - mean) / deviation for value in values])


def _solved(count: int) -> list[float]:
    """Return `count` values of the series, by Runge and Kutta, one delay after another.

    What delayed values add is known for a whole delay at once. The rest runs in Python's own
    floats, which no compiler fuses.
    """
    lag, step = _TAU * _SUBSTEPS, 1 / _SUBSTEPS
    series = [_FIRST] * (lag + 1)
    while len(series) < lag + count * _SUBSTEPS:
        delayed = torch.tensor(series[-lag - 1 :], dtype=torch.float64)
        at = _growth(delayed).tolist()
        between = _growth((delayed[:-1] + delayed[1:]) / 2).tolist()
        now = series[-1]
        for first, middle, last in zip(at[:-1], between, at[1:], strict=True):
            k1 = first - 0.1 * now
            k2 = middle - 0.1 * (now + step / 2 * k1)
            k3 = middle - 0.1 * (now + step / 2 * k2)
            k4 = last - 0.1 * (now + step * k3)
            now += step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            series.append(now)
    return series[lag::_SUBSTEPS][:count]


def _growth(delayed: Float[Tensor, "values"]) -> Float[Tensor, "values"]:
    """Return what delayed values add; the tenth power is of products, alike everywhere."""
    square = delayed * delayed
    fourth = square * square
    return 0.2 * delayed / (1 + fourth * fourth * square)
