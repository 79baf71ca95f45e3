import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from torch import Tensor

from cellbench.cells.fast_weights import FastWeights, FastWeightsState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


def random_weights(cell: FastWeights) -> dict[str, Tensor]:
    return {
        name: draw(*weight.shape, seed=10 + n).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }


def normalised(v: Tensor, weights: dict[str, Tensor]) -> Tensor:
    centred = v - v.mean()
    variance = (centred * centred).mean()
    return weights["norm.weight"] * centred / (variance + 1e-5) ** 0.5 + weights["norm.bias"]


def written_out(weights, x, h, a, *, inner: int, decay: float, rate: float, f):
    """Write the paper's formula out again, with A itself: a sequence at a time."""
    sequences = []
    for b in range(x.shape[1]):
        h_b, a_b, outputs = h[b], a[b], []
        for x_t in x[:, b]:
            sustained = weights["weight_h"] @ h_b + weights["weight_x"] @ x_t
            h_b = f(sustained)
            for _ in range(inner):
                h_b = f(normalised(sustained + a_b @ h_b, weights))
            a_b = decay * a_b + rate * torch.outer(h_b, h_b)
            outputs.append(h_b)
        sequences.append((torch.stack(outputs), h_b, a_b))
    y, h, a = map(torch.stack, zip(*sequences, strict=True))
    return y.transpose(0, 1), (h, a)


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize("inner", [1, 3])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(time: int, inner: int, nonlinearity: str) -> None:
    """From an A that is not symmetric, as no sum of outer products is."""
    settings = {"inner": inner, "decay": 0.8, "rate": 0.3}
    cell = FastWeights(3, 5, nonlinearity=nonlinearity, **settings).double()
    weights = random_weights(cell)
    f = torch.tanh if nonlinearity == "tanh" else lambda v: v.clamp(min=0)

    assert_same(
        with_weights(cell, weights),
        lambda x, state: written_out(weights, x, *state, f=f, **settings),
        draw(time, 4, 3),
        [draw(4, 5, seed=1), 0.2 * draw(4, 5, 5, seed=2)],
        weights.values(),
        cell="fast_weights",
        against=FORMULAS,
    )


def explicit(tape: Tensor, decay: float, rate: float) -> Tensor:
    """Make A of a tape, newest entry last."""
    a = torch.zeros(len(tape), tape.shape[2], tape.shape[2], dtype=tape.dtype)
    for h in tape.unbind(1):
        a = decay * a + rate * h[:, :, None] * h[:, None, :]
    return a


@pytest.mark.parametrize("inner", [1, 3])
@pytest.mark.parametrize("remembered", [0, 3])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_the_tape_gives_what_the_explicit_matrix_gives(time, remembered, inner) -> None:
    settings = {"inner": inner, "decay": 0.8, "rate": 0.3}
    cell = FastWeights(3, 5, form="tape", **settings).double()
    weights = random_weights(cell)

    def ours(x, state):
        y, (h, tape) = with_weights(cell, weights)(x, FastWeightsState(*state))
        assert tape.shape == (4, remembered + time, 5)
        return y, (h, explicit(tape, 0.8, 0.3))

    def theirs(x, state):
        h, tape = state
        a = explicit(tape, 0.8, 0.3)
        return written_out(weights, x, h, a, f=torch.relu, **settings)

    state = [draw(4, 5, seed=1), draw(4, remembered, 5, seed=2)]
    assert_same(
        ours, theirs, draw(time, 4, 3), state, weights.values(),
        cell="fast_weights", against=FORMULAS,
    )  # fmt: skip


def test_a_bounded_tape_forgets_what_is_older() -> None:
    """It is the explicit matrix of the last three states, no other."""
    torch.manual_seed(0)
    cell = FastWeights(3, 5, form="tape", tape=3).double()
    y, last = unroll(cell, draw(6, 2, 3))

    torch.testing.assert_close(last.memory, y[3:].transpose(0, 1))
    x, h = draw(1, 2, 3, seed=1), last.h
    weights = dict(cell.named_parameters())
    a = explicit(y[3:].transpose(0, 1), 0.95, 0.5)
    expected, _ = written_out(weights, x, h, a, inner=1, decay=0.95, rate=0.5, f=torch.relu)
    torch.testing.assert_close(cell.step(cell.project(x)[0], last)[0], expected[0])


def test_a_tape_that_is_long_enough_is_as_good_as_one_that_grows() -> None:
    torch.manual_seed(0)
    forms = [{}, {"form": "tape"}, {"form": "tape", "tape": 9}, {"form": "tape", "tape": 12}]
    cells = [FastWeights(3, 5, **options).double() for options in forms]
    x = draw(9, 2, 3)
    for cell in cells:
        cell.load_state_dict(cells[0].state_dict())

        torch.testing.assert_close(unroll(cell, x)[0], unroll(cells[0], x)[0])
    assert [cell.grows for cell in cells] == [False, True, False, False]


@pytest.mark.parametrize("form", ["matrix", "tape"])
def test_one_step_by_hand(form: str) -> None:
    """Two features; h = (1, 3), of which A = 1/2 (1, 3)(1, 3)^T; W = I, C = (-1, 3), x = 2.

    a  = (1, 3) + 2 (-1, 3)            = (-1, 9)
    g0 = relu(a)                       = (0, 9)
    A g0 = 1/2 (1, 3) * (3 * 9)        = (27/2, 81/2)
    a + A g0                           = (25/2, 99/2), mean 31, deviation 37/2
    LN, with gain (-2, 3), shift (1, 1) = (-2 * -1 + 1, 3 * 1 + 1) = (3, 4)

    A = 4/5 A + 1/2 (3, 4)(3, 4)^T     = (2/5 + 9/2, 6/5 + 6; 6/5 + 6, 18/5 + 8)
    """
    cell = FastWeights(1, 2, decay=0.8, form=form, ln_eps=1e-12).double()
    for name, value in {
        "weight_h": [[1, 0], [0, 1]],
        "weight_x": [[-1], [3]],
        "norm.weight": [-2, 3],
        "norm.bias": [1, 1],
    }.items():
        cell.get_parameter(name).data = torch.tensor(value).double()
    h = torch.tensor([[1.0, 3.0]]).double()
    past = torch.tensor([[[0.5, 1.5], [1.5, 4.5]]]).double()
    start = FastWeightsState(h, past if form == "matrix" else h.unsqueeze(1))

    y, last = unroll(cell, torch.full((1, 1, 1), 2.0).double(), start)

    torch.testing.assert_close(y.flatten().tolist(), [3.0, 4.0])
    if form == "matrix":
        expected = [[[0.4 + 4.5, 1.2 + 6], [1.2 + 6, 3.6 + 8]]]
        torch.testing.assert_close(last.memory.tolist(), expected)
    else:
        torch.testing.assert_close(last.memory.tolist(), [[[1.0, 3.0], [3.0, 4.0]]])


def test_a_tanh_by_hand() -> None:
    """One feature: LN gives its shift, ln 3 / 2, whatever comes in; tanh gives 1/2."""
    cell = FastWeights(2, 1, nonlinearity="tanh").double()
    cell.norm.bias.data.fill_(LN_3 / 2)

    assert unroll(cell, draw(3, 1, 2))[0].flatten().tolist() == pytest.approx([0.5] * 3)


def test_it_is_drawn_to_the_past_state_that_is_like_it() -> None:
    """Of two orthogonal states on the tape, A g is along the one that g is along."""
    cell = FastWeights(3, 4, form="tape", rate=1.0, decay=0.5).double()
    tape = torch.eye(4)[:2].double().unsqueeze(0)
    g = torch.tensor([[3.0, 0.0, 0.0, 1.0]]).double()

    assert cell._recall(tape, g).tolist() == [[1.5, 0, 0, 0]]  # noqa: SLF001 -- A has no other use


def test_layer_normalisation_keeps_a_loop_bounded() -> None:
    """Many inner steps, a large rate: the outputs stay within sqrt(hidden) times gain."""
    torch.manual_seed(0)
    cell = FastWeights(3, 8, inner=10, rate=100.0)
    y, _ = unroll(cell, 100 * torch.randn(30, 2, 3))

    assert y.isfinite().all()
    assert y.norm(dim=-1).max() <= 8**0.5 + 1e-4


def test_it_starts_as_published() -> None:
    """W = 0.05 I, and C from U(-1 / sqrt(H), 1 / sqrt(H)), whatever the inputs."""
    cell = FastWeights(30, 50)

    torch.testing.assert_close(cell.weight_h.data, torch.diag(torch.full((50,), 0.05)))
    for bound in (cell.weight_x.max(), -cell.weight_x.min()):
        assert bound.item() == pytest.approx(50**-0.5, rel=0.05)
        assert bound.item() <= 50**-0.5
    assert (cell.norm.weight == 1).all()
    assert not cell.norm.bias.any()
    assert (cell.inner, cell.decay, cell.rate) == (1, 0.95, 0.5)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(FastWeights(x, h)) == h * h + h * x + 2 * h


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"inner": 0}, "inner must be a whole number of at least 1"),
        ({"decay": 1.0}, "decay must be a number of at least 0 and below 1"),
        ({"rate": -1.0}, "rate must be a number of at least 0"),
        ({"nonlinearity": "gelu"}, "nonlinearity must be one of relu, tanh"),
        ({"form": "matrices"}, "form must be one of matrix, tape"),
        ({"form": "tape", "tape": -1}, "tape must be a whole number of at least 0"),
        ({"tape": 3}, 'tape must be 0 unless form is "tape", not 3'),
        ({"ln_eps": 0.0}, "ln_eps must be a number of at least 1e-12"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(wrong, said) -> None:
    with pytest.raises(OptionError, match=said):
        FastWeights(3, 8, **wrong)
