"""Linear recurrences for all of time at once: against a step at a time, and against others."""

from __future__ import annotations

import pytest
import torch
from interleaved import race, save

from cellbench.cells.matrix_scan import gated_linear_attention
from cellbench.cells.min_gru import MinGRU
from cellbench.cells.scan import linear_scan
from cellbench.unroll import stepwise

T = 1024
SIZES = {(16, 64): "small", (32, 128): "large"}


def forward_and_backward(form, given, cotangent) -> None:
    """Do what training does with a form, but for a loss, which costs both sides alike.

    Several times, as in training, where a form finds memory as it left it itself.
    """
    for _ in range(3):
        y, _ = form(*given)
        torch.autograd.grad(y, [tensor for tensor in given if tensor.requires_grad], cotangent)


@pytest.mark.parametrize(
    ("batch", "hidden", "predicted"), [(16, 64, 11.0), (32, 128, 9.0)], ids=SIZES.values()
)
def test_min_gru_parallel_against_stepwise(benchmark, batch, hidden, predicted) -> None:
    """The form alone, from what `project` made; and the cell, whose matrix products both do."""
    torch.manual_seed(0)
    cell = MinGRU(hidden, hidden)
    state = cell.initial_state(batch)
    x, cotangent = torch.randn(2, T, batch, hidden)
    with torch.no_grad():
        z, c = cell.project(x)
    made = [z.requires_grad_(), c.requires_grad_()]

    def parallel(*p):
        return cell.parallel(p, state)

    def one_by_one(*p):
        return stepwise(cell, p, state)

    def whole(form):
        return lambda *_: form(*cell.project(x))

    ratio = benchmark.pedantic(
        lambda: race(
            lambda: forward_and_backward(parallel, made, cotangent),
            lambda: forward_and_backward(one_by_one, made, cotangent),
            rounds=15,
        ),
        rounds=1,
    )
    weights = list(cell.parameters())
    cell_ratio = race(
        lambda: forward_and_backward(whole(parallel), weights, cotangent),
        lambda: forward_and_backward(whole(one_by_one), weights, cotangent),
        rounds=15,
    )
    print(f"\nstepwise / parallel, min_gru, T={T}, B={batch}, H={hidden}: {ratio}")
    print(f"the same with its projection: {cell_ratio}")
    benchmark.extra_info["ratio"] = str(ratio)
    save(
        f"min-gru-parallel-{SIZES[batch, hidden]}",
        "at least 10",
        ratio,
        with_projection=cell_ratio.median,
        with_projection_interval_95=cell_ratio.interval,
        predicted=predicted,
    )


@pytest.mark.parametrize(
    ("batch", "hidden", "predicted"), [(16, 64, 8.0), (32, 128, 9.0)], ids=SIZES.values()
)
def test_min_gru_against_another_project(benchmark, batch, hidden, predicted) -> None:
    other = pytest.importorskip("minGRU_pytorch", reason="tests/parity.txt")
    torch.manual_seed(0)
    ours, theirs = MinGRU(hidden, hidden, candidate="positive"), other.minGRU(hidden)
    x, cotangent = torch.randn(2, T, batch, hidden)
    batch_first, cotangent_first = (t.transpose(0, 1).contiguous() for t in (x, cotangent))

    def our_run(*_):
        return ours.parallel(ours.project(x), ours.initial_state(batch))

    def their_run(*_):
        return theirs(batch_first), None

    ratio = benchmark.pedantic(
        lambda: race(
            lambda: forward_and_backward(our_run, list(ours.parameters()), cotangent),
            lambda: forward_and_backward(their_run, list(theirs.parameters()), cotangent_first),
            rounds=15,
        ),
        rounds=1,
    )
    print(f"\nminGRU-pytorch / ours, T={T}, B={batch}, H={hidden}: {ratio}")
    benchmark.extra_info["ratio"] = str(ratio)
    name = f"min-gru-against-another-{SIZES[batch, hidden]}"
    save(name, "at least 1", ratio, predicted=predicted)


@pytest.mark.parametrize(("gates", "predicted"), [(1, 20.0), (32, 9.0)], ids=["one", "each"])
def test_matrix_recurrence_in_chunks_against_its_loop(benchmark, gates, predicted) -> None:
    torch.manual_seed(0)
    batch, width = 16, 32
    q, k, v, cotangent = torch.randn(4, T, batch, width)
    log_decay, state = torch.rand(T, batch, gates).log(), torch.zeros(batch, width, width)
    given = [tensor.requires_grad_() for tensor in (q, k, v, log_decay)]

    def loop(q, k, v, log_decay):
        last, outputs = state, []
        for q_t, k_t, v_t, kept in zip(q, k, v, log_decay.exp().unsqueeze(-1), strict=True):
            last = kept * last + k_t.unsqueeze(-1) * v_t.unsqueeze(-2)
            outputs.append((q_t.unsqueeze(-2) @ last).squeeze(-2))
        return torch.stack(outputs), last

    def chunks(*given):
        return gated_linear_attention(*given, state)

    ratio = benchmark.pedantic(
        lambda: race(
            lambda: forward_and_backward(chunks, given, cotangent),
            lambda: forward_and_backward(loop, given, cotangent),
            rounds=9,
        ),
        rounds=1,
    )
    print(f"\nloop / chunks, T={T}, B={batch}, {width} x {width}, {gates} decays: {ratio}")
    benchmark.extra_info["ratio"] = str(ratio)
    save(f"matrix-scan-{gates}-decays", "at least 10", ratio, predicted=predicted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_bandwidth_on_a_gpu(benchmark) -> None:
    """A scan reads two tensors and writes one; a copy reads one and writes one."""
    a, b = torch.rand(2, 4096, 16, 1024, device="cuda")
    h, y = torch.zeros(16, 1024, device="cuda"), torch.empty_like(b)

    def often(call):
        def calls() -> None:
            for _ in range(20):
                call()
            torch.cuda.synchronize()

        return calls

    ratio = benchmark.pedantic(
        lambda: race(often(lambda: linear_scan(a, b, h)), often(lambda: y.copy_(b)), rounds=25),
        rounds=1,
    )
    share = 3 / 2 * ratio.median
    print(f"\nbandwidth of a scan / of a copy, T=4096, B=16, H=1024: {share:.3f}")
    benchmark.extra_info["share"] = share
    save(
        "scan-bandwidth",
        "a share of at least 0.6",
        ratio,
        share=share,
        device=torch.cuda.get_device_name(),
        predicted_share=0.65,
    )
