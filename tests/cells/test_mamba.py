import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, foreign, parameter_count, with_weights
from torch import nn

from cellbench.cells.mamba import Mamba, MambaState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

TIMES = [1, 2, 7, 64]
FORMS = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
SIZES = {"expand": 2, "d_state": 3, "d_conv": 4, "dt_rank": 2}


def drawn(input_size: int, **options) -> tuple[Mamba, dict[str, torch.Tensor]]:
    """Make a cell of 5 features, 10 inside, and weights for it, none of which is 0."""
    cell = Mamba(input_size, 5, **SIZES | options).double()
    return cell, {
        name: (0.6 * draw(*parameter.shape, seed=3 + n)).requires_grad_()
        for n, (name, parameter) in enumerate(cell.named_parameters())
    }


def state(d_conv: int = 4) -> list[torch.Tensor]:
    return [draw(4, 10, 3, seed=1), draw(4, d_conv - 1, 10, seed=2)]


def written_out(weights, x, state):
    """Write the paper's formulas out again, feature by feature inside."""
    s, window = state
    past, outputs = list(window.unbind(1)), []
    for x_t in x:
        v, z = (x_t @ weights["enter.weight"].T).split(10, dim=1)
        past.append(v)
        u = weights["conv_bias"] + sum(
            weights["conv"][-1 - back] * past[-1 - back] for back in range(len(weights["conv"]))
        )
        u = u / (1 + torch.exp(-u))
        low, b, c = (u @ weights["select.weight"].T).split([2, 3, 3], dim=1)
        step = low @ weights["step_size.weight"].T + weights["step_size.bias"]
        step = torch.log1p(step.exp())
        after, read = [], []
        for feature in range(10):
            delta, mine = step[:, feature, None], u[:, feature, None]
            a = -weights["log_a"][feature].exp()
            after.append(torch.exp(delta * a) * s[:, feature] + delta * b * mine)
            read.append((after[-1] * c).sum(1) + weights["d"][feature] * u[:, feature])
        s = torch.stack(after, 1)
        outputs.append((torch.stack(read, 1) * z / (1 + torch.exp(-z))) @ weights["leave.weight"].T)
    kept = len(weights["conv"]) - 1
    return torch.stack(outputs), (s, torch.stack(past[len(past) - kept :], 1))


@FORMS
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_formulas_of_the_paper(*, time: int, parallel: bool) -> None:
    cell, weights = drawn(3)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, s: written_out(weights, x, s),
        draw(time, 4, 3),
        state(),
        weights.values(),
        cell="mamba",
        against=FORMULAS,
    )


class OfAnotherProject:
    """The block of mambapy, whose matrix A is made in float32 whatever it is given."""

    def __init__(self) -> None:
        module = foreign("mambapy.mamba")
        config = module.MambaConfig(
            d_model=5, n_layers=1, dt_rank=2, d_state=3, expand_factor=2, d_conv=4
        )
        self.block = module.MambaBlock(config).double()

    @staticmethod
    def named(weights) -> dict[str, torch.Tensor]:
        return {
            "A_log": weights["log_a"],
            "D": weights["d"],
            "in_proj.weight": weights["enter.weight"],
            "conv1d.weight": weights["conv"].T.unsqueeze(1),
            "conv1d.bias": weights["conv_bias"],
            "x_proj.weight": weights["select.weight"],
            "dt_proj.weight": weights["step_size.weight"],
            "dt_proj.bias": weights["step_size.bias"],
            "out_proj.weight": weights["leave.weight"],
        }

    def steps(self, weights, x, state):
        """Go on from a state, a step at a time."""
        runner = _Steps(self.block)
        named = {f"block.{name}": weight for name, weight in self.named(weights).items()}
        return torch.func.functional_call(runner, named, (x, state))


class _Steps(nn.Module):
    def __init__(self, block) -> None:
        super().__init__()
        self.block = block

    def forward(self, x, state):
        cache, outputs = (state[0], state[1].transpose(1, 2)), []
        for x_t in x:
            y, cache = self.block.step(x_t, cache)
            outputs.append(y)
        return torch.stack(outputs), (cache[0], cache[1].transpose(1, 2))


@FORMS
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_one_of_another_project(*, time: int, parallel: bool) -> None:
    theirs = OfAnotherProject()
    cell, weights = drawn(5)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, s: theirs.steps(weights, x, s),
        draw(time, 4, 5),
        state(),
        weights.values(),
        cell="mamba",
        against="mambapy: MambaBlock",
        tolerance=1e-5,  # see OfAnotherProject
    )


def test_it_is_the_parallel_form_of_another_project_where_nothing_is_carried() -> None:
    theirs = OfAnotherProject()
    cell, weights = drawn(5)
    x = draw(17, 4, 5)

    y, _ = with_weights(cell, weights, parallel=True)(x, cell.initial_state(4))

    right = torch.func.functional_call(
        theirs.block, theirs.named(weights), (x.transpose(0, 1).contiguous(),)
    )
    torch.testing.assert_close(y, right.transpose(0, 1), rtol=1e-5, atol=1e-5)


def silu(value: float) -> float:
    return value / (1 + math.exp(-value))


def test_two_steps_by_hand() -> None:
    """One feature, one state, a convolution of two steps; x = 1, then 0; s = 8, window = ln 3.

    W_in = (2 ln 3, ln 3): v = 2 ln 3, z = ln 3, so silu(z) = 3/4 ln 3.
    conv = (-1, 1), b_conv = 0: u = silu(2 ln 3 - ln 3) = 3/4 ln 3.
    W_u = (0, 2/ln 3, 4/ln 3): low = 0, B = 3/2, C = 3.   b_step = ln 2: step = ln(1 + 2) = ln 3.
    A = -1: exp(step A) = 1/3, and s = 8/3 + ln 3 * 3/4 ln 3 * 3/2.
    D = 5, W_out = 2: y = 2 (3 s + 15/4 ln 3) * 3/4 ln 3.

    Then v = z = 0: u = silu(-2 ln 3), and y = 0, but s goes on: B = 2 u / ln 3, s = s/3 + 2 u^2.
    """
    cell = Mamba(1, 1, expand=1, d_state=1, d_conv=2).double()
    for name, value in {
        "enter.weight": [[2 * LN_3], [LN_3]],
        "conv": [[-1.0], [1.0]],
        "conv_bias": [0.0],
        "select.weight": [[0.0], [2 / LN_3], [4 / LN_3]],
        "step_size.weight": [[7.0]],
        "step_size.bias": [math.log(2)],
        "log_a": [[0.0]],
        "d": [5.0],
        "leave.weight": [[2.0]],
    }.items():
        cell.get_parameter(name).data = torch.tensor(value).double()
    start = MambaState(torch.tensor([[[8.0]]]).double(), torch.tensor([[[LN_3]]]).double())
    x = torch.tensor([1.0, 0.0]).double().view(2, 1, 1)
    first = 8 / 3 + 9 / 8 * LN_3**2

    for y, (s, window) in (stepwise(cell, cell.project(x), start), unroll(cell, x, start)):
        right = [2 * (3 * first + 15 / 4 * LN_3) * 3 / 4 * LN_3, 0]
        assert y.flatten().tolist() == pytest.approx(right)
        assert s.item() == pytest.approx(first / 3 + 2 * silu(-2 * LN_3) ** 2)
        assert window.item() == 0


@FORMS
def test_it_sees_as_many_steps_as_its_convolution(*, parallel: bool) -> None:
    """With D alone, and nothing stored, an input is out of sight after d_conv steps."""
    cell, weights = drawn(5)
    weights["select.weight"] = torch.zeros_like(weights["select.weight"])
    run, x = with_weights(cell, weights, parallel=parallel), draw(9, 4, 5)
    other = torch.cat([x[:2], x[2:3] + 1, x[3:]])

    changed = run(other, cell.initial_state(4))[0] - run(x, cell.initial_state(4))[0]

    assert [bool(step.any()) for step in changed] == [t in range(2, 6) for t in range(9)]


def test_it_starts_as_its_authors_have_it() -> None:
    torch.manual_seed(0)
    cell = Mamba(64, 128, d_conv=4)
    steps = nn.functional.softplus(cell.step_size.bias).log10().detach()

    torch.testing.assert_close(cell.log_a.exp(), torch.arange(1.0, 17).repeat(256, 1))
    assert (cell.d == 1).all()
    assert steps.quantile(torch.tensor([0.0, 0.5, 1.0])).tolist() == pytest.approx(
        [-3, -2, -1], abs=0.15
    )
    assert cell.dt_rank == 8
    assert cell.step_size.weight.abs().max().item() == pytest.approx(1 / math.sqrt(8), rel=0.02)
    for part in (cell.conv, cell.conv_bias):
        assert part.abs().max().item() == pytest.approx(1 / 2, rel=0.02)
        assert part.std().item() == pytest.approx(1 / 2 / math.sqrt(3), rel=0.1)


def test_parameter_count() -> None:
    """Of the paper's sizes, at 16 features: 32 inside, 16 states, 4 taps, rank 1."""
    inside = 32
    expected = 2 * inside * 7 + inside * (4 + 1) + inside * (1 + 2 * 16) + inside * (1 + 1)
    expected += inside * 16 + inside + 16 * inside

    assert parameter_count(Mamba(7, 16)) == expected


@pytest.mark.parametrize(
    ("option", "low"), [("expand", 1), ("d_state", 1), ("d_conv", 1), ("dt_rank", 0)]
)
def test_an_option_it_cannot_take_is_named(option, low) -> None:
    with pytest.raises(OptionError, match=f"{option} must be a whole number of at least {low}"):
        Mamba(3, 4, **{option: low - 1})
