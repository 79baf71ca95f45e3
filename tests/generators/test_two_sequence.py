"""Two sequences: Gaussian noise from a table, and odds where the sign is noisy too."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import binomtest, kstest, norm

from cellbench.errors import OptionError
from cellbench.generators.base import Odds, Tokens
from cellbench.generators.stream import Stream
from cellbench.generators.two_sequence import TwoSequence, noise_values


def make(**settings):
    return TwoSequence(**{"length": 20, "informative": 3, "noise": "rest"} | settings)


def draw(generator, count, split="train"):
    return generator.sample(Stream(0, split), torch.arange(count))


def test_a_sequence_worked_out_by_hand() -> None:
    values = torch.tensor([[1.0, 1.0, -0.5, 0.25, 0.0], [-1.0, -1.0, 0.5, 0.5, 0.5]]).T
    targets = make(length=5, informative=2).oracle(values.unsqueeze(2))

    assert targets.T.tolist() == [[0, 0, 0, 1, 0], [0] * 5]
    noisy = make(length=5, informative=2, noise="everywhere")
    log_odds = noisy.oracle(torch.tensor([0.2, -0.1, 3.0, -9.0, 0.0]).view(5, 1, 1))
    assert log_odds.exp()[3, 0, 1].item() == pytest.approx(1 / (1 + math.exp(-1)))  # 2 s / .2 = 1


def test_each_sequence_is_as_published() -> None:
    batch = draw(make(length=50), 200)
    table = set(noise_values().tolist())
    for column in range(200):
        values = batch.inputs[:, column, 0].tolist()
        (end,) = batch.scored[:, column].nonzero().flatten().tolist()
        sign = 1 if batch.targets[end, column] else -1
        assert 49 <= end <= 54
        assert values[:3] == [sign] * 3
        assert set(values[3 : end + 1]) <= table
        assert values[end + 1 :] == [0] * (54 - end)
    assert binomtest(int(batch.targets.sum()), 200).pvalue > 1e-3
    assert batch.scored.int().argmax(0).unique().tolist() == [49, 50, 51, 52, 53, 54]


def test_noise_is_gaussian_of_variance_a_fifth() -> None:
    table = noise_values()
    drawn = draw(make(length=90), 200).inputs[3:90, :, 0].flatten()

    assert table.dtype == torch.float32
    assert torch.equal(table, -table.flip(0))
    assert table.abs().min() > 0  # so that 0 is after the end only
    assert table.double().square().mean().item() == pytest.approx(0.2, rel=1e-3)
    assert kstest(drawn.numpy(), norm(0, math.sqrt(0.2)).cdf).pvalue > 1e-3


@pytest.mark.parametrize("informative", [1, 3])
def test_noisy_signs_have_the_odds_that_are_told(informative) -> None:
    generator = make(informative=informative, noise="everywhere")
    batch = draw(generator, 40_000)
    optimum = batch.optimum.sum(0).double()
    wrong = (optimum > math.log(2)).double().mean().item()
    error = norm.cdf(-math.sqrt(informative / 0.2))  # of a sum of signs with noise

    assert (batch.optimum[~batch.scored] == 0).all()
    assert wrong == pytest.approx(error, abs=0.002)
    bits = optimum.mean().item() / math.log(2)
    assert 1 - bits == pytest.approx(generator.trivial(), abs=0.003)
    values = batch.inputs[:informative, :, 0]
    sign = 2 * batch.targets.sum(0) - 1
    assert (values - sign).double().var().item() == pytest.approx(0.2, rel=0.03)


def test_answers_and_what_takes_no_memory() -> None:
    assert make().answers == Tokens(2, "01")
    assert make().trivial() == 0.5
    assert make(noise="everywhere").answers == Odds(2, "01")
    assert make(noise="everywhere", informative=3).metric == "excess"
    # 1 - the integral of the entropy, by another rule on another grid
    steps = torch.linspace(-8, 8, 200_001, dtype=torch.float64)
    weight = torch.exp(-steps.square() / 2) / math.sqrt(2 * math.pi) * (steps[1] - steps[0])
    bits = torch.nn.functional.softplus(-(10 + math.sqrt(20) * steps)) / math.log(2)
    expected = 1 - (weight * bits).sum().item()
    one = make(noise="everywhere", informative=1)
    assert one.trivial() == pytest.approx(expected, abs=1e-6)
    assert make().at_length(77) == make(length=77)


@pytest.mark.parametrize("noise", ["rest", "everywhere"])
def test_the_noise_after_the_signs_does_not_matter(noise) -> None:
    generator = make(noise=noise)
    batch = draw(generator, 300)
    changed = batch.inputs.clone()
    changed[3:] *= -1

    assert torch.equal(generator.oracle(changed), generator.oracle(batch.inputs))
    changed[:3] *= -1
    assert not torch.equal(generator.oracle(changed), generator.oracle(batch.inputs))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "length must be a whole number of at least 2, not 1."),
        ({"informative": 0}, "informative must be a whole number of at least 1, not 0."),
        (
            {"informative": 20},
            "informative must be a whole number from 1 to length - 1=19, not 20.",
        ),
        (
            {"noise": "rset"},
            "noise must be one of rest, everywhere, not 'rset'; did you mean 'rest'?",
        ),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
