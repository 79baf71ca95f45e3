"""Two sequences: the first values tell which of two it is; then comes noise."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Odds, Reads, Tokens, Vectors
from cellbench.generators.hs97 import last_steps, longest
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole, whole_up_to

VARIANCE = 0.2
NOISES = ("rest", "everywhere")
GLYPHS = "01"
_GRID = 4096
_POINTS = 4000
_REACH = 10.0  # standard deviations


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSequence(Generator):
    """Show a sign first, then noise on the same line, and ask for the sign at the end.

    With length=10, informative=2, noise=rest, sequence 1 of the training stream:

        input   1.00 1.00  .50 -.10  .25 -.21  .38  .03  .13  .35  .46
        target     -    -    -    -    -    -    -    -    -    -    1

    With length=5, informative=1, noise=everywhere, sequence 3 of the training stream:

        input    .30  .20 -.26 -.14  .11
        target     -    -    -    -    1
        bits       -    -    -    -  .07

    The first `informative` values are all 1, class 1, or all -1, class 0; the others are
    Gaussian noise, of mean 0 and variance .2. A sequence has from `length` to 1.1 `length`
    steps, rounded down; after that, values are 0, which noise never is.

    With noise=everywhere the first values are noisy too. Then nobody can always name the
    class, and the score is the cross-entropy beyond that of whoever knows the odds: with s the
    sum of the first values, class 1 has odds of exp(2 s / .2) to 1. `bits` is
    what the true class costs them.

    Source: Bengio et al. 1994; this form, Hochreiter & Schmidhuber 1997, experiments 3a
    (noise=rest) and 3b (noise=everywhere). They found that guessing weights at random solves
    3a sooner than learning does: it is a check, and proves little.
    Differs from it: the answer is one of two classes, where it was a number near 1 or 0. Noise
    is one of 4096 values, the quantiles of the normal distribution in the middle of as many
    equal shares, so that it has the same bits everywhere. 3c, with noise on
    the targets, is not here: a target is what the inputs tell, in every split. As there,
    nothing is learned before the end.

    Attributes:
        length: Steps of the shortest sequence.
        informative: How many values tell the class; fewer than `length`.
        noise: Where noise is: `rest`, after those values; `everywhere`, on them as well.
    """

    length: int
    informative: int
    noise: str

    def __post_init__(self) -> None:
        whole("length", self.length, low=2)
        whole_up_to("informative", self.informative, low=1, high=self.length - 1, of="length - 1")
        choice("noise", self.noise, NOISES)

    @property
    def reads(self) -> Reads:
        return Vectors(1)

    @property
    def answers(self) -> Answers:
        return Tokens(2, GLYPHS) if self.noise == "rest" else Odds(2, GLYPHS)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        time = longest(self.length)
        kind = stream.integers("class", index, 1, below=2)
        end = last_steps(stream, index, self.length).unsqueeze(0)
        table = noise_values().to(index.device)
        values = table[stream.integers("noise", index, time, below=_GRID)]
        sign = (2 * kind - 1).to(values.dtype)
        if self.noise == "rest":
            values[: self.informative] = sign
        else:
            values[: self.informative] += sign
        values.masked_fill_(steps(len(values), values) > end, 0.0)
        asked = steps(len(values), values) == end
        targets = asked * kind
        optimum = None
        if self.noise != "rest":
            towards = sign * values[: self.informative].double().sum(0, keepdim=True)
            nats = torch.nn.functional.softplus(-2 * towards / VARIANCE)
            optimum = asked * nats.float()  # rounded once, so that devices agree
        return Batch(values.unsqueeze(2), targets, asked, asked, optimum)

    def trivial(self) -> float:
        if self.noise == "rest":
            return 0.5
        return 1 - _expected_bits(self.informative)

    def oracle(
        self, inputs: Float[Tensor, "time batch 1"]
    ) -> Int[Tensor, "time batch"] | Float[Tensor, "time batch 2"]:
        """Look at the first value; or, noisy, weigh the densities of both classes."""
        values = inputs.squeeze(2)
        if self.noise == "rest":
            ends = (values != 0).long().flip(0).cumsum(0).flip(0) == 1
            return ((values != 0) & ends & (values[:1] > 0)).long()
        told = values[: self.informative].double()
        density = torch.stack([(told - sign).square().sum(0) for sign in (-1, 1)], dim=-1)
        odds = (-density / (2 * VARIANCE)).log_softmax(-1).float()
        return odds.expand(len(values), *odds.shape)

    def at_length(self, length: int) -> TwoSequence:
        return replace(self, length=length)


@functools.lru_cache(maxsize=1)
def noise_values() -> Float[Tensor, "values"]:
    """Return the values that noise may have, rising."""
    normal = NormalDist(0, math.sqrt(VARIANCE))
    return torch.tensor([normal.inv_cdf((place + 0.5) / _GRID) for place in range(_GRID)])


@functools.lru_cache(maxsize=8)
def _expected_bits(informative: int) -> float:
    """Return the bits of a class for whoever knows its odds, on average: by trapezia.

    With m = 2 informative / variance, the logarithm of the odds of what is true is Gaussian,
    of mean m and variance 2 m.
    """
    mean = 2 * informative / VARIANCE
    normal = NormalDist(mean, math.sqrt(2 * mean))
    width = 2 * _REACH * normal.stdev / _POINTS
    points = (mean + width * (place - _POINTS / 2) for place in range(_POINTS + 1))
    nats = sum(normal.pdf(x) * (math.log1p(math.exp(-abs(x))) + max(-x, 0)) for x in points)
    return nats * width / math.log(2)
