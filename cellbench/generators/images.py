"""Small images of digits: those of scikit-learn, or files of a folder in MNIST's format."""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from cellbench.errors import OptionError

CLASSES = 10
SIDES: Mapping[str, int] = MappingProxyType({"digits8": 8, "mnist": 28})
"""Source -> pixels of one side of an image."""
BRIGHTEST: Mapping[str, int] = MappingProxyType({"digits8": 16, "mnist": 255})
"""Source -> what a pixel is at most."""
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
HELD_OUT = 30
"""Of digits8, images of a class to validate on; as many to test on."""

_UNSIGNED_BYTES = 8  # as IDX files write it


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images of one side, a row of pixels each, and their classes."""

    pixels: UInt8[Tensor, "images pixels"]
    labels: Int[Tensor, "images"]

    def at(self, places: Int[Tensor, "places"]) -> ImageSet:
        return ImageSet(self.pixels[places], self.labels[places])


@functools.lru_cache(maxsize=4)
def splits(source: str, folder: str) -> Mapping[str, ImageSet]:
    """Return the images of each split: classes 0, 1, ..., 9, 0, 1 and so on, in turn.

    Each split has as many images of one class as of any other: of digits8 114 to learn from, 30
    and 30; of a folder, as many as its smallest class has, a tenth of those to learn from
    being kept to validate on. An image that comes again is left out, so that none is in two
    splits. Which image is where is fixed for ever.

    Raises:
        OptionError: Something is missing or damaged.
    """
    learn, test = _digits8() if source == "digits8" else _mnist(Path(folder))
    learn, test = _without_repeats(learn, test)
    most = _smallest_class(learn)
    held = HELD_OUT if source == "digits8" else most // 10
    if not held or not _smallest_class(test):
        raise OptionError(f"folder {folder!r} has too few images of some class.")
    learn = learn.at(torch.tensor(shuffled(len(learn.labels), source)))
    return MappingProxyType(
        {
            "train": _balanced(learn, held, most),
            "validation": _balanced(learn, 0, held),
            "test": _balanced(test, 0, _smallest_class(test)),
        }
    )


def shuffled(count: int, name: str) -> list[int]:
    """Return the numbers below `count` in an order that is the same everywhere, for ever."""
    return sorted(range(count), key=lambda n: hashlib.sha256(f"{name} {n}".encode()).digest())


def fingerprints(pixels: Tensor) -> Int[Tensor, "images"]:
    """Return a number for each row of whole pixels; two that differ share it once in 2**64."""
    hashes = (hashlib.sha256(f"pixel {n}".encode()).digest() for n in range(pixels.shape[1]))
    weights = [int.from_bytes(one[:8], "little", signed=True) | 1 for one in hashes]
    weight = torch.tensor(weights, device=pixels.device)
    pieces = torch.split(pixels, 4096)
    return torch.cat([(some.long() * weight).sum(dim=1) for some in pieces])


def missing_file(folder: str) -> str:
    """Return the first of the four files that is not in `folder`, or nothing."""
    there = Path(folder)
    found = ((there / name).is_file() or (there / f"{name}.gz").is_file() for name in FILES)
    return next((name for name, is_there in zip(FILES, found, strict=True) if not is_there), "")


def _digits8() -> tuple[ImageSet, ImageSet]:
    """Return scikit-learn's images, to learn from and to test on."""
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError:
        raise OptionError("digits need scikit-learn: pip install cellbench[digits]") from None
    loaded = datasets.load_digits()
    pixels, labels = torch.from_numpy(loaded.data).byte(), torch.from_numpy(loaded.target).long()
    every = ImageSet(pixels, labels).at(torch.tensor(shuffled(len(labels), "test")))
    test = _balanced_places(every.labels, 0, HELD_OUT)
    learn = torch.ones(len(labels), dtype=torch.bool).index_fill(0, test, value=False)
    return every.at(learn.nonzero().flatten()), every.at(test)


def _mnist(folder: Path) -> tuple[ImageSet, ImageSet]:
    images, labels, test_images, test_labels = (_read(folder, name) for name in FILES)
    return _paired(folder, images, labels), _paired(folder, test_images, test_labels)


def _paired(folder: Path, images: UInt8[Tensor, "..."], labels: UInt8[Tensor, "..."]) -> ImageSet:
    side = SIDES["mnist"]
    if images.shape[1:] != (side, side) or labels.shape != images.shape[:1]:
        shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
        raise OptionError(f"folder {str(folder)!r} has images and labels of sizes {shapes}.")
    if len(labels) and int(labels.max()) >= CLASSES:
        raise OptionError(f"folder {str(folder)!r} has a label {int(labels.max())}, beyond 9.")
    return ImageSet(images.flatten(1), labels.long())


def _read(folder: Path, name: str) -> UInt8[Tensor, "..."]:
    """Return what an IDX file holds: 0, 0, a type, how many axes, their sizes, and the bytes."""
    plain = folder / name
    path = plain if plain.is_file() else folder / f"{name}.gz"
    try:
        data = path.read_bytes() if path == plain else gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise OptionError(f"{path} cannot be read: {error}.") from None
    axes = data[3] if data[:3] == bytes([0, 0, _UNSIGNED_BYTES]) and len(data) > 3 else 0  # noqa: PLR2004 -- where it stands
    start = 4 + 4 * axes
    sizes = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    count = torch.Size(sizes).numel()
    if not axes or len(data) != start + count:
        raise OptionError(f"{path} is damaged, or is no IDX file of bytes.")
    return torch.frombuffer(bytearray(data[start:]), dtype=torch.uint8).view(sizes)


def _without_repeats(learn: ImageSet, test: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Keep each image where it comes first."""
    prints = fingerprints(torch.cat([learn.pixels, test.pixels])).tolist()
    firsts = {one: place for place, one in reversed(list(enumerate(prints)))}
    first = torch.zeros(len(prints), dtype=torch.bool)
    first[list(firsts.values())] = True
    here, there = first[: len(learn.labels)], first[len(learn.labels) :]
    return learn.at(here.nonzero().flatten()), test.at(there.nonzero().flatten())


def _smallest_class(digits: ImageSet) -> int:
    return int(digits.labels.bincount(minlength=CLASSES).min())


def _balanced(digits: ImageSet, start: int, end: int) -> ImageSet:
    return digits.at(_balanced_places(digits.labels, start, end))


def _balanced_places(labels: Int[Tensor, "images"], start: int, end: int) -> Int[Tensor, "places"]:
    """Return where the images of each class stand, from its `start`th to before its `end`th."""
    of_class = [(labels == one).nonzero().flatten()[start:end] for one in range(CLASSES)]
    return torch.stack(of_class, dim=1).flatten()
