"""Embedded Reber grammar: legal strings, fair odds, and one decision that takes memory."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.embedded_reber import SYMBOLS, EmbeddedReber
from cellbench.generators.stream import Stream

GLYPHS = "." + SYMBOLS
NEXT = {  # written down from the diagram of the grammar, by what was read last
    0: "B1",
    1: "T2 P3",
    2: "S2 X4",
    3: "T3 V5",
    4: "X3 S6",
    5: "P4 V6",
    6: "E7",
    7: "",
}


def make(**settings):
    usual = {"shortest": 5, "longest": 12, "asked": "all", "loss": "all"}
    return EmbeddedReber(**usual | settings)


def draw(generator, count, split="train"):
    return generator.sample(Stream(0, split), torch.arange(count))


def texts(batch):
    return ["".join(GLYPHS[i] for i in column.tolist()) for column in batch.inputs.unbind(1)]


def shown(targets):
    return ["".join(s for s, there in zip(SYMBOLS, row, strict=True) if there) for row in targets]


def reber_strings(longest, state=0, so_far=""):
    """Yield every string of the grammar up to a length, with its odds."""
    arcs = NEXT[state].split()
    if not arcs:
        yield so_far, Fraction(1)
    if len(so_far) < longest:
        for symbol, to in arcs:
            for string, odds in reber_strings(longest, int(to), so_far + symbol):
                yield string, odds / len(arcs)


def ids(text):
    return torch.tensor([[GLYPHS.index(c)] for c in text])


def test_a_string_worked_out_by_hand() -> None:
    targets = make().oracle(ids("BTBPTVPSETE."))[:, 0]

    expected = ["PT", "B", "PT", "TV", "TV", "PV", "SX", "E", "T", "E", "", ""]
    assert ["".join(sorted(one)) for one in shown(targets)] == expected


@pytest.mark.parametrize("inner", ["BTSSXXTVVE", "BPVPXVVE", "BPVPSE", "BTXSE", "BPVVE"])
def test_strings_that_are_known_to_be_legal_are(inner) -> None:
    """Every symbol is among those that may come after the one before it."""
    text = f"BP{inner}PE"
    may = shown(make().oracle(ids(text))[:, 0])

    assert all(symbol in legal for legal, symbol in zip(may, text[1:], strict=False))
    assert may[-2] == "E"
    assert may[-3] == "P"
    assert inner in dict(reber_strings(10))


def test_strings_and_targets_are_those_of_the_grammar() -> None:
    batch = draw(make(), 300)
    legal = dict(reber_strings(12))
    for column, text in enumerate(texts(batch)):
        whole = text.rstrip(".")
        assert whole[0] == "B"
        assert whole[-1] == "E"
        assert whole[1] == whole[-2]
        assert whole[2:-2] in legal
        expected, state = ["PT", "B"], 0
        for symbol in whole[2:-2]:
            state = next(int(to) for got, to in NEXT[state].split() if got == symbol)
            expected.append("".join(sorted(got for got, _ in NEXT[state].split())))
        expected[-1:] = [whole[1], "E"]
        got = ["".join(sorted(one)) for one in shown(batch.targets[:, column])]
        assert got[: len(expected)] == expected
        assert set(got[len(expected) :]) == {""}
        assert batch.scored[:, column].tolist() == [one != "" for one in got]
    assert torch.equal(make().oracle(batch.inputs), batch.targets)


def test_strings_have_the_odds_of_the_grammar_within_its_bounds() -> None:
    batch = draw(make(shortest=6, longest=9), 20_000)
    found = Counter(text.rstrip(".")[2:-2] for text in texts(batch))
    odds = {one: p for one, p in reber_strings(9) if len(one) >= 6}
    total = sum(odds.values())

    assert set(found) == set(odds)
    counts = [found[one] for one in odds]
    assert chisquare(counts, [float(p / total) * 20_000 for p in odds.values()]).pvalue > 1e-3
    seconds = Counter(text[1] for text in texts(batch))
    assert set(seconds) == {"T", "P"}
    assert chisquare(list(seconds.values())).pvalue > 1e-3


@pytest.mark.parametrize(("shortest", "longest"), [(5, 5), (5, 9), (7, 12)])
def test_without_memory_the_likeliest_string_is_the_best_guess(shortest, longest) -> None:
    within = {one: p for one, p in reber_strings(longest) if len(one) >= shortest}
    generator = make(shortest=shortest, longest=longest)
    sets = Counter()
    for one, odds in within.items():
        targets = shown(generator.oracle(ids(f"BT{one}TE"))[:, 0])
        sets["|".join(targets)] += odds / sum(within.values()) / 2

    assert generator.trivial() == pytest.approx(float(max(sets.values())), abs=1e-12)
    assert make(asked="long_lag").trivial() == 0.5
    assert make().controls() == {"the grammar, but not how the string began": 0.5}


@pytest.mark.parametrize("loss", ["answer", "all"])
def test_the_long_lag_is_asked_after_the_first_of_two_ends(loss) -> None:
    generator = make(asked="long_lag", loss=loss)
    batch = draw(generator, 200)
    for column, text in enumerate(texts(batch)):
        whole = text.rstrip(".")
        assert batch.scored[:, column].nonzero().flatten().tolist() == [len(whole) - 3]
        assert whole[-3] == "E"
        assert shown(batch.targets[batch.scored[:, column], column]) == [whole[1]]
    assert torch.equal(batch.trained, draw(make(), 200).scored if loss == "all" else batch.scored)
    assert torch.equal(batch.targets, draw(make(), 200).targets)


def test_a_changed_second_symbol_changes_the_answer_and_nothing_else() -> None:
    batch = draw(make(), 200)
    changed = batch.inputs.clone()
    changed[1] = 2 + 3 - changed[1]
    answer = draw(make(asked="long_lag"), 200).scored
    differs = (make().oracle(changed) != batch.targets).any(2)

    assert differs[answer].all()
    assert (differs & batch.scored & ~answer).sum() <= 200  # but for the last E, no longer legal


@pytest.mark.parametrize("length", [5, 64, 65, 500])
def test_it_can_be_tested_at_any_length(length) -> None:
    batch = draw(make().at_length(length), 4)

    assert {len(text) for text in texts(batch)} == {length + 4}
    assert torch.equal(make().oracle(batch.inputs), batch.targets)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shortest": 4}, "shortest must be a whole number of at least 5, not 4."),
        ({"shortest": 13}, "shortest must be a whole number from 5 to longest=12, not 13."),
        ({"longest": 4}, "longest must be a whole number from 5 to 512, not 4."),
        ({"longest": 513}, "longest must be a whole number from 5 to 512, not 513."),
        (
            {"asked": "long-lag"},
            "asked must be one of all, long_lag, not 'long-lag'; did you mean 'long_lag'?",
        ),
        ({"loss": "al"}, "loss must be one of answer, all, not 'al'; did you mean 'all'?"),
        ({"loss": "answer"}, "loss must be all where asked=all, not 'answer'."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
