"""`cellbench run`."""

from __future__ import annotations

import math
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cellbench.cli.console import err
from cellbench.cli.options import (
    DEFAULT_OUTPUT,
    choose_device,
    device_option,
    format_option,
    parse_seeds,
)
from cellbench.errors import Exit, OptionError

if TYPE_CHECKING:
    from cellbench.record import AnyLine
    from cellbench.report.rows import Row
    from cellbench.sweep.plan import Plan
    from cellbench.sweep.run import Remaining


@click.command(name="run")
@click.option(
    "--cells", default="lstm,hyperlstm", show_default=True,
    help="Names, FILE.py:CLASS, or package.module:CLASS; options in parentheses.",
)  # fmt: skip
@click.option("--tasks", default="", help="Levels, task names, patterns, or FILE.toml.")
@click.option("--suite", default="", help="A named list of levels; quick if no --tasks are given.")
@click.option(
    "--seeds", default="3", show_default=True, envvar="CELLBENCH_SEEDS",
    help="How many, or which: 5, 0-9, 1,4,7.",
)  # fmt: skip
@device_option
@click.option("-j", "--jobs", type=click.IntRange(1), help="Trials at a time; one a CPU by default.")
@click.option("--hidden", type=click.IntRange(1), default=64, show_default=True, help="Cell width.")
@click.option("--steps", type=click.IntRange(1), help="Cap on the training steps of a trial.")
@click.option("--time-limit", type=float, metavar="S", help="Most seconds of training a trial.")
@click.option(
    "--resume/--fresh", default=True, show_default=True,
    help="Do only what is missing, or everything again; nothing is deleted either way.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=DEFAULT_OUTPUT, show_default=True,
    envvar="CELLBENCH_OUTPUT", help="Folder for the results.",
)  # fmt: skip
@format_option
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
@click.option("-v", "--verbose", is_flag=True, help="A line for every look at validation.")
@click.pass_context
def command(ctx: click.Context, **given: Any) -> None:
    """Train and measure cells on tasks; print a table.

    Every result is on disk as soon as it exists; the same command again does only what is missing.
    """
    ctx.exit(_run(**given))


def _run(
    *,
    cells: str,
    tasks: str,
    suite: str,
    seeds: str,
    device: str,
    jobs: int | None,
    hidden: int,
    steps: int | None,
    time_limit: float | None,
    resume: bool,
    output: Path,
    form: str,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
) -> Exit:
    if time_limit is not None and not 0 < time_limit < math.inf:
        raise OptionError(f"--time-limit must be a number of seconds above 0, not {time_limit:g}.")
    chosen_seeds = parse_seeds(seeds)
    from cellbench.measure.environment import usable_cpus
    from cellbench.store.folder import Folder
    from cellbench.store.manifest import read_manifest
    from cellbench.sweep.plan import make_plan
    from cellbench.sweep.run import execute, remaining

    where = choose_device(device)
    plan = make_plan(
        _cells(cells),
        _tasks(tasks, suite),
        chosen_seeds,
        hidden=hidden,
        device=where.partition(":")[0],
        most_steps=steps,
        time_limit_s=time_limit,
    )
    folder = Folder(output)
    left = remaining(plan, list(folder.journal), fresh=not resume)
    read_manifest(folder.manifest)
    folder.check_writable()
    if dry_run:
        _print_plan(plan, left, output)
        return Exit.OK
    cpus = usable_cpus()
    jobs = jobs or (1 if where.startswith("cuda") else cpus)
    jobs = max(1, min(jobs, len(left.units)))
    events = execute(
        plan, left, folder,
        device=where, jobs=jobs, threads=max(1, cpus // jobs), argv=_argv(),
    )  # fmt: skip
    _carry_out(events, plan, left, output, quiet=quiet, verbose=verbose)
    return _conclude(plan, list(folder.journal), form)


def _cells(text: str) -> list[Any]:
    from cellbench.plugins import check_buildable, parse_cell, split_cells

    specs = [parse_cell(expression) for expression in split_cells(text)]
    for spec in specs:
        check_buildable(spec)
    return specs


def _tasks(tasks: str, suite: str) -> list[Any]:
    from cellbench.catalog import find_suite, find_task, resolve

    named = list(resolve(tasks)) if tasks else []
    suite = suite or ("" if tasks else "quick")
    named += [find_task(level) for level in find_suite(suite).levels] if suite else []
    return list({task.id: task for task in named}.values())


def _argv() -> list[str]:
    return ["cellbench", *sys.argv[1:]]


def _print_plan(plan: Plan, left: Remaining, output: Path) -> None:
    for job in plan.jobs:
        seeds = [unit.seed for unit in left.units if unit.job is job]
        missing = f"seeds {', '.join(map(str, seeds))} to train" if seeds else "all trained"
        steps = job.settings.steps
        click.echo(f"{job.spec.text} @ {job.task.id}: {missing}, at most {steps} steps each")
    done = len(plan.units) - len(left.units)
    click.echo(
        f"{len(plan.units)} trials, {done} of them done before; {len(plan.jobs)} measurements; "
        f"results in {output}. Nothing was run."
    )


def _carry_out(
    events: Any, plan: Plan, left: Remaining, output: Path, *, quiet: bool, verbose: bool
) -> None:
    """Follow the events to their end; on Ctrl-C say what is kept and how to go on."""
    from cellbench.cli.progress import follow
    from cellbench.sweep.local import Finished
    from cellbench.sweep.plan import Unit

    finished = len(plan.units) - len(left.units)

    def counted() -> Any:
        nonlocal finished
        for event in events:
            finished += isinstance(event, Finished) and isinstance(event.work, Unit)
            yield event

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        follow(counted(), plan, left, err(), quiet=quiet, verbose=verbose)
    except KeyboardInterrupt:
        events.close()  # ends the workers, keeps what had arrived
        click.echo(
            f"Interrupted: {finished} of {len(plan.units)} trials are kept in {output}; "
            "run the same command again to go on.",
            err=True,
        )
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _conclude(plan: Plan, lines: list[AnyLine], form: str) -> Exit:
    """Print the rows of `plan`, and choose the exit code."""
    from cellbench.cli.show import show_rows
    from cellbench.record import Measurement, Status, Trial
    from cellbench.report.rows import make_rows
    from cellbench.store.journal import measurements, trials
    from cellbench.sweep.plan import measurement_id

    units = {unit.unit_id for unit in plan.units}
    mine: list[AnyLine] = [
        line
        for line in lines
        if (isinstance(line, Trial) and line.unit_id in units)
        or (isinstance(line, Measurement) and _is_of(line, plan, measurement_id))
        or not isinstance(line, Trial | Measurement)
    ]
    rows: list[Row] = make_rows(mine)
    show_rows(rows, form)
    ended = [*trials(mine), *measurements(mine)]
    return Exit.OK if all(line.status is Status.OK for line in ended) else Exit.FAILED


def _is_of(line: Any, plan: Plan, measurement_id: Any) -> bool:
    return any(measurement_id(job, line.env) == line.measurement_id for job in plan.jobs)
