"""The generators that ship with cellbench. To add one: a file here, and a line below."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cellbench.generators.adding import Adding
from cellbench.generators.base import Generator
from cellbench.generators.bracket_stream import BracketStream
from cellbench.generators.copying import Copying
from cellbench.generators.counted_stream import CountedStream
from cellbench.generators.dynamic_ngrams import DynamicNgrams
from cellbench.generators.lag_copy import LagCopy
from cellbench.generators.noisy_hold import NoisyHold
from cellbench.generators.tree import Tree

GENERATORS: Mapping[str, type[Generator]] = MappingProxyType(
    {
        "adding": Adding,
        "bracket_stream": BracketStream,
        "copying": Copying,
        "counted_stream": CountedStream,
        "dynamic_ngrams": DynamicNgrams,
        "lag_copy": LagCopy,
        "noisy_hold": NoisyHold,
        "tree": Tree,
    }
)
"""Name in task files -> a frozen dataclass whose fields are the settings."""
