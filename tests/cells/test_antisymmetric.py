import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from foreign_cells import carried, random_weights, set_to

from cellbench.cells.antisymmetric import AntisymmetricRNN, AntisymmetricRNNState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


def above_diagonal(upper: torch.Tensor, size: int) -> torch.Tensor:
    rows = [upper.new_zeros(size)]
    left = upper
    for n in range(size - 1, 0, -1):
        rows.insert(-1, torch.cat([upper.new_zeros(size - n), left[:n]]))
        left = left[n:]
    return torch.stack(rows)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(*, time: int, gated: bool) -> None:
    """Whose gate comes first, and has no part in the second of two biases, here 0."""
    cell = AntisymmetricRNN(3, 5, gated=gated, epsilon=0.3, gamma=0.2)
    weights = random_weights(cell)
    cells, name = foreign("torchrecurrent"), "AntisymmetricRNNCell"
    make = cells.GatedAntisymmetricRNNCell if gated else cells.AntisymmetricRNNCell
    theirs = {
        "weight_ih": torch.cat(weights["weight_x"].split(5)[::-1]),
        "weight_hh": above_diagonal(weights["upper"], 5),
        "bias_ih": torch.cat(weights["bias"].split(5)[::-1]),
        "bias_hh": torch.zeros(5).double(),
    }

    assert_same(
        with_weights(cell, weights),
        carried(make(3, 5, epsilon=0.3, gamma=0.2), theirs),
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="antisymmetric",
        against=f"torchrecurrent: Gated{name}" if gated else f"torchrecurrent: {name}",
    )


@pytest.mark.parametrize(("gated", "h"), [(False, [5 / 4, 7 / 4]), (True, [19 / 16, 15 / 8])])
def test_one_step_by_hand(*, gated: bool, h: list[float]) -> None:
    """M = (-1/2 1; -1 -1/2), h = (1, 2), x = 1, in units of ln 3

    M h = (3/2, -2)    V + b   = (-2 + 1, 1 + 1/2)   sum (1/2, -1/2)   tanh    (1/2, -1/2)
                       V_z + b_z = (-1 + 1/2, 1 + 1)  sum (1, 0)       sigmoid (3/4, 1/2)

    epsilon = 1/2: h = (1 + 1/4, 2 - 1/4); with the gate, (1 + 3/16, 2 - 1/8).
    """
    cell = AntisymmetricRNN(1, 2, gated=gated, epsilon=0.5, gamma=LN_3 / 2)
    v, b = [-2 * LN_3, LN_3, -LN_3, LN_3], [LN_3, LN_3 / 2, LN_3 / 2, LN_3]
    kept = 4 if gated else 2
    set_to(cell, {"upper": [LN_3], "weight_x": v[:kept], "bias": b[:kept]})
    start = AntisymmetricRNNState(torch.tensor([[1.0, 2.0]]).double())

    y, _ = unroll(cell, torch.ones(1, 1, 1).double(), start)

    torch.testing.assert_close(y[0, 0].tolist(), h)


def test_its_flow_neither_grows_nor_dies_but_for_its_diffusion() -> None:
    """Every eigenvalue of M has the real part -gamma."""
    matrix = AntisymmetricRNN(3, 12, gamma=0.25).double().matrix()
    found = torch.linalg.eigvals(matrix).detach()

    torch.testing.assert_close(found.real, torch.full((12,), -0.25).double())
    assert found.imag.abs().max() > 0.1


@pytest.mark.parametrize(("options", "std"), [({}, 1 / 20), ({"init_std": 4.0}, 1 / 5)], ids=str)
def test_it_starts_as_published(options: dict[str, float], std: float) -> None:
    torch.manual_seed(0)
    cell = AntisymmetricRNN(50, 400, gated=True, **options)

    assert cell.upper.std().item() == pytest.approx(std, rel=0.02)
    assert cell.weight_x.std().item() == pytest.approx(50**-0.5, rel=0.02)
    assert cell.bias.tolist() == [0] * 400 + [1] * 400


def test_its_defaults_are_small_steps() -> None:
    cell = AntisymmetricRNN(1, 1)
    set_to(cell, {"upper": [], "weight_x": [0], "bias": [LN_3 / 2]})

    y, _ = unroll(cell, torch.ones(1, 1, 1).double())
    z, _ = unroll(cell, torch.ones(1, 1, 1).double(), AntisymmetricRNNState(y[0] * 0 + 1))

    assert y.item() == pytest.approx(0.005)
    assert z.item() == pytest.approx(1 + 0.01 * (torch.tensor(LN_3 / 2 - 0.01).tanh().item()))


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(AntisymmetricRNN(x, h)) == h * (h - 1) / 2 + h * x + h
    assert parameter_count(AntisymmetricRNN(x, h, gated=True)) == h * (h - 1) / 2 + 2 * (h * x + h)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epsilon": 0.0}, "epsilon must be a number of at least 1e-12"),
        ({"gamma": -0.1}, "gamma must be a number of at least 0"),
        ({"init_std": -1.0}, "init_std must be a number of at least 0"),
    ],
    ids=str,
)
def test_a_bad_option_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        AntisymmetricRNN(3, 4, **options)
