"""Counter languages: what may come next, told by all strings of the language."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.counters import Counters
from cellbench.generators.stream import Stream


def make(letters=2, shortest=1, longest=5):
    return Counters(letters=letters, shortest=shortest, longest=longest)


def sets(targets):
    return ["".join("ab$"[n] for n in range(3) if row[n]) for row in targets.tolist()]


def test_by_hand() -> None:
    inputs = torch.tensor([[0, 0, 1, 1, 2, 2]]).T

    assert sets(make(longest=3).oracle(inputs)[:4, 0]) == ["ab", "ab", "b", "$"]


@pytest.mark.parametrize("letters", [2, 3, 4])
def test_sets_are_those_of_the_language(letters) -> None:
    """Compared with what follows the same beginning in any longer or shorter string."""
    generator = make(letters, 2, 9)
    batch = generator.sample(Stream(0, "test"), torch.arange(50))
    language = [[n for n in range(letters) for _ in range(k)] + [letters] for k in range(1, 12)]

    for column in range(50):
        shown = [token for token in batch.inputs[:, column].tolist() if token < letters]
        assert [*shown, letters] in language[1:9]
        assert (
            batch.scored[:, column].sum() == len(shown) == batch.scored[: len(shown), column].sum()
        )
        for step in range(len(shown)):
            head = shown[: step + 1]
            legal = {one[step + 1] for one in language if one[: step + 1] == head}
            found = batch.targets[step, column].nonzero().flatten().tolist()
            assert set(found) == legal
    assert torch.equal(generator.oracle(batch.inputs)[batch.scored], batch.targets[batch.scored])


def test_every_n_is_as_likely_as_another_and_one_guess_is_right() -> None:
    batch = make(2, 3, 6).sample(Stream(0, "train"), torch.arange(20_000))
    counts = torch.bincount((batch.inputs == 0).sum(0))

    assert chisquare(counts[3:]).pvalue > 1e-4
    assert len(counts) == 7
    assert make(2, 3, 6).trivial() == 0.25
    assert make().metric == "exact"


def test_a_length_is_a_bin_of_as_many() -> None:
    assert make(2, 1, 50).at_length(150) == make(2, 101, 150)
    with pytest.raises(OptionError, match="length must be at least 5, one for each n, not 4"):
        make().at_length(4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"letters": 1}, "letters must be a whole number of at least 2, not 1"),
        ({"letters": 9}, "letters must be a whole number from 2 to eight=8, not 9"),
        ({"shortest": 0}, "shortest must be a whole number of at least 1, not 0"),
        ({"shortest": 6}, "shortest must be a whole number from 1 to longest=5, not 6"),
        ({"longest": 0}, "longest must be a whole number of at least 1, not 0"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError, match=message):
        make(**settings)
