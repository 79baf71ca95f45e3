"""Showing a run while it goes on: live at a terminal, a line a trial elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

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

from cellbench.record import Measurement, Point, Status, Trial
from cellbench.sweep.local import Event, Finished, Looked, Started
from cellbench.sweep.plan import Job, Plan, Unit
from cellbench.sweep.run import Remaining


def follow(
    events: Iterable[Event],
    plan: Plan,
    left: Remaining,
    console: Console,
    *,
    quiet: bool,
    verbose: bool,
) -> None:
    """Show `events` until they end."""
    done = len(plan.units) - len(left.units)
    if done and not quiet:
        console.print(f"{done} of {len(plan.units)} trials are done from before.")
    if quiet:
        for _ in events:
            pass
    elif console.is_terminal:
        _follow_live(events, plan, left, console, verbose=verbose)
    else:
        for event in events:
            for line in _lines(event, verbose=verbose):
                console.print(line, soft_wrap=True)


def _follow_live(
    events: Iterable[Event], plan: Plan, left: Remaining, console: Console, *, verbose: bool
) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[seen]}"),
    )
    with Progress(*columns, console=console) as progress:
        trained = progress.add_task("trials", total=len(left.units), seen="")
        measured = progress.add_task("measured", total=len(plan.jobs), seen="", visible=False)
        bars: dict[str, TaskID] = {}
        for event in events:
            for line in _lines(event, verbose=verbose):
                if isinstance(event, Finished) or verbose:
                    progress.console.print(line, soft_wrap=True)
            work = event.work
            if isinstance(work, Job):
                progress.update(measured, visible=True, seen=f"{work.spec.text} {work.task.id}")
                progress.advance(measured, isinstance(event, Finished))
            elif isinstance(event, Started):
                total = work.job.settings.steps
                bars[work.unit_id] = progress.add_task(_name(work), total=total, seen="")
            elif isinstance(event, Looked):
                bar, point = bars[work.unit_id], event.point
                progress.update(bar, completed=point.step, seen=_seen(work, point))
            else:
                progress.remove_task(bars.pop(work.unit_id))
                progress.advance(trained)


def _lines(event: Event, *, verbose: bool) -> Iterable[Text]:
    """Yield what a log of the run should say of `event`."""
    if isinstance(event, Looked) and verbose:
        seen = _seen(event.work, event.point)
        yield Text(f"{_name(event.work)}: step {event.point.step}: {seen}")
    if isinstance(event, Finished) and isinstance(event.record, Trial):
        yield Text(f"{_name(event.work)}: {_outcome(event.record)}")  # type: ignore[arg-type]
    if isinstance(event, Finished) and isinstance(event.record, Measurement):
        found = event.record
        what = "measured" if found.status is Status.OK else f"not measured: {found.status}"
        yield Text(f"{found.cell} @ {found.level.id}: {what}")


def _name(unit: Unit) -> str:
    return f"{unit.job.spec.text} @ {unit.job.task.id} seed {unit.seed}"


def _seen(unit: Unit, point: Point) -> str:
    value = "not finite" if point.metric is None else f"{point.metric:.4g}"
    return f"{unit.job.task.metric} {value}"


def _outcome(trial: Trial) -> str:
    if trial.status is not Status.OK:
        why = f"{trial.error.type}: {trial.error.message}" if trial.error else ""
        return f"{trial.status.value} after {trial.steps} steps: {why}"
    skill = "" if trial.skill is None else f", skill {trial.skill:.2f}"
    if trial.steps_to_solve is None:
        return f"not solved in {trial.steps} steps{skill} ({trial.train_s:.0f} s)"
    return f"solved at step {trial.steps_to_solve}{skill} ({trial.train_s:.0f} s)"
