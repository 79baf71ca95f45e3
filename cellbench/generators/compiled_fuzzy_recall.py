"""Pairs of FuzzyRecall laid out on the CPU: one pass over each sequence, in C++.

The tensor form in `fuzzy_recall` is what this has to agree with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cellbench.generators import compiled

_SOURCE = r"""
#include <stdint.h>
#include <vector>

typedef int64_t word;

struct Motif { word size, ids[3]; };

// Read the motif of a pair: each draw steps over the ids picked before it, the smallest first.
static Motif motif(const word* sizes, const word* draws, word longest, word pair, word count,
                   word batch, word column, word first_id) {
  Motif found = {sizes[pair * batch + column] + 1, {0, 0, 0}};
  word rising[3];
  for (word place = 0; place < longest; place++) {
    word id = draws[(place * count + pair) * batch + column];
    for (word one = 0; one < place; one++) id += id >= rising[one];
    word at = place;
    for (; at > 0 && rising[at - 1] > id; at--) rising[at] = rising[at - 1];
    rising[at] = id;
    found.ids[place] = id + first_id;
  }
  return found;
}

static bool same(const Motif& one, const Motif& other) {
  if (one.size != other.size) return false;
  for (word place = 0; place < one.size; place++)
    if (one.ids[place] != other.ids[place]) return false;
  return true;
}

extern "C" void pairs(word batch, word count, word length, word key_longest, word value_longest,
                      word first_key, word first_value, const word* key_sizes,
                      const word* value_sizes, const word* keys, const word* values,
                      const word* asked, word* ids, bool* scored) {
  std::vector<Motif> key(count), value(count);
  std::vector<word> first(count + 1);
  const word room = length + 1 - key_longest - value_longest;
  for (word column = 0; column < batch; column++) {
    word last = 0, total = 0;
    for (; last < count; last++) {
      key[last] = motif(key_sizes, keys, key_longest, last, count, batch, column, first_key);
      word alike = 0;
      while (!same(key[alike], key[last])) alike++;
      first[last] = alike;
      if (alike == last)
        value[last] = motif(value_sizes, values, value_longest, last, count, batch, column,
                            first_value);
      const word more = key[alike].size + value[alike].size;
      if (total + more > room) break;
      total += more;
    }
    first[last] = first[(asked[column] * last) >> 31];
    total += key[first[last]].size + value[first[last]].size;
    word at = length + 1 - total;
    for (word place = 0; place < at; place++) {
      ids[place * batch + column] = 0;
      scored[place * batch + column] = false;
    }
    for (word pair = 0; pair <= last; pair++) {
      const word one = first[pair];
      for (word place = 0; place < key[one].size; place++, at++) {
        ids[at * batch + column] = key[one].ids[place];
        scored[at * batch + column] = false;
      }
      for (word place = 0; place < value[one].size; place++, at++) {
        ids[at * batch + column] = value[one].ids[place];
        scored[at * batch + column] = one < pair;
      }
    }
  }
}
"""


def usable(draws: Tensor) -> bool:
    """Return whether this form is there for what was drawn, and worth while."""
    return compiled.is_worth(draws) and library() is not None


def pairs(
    sizes: tuple[Int[Tensor, "pairs batch"], Int[Tensor, "pairs batch"]],
    draws: tuple[Int[Tensor, "_ batch"], Int[Tensor, "_ batch"]],
    asked: Int[Tensor, "1 batch"],
    *,
    length: int,
    longest: tuple[int, int],
    first: tuple[int, int],
) -> tuple[Int[Tensor, "ids batch"], Bool[Tensor, "ids batch"]]:
    """Return all ids, one more than steps, and which of them are asked.

    Args:
        sizes: Of each key and each value, less one.
        draws: Of the ids of all keys and of all values, place by place.
        asked: Below 2**31: which pair comes once more at the end.
        length: Steps.
        longest: Ids of the longest key and value.
        first: The id that stands for the first key id, and the first value id.
    """
    count, batch = sizes[0].shape
    given = [each.contiguous() for each in (*sizes, *draws, asked)]
    ids = torch.empty((length + 1, batch), dtype=torch.int64)
    scored = torch.empty((length + 1, batch), dtype=torch.bool)
    call = library()
    assert call is not None  # noqa: S101 -- as `usable` found
    call(batch, count, length, *longest, *first, *compiled.places(*given, ids, scored))
    return ids, scored


def library() -> Callable[..., None] | None:
    """Return the compiled loop, or None if there is none."""
    return compiled.function(_SOURCE, "pairs", 7, 7)
