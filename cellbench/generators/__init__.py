"""The generators that ship with cellbench. To add one: a file here, and a line below."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cellbench.generators.adding import Adding
from cellbench.generators.base import Generator
from cellbench.generators.bucket_sort import BucketSort
from cellbench.generators.copying import Copying
from cellbench.generators.count_recall import CountRecall
from cellbench.generators.cycle_navigation import CycleNavigation
from cellbench.generators.duplicate import Duplicate
from cellbench.generators.even_pairs import EvenPairs
from cellbench.generators.flip_flop import FlipFlop
from cellbench.generators.group_words import GroupWords
from cellbench.generators.majority import Majority
from cellbench.generators.marked_xor import MarkedXor
from cellbench.generators.missing_duplicate import MissingDuplicate
from cellbench.generators.modular_arithmetic import ModularArithmetic
from cellbench.generators.odds_first import OddsFirst
from cellbench.generators.parity import Parity
from cellbench.generators.random_permutation import RandomPermutation
from cellbench.generators.reverse import Reverse

GENERATORS: Mapping[str, type[Generator]] = MappingProxyType(
    {
        "adding": Adding,
        "bucket_sort": BucketSort,
        "copying": Copying,
        "count_recall": CountRecall,
        "cycle_navigation": CycleNavigation,
        "duplicate": Duplicate,
        "even_pairs": EvenPairs,
        "flip_flop": FlipFlop,
        "group_words": GroupWords,
        "majority": Majority,
        "marked_xor": MarkedXor,
        "missing_duplicate": MissingDuplicate,
        "modular_arithmetic": ModularArithmetic,
        "odds_first": OddsFirst,
        "parity": Parity,
        "random_permutation": RandomPermutation,
        "reverse": Reverse,
    }
)
"""Name in task files -> a frozen dataclass whose fields are the settings."""
