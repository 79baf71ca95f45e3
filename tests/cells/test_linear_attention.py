import pytest
import torch
from cell_parity import FORMULAS, assert_same, draw, foreign, parameter_count, with_weights
from torch import Tensor, nn

from cellbench.cells.linear_attention import LinearAttention, LinearAttentionState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

each_form = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])


def random_weights(cell: LinearAttention) -> dict[str, Tensor]:
    return {
        name: draw(*weight.shape, seed=10 + n).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }


def warm(size: int, heads: int = 2, batch: int = 3) -> list[Tensor]:
    """S, and a z that is positive: weights that cancel would make every error large."""
    return [draw(batch, heads, size, size, seed=1), 1 + draw(batch, heads, size, seed=2).exp()]


def phi(v: Tensor) -> Tensor:
    return torch.where(v > 0, v + 1, v.exp())


def written_out(weights, x, state, heads: int, eps: float):
    """Write the paper's formula out again: as a sum over all earlier steps."""
    s, z = state
    parts = x @ weights["weight_x"].t() + weights["bias"]
    q, k, v = (torch.stack(part.chunk(heads, dim=-1)) for part in parts.chunk(3, dim=-1))
    q, k = phi(q), phi(k)  # [head, time, batch, d]
    outputs = []
    for t in range(len(x)):
        top = torch.einsum("nbk,bnkv->nbv", q[:, t], s)
        bottom = torch.einsum("nbk,bnk->nb", q[:, t], z)
        for j in range(t + 1):
            weight = (q[:, t] * k[:, j]).sum(-1)
            top, bottom = top + weight.unsqueeze(-1) * v[:, j], bottom + weight
        read = torch.cat(list(top / (bottom + eps).unsqueeze(-1)), dim=-1)
        outputs.append(read @ weights["output.weight"].t() + weights["output.bias"])
    s = s + torch.einsum("ntbk,ntbv->bnkv", k, v)
    return torch.stack(outputs), (s, z + torch.einsum("ntbk->bnk", k))


@each_form
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(*, time: int, heads: int, parallel: bool) -> None:
    cell = LinearAttention(3, 6, heads=heads, eps=1e-2).double()
    weights = random_weights(cell)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, heads, 1e-2),
        draw(time, 3, 3),
        warm(6 // heads, heads),
        weights.values(),
        cell="linear_attention",
        against=FORMULAS,
    )


@each_form
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_fla(*, time: int, parallel: bool) -> None:
    """Its feature map is the identity, so it is given phi; q is scaled, which cancels."""
    naive = foreign("fla.ops.linear_attn.naive")
    cell = LinearAttention(3, 6).double()
    weights = random_weights(cell)

    def theirs(x, state):
        parts = nn.functional.linear(x, weights["weight_x"], weights["bias"]).transpose(0, 1)
        q, k, v = (part.unflatten(-1, (2, 3)) for part in parts.chunk(3, dim=-1))
        s, z = (part.float() for part in state)
        o, (s, z) = naive.naive_recurrent_linear_attn(
            nn.functional.elu(q) + 1,
            nn.functional.elu(k) + 1,
            v,
            initial_state=(s, z.unsqueeze(1)),
            output_final_state=True,
            normalize=True,
        )
        y = nn.functional.linear(
            o.flatten(-2).transpose(0, 1), weights["output.weight"], weights["output.bias"]
        )
        return y, (s.double(), z.squeeze(1).double())

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        theirs,
        draw(time, 3, 3),
        warm(3),
        weights.values(),
        cell="linear_attention",
        against="fla-core: ops.linear_attn.naive",
        tolerance=1e-5,  # it computes in float32
    )


@each_form
def test_two_steps_by_hand(*, parallel: bool) -> None:
    """One head of one feature; x = 1, then -1; S_0 = 4, z_0 = 1, eps = 1.

    q = 2 x, k = x + 1, v = 3 x - 1, y = 2 o + 1

    x =  1: phi(q) = 3, phi(k) = 3, v = 2:    S = 10,  z = 4;  o = 30 / (12 + 1), y = 73/13
    x = -1: phi(q) = e^-2, phi(k) = 1, v = -4: S = 6,  z = 5;  o = 6 / (5 + e^2)
    """
    cell = LinearAttention(1, 1, heads=1, eps=1.0).double()
    for name, value in {
        "weight_x": [2, 1, 3],
        "bias": [0, 1, -1],
        "output.weight": [2],
        "output.bias": [1],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().view(parameter.shape)
    start = LinearAttentionState(
        torch.tensor([[[[4.0]]]]).double(), torch.tensor([[[1.0]]]).double()
    )
    p = cell.project(torch.tensor([1.0, -1.0]).double().view(2, 1, 1))

    y, last = cell.parallel(p, start) if parallel else stepwise(cell, p, start)

    expected = [73 / 13, 2 * 6 / (5 + 7.38905609893065) + 1]
    torch.testing.assert_close(y.flatten().tolist(), expected)
    assert (last.s.item(), last.z.item()) == pytest.approx((6, 5))


def test_of_equal_values_it_reads_that_value() -> None:
    """The weights of a head are positive and sum to 1, but for eps."""
    torch.manual_seed(0)
    cell = LinearAttention(3, 8, eps=1e-12).double()
    nn.init.zeros_(cell.weight_x[16:])
    cell.bias.data[16:] = torch.arange(8.0)
    expected = cell.output(torch.arange(8.0).double()).expand(9, 2, 8)

    torch.testing.assert_close(unroll(cell, draw(9, 2, 3))[0], expected)


def test_the_order_of_the_past_makes_no_difference() -> None:
    torch.manual_seed(0)
    cell = LinearAttention(3, 8).double()
    x = draw(6, 2, 3)

    torch.testing.assert_close(unroll(cell, x)[0][-1], unroll(cell, x[[3, 1, 2, 0, 4, 5]])[0][-1])


def test_what_is_far_below_0_makes_no_nan() -> None:
    """phi is then 0, to rounding, and so is the sum of the weights; hence eps."""
    cell = LinearAttention(3, 4)
    x = -1e4 * torch.ones(3, 2, 3)
    cell.weight_x.data[:8] = 1.0
    y, _ = unroll(cell, x)
    y.sum().backward()

    assert y.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())


def test_it_starts_as_documented() -> None:
    """Glorot: U(-a, a), where a^2 = 6 / (columns + rows), block by block; nothing is read yet."""
    cell = LinearAttention(30, 50)
    for weight in (*cell.weight_x.chunk(3), cell.output.weight):
        bound = (6 / sum(weight.shape)) ** 0.5
        assert weight.abs().max().item() == pytest.approx(bound, rel=0.05)
        assert weight.abs().max().item() <= bound

    assert not cell.bias.any()
    assert not cell.output.bias.any()
    assert [part.shape for part in cell.initial_state(2)] == [(2, 2, 25, 25), (2, 2, 25)]
    assert not any(part.any() for part in cell.initial_state(2))


def test_parameter_count() -> None:
    x, h = 7, 10

    assert parameter_count(LinearAttention(x, h)) == 3 * h * x + 3 * h + h * h + h


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"heads": 3}, "heads must divide hidden_size: 8 is no multiple of 3"),
        ({"heads": 0}, "heads must be a whole number of at least 1"),
        ({"eps": 0.0}, "eps must be a number of at least 1e-12"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(wrong, said) -> None:
    with pytest.raises(OptionError, match=said):
        LinearAttention(3, 8, **wrong)
