"""The sequences of a version never change: a new digest here needs a new version there."""

from __future__ import annotations

import hashlib

import pytest
import torch

from cellbench.catalog import find_task, load_tasks
from cellbench.generators.stream import SPLITS, Stream

SEQUENCES = 32

DIGESTS = {
    (
        "adding/length-10",
        1,
        "train",
    ): "daa413686c3fea2c0fc6ac5a446a573b557a39b1be9d97d8058d916f1e8a9f68",
    (
        "adding/length-10",
        1,
        "validation",
    ): "4758fd32d35925380f8fd28b254c3e16b4df21ef3e43465eec861b182fdd22cd",
    (
        "adding/length-10",
        1,
        "test",
    ): "6aa83669ad3887ad3dacfc080147c1b0b180963ea485778ffdcf259ae2e10e29",
    (
        "adding-any/length-10",
        1,
        "train",
    ): "0f693b9235103bcd891d9a7215569bed62d186430a1a4c08ebaa0553f19dd87f",
    (
        "adding-any/length-10",
        1,
        "validation",
    ): "49542e6d5ca0eaf09469956f0e645df5362793a3a9ff141276723a768c6cb4e7",
    (
        "adding-any/length-10",
        1,
        "test",
    ): "445916df078cc66c692b94c2f303b99174e06bbaa0ab7e412c9660d16514e74d",
    (
        "copying/delay-10",
        1,
        "train",
    ): "ae6e272390a920785a0de7ecbfc1a2079776a65c0f31d7969f18f37632725dc6",
    (
        "copying/delay-10",
        1,
        "validation",
    ): "d8c246f67bcc8bd3bc7e99a2a1e8bc1a96f281ccade0c61fed8e6bbe4de649af",
    (
        "copying/delay-10",
        1,
        "test",
    ): "7efce760a64ff855df6b84bc7f2e470add30f6cae3a4977dd8bca6a669e00542",
    (
        "copying-arjovsky/delay-10",
        1,
        "train",
    ): "cb9eb30814fd43385e83b01ea6a43b1cf9b7fc6d063a16a85208988b06a11c04",
    (
        "copying-arjovsky/delay-10",
        1,
        "validation",
    ): "3c5c81c47d0f4aadd65a8c039564ed522d8eb21419dcb3795c4e74547edffd74",
    (
        "copying-arjovsky/delay-10",
        1,
        "test",
    ): "907e675b774974409ee50213a26972d81c9290f309089fae2db410048d18a7b9",
    (
        "copying-exprnn/delay-10",
        1,
        "train",
    ): "8c000181b2954dcab2fa8d20a3902831e7a3acd82d3e15126e518aafc50c0755",
    (
        "copying-exprnn/delay-10",
        1,
        "validation",
    ): "928ef02a919409ec3a198a10acd8de78f4981f4f7f318c243a3a0d251c329cc8",
    (
        "copying-exprnn/delay-10",
        1,
        "test",
    ): "593bd4075b62c0ae16f83654e7482a385532b12b5826cd3764ba2008a80a1127",
    (
        "copying-tcn/delay-10",
        1,
        "train",
    ): "616830f4980e986138717912e05dad425ebbd1bd01115cd6aa50dfb47d22fd22",
    (
        "copying-tcn/delay-10",
        1,
        "validation",
    ): "0773452e2cbb8f2a7a12c70b04767781774922336933e9b0f1891e5477d117c2",
    (
        "copying-tcn/delay-10",
        1,
        "test",
    ): "d316db5b624f26906f2deaede45e9c3d1882ae5c37d6dbaa92339795df764def",
    (
        "copying-s4/delay-10",
        1,
        "train",
    ): "32abff666a7ec4192e454ea2b14e90d1b95995e91c77de83fa324075c68ac130",
    (
        "copying-s4/delay-10",
        1,
        "validation",
    ): "b70408ddcd11b71beac5911048bc02c88ffd7dd4d991199c7a9ad869f6e85951",
    (
        "copying-s4/delay-10",
        1,
        "test",
    ): "11e83485fff09c037b90cc489830bf085afaea825673a38230f26a41df90877c",
}


def digest(generator, split) -> str:
    """Return SHA-256 of a split's first sequences: 64-bit integers, 32-bit floats, bytes."""
    batch = generator.sample(Stream(0, split), torch.arange(SEQUENCES))
    sha = hashlib.sha256()
    for tensor in (batch.inputs, batch.targets, batch.scored, batch.trained):
        kind = {torch.int64: "<i8", torch.float32: "<f4", torch.bool: "u1"}[tensor.dtype]
        sha.update(str(tuple(tensor.shape)).encode())
        sha.update(tensor.contiguous().numpy().astype(kind).tobytes())
    return sha.hexdigest()


@pytest.mark.parametrize(("task", "version", "split"), DIGESTS)
def test_sequences_are_those_of_their_version(task, version, split) -> None:
    found = find_task(task)

    assert found.version == version
    assert digest(found.generator, split) == DIGESTS[task, version, split]


def test_every_family_and_split_is_held() -> None:
    held = {(task.partition("/")[0], split) for task, _, split in DIGESTS}

    assert held == {(task.family, split) for task in load_tasks().values() for split in SPLITS}
