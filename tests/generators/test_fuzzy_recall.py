"""Fuzzy recall: keys and values of any size, told apart by nothing but what they are made of."""

from __future__ import annotations

import re

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators import compiled, compiled_fuzzy_recall
from cellbench.generators.fuzzy_recall import FuzzyRecall
from cellbench.generators.stream import Stream


def make(**settings):
    usual = {"length": 40, "keys": 3, "values": 4, "key_size": 2, "value_size": 3}
    return FuzzyRecall(**usual | {"loss": "answer"} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def ids(generator, text):
    return torch.tensor([["".join(generator.reads.glyphs).index(one) for one in text]]).T


def test_a_sequence_worked_out_by_hand() -> None:
    """b and ab are two keys, and so is ba; the value of ab has two ids, of which the last is 3."""
    generator = make(length=15)
    answer = generator.oracle(ids(generator, ".b0ab13b0ba2ab1"))

    assert torch.equal(answer, ids(generator, "b0ab13b0ba2ab13"))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"key_size": 3, "length": 60},
        {"length": 10},
        {"length": 11},
        {"key_size": 1, "value_size": 1},
        {"keys": 1, "key_size": 1},
        {"length": 41, "value_size": 1},
    ],
)
def test_it_is_what_a_loop_makes_of_it(settings) -> None:
    generator = make(**settings)
    batch = drawn(generator, 100)
    names = "".join(generator.reads.glyphs)
    longest = generator.key_size + generator.value_size

    for column in range(100):
        whole = [*batch.inputs[:, column].tolist(), batch.targets[-1, column].item()]
        text = "".join(names[one] for one in whole)
        blanks, body = re.fullmatch(r"(\.*)(.*)", text).groups()
        pairs = re.findall(r"([a-z]+)(\d+)", body)
        assert "".join(key + value for key, value in pairs) == body
        table, asked = {}, [False] * len(blanks)
        for key, value in pairs:
            assert len(set(key)) == len(key) <= generator.key_size
            assert len(set(value)) == len(value) <= generator.value_size
            asked += [False] * len(key) + [key in table] * len(value)
            assert table.setdefault(key, value) == value
        assert batch.scored[:, column].tolist() == asked[1:]
        assert asked[-1]
        assert batch.targets[:, column].tolist() == whole[1:]
        assert len(pairs) > 1
        assert len(blanks) <= 2 * longest
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert len(batch.inputs) == generator.length


def test_keys_of_all_sizes_and_orders_are_equally_likely() -> None:
    """The first key of a sequence: one of three ids, or one of six orders of two."""
    batch = drawn(make(), 12_000)
    start = (batch.inputs > 0).int().argmax(dim=0, keepdim=True)
    one, two = batch.inputs.gather(0, start)[0], batch.inputs.gather(0, start + 1)[0]
    single = two > 3
    alone = torch.bincount(one[single])[1:].tolist()
    pairs = torch.bincount((one * 4 + two)[~single], minlength=16)

    assert chisquare([single.sum().item(), (~single).sum().item()]).pvalue > 0.001
    assert chisquare(alone).pvalue > 0.001
    assert chisquare([count for count in pairs.tolist() if count]).pvalue > 0.001
    assert (pairs > 0).sum() == 6


def test_values_are_equally_likely() -> None:
    batch = drawn(make(), 12_000)

    assert chisquare(torch.bincount(batch.targets[-1] - 4).tolist()).pvalue > 0.001
    assert make().trivial() == 1 / 4


def test_the_loss_looks_where_it_is_told() -> None:
    answer, everywhere = drawn(make(), 8), drawn(make(loss="all"), 8)

    assert torch.equal(answer.trained, answer.scored)
    assert everywhere.trained.all()
    assert torch.equal(everywhere.scored, answer.scored)


def test_at_another_length() -> None:
    assert len(drawn(make().at_length(64), 2).inputs) == 64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 9}, "length must be a whole number of at least 10, not 9."),
        ({"keys": 0}, "keys must be a whole number of at least 1, not 0."),
        ({"keys": 20_000}, "keys must be a whole number from 1 to 2**14=16384, not 20000."),
        ({"values": 1}, "values must be a whole number of at least 2, not 1."),
        ({"key_size": 4}, "key_size must be a whole number from 1 to min(keys, 4)=3, not 4."),
        ({"value_size": 5}, "value_size must be a whole number from 1 to min(values, 4)=4, not 5."),
        ({"loss": "last"}, "loss must be one of answer, all, not 'last'."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message


@pytest.mark.parametrize("loss", ["answer", "all"])
@pytest.mark.parametrize(
    "sizes",
    [(8, 2, 2, 2, 2), (16, 1, 3, 1, 3), (128, 7, 7, 3, 3), (200, 63, 5, 2, 3), (40, 5, 9, 3, 1)],
)
def test_the_compiled_form_draws_the_same(monkeypatch, sizes, loss) -> None:
    assert compiled_fuzzy_recall.library() is not None, "there is a compiler where this is tested"
    names = ("length", "keys", "values", "key_size", "value_size")
    generator = FuzzyRecall(**dict(zip(names, sizes, strict=True)), loss=loss)
    found = []
    for enough in (0, 2**60):
        monkeypatch.setattr(compiled, "ENOUGH", enough)
        found.append(generator.sample(Stream(0, "train"), torch.arange(500)))

    for name in ("inputs", "targets", "scored", "trained"):
        assert torch.equal(getattr(found[0], name), getattr(found[1], name)), name
