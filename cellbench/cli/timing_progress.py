"""Showing timings while they go on: live at a terminal, a line a timing elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cellbench.record import COSTS
from cellbench.report.perf_numbers import seconds
from cellbench.sweep.alone import Began, Ended, Known, SpeedEvent


def follow_timings(
    events: Iterable[SpeedEvent], total: int, console: Console, *, quiet: bool
) -> None:
    """Show `events` until they end.

    Args:
        total: Timings that were asked for, done before or not.
    """
    known = 0
    with _bar(console, total, shown=not quiet and console.is_terminal) as advance:
        for event in events:
            advance(event)
            known += isinstance(event, Known)
            if isinstance(event, Ended) and not quiet:
                console.print(_outcome(event), soft_wrap=True, markup=False)
    if known and not quiet:
        console.print(f"{known} of {total} timings were done before.")


@contextlib.contextmanager
def _bar(console: Console, total: int, *, shown: bool) -> Iterator[Callable[[SpeedEvent], None]]:
    """Show how many timings have ended, and which goes on. Seldom drawn: drawing takes time too."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[job]}"),
    )
    with Progress(*columns, console=console, refresh_per_second=1, disable=not shown) as progress:
        bar = progress.add_task("timed", total=total, job="")

        def advance(event: SpeedEvent) -> None:
            progress.advance(bar, not isinstance(event, Began))
            progress.update(bar, job=str(event.job))

        yield advance


def _outcome(event: Ended) -> str:
    speed = event.speed
    if speed.error is not None:
        what = f"{speed.status.value}: {speed.error.type}: {speed.error.message}"
    elif not speed.costs:
        what = "; ".join(speed.warnings)
    else:
        costs = speed.costs.items()
        times = (f"{COSTS[name]} {seconds(cost.timings.call_s)}" for name, cost in costs)
        what = f"{speed.unrolled}: {', '.join(times)}"
    return f"{event.job}: {what}"
