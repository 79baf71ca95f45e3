"""HyperLSTM, a step at a time, against the one of labml-nn."""

from __future__ import annotations

import pytest
import torch
from interleaved import race, save

from cellbench.cells.hyperlstm import HyperLSTM
from cellbench.unroll import stepwise

T, B, H, HYPER, Z = 100, 32, 64, 32, 4


@pytest.mark.parametrize("threads", [1, 2])
def test_hyperlstm_stepwise_against_labml(benchmark, threads) -> None:
    labml = pytest.importorskip("labml_nn.hypernetworks.hyper_lstm", reason="tests/parity.txt")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    ours, theirs = (
        HyperLSTM(H, H, hyper_size=HYPER, embedding_size=Z),
        labml.HyperLSTM(H, H, HYPER, Z, 1),
    )
    x = torch.randn(T, B, H)

    def run_ours() -> None:
        ours.zero_grad()
        y, _ = stepwise(ours, ours.project(x), ours.initial_state(B))
        y.square().mean().backward()

    def run_theirs() -> None:
        theirs.zero_grad()
        y, _ = theirs(x)
        y.square().mean().backward()

    ratio = benchmark.pedantic(lambda: race(run_ours, run_theirs, rounds=25), rounds=1)
    print(f"\nlabml-nn / ours, HyperLSTM forward and backward, {threads} threads: {ratio}")
    benchmark.extra_info["ratio"] = str(ratio)
    save(f"hyperlstm-{threads}-threads", "at least 1.8", ratio, predicted=1.9)
