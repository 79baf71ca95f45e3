"""Digits: every pixel once, splits that share no image, and folders that are not trusted."""

from __future__ import annotations

import gzip
import importlib

import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.base import Tokens, Vectors
from cellbench.generators.digits import ORDERS, Digits
from cellbench.generators.images import FILES, fingerprints, shuffled, splits
from cellbench.generators.stream import SPLITS, Stream


def make(**settings):
    return Digits(**{"source": "digits8", "folder": "", "order": "rows", "per_step": 8} | settings)


def drawn(generator, sequences, split="train"):
    return generator.sample(Stream(0, split), torch.arange(sequences))


def images_of(batch):
    return batch.inputs.transpose(0, 1).flatten(1)


@pytest.mark.parametrize("side", [8, 28])
def test_the_permutation_has_every_pixel_once_and_stays(side) -> None:
    order = shuffled(side**2, "permutation 1")

    assert sorted(order) == list(range(side**2))
    assert order != sorted(order)
    assert order[:4] == {8: [27, 44, 46, 17], 28: [301, 605, 134, 392]}[side]


def test_no_image_is_in_two_splits_and_classes_are_equally_many() -> None:
    prints = {name: fingerprints(digits.pixels) for name, digits in splits("digits8", "").items()}
    every = torch.cat(list(prints.values()))

    assert {name: len(one) for name, one in prints.items()} == {
        "train": 1140,
        "validation": 300,
        "test": 300,
    }
    assert len(every.unique()) == 1740
    for digits in splits("digits8", "").values():
        assert digits.labels.tolist() == list(range(10)) * (len(digits.labels) // 10)


def test_images_and_classes_are_those_of_scikit_learn() -> None:
    loaded = importlib.import_module("sklearn.datasets").load_digits()
    known = dict(zip(map(bytes, loaded.data.astype("uint8")), loaded.target, strict=True))

    assert len(known) == 1797  # they are all different
    for digits in splits("digits8", "").values():
        for pixels, label in zip(digits.pixels, digits.labels, strict=True):
            assert known[bytes(pixels.tolist())] == label


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("per_step", [1, 8])
def test_pixels_come_in_the_order_that_is_asked_for(order, per_step) -> None:
    generator = make(order=order, per_step=per_step)
    batch = drawn(generator, 20, "test")
    pixels = splits("digits8", "")["test"].pixels[:20].float() / 16
    places = {
        "rows": list(range(64)),
        "columns": [row * 8 + column for column in range(8) for row in range(8)],
        "permuted": shuffled(64, "permutation 1"),
    }

    assert (generator.reads, generator.answers) == (Vectors(per_step), Tokens(10))
    assert torch.equal(images_of(batch), pixels[:, places[order]])
    assert batch.scored.sum(0).tolist() == [1] * 20
    assert batch.scored[-1].all()
    assert torch.equal(batch.scored, batch.trained)
    assert torch.equal(batch.targets[-1], torch.arange(20) % 10)
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_each_image_that_is_held_out_comes_once_in_300(split) -> None:
    batch = drawn(make(), 600, split)
    prints = fingerprints(images_of(batch) * 16)

    assert len(prints[:300].unique()) == 300
    assert torch.equal(prints[:300], prints[300:])
    assert batch.targets[-1].bincount().tolist() == [60] * 10


def test_images_to_learn_from_are_drawn_with_replacement() -> None:
    batch = drawn(make(), 20_000)
    _, counts = fingerprints(images_of(batch) * 16).unique(return_counts=True)

    assert len(counts) == 1140
    assert (counts - 20_000 / 1140).abs().max() < 30
    assert make().trivial() == 0.1


def test_without_scikit_learn_one_is_told_what_to_install(monkeypatch) -> None:
    """And all else goes on: the generator is made, and says what it reads."""
    really = importlib.import_module

    def missing(name, *rest):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return really(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    splits.cache_clear()
    generator = make()

    assert generator.trivial() == 0.1
    assert generator.reads == Vectors(8)
    with pytest.raises(OptionError, match=r"pip install cellbench\[digits\]"):
        splits("digits8", "")


# --- a folder of files ------------------------------------------------------------------


def idx(values):
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + bytes(values.flatten().tolist())


def written(folder, *, zipped=False):
    """Write 25 images of each class to learn from, and 3 to test on; return the pixels."""
    pixels = []
    for names, count in ((FILES[:2], 250), (FILES[2:], 30)):
        noise = Stream(count, "train").integers("pixels", torch.arange(count), 784, below=256)
        images = noise.T.reshape(count, 28, 28).byte()
        pixels.append(images.flatten(1))
        for name, values in zip(names, (images, torch.arange(count) % 10), strict=True):
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(values)))
            else:
                (folder / name).write_bytes(idx(values))
    return pixels


def from_folder(folder, **settings):
    return make(source="mnist", folder=str(folder), per_step=28, **settings)


@pytest.mark.parametrize("zipped", [False, True])
def test_files_of_a_folder_are_read(tmp_path, zipped) -> None:
    pixels = written(tmp_path, zipped=zipped)
    generator = from_folder(tmp_path)
    found = splits("mnist", str(tmp_path))
    known = set(fingerprints(torch.cat(pixels)).tolist())
    prints = [set(fingerprints(found[split].pixels).tolist()) for split in SPLITS]

    assert [len(one) for one in prints] == [230, 20, 30]
    assert set().union(*prints) == known
    assert prints[2] == set(fingerprints(pixels[1]).tolist())
    for split in SPLITS:
        batch = drawn(generator, 40, split)
        assert torch.equal(generator.oracle(batch.inputs), batch.targets)
        assert batch.inputs.shape == (28, 40, 28)


def test_an_image_that_comes_again_is_left_out(tmp_path) -> None:
    pixels = written(tmp_path)
    again = torch.cat([pixels[1][:29], pixels[0][9:10]]).view(30, 28, 28)
    (tmp_path / FILES[2]).write_bytes(idx(again))
    found = splits("mnist", str(tmp_path))

    assert [len(found[split].labels) for split in SPLITS] == [230, 20, 20]
    assert not set(fingerprints(pixels[0]).tolist()) & set(
        fingerprints(found["test"].pixels).tolist()
    )


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path, name) -> None:
    written(tmp_path)
    (tmp_path / name).unlink()

    with pytest.raises(OptionError, match=rf"lacks {name}, plain or as \.gz\.$"):
        from_folder(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:3],
        lambda data: b"PK" + data,
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage) -> None:
    written(tmp_path)
    broken = tmp_path / FILES[0]
    broken.write_bytes(damage(broken.read_bytes()))

    with pytest.raises(OptionError, match=f"{FILES[0]} is damaged, or is no IDX file of bytes"):
        splits("mnist", str(tmp_path))


def test_a_damaged_archive_is_named(tmp_path) -> None:
    written(tmp_path, zipped=True)
    (tmp_path / f"{FILES[1]}.gz").write_bytes(b"no archive")

    with pytest.raises(OptionError, match=rf"{FILES[1]}\.gz cannot be read"):
        splits("mnist", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (FILES[0], torch.zeros(250, 8, 8).byte(), r"sizes \(250, 8, 8\) and \(250,\)"),
        (FILES[1], torch.zeros(249).byte(), r"sizes \(250, 28, 28\) and \(249,\)"),
        (FILES[1], torch.arange(250) % 11, "label 10, beyond 9"),
        (FILES[3], torch.zeros(30).byte(), "too few images of some class"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, name, values, message) -> None:
    written(tmp_path)
    (tmp_path / name).write_bytes(idx(values))

    with pytest.raises(OptionError, match=message):
        splits("mnist", str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "digit8"}, "source must be one of digits8, mnist, not 'digit8'; did you mean"),
        ({"order": "zigzag"}, "order must be one of rows, columns, permuted, not 'zigzag'"),
        ({"per_step": 3}, "per_step must divide pixels: 64 is no multiple of 3."),
        ({"folder": "/data"}, "folder must be empty with source=digits8, not '/data'."),
        ({"source": "mnist"}, "folder must be the folder of its four files with source=mnist"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value).startswith(message)
