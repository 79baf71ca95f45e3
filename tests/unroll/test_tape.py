"""What is noted of a compiled step does again what the step did."""

from __future__ import annotations

import pytest
import torch

from cellbench.cells import CELLS
from cellbench.unroll import player, tape
from cellbench.unroll.compiled import Program
from cellbench.unroll.player import KernelCall, NotPlayableError, player_of
from cellbench.unroll.tape import Recordable


def product(name: str, *arguments, out, **options) -> KernelCall:
    return KernelCall(name, getattr(torch, name), arguments, {**options, "out": out})


def played(call: KernelCall) -> torch.Tensor:
    """Return what C makes of a call."""
    out = call.options["out"]
    found = []
    for fixed in ([], list(call.arguments)):
        out.fill_(float("nan"))
        player_of([call], fixed)()
        found.append(out.clone())
    torch.testing.assert_close(*found)
    return found[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("sizes", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1)])
def test_products_of_any_layout(dtype, turned, sizes) -> None:
    m, k, n = sizes
    left = torch.randn(k, m, dtype=dtype).T if turned[0] else torch.randn(m, k, dtype=dtype)
    right = torch.randn(n, k, dtype=dtype).T if turned[1] else torch.randn(k, n, dtype=dtype)
    out = torch.empty(m, n, dtype=dtype)

    torch.testing.assert_close(played(product("mm", left, right, out=out)), left @ right)
    for bias in (torch.randn(n, dtype=dtype), torch.randn(m, n, dtype=dtype)):
        found = played(product("addmm", bias, left, right, out=out, alpha=1, beta=1))
        torch.testing.assert_close(found, bias + left @ right)


def test_products_of_parts_of_bigger_matrices() -> None:
    left, right, out = torch.randn(4, 9)[:, 2:5], torch.randn(3, 8)[:, 1:7], torch.zeros(4, 10)

    torch.testing.assert_close(played(product("mm", left, right, out=out[:, 2:8])), left @ right)
    assert (out[:, :2] == 0).all()
    assert (out[:, 8:] == 0).all()


def test_products_of_batches() -> None:
    left, right = torch.randn(5, 2, 3), torch.randn(5, 4, 3).mT
    out, bias = torch.empty(5, 2, 4), torch.randn(5, 1, 4)

    torch.testing.assert_close(played(product("bmm", left, right, out=out)), left @ right)
    found = played(product("baddbmm", bias, left, right, out=out, alpha=1, beta=1))
    torch.testing.assert_close(found, bias + left @ right)


@pytest.mark.parametrize(
    "call",
    [
        product("addmm", torch.ones(2), torch.eye(2), torch.eye(2), out=torch.eye(2), alpha=2),
        product("mm", torch.eye(2).half(), torch.eye(2).half(), out=torch.eye(2).half()),
        product("mm", torch.ones(4, 4)[::2, ::2], torch.eye(2), out=torch.eye(2)),
        product("mm", torch.eye(2), torch.eye(2), out=torch.empty(2, 2).T),
        product("dot", torch.ones(2), torch.ones(2), out=torch.empty(())),
        KernelCall("", print, (1,), {}),
    ],
)
def test_what_c_does_not_know_is_refused(call) -> None:
    with pytest.raises(NotPlayableError):
        player_of([call])


def lstm(compiler=None):
    torch.manual_seed(0)
    cell = CELLS["ln_lstm"](3, 4)
    program = Program(cell, cell.project(torch.zeros(1, 2, 3)), cell.initial_state(2))
    program.compile(compiler)
    return cell, program


def gradients(cell, program, x):
    y, last = program(cell, cell.project(x), cell.initial_state(2))
    loss = y.square().sum() + last[1].sum()
    return [y, *torch.autograd.grad(loss, list(cell.parameters()))]


@pytest.mark.parametrize("in_c", [True, False])
def test_a_second_sequence_on_the_same_tape_is_right(in_c, monkeypatch) -> None:
    if not in_c:
        refuse = NotPlayableError("a test")
        monkeypatch.setattr(tape, "player_of", lambda *_: (_ for _ in ()).throw(refuse))
    cell, program = lstm()
    right_cell, right = lstm(lambda graph: lambda values: graph(*values))
    assert isinstance(program.core.forward_step, Recordable)
    assert isinstance(program.core.backward_step, Recordable)
    for seed in range(3):
        x = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(seed))
        found = gradients(cell, program, x)
        torch.testing.assert_close(found, gradients(right_cell, right, x), rtol=1e-4, atol=1e-5)


def test_code_with_a_statement_nobody_knows_is_not_recorded() -> None:
    class Compiled:
        def current_callable(self, args):
            (x,) = args
            args.clear()
            return torch.ops.aten.sort.default(x)

    assert tape.recordable(Compiled()) is None
    assert tape.recordable(object()) is None


def test_steps_share_the_memory_that_no_step_returns() -> None:
    made = []
    memory = tape.Memory(lambda *_: made.append(torch.empty(2)) or made[-1])
    for _ in range(3):
        memory.from_the_start()
        assert memory() is not memory()

    assert len(made) == 2


def test_the_player_is_compiled_once() -> None:
    assert player.library() is player.library()
