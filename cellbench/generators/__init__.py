"""The generators that ship with cellbench. To add one: a file here, and a line below."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cellbench.generators.adding import Adding
from cellbench.generators.base import Generator
from cellbench.generators.binary_addition import BinaryAddition
from cellbench.generators.binary_multiplication import BinaryMultiplication
from cellbench.generators.bracketed_arithmetic import BracketedArithmetic
from cellbench.generators.copying import Copying
from cellbench.generators.counters import Counters
from cellbench.generators.dyck import Dyck
from cellbench.generators.listops import ListOps
from cellbench.generators.priority_sort import PrioritySort
from cellbench.generators.shuffle_dyck import ShuffleDyck
from cellbench.generators.solve_equation import SolveEquation
from cellbench.generators.square_root import SquareRoot
from cellbench.generators.stack_manipulation import StackManipulation

GENERATORS: Mapping[str, type[Generator]] = MappingProxyType(
    {
        "adding": Adding,
        "binary_addition": BinaryAddition,
        "binary_multiplication": BinaryMultiplication,
        "bracketed_arithmetic": BracketedArithmetic,
        "copying": Copying,
        "counters": Counters,
        "dyck": Dyck,
        "listops": ListOps,
        "priority_sort": PrioritySort,
        "shuffle_dyck": ShuffleDyck,
        "solve_equation": SolveEquation,
        "square_root": SquareRoot,
        "stack_manipulation": StackManipulation,
    }
)
"""Name in task files -> a frozen dataclass whose fields are the settings."""
