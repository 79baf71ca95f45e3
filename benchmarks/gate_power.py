"""How often a gate cries wolf, and what it catches: whole gates resampled from real launches.

    python benchmarks/gate_power.py --launches 48

Launches this code against itself, keeps every raw round in
`results/benchmarks/gate-launches.jsonl`, and resamples gates over six cells from them: first stage,
correction, confirmation, control. A slow-down is put into each of the cells in turn.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
from pathlib import Path

from cellbench.regress.calibration import logs_of, regressions, whole_rows
from cellbench.regress.gate import Gate
from cellbench.regress.judge import control_moved, judge_times
from cellbench.regress.plan import CELLS, GatePlan
from cellbench.regress.sides import starter
from cellbench.regress.trees import working_tree
from cellbench.store.journal import Journal
from cellbench.sweep.worker import now
from cellbench.verdicts import GateLine, Launch, Stage

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"
JOURNAL = RESULTS / "gate-launches.jsonl"
SLOWDOWNS = (0.05, 0.10, 0.20)


def measure(launches: int) -> None:
    """Launch this code against itself; add to the journal."""
    tree = working_tree(Path.cwd())
    trees = {"base": tree, "head": tree}
    plan = GatePlan(cells=tuple(CELLS.split(",")), launches=launches, level="")
    name = now()
    with tempfile.TemporaryDirectory() as logs:
        gate = Gate(
            plan=plan,
            start=starter(trees, plan, Path(logs)),
            keep=Journal(JOURNAL, kind=GateLine).append,
            run_id=name,
            commits=dict.fromkeys(trees, tree.commit),
            order=random.Random(name),  # noqa: S311 -- an order
            say=lambda text: print(text, file=sys.stderr),
        )
        gate.time(Stage.FIRST, [(cell, m) for cell in plan.cells for m in plan.metrics])


def resample(gates: int, per_gate: int) -> dict[str, object]:
    """Return what gates of the launches in the journal come to."""
    launches = [line for line in Journal(JOURNAL, kind=GateLine) if isinstance(line, Launch)]
    plan = GatePlan(cells=tuple(CELLS.split(",")))
    rows = whole_rows(logs_of(launches), len(launches))
    judged = [{key: v for key, v in row.items() if key[0] != plan.control} for row in rows]
    margins = dict.fromkeys(judged[0], plan.margin)
    order = random.Random(0)  # noqa: S311 -- which launches

    def gate(slower: dict[tuple[str, str], float]) -> set[tuple[str, str]]:
        def draw() -> list[dict[tuple[str, str], float]]:
            drawn = order.choices(judged, k=per_gate)
            return [{k: v + slower.get(k, 0.0) for k, v in row.items()} for row in drawn]

        return regressions(draw(), draw(), margins)

    def void() -> bool:
        drawn = order.choices(launches, k=per_gate)
        keys = [(plan.control, metric) for metric in plan.metrics]
        return any(map(control_moved, judge_times(keys, drawn, plan.margin_of).values()))

    found: dict[str, object] = {
        "launches": len(launches),
        "gates": gates,
        "launches_a_gate": per_gate,
        "false_alarms": sum(bool(gate({})) for _ in range(gates)) / gates,
        "void": sum(void() for _ in range(gates)) / gates,
    }
    for size in SLOWDOWNS:
        found[f"caught_{size:.0%}"] = {
            cell: sum(
                any(key[0] == cell for key in gate(_slower(cell, plan.metrics, size)))
                for _ in range(gates // 5)
            )
            / (gates // 5)
            for cell in plan.cells
        }
    return found


def _slower(cell: str, metrics: tuple[str, ...], size: float) -> dict[tuple[str, str], float]:
    return {(cell, metric): math.log1p(size) for metric in metrics}


def main() -> None:
    """Measure, resample, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launches", type=int, default=0, help="to add to the journal")
    parser.add_argument("--gates", type=int, default=1000)
    parser.add_argument("--per-gate", type=int, default=8)
    given = parser.parse_args()
    if given.launches:
        measure(given.launches)
    found = resample(given.gates, given.per_gate)
    (RESULTS / "gate.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
