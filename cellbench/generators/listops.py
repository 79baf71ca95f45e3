"""ListOps: what nested lists of digits come to, under MIN, MAX, MED and SUM modulo 10."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators import compiled_listops
from cellbench.generators.arithmetic import check_lengths, first_of, scaled
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import draw_lengths, steps
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_up_to

DIGITS = 10
MIN, MAX, MED, SUM = range(DIGITS, DIGITS + 4)
CLOSE, BLANK = 14, 15
GLYPHS = (*"0123456789", "MIN", "MAX", "MED", "SUM", "]", ".")
SHORTEST, LONGEST = 4, 2**15 - 2
PLAIN = 5  # a part of at most that many tokens is as many digits
_FIELD = 5  # bits: how often each digit comes is counted in one number, their sum on top
_ONES = sum(1 << _FIELD * digit for digit in range(DIGITS))
_SUM_AT = _FIELD * DIGITS


class _Lists(NamedTuple):
    """Where lists and digits stand; of a list, at its operator.

    Attributes:
        size: Tokens of a list, or 0 where none starts.
        left: Tokens of its first part.
        closes: Whether a list ends here.
        digit: Whether a digit stands here.
    """

    size: Tensor
    left: Tensor
    closes: Tensor
    digit: Tensor


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ListOps(Generator):
    """Show nested lists of digits with an operator each, and ask what all comes to.

    With shortest=9, longest=16, free=6, sequence 1 of the training stream:

        input   MAX SUM   1   6   4   1   ] MIN   4   6   8   8   5   7   ]   ]   .
        target    -   -   -   -   -   -   -   -   -   -   -   -   -   -   -   -   4

    A list is its operator, its items and `]`; an item is a digit or a list. MED is the middle
    item; of an even number, the mean of the two in the middle, rounded down. SUM is modulo 10.
    The answer stands on the first blank.

    All lengths from `shortest` to `longest` are alike, and so are operators and digits. What
    stands between operator and `]` is cut in two: anywhere alike in the outermost `free` lists,
    and further in at the middle (rounded down). A part of up to 5 tokens is as many digits, a
    longer one is a list. So a list has 2 to 10 items.

    Source: Nangia & Bowman 2018, arXiv:1804.06028; long ones, Tay et al. 2020, arXiv:2011.04006.
    Differs from it: how lists are cut, so that every length can be drawn at once and the odds
    of every answer are known. One step is asked, and only that is learned, as there.

    Attributes:
        shortest: Tokens of the shortest input; at least 4.
        longest: Tokens of the longest.
        free: Lists in one another that are cut anywhere.
    """

    shortest: int
    longest: int
    free: int

    def __post_init__(self) -> None:
        check_lengths(self.shortest, self.longest, low=SHORTEST)
        whole_up_to("longest", self.longest, low=SHORTEST, high=LONGEST, of="what 16 bits hold")
        whole("free", self.free, low=0)

    @property
    def reads(self) -> Reads:
        return Tokens(len(GLYPHS), GLYPHS)

    @property
    def answers(self) -> Answers:
        return Tokens(DIGITS)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        cuts = stream.integers("cuts", index, self.longest, below=2**31)
        operators = stream.integers("operators", index, self.longest, below=4) + MIN
        digits = stream.integers("digits", index, self.longest, below=DIGITS)
        if compiled_listops.usable(cuts):
            drawn = (cuts, operators, digits)
            ids, value = compiled_listops.lists(
                drawn, length, free=self.free, plain=PLAIN, close=CLOSE, blank=BLANK
            )
        else:
            ids, value = self._in_tensors(cuts, operators, digits, length)
        inputs = torch.cat([ids, torch.full_like(ids[:1], BLANK)])
        scored = steps(self.longest + 1, index) == length
        return Batch(inputs, scored * value, scored, scored)

    def _in_tensors(
        self, cuts: Tensor, operators: Tensor, digits: Tensor, length: Tensor
    ) -> tuple[Int[Tensor, "time batch"], Int[Tensor, "batch"]]:
        """Return the tokens of whole lists, blanks after them, and what they come to."""
        lists = _cut(cuts, length, self.free)
        ids = torch.where(lists.size > 0, operators, digits)
        ids = ids.masked_fill(lists.closes, CLOSE)
        ids = torch.where(steps(self.longest, cuts) < length, ids, BLANK)
        return ids, _worth(operators, digits, lists, _deepest(self.longest, self.free))

    def trivial(self) -> float:
        """Return how often the likeliest answer of each length is right."""
        odds = _law(self.longest, self.free)
        return float(odds[self.shortest :].amax(dim=1).mean())

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Collect the items of each list, and reduce the innermost lists first."""
        opens = (inputs >= MIN) & (inputs <= SUM)
        depth = (opens.long() - (inputs == CLOSE).long()).cumsum(dim=0)
        step = steps(len(inputs), inputs)
        value = torch.where(inputs < DIGITS, inputs, 0)
        for level in range(_deepest(self.longest, self.free), 0, -1):
            here = opens & (depth == level)
            parent = torch.where(here, step, 0).cummax(dim=0).values
            digit = (inputs < DIGITS) & (depth == level)
            item = digit | (opens & (depth == level + 1))
            count = torch.zeros_like(inputs)
            count.scatter_add_(0, parent, torch.where(item, 1 << _FIELD * value, 0))
            value = torch.where(here, _reduced(inputs, count), value)
        return (step == first_of(inputs, BLANK)) * value[0]

    def at_length(self, length: int) -> ListOps:
        return replace(self, shortest=length, longest=length)


def _deepest(longest: int, free: int) -> int:
    """Return how deep lists can be nested."""
    found, longest = 1, longest - 3
    while longest > PLAIN:
        longest = longest - 3 if found < free else longest - 2 - (longest - 2) // 2
        found += 1
    return found + 1


def _cut(cuts: Tensor, length: Tensor, free: int) -> _Lists:
    """Cut all lists of one nesting at a time, in all sequences at once."""
    step = steps(len(cuts), cuts)
    place = step.expand_as(cuts).to(torch.int16)  # in the list it is of
    size = length.to(torch.int16) * (step < length)  # of that list, or 0: products, since
    sizes, lefts, closes = (torch.zeros_like(size) for _ in range(3))  # `where` is slow
    for nesting in range(_deepest(len(cuts), free)):
        live = size > (PLAIN if nesting else 0)
        inside = size - 2
        left = inside >> 1
        if nesting < free:
            cut = cuts.gather(0, step - place)
            left = 1 + scaled(cut, inside - 1).to(torch.int16)
        opened, closed = live & (place == 0), live & (place > inside)
        is_open = opened.to(torch.int16)
        sizes += size * is_open
        lefts += left * is_open
        closes += closed
        second = (place > left).to(torch.int16)
        kept = (live & ~(opened | closed)).to(torch.int16)
        size = (left + second * (inside - 2 * left)) * kept
        place = (place - 1 - left * second) * kept
    digit = (step < length) & (sizes == 0) & (closes == 0)
    return _Lists(sizes.long(), lefts.long(), closes > 0, digit)


def _order(sums: Tensor, rank: Tensor) -> Tensor:
    """Return the item of a rank among counted digits: 0 below the first, 9 above the last.

    Each field of the sums says how many digits are up to one; with 16 less the rank added, its
    uppermost bit tells whether they are as many as the rank.
    """
    reached = ((sums + (16 - rank) * _ONES) >> (_FIELD - 1)) & _ONES
    many = ((reached * _ONES) >> (_SUM_AT - _FIELD)) & 31
    return (DIGITS - many).clamp_(max=DIGITS - 1).to(torch.int8)


def _worth(operators: Tensor, digits: Tensor, lists: _Lists, passes: int) -> Tensor:
    """Return what whole inputs come to; after each pass one more nesting is right.

    The item of rank k among some digits and one more item x is x, cut to between those of
    ranks k - 1 and k among the digits alone; of two items, the smaller or the larger one.
    So lists need only be counted once, and a pass is arithmetic on numbers below 30.
    """
    time = len(digits)
    step = steps(time, digits)
    left, right = lists.left, lists.size - 2 - lists.left
    deep_left, deep_right = left > PLAIN, right > PLAIN
    deep = deep_left.long() + deep_right
    first = step + torch.where(deep_left, left, 0)  # digits stand from here on,
    last = step + torch.where(deep_right, left, left + right)  # and up to here
    each = torch.where(lists.digit, (1 << _FIELD * digits) + (digits << _SUM_AT), 0)
    so_far = each.cumsum(dim=0)
    count = so_far.gather(0, last.clamp(0, time - 1)) - so_far.gather(0, first.clamp(0, time - 1))
    items = deep + (last - first).clamp(min=0)
    bounds = _bounds(operators, count, items, deep)
    summed = operators == SUM
    total = ((count >> _SUM_AT) % DIGITS).to(torch.int8)
    start_left, start_right = step + 1, step + 1 + left
    one = torch.where(deep_left, start_left, torch.where(deep_right, start_right, time))
    other = torch.where(deep_right, start_right, torch.where(deep_left, start_left, time))
    other = torch.where(summed & (deep < 2), time, other)  # noqa: PLR2004 -- one of two parts
    known = (operators == MIN, operators == MAX, summed)
    return _settled(one, other, known, (total, *bounds), passes)


def _bounds(operators: Tensor, count: Tensor, items: Tensor, deep: Tensor) -> list[Tensor]:
    """Return to between which digits the lower item that is asked for lies, and the higher.

    They are one and the same but for the two in the middle. `deep` of the items are lists.
    """
    lowest, highest = operators == MIN, operators == MAX
    low = torch.where(lowest, 1, torch.where(highest, items, (items + 1) >> 1))
    high = torch.where(lowest, 1, torch.where(highest, items, (items >> 1) + 1))
    sums = (count * _ONES) & ((1 << _SUM_AT) - 1)
    return [_order(sums, rank) for rank in (low - deep, low, high - deep, high)]


def _settled(
    one: Tensor,
    other: Tensor,
    operators: tuple[Tensor, Tensor, Tensor],
    digits: tuple[Tensor, ...],
    passes: int,
) -> Tensor:
    """Return what the lists at the first step come to; `one` and `other` are their lists."""
    lowest, highest, summed = (one_of.to(torch.int8) for one_of in operators)
    total, *bounds = digits
    value = total.new_zeros((len(one) + 1, one.shape[1]))  # 0 at the end is for none
    for _ in range(passes):
        x, y = value.gather(0, one), value.gather(0, other)
        low, high = x.minimum(y), x.maximum(y)
        apart = high - low
        p = (low + highest * apart).maximum(bounds[0]).minimum(bounds[1])
        q = (high - lowest * apart).maximum(bounds[2]).minimum(bounds[3])
        found = (p + q) >> 1
        s = total + x + y
        tens = (s >= DIGITS).to(torch.int8) + (s >= 2 * DIGITS)
        value[:-1] = found + summed * (s - DIGITS * tens - found)
    return value[0].long()


def _reduced(operators: Tensor, count: Tensor) -> Tensor:
    """Return what lists of counted items come to."""
    counts = [(count >> _FIELD * digit) & 31 for digit in range(DIGITS)]
    sums = list(itertools.accumulate(counts))
    items, total = sums[-1], sum(digit * many for digit, many in enumerate(counts))

    def ranked(rank: Tensor) -> Tensor:
        return torch.stack([one < rank for one in sums]).sum(dim=0)

    smallest, largest = ranked(torch.ones_like(items)), ranked(items)
    middle = (ranked((items + 1) >> 1) + ranked((items >> 1) + 1)) >> 1
    found = torch.where(operators == MED, middle, total % DIGITS)
    return torch.where(operators == MIN, smallest, torch.where(operators == MAX, largest, found))


def _results(rows: Tensor, odds: Tensor) -> Tensor:
    """Return the odds of each answer for sorted items, all operators alike."""
    many = rows.shape[1]
    middle = (rows[:, (many - 1) // 2] + rows[:, many // 2]) // 2
    answers = (rows[:, 0], rows[:, -1], middle, rows.sum(dim=1) % DIGITS)
    found = torch.zeros(DIGITS, dtype=torch.float64)
    for answer in answers:
        found.index_add_(0, answer, odds / len(answers))
    return found


def _hands(many: int) -> tuple[Tensor, Tensor]:
    """Return all sorted rows of so many digits, and their odds."""
    if not many:
        return torch.zeros((1, 0), dtype=torch.int64), torch.ones(1, dtype=torch.float64)
    rows = torch.tensor(list(itertools.combinations_with_replacement(range(DIGITS), many)))
    counts = torch.stack([(rows == digit).sum(dim=1) for digit in range(DIGITS)])
    factorials = torch.arange(many + 1).double().clamp(min=1).cumprod(dim=0)
    return rows, factorials[many] / factorials[counts].prod(dim=0) / DIGITS**many


def _beside(many: int, *items: int) -> Tensor:
    """Return the odds of each answer for so many digits and the items given."""
    rows, odds = _hands(many)
    more = torch.tensor(items, dtype=torch.int64).expand(len(rows), len(items))
    return _results(torch.cat([rows, more], dim=1).sort(dim=1).values, odds)


def _of_digits(many: int) -> Tensor:
    """Return the odds of each answer for so many digits and no other items.

    In the middle of 2 h items stand a and a larger b if h items are up to a, one of them a,
    and h from b on, one of them b.
    """
    below = torch.arange(DIGITS + 1).double() / DIGITS
    highest = (below**many).diff()
    middle = torch.zeros(DIGITS, dtype=torch.float64)
    half = (many + 1) // 2
    up_to = sum(  # a digit is the lower one in the middle, or one below it
        math.comb(many, k) * below**k * (1 - below) ** (many - k) for k in range(half, many + 1)
    )
    lower = torch.as_tensor(up_to).diff()
    if many % 2 == 0:
        some = (below**half).diff()
        pairs = math.comb(many, half) * some.unsqueeze(1) * some.flip(0)
        for a, b in itertools.combinations(range(DIGITS), 2):
            middle[(a + b) // 2] += pairs[a, b]
            lower[a] -= pairs[a, b]
    return (highest + highest.flip(0) + middle + lower + 1 / DIGITS) / 4


@functools.cache
def _tables() -> tuple[Tensor, Tensor, Tensor]:
    """Return the odds for two parts that are plain, for one, and for none."""
    plain = torch.stack([_of_digits(max(many, 1)) for many in range(2 * PLAIN + 1)])
    one = [[_beside(many, x) for x in range(DIGITS)] for many in range(1, PLAIN + 1)]
    none = [[_beside(0, x, y) for y in range(DIGITS)] for x in range(DIGITS)]
    stacked = [torch.stack([torch.stack(row) for row in table]) for table in (one, none)]
    return plain, stacked[0], stacked[1]


def _law(longest: int, free: int) -> Tensor:
    """Return the odds of every answer for every length, `[length, answer]`."""
    return _law_up_to(1 << longest.bit_length(), free)[: longest + 1]


@functools.cache
def _law_up_to(longest: int, free: int) -> Tensor:
    plain, one, none = _tables()
    odds = torch.zeros((longest + 1, DIGITS), dtype=torch.float64)
    for length in range(SHORTEST, longest + 1):
        left = (length - 2) // 2
        right = length - 2 - left
        if right <= PLAIN:
            odds[length] = plain[left + right]
        elif left <= PLAIN:
            odds[length] = odds[right] @ one[left - 1]
        else:
            odds[length] = torch.einsum("a,b,abr->r", odds[left], odds[right], none)
    for _ in range(free):
        odds = _cut_anywhere(odds, plain, one, none)
    return odds


def _cut_anywhere(inner: Tensor, plain: Tensor, one: Tensor, none: Tensor) -> Tensor:
    """Return the odds of lists that are cut anywhere, from those of lists in them."""
    size = len(inner)  # of what is between operator and bracket: 2 less than the list
    deep = inner.clone()
    deep[: PLAIN + 1] = 0.0
    sums = torch.zeros_like(inner)
    for left, right in itertools.product(range(1, PLAIN + 1), repeat=2):
        if left + right < size:
            sums[left + right] += plain[left + right]
    for many in range(1, PLAIN + 1):
        sums[many:] += 2 * (deep @ one[many - 1])[: max(size - many, 0)]
    waves = torch.fft.rfft(deep, n=2 * size, dim=0)
    pairs = torch.fft.irfft(torch.einsum("na,nb->nab", waves, waves), n=2 * size, dim=0)[:size]
    sums += torch.einsum("nab,abr->nr", pairs, none)
    odds = torch.zeros_like(inner)
    cuts = torch.arange(size - 2).clamp(min=2).unsqueeze(1) - 1
    odds[SHORTEST:] = (sums[:-2] / cuts)[2:]
    return odds
