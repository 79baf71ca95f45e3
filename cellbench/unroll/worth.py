"""Whether compiling a cell repays itself.

An estimate from counts, never from a clock: so the same command does the same arithmetic on every
run, and its results are the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

MARGIN = 2.0
"""How many times over the saved time must repay compilation: training may end early."""

MOST_OPERATIONS = 200
"""Where even a step of so many operations would not repay it, none is traced to count them."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What compiling costs and saves, in seconds.

    Attributes:
        compile_s: Of any step.
        compile_operation_s: Of each operation of it.
        saved_operation_s: Of each operation of each step, forward and backward.
    """

    compile_s: float
    compile_operation_s: float
    saved_operation_s: float


PRICES = {
    # Measured on two cores of an EPYC: 2 to 10 s for 10 to 80 operations, and a step that took
    # 10 us an operation, forward and backward, took a fourth of it.
    "cpu": Prices(compile_s=3.0, compile_operation_s=0.1, saved_operation_s=6e-6),
    # Not measured: launches are dearer there, and so is compiling.
    "cuda": Prices(compile_s=15.0, compile_operation_s=0.3, saved_operation_s=2e-5),
}


def repays(operations: int, steps: int, device: str) -> bool:
    """Tell whether to compile.

    Args:
        operations: Of one step of the cell, views not counted.
        steps: Time steps of training that are planned, over all batches.
        device: "cpu" or "cuda".
    """
    prices = PRICES[device]
    cost_s = prices.compile_s + operations * prices.compile_operation_s
    return steps * operations * prices.saved_operation_s > MARGIN * cost_s
