"""Sides that are no processes: what they answer is known, and time is made up."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

from cellbench.record import Sizes
from cellbench.regress.gate import Gate
from cellbench.regress.plan import GatePlan

CONTROL = "control"
KEY = {"device": "toy", "threads": "1", "torch": "0", "dtype": "float32"}


@dataclass
class FakeArm:
    """Answers as a side would whose cell "slow" takes `slower` times as long.

    Attributes:
        noise: Standard deviation of the logarithm of a block.
        broken: Cell -> error, by what is asked of it.
    """

    order: random.Random
    drift: float = 1.0
    slower: dict[str, float] = field(default_factory=dict)
    noise: float = 0.01
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    skills: dict[str, float] = field(default_factory=dict)
    closed: bool = False

    def ask(self, order, limit_s):
        cell, do = order["cell"], order["do"]
        if (do, cell) in self.broken:
            return {"error": self.broken[do, cell]}
        if do == "prepare":
            return {"way": "stepwise", "once_s": dict.fromkeys(order["metrics"], 0.01)}
        if do == "time":
            seconds = 0.01 * order["calls"] * self.drift * self.slower.get(cell, 1.0)
            return {"s": seconds * math.exp(self.order.gauss(0, self.noise))}
        if do == "count":
            values = {
                "parameters": 10, "operations": 20, "kernels": 5, "peak_allocated_bytes": 100,
                "state_bytes": 4, "leaked_bytes": 0, "leaked_objects": 0, "graphs": 1,
                "graph_breaks": 0,
            }  # fmt: skip
            changed = self.facts.get(cell, {})
            return {
                "values": values | changed.get("values", {}),
                "texts": {"way": "stepwise", "compiles": "yes"} | changed.get("texts", {}),
                "outputs": changed.get("outputs", [1.0, 2.0]),
            }
        if do == "losses":
            loss = 1.0 - self.skills.get(cell, 1.0) / 10
            return {"losses": {str(seed): [loss] for seed in order["seeds"]}}
        skill = self.skills.get(cell, 1.0)
        seeds = [str(seed) for seed in order["seeds"]]
        return {"skills": dict.fromkeys(seeds, skill), "solved": dict.fromkeys(seeds, skill > 0.9)}

    def close(self):
        self.closed = True


def plan(**given) -> GatePlan:
    usual = {
        "cells": ("steady", "slow"), "control": CONTROL, "metrics": ("train_step",),
        "sizes": Sizes(time=2, batch=2, input=4, hidden=4), "level": "copying/tiny",
    }  # fmt: skip
    return GatePlan(**(usual | given))


def gate(
    asked: GatePlan, head: dict[str, Any], base: dict[str, Any] | None = None, **given
) -> Gate:
    """Return a gate whose sides answer as `head` and `base` say."""
    sides = {"base": base or {}, "head": head}

    drifts = random.Random(2)  # noqa: S311 -- made-up noise
    drift = {"now": 1.0}

    def start(side, order):
        if side == "base":  # the machine's own pace, the same for both sides of a launch
            drift["now"] = drifts.uniform(0.8, 1.3)
        greeting = {"digest": "d", "key": KEY, "facts": {}}
        return FakeArm(order, drift=drift["now"], **sides[side]), greeting

    return Gate(
        plan=asked,
        start=given.pop("start", start),
        keep=given.pop("keep", lambda _: None),
        run_id="toy",
        commits={"base": "b" * 40, "head": "h" * 40},
        order=random.Random(1),  # noqa: S311 -- made-up noise
        **given,
    )
