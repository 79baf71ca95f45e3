"""What a stack comes to, whatever its worker does: real processes that play their parts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import scripted

from cellbench.catalog import find_task
from cellbench.plugins import parse_cell
from cellbench.record import Status, Trial
from cellbench.sweep import local, process
from cellbench.sweep.events import Finished, Looked, Returned, Started
from cellbench.sweep.local import train_stacks
from cellbench.sweep.machine import Machine
from cellbench.sweep.plan import Stack, make_plan
from cellbench.sweep.process import Worker, patience_s
from cellbench.sweep.room import GIB, Shared
from cellbench.unroll import Carrier, Way


def units(seeds: int = 3, **changes):
    given = {"hidden": 8, "device": "cpu", "carrier": Carrier(Way.STEPWISE)} | changes
    return make_plan([parse_cell("lstm")], [find_task("copying/tiny")], range(seeds), **given).units


@pytest.fixture
def play(tmp_path):
    def run(stacks, target, *, jobs: int = 1, device: str = "cpu", **given):
        kept = []
        machine = Machine(device, 1, Path(tmp_path) / "logs")
        hire = partial(Worker, target=target)
        events = train_stacks(stacks, machine, jobs=jobs, keep=kept.append, hire=hire, **given)
        return list(events), {line.seed: line for line in kept if isinstance(line, Trial)}

    return run


def kinds(events) -> list[type]:
    return [type(event) for event in events]


def test_a_stack_is_started_once_and_its_units_end_one_by_one(play) -> None:
    stack = Stack(units(3))
    events, kept = play([stack], scripted.trains_well)

    assert kinds(events) == [Started, *[Looked, Finished] * 3]
    assert events[0].work is stack
    assert [event.work.seed for event in events[1:]] == [0, 0, 1, 1, 2, 2]
    assert {trial.stacked for trial in kept.values()} == {3}


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (scripted.dies_after_the_first_of_a_stack, "not stacked: WorkerDied: the worker process"),
        (scripted.forgets_the_last, "not stacked: Unfinished"),
    ],
)
def test_what_ended_is_kept_and_the_others_go_on_alone(play, target, told) -> None:
    events, kept = play([Stack(units(2))], target)
    (back,) = (event for event in events if isinstance(event, Returned))

    assert kept[0].status is Status.OK
    assert kept[0].fallback == ""
    assert [stack.units[0].seed for stack in back.instead] == [1]
    assert back.instead[0].fallback.startswith(told)
    assert kept[1].fallback.startswith(told)
    assert [e.record.seed for e in events if isinstance(e, Finished)] == [0, 1], "each once"


def test_a_unit_that_a_worker_forgets_even_alone_is_a_failure(play) -> None:
    _, kept = play([Stack(units(1))], scripted.forgets_the_last)

    assert kept[0].status is Status.CRASHED
    assert "without a result" in kept[0].error.message


def test_a_stack_that_hangs_is_ended_and_tried_alone(play, monkeypatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 2.0)
    monkeypatch.setattr(local, "POLL_S", 0.1)
    events, kept = play(
        [Stack(units(2, time_limit_s=0.1))], scripted.hangs_after_the_first_of_a_stack
    )

    assert kinds(events) == [Started, Finished, Returned, Started, Finished]
    assert kept[1].fallback.startswith("not stacked: Hung")


def test_what_comes_back_is_next(play) -> None:
    first, other = Stack(units(2)), Stack(units(1, hidden=9))
    events, _ = play([first, other], scripted.dies_after_the_first_of_a_stack)
    started = [event.work for event in events if isinstance(event, Started)]

    assert [stack.units[0] for stack in started] == [
        first.units[0], first.units[1], other.units[0],
    ]  # fmt: skip


def test_what_has_no_room_in_its_share_gets_all_when_the_others_are_done(play) -> None:
    stack = Stack(units(3))
    room = Shared(100 * GIB, 2)
    events, kept = play([stack], scripted.has_room_for_the_first_of_a_share, room=room)

    assert kinds(events) == [Started, Finished, Returned, Started, Finished, Finished]
    assert kept[0].run_id == str(int(0.95 * 100 * GIB) // 2)
    assert kept[1].run_id == kept[2].run_id == "all"
    assert kept[1].stacked == 2, "the others together, as before"
    assert kept[1].fallback == "", "memory that others held is no property of the cell"


def test_what_has_no_room_in_all_there_is_goes_alone_and_then_fails(play) -> None:
    room = Shared(100 * GIB, 2)
    events, kept = play([Stack(units(2))], scripted.never_has_room, room=room)

    assert {trial.status for trial in kept.values()} == {Status.OOM}
    assert kept[0].fallback == "not stacked: OutOfMemoryError: no room"
    assert kinds(events).count(Returned) == 2, "from its share to all, and from two to one"


def test_two_that_need_all_take_turns(play) -> None:
    stacks = [Stack((unit,)) for unit in units(4)]
    room = Shared(100 * GIB, 4)
    _, kept = play(stacks, scripted.has_room_for_all_alone, jobs=4, room=room)

    assert {trial.run_id for trial in kept.values()} == {"all"}
    assert len(kept) == 4


def test_on_a_gpu_a_crash_ends_the_process_since_cuda_may_be_of_no_more_use(play) -> None:
    stacks = [Stack((unit,)) for unit in units(2)]
    on_gpu = play(stacks, scripted.crashes_every_trial, device="cuda:0")[1]
    on_cpu = play(stacks, scripted.crashes_every_trial)[1]

    assert on_gpu[0].error.message != on_gpu[1].error.message, "two processes"
    assert on_cpu[0].error.message == on_cpu[1].error.message


def test_patience_grows_with_the_stack_and_with_what_may_have_to_be_compiled() -> None:
    alone, three = Stack(units(1, time_limit_s=10.0)), Stack(units(3, time_limit_s=10.0))
    compiling = Stack(units(1, time_limit_s=10.0, carrier=Carrier(Way.AUTO)))

    assert patience_s(alone) == 10.0 + process.GRACE_S
    assert patience_s(three) == 30.0 + process.GRACE_S
    assert patience_s(compiling) == 10.0 + process.GRACE_S + process.COMPILING_S
    assert patience_s(Stack(units(3))) == float("inf")
    assert patience_s(three.job) == process.MEASURING_LIMIT_S + process.GRACE_S


def test_an_interrupt_while_a_record_is_kept_does_not_make_two_of_it(tmp_path) -> None:
    """Held back until the record is whole, Ctrl-C comes out of `keep` itself."""
    kept = []

    def keep(line) -> None:
        kept.append(line)
        if isinstance(line, Trial) and len(kept) == 2:  # after the environment
            raise KeyboardInterrupt

    machine = Machine("cpu", 1, Path(tmp_path) / "logs")
    hire = partial(Worker, target=scripted.trains_well)
    stacks = [Stack(units(1))]
    with pytest.raises(KeyboardInterrupt):
        list(train_stacks(stacks, machine, jobs=1, keep=keep, hire=hire))

    assert [line.status for line in kept if isinstance(line, Trial)] == [Status.OK]
