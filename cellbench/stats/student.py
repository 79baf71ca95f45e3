"""Student's t distribution: how far a mean of few samples may lie from the truth."""

from __future__ import annotations


def t_quantile(probability: float, freedom: int) -> float:
    """Return the value below which Student's t falls with `probability`.

    Args:
        probability: Above 0 and below 1.
        freedom: Degrees of freedom, at least 1.

    Raises:
        ValueError: An argument is out of its range.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 -- scipy takes long to import

    if not 0 < probability < 1 or freedom < 1:
        raise ValueError(f"no t quantile for probability={probability}, freedom={freedom}")
    return float(stdtrit(freedom, probability))
