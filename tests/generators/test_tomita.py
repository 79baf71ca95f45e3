"""Tomita's languages: by their definitions, and balanced at every length."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest
import torch
from scipy.stats import binomtest, chisquare

from cellbench.errors import OptionError
from cellbench.generators.stream import Stream
from cellbench.generators.tomita import LANGUAGES, Tomita


def later(text):
    """Tell whether an odd run of zeros comes after an odd run of ones, at once or later."""
    runs = [(symbol, len(list(run))) for symbol, run in itertools.groupby(text)]
    odd = [symbol for symbol, size in runs if size % 2]
    return any(odd[i] == "1" and "0" in odd[i:] for i in range(len(odd)))


DEFINITIONS = {
    1: lambda text: "0" not in text,
    2: lambda text: text == "10" * (len(text) // 2),
    3: lambda text: not later(text),
    4: lambda text: "000" not in text,
    5: lambda text: text.count("0") % 2 == 0 and text.count("1") % 2 == 0,
    6: lambda text: (text.count("0") - text.count("1")) % 3 == 0,
    7: lambda text: re.fullmatch("0*1*0*1*", text) is not None,
}
every_language = pytest.mark.parametrize("language", LANGUAGES)


def make(**settings):
    return Tomita(**{"language": 4, "shortest": 4, "longest": 8, "loss": "answer"} | settings)


def draw(generator, count, split="train"):
    return generator.sample(Stream(0, split), torch.arange(count))


def texts(batch):
    return ["".join(".01"[i] for i in c.tolist()).rstrip(".") for c in batch.inputs.unbind(1)]


@every_language
def test_the_oracle_agrees_with_the_definition_on_every_short_string(language) -> None:
    strings = ["".join(one) for n in range(1, 10) for one in itertools.product("01", repeat=n)]
    ids = torch.tensor([[int(c) + 1 for c in one] + [0] * (9 - len(one)) for one in strings]).T
    targets = make(language=language).oracle(ids)

    for column, text in enumerate(strings):
        for end in range(1, len(text) + 1):
            assert targets[end - 1, column] == DEFINITIONS[language](text[:end]), text[:end]


def test_strings_worked_out_by_hand() -> None:
    known = {1: ("111", "110"), 2: ("1010", "1001"), 3: ("0110", "10110"), 4: ("00100", "10001")}
    known |= {5: ("0110", "0111"), 6: ("0101", "0100"), 7: ("0101", "01010")}
    for language, (within, without) in known.items():
        for text, belongs in ((within, 1), (without, 0)):
            ids = torch.tensor([[int(c) + 1] for c in text])
            assert make(language=language).oracle(ids)[-1].item() == belongs


@every_language
def test_each_sequence_is_what_its_answer_says(language) -> None:
    batch = draw(make(language=language, longest=37, loss="all"), 200)
    for column, text in enumerate(texts(batch)):
        assert 4 <= len(text) <= 37
        assert batch.scored[:, column].nonzero().flatten().tolist() == [len(text) - 1]
        assert batch.trained[:, column].sum() == len(text)
        for end in range(1, len(text) + 1):
            assert batch.targets[end - 1, column] == DEFINITIONS[language](text[:end])
    answer = draw(make(language=language, longest=37), 200)
    assert torch.equal(answer.inputs, batch.inputs)
    assert torch.equal(answer.trained, answer.scored)


@every_language
def test_half_belong_at_every_length(language) -> None:
    batch = draw(make(language=language), 8000)
    lengths = [len(text) for text in texts(batch)]
    answers = batch.targets.gather(0, torch.tensor([lengths]) - 1)[0]
    usual = [4, 6, 8] if language in {2, 5} else [4, 5, 6, 7, 8]
    found = Counter(lengths)

    assert sorted(found) == usual
    assert chisquare(list(found.values())).pvalue > 1e-3
    for length in usual:
        mine = answers[torch.tensor(lengths) == length]
        assert binomtest(int(mine.sum()), len(mine)).pvalue > 1e-3
    assert make(language=language).trivial() == 0.5


@every_language
def test_strings_of_a_length_and_an_answer_are_equally_likely(language) -> None:
    found = Counter(texts(draw(make(language=language, shortest=6, longest=6), 12_000)))
    strings = ["".join(one) for one in itertools.product("01", repeat=6)]
    for belongs in (True, False):
        mine = [one for one in strings if DEFINITIONS[language](one) == belongs]
        assert all(found[one] for one in mine)
        assert len(mine) == 1 or chisquare([found[one] for one in mine]).pvalue > 1e-3


@pytest.mark.parametrize("length", [12, 64, 130, 512])
def test_it_can_be_tested_at_any_even_length(length) -> None:
    for language in LANGUAGES:
        generator = make(language=language).at_length(length)
        batch = draw(generator, 8)
        assert {len(text) for text in texts(batch)} == {length}
        assert torch.equal(generator.oracle(batch.inputs), batch.targets)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"language": 0}, "language must be a whole number from 1 to 7, not 0."),
        ({"language": 8}, "language must be a whole number from 1 to 7, not 8."),
        ({"longest": 513}, "longest must be a whole number from 1 to 512, not 513."),
        ({"shortest": 0}, "shortest must be a whole number of at least 1, not 0."),
        ({"shortest": 9}, "shortest must be a whole number from 1 to longest=8, not 9."),
        ({"loss": "al"}, "loss must be one of answer, all, not 'al'; did you mean 'all'?"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message


def test_a_language_needs_a_length_with_both_answers() -> None:
    with pytest.raises(OptionError, match=r"^longest must be more than 7: language 5 has only str"):
        make(language=5, shortest=7, longest=7)
    with pytest.raises(OptionError, match=r"language 4 has .* one answer from shortest=1 on\.$"):
        make(language=4, shortest=1, longest=2)
