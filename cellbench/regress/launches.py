"""One launch: two fresh processes, and rounds in which each times a block right after the other."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cellbench.record import Failure
from cellbench.regress.plan import BLOCK_S, GatePlan, Key
from cellbench.regress.process import Arm, failure_of
from cellbench.verdicts import Block

ORDER_LIMIT_S = 300.0
"""How long a side may take to warm a cell up, or to time one block."""

WAITED = 0.1
"""Share of a block spent waiting for a CPU from which on the round says nothing."""

MOST_CALLS = 4096

SIDES = ("base", "head")


@dataclass(slots=True)
class Timed:
    """What one launch found.

    Attributes:
        blocks: Of each cell and metric that both sides could time.
        failed: (side, cell) -> why it could not be prepared or timed.
    """

    blocks: list[Block] = field(default_factory=list)
    failed: dict[tuple[str, str], Failure] = field(default_factory=dict)


@dataclass(slots=True)
class _Rounds:
    """The rounds of one cell and metric so far."""

    calls: int
    seconds: dict[str, list[float]]
    dropped: list[int] = field(default_factory=list)


def time_launch(
    arms: Sequence[Arm],
    plan: GatePlan,
    keys: Iterable[Key],
    order: random.Random,
    tick: Callable[[], None] = lambda: None,
) -> Timed:
    """Time `keys` on the arms of base and head; of head alone where there is one.

    Round for round goes through all cells and metrics, so that what drifts slowly touches all
    alike; which side is first changes from round to round, from a random start.

    Args:
        arms: Base's and head's, fresh.
        plan: Rounds and metrics.
        keys: What to time; the control among them.
        order: Decides who is first.
        tick: Called after each round.
    """
    sides = dict(zip(SIDES[-len(arms) :], arms, strict=True))
    found = Timed()
    rounds = _prepare(sides, list(keys), found)
    for number in range(plan.rounds):
        turn = order.randrange(2)
        for (cell, metric), so_far in rounds.items():
            if any((side, cell) in found.failed for side in sides):
                continue
            names = sorted(sides, reverse=bool((number + turn) % 2))
            turns = {name: sides[name] for name in names}
            _time_round((cell, metric), number, turns, so_far, found)
        tick()
    found.blocks = [
        Block(
            cell=cell,
            metric=metric,
            calls=so_far.calls,
            base_s=tuple(so_far.seconds.get("base", ())),
            head_s=tuple(so_far.seconds["head"]),
            dropped=tuple(so_far.dropped),
        )
        for (cell, metric), so_far in rounds.items()
        if not any((side, cell) in found.failed for side in sides)
    ]
    return found


def _prepare(sides: dict[str, Arm], keys: Sequence[Key], found: Timed) -> dict[Key, _Rounds]:
    """Warm every cell up on every side; decide how many calls make a block."""
    rounds = {}
    for cell in dict.fromkeys(cell for cell, _ in keys):
        metrics = [metric for one, metric in keys if one == cell]
        slowest_s = dict.fromkeys(metrics, 0.0)
        for side, arm in sides.items():
            order = {"do": "prepare", "cell": cell, "metrics": metrics}
            answer = arm.ask(order, ORDER_LIMIT_S)
            why = failure_of(answer)
            if why is not None:
                found.failed[side, cell] = why
                break
            for metric in metrics:
                slowest_s[metric] = max(slowest_s[metric], answer["once_s"][metric])
        else:
            for metric in metrics:
                calls = math.ceil(BLOCK_S / max(slowest_s[metric], BLOCK_S / MOST_CALLS))
                rounds[cell, metric] = _Rounds(calls, {side: [] for side in sides})
    return rounds


def _time_round(
    key: Key, number: int, sides: dict[str, Arm], so_far: _Rounds, found: Timed
) -> None:
    (cell, metric), disturbed = key, False
    order = {"do": "time", "cell": cell, "metric": metric, "calls": so_far.calls}
    for side, arm in sides.items():
        answer = arm.ask(order, ORDER_LIMIT_S)
        why = failure_of(answer)
        if why is not None:
            found.failed[side, cell] = why
            return
        so_far.seconds[side].append(answer["s"])
        waited = answer.get("waited_s", 0.0) / answer["s"] > WAITED
        disturbed |= waited or answer.get("page_reads", 0) > 0
    if disturbed:
        so_far.dropped.append(number)
