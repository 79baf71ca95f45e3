"""From two trees to a finished gate: who is started, what is kept, what is told."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from cellbench.errors import NothingMeasuredError
from cellbench.measure.environment import usable_cpus
from cellbench.regress.calibration import calibration_for
from cellbench.regress.conclude import accept, exit_code
from cellbench.regress.gate import Gate, Say, Start
from cellbench.regress.plan import GatePlan
from cellbench.regress.process import Arm, Process
from cellbench.regress.stored import Stored, against
from cellbench.regress.trees import Tree, environment_changes
from cellbench.store.frames import machine_name
from cellbench.store.journal import Journal
from cellbench.sweep.worker import now
from cellbench.verdicts import Calibration, GateLine, GateReport

BUSY = 0.5
"""Load average, as a share of the CPUs, above which a reader is told."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a gate is asked, besides its plan.

    Attributes:
        base: As the user named it.
        trees: By side; head alone against a stored baseline.
        folder: For the journal and what processes print.
        fail_on: "inconclusive".
        calibrations: Of machines; this one's is used if it is among them.
        stored: A baseline, in place of a tree of base.
    """

    base: str
    trees: Mapping[str, Tree]
    folder: Path
    fail_on: Collection[str] = ()
    calibrations: Sequence[Calibration] = ()
    stored: Stored | None = None


def starter(trees: Mapping[str, Tree], plan: GatePlan, logs: Path) -> Start:
    """Return what starts a fresh process of a side."""

    def start(side: str, order: random.Random) -> tuple[Arm, dict[str, Any]]:
        process = Process(trees[side], plan.setting, logs / f"{side}.log", order)
        return process, process.greeting

    return start


def journal_path(folder: Path, run_id: str) -> Path:
    """Return where a gate keeps its raw values."""
    return folder / f"{run_id}.jsonl"


def open_gate(
    plan: GatePlan, trees: Mapping[str, Tree], folder: Path, run_id: str, say: Say
) -> Gate:
    """Return a gate of real processes, that keeps what they say in `folder`.

    Args:
        trees: By side; head alone, if there is no base.
    """
    return Gate(
        plan=plan,
        start=starter(trees, plan, folder / "logs" / run_id),
        keep=Journal(journal_path(folder, run_id), kind=GateLine).append,
        run_id=run_id,
        commits={side: tree.commit for side, tree in trees.items()},
        order=random.Random(run_id),  # noqa: S311 -- only an order; another for every gate
        say=say,
    )


def run_gate(plan: GatePlan, ask: Ask, run_id: str, say: Say) -> GateReport:
    """Run a gate, and report.

    Raises:
        NothingMeasuredError: A side cannot begin.
        IncomparableError: The two sides, or the baseline's machine and this, do not run alike.
        OptionError: A cell is nowhere.
    """
    began_s, started_at = monotonic(), now()
    gate = open_gate(plan, ask.trees, ask.folder, run_id, say)
    findings = gate.run() if ask.stored is None else against(ask.stored, gate)
    environment = gate.environment
    if environment is None:  # never: a side that cannot begin has raised
        raise NothingMeasuredError("Nothing was measured: no process began.")
    found, void = accept(findings, plan.accepted), gate.void()
    judged = [one for one in found if one.cell != plan.control]
    code, why = exit_code(judged, void, ask.fail_on)
    return GateReport(
        run_id=run_id,
        base=ask.base,
        base_commit=_base_commit(ask),
        head_commit=ask.trees["head"].commit,
        findings=found,
        control=plan.control,
        void=void,
        advisory=tuple(_advisory(ask, gate)),
        notes=tuple(_notes(ask)),
        machine=machine_name(environment.key),
        calibration=calibration_for(environment.key, ask.calibrations),
        exit=int(code),
        exit_reason=why,
        elapsed_s=monotonic() - began_s,
        started_at=started_at,
        journal=str(journal_path(ask.folder, run_id)),
    )


def _base_commit(ask: Ask) -> str:
    return ask.stored.commit if ask.stored is not None else ask.trees["base"].commit


def _advisory(ask: Ask, gate: Gate) -> list[str]:
    found = []
    if ask.stored is not None:
        found.append(
            "times are compared with stored ones, by their ratio to the control: what another "
            "hour, kernel or neighbour does to one cell alone looks like a change"
        )
    loads = [line.load for lines in gate.launches.values() for line in lines if line.load]
    cpus = usable_cpus()
    # one of the two sides runs all the time, so that a load of 1 is the gate's own
    if loads and max(loads) - 1 > BUSY * cpus:
        found.append(f"the load average rose to {max(loads)} on {cpus} CPUs; intervals are wider")
    return found


def _notes(ask: Ask) -> list[str]:
    if ask.stored is not None:
        return []
    changed = environment_changes(ask.trees["base"], ask.trees["head"])
    if not changed:
        return []
    told = (
        f"{', '.join(changed)} changed: both sides ran with the packages that are installed now, "
        "so what other versions of these do is not in the ratios"
    )
    return [told]
