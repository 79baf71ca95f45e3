import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from torch import nn

from cellbench.cells.rg_lru import RGLRU, RGLRUState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

TIMES = [1, 2, 7, 64]
FORMS = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
X, H = 3, 4


def written_out(weights, x, state, blocks: int):
    """Write the paper's formulas out again, with whole matrices that are 0 off their blocks."""
    (h,), outputs = state, []
    to_r, to_i = (torch.block_diag(*weights["gates"][gate]) for gate in (0, 1))
    assert to_r.count_nonzero() == H * H // blocks
    b_r, b_i = weights["gate_bias"]
    for x_t in x:
        u = x_t @ weights["enter.weight"].T + weights["enter.bias"]
        r, i = (1 / (1 + torch.exp(-(u @ w.T + b))) for w, b in ((to_r, b_r), (to_i, b_i)))
        a = (1 / (1 + weights["decay"].exp())) ** (8 * r)  # exp(-softplus(d)) = 1 / (1 + e^d)
        h = a * h + (1 - a**2) ** 0.5 * i * u
        outputs.append(h)
    return torch.stack(outputs), (h,)


@FORMS
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_formulas_of_the_paper(*, time: int, blocks: int, parallel: bool) -> None:
    cell = RGLRU(X, H, blocks=blocks).double()
    weights = {
        name: (0.7 * draw(*parameter.shape, seed=3 + n)).requires_grad_()
        for n, (name, parameter) in enumerate(cell.named_parameters())
    }

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, s: written_out(weights, x, s, blocks),
        draw(time, 4, X),
        [draw(4, H, seed=1)],
        weights.values(),
        cell="rg_lru",
        against=FORMULAS,
    )


def one(**values: float) -> RGLRU:
    """Return a cell with one feature and the weights W, b, W_r, W_i, b_r, b_i and decay."""
    cell = RGLRU(1, 1).double()
    nn.init.constant_(cell.enter.weight, values["w"])
    nn.init.constant_(cell.enter.bias, values["b"])
    cell.gates.data = torch.tensor([values["w_r"], values["w_i"]]).double().view(2, 1, 1, 1)
    cell.gate_bias.data = torch.tensor([values["b_r"], values["b_i"]]).double().view(2, 1)
    nn.init.constant_(cell.decay, values["decay"])
    return cell


def after_one(cell: RGLRU, h: float) -> float:
    """Read x = 1 in both forms."""
    start, x = RGLRUState(torch.tensor([[h]]).double()), torch.ones(1, 1, 1).double()
    y, last = stepwise(cell, cell.project(x), start)
    fast, end = unroll(cell, x, start)
    assert y.item() == last.h.item() == pytest.approx(fast.item())
    assert fast.item() == end.h.item()
    return y.item()


def test_one_step_by_hand() -> None:
    """u = 2 * 1 + 2 = 4, r = sigmoid(4 ln 3 - 3 ln 3) = 3/4, i = sigmoid(4 ln 3 - 5 ln 3) = 1/4.

    softplus(decay) = ln(5/3) / 6, so a = exp(-8 * 3/4 * ln(5/3) / 6) = 3/5
    h = 3/5 * 10 + 4/5 * 1/4 * 4 = 34/5
    """
    softplus = math.log(5 / 3) / 6
    weights = {"w": 2, "b": 2, "w_r": LN_3, "b_r": -3 * LN_3, "w_i": LN_3, "b_i": -5 * LN_3}
    cell = one(**weights, decay=math.log(math.expm1(softplus)))

    assert after_one(cell, 10.0) == pytest.approx(34 / 5)


@pytest.mark.parametrize("closed", [{"decay": -800.0, "b_r": 0}, {"decay": 1.0, "b_r": -800.0}])
def test_it_holds_what_it_has_while_it_reads_nothing(closed) -> None:
    """a = 1: the state is left as it is to the last bit, and no gradient is NaN."""
    cell = one(w=3, b=0, w_r=0, w_i=0, b_i=0, **closed)
    start = RGLRUState(torch.tensor([[0.75]]).double())

    y, _ = unroll(cell, torch.ones(50, 1, 1).double(), start)

    assert set(y.flatten().tolist()) == {0.75}
    gradients = torch.autograd.grad(y.sum(), list(cell.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_decay_close_to_one_loses_no_digits() -> None:
    """1 - a^2 = 1 - exp(-1e-9), of which float32 would find nothing but 0: h = sqrt(1e-9)."""
    cell = one(w=1, b=0, w_r=0, b_r=800, w_i=0, b_i=800, decay=math.log(1e-9 / 16)).float()

    y, _ = unroll(cell, torch.ones(1, 1, 1))

    assert y.item() == pytest.approx(math.sqrt(1e-9), rel=1e-5)


@pytest.mark.parametrize(
    ("init", "power", "low", "high"), [("open", 8, 0.9, 0.999), ("released", 2, 0.81, 0.998001)]
)
def test_its_decays_start_evenly_spread(init, power, low, high) -> None:
    torch.manual_seed(0)
    spread = torch.exp(
        -power * nn.functional.softplus(RGLRU(2, 20_000, blocks=2000, init=init).decay)
    )
    found = spread.detach().quantile(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])).tolist()

    right = [low + share * (high - low) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert found == pytest.approx(right, abs=0.003)


def test_its_gates_start_as_released() -> None:
    """LeCun's normal distribution, by the size of a block; no biases."""
    torch.manual_seed(0)
    cell = RGLRU(2, 64, blocks=4)

    assert cell.gates.std().item() == pytest.approx(1 / 4, rel=0.05)
    assert not cell.gate_bias.any()


def test_parameter_count() -> None:
    """W and b; 2 gates with 2 blocks of 4 x 4 and 8 biases; 8 decays."""
    assert parameter_count(RGLRU(7, 8, blocks=2)) == 8 * 7 + 8 + 2 * (2 * 16 + 8) + 8


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"blocks": 3}, "blocks must divide hidden_size: 4 is no multiple of 3"),
        ({"blocks": 0}, "blocks must be a whole number of at least 1"),
        ({"init": "published"}, "init must be one of released, open"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option, said) -> None:
    with pytest.raises(OptionError, match=said):
        RGLRU(3, 4, **option)
