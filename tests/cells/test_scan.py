"""Linear recurrences: every form of them gives what the loop gives."""

import pytest
import torch
from cell_parity import draw
from torch.fx.experimental.proxy_tensor import make_fx

from cellbench.cells import compiled_scan, doubling_scan, host_scan
from cellbench.cells.scan import gated_scan, linear_scan
from cellbench.testing import unchecked_shapes


def loop(a, b, h):
    states = []
    for a_t, b_t in zip(a, b, strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states)


def gated_loop(z, c, h):
    return loop(1 - z, z * c, h)


both = pytest.mark.parametrize(
    ("scan", "slow"), [(linear_scan, loop), (gated_scan, gated_loop)], ids=["linear", "gated"]
)


def case(time: int, *shape: int, dtype=torch.float64):
    """Return a (or z), b (or c), h, and a cotangent."""
    a, b, cotangent = (draw(time, *shape, seed=seed) for seed in range(3))
    tensors = [a.sigmoid(), b, draw(*shape, seed=3), cotangent]
    if dtype.is_complex:
        phases = [draw(*tensor.shape, seed=seed + 4) for seed, tensor in enumerate(tensors)]
        tensors = [torch.polar(t.abs(), phase) for t, phase in zip(tensors, phases, strict=True)]
    return [tensor.to(dtype).requires_grad_() for tensor in tensors]


def results(scan, given, cotangent):
    y = scan(*given)
    return [y, *torch.autograd.grad(y, given, cotangent)]


def assert_same(found, expected) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_three_steps_by_hand() -> None:
    """2 * 1 + 3 = 5,  4 * 5 - 1 = 19,  0 * 19 + 7 = 7."""
    a, b, h = torch.tensor([2.0, 4.0, 0.0]), torch.tensor([3.0, -1.0, 7.0]), torch.tensor(1.0)

    assert linear_scan(a, b, h).tolist() == [5, 19, 7]


def test_three_gated_steps_by_hand() -> None:
    """(1 - 1/4) * 4 + 1/4 * 8 = 5,  (1 - 1) * 5 + 1 * -2 = -2,  (1 - 0) * -2 + 0 * 9 = -2."""
    z, c, h = torch.tensor([0.25, 1.0, 0.0]), torch.tensor([8.0, -2.0, 9.0]), torch.tensor(4.0)

    assert gated_scan(z, c, h).tolist() == [5, -2, -2]


@both
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=["real", "complex"])
@pytest.mark.parametrize("time", [1, 2, 3, 4, 5, 6, 7, 8, 31, 32, 33, 100])
def test_it_is_the_loop_in_values_and_gradients(scan, slow, dtype, time: int) -> None:
    *given, cotangent = case(time, 2, 3, dtype=dtype)

    assert_same(results(scan, given, cotangent), results(slow, given, cotangent))


@both
@pytest.mark.parametrize("form", [host_scan, doubling_scan], ids=["host", "doubling"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=["real", "complex"])
@pytest.mark.parametrize("shape", [(1,), (2, 3), (2, 3, 4), (0, 3)], ids=str)
def test_every_form_is_the_loop_for_every_shape(form, scan, slow, dtype, shape) -> None:
    gated = scan is gated_scan
    *given, cotangent = case(9, *shape, dtype=dtype)
    y, da, db, dh = results(slow, given, cotangent)
    a, b, h = given

    with torch.no_grad():
        assert_same(form.forward(a, b, h, gated=gated), y)
        assert_same(form.backward(a, b if gated else None, y, h, cotangent), (da, db, dh))


@both
def test_a_sequence_of_several_stretches_is_the_loop(scan, slow, monkeypatch) -> None:
    """On the CPU, time is taken in stretches that fit in the cache."""
    monkeypatch.setattr(host_scan, "STRETCH", 6 * 4)
    *given, cotangent = case(11, 2, 3)

    assert_same(results(scan, given, cotangent), results(slow, given, cotangent))


@both
def test_a_state_wider_than_a_stretch_is_the_loop(scan, slow, monkeypatch) -> None:
    monkeypatch.setattr(host_scan, "STRETCH", 4)
    *given, cotangent = case(5, 2, 3)

    assert_same(results(scan, given, cotangent), results(slow, given, cotangent))


@pytest.fixture
def compiler():
    if compiled_scan.library() is None:
        pytest.skip("no compiler")


def host_results(given, dy, *, gated: bool):
    a, b, h = given
    y = host_scan.forward(a, b, h, gated=gated)
    return [y, *host_scan.backward(a, b if gated else None, y, h, dy)]


def numpy_results(given, dy, *, gated: bool):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_scan, "library", lambda: None)
        return host_results(given, dy, gated=gated)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("gated", [False, True], ids=["linear", "gated"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("past_caches", [0, 2**21], ids=["past caches", "through caches"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3, 5), (2, 257), (7, 3, 43), (33, 128), (5, 1)])
def test_the_compiled_form_is_the_numpy_form(monkeypatch, gated, dtype, past_caches, shape) -> None:
    """Odd widths: in pieces of vectors and of blocks, and at places of no round address."""
    monkeypatch.setattr(compiled_scan, "ENOUGH", 0)
    monkeypatch.setattr(compiled_scan, "PAST_CACHES", past_caches)
    monkeypatch.setattr(host_scan, "_recur", None)
    *given, dy = (tensor.detach() for tensor in case(*shape, dtype=dtype))
    found = host_results(given, dy, gated=gated)
    monkeypatch.undo()

    torch.testing.assert_close(found, numpy_results(given, dy, gated=gated))


@pytest.mark.usefixtures("compiler")
@both
def test_the_compiled_form_takes_numbers_from_anywhere_in_memory(scan, slow, monkeypatch) -> None:
    monkeypatch.setattr(compiled_scan, "ENOUGH", 0)
    test_numbers_may_lie_anywhere_in_memory(scan, slow)


@pytest.mark.usefixtures("compiler")
@both
def test_the_compiled_form_leaves_what_it_is_given(scan, slow, monkeypatch) -> None:
    monkeypatch.setattr(compiled_scan, "ENOUGH", 0)
    *given, cotangent = case(9, 2, 3)
    before = [tensor.detach().clone() for tensor in (*given, cotangent)]

    assert_same(results(scan, given, cotangent), results(slow, given, cotangent))
    assert all(map(torch.equal, before, (*given, cotangent)))


@both
def test_without_a_compiler_a_long_sequence_is_the_loop(scan, slow, monkeypatch) -> None:
    monkeypatch.setattr(compiled_scan, "library", lambda: None)
    *given, cotangent = case(9, 2**12)

    assert_same(results(scan, given, cotangent), results(slow, given, cotangent))


def test_a_compiler_that_fails_is_none(monkeypatch) -> None:
    monkeypatch.setattr(compiled_scan, "_SOURCE", "this is no C++")

    assert compiled_scan.library.__wrapped__() is None


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((9, 5), torch.float32), ((9, 2**12), torch.complex64)],
    ids=["short", "complex"],
)
def test_no_compiler_is_asked_for_what_is_not_worth_it(monkeypatch, shape, dtype) -> None:
    monkeypatch.setattr(compiled_scan, "library", lambda: pytest.fail("asked"))
    *given, dy = (torch.ones(size, dtype=dtype) for size in (shape, shape, shape[1:], shape))

    host_results(given, dy, gated=True)


@pytest.mark.parametrize("scan", [linear_scan, gated_scan], ids=["linear", "gated"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=["real", "complex"])
@pytest.mark.parametrize("time", [1, 3, 4])
def test_it_can_be_differentiated_twice(scan, dtype, time: int) -> None:
    *given, _ = case(time, 2, dtype=dtype)

    torch.autograd.gradgradcheck(scan, given)


@both
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=["real", "complex"])
def test_a_gradient_to_be_differentiated_is_the_same_gradient(scan, slow, dtype) -> None:
    *given, cotangent = case(7, 2, 3, dtype=dtype)

    recorded = torch.autograd.grad(scan(*given), given, cotangent, create_graph=True)

    assert_same(recorded, torch.autograd.grad(slow(*given), given, cotangent))


@both
def test_only_what_is_asked_for_is_differentiated(scan, slow) -> None:
    a, b, h, cotangent = case(5, 2)

    for wanted in (a, b, h):
        with_one = [tensor if tensor is wanted else tensor.detach() for tensor in (a, b, h)]
        assert_same(
            torch.autograd.grad(scan(*with_one), wanted, cotangent),
            torch.autograd.grad(slow(*with_one), wanted, cotangent),
        )


@both
def test_numbers_may_lie_anywhere_in_memory(scan, slow) -> None:
    """One a for all of time and batch, as in cells whose decay is a parameter; a b of halves."""
    a = draw(3, seed=0).sigmoid().requires_grad_()
    b = draw(3, 2, 7, 2, seed=1).requires_grad_()
    h = draw(3, 2, seed=2).t().requires_grad_()
    cotangent = draw(1, 1, 3, seed=3).expand(7, 2, 3)

    def laid_out(form):
        y = form(a.expand(7, 2, 3), b[..., 1].permute(2, 1, 0), h)
        return [y, *torch.autograd.grad(y, [a, b, h], cotangent)]

    assert_same(laid_out(scan), laid_out(slow))


def test_a_conjugate_is_not_taken_for_the_number() -> None:
    *given, _ = case(5, 2, dtype=torch.complex128)
    given = [tensor.detach() for tensor in given]

    assert_same(
        linear_scan(*(tensor.conj() for tensor in given)), linear_scan(*given).conj().resolve_conj()
    )
    assert_same(linear_scan(given[0].conj().imag, given[1].imag, given[2].imag),
                loop(-given[0].imag, given[1].imag, given[2].imag))  # fmt: skip


def hard(width: int):
    """Nothing kept, everything kept, signs that change, and gates that are never quite shut."""
    a = draw(4096, 5, width).sigmoid()
    a[::7, 0] = 0
    a[:, 1] = 1
    a[:, 2] *= -1
    a[:, 3] = 1 - a[:, 3] / 1000
    a[:, 4] = 1e-30
    b = (1 - a.abs()) * draw(4096, 5, width, seed=1)
    return a, b, draw(5, width, seed=2), draw(4096, 5, width, seed=3)


@pytest.mark.parametrize("form", [host_scan, doubling_scan], ids=["host", "doubling"])
def test_single_precision_is_enough_over_thousands_of_steps(form) -> None:
    """Also where nothing or everything is kept, which division and logarithms do not bear."""
    a, b, h, dy = (tensor.float() for tensor in hard(6))
    exact = [tensor.double().requires_grad_() for tensor in (a, b, h)]
    expected = [tensor.detach().float() for tensor in results(loop, exact, dy.double())]

    y = form.forward(a, b, h, gated=False)
    found = [y, *form.backward(a, None, y, h, dy)]

    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("form", [host_scan, doubling_scan], ids=["host", "doubling"])
def test_a_gate_that_is_open_forgets_at_once_whatever_was_there(form) -> None:
    """h + z * (c - h), which is one operation less, would lose a c beside an h of 1e8."""
    z, c, h = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 5.0]), torch.tensor(1e8)

    assert form.forward(z, c, h, gated=True).tolist() == [3, 5]


def test_half_precision_is_carried_in_single() -> None:
    """4096 steps of 1/512 add up to 8; in bfloat16 they would stop at 1/2."""
    ones = torch.ones(4096, 1, dtype=torch.bfloat16)

    y = linear_scan(ones, ones / 512, ones[0] * 0)

    assert y.dtype == torch.bfloat16
    assert float(y[-1]) == 8


def test_a_state_of_full_width_meets_gates_of_half() -> None:
    """Which is what autocast makes of a layer's outputs."""
    z, c, h, _ = case(5, 2, dtype=torch.float32)

    y = gated_scan(z.bfloat16(), c.bfloat16(), h)
    y.sum().backward()

    torch.testing.assert_close(y, gated_loop(z, c, h), rtol=0.02, atol=0.02)
    assert z.grad.isfinite().all()


def test_an_infinity_is_a_result_and_no_warning() -> None:
    y = linear_scan(torch.full((200, 1), 10.0), torch.ones(200, 1), torch.zeros(1))

    assert y[30].isfinite()
    assert y[-1].isinf()


@both
def test_a_stack_of_seeds_is_each_of_them(scan, slow) -> None:
    """Under vmap, differentiated from outside, as stacked seeds are; h is shared."""
    *given, cotangent = case(5, 3, 2, 4)
    a, b, h = given
    h = h[0].detach().requires_grad_()
    dims = {"in_dims": (1, 1, None), "out_dims": 1}

    def one_after_the_other(a, b, h):
        return torch.stack([slow(a[:, n], b[:, n], h) for n in range(3)], dim=1)

    assert_same(
        results(torch.vmap(scan, **dims), [a, b, h], cotangent),
        results(one_after_the_other, [a, b, h], cotangent),
    )


@both
def test_a_stack_can_be_differentiated_inside(scan, slow) -> None:
    a, b, h, _ = (tensor.detach() for tensor in case(5, 3, 2))

    def gradients(form):
        def loss(a, b, h):
            return form(a, b, h).sin().sum()

        return torch.vmap(torch.func.grad(loss, argnums=(0, 1, 2)), in_dims=(1, 1, 0))(a, b, h)

    assert_same(gradients(scan), gradients(slow))


@both
def test_a_stack_can_be_pulled_back_without_recording(scan, slow) -> None:
    a, b, h, cotangent = (tensor.detach() for tensor in case(5, 3, 2))

    def pulled_back(form):
        def one(a, b, h, cotangent):
            return torch.func.vjp(form, a, b, h)[1](cotangent)

        return torch.vmap(one, in_dims=(1, 1, 0, 1))(a, b, h, cotangent)

    expected = pulled_back(slow)
    with torch.no_grad():
        assert_same(pulled_back(scan), expected)


@both
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch's, where it traces
def test_it_compiles_in_one_graph(scan, slow) -> None:
    """Without a compiler of C++: what matters here is the graph."""
    *given, cotangent = case(5, 2)
    compiled = torch.compile(lambda *g: scan(*g) * 2, fullgraph=True, backend="aot_eager")

    with unchecked_shapes():
        found = results(compiled, given, cotangent)

    assert_same(found, results(lambda *g: slow(*g) * 2, given, cotangent))


def test_whoever_counts_operations_sees_one_forward_and_one_backward() -> None:
    *given, cotangent = case(50, 2)

    traced = make_fx(lambda *given: results(linear_scan, given, cotangent))(*given)

    called = [str(node.target) for node in traced.graph.nodes if "scan" in str(node.target)]
    assert called == ["cellbench.scan.default", "cellbench.scan_backward.default"]


def test_on_meta_it_has_a_shape() -> None:
    a, b, h, _ = (tensor.detach().to("meta") for tensor in case(5, 2, 3))

    y = linear_scan(a, b, h.requires_grad_())
    (dh,) = torch.autograd.grad(y.sum(), h)

    assert (y.shape, dh.shape, y.device.type) == ((5, 2, 3), (2, 3), "meta")
