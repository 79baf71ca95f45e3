"""The generators that ship with cellbench. To add one: a file here, and a line below."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cellbench.generators.adding import Adding
from cellbench.generators.adding_hs97 import AddingHS97
from cellbench.generators.base import Generator
from cellbench.generators.copying import Copying
from cellbench.generators.digit_addition import DigitAddition
from cellbench.generators.embedded_reber import EmbeddedReber
from cellbench.generators.in_context_dfa import InContextDFA
from cellbench.generators.latch import Latch
from cellbench.generators.memory_chain import MemoryChain
from cellbench.generators.multiplication import Multiplication
from cellbench.generators.temporal_order import TemporalOrder
from cellbench.generators.tomita import Tomita
from cellbench.generators.two_sequence import TwoSequence

GENERATORS: Mapping[str, type[Generator]] = MappingProxyType(
    {
        "adding": Adding,
        "adding_hs97": AddingHS97,
        "copying": Copying,
        "digit_addition": DigitAddition,
        "embedded_reber": EmbeddedReber,
        "in_context_dfa": InContextDFA,
        "latch": Latch,
        "memory_chain": MemoryChain,
        "multiplication": Multiplication,
        "temporal_order": TemporalOrder,
        "tomita": Tomita,
        "two_sequence": TwoSequence,
    }
)
"""Name in task files -> a frozen dataclass whose fields are the settings."""
