"""Single-query recall: the value of one key, the latest where it has several."""

from __future__ import annotations

import itertools
import string

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.single_recall import REPEATS, SingleRecall
from cellbench.generators.stream import Stream


def make(**settings):
    usual = {"pairs": 4, "keys": 6, "values": 5, "layout": "ba", "loss": "answer"}
    return SingleRecall(**usual | {"repeats": "never"} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_the_example_of_the_paper() -> None:
    """c9k8j3f1??c is answered by 9."""
    names = string.ascii_lowercase + string.digits + "?"
    row = torch.tensor([[names.index(one) for one in "c9k8j3f1??c"]]).T
    generator = make(keys=26, values=10)

    assert "".join(generator.reads.glyphs) == names
    assert names[generator.oracle(row)[-1, 0]] == "9"


def test_the_latest_value_counts() -> None:
    """Keys a to c are 0 to 2, values 3 to 5, the marker 6: a3 b4 a5 ? a."""
    generator = make(pairs=3, keys=3, values=3, repeats="latest", layout="safari")

    assert generator.oracle(torch.tensor([[0, 3, 1, 4, 0, 5, 6, 0]]).T)[-1].item() == 5


@pytest.mark.parametrize("repeats", REPEATS)
@pytest.mark.parametrize(("layout", "markers"), [("ba", 2), ("safari", 1)])
def test_it_is_what_a_loop_makes_of_it(repeats, layout, markers) -> None:
    batch = drawn(make(repeats=repeats, layout=layout), 100)
    repeated = changed = 0

    for row, target in zip(batch.inputs.T.tolist(), batch.targets.T.tolist(), strict=True):
        table = {}
        for key, value in zip(row[:8:2], row[1:8:2], strict=True):
            assert 0 <= key < 6 <= value < 11
            repeated += key in table
            changed += table.get(key, value) != value
            table[key] = value
        assert row[8:-1] == [11] * markers
        assert target == [*row[1:], table[row[-1]]]
    assert (repeated > 0) == (repeats != "never")
    assert (changed > 0) == (repeats == "latest")
    assert batch.scored.sum(dim=0).tolist() == [1] * 100
    assert batch.scored[-1].all()


@pytest.mark.parametrize("repeats", REPEATS)
def test_every_key_shown_is_asked_equally_often(repeats) -> None:
    """However often it was shown: seen on the sequences that show key 0 three times, or once."""
    batch = drawn(make(repeats=repeats, keys=4), 20_000)
    times = (batch.inputs[:8:2] == 0).sum(dim=0)
    other = torch.stack([(batch.inputs[:8:2] == key).any(dim=0) for key in range(1, 4)]).sum(dim=0)

    for shown in (1,) if repeats == "never" else (1, 3):
        those = times == shown
        asked = (batch.inputs[-1][those] == 0).double().mean().item()
        fair = (1 / (1 + other[those])).mean().item()
        assert those.sum() > 500
        assert asked == pytest.approx(fair, abs=0.05)


@pytest.mark.parametrize("repeats", REPEATS)
def test_a_guess_among_the_values_shown_is_worth_what_is_said(repeats) -> None:
    """Drawn: one over the distinct values shown, in the mean."""
    generator = make(repeats=repeats)
    batch = drawn(generator, 10_000)
    distinct = torch.stack([(batch.inputs[1:8:2] == v).any(dim=0) for v in range(6, 11)]).sum(dim=0)

    assert generator.controls()["any value shown"] == pytest.approx(
        (1 / distinct).mean().item(), abs=0.01
    )
    assert generator.trivial() == 1 / 5
    assert chisquare(torch.bincount(batch.targets[-1] - 6).tolist()).pvalue > 0.001


def test_the_worth_of_that_guess_is_that_of_an_enumeration() -> None:
    generator = make(pairs=3, keys=3, values=2)
    shown = list(itertools.product(range(2), repeat=3))

    assert generator.controls()["any value shown"] == pytest.approx(
        sum(1 / len(set(values)) for values in shown) / len(shown), abs=1e-12
    )


def test_the_loss_looks_where_it_is_told() -> None:
    batch = drawn(make(loss="all"), 8)

    assert batch.trained.all()
    assert batch.scored.sum() == 8
    assert torch.equal(drawn(make(), 8).trained, batch.scored)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pairs": 7}, "pairs must be a whole number from 1 to keys=6, not 7."),
        ({"pairs": 0, "repeats": "same"}, "pairs must be a whole number of at least 1, not 0."),
        ({"keys": 1}, "keys must be a whole number of at least 2, not 1."),
        ({"values": 1}, "values must be a whole number of at least 2, not 1."),
        ({"repeats": "first"}, "repeats must be one of never, same, latest, not 'first'"),
        ({"layout": "plain"}, "layout must be one of safari, ba, not 'plain'"),
        ({"loss": "last"}, "loss must be one of answer, all, not 'last'"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value).startswith(message)


def test_there_may_be_more_pairs_than_keys_where_keys_repeat() -> None:
    assert len(drawn(make(pairs=20, repeats="same"), 2).inputs) == 43
