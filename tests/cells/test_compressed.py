from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from torch import Tensor, nn

from cellbench.cells.base import Cell, ParallelCell, constant
from cellbench.cells.compressed import compressed
from cellbench.cells.frequencies import MOST, Frequencies, zigzag
from cellbench.cells.gru import GRU
from cellbench.cells.hyperlstm import HyperLSTM
from cellbench.cells.lstm import LSTM
from cellbench.cells.lstmn import LSTMN
from cellbench.cells.min_gru import MinGRU
from cellbench.cells.rnn import RNN
from cellbench.errors import OptionError
from cellbench.testing import unchecked_shapes
from cellbench.unroll import unroll


@pytest.fixture(autouse=True)
def _in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def of(weight: Tensor, coefficients: int = 10**6, **options: object) -> Frequencies:
    given = {"rows": weight.shape[-2], "side": 0, "residual": False, "spectral": False}
    return Frequencies(weight, coefficients=coefficients, **(given | options))


# --- The matrices -------------------------------------------------------------------------


def test_one_step_by_hand() -> None:
    """D_2 = [[1, 1], [1, -1]] / sqrt 2, so that C = [[a, b], [c, 0]] gives

        W = 1/2 [[a + b + c, a - b + c], [a + b - c, a - b - c]],  and alpha on the diagonal.

    A tanh RNN at x = (1, 0), h = (0, 1) sees the first column of W_ih and the second of W_hh.
    In units of ln 3:

        a, b, c, alpha = 2, 1, -1, 1     W_ih x = ((2 + 1 - 1)/2 + 1, (2 + 1 + 1)/2) = (2, 2)
        a, b, c, alpha = 1, 2, 2, -1     W_hh h = ((1 - 2 + 2)/2, (1 - 2 - 2)/2 - 1) = (1/2, -5/2)
        biases (-3, 1) and (1, -1)       sum (1/2, -1/2), of which tanh is (1/2, -1/2).
    """
    cell = compressed(2, 2, inner_cell=RNN, coefficients=3, residual=True)
    values = {
        "made.0.coefficients": [[2, 1, -1]],
        "made.0.alpha": [1],
        "made.1.coefficients": [[1, 2, 2]],
        "made.1.alpha": [-1],
        "kept.bias_ih": [-3, 1],
        "kept.bias_hh": [1, -1],
    }
    assert set(values) == {name for name, _ in cell.named_parameters()}
    for name, value in values.items():
        cell.get_parameter(name).data = torch.tensor(value).double() * LN_3

    y = unroll(cell, torch.tensor([[[1.0, 0.0]]]), (torch.tensor([[0.0, 1.0]]),))[0]

    torch.testing.assert_close(y, torch.tensor([[[1 / 2, -1 / 2]]]))


class Synthesis(torch.autograd.Function):
    """scipy's inverse DCT of coefficients put along the anti-diagonals; its adjoint is the DCT."""

    @staticmethod
    def forward(ctx, values, rows, columns):
        fft = foreign("scipy.fft")
        places = [(i, j) for i in range(rows) for j in range(columns)]
        places.sort(key=lambda at: (at[0] + at[1], at[(at[0] + at[1] + 1) % 2]))
        ctx.places = tuple(torch.tensor(places[: len(values)]).t())
        spectrum = torch.zeros(rows, columns)
        spectrum[ctx.places] = values
        return torch.from_numpy(fft.idctn(spectrum.numpy(), norm="ortho"))

    @staticmethod
    def backward(ctx, grad):
        fft = foreign("scipy.fft")
        spectrum = torch.from_numpy(fft.dctn(grad.contiguous().numpy(), norm="ortho"))
        return spectrum[ctx.places], None, None


@pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
@pytest.mark.parametrize("coefficients", [11, 80])
def test_its_matrices_are_those_of_scipy(*, coefficients: int, time: int, parallel: bool) -> None:
    """In torch's LSTM of 3 inputs, 5 features: W_ih of 60 entries has 60 coefficients at most."""
    cell = compressed(3, 5, coefficients=coefficients)
    weights = {name: draw(*p.shape, seed=n) for n, (name, p) in enumerate(cell.named_parameters())}
    for weight in weights.values():
        weight.requires_grad_()

    def run(x, state):
        w_ih, w_hh = (
            Synthesis.apply(weights[f"made.{n}.coefficients"][0], 20, columns)
            for n, columns in enumerate((3, 5))
        )
        given = [w_ih, w_hh, weights["kept.bias_ih"], weights["kept.bias_hh"]]
        start = [part.unsqueeze(0) for part in state]
        y, h, c = torch.lstm(x, start, given, True, 1, 0.0, False, False, False)  # noqa: FBT003 -- takes no keywords
        return y, (h[0], c[0])

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        run,
        draw(time, 4, 3),
        [draw(4, 5, seed=8), draw(4, 5, seed=9)],
        weights.values(),
        cell="compressed",
        against="scipy: fft.idctn",
    )


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_gate_by_gate_with_alphas_too(time: int) -> None:
    """In an RNN of three stacked gates, one after the other: torch's GRU."""
    cell = compressed(3, 5, inner_cell=GRU, coefficients=7, by_gate=True, residual=True)
    weights = {name: draw(*p.shape, seed=n) for n, (name, p) in enumerate(cell.named_parameters())}
    for weight in weights.values():
        weight.requires_grad_()

    def run(x, state):
        blocks = [
            [Synthesis.apply(values, 5, columns) for values in weights[f"made.{n}.coefficients"]]
            for n, columns in enumerate((3, 5))
        ]
        blocks[1] = [
            block + alpha * torch.eye(5)
            for block, alpha in zip(blocks[1], weights["made.1.alpha"], strict=True)
        ]
        matrices = [torch.cat(stacked) for stacked in blocks]
        given = [*matrices, weights["kept.bias_ih"], weights["kept.bias_hh"]]
        h = state[0].unsqueeze(0)
        y, h = torch.gru(x, h, given, True, 1, 0.0, False, False, False)  # noqa: FBT003 -- likewise
        return y, (h[0],)

    assert_same(
        with_weights(cell, weights),
        run,
        draw(time, 4, 3),
        [draw(4, 5, seed=9)],
        weights.values(),
        cell="compressed",
        against="scipy: fft.idctn",
    )


def test_the_order_goes_along_the_anti_diagonals() -> None:
    assert list(zigzag(3, 4)) == [
        *((0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2)),
        *((0, 3), (1, 2), (2, 1), (2, 2), (1, 3), (2, 3)),
    ]


@pytest.mark.parametrize("shape", [(2, 2), (12, 5), (3, 7), (4, 3, 6)])
def test_as_many_coefficients_as_entries_give_any_matrix(shape: tuple[int, ...]) -> None:
    weight = draw(*shape)

    torch.testing.assert_close(of(weight)(), weight)


def test_a_complex_matrix_has_complex_coefficients() -> None:
    weight = torch.complex(draw(4, 3), draw(4, 3, seed=1))

    torch.testing.assert_close(of(weight)(), weight)
    assert of(weight, 5).coefficients.is_complex()


@pytest.mark.parametrize("coefficients", [1, 5, 17, 60])
def test_a_matrix_has_the_norm_of_its_coefficients(coefficients: int) -> None:
    made = of(draw(12, 5), coefficients)

    torch.testing.assert_close(made().norm(), made.coefficients.norm())
    torch.testing.assert_close(made().norm(), draw(12, 5).norm())  # at the start, of the weight


def test_one_coefficient_is_a_constant_matrix() -> None:
    made = of(draw(12, 5), 1)
    made.coefficients.data.fill_(3.0)

    torch.testing.assert_close(made(), torch.full((12, 5), 3 / math.sqrt(60)))


@pytest.mark.parametrize(("coefficients", "rank"), [(8, 3), (32, 7), (128, 15), (512, 31)])
def test_few_coefficients_have_a_low_rank(coefficients: int, rank: int) -> None:
    assert torch.linalg.matrix_rank(of(draw(64, 64), coefficients)()) == rank


def test_high_frequencies_are_exact_in_float32() -> None:
    """Made in it, the angles of a matrix of 1024 rows would be off by 1e-4."""
    weight = draw(1024, 2)

    made = of(weight.float(), 2048)()

    assert (made - weight).abs().max() < 1e-5


# --- The start ----------------------------------------------------------------------------


def radii(weight: Tensor, side: int) -> Tensor:
    blocks = weight.detach().view(-1, side, side)  # torch's eigvals fails on some CPUs at rank 1
    return torch.from_numpy(abs(np.linalg.eigvals(blocks.numpy())).max(1))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("coefficients", [1, 8, 64, 1024])
@pytest.mark.parametrize("seed", range(3))
def test_a_recurrence_starts_with_the_spectral_radius_of_the_plain_cell(
    *, seed: int, coefficients: int, residual: bool
) -> None:
    torch.manual_seed(seed)
    plain = radii(LSTM(3, 32).weight_hh, 32)
    for by_gate in (False, True):
        torch.manual_seed(seed)
        cell = compressed(3, 32, coefficients=coefficients, by_gate=by_gate, residual=residual)
        found = radii(cell.made[1](), 32)
        if by_gate:
            torch.testing.assert_close(found, plain)
        else:
            torch.testing.assert_close(found.max(), plain.max())


@pytest.mark.parametrize("residual", [False, True])
def test_or_with_its_norm(*, residual: bool) -> None:
    torch.manual_seed(0)
    plain = LSTM(3, 32)
    torch.manual_seed(0)
    cell = compressed(3, 32, coefficients=8, residual=residual, init="rms", by_gate=True)

    for made, weight in zip(cell.made, (plain.weight_ih, plain.weight_hh), strict=True):
        columns = weight.shape[1]
        norms = (w.view(4, 32 * columns).norm(dim=1) for w in (made(), weight))
        torch.testing.assert_close(*norms)
    assert radii(cell.made[1](), 32).max() > 2 * radii(plain.weight_hh, 32).max()


@pytest.mark.parametrize("init", ["spectral", "rms"])
def test_both_parts_of_a_residual_start_as_large(init: str) -> None:
    cell = compressed(3, 32, coefficients=8, residual=True, init=init, by_gate=True)
    made = cell.made[1]
    eye = torch.eye(32)
    rest = made() - (made.alpha.view(4, 1, 1) * eye).view(128, 32)
    if init == "spectral":
        torch.testing.assert_close(radii(rest, 32), made.alpha.detach())
    else:
        norms = (made.alpha.view(4, 1, 1) * eye).flatten(1).norm(dim=1)
        torch.testing.assert_close(rest.view(4, -1).norm(dim=1), norms)


def test_coefficients_that_hardly_recur_are_not_blown_up() -> None:
    """Of two, the first alone makes the spectral radius, and may be next to nothing."""
    weight = draw(32, 32)
    weight -= 0.99 * weight.mean()
    norm = weight.norm()

    made = of(weight, 2, side=32, spectral=True)

    assert radii(weight, 32) > MOST * radii(made(), 32)
    torch.testing.assert_close(made().norm(), MOST * norm)


@pytest.mark.parametrize("make", [LSTM, HyperLSTM, LSTMN, MinGRU])
def test_with_every_coefficient_it_is_the_cell_inside(make) -> None:
    """Drawn with the same random numbers, whatever part of the cell reads the weights."""
    torch.manual_seed(3)
    plain = make(3, 5)
    matrices = [p for p in plain.parameters() if p.ndim > 1 and min(p.shape[-2:]) > 1]
    every = max(math.prod(p.shape[-2:]) for p in matrices)
    torch.manual_seed(3)
    cell = compressed(3, 5, inner_cell=make, coefficients=every)
    x = draw(6, 2, 3)

    torch.testing.assert_close(unroll(cell, x), unroll(plain, x))
    assert isinstance(cell, ParallelCell) == isinstance(plain, ParallelCell)


def test_a_weight_of_zeros_starts_at_zero_and_learns() -> None:
    made = of(torch.zeros(6, 3), 4, side=3, spectral=True)
    made().sum().backward()

    assert not made().any()
    assert made.coefficients.grad.any()


# --- The cell -----------------------------------------------------------------------------


def test_parameter_counts() -> None:
    """Of an LSTM of 7 inputs and 12 features: W_ih 48 x 7, W_hh 48 x 12, two biases of 48."""
    assert parameter_count(compressed(7, 12)) == 64 + 64 + 96
    assert parameter_count(compressed(7, 12, coefficients=400)) == 48 * 7 + 400 + 96
    assert parameter_count(compressed(7, 12, residual=True)) == 64 + 64 + 4 + 96
    assert parameter_count(compressed(7, 12, by_gate=True)) == 4 * 64 + 4 * 64 + 96
    assert parameter_count(compressed(12, 12, residual=True)) == 64 + 4 + 64 + 4 + 96
    assert parameter_count(compressed(1, 12, coefficients=5)) == 48 + 5 + 96


def test_only_what_is_stacked_is_taken_gate_by_gate() -> None:
    """By its rows: a multiple of hidden_size, which is 5 here, or 1 and so of everything."""

    def make(x, h):
        return HyperLSTM(x, h, hyper_size=3, embedding_size=2)

    cell = compressed(3, 5, inner_cell=make, coefficients=4, by_gate=True)
    found = {tuple(made.shape): len(made.coefficients) for made in cell.made}

    of_rows = {(20, 3): 4, (20, 5): 4}  # W_x and W_h
    whole = {(12, 3): 1, (12, 5): 1, (16, 3): 1, (8, 3): 1}  # the hyper cell's, and embeddings
    assert found == of_rows | whole | {(8, 2, 5): 8, (4, 2, 5): 4}  # scales, biases: no rows of 5
    assert parameter_count(compressed(3, 1, coefficients=5, by_gate=True)) == 5 + 4 + 8


def test_vectors_stay_as_they_are() -> None:
    torch.manual_seed(0)
    plain = HyperLSTM(3, 5, embedding_size=1)
    torch.manual_seed(0)
    cell = compressed(3, 5, inner_cell=lambda x, h: HyperLSTM(x, h, embedding_size=1))
    kept = {name for name, p in plain.named_parameters() if p.ndim < 2 or min(p.shape[-2:]) == 1}

    assert {"bias", "scale", "norm.gain", "norm_c.weight", "embed_scale_bias"} <= kept
    assert {name for name, _ in cell.kept.named_parameters()} == kept
    for name in kept:
        assert torch.equal(cell.kept.get_parameter(name), plain.get_parameter(name))


class RichState(NamedTuple):
    h: Tensor
    total: Tensor


class Rich(Cell):
    """Uses all that a cell may have."""

    penalised = True
    has_population = True

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.first = nn.Parameter(draw(hidden_size, 4))
        self.w = nn.Linear(input_size, hidden_size)
        self.u = nn.Parameter(draw(hidden_size, hidden_size))
        self.fixed = nn.Parameter(draw(2, 2), requires_grad=False)
        self.register_buffer("seen", torch.zeros(hidden_size))
        self.register_buffer("damp", torch.tensor(0.5), persistent=False)

    def weight_makers(self):
        return [self.w.bias, self.u]

    def initial_state(self, batch):
        start = self.first.sum(1).expand(batch, -1)
        return RichState(start, start + self.training)

    def project(self, x):
        return self.w(x), constant(torch.linalg.matrix_exp(self.u), like=x)

    def step(self, p_t, state):
        x, turn = p_t
        h = torch.tanh(x + self.damp * state.h @ turn + self.seen + self.fixed.sum())
        return h, RichState(h, state.total + h)

    def penalty(self, state):
        return state.total.mean() * self.w.weight.sum()

    def population(self, x):
        return {"seen": self.w(x).mean((0, 1))}


def test_it_has_all_that_the_cell_inside_has() -> None:
    torch.manual_seed(0)
    plain = Rich(3, 5)
    torch.manual_seed(0)
    cell = compressed(3, 5, inner_cell=Rich, coefficients=25)
    x = draw(6, 2, 3)

    for _ in range(2):
        y, state = unroll(cell, x)
        expected, right = unroll(plain, x)
        torch.testing.assert_close((y, *state), (expected, *right))
        assert type(state) is RichState
        torch.testing.assert_close(cell.penalty(state), plain.penalty(right))
        cell.eval()
        plain.eval()
    assert (cell.penalised, cell.has_population, cell.grows) == (True, True, False)
    found, right = cell.population(x), plain.population(x)
    assert [*found] == ["kept.seen"]
    torch.testing.assert_close(found["kept.seen"], right["seen"])
    assert cell.get_buffer("kept.seen").shape == (5,)
    assert set(cell.state_dict()) == {
        *("made.0.coefficients", "made.1.coefficients", "made.2.coefficients"),
        *("kept.w.bias", "kept.fixed", "kept.seen"),
    }


def test_what_makes_weights_inside_makes_them_still() -> None:
    cell = compressed(3, 5, inner_cell=Rich, coefficients=15)
    names = {id(parameter): name for name, parameter in cell.named_parameters()}

    assert {names[id(maker)] for maker in cell.weight_makers()} == {
        "kept.w.bias",
        "made.1.coefficients",
    }
    assert compressed(3, 5).weight_makers() == []


def test_a_growing_tape_grows_inside_too() -> None:
    cell = compressed(3, 5, inner_cell=LSTMN, coefficients=15)

    assert cell.grows
    assert unroll(cell, draw(4, 2, 3))[0].shape == (4, 2, 5)


def test_dropout_inside_follows_the_mode() -> None:
    def make(x, h):
        return HyperLSTM(x, h, recurrent_dropout=0.5)

    cell, x = compressed(3, 5, inner_cell=make, coefficients=15), draw(9, 2, 3)

    assert not torch.equal(unroll(cell, x)[0], unroll(cell, x)[0])
    cell.eval()
    assert torch.equal(unroll(cell, x)[0], unroll(cell, x)[0])


@pytest.mark.parametrize("module", [nn.LSTM, nn.GRUCell])
def test_a_module_of_torch_may_be_inside(module) -> None:
    torch.manual_seed(0)
    plain = module(3, 5)
    torch.manual_seed(0)
    cell = compressed(3, 5, inner_cell=module, coefficients=100 if module is nn.LSTM else 75)
    x = draw(1, 2, 3)
    expected = plain(x)[0] if module is nn.LSTM else plain(x[0]).unsqueeze(0)

    y, _ = unroll(cell, x)
    (gradient,) = torch.autograd.grad(y.sum(), [cell.made[0].coefficients])

    torch.testing.assert_close(y, expected)
    assert gradient.any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"coefficients": 0}, "coefficients must be a whole number of at least 1"),
        ({"coefficients": 101}, r"from 1 to 100, .* matrix \(weight_hh, 20 x 5\), not 101\.$"),
        ({"coefficients": 26, "by_gate": True}, r"from 1 to 25, .* \(weight_hh, 5 x 5\), not 26"),
        ({"by_gate": 1}, "by_gate must be True or False"),
        ({"residual": None}, "residual must be True or False"),
        ({"init": "norm"}, "init must be one of spectral, rms"),
        ({"inner_cell": compressed}, "inner_cell is compressed already"),
        ({"inner_cell": lambda *_: RNN(1, 1)}, "inner_cell has no matrix to compress"),
    ],
    ids=["none", "too-many", "too-many-by-gate", "gate", "residual", "init", "twice", "vectors"],
)
def test_an_option_it_cannot_take_is_named(given: dict, said: str) -> None:
    with unchecked_shapes(), pytest.raises(OptionError, match=said):
        compressed(3, 5, **given)
