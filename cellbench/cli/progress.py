"""Showing a run while it goes on: live at a terminal, a line a trial elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from rich.console import Console
from rich.text import Text

from cellbench.cli.display import Clock, Display, bars
from cellbench.cli.wording import of_stack, of_unit, seen
from cellbench.record import Measurement, Status, Trial
from cellbench.report.numbers import two_digits
from cellbench.sweep.events import Event, Finished, Looked, Returned
from cellbench.sweep.plan import Plan
from cellbench.sweep.schedule import Schedule


def follow(
    events: Iterable[Event],
    plan: Plan,
    schedule: Schedule,
    console: Console,
    *,
    quiet: bool,
    verbose: bool,
    clock: Clock = monotonic,
) -> None:
    """Show `events` until they end.

    Args:
        events: Of the run.
        plan: All that was asked for.
        schedule: What of it is to be done.
        console: Where to show it.
        quiet: Show nothing.
        verbose: Show every look at validation.
        clock: Tells when an event came.
    """
    done = len(plan.units) - sum(len(stack.units) for stack in schedule.stacks)
    if done and not quiet:
        console.print(f"{done} of {len(plan.units)} trials are done from before.")
    if quiet:
        for _ in events:
            pass
    elif console.is_terminal:
        with bars(console) as progress:
            display = Display(progress, schedule, len(plan.jobs), clock)
            for event in events:
                for line in _lines(event, verbose=verbose):
                    display.print(line)
                display.show(event)
    else:
        for event in events:
            for line in _lines(event, verbose=verbose):
                console.print(line, soft_wrap=True)


def _lines(event: Event, *, verbose: bool) -> Iterable[Text]:
    """Yield what a log of the run should say of `event`."""
    if isinstance(event, Looked) and verbose:
        what = seen(event.work, event.point)
        yield Text(f"{of_unit(event.work)}: step {event.point.step}: {what}")
    if isinstance(event, Returned):
        yield Text(f"{of_stack(event.work)}: {event.why}")
    if isinstance(event, Finished) and isinstance(event.record, Trial):
        yield Text(f"{of_unit(event.work)}: {_outcome(event.record)}")  # type: ignore[arg-type]
    if isinstance(event, Finished) and isinstance(event.record, Measurement):
        found = event.record
        what = "measured" if found.status is Status.OK else f"not measured: {found.status}"
        yield Text(f"{found.cell} @ {found.level.id}: {what}")


def _outcome(trial: Trial) -> str:
    if trial.status is not Status.OK:
        why = f"{trial.error.type}: {trial.error.message}" if trial.error else ""
        return f"{trial.status.value} after {trial.steps} steps: {why}"
    skill = "" if trial.skill is None else f", skill {two_digits(trial.skill)}"
    if not trial.steps:
        return f"nothing to train{skill} ({trial.train_s:.0f} s)"
    if trial.steps_to_solve is None:
        return f"not solved in {trial.steps} steps{skill} ({trial.train_s:.0f} s)"
    return f"solved at step {trial.steps_to_solve}{skill} ({trial.train_s:.0f} s)"
