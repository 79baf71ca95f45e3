import pytest
import torch
from cell_parity import FORMULAS, LN_3, draw, parameter_count
from cell_steps import assert_same_when_warm, assert_uniform, by_hand, drawn, near
from torch import Tensor

from cellbench.cells.scrn import SCRN, SCRNState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


def written_out(weights: dict[str, Tensor], x, state, slow: int, alpha: float | None):
    """Write the paper's formula out again: a sequence at a time, with R and P apart."""
    fast = state[0].shape[1]
    r, p = weights["recurrent.weight"].split([fast, slow], dim=1)
    keep = alpha if alpha is not None else 1 / (1 + torch.exp(-weights["alpha_logit"]))
    sequences = []
    for b in range(x.shape[1]):
        h, s, outputs = state[0][b], state[1][b], []
        for x_t in x[:, b]:
            s = keep * s + (1 - keep) * (weights["to_slow.weight"] @ x_t)
            a = weights["to_fast.weight"] @ x_t + weights["to_fast.bias"]
            h = 1 / (1 + torch.exp(-(p @ s + a + r @ h)))
            outputs.append(torch.cat([h, s]))
        sequences.append((torch.stack(outputs), h, s))
    y, h, s = zip(*sequences, strict=True)
    return torch.stack(y, 1), (torch.stack(h), torch.stack(s))


@pytest.mark.parametrize(
    ("options", "slow", "alpha"),
    [
        ({}, 1, 0.95),
        ({"context_size": 3, "alpha": 0.7}, 3, 0.7),
        ({"context_size": 2, "learn_alpha": True}, 2, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(
    time: int, options: dict, slow: int, alpha: float | None
) -> None:
    cell = SCRN(3, 5, **options)
    weights = drawn(cell)

    def theirs(x, state):
        return written_out(weights, x, state, slow, alpha)

    assert_same_when_warm(cell, weights, theirs, time, cell="scrn", against=FORMULAS)


def test_one_step_by_hand() -> None:
    """x = 1, h = 2, s = 2, alpha = 3/4: s = 3/4 * 2 + 1/4 * 6 = 3. In units of ln 3

    h: 1 + 2/2 - 2/3 * 3 + 1 = 1    sigmoid 3/4
    """
    weights = {
        "to_slow.weight": [6],
        "to_fast.weight": [LN_3],
        "to_fast.bias": [LN_3],
        "recurrent.weight": [LN_3 / 2, -2 / 3 * LN_3],
    }
    found = by_hand(SCRN(1, 2, alpha=3 / 4), weights, [1], [2], [2])

    assert found == near([3 / 4, 3], [3 / 4], [3])


def test_its_slow_units_forget_by_alpha_and_nothing_else() -> None:
    cell = SCRN(3, 8, alpha=0.9).double()
    s = draw(4, 2)
    _, last = unroll(cell, torch.zeros(20, 4, 3).double(), SCRNState(draw(4, 6), s))

    torch.testing.assert_close(last.s, 0.9**20 * s)


@pytest.mark.parametrize(("hidden", "slow"), [(2, 1), (4, 1), (12, 3), (64, 16)])
def test_a_quarter_of_its_units_is_slow(hidden: int, slow: int) -> None:
    h, s = SCRN(3, hidden).initial_state(2)

    assert (h.shape[1], s.shape[1]) == (hidden - slow, slow)


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = SCRN(48, 256, learn_alpha=True, alpha=0.9)

    assert_uniform(cell.to_slow.weight, 48**-0.5)
    assert_uniform(cell.to_fast.weight, 48**-0.5)
    assert_uniform(cell.to_fast.bias, 48**-0.5)
    assert_uniform(cell.recurrent.weight, 256**-0.5)
    torch.testing.assert_close(cell.alpha_logit.sigmoid(), torch.full((64,), 0.9))


@pytest.mark.parametrize("learn_alpha", [False, True])
def test_parameter_count(*, learn_alpha: bool) -> None:
    x, fast, slow = 7, 8, 3
    cell = SCRN(x, fast + slow, context_size=slow, learn_alpha=learn_alpha)

    assert parameter_count(cell) == fast * (x + fast + slow + 1) + slow * (x + learn_alpha)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"hidden_size": 1}, "hidden_size must be a whole number of at least 2"),
        ({"context_size": -1}, "context_size must be a whole number of at least 0"),
        ({"context_size": 5}, "context_size must be below hidden_size=5, not 5"),
        ({"alpha": 1.0}, "alpha must be a number of at least 0 and below 1"),
        ({"alpha": -0.1}, "alpha must be a number of at least 0 and below 1"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        SCRN(**{"input_size": 3, "hidden_size": 5} | option)
