"""Copying: as drawn, as published, and with nothing to gain without memory."""

from __future__ import annotations

import inspect
import math
import re

import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.base import Tokens, Vectors
from cellbench.generators.copying import BLANK, LAYOUTS, LOSSES, Copying
from cellbench.generators.stream import Stream


def make(**settings):
    usual = {"symbols": 10, "delay": 20, "alphabet": 8, "layout": "exprnn", "loss": "answer"}
    return Copying(**usual | settings)


def tokens(batch):
    return batch.inputs.squeeze(2).long() if batch.inputs.ndim == 3 else batch.inputs


def drawn(ids):
    return " ".join({BLANK: ".", 9: ">"}.get(i, str(i)) for i in ids.tolist())


def asked(mask):
    return " ".join("x" if m else "-" for m in mask.tolist())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_looks_as_drawn_in_its_docstring(layout) -> None:
    """The drawing is found among the sequences, and each of its lines is compared."""
    text = inspect.getdoc(Copying) or ""
    lines = dict(re.findall(r"^ {4}(\S.*?) {2,}((?:[\d.>x-] )+[\d.>x-])", text, re.MULTILINE))
    generator = make(symbols=3, delay=2, layout=layout, loss="all")
    batch = generator.sample(Stream(0, "test"), torch.arange(4000))
    (where, *_) = (torch.tensor([5, 2, 7]) == tokens(batch)[:3].T).all(dim=1).nonzero().flatten()

    assert lines["layout " + layout] == drawn(tokens(batch)[:, where])
    assert lines["targets"] == drawn(batch.targets[:, where])
    assert lines["scored"] == asked(batch.scored[:, where])
    assert lines["loss=all"] == asked(batch.trained[:, where])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_looks_where_it_is_told(layout, loss) -> None:
    batch = make(layout=layout, loss=loss).sample(Stream(0, "train"), torch.arange(4))

    assert batch.scored.sum(dim=0).tolist() == [10] * 4
    assert batch.scored[-10:].all()
    assert batch.trained.all() == (loss == "all")
    assert torch.equal(batch.trained & batch.scored, batch.scored)
    assert loss == "all" or torch.equal(batch.trained, batch.scored)


@pytest.mark.parametrize(
    ("layout", "published"),
    [  # T = 5; d the data, 0 blank, 9 go: from the tables of the papers and repositories
        ("arjovsky", "d d d d d d d d d d" + " 0" * 4 + " 9" + " 0" * 10),
        ("exprnn", "d d d d d d d d d d" + " 0" * 5 + " 9" + " 0" * 9),
        ("tcn", "d d d d d d d d d d" + " 0" * 4 + " 9" * 11),
        ("s4", "d d d d d d d d d d" + " 0" * 5 + " 9" * 10),
    ],
)
def test_layouts_are_those_that_were_published(layout, published) -> None:
    batch = make(delay=5, layout=layout).sample(Stream(0, "train"), torch.arange(50))

    for column in range(50):
        shown = batch.targets[-10:, column].tolist()
        data = iter(shown)
        expected = [next(data) if c == "d" else int(c) for c in published.split()]
        assert tokens(batch)[:, column].tolist() == expected
        assert batch.targets[:, column].tolist() == [0] * 15 + shown


@pytest.mark.parametrize(
    ("layout", "reads", "answers"),
    [
        ("exprnn", Tokens(10), Tokens(9)),
        ("arjovsky", Tokens(10), Tokens(9)),
        ("s4", Tokens(10), Tokens(10)),
        ("tcn", Vectors(1), Tokens(10)),
    ],
)
def test_token_and_class_counts_are_those_that_were_published(layout, reads, answers) -> None:
    generator = make(layout=layout)

    assert generator.reads == reads
    assert generator.answers == answers


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("delay", [1, 2, 30])
def test_the_oracle_finds_every_target_from_the_inputs_alone(layout, delay) -> None:
    generator = make(delay=delay, layout=layout)
    batch = generator.sample(Stream(0, "test"), torch.arange(50))

    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


@pytest.mark.parametrize("layout", ["exprnn", "s4"])
def test_there_may_be_no_delay(layout) -> None:
    generator = make(symbols=2, delay=0, layout=layout)
    batch = generator.sample(Stream(0, "test"), torch.arange(50))

    assert len(batch.inputs) == 4
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_go_token_is_noticed(layout) -> None:
    """An oracle that counts steps in place of reading would not see that nothing was asked."""
    generator = make(layout=layout)
    batch = generator.sample(Stream(0, "test"), torch.arange(50))
    silenced = torch.where(batch.inputs == 9, BLANK, batch.inputs)

    assert not torch.equal(silenced, batch.inputs)
    assert (generator.oracle(silenced) == BLANK).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_oracle_follows_a_go_token_that_moves(layout) -> None:
    generator = make(layout=layout)
    batch = generator.sample(Stream(0, "test"), torch.arange(50))
    sooner = torch.cat([batch.inputs[:12], batch.inputs[13:], batch.inputs[-1:]])

    assert torch.equal(generator.oracle(sooner)[-11:-1], batch.targets[-10:])


def test_symbols_are_equally_likely_everywhere() -> None:
    batch = make().sample(Stream(0, "train"), torch.arange(20_000))

    for shown in batch.inputs[:10]:
        counts = torch.bincount(shown, minlength=9)[1:].double()
        statistic = ((counts - 2500) ** 2 / 2500).sum().item()
        assert statistic < 7 + 5 * math.sqrt(14)  # mean 7, variance 14


def test_without_memory_one_in_alphabet_is_right() -> None:
    """The best guess of each position, fitted on training sequences, told on test ones."""
    for alphabet in (2, 8):
        generator = make(alphabet=alphabet)
        learned = generator.sample(Stream(0, "train"), torch.arange(10_000)).targets[-10:]
        told = generator.sample(Stream(0, "test"), torch.arange(10_000)).targets[-10:]
        right = (told == learned.mode(dim=1).values.unsqueeze(1)).double().mean().item()
        trivial = generator.trivial()

        assert abs(right - trivial) < 5 * math.sqrt(trivial * (1 - trivial) / told.numel())


@pytest.mark.parametrize(
    ("delay", "published"), [(100, 0.173287), (200, 0.094520), (1000, 0.020387)]
)
def test_the_loss_of_the_papers_without_memory_is_met(delay, published) -> None:
    """10 ln 8 / (T + 20) nats a step: blank until asked, then one of eight."""
    generator = make(delay=delay, layout="arjovsky", loss="all")
    batch = generator.sample(Stream(0, "train"), torch.arange(3000))
    asked_for = batch.targets[batch.scored]
    chances = torch.bincount(asked_for, minlength=9).double() / asked_for.numel()
    nats = -(chances[1:] * chances[1:].log()).sum() * batch.scored.sum() / batch.trained.sum()

    assert (batch.targets[~batch.scored] == BLANK).all()
    assert nats.item() == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"symbols": 0}, "symbols must be a whole number of at least 1, not 0."),
        ({"delay": -1}, "delay must be a whole number of at least 0, not -1."),
        (
            {"delay": 0, "layout": "arjovsky"},
            "delay must be a whole number of at least 1, not 0.",
        ),
        ({"delay": 0, "layout": "tcn"}, "delay must be a whole number of at least 1, not 0."),
        ({"alphabet": 1}, "alphabet must be a whole number of at least 2, not 1."),
        (
            {"layout": "tnc"},
            "layout must be one of exprnn, arjovsky, s4, tcn, not 'tnc'; did you mean 'tcn'?",
        ),
        (
            {"loss": "answers"},
            "loss must be one of answer, all, not 'answers'; did you mean 'answer'?",
        ),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    "change",
    [{"symbols": 9}, {"delay": 21}, {"alphabet": 4}, {"loss": "all"}]
    + [{"layout": layout} for layout in set(LAYOUTS) - {"exprnn"}],
)
def test_every_setting_changes_something(change) -> None:
    usual, other = (g.sample(Stream(0, "train"), torch.arange(8)) for g in (make(), make(**change)))

    assert not all(
        torch.equal(one, two)
        for one, two in (
            (usual.inputs, other.inputs),
            (usual.targets, other.targets),
            (usual.scored, other.scored),
            (usual.trained, other.trained),
        )
    )
