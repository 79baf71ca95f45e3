import math

import pytest
import torch
from cell_parity import FORMULAS, assert_same, draw, foreign, parameter_count, with_weights

from cellbench.cells.diagonal import DiagonalState, normal_hippo
from cellbench.cells.s4d import S4D
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

TIMES = [1, 2, 7, 64]
FORMS = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
KINDS = pytest.mark.parametrize("discretisation", ["zoh", "bilinear"])
X, H, P = 3, 2, 4


def drawn(discretisation: str) -> tuple[S4D, dict[str, torch.Tensor]]:
    cell = S4D(X, H, pairs=P, discretisation=discretisation).double()
    return cell, {
        name: (0.7 * draw(*parameter.shape, seed=3 + n)).requires_grad_()
        for n, (name, parameter) in enumerate(cell.named_parameters())
    }


def state() -> list[torch.Tensor]:
    return [draw(4, H, P, seed=1), draw(4, H, P, seed=2)]


def system(weights, feature: int):
    """Return A and B of one feature's real system of twice the size, in continuous time."""
    decay = torch.diag(weights["log_decay"][feature].exp())
    turn = torch.diag(weights["frequency"][feature])
    rate = torch.cat([torch.cat([-decay, -turn], 1), torch.cat([turn, -decay], 1)])
    return rate, torch.tensor([[1.0]] * P + [[0.0]] * P).double()


def in_torch(rate, gain, step, discretisation: str):
    """Discretise as differentiable functions of matrices."""
    if discretisation == "zoh":  # of the system with its input as one more state
        size = 2 * P + 1
        both = torch.cat([torch.cat([rate, gain], 1), torch.zeros(1, size).double()]) * step
        exponential = torch.linalg.matrix_exp(both)
        return exponential[: 2 * P, : 2 * P], exponential[: 2 * P, 2 * P :]
    eye = torch.eye(2 * P).double()
    half = eye - step / 2 * rate
    return torch.linalg.solve(half, eye + step / 2 * rate), torch.linalg.solve(half, step * gain)


def in_scipy(rate, gain, step, discretisation: str):
    given = [t.detach().numpy() for t in (rate, gain)]
    given += [torch.zeros(1, 2 * P).numpy(), torch.zeros(1, 1).numpy()]
    discrete = foreign("scipy.signal").cont2discrete(given, step.item(), method=discretisation)
    return torch.from_numpy(discrete[0]), torch.from_numpy(discrete[1])


def written_out(weights, x, state, discretise):
    """Write the systems out one by one, with real matrices."""
    u = x @ weights["enter.weight"].T + weights["enter.bias"]
    outputs, lasts = [], []
    for feature in range(H):
        step = weights["log_step"][feature].exp()
        rate, gain = discretise(*system(weights, feature), step)
        read = torch.cat([weights["c_re"][feature], -weights["c_im"][feature]])
        s, mine = torch.cat([part[:, feature] for part in state], 1), []
        for u_t in u[:, :, feature]:
            s = s @ rate.T + u_t[:, None] @ gain.T
            mine.append(2 * s @ read + weights["d"][feature] * u_t)
        outputs.append(torch.stack(mine))
        lasts.append(s)
    last = torch.stack(lasts, 1)
    return torch.stack(outputs, -1), (last[..., :P], last[..., P:])


@FORMS
@KINDS
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_formulas_of_the_paper(*, time: int, discretisation: str, parallel: bool) -> None:
    cell, weights = drawn(discretisation)

    def discretise(rate, gain, step):
        return in_torch(rate, gain, step, discretisation)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, s: written_out(weights, x, s, discretise),
        draw(time, 4, X),
        state(),
        weights.values(),
        cell="s4d",
        against=FORMULAS,
    )


@FORMS
@KINDS
@pytest.mark.parametrize("time", TIMES)
def test_it_is_discretised_as_by_scipy(*, time: int, discretisation: str, parallel: bool) -> None:
    """Which gives no gradients of what it is given: of all else they are compared."""
    cell, weights = drawn(discretisation)
    fixed = {"log_decay", "frequency", "log_step"}

    def discretise(rate, gain, step):
        return in_scipy(rate, gain, step, discretisation)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, s: written_out(weights, x, s, discretise),
        draw(time, 4, X),
        state(),
        [weight for name, weight in weights.items() if name not in fixed],
        cell="s4d",
        against="scipy: signal.cont2discrete",
    )


def test_it_is_a_convolution() -> None:
    """With 2 Re(sum of C kept^k gain), by fast Fourier transform; and beside it D u."""
    cell, weights = drawn("zoh")
    x, time = draw(50, 4, X), 50
    rate = torch.complex(-weights["log_decay"].exp(), weights["frequency"])
    step = weights["log_step"].exp()[:, None]
    c = torch.complex(weights["c_re"], weights["c_im"])
    powers = torch.exp(rate[..., None] * step[..., None] * torch.arange(time))
    kernel = 2 * torch.einsum("hp,hpk->hk", c * (torch.exp(rate * step) - 1) / rate, powers).real
    u = x @ weights["enter.weight"].T + weights["enter.bias"]
    spectrum = torch.fft.rfft(kernel.T, 2 * time, dim=0).unsqueeze(1)
    y = torch.fft.irfft(torch.fft.rfft(u, 2 * time, dim=0) * spectrum, dim=0)[:time]

    found, _ = with_weights(cell, weights, parallel=True)(x, cell.initial_state(4))

    torch.testing.assert_close(found, y + weights["d"] * u)


def by_hand(discretisation: str, start: tuple[float, float], **values) -> list[float]:
    """Take one step of x = 1, of which W x + b = 2 + 3 makes u = 5; D = 2; in both forms."""
    cell = S4D(1, 1, pairs=1, discretisation=discretisation).double()
    values |= {"enter.weight": [[2.0]], "enter.bias": [3.0], "log_step": [0.0], "d": [2.0]}
    for name, value in values.items():
        cell.get_parameter(name).data = torch.tensor(value).double()
    begin = DiagonalState(*(torch.tensor([[[part]]]).double() for part in start))
    x = torch.ones(1, 1, 1).double()
    y, last = stepwise(cell, cell.project(x), begin)
    fast, end = unroll(cell, x, begin)
    torch.testing.assert_close(fast, y)
    torch.testing.assert_close(end, last)
    return [y.item(), last[0].item(), last[1].item()]


def test_one_bilinear_step_by_hand() -> None:
    """lambda step = -2 + 2i: kept = i / (2 - i) = (-1 + 2i) / 5, gain = 1 / (2 - i) = (2 + i) / 5.

    s = (-1 + 2i) (1 + i) + (2 + i) = (-3 + i) + (2 + i) = -1 + 2i
    C = 1 + i: y = 2 Re((1 + i) (-1 + 2i)) + 2 * 5 = 2 (-1 - 2) + 10 = 4
    """
    rate = {"log_decay": [[math.log(2)]], "frequency": [[2.0]]}
    found = by_hand("bilinear", (5.0, 5.0), **rate, c_re=[[1.0]], c_im=[[1.0]])

    assert found == pytest.approx([4, -1, 2])


def test_one_held_step_by_hand() -> None:
    """lambda step = -ln 2: kept = 1/2, gain = 1 / (2 ln 2), so gain u = 5 / (2 ln 2).

    s = 1/2 (4 + 2i) + 5 / (2 ln 2) = 2 + 5 / (2 ln 2) + i
    C = ln 2 + i: y = 2 (2 ln 2 + 5/2 - 1) + 10 = 4 ln 2 + 13
    """
    two = math.log(2)
    rate = {"log_decay": [[math.log(two)]], "frequency": [[0.0]]}
    found = by_hand("zoh", (4.0, 2.0), **rate, c_re=[[two]], c_im=[[1.0]])

    assert found == pytest.approx([4 * two + 13, 2 + 2.5 / two, 1])


def test_it_starts_with_the_published_eigenvalues() -> None:
    lin, inv, legs = (S4D(2, 3, pairs=3, init=init) for init in ("lin", "inv", "legs"))

    for cell in (lin, inv, legs):
        torch.testing.assert_close(cell.log_decay.exp(), torch.full((3, 3), 0.5))
    assert lin.frequency[1].tolist() == pytest.approx([0, math.pi, 2 * math.pi])
    assert inv.frequency[1].tolist() == pytest.approx([30 / math.pi, 6 / math.pi, 1.2 / math.pi])
    right = normal_hippo(6)[0].imag.tolist()
    assert legs.frequency[1].tolist() == pytest.approx(right, rel=1e-6)


def test_its_other_weights_start_as_published() -> None:
    torch.manual_seed(0)
    cell = S4D(3, 2000, pairs=2)
    c = torch.complex(cell.c_re, cell.c_im)
    found = (cell.log_step / math.log(10)).detach().quantile(torch.tensor([0.0, 0.5, 1.0]))

    assert c.abs().square().mean().item() == pytest.approx(1, rel=0.05)
    assert c.real.std().item() == pytest.approx(math.sqrt(0.5), rel=0.05)
    assert cell.d.std().item() == pytest.approx(1, rel=0.05)
    assert found.tolist() == pytest.approx([-3, -2, -1], abs=0.06)


def test_parameter_count() -> None:
    """Of 11 systems of 5 pairs: W and b; step, D; decay, frequency and C, which is complex."""
    assert parameter_count(S4D(7, 11, pairs=5)) == 11 * 7 + 11 + 2 * 11 + 4 * 11 * 5


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"pairs": 0}, "pairs must be a whole number of at least 1"),
        ({"discretisation": "euler"}, "discretisation must be one of zoh, bilinear"),
        ({"init": "hippo"}, "init must be one of lin, inv, legs"),
        ({"step_min": 0.0}, "step_min must be a number of at least 1e-09"),
        ({"step_max": 1e-4}, "step_max must be a number of at least 0.001"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option, said) -> None:
    with pytest.raises(OptionError, match=said):
        S4D(3, 4, **option)
