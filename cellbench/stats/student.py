"""Student's t distribution: how far a mean of few samples may lie from the truth."""

from __future__ import annotations

import math

MOST_TERMS = 10_000
"""Of the continued fraction; it needs about the square root of the degrees of freedom."""

TINY = 1e-300


def t_quantile(probability: float, freedom: int) -> float:
    """Return the value below which Student's t falls with `probability`.

    Right to about ten digits: found by halving an interval on the exact distribution function.

    Args:
        probability: Above 0 and below 1.
        freedom: Degrees of freedom, at least 1.

    Raises:
        ValueError: An argument is out of its range.
    """
    if not 0 < probability < 1 or freedom < 1:
        raise ValueError(f"no t quantile for probability={probability}, freedom={freedom}")
    tail = min(probability, 1 - probability)
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > tail:
        low, high = high, high * 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if t_tail(middle, freedom) > tail else (low, middle)
    return middle if probability > 1 / 2 else -middle


def t_tail(t: float, freedom: int) -> float:
    """Return the probability that Student's t is above `t`, for `t` from 0."""
    square = t * t
    return incomplete_beta(freedom / 2, 1 / 2, freedom / (freedom + square)) / 2


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for 0 <= x <= 1.

    Source: Abramowitz & Stegun 1964, 26.5.8 (the continued fraction) and 26.5.2 (the symmetry
    that is used where the fraction would converge slowly).
    Differs from it: the fraction is evaluated by Lentz's method (Thompson & Barnett 1986).
    """
    if x in (0, 1):
        return float(x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front / (a * _fraction(a, b, x))
    return 1 - front / (b * _fraction(b, a, 1 - x))


def _fraction(a: float, b: float, x: float) -> float:
    """Return 1 + d_1/(1 + d_2/(1 + ...)) of 26.5.8, front to back."""
    value, above, below = 1.0, 1.0, 0.0
    for n in range(1, MOST_TERMS):
        d = _term(a, b, x, n)
        below = 1 / _not_zero(1 + d * below)
        above = _not_zero(1 + d / above)
        value *= above * below
        if abs(above * below - 1) < 1e-15:  # noqa: PLR2004 -- a few units in the last place
            break
    return value


def _term(a: float, b: float, x: float, n: int) -> float:
    m = n // 2
    if n % 2:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
