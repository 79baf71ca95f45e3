"""The course of training: when to look and when to stop, the same for one model and for many."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cellbench.catalog import Task
from cellbench.record import Point, Rung, Status
from cellbench.train.learned import How, Learned
from cellbench.train.scores import Scores
from cellbench.train.watch import Clock, Watch

SeedLook = Callable[[int, Point], None]
"""Told of every look at validation, and of which seed it was."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found of one model.

    Attributes:
        train_loss: Mean over the steps since the last look.
        scores: On the validation split.
    """

    train_loss: float
    scores: Scores


class Glance(abc.ABC):
    """A look at the models of a crew, as they were at that step."""

    @abc.abstractmethod
    def ready(self) -> bool:
        """Tell whether `read` would not have to wait."""

    @abc.abstractmethod
    def read(self) -> list[Seen]:
        """Return what was seen of each model."""

    @abc.abstractmethod
    def test(self) -> list[Scores]:
        """Return the scores of each model on the test split."""

    @abc.abstractmethod
    def climb(self) -> list[tuple[Rung, ...]]:
        """Return the scores of each model at the lengths of the level's ladder."""

    @abc.abstractmethod
    def leave(self, rows: Sequence[int]) -> None:
        """End the training of the models in these places: they are left as they were."""


class Crew(abc.ABC):
    """Models that are trained at once, each on its own data: one model, or a stack."""

    @abc.abstractmethod
    def step(self) -> None:
        """Take one training step with every model."""

    @abc.abstractmethod
    def look(self) -> Glance:
        """Look at validation; training may go on before the look is read."""

    @abc.abstractmethod
    def how(self) -> How:
        """Return in what way they are trained."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A look that is under way: at which step, and whether training ended there, and for time."""

    glance: Glance
    step: int
    last: bool
    late: bool


class Course:
    """Trains a crew until each of its seeds is solved, out of steps, out of time, or diverged.

    Args:
        crew: Of fresh models.
        task: The level.
        seeds: One for each model of the crew.
        steps: Most training steps.
        clock: Tests pass one that ticks by itself.
        time_limit_s: Most seconds of training that may fall to a seed; None for no limit.
        look: Told of every look at validation.
    """

    def __init__(
        self,
        crew: Crew,
        task: Task,
        seeds: Sequence[int],
        *,
        steps: int,
        clock: Clock,
        time_limit_s: float | None,
        look: SeedLook,
    ) -> None:
        self._crew = crew
        self._task = task
        self._steps = steps
        self._limit_s = time_limit_s
        self._look = look
        self._learned = {seed: Learned() for seed in seeds}
        self._under_way: _Look | None = None
        self._clock = clock
        self._watch: Watch

    def run(self) -> Iterator[tuple[int, Learned]]:
        """Yield each seed as it ends, with what came of it."""
        self._watch = Watch(self._clock, len(self._learned))
        for step in range(1, self._steps + 1):
            self._crew.step()
            late = self._limit_s is not None and self._watch.share_s() > self._limit_s
            last = late or step == self._steps
            due = last or step % self._task.budget.validate_every == 0
            if self._under_way:
                yield from self._settle(wait=due)
            if due and self._learned:
                self._under_way = _Look(self._crew.look(), step, last, late)
                yield from self._settle(wait=last)
            if not self._learned:
                return

    def _settle(self, *, wait: bool) -> Iterator[tuple[int, Learned]]:
        """Read the look that is under way, once it is ready, and end whom it ends."""
        look = self._under_way
        if look is None or not (wait or look.glance.ready()):
            return
        self._under_way = None
        for (seed, learned), seen in zip(self._learned.items(), look.glance.read(), strict=True):
            learned.note(look.step, seen.train_loss, seen.scores, self._watch.share_s())
            self._look(seed, learned.curve[-1])
            self._judge(learned, look, seen.scores)
        ended = [
            row
            for row, learned in enumerate(self._learned.values())
            if look.last or learned.steps_to_solve or learned.status is not Status.OK
        ]
        if ended:
            yield from self._end(ended, look.glance)

    def _judge(self, learned: Learned, look: _Look, scores: Scores) -> None:
        """Write down why it ends here, if it does."""
        if learned.status is Status.DIVERGED:
            return
        if self._task.is_solved(scores.metric):
            learned.steps_to_solve = look.step
        elif look.late:
            learned.status = Status.TIMEOUT
            learned.reason = (
                f"{self._limit_s:g} s were over after {look.step} of {self._steps} steps"
            )

    def _end(self, rows: list[int], glance: Glance) -> Iterator[tuple[int, Learned]]:
        """Test the models in these places and let them go, while the watch stands still."""
        train_s = self._watch.stop()
        seeds = list(self._learned)
        ended = {seeds[row]: self._learned.pop(seeds[row]) for row in rows}
        tested = any(learned.status is not Status.DIVERGED for learned in ended.values())
        tests = glance.test() if tested else []
        ladders = glance.climb() if tested else []
        for row, learned in zip(rows, ended.values(), strict=True):
            learned.train_s = train_s
            learned.how = self._crew.how()
            if learned.status is not Status.DIVERGED:
                learned.test, learned.ladder = tests[row], ladders[row]
        glance.leave(rows)
        yield from ended.items()
        if self._learned:
            self._watch.go_on(len(self._learned))
