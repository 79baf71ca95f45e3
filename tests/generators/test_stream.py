"""The stream: published answers, an independent transcription, and what it promises."""

from __future__ import annotations

import hashlib
import math
import random

import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators import stream as stream_module
from cellbench.generators.stream import SPLITS, Stream, philox

WORD = 2**32


def philox_in_plain_integers(counter, key):
    """Philox 4x32-10 from the paper's definition: Python integers, no tensor, no wrapping."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * x0, WORD)
        high1, low1 = divmod(0xCD9E8D57 * x2, WORD)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % WORD, (k1 + 0xBB67AE85) % WORD
    return [x0, x1, x2, x3]


def word_of(name):
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")


def words_of(tensors):
    return torch.stack(tensors).flatten().tolist()


def chi_square(values, bins):
    """Return how many standard deviations the counts' chi-square is above what is expected."""
    counts = torch.bincount(values.flatten(), minlength=bins).double()
    expected = values.numel() / bins
    statistic = ((counts - expected) ** 2 / expected).sum().item()
    return (statistic - (bins - 1)) / (2 * (bins - 1)) ** 0.5


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0, 0, 0, 0], (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (
            [WORD - 1] * 4,
            (WORD - 1, WORD - 1),
            [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        ),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_answers(counter, key, words) -> None:
    given = philox(tuple(torch.tensor(counter).unsqueeze(1)), key)

    assert words_of(given) == words
    assert philox_in_plain_integers(counter, key) == words


def test_philox_is_its_definition_on_many_counters() -> None:
    chance = random.Random(1)  # noqa: S311 -- any numbers will do
    key = (chance.randrange(WORD), chance.randrange(WORD))
    counters = [[chance.randrange(WORD) for _ in range(4)] for _ in range(300)]

    given = torch.stack(philox(tuple(torch.tensor(counters).T), key)).T.tolist()

    assert given == [philox_in_plain_integers(counter, key) for counter in counters]


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 1), (1, 2), (), ()],
        [(), (3, 1), (1, 2), ()],
        [(), (), (3, 1), (1, 2)],
        [(1, 2), (), (), (3, 1)],
        [(3, 2), (), (), ()],
        [(), (3, 2), (), ()],
        [(), (), (3, 2), ()],
        [(), (), (), (3, 2)],
    ],
)
def test_philox_broadcasts_its_counter_and_leaves_it_as_it_was(shapes) -> None:
    counter = tuple(torch.arange(math.prod(shape)).view(shape) + 5 for shape in shapes)
    before = [c.clone() for c in counter]
    whole = [c.expand(3, 2).flatten().tolist() for c in counter]

    given = philox(counter, (8, 9))

    assert all(word.shape == (3, 2) for word in given)
    for n, words in enumerate(zip(*(word.flatten().tolist() for word in given), strict=True)):
        assert list(words) == philox_in_plain_integers([c[n] for c in whole], (8, 9))
    assert all(torch.equal(now, then) for now, then in zip(counter, before, strict=True))


def test_a_number_is_where_it_stands() -> None:
    """Key and counter as the docstring says, on the slow side of the fence."""
    index = torch.tensor([5, 2**33 + 7])
    given = Stream(3, "test").integers("marks", index, 6, below=1000)

    for column, number in enumerate(index.tolist()):
        for position in range(6):
            counter = [number % WORD, number // WORD, position // 4, word_of("marks")]
            word = philox_in_plain_integers(counter, (3, word_of("test")))[position % 4]
            assert given[position, column] == word * 1000 // WORD


def test_numbers_do_not_depend_on_what_is_drawn_beside_them() -> None:
    stream = Stream(0, "train")
    index = torch.arange(64)
    whole = stream.uniform("numbers", index, 11)
    shuffled = index[torch.tensor(random.Random(0).sample(range(64), 64))]  # noqa: S311

    one_by_one = [stream.uniform("numbers", index[n : n + 1], 11) for n in range(64)]
    other = Stream(0, "train")
    other.integers("numbers", index, 500, below=3)

    assert torch.equal(torch.cat(one_by_one, dim=1), whole)
    assert torch.equal(stream.uniform("numbers", shuffled, 11), whole[:, shuffled])
    assert torch.equal(other.uniform("numbers", index, 11), whole)
    assert torch.equal(stream.uniform("numbers", index, 3), whole[:3])
    assert torch.equal(stream.uniform("numbers", index, 999)[:11], whole)


@pytest.mark.parametrize("blocks", [1, 8, 64])
def test_large_requests_are_the_same_in_any_passes(monkeypatch, blocks) -> None:
    index = torch.arange(5)
    whole = Stream(0, "train").integers("symbols", index, 103, below=2**31)

    monkeypatch.setattr(stream_module, "_CPU_BLOCKS", blocks)

    assert torch.equal(Stream(0, "train").integers("symbols", index, 103, below=2**31), whole)


def test_seeds_splits_purposes_and_far_sequences_all_differ() -> None:
    index = torch.arange(100)
    drawn = [
        Stream(seed, split).integers(purpose, index + start, 4, below=2**31)
        for seed in (0, 1, WORD - 1)
        for split in SPLITS
        for purpose in ("symbols", "marks")
        for start in (0, 100, WORD, 2**40)
    ]
    rows = {tuple(row) for numbers in drawn for row in numbers.T.tolist()}

    assert len(rows) == 100 * len(drawn)


@pytest.mark.parametrize("below", [1, 2, 3, 10, 1000])
def test_integers_are_below_and_equally_likely(below) -> None:
    drawn = Stream(0, "train").integers("symbols", torch.arange(20_000), 5, below=below)

    assert drawn.min() == 0
    assert drawn.max() == below - 1
    assert below == 1 or abs(chi_square(drawn, below)) < 5


def test_each_number_may_have_its_own_bound() -> None:
    stream, index = Stream(0, "train"), torch.arange(1000)
    drawn = stream.integers("marks", index, 3, below=(2, 7, 2**31))

    for row, below in enumerate((2, 7, 2**31)):
        assert torch.equal(drawn[row], stream.integers("marks", index, 3, below=below)[row])


@pytest.mark.parametrize("below", [0, -1, 2**31 + 1, (3, 0)])
def test_a_bound_that_cannot_be_is_refused(below) -> None:
    with pytest.raises(OptionError, match=r"below must be from 1 to 2147483648, not"):
        Stream(0, "train").integers("marks", torch.arange(2), 2, below=below)


def test_uniform_numbers_are_24_bits_in_any_dtype() -> None:
    stream, index = Stream(0, "train"), torch.arange(10_000)
    single = stream.uniform("numbers", index, 4)
    double = stream.uniform("numbers", index, 4, dtype=torch.float64)
    scaled = double * 2**24

    assert single.dtype == torch.float32
    assert torch.equal(single.double(), double)
    assert torch.equal(scaled, scaled.round())
    assert double.min() >= 0
    assert double.max() < 1
    assert abs(chi_square((double * 64).long(), 64)) < 5
    assert abs(chi_square(scaled.long() % 64, 64)) < 5  # the last bits too


def test_uniform_numbers_of_a_coarser_type_are_refused() -> None:
    with pytest.raises(OptionError, match=r"dtype must be .*, not torch\.float16\."):
        Stream(0, "train").uniform("numbers", torch.arange(2), 2, dtype=torch.float16)


def test_choosing_all_is_a_permutation() -> None:
    drawn = Stream(0, "train").choose("order", torch.arange(500), 50, out_of=50)

    assert torch.equal(drawn.sort(dim=0).values, torch.arange(50).unsqueeze(1).expand(50, 500))


def test_choosing_is_fair_and_without_repeats() -> None:
    drawn = Stream(0, "train").choose("order", torch.arange(12_000), 2, out_of=4)
    first, second = drawn
    pairs = first * 3 + second - (second > first).long()

    assert (first != second).all()
    assert abs(chi_square(pairs, 12)) < 5


@pytest.mark.parametrize("count", [-1, 4])
def test_choosing_more_than_there_are_is_refused(count) -> None:
    with pytest.raises(OptionError, match=rf"Cannot choose {count} different integers out of 3"):
        Stream(0, "train").choose("order", torch.arange(2), count, out_of=3)


@pytest.mark.parametrize(
    ("seed", "split", "message"),
    [
        (-1, "train", "seed must be a whole number of at least 0, not -1."),
        (True, "train", "seed must be a whole number of at least 0, not True."),
        (WORD, "train", "seed must be at most 4294967295, not 4294967296."),
        (
            0,
            "trian",
            "split must be one of train, validation, test, not 'trian'; did you mean 'train'?",
        ),
    ],
)
def test_a_stream_checks_what_it_is_made_of(seed, split, message) -> None:
    with pytest.raises(OptionError) as caught:
        Stream(seed, split)

    assert str(caught.value) == message


def test_global_randomness_is_neither_read_nor_moved() -> None:
    index = torch.arange(10)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    drawn = Stream(0, "train").uniform("numbers", index, 9)
    after = torch.get_rng_state()
    torch.manual_seed(1)

    assert torch.equal(after, before)
    assert torch.equal(Stream(0, "train").uniform("numbers", index, 9), drawn)


def test_nothing_is_asked_of_the_device() -> None:
    """On `meta` there are no values: reading one, or looping over the batch, would fail."""
    stream, index = Stream(0, "train"), torch.arange(10, device="meta")

    assert stream.integers("symbols", index, 9, below=3).shape == (9, 10)
    assert stream.uniform("numbers", index, 9).device.type == "meta"
    assert stream.choose("order", index, 2, out_of=9).shape == (2, 10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_numbers_are_the_same_on_cuda() -> None:
    stream, index = Stream(7, "validation"), torch.arange(2**33, 2**33 + 1000)

    for draw in (
        lambda i: stream.integers("symbols", i, 103, below=2**31),
        lambda i: stream.uniform("numbers", i, 103),
        lambda i: stream.choose("order", i, 20, out_of=103),
    ):
        assert torch.equal(draw(index.cuda()).cpu(), draw(index))


def test_no_numbers_of_no_sequences() -> None:
    stream = Stream(0, "train")

    assert stream.uniform("numbers", torch.arange(3), 0).shape == (0, 3)
    assert stream.uniform("numbers", torch.arange(0), 3).shape == (3, 0)


def test_it_says_what_it_is() -> None:
    assert repr(Stream(3, "test")) == "Stream(3, 'test')"
