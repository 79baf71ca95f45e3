"""Every setting of every recall task changes what is drawn."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cellbench.generators import GENERATORS
from cellbench.generators.stream import Stream

USUAL = {
    "composition": {"firsts": 3, "seconds": 3, "values": 4, "asks": 2},
    "compression": {"length": 6, "alphabet": 3, "asks": 2},
    "fuzzy_recall": {"length": 40, "keys": 3, "values": 3, "key_size": 2, "value_size": 2},
    "induction_heads": {"length": 10, "alphabet": 5},
    "memorisation": {"keys": 9, "length": 10, "map": 0},
    "mqar": {"vocabulary": 40, "pairs": 4, "length": 32, "power": 0.01, "filler": "zero"},
    "noisy_recall": {"length": 20, "keys": 3, "values": 3, "noise": 2, "share": 0.4},
    "overwrite": {"keys": 3, "values": 4, "times": 2},
    "single_recall": {"pairs": 4, "keys": 6, "values": 5, "repeats": "never", "layout": "ba"},
    "selective_copying": {"length": 12, "symbols": 3, "alphabet": 5, "layout": "s4"},
}
OTHER = {
    "power": 1.0,
    "filler": "random",
    "share": 0.2,
    "repeats": "latest",
    "loss": "all",
    ("single_recall", "layout"): "safari",
    ("noisy_recall", "length"): 22,
    ("selective_copying", "layout"): "mad",
}


def cases():
    for name, settings in USUAL.items():
        for field in dataclasses.fields(GENERATORS[name]):
            usual = settings | ({"loss": "answer"} if "loss" in GENERATORS[name].__slots__ else {})
            other = OTHER.get((name, field.name), OTHER.get(field.name))
            yield pytest.param(
                GENERATORS[name],
                usual,
                {field.name: usual[field.name] + 1 if other is None else other},
                id=f"{name}-{field.name}",
            )


@pytest.mark.parametrize(("kind", "usual", "change"), list(cases()))
def test_every_setting_changes_what_is_drawn(kind, usual, change) -> None:
    one, other = (
        kind(**settings).sample(Stream(0, "train"), torch.arange(32))
        for settings in (usual, usual | change)
    )

    assert not all(
        torch.equal(getattr(one, part), getattr(other, part))
        for part in ("inputs", "targets", "scored", "trained")
    )
