"""Many p: by hand, against scipy, and what must hold of any."""

from __future__ import annotations

import numpy as np
import pytest

from cellbench.stats.multiplicity import benjamini_hochberg, holm


def test_by_hand() -> None:
    """Holm: 0.01 * 4, 0.02 * 3, 0.03 * 2 but no less than 0.06, 0.5. BH: times 4, 2, 4/3, 1."""
    p = [0.02, 0.01, 0.5, 0.03]

    assert holm(p) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert benjamini_hochberg(p) == pytest.approx([0.04, 0.04, 0.5, 0.04])


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """Its definition: the largest, over all sets with it, of the size times the least p."""
    p = np.random.default_rng(4).random(6) * 0.2
    sets = [[i for i in range(6) if mask >> i & 1] for mask in range(1, 64)]
    closed = [max(min(1, len(s) * p[s].min()) for s in sets if i in s) for i in range(6)]

    assert holm(p.tolist()) == pytest.approx(closed)


def test_neither_goes_beyond_1_or_below_p() -> None:
    p = np.random.default_rng(0).random(50).tolist()

    for adjusted in (holm(p), benjamini_hochberg(p)):
        assert all(x <= y <= 1 for x, y in zip(p, adjusted, strict=True))


def test_equal_ones_stay_equal_and_one_stays_itself() -> None:
    for adjust in (holm, benjamini_hochberg):
        assert adjust([0.03]) == [pytest.approx(0.03)]
        assert adjust([]) == []
        assert len(set(adjust([0.02, 0.02, 0.02]))) == 1


@pytest.mark.parametrize("p", [[1.1], [-0.1], [0.5, float("nan")]])
def test_what_is_no_probability_is_refused(p) -> None:
    for adjust in (holm, benjamini_hochberg):
        with pytest.raises(ValueError, match="no probability"):
            adjust(p)
