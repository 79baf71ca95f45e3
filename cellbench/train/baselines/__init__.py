"""What stands in a table beside cells: who knows nothing, who knows all, and who only guesses.

    trivial         the closed form of what can be scored without seeing an input
    position        the same, measured
    random_search   the best of many small networks with random weights
    oracle          the algorithm that solves the task

To add one: a file here, and a line below.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any, NoReturn, cast, final

import torch

from cellbench.catalog import Task
from cellbench.errors import OptionError, UnknownNameError, did_you_mean
from cellbench.plugins import CellSpec, cell_names, parse_cell, read_cell
from cellbench.train.baselines.base import Baseline
from cellbench.train.baselines.oracle import Oracle
from cellbench.train.baselines.position import Position
from cellbench.train.baselines.random_search import RandomSearch
from cellbench.train.baselines.trivial import Trivial
from cellbench.train.learned import Learned

BASELINES: Mapping[str, type[Baseline]] = MappingProxyType(
    {"trivial": Trivial, "position": Position, "random_search": RandomSearch, "oracle": Oracle}
)
"""Name on the command line -> a frozen dataclass whose fields are its options."""


@final
@dataclass(frozen=True)
class BaselineSpec:
    """A baseline that was asked for; stands where the specification of a cell does.

    Attributes:
        text: The expression in canonical form.
        source_digest: SHA-256 of the file that defines it.
        baseline: What it is.
    """

    text: str
    source_digest: str
    baseline: Baseline = field(compare=False)

    def __str__(self) -> str:
        return self.text

    def build(self, input_size: int, hidden_size: int) -> NoReturn:
        """Raise OptionError: there is no cell."""
        del input_size, hidden_size
        raise OptionError(f"{self.text} is a baseline: there is no cell in it to build.")

    def learn(self, task: Task, seed: int, device: torch.device) -> Learned:
        """Return what it comes to on a level: it is tested, and never trained."""
        started = perf_counter()
        scores = self.baseline.scores(task, seed, device)
        solved = 0 if task.is_solved(scores.metric) else None
        return Learned(steps_to_solve=solved, test=scores, train_s=perf_counter() - started)


Spec = CellSpec | BaselineSpec
"""What may be asked for with `--cells`."""


def parse_subject(expression: str) -> Spec:
    """Read the expression of a cell or of a baseline.

    Raises:
        UnknownNameError: Nothing has a cell of that name.
        OptionError: The expression is malformed, or there is no such option.
        PluginError: The file, module, package or class cannot be used.
    """
    name, options, text = read_cell(expression)
    if name not in BASELINES:
        try:
            return parse_cell(expression)
        except UnknownNameError:
            if get_close_matches(name, BASELINES):
                raise UnknownNameError("cell", name, (*cell_names(), *BASELINES)) from None
            raise
    kind = BASELINES[name]
    known = [one.name for one in dataclasses.fields(cast("Any", kind))]
    for option in options:
        if option not in known:
            raise OptionError(f"{name} has no option {option!r}{did_you_mean(option, known)}")
    try:
        baseline = kind(**options)
    except OptionError as error:
        raise OptionError(f"{text}: {error}") from error
    source = Path(inspect.getfile(kind)).read_bytes()
    return BaselineSpec(text, hashlib.sha256(source).hexdigest(), baseline)
