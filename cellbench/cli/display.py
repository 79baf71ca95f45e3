"""A run at a terminal: a bar for all trials, one for each stack under way, one for measurements."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from cellbench.cli.wording import of_job, of_stack, of_time, seen, shortened
from cellbench.sweep.events import Event, Finished, Looked, Returned, Started
from cellbench.sweep.plan import Job, Stack, Unit
from cellbench.sweep.schedule import Schedule
from cellbench.sweep.time_left import Outlook

Clock = Callable[[], float]
"""Seconds since some fixed moment."""

BAR_WIDTH = 8

BESIDE_NAME = 50
"""Columns for all but the name: bar, count, time, what is seen, and a space between them."""

SHORTEST_NAME = 12


def bars(console: Console) -> Progress:
    """Return an empty display; it is there while it is entered."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=BAR_WIDTH),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[seen]}", markup=False),
        console=console,
    )


class Display:
    """Shows a run's events.

    Args:
        progress: Where; see `bars`.
        schedule: What is to be done.
        jobs: Measurements there are to be, at most.
        clock: Tells when an event came.
    """

    def __init__(self, progress: Progress, schedule: Schedule, jobs: int, clock: Clock) -> None:
        self._clock = clock
        self._outlook = Outlook(schedule)
        self._progress = progress
        self._width = max(progress.console.width - BESIDE_NAME, SHORTEST_NAME)
        units = sum(len(stack.units) for stack in schedule.stacks)
        self._trials = progress.add_task("trials", total=units, seen="")
        self._measured = progress.add_task("", total=jobs, seen="", visible=False)
        self._bars: dict[str, TaskID] = {}  # by the id of each unit under way

    def print(self, line: Text) -> None:
        """Write a line above the bars."""
        self._progress.console.print(line, soft_wrap=True)

    def show(self, event: Event) -> None:
        """Bring the bars up to date."""
        now_s = self._clock()
        self._outlook.hear(event, now_s)
        left = of_time(self._outlook.left(now_s))
        if isinstance(event.work, Job):
            name = shortened(f"measuring {of_job(event.work)}", self._width)
            self._progress.update(self._trials, seen="")
            self._progress.update(self._measured, visible=True, description=name, seen=left)
            self._progress.advance(self._measured, isinstance(event, Finished))
            return
        self._progress.update(self._trials, seen=left)
        if isinstance(event, Started):
            self._open(event.work)
        elif isinstance(event, Looked):
            bar, point = self._bars[event.work.unit_id], event.point
            self._progress.update(bar, completed=point.step, seen=seen(event.work, point))
        elif isinstance(event, Returned):
            self._close(*event.work.units)
        else:
            self._close(event.work)
            self._progress.advance(self._trials)

    def _open(self, stack: Stack) -> None:
        name = shortened(of_stack(stack), self._width)
        bar = self._progress.add_task(name, total=stack.job.settings.steps, seen="")
        self._bars |= dict.fromkeys((unit.unit_id for unit in stack.units), bar)

    def _close(self, *units: Unit) -> None:
        """Let go of units; a stack's bar goes with the last of its units."""
        for unit in units:
            bar = self._bars.pop(unit.unit_id, None)
            if bar is not None and bar not in self._bars.values():
                self._progress.remove_task(bar)
