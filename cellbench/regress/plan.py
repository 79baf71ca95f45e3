"""What a gate will do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cellbench.record import Sizes

Key = tuple[str, str]
"""Cell and metric."""

METRICS = ("train_step", "inference", "streaming")
"""What can be timed."""

CELLS = "lstm,gru,hyperlstm,lstmn,min_gru,rnn"
"""Gated where no others are named: gates, weights that are made, a tape, a scan, and the least."""

CONTROL = "torch.nn:LSTM"
"""The same code on both sides, since it is torch's: if its ratio moves, something else did."""

FEWEST_LAUNCHES = 5
"""Below this an interval looks certain and is not."""

BLOCK_S = 0.02
"""Wanted length of a timed block."""

MARGIN = 0.03
"""Smallest change of a time that matters, as a share."""

ALPHA = 0.05
"""Chance of finding what is not there, in each stage, over all comparisons together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlan:
    """All that a gate needs to know, besides its two trees.

    Attributes:
        cells: Expressions of what is gated.
        control: Of what must not move; "" for none.
        metrics: That are timed.
        sizes: Of all cells; `input` is `hidden`.
        launches: Pairs of processes; as many again to confirm a regression.
        rounds: Pairs of blocks of each cell and metric in a launch.
        margin: Smallest change that matters.
        level: Task level that cells learn where their first steps differ; "" for none.
        seeds: For that.
        first_steps: Training steps whose losses are compared bit by bit.
        accepted: (cell, metric) whose change is meant.
        device: As torch names it; `threads` of each process.
        time_limit_s: After which no further launch begins; None for no limit.
    """

    cells: tuple[str, ...]
    control: str = CONTROL
    metrics: tuple[str, ...] = ("train_step", "inference")
    sizes: Sizes = Sizes(time=24, batch=8, input=64, hidden=64)  # noqa: RUF009 -- frozen
    launches: int = 8
    rounds: int = 16
    margin: float = MARGIN
    level: str = "copying/tiny"
    seeds: tuple[int, ...] = tuple(range(10))
    first_steps: int = 6
    accepted: frozenset[tuple[str, str]] = frozenset()
    device: str = "cpu"
    threads: int = 1
    unroll: str = "auto"
    time_limit_s: float | None = None
    floors: Mapping[str, float] = field(default_factory=dict)

    @property
    def setting(self) -> dict[str, Any]:
        """The first order of every process."""
        return {
            "device": self.device,
            "threads": self.threads,
            "unroll": self.unroll,
            "sizes": {
                "time": self.sizes.time, "batch": self.sizes.batch, "hidden": self.sizes.hidden,
            },
        }  # fmt: skip

    def margin_of(self, cell: str, metric: str) -> float:
        """Return the smallest change that matters and can be told from this machine's noise."""
        return max(self.margin, self.floors.get(f"{cell} {metric}", 0.0))
