"""Places: different, rising, and every set as likely as any other."""

from __future__ import annotations

import math

import torch
from scipy.stats import chisquare

from cellbench.generators.places import rising_places
from cellbench.generators.stream import Stream


def places(count, out_of, sequences):
    index = torch.arange(sequences)
    return rising_places(Stream(0, "train"), "any", index, count, out_of=out_of)


def test_they_rise_and_so_differ() -> None:
    drawn = places(10, 12, 5000)

    assert (drawn.diff(dim=0) > 0).all()
    assert drawn.min() == 0
    assert drawn.max() == 11


def test_every_set_is_equally_likely() -> None:
    drawn = places(3, 6, 20_000)
    _, counts = drawn.T.unique(dim=0, return_counts=True)

    assert len(counts) == math.comb(6, 3)
    assert chisquare(counts).pvalue > 1e-4


def test_all_of_them_may_be_drawn() -> None:
    assert places(5, 5, 3).T.tolist() == [[0, 1, 2, 3, 4]] * 3
