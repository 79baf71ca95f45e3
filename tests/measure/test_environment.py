"""The environment record, its key, and the precision flags."""

from __future__ import annotations

import msgspec
import pytest
import torch

from cellbench.measure.environment import environment
from cellbench.measure.precision import precision_flags, set_precision
from cellbench.record import Environment


@pytest.fixture
def _flags_restored():
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32 = matmul
    torch.backends.cudnn.allow_tf32 = cudnn


@pytest.mark.usefixtures("_flags_restored")
def test_all_cells_get_the_same_arithmetic() -> None:
    torch.backends.cudnn.allow_tf32 = True
    set_precision()

    assert precision_flags()["cudnn.allow_tf32"] == "False"
    assert precision_flags()["cuda.matmul.allow_tf32"] == "False"
    assert precision_flags()["float32_matmul_precision"] == "highest"


def test_the_flags_are_part_of_the_key() -> None:
    found = environment(torch.device("cpu"), "float32", threads=1)

    assert found.key.items() >= precision_flags().items()
    assert found.key["torch"] == torch.__version__
    assert found.key["threads"] == "1"


def test_another_number_of_threads_is_another_environment() -> None:
    one, two = (environment(torch.device("cpu"), "float32", threads=n) for n in (1, 2))

    assert one.digest != two.digest
    assert one.digest == environment(torch.device("cpu"), "float32", threads=1).digest


def test_an_environment_survives_json() -> None:
    found = environment(torch.device("cpu"), "float32", threads=1)

    assert msgspec.json.decode(msgspec.json.encode(found), type=Environment) == found
