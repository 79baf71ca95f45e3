"""What a generator is."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from jaxtyping import Bool, Float, Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.stream import Stream


@dataclass(frozen=True, slots=True)
class Tokens:
    """Ids from 0 to `size - 1`; as targets, classes.

    Attributes:
        size: How many there are.
        glyphs: What each is drawn as: a character each, or a string each; () for its number.
    """

    size: int
    glyphs: str | tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Fields:
    """Several ids a step, each of its own table; as inputs only.

    Attributes:
        sizes: Of the tables: field f has ids from 0 to `sizes[f] - 1`.
        glyphs: Of each table, as in `Tokens`; () for numbers everywhere.
    """

    sizes: tuple[int, ...]
    glyphs: tuple[str | tuple[str, ...], ...] = field(default=(), compare=False)

    @property
    def size(self) -> int:
        """Ids of all tables together."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of `size` real numbers; as targets, values to regress."""

    size: int


@dataclass(frozen=True, slots=True)
class Bits:
    """Vectors of `size` zeros and ones; as targets only. Each bit is scored by itself."""

    size: int


@dataclass(frozen=True, slots=True)
class Sets:
    """Subsets of `size` symbols, as zeros and ones; as targets only. Right only as a whole.

    Attributes:
        size: How many symbols there are.
        glyphs: As in `Tokens`.
    """

    size: int
    glyphs: str | tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Odds:
    """Classes from 0 to `size - 1` drawn with known odds; as targets only.

    Nobody can name the class. What is scored is the cross-entropy beyond that of whoever knows
    the odds, which is the batch's `optimum`.

    Attributes:
        size: How many classes there are.
        glyphs: As in `Tokens`.
    """

    size: int
    glyphs: str | tuple[str, ...] = field(default=(), compare=False)


Reads = Tokens | Fields | Vectors
Answers = Tokens | Vectors | Bits | Sets | Odds
Space = Reads | Answers

METRICS: Mapping[type, str] = MappingProxyType(
    {Tokens: "accuracy", Bits: "accuracy", Sets: "accuracy", Vectors: "mse", Odds: "excess"}
)
"""What targets are made of -> how they are scored, unless a generator says otherwise."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences to learn from, time first.

    Attributes:
        inputs: Token ids `[time, batch]` (int64), ids `[time, batch, fields]` (int64), or
            floats `[time, batch, features]`.
        targets: Class ids `[time, batch]` (int64), or floats `[time, batch, values]`; bits and
            sets are floats too.
        scored: Where the metric looks.
        trained: Where the loss looks; the same as `scored` unless a variant says otherwise.
        optimum: For Odds: nats of each target for whoever knows its odds, given all that was
            shown before (float32); 0 where nothing is scored.
    """

    inputs: Tensor
    targets: Tensor
    scored: Bool[Tensor, "time batch"]
    trained: Bool[Tensor, "time batch"]
    optimum: Float[Tensor, "time batch"] | None = None


class Generator(abc.ABC):
    """Draws sequences. Concrete ones are frozen dataclasses; their fields are the settings.

    A generator checks its settings when it is made, and raises OptionError.
    """

    @property
    @abc.abstractmethod
    def reads(self) -> Reads:
        """What the inputs are made of."""

    @property
    @abc.abstractmethod
    def answers(self) -> Answers:
        """What the targets are made of."""

    @property
    def metric(self) -> str:
        """How answers are scored: "accuracy", "exact", "mse" or "excess".

        Over the scored positions of all sequences: the share that is right; the share of
        sequences that are right throughout; the mean squared error; or bits a sequence of
        cross-entropy beyond the optimum.
        """
        return METRICS[type(self.answers)]

    @abc.abstractmethod
    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        """Draw the sequences numbered `index`, on the device of `index`."""

    @abc.abstractmethod
    def trivial(self) -> float:
        """Return the metric of the best predictor that knows no more than where it is asked.

        It sees the number of the step, and how long the sequence is, and none of the inputs.
        """

    @abc.abstractmethod
    def oracle(self, inputs: Tensor) -> Tensor:
        """Return the targets, found from the inputs alone: perfect wherever it is scored.

        For Odds, the logarithm of the odds of each class `[time, batch, size]`.
        """

    def controls(self) -> Mapping[str, float]:
        """Return the metric of predictors that know a part of the task, by what they know."""
        return {}

    def at_length(self, length: int) -> Generator:
        """Return the same task at another length, to test what was learned at this one.

        Raises:
            OptionError: It has no such length.
        """
        raise OptionError(f"{type(self).__name__} has no length to be tested at, such as {length}.")
