"""Delay line: late by the lag, of the band that its docstring names, and exact."""

from __future__ import annotations

import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.base import Vectors
from cellbench.generators.delay_line import DelayLine
from cellbench.generators.stream import Stream


def make(**settings):
    return DelayLine(**{"length": 60, "lag": 7, "width": 5} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    answer = make(length=4, lag=2).oracle(torch.tensor([0.5, -1.0, 2.0, 0.25]).view(4, 1, 1))

    assert answer.flatten().tolist() == [0, 0, 0.5, -1.0]


@pytest.mark.parametrize("lag", [1, 7, 59])
def test_each_answer_was_shown_so_many_steps_ago(lag) -> None:
    batch = drawn(make(lag=lag), 50)

    assert torch.equal(batch.targets[lag:], batch.inputs[:-lag])
    assert (batch.targets[:lag] == 0).all()
    assert batch.scored[lag:].all()
    assert not batch.scored[:lag].any()
    assert torch.equal(batch.scored, batch.trained)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_the_signal_is_noise_summed_three_times(width) -> None:
    """Against plain sums; of width 2 the weights are 1 3 3 1, and their squares add up to 20."""
    length = 20
    stream, index = Stream(0, "train"), torch.arange(10)
    signal = (
        stream.integers("noise", index, length + 3 * (width - 1), below=256) * 2 - 255
    ).tolist()
    for _ in range(3):
        signal = [
            [sum(values) for values in zip(*signal[start : start + width], strict=True)]
            for start in range(len(signal) - width + 1)
        ]
    generator = make(length=length, width=width)
    shown = generator.sample(stream, index).inputs[:, :, 0]
    scale = float(torch.tensor(signal)[0, 0] / shown[0, 0])

    assert scale in {2.0**n for n in range(5, 30)}
    assert torch.equal(shown * scale, torch.tensor(signal).float())
    if width == 2:
        assert generator.trivial() == 20 * 21845 / scale**2


@pytest.mark.parametrize("width", [1, 4, 40])
def test_the_variance_is_what_is_said_at_every_step(width) -> None:
    generator = make(width=width)
    signal = drawn(generator, 4000).inputs[:, :, 0].double()

    assert 0.5 <= generator.trivial() <= 2
    for step in (0, 30, 59):
        error = signal[step].square().std() / 4000**0.5
        assert abs(signal[step].square().mean() - generator.trivial()) < 5 * error


def test_the_band_is_what_the_docstring_says() -> None:
    power = torch.fft.rfft(drawn(make(length=4000, width=20), 64).inputs[:, :, 0], dim=0).abs()
    power = power.square().mean(1)
    level = power[2:6].mean()  # of 4000 steps: k means k/4000 cycles a step, 1/20 is 200

    assert power[47:58].mean() / level == pytest.approx(0.5, abs=0.1)
    assert power[220:].max() / level < 3e-4  # the side lobes, and what leaks at the ends


def test_every_value_is_exact_in_float32() -> None:
    values = drawn(make(width=40), 100).inputs.double()
    shift = next(n for n in range(40) if torch.equal(values * 2**n, (values * 2**n).round()))

    assert (values * 2**shift).abs().max() < 2**24
    assert 255 * 40**3 < 2**24


def test_it_may_be_longer_with_the_same_lag() -> None:
    assert make().at_length(100) == make(length=100)
    assert make().reads == make().answers == Vectors(1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "length must be a whole number of at least 2, not 1."),
        ({"lag": 60}, "lag must be a whole number from 1 to 59, not 60."),
        ({"width": 0}, "width must be a whole number from 1 to 40, not 0."),
        ({"width": 41}, "width must be a whole number from 1 to 40, not 41."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
