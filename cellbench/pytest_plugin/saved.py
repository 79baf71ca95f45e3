"""Saved runs: whether they are of the same machine, and answer the same question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

QUESTION = ("cell", "metric", "time", "batch", "input", "hidden", "dtype", "unroll", "key")
"""What must be the same in two benchmarks, as `extra_info` names it."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What pytest-benchmark saved of an earlier run.

    Attributes:
        name: What messages call it.
        key: The facts of its machine that must agree; None if no cell was timed.
        extra_info: Of each benchmark, by full name.
    """

    name: str
    key: Mapping[str, str] | None
    extra_info: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, output: Mapping[str, Any]) -> Saved:
        """Take what is needed of the JSON that pytest-benchmark saved."""
        commit = str(output.get("commit_info", {}).get("id", "unknown"))[:12]
        found = {one["fullname"]: one.get("extra_info", {}) for one in output["benchmarks"]}
        name = f"the run saved {output.get('datetime', 'some time')[:19]} at commit {commit}"
        return cls(name, output.get("machine_info", {}).get("cellbench"), found)


def other_machine(saved: Saved, now: Mapping[str, str]) -> str:
    """Say in which facts the machine of `saved` differs from `now`; "" if in none."""
    differs = differences(saved.key or {}, now)
    if not differs:
        return ""
    return (
        f"{saved.name} may not be compared with this one: {differs}. Compare on the machine and "
        "with the options of the saved run, or save a new one here."
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name each fact that differs, with both values."""
    facts = dict.fromkeys((*now, *before))
    return ", ".join(
        f"{fact} was {before.get(fact)!r} and is {now.get(fact)!r}"
        for fact in facts
        if before.get(fact) != now.get(fact)
    )


def another_question(fullname: str, asked: Mapping[str, Any], runs: Sequence[Saved]) -> str:
    """Say why a test may not be compared with its namesake in one of `runs`; "" if it may.

    pytest-benchmark pairs by name alone, and a name does not tell sizes.

    Args:
        fullname: Of the test.
        asked: What it times: a value for each of `QUESTION`.
        runs: That it will be compared with.
    """
    for run in runs:
        before = run.extra_info.get(fullname)
        if before is None:
            continue
        if "key" not in before:
            return f"{run.name} does not say of what cell and machine its {fullname} is."
        differs = differences(_flat(before), _flat(asked))
        if differs:
            return f"{run.name} may not be compared with this one: {differs}."
    return ""


def _flat(given: Mapping[str, Any]) -> dict[str, Any]:
    """Put the facts of the machine beside the others."""
    found = {name: given.get(name) for name in QUESTION if name != "key"}
    return found | dict(given["key"])


def without_partner(fullname: str, runs: Sequence[Saved]) -> list[str]:
    """Return the names of those `runs` that have no test of this name."""
    return [run.name for run in runs if fullname not in run.extra_info]
