"""Relevancy screening written out again, with lists: a sequence and an entry at a time."""

from __future__ import annotations

import torch


def by_row(weights, x, state, *, recent: int, relevant: int, output, rest=None):
    """Return outputs, and (h, filled, relevance, s, *rest) after the last step.

    Args:
        weights: Of the cell.
        x: Inputs.
        state: h and filled and relevance of the relevant set and then the buffer, and s.
        recent: Size of the buffer.
        relevant: Size of the set.
        output: (x_t, s, rest) -> (h, rest), of one sequence.
        rest: What else is carried, such as c.
    """
    rows = []
    for b in range(x.shape[1]):
        row = _one(
            weights,
            x[:, b],
            [part[b] for part in state],
            recent=recent,
            relevant=relevant,
            output=output,
            rest=None if rest is None else rest[b],
        )
        rows.append(row)
    y, *last = (torch.stack(parts) for parts in zip(*rows, strict=True))
    return y.transpose(0, 1), tuple(last)


def _one(weights, x, state, *, recent, relevant, output, rest):
    v, k, q = (weights[f"scores.{name}"] for name in ("score", "key.weight", "query.weight"))
    h, filled, relevance, s = state
    slots = [[h[j], float(relevance[j])] if filled[j] else None for j in range(recent + relevant)]
    chosen, buffer = slots[:relevant], [slot for slot in slots[relevant:] if slot]
    outputs = []
    for x_t in x:
        seen = [*buffer, *(slot for slot in chosen if slot)]
        e = [torch.exp(v[0] @ torch.tanh(k @ slot[0] + q @ s)) for slot in seen]
        c = sum(e_j / sum(e) * slot[0] for e_j, slot in zip(e, seen, strict=True))
        s = 0.5 * (buffer[-1][0] + c) if buffer else 0 * s
        for slot, e_j in zip(buffer, e, strict=False):
            slot[1] += float((e_j / sum(e)).detach())
        h_t, rest = output(x_t, s, rest)
        if len(buffer) == recent:
            leaving = buffer.pop(0)
            free = [n for n, slot in enumerate(chosen) if not slot]
            least = min(range(relevant), key=lambda n: chosen[n][1] if chosen[n] else 0)
            if free:
                chosen[free[0]] = leaving
            elif leaving[1] > chosen[least][1]:
                chosen[least] = leaving
        buffer.append([h_t, 0.0])
        outputs.append(h_t)
    slots = [*chosen, *[None] * (recent - len(buffer)), *buffer]
    h = torch.stack([slot[0] if slot else torch.zeros_like(h[0]) for slot in slots])
    filled = torch.tensor([float(slot is not None) for slot in slots], dtype=h.dtype)
    relevance = torch.tensor([slot[1] if slot else 0.0 for slot in slots], dtype=h.dtype)
    last = (h, filled, relevance, s)
    return (torch.stack(outputs), *last) if rest is None else (torch.stack(outputs), *last, rest)
