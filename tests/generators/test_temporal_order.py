"""Temporal order: as published, fair, and told by its markers alone."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.stream import Stream
from cellbench.generators.temporal_order import GLYPHS, TemporalOrder


def sample(markers, length, count, split="train"):
    generator = TemporalOrder(markers=markers, length=length)
    return generator, generator.sample(Stream(0, split), torch.arange(count))


def texts(batch):
    return ["".join(GLYPHS[i] for i in column.tolist()) for column in batch.inputs.unbind(1)]


def test_a_sequence_worked_out_by_hand() -> None:
    ids = torch.tensor([[GLYPHS.index(c) for c in text] for text in ("EaYbdXaB.", "EXXcdbaaB")]).T
    targets = TemporalOrder(markers=2, length=10).oracle(ids)

    assert targets.T.tolist() == [[0] * 7 + [2, 0], [0] * 9]  # YX is third of XX XY YX YY
    three = torch.tensor([[GLYPHS.index(c) for c in "EYaXbYB"]]).T
    assert TemporalOrder(markers=3, length=10).oracle(three)[-1].tolist() == [5]


@pytest.mark.parametrize(
    ("markers", "windows"),
    [(2, [(10, 20), (50, 60)]), (3, [(10, 20), (33, 43), (66, 76)])],
)
def test_it_is_as_published_at_100_steps(markers, windows) -> None:
    generator, batch = sample(markers, 100, 400)
    classes = ["".join(one) for one in itertools.product("XY", repeat=markers)]

    assert generator.answers.size == len(classes) == 2**markers
    for column, text in enumerate(texts(batch)):
        body = text.rstrip(".")
        places = [step for step, symbol in enumerate(body) if symbol in "XY"]
        end = len(body) - 1
        assert 100 <= len(body) <= 110
        assert (body[0], body[-1]) == ("E", "B")
        assert set(body[1:-1]) <= set("abcdXY")
        assert len(places) == markers
        for place, (low, high) in zip(places, windows, strict=True):
            assert low <= place <= high
        assert batch.scored[:, column].nonzero().flatten().tolist() == [end]
        shown = "".join(body[place] for place in places)
        assert classes[batch.targets[end, column]] == shown


@pytest.mark.parametrize("markers", [2, 3])
def test_lengths_places_noise_and_classes_are_equally_likely(markers) -> None:
    _, batch = sample(markers, 100, 4000)
    all_texts = texts(batch)
    end = batch.scored.int().argmax(0)
    places = [next(i for i, c in enumerate(text) if c in "XY") for text in all_texts]
    answers = batch.targets.gather(0, end.unsqueeze(0)).flatten()
    noise = [sum(text.count(c) for text in all_texts) for c in "abcd"]

    for counts in (
        torch.bincount(end - 99, minlength=11),
        torch.bincount(torch.tensor(places) - 10, minlength=11),
        torch.bincount(answers, minlength=2**markers),
        torch.tensor(noise),
    ):
        assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("markers", [2, 3])
@pytest.mark.parametrize("length", [10, 11, 19, 33, 1000])
def test_windows_never_meet_at_any_length(markers, length) -> None:
    generator, batch = sample(markers, length, 500)

    assert all(sum(c in "XY" for c in text) == markers for text in texts(batch))
    assert all(text.count("E") == text.count("B") == 1 for text in texts(batch))
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


def test_without_memory_one_class_of_all_is_right() -> None:
    assert TemporalOrder(markers=2, length=100).trivial() == 1 / 4
    assert TemporalOrder(markers=3, length=100).trivial() == 1 / 8
    assert TemporalOrder(markers=3, length=100).controls() == {"all markers but one": 0.5}
    assert TemporalOrder(markers=2, length=10).at_length(50) == TemporalOrder(markers=2, length=50)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"markers": 1}, "markers must be a whole number from 2 to 3, not 1."),
        ({"markers": 4}, "markers must be a whole number from 2 to 3, not 4."),
        ({"markers": True}, "markers must be a whole number from 2 to 3, not True."),
        ({"length": 9}, "length must be a whole number of at least 10, not 9."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        TemporalOrder(**{"markers": 2, "length": 100} | settings)

    assert str(caught.value) == message
