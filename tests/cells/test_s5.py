import math

import pytest
import torch
from cell_parity import FORMULAS, assert_same, draw, foreign, parameter_count, with_weights

from cellbench.cells.diagonal import DiagonalState, held, normal_hippo
from cellbench.cells.s5 import S5
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

TIMES = [1, 2, 7, 64]
FORMS = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
KINDS = pytest.mark.parametrize("discretisation", ["zoh", "bilinear"])
H, P = 5, 4


def drawn(input_size: int, discretisation: str) -> tuple[S5, dict[str, torch.Tensor]]:
    cell = S5(input_size, H, pairs=P, discretisation=discretisation).double()
    return cell, {
        name: (0.7 * draw(*parameter.shape, seed=3 + n)).requires_grad_()
        for n, (name, parameter) in enumerate(cell.named_parameters())
    }


def state() -> list[torch.Tensor]:
    return [draw(4, P, seed=1), draw(4, P, seed=2)]


def written_out(weights, x, state, discretisation: str):
    """Write the real system of twice the size out, with matrices in continuous time."""
    decay, turn = weights["log_decay"].exp(), weights["frequency"]
    rate = torch.cat(
        [
            torch.cat([torch.diag(-decay), torch.diag(-turn)], 1),
            torch.cat([torch.diag(turn), torch.diag(-decay)], 1),
        ]
    )
    step = torch.diag(weights["log_step"].exp().repeat(2))
    eye = torch.eye(2 * P).double()
    if discretisation == "zoh":
        kept = torch.linalg.matrix_exp(step @ rate)
        gain = torch.linalg.solve(rate, (kept - eye) @ weights["b"])
    else:
        kept = torch.linalg.solve(eye - step @ rate / 2, eye + step @ rate / 2)
        gain = torch.linalg.solve(eye - step @ rate / 2, step @ weights["b"])
    read = 2 * torch.cat([weights["c"][:, :P], -weights["c"][:, P:]], 1)
    s, outputs = torch.cat(state, 1), []
    for x_t in x:
        s = s @ kept.T + x_t @ gain.T
        outputs.append(s @ read.T + x_t @ weights["d"].T)
    return torch.stack(outputs), (s[:, :P], s[:, P:])


@FORMS
@KINDS
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_formulas_of_the_paper(*, time: int, discretisation: str, parallel: bool) -> None:
    cell, weights = drawn(3, discretisation)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, s: written_out(weights, x, s, discretisation),
        draw(time, 4, 3),
        state(),
        weights.values(),
        cell="s5",
        against=FORMULAS,
    )


@FORMS
@KINDS
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_one_of_another_project(
    *, time: int, discretisation: str, parallel: bool, monkeypatch
) -> None:
    """Which has no pairs: its C is twice ours. Its D is a vector, and ours then diagonal."""
    module = foreign("s5.s5_model")
    monkeypatch.setattr(module.as_complex, "__defaults__", (torch.complex128,))  # else rounds B
    ssm = foreign("s5").S5(H, P).seq
    ssm.discretize = getattr(module, f"discretize_{discretisation}")
    cell, weights = drawn(H, discretisation)
    d = draw(H, seed=20).requires_grad_()
    leaves = [weight for name, weight in weights.items() if name != "d"]
    named = {
        "Lambda": torch.complex(-weights["log_decay"].exp(), weights["frequency"]),
        "log_step": weights["log_step"],
        "B": torch.stack(weights["b"].chunk(2), dim=-1),
        "C": 2 * torch.complex(*(part.contiguous() for part in weights["c"].chunk(2, dim=1))),
        "D": d,
    }

    def theirs(x, state):
        rows = [
            torch.func.functional_call(ssm, named, (x_b,), {"state": start, "return_state": True})
            for x_b, start in zip(x.unbind(1), torch.complex(*state), strict=True)
        ]
        y, last = (torch.stack(part) for part in zip(*rows, strict=True))
        return y.transpose(0, 1), (last.real, last.imag)

    assert_same(
        with_weights(cell, weights | {"d": torch.diag(d)}, parallel=parallel),
        theirs,
        draw(time, 4, H),
        state(),
        [*leaves, d],
        cell="s5",
        against="s5-pytorch: S5",
    )


def by_hand(discretisation: str, **values) -> list[float]:
    """Take one step of x = 1, with D = 1, in both forms."""
    cell = S5(1, 1, pairs=1, discretisation=discretisation).double()
    for name, value in (values | {"log_step": [0.0], "c": [[1.0, 1.0]], "d": [[1.0]]}).items():
        if name != "start":
            cell.get_parameter(name).data = torch.tensor(value).double()
    start = DiagonalState(*(torch.tensor([[part]]).double() for part in values["start"]))
    x = torch.ones(1, 1, 1).double()
    y, last = stepwise(cell, cell.project(x), start)
    fast, end = unroll(cell, x, start)
    torch.testing.assert_close(fast, y)
    torch.testing.assert_close(end, last)
    return [y.item(), last[0].item(), last[1].item()]


def test_one_bilinear_step_by_hand() -> None:
    """lambda step = -2 + 2i: kept = i / (2 - i) = (-1 + 2i) / 5, gain = 1 / (2 - i) = (2 + i) / 5.

    B = 5 + 5i: s = (-1 + 2i) (1 + i) + (2 + i) (1 + i) = (-3 + i) + (1 + 3i) = -2 + 4i
    C = 1 + i: y = 2 Re((1 + i) (-2 + 4i)) + 1 = 2 (-2 - 4) + 1 = -11
    """
    found = by_hand(
        "bilinear", log_decay=[math.log(2)], frequency=[2.0], b=[[5.0], [5.0]], start=(5.0, 5.0)
    )

    assert found == pytest.approx([-11, -2, 4])


def test_one_held_step_by_hand() -> None:
    """lambda step = -ln 2 + 2 pi i: kept = 1/2, gain = (1/2 - 1) / lambda; B = -2 lambda.

    s = 1/2 (4 + 2i) + 1 = 3 + i    y = 2 Re((1 + i) (3 + i)) + 1 = 2 (3 - 1) + 1 = 5
    """
    found = by_hand(
        "zoh",
        log_decay=[math.log(math.log(2))],
        frequency=[2 * math.pi],
        b=[[2 * math.log(2)], [-4 * math.pi]],
        start=(4.0, 2.0),
    )

    assert found == pytest.approx([5, 3, 1])


def test_a_short_step_loses_no_digits() -> None:
    """(exp(z) - 1) / lambda, with z = lambda step of a size of 1e-4, is step (1 + z / 2 + ...)."""
    rate, step = (torch.tensor(-0.5), torch.tensor(3.0)), torch.tensor(3e-5)
    _, (re, im) = held(rate, step)

    z = complex(-0.5, 3.0) * 3e-5
    exact = 3e-5 * (1 + z / 2 + z**2 / 6)
    assert [re.item(), im.item()] == pytest.approx([exact.real, exact.imag], rel=1e-6)


def hippo(size: int) -> torch.Tensor:
    """Return HiPPO-LegS with its rank-one term taken off, entry by entry as in the paper."""
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for n in range(size):
        for k in range(size):
            if n > k:
                matrix[n, k] = -math.sqrt(2 * n + 1) * math.sqrt(2 * k + 1)
            elif n == k:
                matrix[n, k] = -(n + 1)
            matrix[n, k] += math.sqrt(n + 0.5) * math.sqrt(k + 0.5)
    return matrix


def test_the_start_is_the_normal_part_of_hippo() -> None:
    rate, vectors = normal_hippo(8)
    matrix = hippo(8).to(torch.complex128)

    torch.testing.assert_close(matrix @ vectors, vectors * rate)
    torch.testing.assert_close(vectors.mH @ vectors, torch.eye(4) + 0j, check_dtype=False)
    assert (rate.imag > 0).all()


def test_it_starts_as_a_real_hippo_system_in_blocks() -> None:
    torch.manual_seed(0)
    cell = S5(40, 50, pairs=32, blocks=2)
    rate, _ = normal_hippo(32)

    torch.testing.assert_close(cell.log_decay, torch.full((32,), math.log(0.5)))
    torch.testing.assert_close(cell.frequency.double(), rate.imag.repeat(2), rtol=1e-6, atol=1e-6)
    b, c = cell.b.view(2, 32, 40), cell.c.view(50, 2, 32)
    assert b.square().sum(0).mean().item() == pytest.approx(1 / 40, rel=0.1)
    assert c.square().sum(1).mean().item() == pytest.approx(1 / 64, rel=0.1)
    assert cell.d.std().item() == pytest.approx(1 / math.sqrt(40), rel=0.05)
    assert cell.log_step.exp().min() >= 1e-3 * (1 - 1e-6)
    assert cell.log_step.exp().max() <= 0.1 * (1 + 1e-6)


def test_its_steps_of_time_start_evenly_by_their_logarithm() -> None:
    torch.manual_seed(0)
    steps = S5(1, 1, pairs=4000, blocks=2000, step_min=0.01, step_max=10.0).log_step / math.log(10)

    found = steps.detach().quantile(torch.tensor([0.0, 0.5, 1.0])).tolist()
    assert found == pytest.approx([-2, -0.5, 1], abs=0.06)


def test_parameter_count() -> None:
    """Of 5 pairs: decay, frequency, step, a row of B and a column of C; and D."""
    assert parameter_count(S5(7, 11, pairs=5)) == 3 * 5 + 2 * 5 * 7 + 2 * 11 * 5 + 11 * 7


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"pairs": 0}, "pairs must be a whole number of at least 1"),
        ({"pairs": 8, "blocks": 3}, "blocks must divide pairs: 8 is no multiple of 3"),
        ({"discretisation": "euler"}, "discretisation must be one of zoh, bilinear"),
        ({"step_min": 0.0}, "step_min must be a number of at least 1e-09"),
        ({"step_max": 1e-4}, "step_max must be a number of at least 0.001"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option, said) -> None:
    with pytest.raises(OptionError, match=said):
        S5(3, 4, **option)
