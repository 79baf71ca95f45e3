"""Timing a cell: parity first, nothing of what is not right, and a row for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cellbench.measure.timing import Lap, Stopwatch
from cellbench.plugins import parse_cell
from cellbench.record import Ceilings, Environment, Failure, Speed, Status
from cellbench.sweep.alone import Began, Ended, Known, time_jobs
from cellbench.sweep.machine import Machine
from cellbench.sweep.speed import blank_speed, failed_speed, measure_speed
from cellbench.sweep.speed_jobs import is_timed, make_speed_jobs, timed_before
from cellbench.unroll import Carrier, Way

TOYS = Path(__file__).parent.parent / "toy_cells.py"
WHY = Failure(type="Error", message="for a reason")
CEILINGS = Ceilings(operations_per_s=1e9, bytes_per_s=1e9)


class Steady(Stopwatch):
    """A stopwatch by which every block takes as long as a block should."""

    def __init__(self) -> None:
        self.laps = 0

    def start(self) -> None:
        self.laps += 1

    def stop(self) -> Lap:
        return Lap(0.05)


def jobs_of(*cells: str, unroll=Way.AUTO, **changes):
    expressions = [f"{TOYS}:{cell}" if cell[0].isupper() else cell for cell in cells]
    given = {
        "times": [5], "batches": [3], "hiddens": [4], "device": "cpu", "dtype": "float32",
    } | changes  # fmt: skip
    return make_speed_jobs([parse_cell(e) for e in expressions], unroll=unroll, **given)


def speed_of(cell: str, watch: Stopwatch | None = None, **changes) -> Speed:
    (job,) = jobs_of(cell, **changes)
    blank = blank_speed(job, "env")
    torch.manual_seed(0)
    built = job.spec.build(4, 4).to(dtype=getattr(torch, job.dtype))
    return measure_speed(blank, built, job.carrier, watch or Steady(), ceilings=CEILINGS)


def test_every_kind_of_call_is_timed_and_has_its_work() -> None:
    found = speed_of("lstm")

    assert found.status is Status.OK
    assert (found.unrolled, found.parity_ok) == ("parallel", True)
    assert list(found.costs) == ["train_step", "inference", "streaming", "streaming_batch"]
    assert [(c.timings.time, c.timings.batch) for c in found.costs.values()] == [
        (5, 3), (5, 3), (1, 1), (1, 3),
    ]  # fmt: skip
    assert all(c.timings.call_s == 0.05 for c in found.costs.values())
    assert all(c.unreplayed == "" for c in found.costs.values()), "there is no graph on a CPU"
    work = {name: cost.work for name, cost in found.costs.items()}
    assert work["train_step"].operations > 2.5 * work["inference"].operations
    assert 3 * work["streaming"].operations == work["streaming_batch"].operations
    assert found.ceilings == CEILINGS


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_wrong_fast_form_gets_no_speed_and_no_clock_is_started(dtype) -> None:
    watch = Steady()
    found = speed_of("Disagrees", watch, dtype=dtype)

    assert found.parity_error > 0.01
    assert not found.parity_ok
    assert found.costs == {}
    assert watch.laps == 0
    assert "parallel and stepwise differ by" in found.warnings[0]
    assert "not timed" in found.warnings[0]


def test_the_same_cell_stepwise_has_a_speed() -> None:
    found = speed_of("Disagrees", unroll=Way.STEPWISE)

    assert (found.unrolled, found.parity_error) == ("stepwise", 0)
    assert found.costs


def test_a_speed_of_nan_is_no_speed() -> None:
    found = speed_of("NotANumber")

    assert found.status is Status.DIVERGED
    assert "not finite before timing" in found.error.message
    assert found.costs == {}


@pytest.mark.filterwarnings("ignore")
def test_a_cell_that_touches_precision_is_told_of() -> None:
    try:
        found = speed_of("TouchesPrecision")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.backends.cuda.matmul.allow_tf32 = False

    assert "changed torch's precision flags" in found.warnings[-1]


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_bytes_are_those_of_the_dtype(dtype) -> None:
    single, other = speed_of("lstm"), speed_of("lstm", dtype=dtype)
    factor = {"float64": 2, "bfloat16": 0.5}[dtype]

    assert other.parity_ok
    assert other.inference.work.bytes == factor * single.inference.work.bytes
    assert other.inference.work.operations == single.inference.work.operations


def test_all_cells_at_one_size_come_before_the_next_size_small_ones_first() -> None:
    jobs = jobs_of("lstm", "gru", times=[64, 8], batches=[2], hiddens=[4, 3])

    assert list(map(str, jobs)) == [
        "lstm T=8 B=2 H=3", "gru T=8 B=2 H=3", "lstm T=64 B=2 H=3", "gru T=64 B=2 H=3",
        "lstm T=8 B=2 H=4", "gru T=8 B=2 H=4", "lstm T=64 B=2 H=4", "gru T=64 B=2 H=4",
    ]  # fmt: skip
    assert len({job.speed_id("env") for job in jobs}) == 8


@pytest.mark.parametrize(
    "changes",
    [{"dtype": "float64"}, {"unroll": Way.STEPWISE}, {"device": "cuda"}, {"batches": [4]}],
)
def test_what_changes_a_speed_changes_its_id(changes) -> None:
    (one,), (other,) = jobs_of("lstm"), jobs_of("lstm", **changes)

    assert one.speed_id("env") != other.speed_id("env")
    assert one.speed_id("env") != one.speed_id("another")
    assert one.speed_id("env") == jobs_of("lstm", time_limit_s=3.0)[0].speed_id("env")


def test_a_failure_is_a_result_but_a_longer_time_limit_is_another_chance() -> None:
    (job,) = jobs_of("lstm", time_limit_s=10.0)
    (longer,) = jobs_of("lstm", time_limit_s=20.0)
    crashed = timed_before([failed_speed(job, "env", Status.CRASHED, WHY)])
    late = timed_before([failed_speed(job, "env", Status.TIMEOUT, WHY)])

    assert is_timed(job, "env", crashed)
    assert is_timed(longer, "env", crashed)
    assert is_timed(job, "env", late)
    assert not is_timed(longer, "env", late)
    assert not is_timed(job, "another", crashed)


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine("cpu", 1, tmp_path / "logs")


def time_all(jobs, machine, is_done=lambda *_: False):
    kept = []
    events = list(time_jobs(jobs, machine, "float32", is_done=is_done, keep=kept.append))
    return events, kept


def test_what_kills_its_process_or_hangs_is_a_row_and_the_others_go_on(machine) -> None:
    jobs = jobs_of("Dies", "OutOfMemory", "Plain") + jobs_of("Hangs", time_limit_s=0.5)
    events, kept = time_all(jobs, machine)
    dead, hoarder, plain, hanging = (e.speed for e in events if isinstance(e, Ended))

    assert dead.status is Status.CRASHED
    assert "exit code 9" in dead.error.message
    assert "logs/perf.log" in dead.error.message
    assert hoarder.status is Status.OOM
    assert (plain.status, plain.error) == (Status.OK, None)
    assert plain.ceilings.operations_per_s > 0
    assert len(plain.train_step.timings.blocks_s) >= 5
    assert hanging.status is Status.TIMEOUT
    assert "not timed within 0.5 s; allow more with --time-limit" in hanging.error.message
    envs = {line.digest for line in kept if isinstance(line, Environment)}
    assert {speed.env for speed in (dead, hoarder, plain, hanging)} == envs
    assert [line for line in kept if isinstance(line, Speed)] == [dead, hoarder, plain, hanging]


def test_what_is_done_is_not_done_again(machine) -> None:
    asked = []

    def is_done(_, env):
        asked.append(env)
        return True

    events, kept = time_all(jobs_of("lstm", "gru"), machine, is_done)

    assert [type(event) for event in events] == [Known, Known]
    assert [type(line) for line in kept] == [Environment]
    assert asked == [kept[0].digest] * 2


def test_who_stops_listening_leaves_no_process_behind(machine) -> None:
    events = time_jobs(
        jobs_of("Hangs"), machine, "float32", is_done=lambda *_: False, keep=lambda _: None
    )
    assert isinstance(next(events), Began)
    events.close()

    with pytest.raises(StopIteration):
        next(events)


def test_carriers_are_never_shared_between_jobs() -> None:
    (job,) = jobs_of("lstm")

    assert isinstance(job.carrier, Carrier)
    assert job.carrier is not job.carrier
