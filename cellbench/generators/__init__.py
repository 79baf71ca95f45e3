"""The generators that ship with cellbench. To add one: a file here, and a line below."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cellbench.generators.adding import Adding
from cellbench.generators.adding_hs97 import AddingHS97
from cellbench.generators.base import Generator
from cellbench.generators.binary_addition import BinaryAddition
from cellbench.generators.binary_multiplication import BinaryMultiplication
from cellbench.generators.bracket_stream import BracketStream
from cellbench.generators.bracketed_arithmetic import BracketedArithmetic
from cellbench.generators.bucket_sort import BucketSort
from cellbench.generators.composition import Composition
from cellbench.generators.compression import Compression
from cellbench.generators.copy_first import CopyFirst
from cellbench.generators.copying import Copying
from cellbench.generators.count_recall import CountRecall
from cellbench.generators.counted_stream import CountedStream
from cellbench.generators.counters import Counters
from cellbench.generators.cycle_navigation import CycleNavigation
from cellbench.generators.delay_line import DelayLine
from cellbench.generators.denoising import Denoising
from cellbench.generators.denoising_copy import DenoisingCopy
from cellbench.generators.digit_addition import DigitAddition
from cellbench.generators.digits import Digits
from cellbench.generators.duplicate import Duplicate
from cellbench.generators.dyck import Dyck
from cellbench.generators.dynamic_ngrams import DynamicNgrams
from cellbench.generators.embedded_reber import EmbeddedReber
from cellbench.generators.even_pairs import EvenPairs
from cellbench.generators.flip_flop import FlipFlop
from cellbench.generators.fuzzy_recall import FuzzyRecall
from cellbench.generators.group_words import GroupWords
from cellbench.generators.in_context_dfa import InContextDFA
from cellbench.generators.induction_heads import InductionHeads
from cellbench.generators.lag_copy import LagCopy
from cellbench.generators.latch import Latch
from cellbench.generators.listops import ListOps
from cellbench.generators.mackey_glass import MackeyGlass
from cellbench.generators.majority import Majority
from cellbench.generators.marked_xor import MarkedXor
from cellbench.generators.memorisation import Memorisation
from cellbench.generators.memory_chain import MemoryChain
from cellbench.generators.missing_duplicate import MissingDuplicate
from cellbench.generators.modular_arithmetic import ModularArithmetic
from cellbench.generators.mqar import MultiQueryRecall
from cellbench.generators.multiplication import Multiplication
from cellbench.generators.n_back import NBack
from cellbench.generators.narma import Narma
from cellbench.generators.noisy_hold import NoisyHold
from cellbench.generators.noisy_recall import NoisyRecall
from cellbench.generators.ntm_copy import NtmCopy
from cellbench.generators.odds_first import OddsFirst
from cellbench.generators.overwrite import Overwrite
from cellbench.generators.parity import Parity
from cellbench.generators.priority_sort import PrioritySort
from cellbench.generators.random_permutation import RandomPermutation
from cellbench.generators.repeat_copy import RepeatCopy
from cellbench.generators.repeat_previous import RepeatPrevious
from cellbench.generators.reverse import Reverse
from cellbench.generators.selective_copying import SelectiveCopying
from cellbench.generators.shuffle_dyck import ShuffleDyck
from cellbench.generators.single_recall import SingleRecall
from cellbench.generators.solve_equation import SolveEquation
from cellbench.generators.square_root import SquareRoot
from cellbench.generators.stack_manipulation import StackManipulation
from cellbench.generators.temporal_order import TemporalOrder
from cellbench.generators.tomita import Tomita
from cellbench.generators.tree import Tree
from cellbench.generators.two_sequence import TwoSequence

GENERATORS: Mapping[str, type[Generator]] = MappingProxyType(
    {
        "adding": Adding,
        "adding_hs97": AddingHS97,
        "binary_addition": BinaryAddition,
        "binary_multiplication": BinaryMultiplication,
        "bracket_stream": BracketStream,
        "bracketed_arithmetic": BracketedArithmetic,
        "bucket_sort": BucketSort,
        "composition": Composition,
        "compression": Compression,
        "copy_first": CopyFirst,
        "copying": Copying,
        "count_recall": CountRecall,
        "counted_stream": CountedStream,
        "counters": Counters,
        "cycle_navigation": CycleNavigation,
        "delay_line": DelayLine,
        "denoising": Denoising,
        "denoising_copy": DenoisingCopy,
        "digit_addition": DigitAddition,
        "digits": Digits,
        "duplicate": Duplicate,
        "dyck": Dyck,
        "dynamic_ngrams": DynamicNgrams,
        "embedded_reber": EmbeddedReber,
        "even_pairs": EvenPairs,
        "flip_flop": FlipFlop,
        "fuzzy_recall": FuzzyRecall,
        "group_words": GroupWords,
        "in_context_dfa": InContextDFA,
        "induction_heads": InductionHeads,
        "lag_copy": LagCopy,
        "latch": Latch,
        "listops": ListOps,
        "mackey_glass": MackeyGlass,
        "majority": Majority,
        "marked_xor": MarkedXor,
        "memorisation": Memorisation,
        "memory_chain": MemoryChain,
        "missing_duplicate": MissingDuplicate,
        "modular_arithmetic": ModularArithmetic,
        "mqar": MultiQueryRecall,
        "multiplication": Multiplication,
        "n_back": NBack,
        "narma": Narma,
        "noisy_hold": NoisyHold,
        "noisy_recall": NoisyRecall,
        "ntm_copy": NtmCopy,
        "odds_first": OddsFirst,
        "overwrite": Overwrite,
        "parity": Parity,
        "priority_sort": PrioritySort,
        "random_permutation": RandomPermutation,
        "repeat_copy": RepeatCopy,
        "repeat_previous": RepeatPrevious,
        "reverse": Reverse,
        "selective_copying": SelectiveCopying,
        "shuffle_dyck": ShuffleDyck,
        "single_recall": SingleRecall,
        "solve_equation": SolveEquation,
        "square_root": SquareRoot,
        "stack_manipulation": StackManipulation,
        "temporal_order": TemporalOrder,
        "tomita": Tomita,
        "tree": Tree,
        "two_sequence": TwoSequence,
    }
)
"""Name in task files -> a frozen dataclass whose fields are the settings."""
