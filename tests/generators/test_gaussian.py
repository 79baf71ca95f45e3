"""Normal numbers from a table: mean 0, variance 1, and the right shape."""

from __future__ import annotations

import torch
from scipy.stats import chisquare, kstest

from cellbench.generators.gaussian import SIZE, normal_values, normals, variance
from cellbench.generators.stream import Stream


def test_the_values_rise_mirror_each_other_and_have_variance_1() -> None:
    values = normal_values()

    assert len(values) == SIZE
    assert (values.diff() >= 0).all()
    assert torch.equal(values, -values.flip(0))
    assert abs(variance() - 1) < 1e-6
    assert torch.equal(values * 2**20, (values * 2**20).round())


def test_the_values_are_those_of_the_normal_distribution() -> None:
    """Scaled to variance 1, which moves them by less than 1e-4."""
    assert kstest(normal_values().numpy(), "norm").statistic < 1e-4


def test_every_value_is_equally_likely() -> None:
    numbers = normals(Stream(0, "train"), "any", torch.arange(5000), 20)
    bounds = normal_values()[SIZE // 16 :: SIZE // 16].contiguous()
    shares = torch.bucketize(numbers, bounds, right=True)

    assert chisquare(shares.flatten().bincount(minlength=16)).pvalue > 1e-4
