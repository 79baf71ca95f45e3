"""Carrying a cell through time.

`stepwise` is the definition of right. Every other way must give what it gives.
"""

from __future__ import annotations

from cellbench.unroll.carrier import Carried, Carrier, Way, unroll
from cellbench.unroll.stepwise import Outputs, slices, stepwise

__all__ = ["Carried", "Carrier", "Outputs", "Way", "slices", "stepwise", "unroll"]
