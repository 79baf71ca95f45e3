import math

import pytest
import torch
from cell_parity import FORMULAS, assert_same, draw, foreign, parameter_count, with_weights

from cellbench.cells.diagonal import DiagonalState
from cellbench.cells.lru import LRU
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

TIMES = [1, 2, 7, 64]
FORMS = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
X, H, N = 3, 5, 4


def drawn() -> tuple[LRU, dict[str, torch.Tensor]]:
    cell = LRU(X, H, state_size=N).double()
    return cell, {
        name: (0.7 * draw(*parameter.shape, seed=3 + n)).requires_grad_()
        for n, (name, parameter) in enumerate(cell.named_parameters())
    }


def state() -> list[torch.Tensor]:
    return [draw(4, N, seed=1), draw(4, N, seed=2)]


def written_out(weights, x, state):
    """Write the paper's formulas out again, in complex numbers and with a full matrix."""
    turning = torch.exp(torch.complex(-weights["nu"].exp(), weights["theta"].exp()))
    b = torch.complex(weights["b"][:N], weights["b"][N:])
    c = torch.complex(weights["c"][:, :N], weights["c"][:, N:])
    s, outputs = torch.complex(*state), []
    for x_t in x:
        pushed = weights["log_gamma"].exp() * (x_t.to(b) @ b.T)
        s = s @ torch.diag(turning) + pushed
        outputs.append((s @ c.T).real + x_t @ weights["d"].T)
    return torch.stack(outputs), (s.real, s.imag)


@FORMS
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_formulas_of_the_paper(*, time: int, parallel: bool) -> None:
    cell, weights = drawn()

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, s: written_out(weights, x, s),
        draw(time, 4, X),
        state(),
        weights.values(),
        cell="lru",
        against=FORMULAS,
    )


@pytest.fixture
def _doubles():
    """Let what names no dtype be float64: theirs keeps its outputs in such a tensor."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("_doubles")
@FORMS
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_one_of_another_project(*, time: int, parallel: bool) -> None:
    """Which gives no state back: more rows of C, 1 and -i, give it as further outputs."""
    module = foreign("LRU_pytorch").LRU(X, H + 2 * N, N)
    cell, weights = drawn()

    def theirs(x, state):
        eye = torch.eye(N)
        b = torch.complex(weights["b"][:N], weights["b"][N:])
        c = torch.complex(weights["c"][:, :N], weights["c"][:, N:])
        named = {
            "nu_log": weights["nu"],
            "theta_log": weights["theta"],
            "gamma_log": weights["log_gamma"],
            "B": b,
            "C": torch.cat([c, eye + 0j, -1j * eye]),
            "D": torch.cat([weights["d"], torch.zeros(2 * N, X)]),
        }
        rows = [
            torch.func.functional_call(module, named, (x_b, start))
            for x_b, start in zip(x.unbind(1), torch.complex(*state), strict=True)
        ]
        y, re, im = torch.stack(rows, 1).split([H, N, N], dim=-1)
        return y, (re[-1], im[-1])

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        theirs,
        draw(time, 2, X),
        [part[:2] for part in state()],
        weights.values(),
        cell="lru",
        against="lru-pytorch: LRU",
    )


def test_one_step_by_hand() -> None:
    """lambda = exp(-ln 2 + i pi / 2) = i / 2, gamma = 3, B = 1 + 2i, C = 2 - i, D = 5, x = 1.

    s = i/2 (4 + 2i) + 3 (1 + 2i) = (-1 + 2i) + (3 + 6i) = 2 + 8i
    y = Re((2 - i) (2 + 8i)) + 5 = 4 + 8 + 5 = 17
    """
    cell = LRU(1, 1).double()
    for name, value in {
        "nu": [math.log(math.log(2))],
        "theta": [math.log(math.pi / 2)],
        "log_gamma": [math.log(3)],
        "b": [[1.0], [2.0]],
        "c": [[2.0, -1.0]],
        "d": [[5.0]],
    }.items():
        cell.get_parameter(name).data = torch.tensor(value).double()
    start = DiagonalState(torch.tensor([[4.0]]).double(), torch.tensor([[2.0]]).double())
    x = torch.ones(1, 1, 1).double()

    for y, (re, im) in (stepwise(cell, cell.project(x), start), unroll(cell, x, start)):
        assert [y.item(), re.item(), im.item()] == pytest.approx([17, 2, 8])


def quantiles(values: torch.Tensor) -> list[float]:
    return values.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()


def test_it_starts_on_a_ring_evenly_by_area() -> None:
    torch.manual_seed(0)
    cell = LRU(2, 3, state_size=20_000, r_min=0.6, r_max=0.9, max_phase=0.5)
    area = torch.exp(-2 * cell.nu.exp()).detach()
    low, high = 0.6**2, 0.9**2

    assert area.min() > low - 1e-6
    assert area.max() < high + 1e-6
    spread = [low + share * (high - low) for share in (0.1, 0.5, 0.9)]
    assert quantiles(area) == pytest.approx(spread, abs=0.01)
    assert quantiles(cell.theta.exp().detach()) == pytest.approx([0.05, 0.25, 0.45], abs=0.01)
    torch.testing.assert_close((2 * cell.log_gamma).exp(), 1 - area)


def test_its_matrices_start_as_published() -> None:
    torch.manual_seed(0)
    cell = LRU(50, 60, state_size=200)

    assert cell.b.std().item() == pytest.approx(1 / math.sqrt(2 * 50), rel=0.03)
    assert cell.c.std().item() == pytest.approx(1 / math.sqrt(200), rel=0.03)
    assert cell.d.std().item() == pytest.approx(1 / math.sqrt(50), rel=0.05)


def test_white_inputs_keep_the_size_that_they_come_in_with() -> None:
    """Which is what gamma is for: E|s|^2 = gamma^2 |B|^2 / (1 - |lambda|^2) = |B|^2."""
    torch.manual_seed(0)
    cell = LRU(1, 1, state_size=8, r_min=0.5, r_max=0.95)
    with torch.no_grad():
        states = [(cell.initial_state(4000))]
        for p_t in torch.randn(200, 1, 4000, 1):
            p = type(cell.project(p_t))(*(part[0] for part in cell.project(p_t)))
            states.append(cell.step(p, states[-1])[1])
        size = (states[-1].re ** 2 + states[-1].im ** 2).mean(0)

    torch.testing.assert_close(size, cell.b.view(2, 8).square().sum(0).detach(), rtol=0.1, atol=0)


def test_no_weights_make_it_grow() -> None:
    cell = LRU(X, H).double()
    torch.nn.init.constant_(cell.nu, -50.0)
    torch.nn.init.zeros_(cell.b)
    start = DiagonalState(torch.ones(1, H).double(), torch.ones(1, H).double())

    _, (re, im) = unroll(cell, torch.zeros(500, 1, X).double(), start)

    torch.testing.assert_close(re**2 + im**2, 2 * torch.ones(1, H).double())


def test_parameter_count() -> None:
    """Of 5 complex numbers: nu, theta, gamma, rows of B, columns of C; and D."""
    assert parameter_count(LRU(7, 11, state_size=5)) == 3 * 5 + 2 * 5 * 7 + 2 * 11 * 5 + 11 * 7
    assert LRU(7, 11).state_size == 11


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"state_size": -1}, "state_size must be a whole number of at least 0"),
        ({"r_min": 1.0}, "r_min must be a number of at least 0 and below 1"),
        ({"r_min": 0.5, "r_max": 0.4}, "r_max must be a number from 0.5 to 1, not 0.4"),
        ({"r_max": 1.1}, "r_max must be a number from 0 to 1, not 1.1"),
        ({"max_phase": 0.0}, "max_phase must be a number of at least 0.001"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option, said) -> None:
    with pytest.raises(OptionError, match=said):
        LRU(3, 4, **option)
