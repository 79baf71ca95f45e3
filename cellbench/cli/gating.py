"""`cellbench gate`: from its options to an exit code."""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from cellbench.cli.console import out
from cellbench.cli.options import choose_device, parse_seeds
from cellbench.cli.publish import publish
from cellbench.errors import Exit, NothingMeasuredError, OptionError
from cellbench.plugins import split_cells
from cellbench.record import Sizes
from cellbench.regress.calibration import calibration_for, read_calibrations
from cellbench.regress.gate import Say
from cellbench.regress.plan import METRICS, GatePlan
from cellbench.regress.sides import Ask, open_gate, run_gate
from cellbench.regress.stored import read_stored, save
from cellbench.regress.trees import Tree, checked_out, merge_base, working_tree
from cellbench.report.gate_data import to_json
from cellbench.report.gate_markdown import to_markdown
from cellbench.report.gate_terminal import print_gate
from cellbench.store.folder import Folder
from cellbench.verdicts import Calibration, GateReport, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The options of `gate` and `calibrate`, as they were typed."""

    cells: str
    control: str
    metrics: str
    launches: int
    rounds: int
    time: int
    batch: int
    hidden: int
    unroll: str
    device: str
    noise: Path
    output: Path
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Shared):
    """The options of `gate`."""

    base: str | None
    head: str | None
    baseline: Path | None
    save_baseline: Path | None
    margin: str
    level: str
    seeds: str
    accept: tuple[str, ...]
    fail_on: tuple[str, ...]
    time_limit: float | None
    form: str
    junit: Path | None
    json: Path | None
    markdown: Path | None


def gate(asked: Asked) -> int:
    """Check everything, measure, print, and return the exit code."""
    if sum(one is not None for one in (asked.base, asked.baseline, asked.save_baseline)) != 1:
        raise OptionError(
            "Name one of --base REV, --baseline FILE and --save-baseline FILE: what to compare "
            "with, or where to store what is measured."
        )
    calibrations = read_calibrations(asked.noise)
    plan = make_plan(asked, calibrations)
    Folder(asked.output).check_writable()
    with stopped_by_ctrl_c(asked.output), contextlib.ExitStack() as stack:
        head = _head(asked, stack)
        if asked.save_baseline is not None:
            return _store(asked, plan, head, asked.save_baseline)
        ask = _ask(asked, head, calibrations, stack)
        report = run_gate(plan, ask, run_id(), progress(quiet=asked.quiet))
    _show(report, asked.form)
    return publish(report, os.environ, junit=asked.junit, json=asked.json, markdown=asked.markdown)


def _ask(
    asked: Asked, head: Tree, calibrations: list[Calibration], stack: contextlib.ExitStack
) -> Ask:
    if asked.baseline is not None:
        stored = read_stored(asked.baseline)
        return Ask(
            base=str(asked.baseline),
            trees={"head": head},
            folder=asked.output,
            fail_on=asked.fail_on,
            calibrations=calibrations,
            stored=stored,
        )
    base = asked.base or ""
    here = Path.cwd()
    commit = merge_base(here, base, head.commit.rstrip("+"))
    return Ask(
        base=base,
        trees={"base": stack.enter_context(checked_out(here, commit)), "head": head},
        folder=asked.output,
        fail_on=asked.fail_on,
        calibrations=calibrations,
    )


def _head(asked: Asked, stack: contextlib.ExitStack) -> Tree:
    here = Path.cwd()
    if asked.head is None:
        return working_tree(here)
    commit = merge_base(here, asked.head, asked.head)
    return stack.enter_context(checked_out(here, commit))


def _store(asked: Asked, plan: GatePlan, head: Tree, path: Path) -> int:
    """Measure head alone, and write a baseline."""
    if head.is_dirty:
        raise OptionError("A baseline is made of a commit; commit or stash what was changed first.")
    say = progress(quiet=asked.quiet)
    found = open_gate(plan, {"head": head}, asked.output, run_id(), say)
    found.count()
    keys = found.timeable()
    if not keys:
        raise NothingMeasuredError("No baseline was written: no cell could be measured.")
    found.time(Stage.FIRST, keys)
    save(found, path)
    cells = len(found.facts["head"])
    click.echo(f"Stored {cells} cells at {head.commit[:12]} in {path}; review it like code.")
    return Exit.OK


def make_plan(asked: Asked, calibrations: list[Calibration]) -> GatePlan:
    """Check every option that needs no process.

    Raises:
        OptionError: One cannot be.
        UnknownNameError: There is no such level.
    """
    from cellbench.catalog import find_task

    if asked.level:
        find_task(asked.level)
    plan = shared_plan(asked)
    return replace(
        plan,
        margin=parse_share("--margin", asked.margin),
        level=asked.level,
        seeds=parse_seeds(asked.seeds),
        accepted=frozenset(_accepted(text) for text in asked.accept),
        time_limit_s=asked.time_limit,
        floors=_floors(plan, calibrations),
    )


def _floors(plan: GatePlan, calibrations: list[Calibration]) -> dict[str, float]:
    """Return this machine's noise floors, if it was calibrated."""
    if not calibrations:
        return {}
    import torch

    from cellbench.measure.environment import environment
    from cellbench.measure.precision import set_precision

    set_precision()
    key = environment(torch.device(plan.device), "float32", plan.threads).key
    found = calibration_for(key, calibrations)
    return dict(found.floors) if found else {}


def shared_plan(asked: Shared) -> GatePlan:
    """Return the plan as far as the options that `gate` and `calibrate` share say."""
    cells = tuple(dict.fromkeys(split_cells(asked.cells)))
    if not cells:
        raise OptionError("--cells names no cell.")
    metrics = tuple(dict.fromkeys(part.strip() for part in asked.metrics.split(",")))
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise OptionError(f"--metrics must be of {', '.join(METRICS)}, not {unknown[0]!r}.")
    if asked.control in cells:
        raise OptionError(f"--control {asked.control} is gated itself: name another, or none.")
    hidden = asked.hidden
    return GatePlan(
        cells=cells,
        control=asked.control,
        metrics=metrics,
        launches=asked.launches,
        rounds=asked.rounds,
        sizes=Sizes(time=asked.time, batch=asked.batch, input=hidden, hidden=hidden),
        unroll=asked.unroll,
        device=choose_device(asked.device),
    )


def parse_share(option: str, text: str) -> float:
    """Read `3%` or `0.03`.

    Raises:
        OptionError: It is neither, or not above 0 and below 1.
    """
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise OptionError(f"{option} must be a share such as 3% or 0.03, not {text!r}.")
    return share


def _accepted(text: str) -> tuple[str, str]:
    cell, _, metric = text.rpartition(":")
    if not cell or not metric:
        raise OptionError(f'--accept must be CELL:METRIC, such as "lstm:outputs", not {text!r}.')
    return cell, metric


def _show(report: GateReport, form: str) -> None:
    if form == "table":
        print_gate(report, out())
    else:
        click.echo(to_json(report) if form == "json" else to_markdown(report))


def run_id() -> str:
    """Return a name for a gate, by the time."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def progress(*, quiet: bool) -> Say:
    """Return what tells, on standard error, what is being done."""

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    return say


@contextlib.contextmanager
def stopped_by_ctrl_c(folder: Path) -> Iterator[None]:
    """Say what is kept, where a gate is interrupted."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"Interrupted: finished launches are kept in {folder}.", err=True)
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
