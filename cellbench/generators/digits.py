"""Digits: read an image pixel by pixel, and name its class at the end."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens, Vectors
from cellbench.generators.images import (
    BRIGHTEST,
    CLASSES,
    SIDES,
    fingerprints,
    missing_file,
    shuffled,
    splits,
)
from cellbench.generators.stream import Stream
from cellbench.options import choice, divides

ORDERS = ("rows", "columns", "permuted")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Digits(Generator):
    """Show an image of a digit piece by piece, and ask at the end which digit it is.

    With source=digits8, folder=, order=rows, per_step=8, sequence 0 of the training stream:

        input 0     0    0    0    0    0    0    0    0
        input 1   .00  .31  .50  .06  .00  .00  .00  .00
        input 2   .44 1.00  .88 1.00  .00  .00  .75  .44
        input 3  1.00  .88  .00 1.00  .25  .00  .56  .94
        input 4   .56 1.00  .38  .94  .25  .00  .69  .88
        input 5   .50 1.00 1.00 1.00  .81  .81 1.00  .44
        input 6   .12  .25  .25  .38  .50  .50  .44  .00
        input 7     0    0    0    0    0    0    0    0
        target      -    -    -    -    -    -    -    9

    A step is one row of the image here, so that the drawing has it lying on its side: a 9.
    Pixels are from 0 to 1. Images are scikit-learn's 1797 of 8x8 pixels, cut once and for all into
    three splits that share none, with as many images of each digit: 1140 to learn from, 300,
    and 300. To learn from, images are drawn with replacement; the others come in turn, each
    once in 300 sequences. So exactly one in ten is right without looking.

    MNIST, or what is like it, is read from a folder of its four files, as they are or as .gz;
    nothing is ever downloaded. A task file of one's own, with 784 steps of a pixel:

        generator = "digits"
        version = 1
        summary = "MNIST, pixel by pixel."
        source = "Le et al. 2015, arXiv:1504.00941"
        metric = "accuracy"
        solved = 0.9
        [fixed]
        source = "mnist"
        folder = "/data/mnist"
        [levels]
        rows = { order = "rows", per_step = 1 }
        permuted = { order = "permuted", per_step = 1 }
        [budget]
        steps = 10000
        batch = 64
        learning_rate = 1e-3
        clip = 1.0
        validate_every = 500
        validation = 1000
        test = 8920

    There too every class has as many images as the smallest one has; a tenth of those to
    learn from are kept to validate on; and an image that comes again is left out.

    Source: Le et al. 2015, arXiv:1504.00941 (pixel by pixel, and permuted); images of Alpaydin &
    Kaynak 1998, in scikit-learn.
    Differs from it: images are smaller, and classes are equally frequent. The permutation is
    one for all, the same for ever, and has each pixel once. There is one answer, at the end.

    Attributes:
        source: digits8 or mnist.
        folder: Where the files of mnist are; empty for digits8.
        order: How pixels follow each other: `rows`, `columns`, or `permuted`.
        per_step: Pixels of one step; a divisor of 64, of mnist 784.
    """

    source: str
    folder: str
    order: str
    per_step: int

    def __post_init__(self) -> None:
        choice("source", self.source, tuple(SIDES))
        choice("order", self.order, ORDERS)
        divides("per_step", self.per_step, "pixels", SIDES[self.source] ** 2)
        if not isinstance(self.folder, str) or (self.source == "mnist") != bool(self.folder):
            needed = "the folder of its four files" if self.source == "mnist" else "empty"
            raise OptionError(
                f"folder must be {needed} with source={self.source}, not {self.folder!r}."
            )
        missing = missing_file(self.folder) if self.folder else ""
        if missing:
            raise OptionError(f"folder {self.folder!r} lacks {missing}, plain or as .gz.")

    @property
    def reads(self) -> Reads:
        return Vectors(self.per_step)

    @property
    def answers(self) -> Answers:
        return Tokens(CLASSES)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        images, labels = _on(self.source, self.folder, stream.split, self.order, index.device)
        if stream.split == "train":
            place = stream.integers("images", index, 1, below=len(labels))[0]
        else:
            place = index % len(labels)
        inputs = images[place].view(len(index), -1, self.per_step).transpose(0, 1)
        time = len(inputs)
        targets = index.new_zeros((time, len(index)))
        targets[-1] = labels[place]
        step = torch.arange(time, device=index.device).unsqueeze(1)
        scored = (step == time - 1).expand(time, len(index))
        return Batch(inputs.contiguous(), targets, scored, scored)

    def trivial(self) -> float:
        return 1 / CLASSES

    def oracle(self, inputs: Float[Tensor, "time batch pixels"]) -> Int[Tensor, "time batch"]:
        """Look the image up among all there are."""
        pixels = inputs.transpose(0, 1).flatten(1).mul(BRIGHTEST[self.source]).round()
        order = torch.tensor(_order(self.order, SIDES[self.source]), device=inputs.device)
        wanted = fingerprints(pixels[:, order.argsort()])
        known, labels = _known(self.source, self.folder)
        found = torch.searchsorted(known.to(inputs.device), wanted).clamp(max=len(known) - 1)
        targets = torch.zeros(inputs.shape[:2], dtype=torch.int64, device=inputs.device)
        targets[-1] = labels.to(inputs.device)[found]
        return targets


@functools.cache
def _order(order: str, side: int) -> tuple[int, ...]:
    """Return the pixels, numbered along the rows, in the order in which they are shown."""
    if order == "permuted":
        return tuple(shuffled(side**2, "permutation 1"))
    pixels = torch.arange(side**2).view(side, side)
    return tuple((pixels if order == "rows" else pixels.T).flatten().tolist())


@functools.lru_cache(maxsize=32)
def _on(
    source: str, folder: str, split: str, order: str, device: torch.device
) -> tuple[Float[Tensor, "images pixels"], Int[Tensor, "images"]]:
    """Return the images of a split as they are shown, and their classes."""
    digits = splits(source, folder)[split]
    shown = digits.pixels[:, list(_order(order, SIDES[source]))]
    return (shown.float() / BRIGHTEST[source]).to(device), digits.labels.to(device)


@functools.lru_cache(maxsize=4)
def _known(source: str, folder: str) -> tuple[Int[Tensor, "images"], Int[Tensor, "images"]]:
    """Return the fingerprints of all images, rising, and the class of each."""
    every = splits(source, folder).values()
    prints, order = torch.cat([fingerprints(digits.pixels) for digits in every]).sort()
    return prints, torch.cat([digits.labels for digits in every])[order]
