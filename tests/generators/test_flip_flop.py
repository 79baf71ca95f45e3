"""Flip-flop: reads by hand and by a loop, and instructions as often as they are set."""

from __future__ import annotations

import pytest
import torch
from strings import answers, draw, is_even, tally

from cellbench.errors import OptionError
from cellbench.generators.flip_flop import LOSSES, FlipFlop


def make(**settings):
    return FlipFlop(**{"length": 64, "ignore": 80, "loss": "answer"} | settings)


def test_a_text_worked_out_by_hand() -> None:
    """Reads at the fifth token (0, written at once), the ninth (1) and the last (1)."""
    text = "w 0 i 1 r 0 w 1 r 1 i 0 r"

    assert answers(make(length=14), text) == "0 i 1 r 0 w 1 r 1 i 0 r 1"


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ignore", [0, 10, 80, 98, 100])
def test_a_read_is_the_bit_written_last(ignore, loss) -> None:
    generator = make(ignore=ignore, loss=loss)
    batch = draw(generator, 50)
    for column in range(50):
        text = [*batch.inputs[:, column].tolist(), int(batch.targets[-1, column])]
        written, reads = None, []
        assert text[0] == 0
        assert text[-2] == 1
        for step in range(0, 64, 2):
            instruction, bit = text[step : step + 2]
            assert instruction in {0, 1, 2}
            assert bit in {3, 4}
            if instruction == 0:
                written = bit
            if instruction == 1:
                assert bit == written
                reads.append(step)
        assert batch.targets[:, column].tolist() == text[1:]
        assert batch.scored[:, column].nonzero().flatten().tolist() == reads
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert batch.trained.all() == (loss == "all")
    assert loss == "all" or torch.equal(batch.trained, batch.scored)


@pytest.mark.parametrize("ignore", [0, 10, 80, 98])
def test_instructions_are_as_often_as_they_are_set(ignore) -> None:
    inputs = draw(make(ignore=ignore), 2000).inputs[2:-2:2]
    share = (100 - ignore) / 200
    counts = tally(inputs, 3)
    odds = [share, share, ignore / 100]

    assert is_even([*counts[:2], *counts[2:][: ignore > 0]], odds[: 2 + (ignore > 0)])


def test_bits_are_fair_whatever_the_instruction() -> None:
    batch = draw(make(ignore=50), 2000)
    instructions, bits = batch.inputs[0::2], batch.targets[0::2] - 3

    for instruction in (0, 2):
        assert is_even(tally(bits[instructions == instruction], 2))
    assert is_even(tally(bits[-1], 2))  # what the last read gives, one a sequence
    assert make().trivial() == 0.5


def test_a_bit_that_is_ignored_changes_no_answer() -> None:
    generator = make()
    batch = draw(generator, 50)
    ignored = torch.zeros_like(batch.scored)
    ignored[1::2] = batch.inputs[0:-1:2] == 2
    changed = torch.where(ignored, 7 - batch.inputs, batch.inputs)

    assert ignored.any()
    assert torch.equal(generator.oracle(changed)[batch.scored], batch.targets[batch.scored])


@pytest.mark.parametrize("length", [4, 6, 16])
@pytest.mark.parametrize("ignore", [0, 30, 80])
def test_the_latest_bit_gives_away_what_is_measured(length, ignore) -> None:
    generator = make(length=length, ignore=ignore)
    batch = draw(generator, 20_000)
    latest = torch.zeros_like(batch.targets)
    latest[2::2] = batch.inputs[1::2]
    right = (latest == batch.targets)[batch.scored].double().mean().item()

    assert generator.controls() == {"the latest bit": pytest.approx(right, abs=0.01)}
    assert ignore or right == 1.0


def test_it_is_tested_at_other_lengths_and_kinds_of_token_stay() -> None:
    assert make().at_length(512) == make(length=512)
    assert make().at_length(512).answers == make().answers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 2}, "length must be a whole number of at least 4, not 2."),
        ({"length": 9}, "length must be even, an instruction and a bit, not 9."),
        ({"ignore": -1}, "ignore must be a whole number of at least 0, not -1."),
        ({"ignore": 101}, "ignore must be a number from 0 to 100, not 101."),
        ({"ignore": True}, "ignore must be a whole number of at least 0, not True."),
        ({"loss": "read"}, "loss must be one of answer, all, not 'read'."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value).startswith(message.rstrip("."))


def test_every_setting_changes_something() -> None:
    usual = draw(make(), 8)
    for change in ({"length": 62}, {"ignore": 81}, {"ignore": 20}, {"loss": "all"}):
        other = draw(make(**change), 200 if change == {"ignore": 81} else 8)
        same = draw(make(), 200) if change == {"ignore": 81} else usual
        assert not (
            torch.equal(same.inputs, other.inputs) and torch.equal(same.trained, other.trained)
        )
