"""In-context recall with noise: what is asked was shown, and the noise is as much as is said."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.noisy_recall import NoisyRecall
from cellbench.generators.stream import Stream


def make(**settings):
    usual = {"length": 32, "keys": 4, "values": 5, "noise": 3, "share": 0.3, "loss": "answer"}
    return NoisyRecall(**usual | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    """Key 1 has value 6, key 0 value 4; 9 and 10 are noise."""
    row = [1, 6, 9, 10, 0, 4, 1, 6, 10, 9, 0]
    answer = make(length=12).oracle(torch.tensor([row]).T).flatten().tolist()

    assert answer == [6, 9, 10, 0, 4, 1, 6, 10, 9, 0, 4]


@pytest.mark.parametrize(
    "settings", [{}, {"share": 0.0, "noise": 0}, {"share": 0.99}, {"length": 4}, {"keys": 1}]
)
def test_it_is_what_a_loop_makes_of_it(settings) -> None:
    generator = make(**settings)
    keys = generator.keys
    batch = drawn(generator, 100)

    for column in range(100):
        row, target = batch.inputs[:, column].tolist(), batch.targets[:, column].tolist()
        scored = batch.scored[:, column].tolist()
        table = {}
        assert target[:-1] == row[1:]
        for step in range(0, len(row), 2):
            assert scored[step] == (row[step] in table)
            assert not any(scored[step + 1 : step + 2])
            if row[step] < keys:
                assert keys <= target[step] < keys + 5
                assert table.setdefault(row[step], target[step]) == target[step]
            else:
                assert keys + 5 <= min(row[step : step + 2])
        assert scored[-1]
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert len(batch.inputs) == generator.length - 1


def test_there_is_as_much_noise_as_is_said() -> None:
    """Of sixteen pairs the last is none, nor is one of the others."""
    pairs = drawn(make(), 8000).inputs[::2] >= 9

    assert pairs.double().mean().item() == pytest.approx(0.3 * 14 / 16, abs=0.005)
    assert not pairs[-1].any()
    noise = drawn(make(), 2000).inputs
    assert chisquare(torch.bincount(noise[noise >= 9] - 9).tolist()).pvalue > 0.001


def test_the_last_key_is_any_of_those_shown() -> None:
    """With two keys, and both shown, each is asked equally often."""
    batch = drawn(make(keys=2), 8000)
    both = torch.stack([(batch.inputs[:-2:2] == key).any(dim=0) for key in range(2)]).all(dim=0)

    assert chisquare(torch.bincount(batch.inputs[-1][both]).tolist()).pvalue > 0.001


def test_values_are_equally_likely() -> None:
    batch = drawn(make(), 8000)

    assert chisquare(torch.bincount(batch.targets[-1] - 4).tolist()).pvalue > 0.001
    assert make().trivial() == 1 / 5


def test_the_loss_looks_where_it_is_told() -> None:
    answer, everywhere = drawn(make(), 8), drawn(make(loss="all"), 8)

    assert torch.equal(answer.trained, answer.scored)
    assert everywhere.trained.all()
    assert torch.equal(everywhere.scored, answer.scored)


def test_at_another_length() -> None:
    assert len(drawn(make().at_length(64), 2).inputs) == 63


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 2}, "length must be a whole number of at least 4, not 2."),
        ({"length": 7}, "length must be a multiple of 2, not 7."),
        ({"keys": 0}, "keys must be a whole number of at least 1, not 0."),
        ({"values": 1}, "values must be a whole number of at least 2, not 1."),
        ({"share": 1}, "share must be a number of at least 0 and below 1, not 1."),
        ({"noise": 0}, "noise must be a whole number of at least 1, not 0."),
        ({"loss": "last"}, "loss must be one of answer, all, not 'last'."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
