"""Which seeds are trained together."""

from __future__ import annotations

import pytest

from cellbench.catalog import find_task
from cellbench.plugins import parse_cell
from cellbench.sweep.plan import make_plan
from cellbench.sweep.stacks import make_stacks, stack_size
from cellbench.unroll import Carrier, Way

TINY = find_task("copying/tiny")


def plan(*cells: str, seeds: int = 8, way: Way = Way.AUTO):
    specs = [parse_cell(cell) for cell in cells]
    return make_plan(specs, [TINY], range(seeds), hidden=8, device="cpu", carrier=Carrier(way))


def size(cell: str, device: str, workers: int, *, seeds: int = 8, way: Way = Way.AUTO) -> int:
    (job,) = plan(cell, way=way).jobs
    return stack_size(job, seeds, device, workers)


@pytest.mark.parametrize("cell", ["hyperlstm", "lstmn", "min_gru"])
def test_a_gpu_trains_all_seeds_at_once(cell) -> None:
    assert size(cell, "cuda:0", workers=4) == 8


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "torch.nn:LSTM"])
def test_what_has_a_kernel_of_torchs_keeps_it(cell, device) -> None:
    assert size(cell, device, workers=2) == 1


def test_a_cpu_leaves_cells_with_a_parallel_form_alone_unless_they_are_not_to_use_it() -> None:
    assert size("min_gru", "cpu", workers=2) == 1
    assert size("min_gru", "cpu", workers=2, way=Way.STEPWISE) == 4
    assert size("lstm", "cpu", workers=2, way=Way.STEPWISE) == 4


@pytest.mark.parametrize(
    ("seeds", "workers", "wanted"), [(8, 1, 8), (8, 2, 4), (3, 2, 2), (3, 9, 1)]
)
def test_on_a_cpu_each_worker_has_a_stack(seeds, workers, wanted) -> None:
    assert size("hyperlstm", "cpu", workers, seeds=seeds) == wanted


def test_on_a_cpu_what_will_be_compiled_stays_alone() -> None:
    assert size("hyperlstm", "cpu", workers=2, way=Way.COMPILED) == 1
    assert size("lstmn", "cpu", workers=2, way=Way.COMPILED) == 4, "its tape grows"
    (job,) = make_plan(
        [parse_cell("hyperlstm")], [find_task("adding/length-50")], [0], hidden=64, device="cpu"
    ).jobs

    assert stack_size(job, 8, "cpu", workers=2) == 1


def test_every_unit_is_in_one_stack_of_its_own_job() -> None:
    found = plan("hyperlstm", "lstm", "lstmn", seeds=5)
    stacks = make_stacks(found.units, most=None, device="cpu", workers=2)
    ids = [unit.unit_id for stack in stacks for unit in stack.units]

    assert sorted(ids) == sorted(unit.unit_id for unit in found.units)
    assert all({unit.job for unit in stack.units} == {stack.job} for stack in stacks)
    assert [len(stack.units) for stack in stacks] == [2, 3, 1, 1, 1, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, [1] * 10), (4, [3, 3, 4]), (5, [5, 5]), (10, [10]), (99, [10])]
)
def test_a_size_that_is_asked_for_is_the_most_and_holds_for_every_cell(most, sizes) -> None:
    stacks = make_stacks(plan("lstm", seeds=10).units, most=most, device="cpu", workers=2)

    assert [len(stack.units) for stack in stacks] == sizes
    assert [unit.seed for stack in stacks for unit in stack.units] == list(range(10))


def test_the_same_units_make_the_same_stacks() -> None:
    once, again = (
        make_stacks(plan("hyperlstm", "lstm").units, most=None, device="cpu", workers=3)
        for _ in range(2)
    )

    assert once == again


def test_a_stack_may_take_as_long_as_its_units_together() -> None:
    (job,) = plan("lstm").jobs
    limited = make_plan(
        [job.spec], [TINY], range(3), hidden=8, device="cpu", time_limit_s=2.0
    ).units

    assert make_stacks(limited, most=3, device="cpu", workers=1)[0].time_limit_s == 6.0
    assert make_stacks(plan("lstm").units, most=3, device="cpu", workers=1)[0].time_limit_s is None


def test_stacking_names_no_unit_anew() -> None:
    units = plan("lstm").units
    stacks = [make_stacks(units, most=most, device="cpu", workers=2) for most in (1, 8)]
    ids = [sorted(u.unit_id for stack in found for u in stack.units) for found in stacks]

    assert ids[0] == ids[1]
