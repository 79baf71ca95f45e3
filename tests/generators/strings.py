"""Sequences as lists, to be looked at without tensors; and what a fair draw is."""

from __future__ import annotations

import torch
from scipy.stats import chisquare

from cellbench.generators.base import Batch, Generator
from cellbench.generators.lengths import BLANK
from cellbench.generators.stream import Stream


def draw(generator: Generator, count: int, split: str = "train") -> Batch:
    """Return the first `count` sequences."""
    return generator.sample(Stream(0, split), torch.arange(count))


def columns(batch: Batch) -> list[tuple[list[int], dict[int, int]]]:
    """Return of each sequence the tokens that are not blank, and what is asked where."""
    found = []
    for inputs, targets, scored in zip(
        batch.inputs.T.tolist(), batch.targets.T.tolist(), batch.scored.T.tolist(), strict=True
    ):
        shown = [token for token in inputs if token != BLANK]
        assert inputs[: len(shown)] == shown  # blanks come last
        found.append((shown, {t: target for t, target in enumerate(targets) if scored[t]}))
    return found


def answers(generator: Generator, text: str) -> str:
    """Return the answers of the oracle to tokens written as they are drawn; 0 as `0`."""
    glyphs = list(generator.reads.glyphs)
    inputs = torch.tensor([[glyphs.index(one)] for one in text.split()])
    names = generator.answers.glyphs or [str(n) for n in range(generator.answers.size)]
    return " ".join(names[target] for target in generator.oracle(inputs)[:, 0].tolist())


def is_even(counts: list[int], odds: list[float] | None = None) -> bool:
    """Tell whether counts fit their odds, equal ones by default: one in a million do not."""
    total = sum(counts)
    expected = [total * share for share in odds] if odds else None
    return bool(chisquare(counts, expected).pvalue > 1e-6)


def tally(values: torch.Tensor, size: int) -> list[int]:
    """Return how often each of 0 to `size - 1` is there."""
    return torch.bincount(values.flatten(), minlength=size).tolist()


def lengths(batch: Batch) -> torch.Tensor:
    """Return how many tokens of each sequence are not blank."""
    return torch.tensor([len(shown) for shown, _ in columns(batch)])
