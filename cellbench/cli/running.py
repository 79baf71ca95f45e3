"""`cellbench run`: from its options to an exit code."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from cellbench.catalog import Task, find_suite, find_task, resolve
from cellbench.cli.console import err
from cellbench.cli.options import choose_device, parse_seeds
from cellbench.cli.progress import follow
from cellbench.cli.rates import parse_rates
from cellbench.cli.show import show_rows
from cellbench.cli.wording import of_job
from cellbench.errors import Exit, OptionError
from cellbench.plugins import CellSpec, check_buildable, split_cells
from cellbench.record import AnyLine, Measurement, Status, Trial
from cellbench.report.rows import make_rows
from cellbench.store.folder import Folder
from cellbench.store.journal import measurements, trials
from cellbench.store.manifest import read_manifest
from cellbench.sweep.events import Event
from cellbench.sweep.plan import (
    Plan,
    Remaining,
    make_plan,
    measurement_id,
    missing_units,
    remaining,
)
from cellbench.sweep.run import execute
from cellbench.sweep.schedule import Schedule, make_schedule
from cellbench.sweep.workers import default_workers
from cellbench.train.baselines import Spec, parse_subject
from cellbench.train.network import Network
from cellbench.unroll import Carrier, Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options, as they were typed."""

    cells: str
    tasks: str
    suite: str
    seeds: str
    device: str
    jobs: int | None
    stack: str
    hidden: int
    match: str | None
    depth: int
    block: str
    dropout: float
    bidirectional: bool
    steps: int | None
    time_limit: float | None
    lr_grid: str
    unroll: str
    checkpoint: bool
    resume: bool
    remeasure: bool
    output: Path
    form: str
    dry_run: bool
    quiet: bool
    verbose: bool


def run(asked: Asked) -> Exit:
    """Check everything, then do what is missing, then print the table."""
    device = choose_device(asked.device)
    most = _stack(asked.stack)
    plan = _plan(asked, device)
    folder = Folder(asked.output)
    lines = list(folder.journal)
    left = remaining(plan, lines, fresh=not asked.resume)
    left = replace(left, measured=frozenset()) if asked.remeasure else left
    read_manifest(folder.manifest)
    folder.check_writable()
    workers = asked.jobs or default_workers(device)
    schedule = make_schedule(plan, left, lines, device=device, workers=workers, most=most)
    if asked.dry_run:
        _print_plan(plan, left, schedule, asked.output)
        return Exit.OK
    argv = ["cellbench", *sys.argv[1:]]
    events = execute(plan, left, schedule, folder, device=device, argv=argv)
    _carry_out(events, plan, schedule, folder, asked)
    return _conclude(plan, list(folder.journal), asked.form)


def _stack(text: str) -> int | None:
    """Read `auto`, which is None, or the most seeds of a stack."""
    if text == "auto":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise OptionError(f"--stack must be auto, or a number of seeds from 1 on, not {text!r}.")


def _plan(asked: Asked, device: str) -> Plan:
    limit_s = asked.time_limit
    if limit_s is not None and not 0 < limit_s < math.inf:
        raise OptionError(f"--time-limit must be a number of seconds above 0, not {limit_s:g}.")
    carrier = Carrier(Way(asked.unroll), asked.checkpoint)
    return make_plan(
        _cells(asked.cells, carrier),
        _tasks(asked.tasks, asked.suite),
        parse_seeds(asked.seeds),
        hidden=asked.hidden,
        device=device.partition(":")[0],
        carrier=carrier,
        network=Network(asked.depth, asked.block, asked.dropout, asked.bidirectional),
        match=asked.match or "",
        most_steps=asked.steps,
        time_limit_s=limit_s,
        learning_rates=parse_rates(asked.lr_grid) if asked.lr_grid else (),
    )


def _cells(text: str, carrier: Carrier) -> list[Spec]:
    specs = [parse_subject(expression) for expression in split_cells(text)]
    for spec in specs:
        if isinstance(spec, CellSpec):
            carrier.chosen(check_buildable(spec))
    return specs


def _tasks(tasks: str, suite: str) -> list[Task]:
    named = list(resolve(tasks)) if tasks else []
    suite = suite or ("" if tasks else "quick")
    named += [find_task(level) for level in find_suite(suite).levels] if suite else []
    return list({task.id: task for task in named}.values())


def _print_plan(plan: Plan, left: Remaining, schedule: Schedule, output: Path) -> None:
    for job in plan.trained:
        seeds = [unit.seed for unit in left.units if unit.job is job]
        missing = f"seeds {', '.join(map(str, seeds))} to train" if seeds else "all trained"
        most = max((len(s.units) for s in schedule.stacks if s.job is job), default=1)
        stacked = f", {most} at once" if most > 1 else ""
        width = f", hidden {job.settings.hidden}" if job.settings.match else ""
        steps = "not trained" if job.is_baseline else f"at most {job.settings.steps} steps each"
        click.echo(f"{of_job(job)}: {missing}, {steps}{width}{stacked}")
    done = len(plan.units) - len(left.units)
    click.echo(
        f"{len(plan.units)} trials, {done} of them done before; {len(plan.jobs)} measurements; "
        f"results in {output}. Nothing was run."
    )


def _carry_out(
    events: Generator[Event], plan: Plan, schedule: Schedule, folder: Folder, asked: Asked
) -> None:
    """Follow the events to their end; on Ctrl-C say what is kept and how to go on."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        follow(events, plan, schedule, err(), quiet=asked.quiet, verbose=asked.verbose)
    except KeyboardInterrupt:
        events.close()  # ends the workers, and keeps what had arrived
        kept = len(plan.units) - len(missing_units(plan, folder.journal))
        click.echo(
            f"Interrupted: {kept} of {len(plan.units)} trials are kept in {asked.output}; "
            "run the same command again to go on.",
            err=True,
        )
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _conclude(plan: Plan, lines: Sequence[AnyLine], form: str) -> Exit:
    """Print the rows of `plan`, and choose the exit code."""
    mine = _of_plan(plan, lines)
    rows = make_rows(mine, [job.spec.text for job in (*plan.jobs, *plan.baselines)])
    show_rows(rows, form)
    failed = any(row.failures for row in rows)
    ended = {trial.status for trial in trials(mine) if not _was_for_search(trial)}
    ended |= {found.status for found in measurements(mine)}
    return Exit.FAILED if failed or not ended <= {Status.OK} else Exit.OK


def _was_for_search(trial: Trial) -> bool:
    """Tell whether a trial only told of its rate that it is too high.

    That is what a grid is there to find out. At the rate that was chosen it is a failure: of the
    row.
    """
    return bool(trial.settings.learning_rate) and trial.status is Status.DIVERGED


def _of_plan(plan: Plan, lines: Sequence[AnyLine]) -> list[AnyLine]:
    """Leave out the trials and measurements that `plan` did not ask for."""
    envs = {line.env for line in lines if isinstance(line, Measurement)}
    units = {unit.unit_id for unit in plan.units}
    measured = {measurement_id(job, env) for env in envs for job in plan.jobs}

    def is_asked_for(line: AnyLine) -> bool:
        if isinstance(line, Trial):
            return line.unit_id in units
        return not isinstance(line, Measurement) or line.measurement_id in measured

    return [line for line in lines if is_asked_for(line)]
