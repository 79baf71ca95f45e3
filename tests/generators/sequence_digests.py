"""Digests of the first sequences of a level, and the file that keeps them.

`python tests/generators/sequence_digests.py` writes down what is new. It changes nothing that is
there: sequences that change need a new version of their task, and their old lines taken out.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from cellbench.catalog import load_tasks
from cellbench.generators.stream import SPLITS, Stream

FILE = Path(__file__).with_name("digests.json")
SEQUENCES = 32
KINDS = {torch.int64: "<i8", torch.float32: "<f4", torch.bool: "u1"}


def held() -> dict[str, dict[str, object]]:
    """Return what the file has: task -> version, and the digest of each split."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def digest(generator, split) -> str:
    """Return SHA-256 of a split's first sequences: 64-bit integers, 32-bit floats, bytes.

    An optimum is a logarithm, whose last bit may differ from machine to machine: it is left out.
    """
    batch = generator.sample(Stream(0, split), torch.arange(SEQUENCES))
    sha = hashlib.sha256()
    for tensor in (batch.inputs, batch.targets, batch.scored, batch.trained):
        sha.update(str(tuple(tensor.shape)).encode())
        sha.update(tensor.contiguous().numpy().astype(KINDS[tensor.dtype]).tobytes())
    return sha.hexdigest()


def easiest() -> dict[str, object]:
    """Return one level a family, by family: the first of its file."""
    return {task.family: task for task in reversed(load_tasks().values())}


def main() -> None:
    lines = held()
    families = {name.partition("/")[0] for name in lines}
    for family, task in easiest().items():
        if family not in families:
            splits = {split: digest(task.generator, split) for split in SPLITS}
            lines[task.id] = {"version": task.version, **splits}
    text = json.dumps(dict(sorted(lines.items())), indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
