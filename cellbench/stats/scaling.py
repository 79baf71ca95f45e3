"""How time grows with a size: power laws fitted to few points, with honest intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from cellbench.stats.student import t_quantile

CONFIDENCE = 0.95


class Exponent(msgspec.Struct, frozen=True):
    """The power of one size.

    Attributes:
        value: 1 means twice the size, twice the time.
        margin: Half of the 95 % interval; None where there are too few points for one.
    """

    value: float
    margin: float | None = None


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """seconds ~ constant * size_1 ** exponent_1 * size_2 ** exponent_2 ...

    Attributes:
        exponents: Of each size that has at least two values; empty where none can be found.
        points: That it was fitted to.
        misfit: Largest factor between a point and the law, less 1: at 0.1, the law is right
            to 10 % on all points. Where it is large, time is no power of the sizes over this
            range, and an exponent is a mean slope.
        lacking: What there is too little of, and what to do; "" if nothing.
    """

    exponents: dict[str, Exponent]
    points: int
    misfit: float | None = None
    lacking: str = ""


def fit_power_law(seconds: Sequence[float], sizes: Mapping[str, Sequence[float]]) -> Law:
    """Fit exponents by least squares on logarithms.

    The sample is the points, one number each: blocks of one point share its process, so they
    are no further evidence. The margins come from how far the points lie from the law, by
    Student's t with as many degrees of freedom as there are points over; so a bend, which is no
    noise, widens them too.

    Args:
        seconds: Of each point; above 0.
        sizes: Name -> the size at each point; above 0.
    """
    varied = {name: values for name, values in sizes.items() if len(set(values)) > 1}
    points, unknown = len(seconds), 1 + len(varied)
    if not varied:
        return Law(exponents={}, points=points, lacking="every size has one value; give two")
    design = np.array([[math.log(v) for v in values] for values in varied.values()])
    design = np.vstack([np.ones(points), design]).T
    if np.linalg.matrix_rank(design) < unknown:
        few = f"{points} points do not tell {' and '.join(varied)} apart; give more values"
        return Law(exponents={}, points=points, lacking=few)
    logs = np.log(np.asarray(seconds, dtype=float))
    found = np.linalg.lstsq(design, logs, rcond=None)[0]
    residuals = logs - design @ found
    margins = _margins(design, residuals)
    return Law(
        exponents={
            name: Exponent(float(value), margin)
            for name, value, margin in zip(varied, found[1:], margins[1:], strict=True)
        },
        points=points,
        misfit=math.expm1(float(np.abs(residuals).max())) if points > unknown else None,
        lacking="" if points > unknown else "no point is left over for an interval; give more",
    )


def _margins(design: np.ndarray, residuals: np.ndarray) -> list[float | None]:
    points, unknown = design.shape
    freedom = points - unknown
    if freedom < 1:
        return [None] * unknown
    variance = float(residuals @ residuals) / freedom
    spread = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    reach = t_quantile((1 + CONFIDENCE) / 2, freedom)
    return [reach * float(s) for s in spread]
