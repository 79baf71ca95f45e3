"""Counting floating-point operations."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def count_operations(call: Callable[[], object]) -> int:
    """Return the floating-point operations of the matrix products, attentions and convolutions
    in `call`; a multiply-add is two. Element-wise work is not counted.
    """  # noqa: D205 -- one sentence, too long for a line
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
