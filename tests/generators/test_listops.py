"""ListOps: lists as Python reduces them, cut as told, and a baseline counted out."""

from __future__ import annotations

import collections
import itertools
import statistics

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators import compiled, compiled_listops
from cellbench.generators.listops import GLYPHS, ListOps
from cellbench.generators.stream import Stream


def make(shortest=4, longest=20, free=6):
    return ListOps(shortest=shortest, longest=longest, free=free)


def reduced(operator, items):
    return {
        "MIN": min(items),
        "MAX": max(items),
        "MED": int(statistics.median(items)),
        "SUM": sum(items) % 10,
    }[operator]


def read(words):
    """Return what a list comes to, and its items as (word, how many words), and the rest."""
    operator, items, sizes = words[0], [], []
    rest = words[1:]
    while rest[0] != "]":
        before = len(rest)
        if rest[0].isdigit():
            items.append(int(rest[0]))
            rest = rest[1:]
        else:
            value, _, rest = read(rest)
            items.append(value)
        sizes.append(before - len(rest))
    assert 2 <= len(items) <= 10
    return reduced(operator, items), sizes, rest[1:]


def test_by_hand() -> None:
    """The middle of 1, 4 and SUM(9, 8) = 7 is 4; of 1, 4, 9 and 2 it is (2 + 4) / 2."""
    shown = ["MED 1 4 SUM 9 8 ] ]", "MED 1 4 9 2 ]", "MAX 3 MIN 8 5 ] ]"]
    ids = [[GLYPHS.index(w) for w in one.split()] for one in shown]
    inputs = torch.tensor([one + [15] * (20 - len(one)) for one in ids]).T
    found = make().oracle(inputs)

    assert [int(found[len(one), n]) for n, one in enumerate(ids)] == [4, 3, 5]


@pytest.mark.parametrize(
    ("shortest", "longest", "free"), [(4, 5, 6), (4, 30, 6), (90, 90, 0), (150, 300, 3)]
)
def test_lists_come_to_what_python_says(shortest, longest, free) -> None:
    generator = make(shortest, longest, free)
    batch = generator.sample(Stream(0, "test"), torch.arange(60))

    for column in range(60):
        words = [GLYPHS[i] for i in batch.inputs[:, column].tolist() if i != 15]
        value, _, rest = read(words)
        assert rest == []
        assert shortest <= len(words) <= longest
        assert batch.scored[:, column].nonzero().flatten().tolist() == [len(words)]
        assert batch.targets[len(words), column] == value
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


def test_cuts_operators_and_digits_are_fair() -> None:
    """Of 14 tokens 12 are cut: into digits alone if one part has 5 tokens less than 2 more."""
    batch = make(14, 14).sample(Stream(0, "train"), torch.arange(11_000))
    kinds = collections.Counter()
    for column in batch.inputs.T.tolist():
        _, sizes, _ = read([GLYPHS[i] for i in column if i != 15])
        kinds[tuple(sizes)] += 1
    expected = {}
    for left in range(1, 12):
        parts = [[1] * n if n <= 5 else [n] for n in (left, 12 - left)]
        expected[tuple(parts[0] + parts[1])] = 1000

    assert set(kinds) == set(expected)
    assert chisquare([kinds[one] for one in expected]).pvalue > 1e-4
    tokens = torch.bincount(batch.inputs.flatten())
    assert chisquare(tokens[:10]).pvalue > 1e-4
    assert chisquare(tokens[10:14]).pvalue > 1e-4


def slow_law(length, free):
    """Return the odds of every answer, over all cuts and all digits."""
    odds = collections.Counter()
    cuts = range(1, length - 2) if free else [(length - 2) // 2]
    for left in cuts:
        parts = []
        for size in (left, length - 2 - left):
            if size > 5:
                parts.append(slow_law(size, max(free - 1, 0)))
            else:
                parts += [dict.fromkeys(range(10), 0.1)] * size
        for items in itertools.product(range(10), repeat=len(parts)):
            share = 1 / len(cuts) / 4
            for part, item in zip(parts, items, strict=True):
                share *= part.get(item, 0)
            for operator in ("MIN", "MAX", "MED", "SUM"):
                odds[reduced(operator, items)] += share
    return odds


@pytest.mark.parametrize(("length", "free"), [(4, 6), (5, 6), (6, 1), (14, 0)])
def test_the_baseline_is_the_likeliest_answer(length, free) -> None:
    expected = max(slow_law(length, free).values())

    assert make(length, length, free).trivial() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("length", "free"), [(12, 6), (20, 6), (60, 2)])
def test_answers_come_as_often_as_the_baseline_says(length, free) -> None:
    generator = make(length, length, free)
    answers = generator.sample(Stream(0, "train"), torch.arange(10_000)).targets[length]
    most = int(torch.bincount(answers).max())

    assert most / 10_000 == pytest.approx(generator.trivial(), abs=0.018)


def test_settings_and_lengths() -> None:
    assert make().at_length(300) == make(300, 300)
    with pytest.raises(OptionError, match="shortest must be a whole number of at least 4, not 3"):
        make(shortest=3)
    with pytest.raises(OptionError, match="shortest must be a whole number from 4 to longest=20"):
        make(shortest=21)
    with pytest.raises(OptionError, match="longest must be a whole number of at least 4, not 3"):
        make(longest=3)
    with pytest.raises(OptionError, match="what 16 bits hold=32766, not 40000"):
        make(longest=40_000)
    with pytest.raises(OptionError, match="free must be a whole number of at least 0, not -1"):
        make(free=-1)


@pytest.mark.parametrize("free", [0, 2, 6])
@pytest.mark.parametrize(("shortest", "longest"), [(4, 4), (4, 40), (300, 700)])
def test_the_compiled_form_draws_the_same(monkeypatch, shortest, longest, free) -> None:
    assert compiled_listops.library() is not None, "there is a compiler where this is tested"
    generator = ListOps(shortest=shortest, longest=longest, free=free)
    index = torch.arange(200)
    found = []
    for enough in (0, 2**60):
        monkeypatch.setattr(compiled, "ENOUGH", enough)
        found.append(generator.sample(Stream(0, "train"), index))

    assert torch.equal(found[0].inputs, found[1].inputs)
    assert torch.equal(found[0].targets, found[1].targets)
    assert torch.equal(found[0].scored, found[1].scored)


def test_without_a_compiler_it_draws_in_tensors(monkeypatch) -> None:
    monkeypatch.setattr(compiled_listops, "library", lambda: None)
    batch = ListOps(shortest=300, longest=700, free=2).sample(Stream(0, "train"), torch.arange(60))

    assert not compiled_listops.usable(batch.inputs)
    assert int(batch.scored.sum()) == 60
