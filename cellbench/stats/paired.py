"""Two entrants on the same seeds: what their differences say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from cellbench.stats.intervals import checked
from cellbench.stats.two_samples import Test

Alternative = Literal["two-sided", "less", "greater"]

MOST_PATTERNS = 1 << 16
"""Up to it all patterns of signs are tried: up to 16 pairs. Beyond it, as many are drawn."""


def sign_flip(differences: Sequence[float], *, alternative: Alternative = "two-sided") -> Test:
    """Return the exact test of "each difference could as well have the other sign".

    Source: Fisher 1935, The Design of Experiments, section 21.

    Args:
        differences: Of each pair.
        alternative: "less" asks whether the mean difference is below 0.

    Raises:
        ValueError: There are no differences, or one is not finite.
    """
    from scipy.stats import permutation_test  # noqa: PLC0415 -- scipy takes a second to import

    values = checked(differences, 0.95)
    n = len(values)
    # Scipy refuses one value; a 0 beside it has no sign, and so changes no p.
    found = permutation_test(
        (np.append(values, 0.0) if n == 1 else values,),
        lambda x, axis=-1: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=MOST_PATTERNS,
        alternative=alternative,
        random_state=np.random.default_rng(0),
    )
    return Test(min(1.0, float(found.pvalue)), smallest_sign_p(n, alternative), "sign flip", (n,))


def mcnemar(
    a: Sequence[bool], b: Sequence[bool], *, alternative: Alternative = "two-sided"
) -> Test:
    """Return the exact test of whether A solves as often as B on the same seeds.

    Only the pairs of which one solved and the other did not can tell.

    Source: McNemar 1947; exact, by the binomial.

    Args:
        a: Whether A solved, a seed each.
        b: The same of B, in the same order.
        alternative: "less" asks whether A solves less often.

    Raises:
        ValueError: There are no pairs, or not as many of A as of B.
    """
    from scipy.stats import binomtest  # noqa: PLC0415 -- scipy takes a second to import

    if len(a) != len(b) or not len(a):
        raise ValueError(f"no pairs of {len(a)} and {len(b)} outcomes")
    only_a = sum(1 for x, y in zip(a, b, strict=True) if x and not y)
    only_b = sum(1 for x, y in zip(a, b, strict=True) if y and not x)
    told = only_a + only_b
    p = float(binomtest(only_a, told, 0.5, alternative).pvalue) if told else 1.0
    return Test(p, smallest_sign_p(len(a), alternative), "McNemar, exact", (len(a),))


def smallest_sign_p(pairs: int, alternative: Alternative = "two-sided") -> float:
    """Return the least p that signs alone can give: all of them equal."""
    return min(1.0, (2 if alternative == "two-sided" else 1) * 0.5**pairs)
