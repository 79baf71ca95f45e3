"""Flip-flop: write bits, ignore others, and read the one written last."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import fair_bits, steps
from cellbench.generators.stream import Stream
from cellbench.options import between, choice, whole

_WRITE, _READ, _IGNORE, _BITS = range(4)  # the last: the first of two
_ALL = 100  # per cent
LOSSES = ("answer", "all")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FlipFlop(Generator):
    """Show instructions with a bit each; ask, after each read, for the bit written last.

    With length=16, ignore=40, loss=answer, sequence 13 of the training stream:

        input   w 0 w 0 i 0 r 0 r 0 w 1 r 1 r
        target  - - - - - - 0 - 0 - - - 1 - 1

    Token ids and classes: 0 write, 1 read, 2 ignore, then the bits 0 and 1. A bit after read
    is the one after the last write; bits after write and ignore are fair. The first
    instruction is write, the last is read. Every target is the next token, so the last token
    itself is not an input: the sequence is a step shorter than its text.

    Source: Liu et al. 2023, arXiv:2306.00946, there FFL(p); with 512 tokens.
    Differs from it: the loss looks at what is read unless loss=all.

    Attributes:
        length: Tokens of the text; even, and at least 4.
        ignore: Per cent of the instructions between the first and the last that say ignore;
            write and read share the rest equally.
        loss: Where the loss looks: `answer`, what is read; `all`, the next token throughout,
            though most of it is noise.
    """

    length: int
    ignore: int
    loss: str

    def __post_init__(self) -> None:
        whole("length", self.length, low=4)
        if self.length % 2:
            raise OptionError(f"length must be even, an instruction and a bit, not {self.length}.")
        whole("ignore", self.ignore, low=0)
        between("ignore", self.ignore, low=0, high=_ALL)
        choice("loss", self.loss, LOSSES)

    @property
    def reads(self) -> Reads:
        return Tokens(_BITS + 2, "wri01")

    @property
    def answers(self) -> Answers:
        return Tokens(_BITS + 2, "wri01")

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        pairs = self.length // 2
        instructions = self._instructions(stream, index)
        bits = fair_bits(stream, "bits", index, pairs)
        places = torch.where(instructions == _WRITE, steps(pairs, index), 0)
        written = bits.gather(0, places.cummax(dim=0).values)
        is_read = instructions == _READ
        text = index.new_empty((self.length, len(index)))
        text[0::2] = instructions
        text[1::2] = torch.where(is_read, written, bits).add_(_BITS)
        scored = torch.zeros_like(text[1:], dtype=torch.bool)
        scored[0::2] = is_read
        trained = scored if self.loss == "answer" else torch.ones_like(scored)
        return Batch(text[:-1], text[1:], scored, trained)

    def trivial(self) -> float:
        return 1 / 2

    def controls(self) -> Mapping[str, float]:
        """Tell what the latest bit gives away, whatever its instruction: all but ignored ones.

        The pair before a read is the first write, or may be any of the three.
        """
        pairs, ignored = self.length // 2, self.ignore / _ALL
        odds = (1 - ignored) / 2  # of a read at the pairs between
        after_any = 1 - ignored / 2
        if pairs == 2:  # noqa: PLR2004 -- one write, one read
            return {"the latest bit": 1.0}
        right = odds + ((pairs - 3) * odds + 1) * after_any
        return {"the latest bit": right / ((pairs - 2) * odds + 1)}

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Make a list of all that was written; each read takes the latest entry.

        Where nothing is read, the target is the next token, which can be seen.
        """
        instructions, bits = inputs[0::2], torch.zeros_like(inputs[0::2])
        bits[:-1] = inputs[1::2]
        is_write = instructions == _WRITE
        entry = is_write.cumsum(dim=0)  # from 1 on; what is not written goes to entry 0
        listed = torch.zeros_like(inputs).scatter_(0, entry * is_write, bits)
        targets = torch.zeros_like(inputs)
        targets[:-1] = inputs[1:]
        targets[0::2] = torch.where(instructions == _READ, listed.gather(0, entry), targets[0::2])
        return targets

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, length=length)

    def _instructions(
        self, stream: Stream, index: Int[Tensor, "batch"]
    ) -> Int[Tensor, "pairs batch"]:
        """Draw half per cents: up to twice `ignore` to ignore, the rest to write and to read."""
        drawn = stream.integers("instructions", index, self.length // 2, below=2 * _ALL)
        found = torch.where(drawn < 2 * self.ignore, _IGNORE, drawn & 1)
        found[0], found[-1] = _WRITE, _READ
        return found
