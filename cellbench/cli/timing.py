"""`cellbench perf`: from its options to an exit code."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from cellbench.cli.console import err, out
from cellbench.cli.options import choose_device
from cellbench.cli.timing_progress import follow_timings
from cellbench.errors import Exit, OptionError
from cellbench.plugins import CellSpec, check_buildable, parse_cell, split_cells
from cellbench.record import AnyLine, Speed, Status
from cellbench.report.perf_rows import speed_rows
from cellbench.store.folder import Folder
from cellbench.store.journal import speeds
from cellbench.store.manifest import read_manifest
from cellbench.sweep.alone import SpeedEvent
from cellbench.sweep.perf import execute_speeds
from cellbench.sweep.speed_jobs import SpeedJob, make_speed_jobs
from cellbench.unroll import Carrier, Way

LARGEST_SIZE = 10**7


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options, as they were typed."""

    cells: str
    times: str
    batches: str
    hiddens: str
    unroll: str
    device: str
    dtype: str
    threads: int
    time_limit: float
    remeasure: bool
    output: Path
    form: str
    plot: bool
    dry_run: bool
    quiet: bool


def perf(asked: Asked) -> Exit:
    """Check everything, then time what is missing, then print."""
    device = choose_device(asked.device)
    jobs = _jobs(asked, device)
    folder = Folder(asked.output)
    list(folder.journal)  # damaged or newer: better said now
    read_manifest(folder.manifest)
    folder.check_writable()
    if asked.dry_run:
        _print_plan(jobs, folder)
        return Exit.OK
    argv = ["cellbench", *sys.argv[1:]]
    events = execute_speeds(
        jobs, folder, device=device, threads=asked.threads, argv=argv, again=asked.remeasure
    )
    _carry_out(events, jobs, folder, asked)
    mine = _of(jobs, list(folder.journal))
    _show(mine, jobs, asked)
    bad = [s for s in speeds(mine) if s.status is not Status.OK or not s.parity_ok]
    return Exit.FAILED if bad else Exit.OK


def parse_sizes(option: str, text: str) -> tuple[int, ...]:
    """Read `128,512,2048`.

    Raises:
        OptionError: It is no such list, or has a size twice.
    """
    parts = [part.strip() for part in text.split(",")]
    wrong = next((part for part in parts if not _is_size(part)), None)
    if wrong is not None:
        raise OptionError(
            f"{option} must be whole numbers from 1 to {LARGEST_SIZE}, with commas between, such "
            f"as 16 or 128,512; not {wrong!r} in {text!r}."
        )
    sizes = tuple(map(int, parts))
    if len(set(sizes)) != len(sizes):
        raise OptionError(f"{option} {text} has a size twice; name each once.")
    return sizes


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= LARGEST_SIZE  # noqa: PLR2004 -- int() of endless digits is slow


def _jobs(asked: Asked, device: str) -> tuple[SpeedJob, ...]:
    limit_s = asked.time_limit
    if not 0 < limit_s < math.inf:
        raise OptionError(f"--time-limit must be a number of seconds above 0, not {limit_s:g}.")
    sizes = {
        "times": parse_sizes("--time", asked.times),
        "batches": parse_sizes("--batch", asked.batches),
        "hiddens": parse_sizes("--hidden", asked.hiddens),
    }
    way = Way(asked.unroll)
    return make_speed_jobs(
        _cells(asked.cells, way, sizes["hiddens"]),
        **sizes,
        device=device.partition(":")[0],
        dtype=asked.dtype,
        unroll=way,
        time_limit_s=limit_s,
    )


def _cells(text: str, way: Way, hiddens: Sequence[int]) -> list[CellSpec]:
    specs = [parse_cell(expression) for expression in split_cells(text)]
    for spec in specs:
        for hidden in hiddens:
            Carrier(way).chosen(check_buildable(spec, hidden, hidden))
    return specs


def _print_plan(jobs: Sequence[SpeedJob], folder: Folder) -> None:
    for job in jobs:
        click.echo(str(job))
    count = f"{len(jobs)} timing{'' if len(jobs) == 1 else 's'}"
    click.echo(
        f"{count}, those done before in this environment included; results in {folder.path}. "
        "Nothing was run."
    )


def _carry_out(
    events: Generator[SpeedEvent], jobs: Sequence[SpeedJob], folder: Folder, asked: Asked
) -> None:
    """Follow the events to their end; on Ctrl-C say what is kept and how to go on."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        follow_timings(events, len(jobs), err(), quiet=asked.quiet)
    except KeyboardInterrupt:
        events.close()  # ends the process that is timing
        kept = len(speeds(_of(jobs, list(folder.journal))))
        click.echo(
            f"Interrupted: {kept} of {len(jobs)} timings are kept in {asked.output}; "
            "run the same command again to go on.",
            err=True,
        )
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _of(jobs: Sequence[SpeedJob], lines: Sequence[AnyLine]) -> list[AnyLine]:
    """Leave out the speeds that were not asked for."""
    envs = {line.env for line in lines if isinstance(line, Speed)}
    asked = {job.speed_id(env) for env in envs for job in jobs}
    return [line for line in lines if not isinstance(line, Speed) or line.speed_id in asked]


def _show(lines: Sequence[AnyLine], jobs: Sequence[SpeedJob], asked: Asked) -> None:
    rows = speed_rows(lines, list(dict.fromkeys(job.spec.text for job in jobs)))
    if asked.form == "table":
        from cellbench.report.perf import print_perf

        print_perf(rows, out(), drawn=asked.plot)
    elif asked.form == "markdown":
        from cellbench.report.perf import perf_markdown

        click.echo(perf_markdown(rows, drawn=asked.plot))
    else:
        from cellbench.report.perf_data import perf_csv, perf_json

        click.echo(perf_json(rows) if asked.form == "json" else perf_csv(lines))
