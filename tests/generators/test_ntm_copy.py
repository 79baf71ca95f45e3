"""NTM copy: vectors and a delimiter, as many back as were shown, lengths drawn fairly."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.base import Bits, Vectors
from cellbench.generators.ntm_copy import NtmCopy
from cellbench.generators.stream import Stream


def make(**settings):
    return NtmCopy(**{"bits": 8, "shortest": 1, "longest": 20} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    inputs = [[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    answer = make(bits=2, longest=3).oracle(torch.tensor(inputs).float().unsqueeze(1))

    assert answer[:, 0].tolist() == [[0, 0]] * 3 + [[1, 0], [1, 1]] + [[0, 0]] * 2


def test_each_sequence_is_vectors_a_delimiter_and_the_vectors_again() -> None:
    batch = drawn(make(), 50)

    assert batch.inputs.shape == (41, 50, 9)
    for inputs, targets, scored in zip(
        batch.inputs.unbind(1), batch.targets.unbind(1), batch.scored.T, strict=True
    ):
        told = inputs[:, 8].tolist()
        length = told.index(1)
        assert told == [0] * length + [1] + [0] * (40 - length)
        assert (inputs[length:, :8] == 0).all()
        asked = slice(length + 1, 2 * length + 1)
        assert torch.equal(targets[asked], inputs[:length, :8])
        assert scored.nonzero().flatten().tolist() == list(range(length + 1, 2 * length + 1))
        assert targets.sum() == targets[asked].sum()
    assert torch.equal(batch.scored, batch.trained)


def test_lengths_and_vectors_are_equally_likely() -> None:
    batch = drawn(make(bits=3, shortest=2, longest=6), 20_000)
    lengths = batch.scored.sum(0)
    words = (batch.targets[batch.scored] * torch.tensor([1.0, 2.0, 4.0])).sum(1).long()

    assert lengths.min() == 2
    assert chisquare(lengths.bincount()[2:]).pvalue > 1e-4
    assert chisquare(words.bincount(minlength=8)).pvalue > 1e-4


def test_all_steps_answered_alike_would_be_noticed() -> None:
    generator = make()
    batch = drawn(generator, 200)
    batch.inputs[:, :, 8] = batch.inputs[:, :, 8].roll(1, 0)

    assert not torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert (generator.oracle(torch.zeros_like(batch.inputs)) == 0).all()


def test_at_another_length_every_sequence_has_that_length() -> None:
    other = make().at_length(30)
    batch = drawn(other, 20)

    assert (other.reads, other.answers) == (Vectors(9), Bits(8))
    assert batch.scored.sum(0).tolist() == [30] * 20


def test_a_shorter_longest_leaves_the_vectors_as_they_are() -> None:
    one, other = (drawn(make(shortest=3, longest=n), 20) for n in (3, 20))

    assert torch.equal(one.inputs[:3, :, :8], other.inputs[:3, :, :8])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 0}, "bits must be a whole number from 1 to 16, not 0."),
        ({"bits": 17}, "bits must be a whole number from 1 to 16, not 17."),
        ({"shortest": 0}, "shortest must be a whole number of at least 1, not 0."),
        ({"shortest": 21}, "longest must be a whole number of at least 21, not 20."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
