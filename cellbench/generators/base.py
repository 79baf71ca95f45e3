"""What a generator is."""

from __future__ import annotations

import abc
from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor

from cellbench.generators.stream import Stream


@dataclass(frozen=True, slots=True)
class Tokens:
    """Ids from 0 to `size - 1`; as targets, classes."""

    size: int


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of `size` real numbers; as targets, values to regress."""

    size: int


Space = Tokens | Vectors


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences to learn from, time first.

    Attributes:
        inputs: Token ids `[time, batch]` (int64), or floats `[time, batch, features]`.
        targets: Class ids `[time, batch]` (int64), or floats `[time, batch, values]`.
        scored: Where the metric looks.
        trained: Where the loss looks; the same as `scored` unless a variant says otherwise.
    """

    inputs: Tensor
    targets: Tensor
    scored: Bool[Tensor, "time batch"]
    trained: Bool[Tensor, "time batch"]


class Generator(abc.ABC):
    """Draws sequences. Concrete ones are frozen dataclasses; their fields are the settings.

    A generator checks its settings when it is made, and raises OptionError.
    """

    @property
    @abc.abstractmethod
    def reads(self) -> Space:
        """What the inputs are made of."""

    @property
    @abc.abstractmethod
    def answers(self) -> Space:
        """What the targets are made of."""

    @abc.abstractmethod
    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        """Draw the sequences numbered `index`, on the device of `index`."""

    @abc.abstractmethod
    def trivial(self) -> float:
        """Return the metric of the best predictor that remembers nothing."""

    @abc.abstractmethod
    def oracle(self, inputs: Tensor) -> Tensor:
        """Return the targets, found from the inputs alone: perfect wherever it is scored."""
