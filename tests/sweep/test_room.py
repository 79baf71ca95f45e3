"""Who may take how much of a GPU: without one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from cellbench.catalog import find_task
from cellbench.plugins import parse_cell
from cellbench.record import Failure, Status
from cellbench.sweep import workers
from cellbench.sweep.accounts import CudaAccounts, NoAccounts, accounts_of, free_bytes
from cellbench.sweep.again import otherwise
from cellbench.sweep.plan import Stack, make_plan
from cellbench.sweep.room import CONTEXT_BYTES, GIB, MARGIN, Boundless, Grant, Shared, sharers
from cellbench.sweep.workers import default_workers, room_for

FREE = 100 * GIB
SIZE = 95 * GIB
OOM = Failure(type="OutOfMemoryError", message="no")


def stacks(*cells: str, seeds: int = 1, rates=()) -> list[Stack]:
    """Return a stack of every cell, at every learning rate."""
    specs = [parse_cell(cell) for cell in cells]
    found = make_plan(
        specs, [find_task("copying/tiny")], range(seeds),
        hidden=8, device="cuda", learning_rates=rates,
    )  # fmt: skip
    return [Stack(tuple(u for u in found.units if u.job is job)) for job in found.trained]


def test_without_bounds_everybody_may_have_all() -> None:
    (stack,) = stacks("lstm")
    room = Boundless()

    assert room.ask(stack).is_all
    assert room.ask(stack).is_all


def test_the_first_of_a_job_gets_an_equal_share() -> None:
    room = Shared(FREE, 4)
    grants = [room.ask(stack) for stack in stacks("lstm", "gru", "rnn", "irnn")]

    assert [grant.most_bytes for grant in grants] == [SIZE // 4] * 4
    assert not grants[0].is_all


def test_who_is_alone_may_have_all() -> None:
    (stack,) = stacks("lstm")

    assert Shared(FREE, 1).ask(stack).is_all


def test_what_comes_later_gets_what_one_of_its_job_took() -> None:
    small, big = stacks("lstm", "gru", seeds=2)
    room = Shared(FREE, 2)
    room.ask(small)
    room.end(small, 2 * GIB)

    assert room.ask(small).most_bytes == CONTEXT_BYTES + int(MARGIN * 2 * GIB)
    assert room.ask(big).most_bytes == SIZE // 2


def test_what_one_took_at_another_learning_rate_is_what_it_takes() -> None:
    slow, fast = stacks("lstm", rates=(1e-3, 1e-2))
    room = Shared(FREE, 2)
    room.ask(slow)
    room.end(slow, GIB)

    assert room.ask(fast).most_bytes == CONTEXT_BYTES + int(MARGIN * GIB)


def test_a_bigger_stack_of_the_same_job_gets_more() -> None:
    (stack,) = stacks("lstm", seeds=4)
    one = Stack(stack.units[:1])
    room = Shared(FREE, 2)
    room.ask(one)
    room.end(one, GIB)

    assert room.ask(stack).most_bytes == CONTEXT_BYTES + int(MARGIN * 4 * GIB)


def test_what_does_not_fit_beside_the_others_waits_and_starts_when_they_end() -> None:
    small, big = stacks("lstm", "gru")
    room = Shared(FREE, 2)
    room.ask(big)
    room.end(big, 60 * GIB)
    room.ask(small)

    assert room.ask(big) is None
    room.end(small, None)
    assert room.ask(big).most_bytes == CONTEXT_BYTES + int(MARGIN * 60 * GIB)


def test_what_ran_out_of_its_share_waits_for_all_there_is() -> None:
    small, big = stacks("lstm", "gru")
    room = Shared(FREE, 2)
    room.ask(small)
    room.ask(big)
    room.ran_out(big)
    room.end(big, None)

    assert room.ask(big) is None
    room.end(small, GIB)
    assert room.ask(big).is_all
    assert room.ask(small) is None, "and nobody takes of it meanwhile"


def test_what_needs_more_than_there_is_gets_all() -> None:
    (stack,) = stacks("lstm", seeds=2)
    one = Stack(stack.units[:1])
    room = Shared(FREE, 2)
    room.ask(one)
    room.end(one, 80 * GIB)

    assert room.ask(stack).is_all


@pytest.mark.parametrize(
    ("free", "cpus", "workers"), [(139, 16, 4), (139, 2, 2), (10, 16, 2), (3, 16, 1), (80, 1, 1)]
)
def test_more_workers_share_a_gpu_where_memory_and_cpus_allow(free, cpus, workers) -> None:
    assert sharers(free * GIB, cpus) == workers


def test_how_a_gpu_is_shared_follows_from_what_is_free_on_it(monkeypatch) -> None:
    monkeypatch.setattr(workers, "free_bytes", lambda _: 9 * GIB)
    monkeypatch.setattr(workers, "usable_cpus", lambda: 8)

    assert default_workers("cuda:0") == 2
    assert default_workers("cpu") == 8
    assert isinstance(room_for("cuda:0", 2), Shared)
    assert isinstance(room_for("cuda:0", 1), Boundless), "nothing to share: as without a guard"
    assert isinstance(room_for("cpu", 8), Boundless)


def test_one_seed_that_ran_out_of_all_there_is_has_failed() -> None:
    (stack,) = stacks("lstm")

    assert otherwise(stack, stack.units, Status.OOM, OOM, Grant()) is None


def test_one_that_ran_out_of_its_share_is_tried_with_all_before_it_is_a_failure() -> None:
    (stack,) = stacks("lstm", seeds=3)
    found = otherwise(stack, stack.units[1:], Status.OOM, OOM, Grant(GIB))

    assert found.instead == (Stack(stack.units[1:]),), "still together, with no fall-back to tell"
    assert found.needs_all


@pytest.mark.parametrize(
    ("status", "why", "told"),
    [
        (Status.OOM, OOM, "not stacked: OutOfMemoryError: no"),
        (Status.CRASHED, Failure(type="WorkerDied", message="x"), "not stacked: WorkerDied: x"),
        (Status.TIMEOUT, Failure(type="Hung", message="x"), "not stacked: Hung: x"),
        (Status.CRASHED, Failure(type="StackingError", message="it x"), "not stacked: it x"),
    ],
)
def test_whatever_goes_wrong_with_several_is_tried_alone_and_told(status, why, told) -> None:
    (stack,) = stacks("lstm", seeds=3)
    found = otherwise(stack, stack.units[1:], status, why, Grant())

    assert [s.units for s in found.instead] == [(stack.units[1],), (stack.units[2],)]
    assert {s.fallback for s in found.instead} == {told}
    assert not found.needs_all


def test_what_is_finished_is_not_done_again() -> None:
    (stack,) = stacks("lstm", seeds=3)

    assert otherwise(stack, [], Status.CRASHED, OOM, Grant()) is None


@pytest.fixture
def cuda(monkeypatch):
    """Stand in for torch's allocator on a GPU of 100 GiB."""
    done = SimpleNamespace(shares=[], resets=0, emptied=0)

    def reset(_) -> None:
        done.resets += 1

    def empty() -> None:
        done.emptied += 1

    properties = SimpleNamespace(total_memory=FREE)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "empty_cache", empty)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 5 * GIB)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, _: done.shares.append(share)
    )
    return done


def test_a_worker_is_held_to_its_grant_less_the_context_and_counts_from_there(cuda) -> None:
    books = CudaAccounts(torch.device("cuda:0"))
    books.open(CONTEXT_BYTES + 20 * GIB)
    books.open(None)

    assert cuda.shares == [0.2, 1.0]
    assert cuda.resets == cuda.emptied == 2, "what an earlier stack left is given back"
    assert books.peak_bytes() == 5 * GIB


def test_on_a_cpu_nobody_counts() -> None:
    books = accounts_of(torch.device("cpu"))
    books.open(GIB)

    assert isinstance(books, NoAccounts)
    assert books.peak_bytes() is None


@pytest.mark.usefixtures("cuda")
def test_a_driver_that_does_not_tell_leaves_the_whole_gpu() -> None:
    """There is no such GPU: the driver cannot tell."""
    assert free_bytes("cuda:0") == FREE
