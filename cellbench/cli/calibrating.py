"""`cellbench calibrate`: from its options to a calibration."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from cellbench.cli.gating import (
    Shared,
    parse_share,
    progress,
    run_id,
    shared_plan,
    stopped_by_ctrl_c,
)
from cellbench.errors import NothingMeasuredError
from cellbench.regress.calibration import calibrate as resample
from cellbench.regress.calibration import save_calibration
from cellbench.regress.sides import open_gate
from cellbench.regress.trees import working_tree
from cellbench.report.gate_numbers import percent
from cellbench.store.folder import Folder
from cellbench.sweep.worker import now
from cellbench.verdicts import Calibration, Stage


def calibrate(given: dict[str, Any], *, pairs: int, margin: str) -> None:
    """Launch this code against itself, resample gates, keep and print what was found."""
    asked, share = Shared(**given), parse_share("--margin", margin)
    plan, name = shared_plan(asked), run_id()
    Folder(asked.output).check_writable()
    tree = working_tree(Path.cwd())
    trees = {"base": tree, "head": tree}
    repeated = dataclasses.replace(plan, launches=pairs, level="")
    with stopped_by_ctrl_c(asked.output):
        found = open_gate(repeated, trees, asked.output, name, progress(quiet=asked.quiet))
        found.time(Stage.FIRST, [(cell, m) for cell in plan.cells for m in plan.metrics])
    launches = found.launches[Stage.FIRST]
    if found.environment is None or found.failed:
        raise NothingMeasuredError(f"Nothing was calibrated; failed: {', '.join(found.failed)}.")
    result = resample(
        launches,
        found.environment.key,
        per_gate=asked.launches,
        margin=share,
        control=plan.control,
        made_at=now(),
    )
    save_calibration(asked.noise, result)
    _show(result, asked.noise)


def _show(found: Calibration, path: Path) -> None:
    click.echo(
        f"{found.launches} launches of this code against itself; {found.gates} gates of "
        f"{found.per_gate} launches resampled: {percent(found.false_alarms)} raised an alarm."
    )
    width = max(map(len, found.floors))
    click.echo(f"{'':{width}}  floor  caught in 95 %")
    for name, floor in found.floors.items():
        caught = found.detectable.get(name)
        beyond = "not to 100%" if caught is None or caught > 1 else f"from {percent(caught)}"
        click.echo(f"{name:{width}}  {percent(floor):>5}  {beyond}")
    click.echo(f"Kept in {path}; gates on this machine use it.")
