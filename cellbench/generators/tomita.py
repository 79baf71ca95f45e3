"""Tomita's languages: tell whether a string of zeros and ones belongs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple, final

from jaxtyping import Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.automata import Automaton, ends, powers, states_after, walks
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole_between, whole_up_to

BLANK = 0
FIRST_SYMBOL = 1
LOSSES = ("answer", "all")
_LONGEST = 512


class _Language(NamedTuple):
    """A language by its automaton, which starts in state 0.

    Attributes:
        automaton: Of each state, where 0 and 1 lead.
        accepts: The states of strings that belong.
    """

    automaton: Automaton
    accepts: frozenset[int]


def _language(*moves: tuple[int, int], accepts: str) -> _Language:
    return _Language(Automaton(moves), frozenset(map(int, accepts)))


LANGUAGES: Mapping[int, _Language] = MappingProxyType(
    {
        1: _language((1, 0), (1, 1), accepts="0"),
        2: _language((2, 1), (0, 2), (2, 2), accepts="0"),
        # Ones even; odd; then, after an odd run of ones, zeros odd; even; lost
        3: _language((0, 1), (2, 0), (3, 4), (2, 3), (4, 4), accepts="013"),
        4: _language((1, 0), (2, 0), (3, 0), (3, 3), accepts="012"),
        5: _language((1, 2), (0, 3), (3, 0), (2, 1), accepts="0"),
        6: _language((1, 2), (2, 0), (0, 1), accepts="0"),
        7: _language((0, 1), (2, 1), (2, 3), (4, 3), (4, 4), accepts="0123"),
    }
)
"""Number of a language -> its automaton."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Tomita(Generator):
    """Show a string of zeros and ones, and ask at its end whether it belongs to a language.

    With language=4, shortest=4, longest=8, loss=answer, sequence 2 of the training stream:

        input   0 1 0 1 0 1 . .
        target  - - - - - 1 - -

    `.` is after the end. The answer 1 is "belongs". The languages:

        1   1*: ones alone
        2   (10)*
        3   no odd run of ones that an odd run of zeros follows, at once or later
        4   no 000
        5   zeros and ones both even in number
        6   as many zeros as ones, modulo 3
        7   0*1*0*1*

    Half of the strings of every length belong, so that length tells nothing; those that do are
    equally likely, and so are those that do not. Lengths are equally likely as well, but for
    those at which all or no strings belong: of these there are none.

    Source: Tomita 1982; in the words usual since.
    Differs from it: there, a language came with a few fixed strings; what is drawn, and the
    balance at every length, is as we define it. Some read language 3 as "follows at once".

    Attributes:
        language: Its number, 1 to 7.
        shortest: Symbols of a string at least.
        longest: Symbols of a string at most.
        loss: Where the loss looks: at the `answer`, or `all`: after every symbol, whether the
            string would belong if it ended there.
    """

    language: int
    shortest: int
    longest: int
    loss: str

    def __post_init__(self) -> None:
        whole_between("language", self.language, low=min(LANGUAGES), high=max(LANGUAGES))
        whole_between("longest", self.longest, low=1, high=_LONGEST)
        whole_up_to("shortest", self.shortest, low=1, high=self.longest, of="longest")
        choice("loss", self.loss, LOSSES)
        if not _balanced(self.language, self.shortest, self.longest):
            raise OptionError(
                f"longest must be more than {self.longest}: language {self.language} has only "
                f"strings of one answer from shortest={self.shortest} on."
            )

    @property
    def reads(self) -> Reads:
        return Tokens(3, ".01")

    @property
    def answers(self) -> Answers:
        return Tokens(2, "01")

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        automaton = LANGUAGES[self.language].automaton
        counts = _balanced(self.language, self.shortest, self.longest)
        weights = tuple(both[kind] for both in counts.values() for kind in (0, 1))
        row = stream.integers("length", index, 1, below=len(counts))[0]
        belongs = stream.integers("belongs", index, 1, below=2)[0]
        length = index.new_tensor(list(counts))[row]
        end = ends(stream, "end", index, weights, 2 * row + belongs)
        walk = walks(
            stream, index, automaton, start=0, end=end, length=length, longest=self.longest
        )
        ids = walk.symbols + FIRST_SYMBOL
        there = steps(len(ids), ids) < length
        scored = steps(len(ids), ids) == length - 1
        targets = self._belongs(walk.states[1:]) * there
        return Batch(ids * there, targets, scored, scored if self.loss == "answer" else there)

    def trivial(self) -> float:
        return 0.5

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Run the automaton over the symbols shown."""
        states = states_after(LANGUAGES[self.language].automaton, 0, inputs - FIRST_SYMBOL)
        return self._belongs(states) * (inputs != BLANK)

    def at_length(self, length: int) -> Tomita:
        return replace(self, shortest=length, longest=length)

    def _belongs(self, states: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        automaton, accepts = LANGUAGES[self.language]
        return states.new_tensor([int(s in accepts) for s in range(automaton.states)])[states]


Counts = tuple[int, ...]


@functools.lru_cache(maxsize=256)
def _balanced(language: int, shortest: int, longest: int) -> Mapping[int, tuple[Counts, Counts]]:
    """Return how many strings end in each state, by length: of those that do not belong, and do.

    Lengths at which there are none of either are left out.
    """
    automaton, accepts = LANGUAGES[language]
    states = range(automaton.states)
    found = {}
    for length in range(shortest, longest + 1):
        counts = powers(automaton, longest)[length][0]
        without = tuple(counts[s] * (s not in accepts) for s in states)
        within = tuple(counts[s] * (s in accepts) for s in states)
        if any(without) and any(within):
            found[length] = (without, within)
    return found
