"""Latch: the first symbol comes last, whatever is between, and however long it takes."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.latch import FORMS, Latch
from cellbench.generators.stream import Stream


def make(**settings):
    usual = {"form": "random", "lag": 12, "distractors": 5, "tail": 0, "loss": "all"}
    return Latch(**usual | settings)


def draw(generator, count, split="train"):
    return generator.sample(Stream(0, split), torch.arange(count))


def names(generator, ids):
    return [generator.reads.glyphs[i] for i in ids.tolist()]


def form(name):
    return make(form=name, tail=30 if name == "open" else 0)


def test_sequences_worked_out_by_hand() -> None:
    random, opened = make(distractors=2), make(form="open", distractors=2, tail=3)
    shown = torch.tensor([[1, 3, 2, 2], [0, 2, 2, 3]]).T  # y a2 a1 a1; x a1 a1 a2
    told = torch.tensor([[4, 1, 2, 3, 5, 6]]).T  # b y a1 a2 e .

    assert random.oracle(shown).T.tolist() == [[3, 2, 2, 1], [2, 2, 3, 0]]
    assert opened.oracle(told)[:5].T.tolist() == [[1, 2, 3, 5, 1]]


@pytest.mark.parametrize("name", ["fixed", "random"])
def test_the_first_symbol_ends_what_is_between(name) -> None:
    generator = form(name)
    batch = draw(generator, 200)
    assert generator.reads.size == generator.answers.size == 7
    for column in range(200):
        text = names(generator, batch.inputs[:, column])
        after = names(generator, batch.targets[:, column])
        assert text[0] in ("x", "y")
        assert after == [*text[1:], text[0]]
        assert len(text) == 13
        assert all(one.startswith("a") for one in text[1:])
        if name == "fixed":
            assert text[1:] == "a1 a2 a3 a4 a5 a1 a2 a3 a4 a5 a1 a2".split()  # noqa: SIM905 -- clearer
        assert batch.scored[:, column].nonzero().flatten().tolist() == [12]
    assert batch.trained.all()


def test_open_ends_after_its_trigger_at_any_time() -> None:
    generator = form("open")
    batch = draw(generator, 300)
    assert generator.reads.size == 5 + 2 + 3
    for column in range(300):
        text = names(generator, batch.inputs[:, column])
        end = text.index("e")
        assert text[0] == "b"
        assert text[1] in ("x", "y")
        assert 12 <= end - 2 <= 42
        assert all(one.startswith("a") for one in text[2:end])
        assert set(text[end + 1 :]) <= {"."}
        after = names(generator, batch.targets[:, column])
        assert after[: end + 1] == [*text[1 : end + 1], text[1]]
        assert set(after[end + 1 :]) <= {"."}
        assert batch.scored[:, column].nonzero().flatten().tolist() == [end]
        assert batch.trained[:, column].nonzero().flatten().tolist() == list(range(end + 1))


def test_tails_are_geometric_up_to_their_bound() -> None:
    batch = draw(make(form="open", tail=10), 20_000)
    tails = batch.scored.int().argmax(0) - 2 - 12
    odds = [0.1 * 0.9**more for more in range(10)]
    odds.append(1 - sum(odds))
    published = draw(make(form="open", tail=100), 20_000).scored.int().argmax(0) + 2

    assert chisquare(torch.bincount(tails), [20_000 * p for p in odds]).pvalue > 1e-3
    # 4 + the sum of .1 * .9**k * (q + k); the source prints q + 14 for it, but it is q + 13
    assert published.double().mean().item() == pytest.approx(12 + 13, abs=0.4)


@pytest.mark.parametrize("name", FORMS)
def test_what_is_shown_and_what_distracts_is_fair(name) -> None:
    batch = draw(form(name), 4000)
    start = 1 if name == "open" else 0
    distractors = batch.inputs[start + 1 : start + 13].flatten() - 2

    assert chisquare(torch.bincount(batch.inputs[start])).pvalue > 1e-3
    if name != "fixed":
        assert chisquare(torch.bincount(distractors)).pvalue > 1e-3
    assert form(name).trivial() == 0.5


@pytest.mark.parametrize("name", FORMS)
def test_the_oracle_is_right_wherever_the_loss_looks(name) -> None:
    generator = form(name)
    batch = draw(generator, 500, "test")

    assert torch.equal(generator.oracle(batch.inputs)[batch.trained], batch.targets[batch.trained])
    other = make(form=name, tail=generator.tail, loss="answer")
    assert torch.equal(draw(other, 500, "test").trained, batch.scored)
    assert generator.at_length(40).lag == 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"form": "opne"},
            "form must be one of fixed, random, open, not 'opne'; did you mean 'open'?",
        ),
        ({"lag": 0}, "lag must be a whole number of at least 1, not 0."),
        ({"distractors": 0}, "distractors must be a whole number of at least 1, not 0."),
        ({"tail": 1}, "tail must be 0 where form=random, not 1."),
        (
            {"form": "open", "tail": 1001},
            "tail must be a whole number from 0 to 1000, not 1001.",
        ),
        ({"loss": "al"}, "loss must be one of answer, all, not 'al'; did you mean 'all'?"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
