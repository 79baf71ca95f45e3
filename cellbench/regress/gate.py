"""The gate: count on both sides, time side by side, confirm what regressed, conclude."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from msgspec.structs import replace

from cellbench.errors import IncomparableError, NothingMeasuredError, OptionError
from cellbench.measure.environment import load_average
from cellbench.record import Environment, Failure
from cellbench.regress.exact import judge_facts
from cellbench.regress.judge import confirmed, control_moved, judge_times
from cellbench.regress.launches import Timed, time_launch
from cellbench.regress.learning import ROUNDING, judge_learning, start_differs
from cellbench.regress.plan import FEWEST_LAUNCHES, GatePlan, Key
from cellbench.regress.process import Arm, failure_of
from cellbench.sweep.worker import now
from cellbench.verdicts import Facts, Finding, GateLine, Kind, Launch, Stage, Verdict

COUNT_LIMIT_S = 300.0
LEARN_LIMIT_S = 900.0

T = TypeVar("T")

Start = Callable[[str, random.Random], tuple[Arm, dict[str, Any]]]
"""Start a fresh process of "base" or "head"; return it, and its greeting."""

Keep = Callable[[GateLine], None]
"""Puts a line on disk before it returns."""

Say = Callable[[str], None]
"""Told what is being done."""


@dataclass(slots=True)
class Gate:
    """One gate, as far as it has come.

    Args:
        plan: What to do.
        start: Starts processes.
        keep: Keeps every launch and every fact.
        run_id: Of all lines.
        commits: By side; without base, head alone is measured.
        order: Who is first in each launch, and what else is random.
        say: Told what is being done.
        clock: For the time limit.

    Attributes:
        facts: By side and cell.
        launches: By stage.
        environment: Of the processes; the same on both sides.
    """

    plan: GatePlan
    start: Start
    keep: Keep
    run_id: str
    commits: Mapping[str, str]
    order: random.Random
    say: Say = lambda _: None
    clock: Callable[[], float] = monotonic
    facts: dict[str, dict[str, Facts]] = field(default_factory=dict)
    launches: dict[Stage, list[Launch]] = field(default_factory=dict)
    environment: Environment | None = None
    failed: dict[str, Failure] = field(default_factory=dict)
    _due_s: float = field(init=False)

    def __post_init__(self) -> None:
        limit_s = self.plan.time_limit_s
        self._due_s = math.inf if limit_s is None else self.clock() + limit_s

    def run(self) -> list[Finding]:
        """Measure everything, and return the findings on cells and control."""
        self.count()
        keys = self.timeable()
        self.time(Stage.FIRST, keys)
        return self.findings(keys)

    def count(self) -> None:
        """Count everything countable, on both sides at once, since that disturbs nothing.

        Raises:
            OptionError: A cell is nowhere.
        """
        self.say("counting: parameters, operations, bytes, graphs, outputs")
        with contextlib.ExitStack() as stack:
            arms = self._start(stack)
            found = _at_once(arms, self._count)
            self.facts = {side: {f.cell: f for f in facts} for side, facts in found.items()}
            self._refuse_unknown()
            if len(arms) > 1:
                self._learn(arms)
        for side in self.facts.values():
            for facts in side.values():
                self.keep(facts)

    def timeable(self) -> list[Key]:
        """Return what can be timed: cells that every side has."""
        works = [
            cell
            for cell in self.plan.cells
            if all(side[cell].error is None for side in self.facts.values())
        ]
        return [(cell, metric) for cell in works for metric in self.plan.metrics]

    def time(self, stage: Stage, keys: Sequence[Key]) -> None:
        """Time `keys`, and the control, in as many launches as are planned."""
        if not keys:
            return
        control = [(self.plan.control, metric) for metric in self.plan.metrics]
        every = [*keys, *control] if self.plan.control else list(keys)
        done = self.launches.setdefault(stage, [])
        for number in range(self.plan.launches):
            if self._is_late() and number >= FEWEST_LAUNCHES:
                return
            what = f"{stage.value}: launch {number + 1} of {self.plan.launches}"
            self.say(what)
            load, started_at = load_average(), now()
            timed = self._launch(every)
            for (side, cell), why in timed.failed.items():
                self.failed.setdefault(f"{side} {cell}", why)
            launch = Launch(
                run_id=self.run_id,
                number=sum(map(len, self.launches.values())),
                stage=stage,
                base=self.commits.get("base", ""),
                head=self.commits["head"],
                blocks=tuple(timed.blocks),
                started_at=started_at,
                env=self.environment.digest if self.environment else "",
                load=load,
            )
            self.keep(launch)
            done.append(launch)

    def findings(self, keys: Sequence[Key]) -> list[Finding]:
        """Judge, and confirm what regressed; the control's findings come last."""
        base, head = self.facts["base"], self.facts["head"]
        found = [f for cell in self.plan.cells for f in judge_facts(base[cell], head[cell])]
        if self.plan.level:
            cells = dict.fromkeys(cell for cell, _ in keys)
            pairs = [(base[cell], head[cell]) for cell in cells]
            found += judge_learning(pairs, self.plan.level)
        times = judge_times(keys, self.launches.get(Stage.FIRST, []), self.plan.margin_of)
        suspects = [key for key, seen in times.items() if seen.verdict is Verdict.REGRESSED]
        if suspects and not any(map(control_moved, self._controls(Stage.FIRST))):
            self.time(Stage.CONFIRM, suspects)
            again = judge_times(
                suspects, self.launches[Stage.CONFIRM], self.plan.margin_of, strict=True
            )
            times |= {key: confirmed(times[key], again.get(key)) for key in suspects}
        found += times.values()
        found += self._broken_while_timed(keys)
        return [*found, *self.controls()]

    def controls(self) -> list[Finding]:
        """Return what the control did, in every stage."""
        return [seen for stage in self.launches for seen in self._controls(stage)]

    def void(self) -> str:
        """Say why nothing here may be believed; "" if it may."""
        moved = next(filter(None, map(control_moved, self.controls())), "")
        gone = next((key for key in self.failed if key.endswith(f" {self.plan.control}")), "")
        if gone:
            why = self.failed[gone]
            return f"the control failed ({gone}): {why.type}: {why.message}"
        return moved

    def _controls(self, stage: Stage) -> list[Finding]:
        if not self.plan.control:
            return []
        keys = [(self.plan.control, metric) for metric in self.plan.metrics]
        return list(judge_times(keys, self.launches[stage], self.plan.margin_of).values())

    def _broken_while_timed(self, keys: Sequence[Key]) -> Iterator[Finding]:
        """Yield the cells that could be counted, and failed when they were timed."""
        for cell in dict.fromkeys(cell for cell, _ in keys):
            why = self.failed.get(f"head {cell}")
            at_base = self.failed.get(f"base {cell}")
            verdict = Verdict.FAILED if why is not None else Verdict.INCONCLUSIVE
            why = why or at_base
            if why is not None:
                side = "base" if verdict is Verdict.INCONCLUSIVE else "head"
                detail = f"{side} failed while it was timed: {why.type}: {why.message}"
                yield Finding(
                    cell=cell, metric="timing", kind=Kind.TIME, verdict=verdict, detail=detail
                )

    def _start(self, stack: contextlib.ExitStack) -> dict[str, Arm]:
        """Start a process of each side; see that both run in the same environment."""
        arms: dict[str, Arm] = {}
        keys: dict[str, dict[str, str]] = {}
        orders = {side: random.Random(self.order.random()) for side in self.commits}  # noqa: S311 -- an order
        with ThreadPoolExecutor(len(orders)) as pool:
            started = list(pool.map(self.start, orders.keys(), orders.values()))
        for arm, _ in started:
            stack.callback(arm.close)
        for side, (arm, greeting) in zip(orders, started, strict=True):
            why = failure_of(greeting)
            if why is not None:
                raise NothingMeasuredError(
                    f"Nothing was measured: {side} ({self.commits[side]}) cannot begin: "
                    f"{why.type}: {why.message}."
                )
            arms[side], keys[side] = arm, greeting["key"]
        self._settle_environment(keys, greeting)
        return arms

    def _settle_environment(
        self, keys: Mapping[str, dict[str, str]], greeting: dict[str, Any]
    ) -> None:
        first = next(iter(keys.values()))
        differing = differences(first, keys["head"])
        if differing:
            raise IncomparableError(f"Base and head do not run alike: {differing}.")
        if self.environment is None:
            self.environment = Environment(
                digest=greeting["digest"], key=greeting["key"], facts=greeting["facts"]
            )
            self.keep(self.environment)

    def _launch(self, keys: Sequence[Key]) -> Timed:
        with contextlib.ExitStack() as stack:
            arms = self._start(stack)
            return time_launch(list(arms.values()), self.plan, keys, self.order)

    def _count(self, side: str, arm: Arm) -> list[Facts]:
        return [self._count_cell(side, arm, cell) for cell in self.plan.cells]

    def _count_cell(self, side: str, arm: Arm, cell: str) -> Facts:
        answer = arm.ask({"do": "count", "cell": cell}, COUNT_LIMIT_S)
        error, texts, curves = failure_of(answer), dict(answer.get("texts", {})), {}
        if error is None and self.plan.level and len(self.commits) > 1:
            order = self._lesson("losses", cell) | {"steps": self.plan.first_steps}
            lesson = arm.ask(order, COUNT_LIMIT_S)
            why = failure_of(lesson)
            if why is None:
                curves = {self.plan.level: lesson["losses"]}
            else:
                texts["learning"] = f"{why.type}: {why.message}"
        return Facts(
            run_id=self.run_id,
            side=side,
            commit=self.commits[side],
            cell=cell,
            values=answer.get("values", {}),
            texts=texts,
            outputs=tuple(answer.get("outputs", ())),
            curves=curves,
            error=error,
        )

    def _learn(self, arms: Mapping[str, Arm]) -> None:
        """Train, on both sides, the cells whose first losses differ."""
        base, head, level = self.facts["base"], self.facts["head"], self.plan.level
        for cell in self.plan.cells:
            sides = (base[cell], head[cell])
            if not level or any(level not in side.curves for side in sides):
                continue
            if start_differs(*sides, level) <= ROUNDING:
                continue
            self.say(f"training {cell} on {level}, {len(self.plan.seeds)} seeds a side")
            order = self._lesson("learn", cell)
            for side, answer in _at_once(arms, partial(_ask, order)).items():
                self.facts[side][cell] = _with_lesson(self.facts[side][cell], level, answer)

    def _lesson(self, do: str, cell: str) -> dict[str, Any]:
        seeds = self.plan.seeds if do == "learn" else self.plan.seeds[:3]
        return {"do": do, "cell": cell, "level": self.plan.level, "seeds": list(seeds)}

    def _refuse_unknown(self) -> None:
        """Raise OptionError for a cell that is on no side: most likely a slip of the pen."""
        for cell in self.plan.cells:
            errors = [side[cell].error for side in self.facts.values()]
            messages = {error.message for error in errors if error is not None}
            types = {error.type for error in errors if error is not None}
            if None not in errors and types <= {"UnknownNameError", "OptionError", "PluginError"}:
                raise OptionError(f"{cell}: {messages.pop()}")

    def _is_late(self) -> bool:
        return self.clock() > self._due_s


def _at_once(arms: Mapping[str, Arm], call: Callable[[str, Arm], T]) -> dict[str, T]:
    """Call for both sides at once. Whatever ends it, Ctrl-C too, ends the processes first."""
    with ThreadPoolExecutor(len(arms)) as pool:
        try:
            return dict(zip(arms, pool.map(call, arms.keys(), arms.values()), strict=True))
        except BaseException:  # else the pool would wait for answers that nobody wants any more
            for arm in arms.values():
                arm.close()
            raise


def _ask(order: Mapping[str, Any], _: str, arm: Arm) -> dict[str, Any]:
    return arm.ask(order, LEARN_LIMIT_S)


def _with_lesson(facts: Facts, level: str, answer: Mapping[str, Any]) -> Facts:
    why = failure_of(answer)
    if why is not None:
        return replace(facts, texts={**facts.texts, "learning": f"{why.type}: {why.message}"})
    return replace(facts, skills={level: answer["skills"]}, solved={level: answer["solved"]})


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Name the facts of two machines that differ; "" if none does."""
    names = sorted(before.keys() | after.keys())
    return ", ".join(
        f"{name} {before.get(name, '')!r} and {after.get(name, '')!r}"
        for name in names
        if before.get(name) != after.get(name)
    )
