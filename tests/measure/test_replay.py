"""Replaying a call: with a stand-in for the device, and on CUDA where there is one."""

from __future__ import annotations

import pytest
import torch
from test_timing import Ticking

from cellbench.measure.replay import Call, CudaRecorder, Recorder, launch_bound, with_replay
from cellbench.measure.timing import stopwatch
from cellbench.record import Timings

TIMINGS = Timings(
    blocks_s=(0.4, 0.4, 0.4), calls_per_block=4, batch=1, time=1, first_call_s=1.0
)  # fmt: skip


class Pretending(Recorder):
    """Replays by calling again."""

    def record(self, call: Call) -> Call:
        call()
        return call


class Refusing(Recorder):
    """Cannot record, as a graph that would have to wait for the device."""

    def record(self, call: Call) -> Call:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")


def test_the_replayed_call_gets_as_many_blocks_of_as_many_calls() -> None:
    watch = Ticking(0.001)
    drawn: list[int] = []
    found, why = with_replay(
        TIMINGS, watch.work, Pretending(), watch, refresh=lambda: drawn.append(watch.calls)
    )

    assert why == ""
    assert found.replay_blocks_s == pytest.approx([0.004] * 3)
    assert found.replay_call_s == pytest.approx(0.001)
    assert found.blocks_s == TIMINGS.blocks_s
    assert drawn == [2, 6, 10], "new inputs before each block"


def test_it_is_timed_by_the_devices_own_clock() -> None:
    watch = Ticking(0.001, device=True)
    found, _ = with_replay(TIMINGS, watch.work, Pretending(), watch)

    assert found.replay_call_s == pytest.approx(0.0005)


def test_what_cannot_be_recorded_has_a_reason_and_keeps_its_times() -> None:
    watch = Ticking(0.001)
    found, why = with_replay(TIMINGS, watch.work, Refusing(), watch)

    assert found == TIMINGS
    assert why == "RuntimeError: operation not permitted when stream is capturing"


def test_the_reason_is_what_went_wrong_first() -> None:
    class Twice(Recorder):
        """Fails, and fails again when it ends the recording."""

        def record(self, call: Call) -> Call:
            try:
                return call()
            finally:
                raise RuntimeError("the graph is empty")

    def waits() -> None:
        raise RuntimeError("may not wait")

    watch = Ticking(0.001)

    assert with_replay(TIMINGS, waits, Twice(), watch) == (TIMINGS, "RuntimeError: may not wait")


@pytest.mark.parametrize(
    ("device_s", "replay_s", "ratio"),
    [
        ((), (), None),  # a CPU
        ((0.39,), (), None),
        ((0.39,), (0.1,), 4.0),  # between events lies the waiting: only the replay shows it
        ((0.2,), (0.3,), 2.0),
        ((0.39,), (0.3,), None),
    ],
)
def test_waiting_for_launches_is_seen(device_s, replay_s, ratio) -> None:
    timings = Timings(
        blocks_s=(0.4,), device_blocks_s=device_s, replay_blocks_s=replay_s,
        calls_per_block=4, batch=1, time=1, first_call_s=1.0,
    )  # fmt: skip

    assert launch_bound(timings) == (None if ratio is None else pytest.approx(ratio))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_cuda_graph_reads_new_inputs_and_does_the_same() -> None:
    device = torch.device("cuda")
    x = torch.randn(64, 64, device=device, requires_grad=True)

    def call() -> torch.Tensor:
        return torch.autograd.grad((x @ x).sum(), x)[0]

    replay = CudaRecorder(device).record(call)
    for _ in range(3):
        x.detach().normal_()
        torch.testing.assert_close(replay(), call())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_call_that_reads_the_device_is_not_recorded_and_harms_nothing() -> None:
    device = torch.device("cuda")
    x = torch.randn(64, device=device)
    watch = stopwatch(device)
    found, why = with_replay(TIMINGS, lambda: x.sum().item(), CudaRecorder(device), watch)

    assert found == TIMINGS
    assert "captur" in why
    assert torch.isfinite(x + 1).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_many_small_kernels_are_launch_bound_and_one_large_one_is_not() -> None:
    from cellbench.measure.timing import time_blocks  # noqa: PLC0415 -- on CUDA only

    device = torch.device("cuda")
    watch, recorder = stopwatch(device), CudaRecorder(device)
    small = torch.randn(8, 8, device=device)
    large = torch.randn(4096, 4096, device=device)

    def many() -> None:
        for _ in range(100):
            small.tanh()

    def one() -> torch.Tensor:
        return large @ large

    found = {}
    for call in (many, one):
        timings = time_blocks(call, watch, batch=1, time=1, budget_s=0.2)
        found[call.__name__], why = with_replay(timings, call, recorder, watch)
        assert why == ""
    assert launch_bound(found["many"])
    assert not launch_bound(found["one"])
