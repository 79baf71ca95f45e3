"""NARMA-10: follow a system that remembers ten steps of its input and of itself."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Vectors
from cellbench.generators.stream import Stream
from cellbench.options import whole

ORDER = 10
SETTLED = 60
"""The step from which on all are alike."""

_ONE = 2**24  # numbers are multiples of 1/this
_MEAN = 398 / 1024  # so that what is left is exact in float32
_SCALE = 9.166  # so that the variance is 1
_MEASURED_ON = 2**14


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Narma(Generator):
    """Show random numbers, and ask at every step for the output of a system that they drive.

        y(t+1) = .3 y(t) + .05 y(t) (y(t) + ... + y(t-9)) + 1.5 u(t-9) u(t) + .1

    With length=5, washout=9, sequence 0 of the training stream:

        input     .43   .33   .11   .06   .41   .04   .08   .46   .30   .04   .31   .23   .38   .17
        target      -     -     -     -     -     -     -     -     - -1.89  -.62 -1.17 -1.41  -.84

    Input u(t), uniform in [0, .5), comes with answer y(t+1). All is zero before the first
    step; the first `washout` steps are shown and not asked: it takes 60 until the system has
    forgotten how it began. Answers are scaled, (y - 398/1024) * 9.166, so that their variance
    is 1 from there on. It has no closed form: on 2**24 answers it was measured to be 1.000,
    with a standard error of .0013. The root of what is scored is the usual NRMSE. For a
    shorter washout, `trivial` measures the variance of the steps before on 2**14 sequences.

    The system can run away: about one sequence of 1000 steps in 50 would. So y is cut
    at 1, as we define it, which happens in one step of 17,000. Public code redraws, or
    saturates with tanh, which is another task.

    It is computed step by step, for all sequences at once, in whole numbers of 2**-24,
    rounded down: so every device has the same answers, and a longer sequence costs more.

    Source: Atiya & Parlos 2000, "New results on recurrent network training".
    Differs from it: y is cut at 1, and scaled.

    Attributes:
        length: Answers.
        washout: Steps before the first answer; 60 or more make all answers alike.
    """

    length: int
    washout: int

    def __post_init__(self) -> None:
        whole("length", self.length, low=1)
        whole("washout", self.washout, low=0)

    @property
    def reads(self) -> Reads:
        return Vectors(1)

    @property
    def answers(self) -> Answers:
        return Vectors(1)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        time = self.washout + self.length
        drive = stream.integers("inputs", index, time, below=_ONE // 2)
        states = _states(drive)
        step = torch.arange(time, device=index.device).unsqueeze(1)
        scored = (step >= self.washout).expand(time, len(index))
        inputs = (drive.float() / _ONE).unsqueeze(2)
        return Batch(inputs, _scaled(states, scored), scored, scored)

    def trivial(self) -> float:
        early = _early_variances()[self.washout : self.washout + self.length]
        return (sum(early) + self.length - len(early)) / self.length

    def oracle(self, inputs: Float[Tensor, "time batch 1"]) -> Float[Tensor, "time batch 1"]:
        """Run the system on the inputs, with the ten last states written out."""
        drive = (inputs[:, :, 0] * _ONE).long()
        past = [torch.zeros_like(drive[0])] * ORDER
        for step, now in enumerate(drive.unbind()):
            then = drive[step - ORDER + 1] if step >= ORDER - 1 else torch.zeros_like(now)
            window = past[-ORDER:]
            twentieths = (6 * _ONE * window[-1]) + window[-1] * sum(window)
            twentieths = twentieths + 30 * now * then + 2 * _ONE**2
            past.append((twentieths // (20 * _ONE)).clamp(max=_ONE))
        states = torch.stack(past[ORDER:])
        steps = torch.arange(len(inputs), device=inputs.device).unsqueeze(1)
        return _scaled(states, (steps >= self.washout).expand_as(states))

    def at_length(self, length: int) -> Narma:
        return dataclasses.replace(self, length=length)


def _states(drive: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
    """Return what the system is at after each input.

    Twenty times the next state is 6 y + y * (sum of ten y) + 30 u u' + 2, which has no fraction
    before the one division; its largest value is below 2**53.
    """
    pushes = torch.full_like(drive, 2 * _ONE**2)
    pushes[ORDER - 1 :] += drive[ORDER - 1 :] * drive[: 1 - ORDER] * 30
    states = torch.zeros_like(drive)
    state = total = torch.zeros_like(drive[0])
    for step, push in enumerate(pushes.unbind()):
        state = (state * (total + 6 * _ONE)).add_(push).floor_divide_(20 * _ONE).clamp_(max=_ONE)
        states[step] = state
        total = total + state
        if step >= ORDER:
            total -= states[step - ORDER]
    return states


@functools.cache
def _early_variances() -> tuple[float, ...]:
    """Return the variance of the answers of each step that is not yet like all others."""
    drive = Stream(0, "train").integers(
        "inputs", torch.arange(_MEASURED_ON), SETTLED, below=_ONE // 2
    )
    return tuple((_states(drive).double() / _ONE * _SCALE).var(dim=1, correction=0).tolist())


def _scaled(states: Int[Tensor, "time batch"], scored: Tensor) -> Float[Tensor, "time batch 1"]:
    answers = (states.float() / _ONE).sub(_MEAN).mul(_SCALE)
    return torch.where(scored, answers, 0.0).unsqueeze(2)
