"""Lists of ListOps cut and evaluated on the CPU: one pass over each sequence, in C++.

The tensor form in `listops`, which is what this has to agree with, goes over all steps once for
each nesting.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators import compiled

_SOURCE = r"""
#include <stdint.h>

typedef int64_t word;

struct Drawn {
  const word *cuts, *operators, *digits;
  word *ids;
  word batch, free, plain, close;
};

// Write the list of `size` tokens that starts at `place`; return what it comes to.
static word list(const Drawn& all, word column, word place, word size, word nesting) {
  const word first = place * all.batch + column, inside = size - 2;
  word parts[2];
  parts[0] = nesting < all.free ? 1 + ((all.cuts[first] * (inside - 1)) >> 31) : inside >> 1;
  parts[1] = inside - parts[0];
  word count[10] = {0}, items = 0, total = 0, at = place + 1;
  for (word part : parts) {
    const bool deep = part > all.plain;
    for (word item = 0; item < (deep ? 1 : part); item++) {
      const word here = (at + item) * all.batch + column;
      const word value = deep ? list(all, column, at, part, nesting + 1) : all.digits[here];
      if (!deep) all.ids[here] = value;
      count[value]++; items++; total += value;
    }
    at += part;
  }
  all.ids[first] = all.operators[first];
  all.ids[at * all.batch + column] = all.close;
  const word which = all.operators[first] - 10;  // MIN, MAX, MED, SUM
  if (which == 3) return total % 10;
  const word low = which == 0 ? 1 : which == 1 ? items : (items + 1) / 2;
  const word high = which == 2 ? items / 2 + 1 : low;
  word sum = 0, value = 0;
  for (word digit = 0, seen = 0; digit < 10; digit++) {
    const word until = seen + count[digit];
    sum += digit * ((seen < low && low <= until) + (seen < high && high <= until));
    seen = until;
  }
  value = sum / 2;
  return value;
}

extern "C" void lists(word batch, word free, word plain, word close, const word* length,
                      const word* cuts, const word* operators, const word* digits, word* ids,
                      word* values) {
  const Drawn all = {cuts, operators, digits, ids, batch, free, plain, close};
  for (word column = 0; column < batch; column++)
    values[column] = list(all, column, 0, length[column], 0);
}
"""


def usable(cuts: Tensor) -> bool:
    """Return whether this form is there for what was drawn, and worth while."""
    return compiled.is_worth(cuts) and library() is not None


def lists(
    drawn: tuple[Int[Tensor, "time batch"], ...],
    length: Int[Tensor, "batch"],
    *,
    free: int,
    plain: int,
    close: int,
    blank: int,
) -> tuple[Int[Tensor, "time batch"], Int[Tensor, "batch"]]:
    """Return the tokens of whole lists, blanks after them, and what they come to.

    Args:
        drawn: Cuts below 2**31, operators, digits: one of each for every token.
        length: Tokens of each list.
        free: Lists in one another that are cut anywhere.
        plain: Most tokens of a part that is digits.
        close: What ends a list.
        blank: What stands after the last.
    """
    given = [each.contiguous() for each in (length, *drawn)]
    ids = torch.full_like(given[1], blank)
    values = torch.empty_like(given[0])
    call = library()
    assert call is not None  # noqa: S101 -- as `usable` found
    call(len(length), free, plain, close, *compiled.places(*given, ids, values))
    return ids, values


def library() -> Callable[..., None] | None:
    """Return the compiled loop, or None if there is none."""
    return compiled.function(_SOURCE, "lists", 4, 6)
