import pytest
import torch
from cell_parity import FORMULAS, LN_3, draw, parameter_count
from cell_steps import assert_same_when_warm, by_hand, drawn, near
from torch import Tensor

from cellbench.cells.ln_gru import LNGRU
from cellbench.errors import OptionError
from cellbench.unroll import unroll


def written_out(weights: dict[str, Tensor], x, state, eps: float = 1e-5):
    """Write the paper's formula out again: a sequence and a gate at a time."""

    def normal(v: Tensor, side: str, gate: int) -> Tensor:
        centred = v - v.mean()
        spread = ((centred**2).mean() + eps).sqrt()
        gain, shift = weights[f"norm_{side}.gain"][gate, 0], weights[f"norm_{side}.shift"][gate, 0]
        return gain * centred / spread + shift

    w, u = weights["weight_x"].chunk(3), weights["weight_h"].chunk(3)
    b = weights["bias"].chunk(3)
    sequences = []
    for row in range(x.shape[1]):
        h, outputs = state[0][row], []
        for x_t in x[:, row]:
            of_x = [normal(w[k] @ x_t + b[k], "x", k) for k in range(3)]
            of_h = [normal(u[k] @ h, "h", k) for k in range(3)]
            r, z = (1 / (1 + torch.exp(-of_x[k] - of_h[k])) for k in range(2))
            h = h + z * (torch.tanh(of_x[2] + r * of_h[2]) - h)
            outputs.append(h)
        sequences.append((torch.stack(outputs), h))
    y, h = zip(*sequences, strict=True)
    return torch.stack(y, 1), (torch.stack(h),)


@pytest.mark.parametrize("options", [{}, {"ln_eps": 1e-3}], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(time: int, options: dict) -> None:
    cell = LNGRU(3, 5, **options)
    weights = drawn(cell)

    def theirs(x, state):
        return written_out(weights, x, state, options.get("ln_eps", 1e-5))

    assert_same_when_warm(cell, weights, theirs, time, cell="ln_gru", against=FORMULAS)


def test_one_step_by_hand() -> None:
    """Two features, of which LN makes (1, -1) or (-1, 1), whatever they are, gate by gate.

    x = 1, h = (1, 2); what gain and shift make of both sides, in units of ln 3:

    r: ( 7,  3)  ->  ( 1, -1)  ->  (1, -1)     (1, 2)  ->  (-1,  1)  ->  (-2,  2)
    z: ( 2, -6)  ->  ( 1, -1)  ->  (1,  0)     (2, 1)  ->  ( 1, -1)  ->  ( 0, -1)
    n: (-5,  9)  ->  (-1,  1)  ->  (0,  1)     (1, 2)  ->  (-1,  1)  ->  ( 2, -2/3)

    r: (-1, 1)            sigmoid (1/4, 3/4)
    z: (1, -1)            sigmoid (3/4, 1/4)
    n: (0 + 1/4 * 2, 1 - 3/4 * 2/3) = (1/2, 1/2)    tanh (1/2, 1/2)

    h = (1/4 * 1 + 3/4 * 1/2, 3/4 * 2 + 1/4 * 1/2) = (5/8, 13/8).
    """
    cell = LNGRU(1, 2, ln_eps=1e-12)

    def twice(*values: float) -> list[float]:
        return [LN_3 * value for value in values for _ in range(2)]

    weights = {
        "weight_x": [4, 0, -1, -9, -9, 4],
        "bias": [3, 3, 3, 3, 4, 5],
        "weight_h": [1, 0, 0, 1, 0, 1, 1, 0, 1, 0, 0, 1],
        "norm_x.gain": twice(1, 1 / 2, 1 / 2),
        "norm_x.shift": twice(0, 1 / 2, 1 / 2),
        "norm_h.gain": twice(2, 1 / 2, -4 / 3),
        "norm_h.shift": twice(0, -1 / 2, 2 / 3),
    }

    assert by_hand(cell, weights, [1], [1, 2]) == near([5 / 8, 13 / 8], [5 / 8, 13 / 8])


def test_the_scale_of_its_matrices_does_not_matter() -> None:
    cell = LNGRU(3, 5, ln_eps=1e-12).double()
    x = draw(9, 4, 3)
    y, _ = unroll(cell, x)
    cell.weight_x.data *= 7
    cell.weight_h.data *= 1 / 5

    torch.testing.assert_close(unroll(cell, x)[0], y)


def test_it_starts_orthogonal_gate_by_gate() -> None:
    cell = LNGRU(4, 6)
    for block_h, block_x in zip(cell.weight_h.chunk(3), cell.weight_x.chunk(3), strict=True):
        torch.testing.assert_close(block_h @ block_h.t(), torch.eye(6))
        torch.testing.assert_close(block_x.t() @ block_x, torch.eye(4))
    norms = [*cell.norm_x.named_parameters(), *cell.norm_h.named_parameters()]

    assert not cell.bias.any()
    assert all((value == (1 if name == "gain" else 0)).all() for name, value in norms)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(LNGRU(x, h)) == 3 * h * (x + h) + 3 * h + 12 * h


def test_an_eps_of_0_is_named() -> None:
    with pytest.raises(OptionError, match="ln_eps must be a number of at least 1e-12"):
        LNGRU(3, 5, ln_eps=0.0)
