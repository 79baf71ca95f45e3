"""Embedded Reber grammar: what may come next, in a string that ends as it began."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.automata import (
    NOWHERE,
    Automaton,
    ends,
    powers,
    states_after,
    walks,
)
from cellbench.generators.base import Answers, Batch, Generator, Reads, Sets, Tokens
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole_between, whole_up_to

SYMBOLS = "BTPSXVE"
ASKED = ("all", "long_lag")
LOSSES = ("answer", "all")
BLANK = 0
FIRST_SYMBOL = 1
_SHORTEST, _LONGEST = 5, 512

_ARCS: tuple[dict[str, int], ...] = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
    {},
)
"""State of the Reber grammar -> symbols that may come, and where they lead."""

_END = len(_ARCS) - 1
_GATES = "TP"


def _automaton(arcs: tuple[dict[str, int], ...]) -> Automaton:
    return Automaton(tuple(tuple(state.get(s, NOWHERE) for s in SYMBOLS) for state in arcs))


def _embedded() -> tuple[dict[str, int], ...]:
    """Return the arcs of the whole: B, a gate, a Reber string, the same gate, E."""
    size = len(_ARCS)
    inner = {gate: 2 + place * size for place, gate in enumerate(_GATES)}
    closed = 2 + len(_GATES) * size
    arcs = [{"B": 1}, inner]
    for gate, first in inner.items():
        arcs += [{s: first + to for s, to in state.items()} for state in _ARCS[:-1]]
        arcs.append({gate: closed})
    return (*arcs, {"E": closed + 1}, {})


REBER, EMBEDDED = _automaton(_ARCS), _automaton(_embedded())
_DONE = EMBEDDED.states - 1
_ID = {symbol: FIRST_SYMBOL + place for place, symbol in enumerate(SYMBOLS)}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedReber(Generator):
    """Show a string of a grammar, and ask at each step which symbols may come next.

    With shortest=5, longest=8, asked=all, loss=all, sequence 0 of the training stream:

        input    B  P  B  P  V  V  E  P  E  .  .  .
        target  TP  B TP TV PV  E  P  E  -  -  -  -

    A string is B, then T or P, then a Reber string R, then the same T or P, then E; `.` is
    after it. R is B...E itself, and both E are the same symbol. After R, only who remembers
    the second symbol knows what comes: that is the long lag, and all else is within reach of
    a few steps. A step is right if the whole set is. Sets are those of the grammar, whatever
    `longest` leaves out.

    In the grammar each symbol that may come next is equally likely. R is drawn from it given
    that R has from `shortest` to `longest` symbols: its length first, with the odds of the
    grammar, then one of all R of that length, which are equally likely.

    The score is the share of strings that are right at every step. Without memory the best is
    to guess the likeliest string, a shortest one.

    Source: Smith & Zipser 1989; Hochreiter & Schmidhuber 1997, experiment 1.
    Differs from it: R has bounds, so that the lag can be chosen; of the unbounded grammar,
    strings are those of shortest=5 and a large `longest`. Published criteria count a step as
    right if the strongest outputs are the symbols that may come.

    Attributes:
        shortest: Symbols of R at least, its B and E included; 5 is the shortest there is.
        longest: Symbols of R at most.
        asked: `all` steps but the last; `long_lag`, only what comes after R.
        loss: Where the loss looks: `all` steps but the last, or the `answer` that is asked;
            `all` where all is asked.
    """

    shortest: int
    longest: int
    asked: str
    loss: str

    def __post_init__(self) -> None:
        whole_between("longest", self.longest, low=_SHORTEST, high=_LONGEST)
        whole_up_to("shortest", self.shortest, low=_SHORTEST, high=self.longest, of="longest")
        choice("asked", self.asked, ASKED)
        choice("loss", self.loss, LOSSES)
        if self.asked == "all" and self.loss != "all":
            raise OptionError(f"loss must be all where asked=all, not {self.loss!r}.")

    @property
    def reads(self) -> Reads:
        return Tokens(FIRST_SYMBOL + len(SYMBOLS), "." + SYMBOLS)

    @property
    def answers(self) -> Answers:
        return Sets(len(SYMBOLS), SYMBOLS)

    @property
    def metric(self) -> str:
        """Of whole strings: a step alone is nearly always right without the long lag."""
        return "exact"

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        weights = (_weights(self.shortest, self.longest),)
        length = self.shortest + ends(stream, "length", index, weights, torch.zeros_like(index))
        end = torch.full_like(index, _END)
        inner = walks(stream, index, REBER, start=0, end=end, length=length, longest=self.longest)
        inside = steps(len(inner.symbols), inner.symbols) < length
        gate = stream.integers("gate", index, 1, below=len(_GATES))[0]
        second = _ID["T"] + gate  # T and P follow each other in SYMBOLS
        shown = torch.where(inside, inner.symbols + FIRST_SYMBOL, BLANK)
        ids = _framed(shown, length, (_ID["B"], second), (second, _ID["E"]))
        first = 2 + gate * len(_ARCS)  # where R starts in the whole automaton
        states = torch.where(inside, inner.states[1:] + first, _DONE)
        states = _framed(states, length, (1, first), (_DONE - 1, _DONE), rest=_DONE)
        step = steps(len(ids), ids)
        everywhere, answer = step < length + 3, step == length + 1
        scored = everywhere if self.asked == "all" else answer
        trained = everywhere if self.loss == "all" else answer
        return Batch(ids, _legal(states), scored, trained)

    def trivial(self) -> float:
        if self.asked == "long_lag":
            return 0.5
        likeliest = 1 << (self.longest - self.shortest)
        return likeliest / sum(_weights(self.shortest, self.longest)) / len(_GATES)

    def controls(self) -> Mapping[str, float]:
        return {"the grammar, but not how the string began": 1 / len(_GATES)}

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Float[Tensor, "time batch symbols"]:
        """Run the automaton of the whole grammar over the symbols shown."""
        return _legal(states_after(EMBEDDED, 0, inputs - FIRST_SYMBOL))

    def at_length(self, length: int) -> EmbeddedReber:
        """Return the task of strings whose R has exactly `length` symbols."""
        return replace(self, shortest=length, longest=length)


@functools.lru_cache(maxsize=64)
def _weights(shortest: int, longest: int) -> tuple[int, ...]:
    """Return how likely each length of R is, from the shortest: whole numbers."""
    counts = powers(REBER, longest)
    return tuple(
        counts[length][0][_END] << (longest - length)  # all but B and E are one of two
        for length in range(shortest, longest + 1)
    )


Column = Int[Tensor, "batch"] | int


def _framed(
    inner: Int[Tensor, "time batch"],
    length: Int[Tensor, "batch"],
    before: tuple[Column, Column],
    after: tuple[Column, Column],
    *,
    rest: int = BLANK,
) -> Int[Tensor, "_ batch"]:
    """Return `inner` with two steps before it, two after its `length`, and then the `rest`."""
    whole = inner.new_full((len(inner) + 4, inner.shape[1]), rest)
    whole[0], whole[1], whole[2:-2] = *before, inner
    step = steps(len(whole), whole)
    for place, value in enumerate(after):
        whole = torch.where(step == length + 2 + place, value, whole)
    return whole


def _legal(states: Int[Tensor, "time batch"]) -> Float[Tensor, "time batch symbols"]:
    """Return what may come after each state of the whole grammar."""
    table = torch.tensor(EMBEDDED.moves) != NOWHERE
    return table.float().to(states.device)[states]
