"""Adding as first published: marks where the paper puts them, and 19/480 without memory."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.adding_hs97 import AddingHS97
from cellbench.generators.stream import Stream


def sample(length, count, split="train"):
    generator = AddingHS97(length=length)
    return generator, generator.sample(Stream(0, split), torch.arange(count))


def test_a_sequence_worked_out_by_hand() -> None:
    numbers = [0.5, -0.25, 0.75, -1.0, 0.5, 0.0]
    marks = [-1.0, 1.0, 0.0, 1.0, -1.0, 0.0]
    inputs = torch.tensor([numbers, marks]).T.unsqueeze(1)

    targets = AddingHS97(length=12).oracle(inputs).flatten().tolist()

    assert targets == [0, 0, 0, 0, 0.5 + (-0.25 - 1) / 4, 0]


@pytest.mark.parametrize("length", [11, 20, 100])
def test_each_sequence_is_as_published(length) -> None:
    _, batch = sample(length, 300)
    rare = 0
    for column in range(300):
        pairs = batch.inputs[:, column].tolist()
        end = max(step for step, (_, mark) in enumerate(pairs) if mark == -1)
        ones = [step for step, (_, mark) in enumerate(pairs) if mark == 1]
        low, high = length - 1, length + length // 10 - 1
        assert low <= end <= high
        assert batch.scored[:, column].nonzero().flatten().tolist() == [end]
        assert all(pair == [0, 0] for pair in pairs[end + 1 :])
        assert len(ones) == 2
        assert min(ones) <= 9
        assert max(ones) <= max(9, length // 2 - 1)
        assert (pairs[0][1] == 1) == (0 in ones)
        assert all(pairs[step][1] == 0 for step in range(1, end) if step not in ones)
        total = sum(pairs[step][0] for step in ones)
        assert batch.targets[end, column].item() == pytest.approx(0.5 + total / 4, abs=1e-6)
        assert all(-1 <= number < 1 for number, _ in pairs)
        rare += pairs[0] == [0, 1]
    assert rare > 0


def test_marks_and_lengths_are_equally_likely() -> None:
    _, batch = sample(100, 8000)
    marks = batch.inputs[:, :, 1]
    end = batch.scored.int().argmax(0)
    late = (marks[10:] == 1).sum(1)[:40]  # X2 alone; of the first 49 unmarked, to pair 49
    early = (marks[1:10] == 1).sum(1)

    assert chisquare(torch.bincount(end - 99, minlength=11)).pvalue > 1e-3
    assert chisquare(late[:39]).pvalue > 1e-3
    assert chisquare(early).pvalue > 1e-3
    assert marks[50:][marks[50:] == 1].numel() == 0


def test_without_memory_the_error_is_that_of_the_published_rule() -> None:
    """1/24 where X1 is not the first pair; 19/480 with the rule, as drawn."""
    generator, batch = sample(100, 40_000)
    targets = batch.targets.squeeze(2).sum(0).double()
    zeroed = (batch.inputs[0, :, 1] == 1) & (batch.inputs[0, :, 0] == 0)
    errors = (targets - 0.5).square()

    assert generator.trivial() == pytest.approx(19 / 480, abs=1e-12)
    assert zeroed.double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert errors[~zeroed].mean().item() == pytest.approx(0.041667, rel=0.03)
    assert errors.mean().item() == pytest.approx(generator.trivial(), rel=0.03)
    assert abs(errors.mean().item() - 1 / 24) > 0.001


def test_the_oracle_is_exact_and_a_missing_mark_is_noticed() -> None:
    generator, batch = sample(50, 500, "test")
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)

    batch.inputs[:, :, 1].clamp_(max=0)
    changed = generator.oracle(batch.inputs)[batch.scored] != batch.targets[batch.scored]
    assert changed.float().mean() > 0.9
    assert generator.at_length(70) == AddingHS97(length=70)


@pytest.mark.parametrize("length", [10, True])
def test_settings_are_checked(length) -> None:
    with pytest.raises(OptionError) as caught:
        AddingHS97(length=length)

    assert str(caught.value) == f"length must be a whole number of at least 11, not {length!r}."
