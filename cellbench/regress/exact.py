"""Verdicts on what was counted: no noise, no statistics, and no tolerance but for rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cellbench.verdicts import Facts, Finding, Kind, Verdict

LESS_IS_BETTER = {
    "operations": "operations",
    "kernels": "",
    "peak_allocated_bytes": "bytes",
    "state_bytes": "bytes",
    "leaked_bytes": "bytes",
    "leaked_objects": "",
    "graphs": "",
    "graph_breaks": "",
}
"""Metric -> unit. Of a training step or a step, see `counting`."""

MUST_STAY = {"parameters": ""}
"""What is another cell if it differs, either way."""

GROUPS = {
    "operations": ("operations", "kernels"),
    "memory": ("peak_allocated_bytes", "state_bytes"),
    "leaks": ("leaked_bytes", "leaked_objects"),
    "graph": ("graphs", "graph_breaks"),
}
"""What is counted in one go, and fails as one."""

ROUNDING = 1e-9
"""Largest difference of two outputs in float64, relative to the largest, that is no change of what
is computed: sums in another order."""

GONE = ("UnknownNameError", "ModuleNotFoundError")
"""Errors that say a cell is not there any more."""

LOADING = "loading.py"
"""Where a class or a file that is not there is missed."""


def judge_facts(base: Facts, head: Facts) -> Iterator[Finding]:
    """Yield a finding for each exact metric of a cell, or one that says why there is none."""
    cell = head.cell
    if base.error is not None:
        verdict = Verdict.FAILED if head.error is not None else Verdict.NEW
        detail = _told(head) if head.error is not None else f"not at base: {_told(base)}"
        yield Finding(cell=cell, metric="cell", kind=Kind.EXACT, verdict=verdict, detail=detail)
        return
    if head.error is not None:
        gone = head.error.type in GONE or head.error.where.startswith(LOADING)
        verdict = Verdict.MISSING if gone else Verdict.FAILED
        yield Finding(
            cell=cell, metric="cell", kind=Kind.EXACT, verdict=verdict, detail=_told(head)
        )
        return
    yield from _numbers(base, head)
    yield from _not_counted(base, head)
    for name in ("way", "compiles"):
        yield _text(cell, name, base.texts.get(name, ""), head.texts.get(name, ""))
    yield _outputs(cell, base.outputs, head.outputs)


def _numbers(base: Facts, head: Facts) -> Iterator[Finding]:
    for metric, unit in {**MUST_STAY, **LESS_IS_BETTER}.items():
        before, after = base.values.get(metric), head.values.get(metric)
        if before is None or after is None:
            continue
        if before == after:
            verdict = Verdict.EQUIVALENT
        elif metric in MUST_STAY:
            verdict = Verdict.CHANGED
        else:
            verdict = Verdict.REGRESSED if after > before else Verdict.IMPROVED
        yield Finding(
            cell=head.cell,
            metric=metric,
            kind=Kind.EXACT,
            verdict=verdict,
            unit=unit,
            base=before,
            head=after,
            ratio=after / before if before else None,
        )


def _not_counted(base: Facts, head: Facts) -> Iterator[Finding]:
    """Yield what only one side could count: never passed over."""
    for group, metrics in GROUPS.items():
        at_base, at_head = (all(m in side.values for m in metrics) for side in (base, head))
        if at_base and at_head:
            continue
        reason = (base if at_head else head).texts.get(group, "not counted")
        verdict = Verdict.FAILED if at_base else Verdict.NEW
        if not at_base and not at_head:
            verdict = Verdict.INCONCLUSIVE
        yield Finding(cell=head.cell, metric=group, kind=Kind.EXACT, verdict=verdict, detail=reason)


def _text(cell: str, name: str, before: str, after: str) -> Finding:
    verdict, detail = Verdict.EQUIVALENT, ""
    if before != after:
        better = after == "yes"
        verdict = Verdict.IMPROVED if better else Verdict.CHANGED
        detail = f"{before} -> {after}"
    return Finding(cell=cell, metric=name, kind=Kind.EXACT, verdict=verdict, detail=detail)


def _outputs(cell: str, before: Sequence[float], after: Sequence[float]) -> Finding:
    verdict, detail = Verdict.EQUIVALENT, ""
    difference = relative_difference(before, after)
    if difference > ROUNDING:
        verdict = Verdict.CHANGED
        detail = f"outputs or gradients on fixed inputs and weights differ by {difference:.1e}"
    elif difference > 0:
        detail = f"rounding only, {difference:.1e}"
    return Finding(cell=cell, metric="outputs", kind=Kind.EXACT, verdict=verdict, detail=detail)


def relative_difference(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the largest difference over the largest number; inf where there is no comparing."""
    if len(before) != len(after):
        return math.inf
    largest = max(map(abs, (*before, *after)), default=0.0)
    gap = max((abs(a - b) for a, b in zip(before, after, strict=True)), default=0.0)
    if not math.isfinite(largest):
        return 0.0 if list(before) == list(after) else math.inf
    return gap / largest if largest else 0.0


def _told(facts: Facts) -> str:
    error = facts.error
    if error is None:
        return ""
    return f"{error.type}: {error.message}" + (f" ({error.where})" if error.where else "")
