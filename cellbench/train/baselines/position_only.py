"""The best predictor that sees no input: fitted on training sequences, read on test sequences.

It knows the number of the step, and at which step its sequence was first asked; so, where answers
come after the inputs, how long those were. It is what `Generator.trivial` says in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Batch, Generator, Odds, Sets, Tokens
from cellbench.generators.stream import Stream

PIECE = 1024
"""Sequences that are drawn at once."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Everything that some sequences are asked, one entry a scored position.

    Attributes:
        place: Which step of which kind of sequence.
        step: The step alone.
        answer: A class, or values `[asked, size]`.
        optimum: Of each, for odds.
        count: Sequences.
    """

    place: Int[Tensor, "asked"]
    step: Int[Tensor, "asked"]
    answer: Tensor
    optimum: Tensor | None
    count: int


def position_only(generator: Generator, seed: int, *, fitted_on: int, tested_on: int) -> float:
    """Return the metric, on test sequences, of whoever knows no more than where it is asked.

    At every place it gives the answer that was right most often in training sequences (the
    mean; the shares), and at a place it has not seen, the one that was right most often at all.

    Args:
        generator: What draws the sequences.
        seed: Of the streams.
        fitted_on: Training sequences to learn from.
        tested_on: Test sequences to be scored on.
    """
    if generator.metric == "exact":
        return _exact(generator, seed, fitted_on, tested_on)
    train = _asked(generator, Stream(seed, "train"), fitted_on)
    test = _asked(generator, Stream(seed, "test"), tested_on)
    if generator.metric == "accuracy":
        return _accuracy(train, test, bits=train.answer.is_floating_point())
    if generator.metric == "mse":
        guess = _means(train, train.answer.double(), test)
        return float((guess - test.answer).square().mean())
    assert isinstance(generator.answers, Odds)  # noqa: S101 -- the other metrics were dealt with
    return _excess(train, test, generator.answers.size)


def _accuracy(train: _Asked, test: _Asked, *, bits: bool) -> float:
    if bits:
        guess = _means(train, train.answer.double(), test) > 0.5  # noqa: PLR2004 -- more often than not
        return float((guess == test.answer.bool()).double().mean())
    best, most_common = _most_common(train.place, train.answer)
    known, at = _found(best[0], test.place)
    guess = torch.where(known, best[1][at], most_common)
    return float((guess == test.answer).double().mean())


def _excess(train: _Asked, test: _Asked, classes: int) -> float:
    """Return bits a sequence beyond the optimum, with half a count more for every class."""
    assert test.optimum is not None  # noqa: S101 -- targets are odds
    shown = torch.nn.functional.one_hot(train.answer, classes).double()
    counts = _sums(train.place, shown, test.place)
    total = counts.sum(1) + classes / 2
    right = counts.gather(1, test.answer.unsqueeze(1)).squeeze(1) + 0.5
    nats = (total / right).log() - test.optimum.double()
    return float(nats.sum()) / math.log(2) / test.count


def _exact(generator: Generator, seed: int, fitted_on: int, tested_on: int) -> float:
    train = _whole(generator, Stream(seed, "train"), fitted_on)
    test = _whole(generator, Stream(seed, "test"), tested_on)
    known, first = _ids([*(kind for kind, _ in train), *(kind for kind, _ in test)]), len(train)
    texts = _ids([*(text for _, text in train), *(text for _, text in test)])
    best, most_common = _most_common(known[:first], texts[:first])
    seen, at = _found(best[0], known[first:])
    guess = torch.where(seen, best[1][at], most_common)
    return float((guess == texts[first:]).double().mean())


def _whole(generator: Generator, stream: Stream, count: int) -> list[tuple[bytes, bytes]]:
    """Return of each sequence where it is first asked, and all its answers."""
    found = []
    for index in torch.arange(count).split(PIECE):  # type: ignore[no-untyped-call]  # torch's
        batch = generator.sample(stream, index)
        firsts = batch.scored.int().argmax(0).tolist()
        for place, first in enumerate(firsts):
            mask = batch.scored[:, place]
            text = (
                mask.numpy().tobytes() + batch.targets[mask, place].contiguous().numpy().tobytes()
            )
            found.append((str(first).encode(), text))
    return found


def _ids(values: list[bytes]) -> Int[Tensor, "values"]:
    table: dict[bytes, int] = {}
    return torch.tensor([table.setdefault(value, len(table)) for value in values])


def _asked(generator: Generator, stream: Stream, count: int) -> _Asked:
    pieces = [
        _asked_of(generator, generator.sample(stream, index))
        for index in torch.arange(count).split(PIECE)  # type: ignore[no-untyped-call]  # torch's
    ]
    places, steps, answers, optima = zip(*pieces, strict=True)
    optimum = None if optima[0] is None else torch.cat(optima)
    return _Asked(torch.cat(places), torch.cat(steps), torch.cat(answers), optimum, count)


def _asked_of(generator: Generator, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    scored = batch.scored
    time = len(scored)
    step = torch.arange(time).unsqueeze(1).expand_as(scored)
    place = scored.int().argmax(0) * time + step
    answer = batch.targets[scored]
    if isinstance(generator.answers, Sets):
        answer = (answer.long() << torch.arange(generator.answers.size)).sum(1)
    elif not isinstance(generator.answers, Tokens | Odds) and answer.ndim == 1:
        answer = answer.unsqueeze(1)
    optimum = None if batch.optimum is None else batch.optimum[scored]
    return place[scored], step[scored], answer, optimum


def _most_common(
    place: Int[Tensor, "asked"], answer: Int[Tensor, "asked"]
) -> tuple[tuple[Int[Tensor, "places"], Int[Tensor, "places"]], Int[Tensor, ""]]:
    """Return the places, sorted, with the commonest answer of each; and the commonest of all."""
    pairs, counts = torch.unique(torch.stack([place, answer]), dim=1, return_counts=True)
    rising = counts.argsort(stable=True)
    order = rising[pairs[0, rising].argsort(stable=True)]  # of each place, the commonest last
    places, sizes = torch.unique_consecutive(pairs[0, order], return_counts=True)
    return (places, pairs[1, order[sizes.cumsum(0) - 1]]), answer.mode().values


def _means(train: _Asked, values: Float[Tensor, "asked size"], test: _Asked) -> Tensor:
    """Return the mean at the place of each test answer, or of all where it was never seen."""
    ones = torch.ones_like(values[:, :1])
    sums = _sums(train.place, torch.cat([values, ones], 1), test.place)
    mean = sums[:, :-1] / sums[:, -1:].clamp(min=1)
    return torch.where(sums[:, -1:] > 0, mean, values.mean(0))


def _sums(place: Tensor, values: Float[Tensor, "asked size"], wanted: Tensor) -> Tensor:
    """Return the sums of `values` over equal places, for each place wanted."""
    places, inverse = torch.unique(place, return_inverse=True)
    sums = values.new_zeros((len(places), values.shape[1])).index_add_(0, inverse, values)
    known, at = _found(places, wanted)
    return torch.where(known.unsqueeze(1), sums[at], 0.0)


def _found(places: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of `wanted` are among the sorted `places`, and where."""
    at = torch.searchsorted(places, wanted).clamp(max=len(places) - 1)
    return places[at] == wanted, at
