"""Repeat copy: as often as told, then an end; the number is written as in training."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.base import Bits, Vectors
from cellbench.generators.repeat_copy import LAYOUTS, RepeatCopy
from cellbench.generators.stream import Stream


def make(**settings):
    usual = {
        "bits": 3,
        "longest": 4,
        "most": 5,
        "counted_to": 5,
        "layout": "ntm",
        "longer": "vectors",
    }
    return RepeatCopy(**usual | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    """Of 1 to 3, the mean is 2 and the variance 2/3: three is written as 1.2247."""
    rows = [[1, 0, 0], [0, 1, 1.2247449], *[[0, 0, 0]] * 6]
    generator = make(bits=1, longest=2, most=3, counted_to=3)
    answer = generator.oracle(torch.tensor(rows).unsqueeze(1))

    assert answer[:, 0].tolist() == [[0, 0]] * 2 + [[1, 0]] * 3 + [[0, 1]] + [[0, 0]] * 2


def test_a_sequence_of_the_dnc_layout_worked_out_by_hand() -> None:
    rows = [[0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0.2], *[[0, 0, 0]] * 6]
    generator = make(bits=1, longest=2, most=3, counted_to=10, layout="dnc")
    answer = generator.oracle(torch.tensor(rows).unsqueeze(1))

    assert answer[:, 0].tolist() == [[0, 0]] * 4 + [[1, 0], [0, 0]] * 2 + [[0, 1]] + [[0, 0]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_sequence_is_written_as_often_as_its_number_says(layout) -> None:
    generator = make(layout=layout)
    batch = drawn(generator, 50)
    lead = int(layout == "dnc")
    mean, deviation = (0, 5) if lead else (3, 2**0.5)

    assert (generator.reads, generator.answers) == (Vectors(5), Bits(4))
    for inputs, targets, scored in zip(
        batch.inputs.unbind(1), batch.targets.unbind(1), batch.scored.T, strict=True
    ):
        first = scored.tolist().index(True)
        length = first - 1 - lead
        repeats = round(inputs[first - 1, 4].item() * deviation + mean)
        vectors = inputs[lead : lead + length, :3]
        answer = torch.cat([vectors] * repeats + [torch.zeros(1, 3)])
        assert 1 <= length <= 4
        assert 1 <= repeats <= 5
        assert inputs[:, 3].nonzero().flatten().tolist() == [0 if lead else length]
        assert (inputs[first:] == 0).all()
        assert torch.equal(targets[first : first + len(answer), :3], answer)
        assert targets[:, 3].nonzero().flatten().tolist() == [first + len(answer) - 1]
        assert scored.sum() == len(answer)
        assert not scored[first + len(answer) :].any()


def test_lengths_and_repeats_are_equally_likely() -> None:
    batch = drawn(make(), 20_000)
    first = batch.scored.byte().argmax(0)
    length, repeats = first - 1, (batch.scored.sum(0) - 1) // (first - 1)

    assert chisquare((length * 5 + repeats - 6).bincount()).pvalue > 1e-4
    assert len((length * 5 + repeats - 6).bincount()) == 20


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_number_is_written_in_a_test_as_it_was_in_training(layout) -> None:
    generator = make(layout=layout, longer="repeats")
    more = generator.at_length(12)
    batch = drawn(more, 400)
    lengths = batch.scored.byte().argmax(0) - 1 - int(layout == "dnc")
    repeats = (batch.scored.sum(0) - 1) // lengths
    written = {
        (int(n), value) for n, value in zip(repeats, batch.inputs[:, :, 4].sum(0), strict=True)
    }
    known = {float(value) for value in drawn(generator, 400).inputs[:, :, 4].sum(0).unique()}

    assert more.counted_to == 5
    assert {n for n, _ in written} == set(range(1, 13))
    assert {float(value) for n, value in written if n <= 5} == known
    assert torch.equal(more.oracle(batch.inputs), batch.targets)
    assert make().at_length(7) == make(longest=7)


def test_the_written_numbers_have_mean_0_and_variance_1_over_training() -> None:
    numbers = drawn(make(counted_to=5, longest=1), 400).inputs[:, :, 4].sum(0).unique()

    assert len(numbers) == 5
    assert numbers.mean().item() == pytest.approx(0, abs=1e-6)
    assert numbers.square().mean().item() == pytest.approx(1, abs=1e-6)


def test_the_trivial_score_of_a_small_case_counted_by_hand() -> None:
    """One bit, one vector, once or twice: after it, the end or the vector again.

    Asked are 2 or 3 places of two bits each. First the bit, 1/2, and no end, 1. Then, with
    equal odds, end with bit 0 or go on: 0 is right 3/4, and either end, 1/2. Last, after
    two, surely 0 and end.
    """
    right = 2 * (Fraction(1, 2) + 1) + 2 * (Fraction(3, 4) + Fraction(1, 2)) + 2

    assert make(bits=1, longest=1, most=2).trivial() == pytest.approx(float(right / 10))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 17}, "bits must be a whole number from 1 to 16, not 17."),
        ({"longest": 0}, "longest must be a whole number of at least 1, not 0."),
        ({"most": 0}, "most must be a whole number of at least 1, not 0."),
        ({"counted_to": 1}, "counted_to must be a whole number of at least 2, not 1."),
        ({"layout": "dnn"}, "layout must be one of ntm, dnc, not 'dnn'; did you mean 'dnc'?"),
        ({"longer": "both"}, "longer must be one of vectors, repeats, not 'both'."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
