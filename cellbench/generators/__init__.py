"""The generators that ship with cellbench. To add one: a file here, and a line below."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cellbench.generators.adding import Adding
from cellbench.generators.base import Generator
from cellbench.generators.composition import Composition
from cellbench.generators.compression import Compression
from cellbench.generators.copying import Copying
from cellbench.generators.fuzzy_recall import FuzzyRecall
from cellbench.generators.induction_heads import InductionHeads
from cellbench.generators.memorisation import Memorisation
from cellbench.generators.mqar import MultiQueryRecall
from cellbench.generators.noisy_recall import NoisyRecall
from cellbench.generators.overwrite import Overwrite
from cellbench.generators.recall import Recall
from cellbench.generators.selective_copying import SelectiveCopying

GENERATORS: Mapping[str, type[Generator]] = MappingProxyType(
    {
        "adding": Adding,
        "composition": Composition,
        "compression": Compression,
        "copying": Copying,
        "fuzzy_recall": FuzzyRecall,
        "induction_heads": InductionHeads,
        "memorisation": Memorisation,
        "mqar": MultiQueryRecall,
        "noisy_recall": NoisyRecall,
        "overwrite": Overwrite,
        "recall": Recall,
        "selective_copying": SelectiveCopying,
    }
)
"""Name in task files -> a frozen dataclass whose fields are the settings."""
