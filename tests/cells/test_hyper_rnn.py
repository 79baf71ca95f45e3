import pytest
import torch
from cell_parity import (
    FORMULAS,
    LN_3,
    assert_same,
    draw,
    parameter_count,
    results,
    with_weights,
)
from torch import Tensor, nn

from cellbench.cells.hyper_rnn import HyperRNN, HyperRNNState
from cellbench.cells.rnn import RNN
from cellbench.errors import OptionError
from cellbench.unroll import unroll

X, H, HYPER, Z = 3, 5, 4, 2

STATE = [draw(4, size, seed=seed) for seed, size in enumerate((H, HYPER), start=1)]


def make(**names: object) -> HyperRNN:
    return HyperRNN(X, H, **{"hyper_size": HYPER, "embedding_size": Z} | names).double()


def some_weights(form: str) -> dict[str, Tensor]:
    """Every weight drawn, also those that start at 0."""
    shapes = {name: value.shape for name, value in make(form=form).named_parameters()}
    return {
        name: (0.6 * draw(*shape, seed=10 + n)).requires_grad_()
        for n, (name, shape) in enumerate(shapes.items())
    }


class Formulas:
    """Equations 5, 6 and 8 for one sequence at a time, with every matrix made."""

    def __init__(self, form: str, source: str, weights: dict[str, Tensor]) -> None:
        self.form, self.source, self.w = form, source, weights

    def made(self, side: int, z: Tensor) -> Tensor:
        """W_h(z), side 0, or W_x(z), side 1."""
        own = self.w[("weight_h", "weight_x")[side]]
        if self.form == "full":
            return torch.einsum("k,kij->ij", z, own.reshape(Z, H, -1))
        return torch.diag(z @ self.w["scale"][side]) @ own

    def step(self, x: Tensor, h: Tensor, hyper: Tensor) -> tuple[Tensor, Tensor]:
        w = self.w
        reads = torch.cat([w["hyper_weight_x"], w["hyper_weight_h"], w["hyper_weight_hyper"]], 1)
        new = (reads @ torch.cat([x, h, hyper]) + w["hyper_bias"]).tanh()
        hint = new if self.source == "new" else hyper
        z_h, z_x = (w["embed_scale"] @ hint + w["embed_scale_bias"]).reshape(2, Z)
        b = w["bias"] + w["scale_bias"].T @ (w["embed_bias"] @ hint)
        return (self.made(0, z_h) @ h + self.made(1, z_x) @ x + b).tanh(), new

    def run(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        rows = []
        for row in range(x.shape[1]):
            h, hyper = (part[row] for part in state)
            outputs = []
            for x_t in x[:, row]:
                h, hyper = self.step(x_t, h, hyper)
                outputs.append(h)
            rows.append((torch.stack(outputs), h, hyper))
        y, *last = zip(*rows, strict=True)
        return torch.stack(y, dim=1), tuple(torch.stack(part) for part in last)


@pytest.mark.parametrize("source", ["new", "prev"])
@pytest.mark.parametrize("form", ["scaled", "full"])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_what_the_formulas_say(form: str, source: str, time: int) -> None:
    weights = some_weights(form)

    assert_same(
        with_weights(make(form=form, hyper_source=source), weights),
        Formulas(form, source, weights).run,
        draw(time, 4, X),
        STATE,
        weights.values(),
        cell="hyper_rnn",
        against=FORMULAS,
    )


@pytest.mark.parametrize("form", ["scaled", "full"])
def test_that_parity_sees_the_other_source(form: str) -> None:
    weights = some_weights(form)
    wrong = with_weights(make(form=form, hyper_source="prev"), weights)

    y, expected = (
        results(run, draw(7, 4, X), STATE, [])[0]
        for run in (wrong, Formulas(form, "new", weights).run)
    )

    assert (y - expected).abs().max() > 0.1


BY_HAND = {
    "hyper_weight_x": [LN_3],
    "hyper_weight_h": [-LN_3 / 2],
    "hyper_weight_hyper": [LN_3 / 2],
    "hyper_bias": [-LN_3],
    "embed_scale": [2, 4, 2, 6],
    "embed_scale_bias": [1, 1, -3, 0],
    "embed_bias": [2, 4],
    "scale_bias": [LN_3, LN_3 / 2],
    "bias": [-3 / 2 * LN_3],
}
SCALED = {"weight_h": [LN_3 / 4], "weight_x": [LN_3 / 4], "scale": [1, 1, 2, 1]}
FULL = {"weight_h": [LN_3 / 4, LN_3 / 4], "weight_x": [LN_3 / 2, LN_3 / 4]}


@pytest.mark.parametrize(("form", "main"), [("scaled", SCALED), ("full", FULL)])
@pytest.mark.parametrize("source", ["new", "prev"])
def test_one_step_by_hand(form: str, main: dict[str, list[float]], source: str) -> None:
    """x = 1, h = 1, h' = 2, two numbers to an embedding. In units of ln 3, over x, h, h', 1:

    h': 1 - 1/2 + 2/2 - 1 = 1/2     tanh 1/2

    From h' = 1/2:  z_h = (1 + 1, 2 + 1) = (2, 3)    z_x = (1 - 3, 3 + 0) = (-2, 3)
                    z_b = (1, 2)    b = 1 * 1 + 2 * 1/2 - 3/2 = 1/2
    scaled:  d_h = 2 + 3 = 5    d_x = 2 (-2) + 3 = -1    h: 5/4 - 1/4 + 1/2 = 3/2
    full:    2/4 + 3/4  +  -2/2 + 3/4  +  1/2  =  3/2, and tanh(3/2 ln 3) = 26/28.

    From h' = 2:    z_h = (4 + 1, 8 + 1) = (5, 9)    z_x = (4 - 3, 12 + 0) = (1, 12)
                    z_b = (4, 8)    b = 4 + 4 - 3/2 = 13/2
    scaled:  d_h = 14    d_x = 2 + 12 = 14    h: 14/4 + 14/4 + 13/2 = 27/2
    full:    5/4 + 9/4  +  1/2 + 12/4  +  13/2  =  27/2.
    """
    cell = HyperRNN(1, 1, hyper_size=1, embedding_size=2, form=form, hyper_source=source).double()
    for name, value in (BY_HAND | main).items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().view(parameter.shape)
    state = HyperRNNState(torch.tensor([[1.0]]).double(), torch.tensor([[2.0]]).double())

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), state)

    expected = 26 / 28 if source == "new" else (3**27 - 1) / (3**27 + 1)
    torch.testing.assert_close((y.item(), last.h.item()), (expected, expected))
    torch.testing.assert_close(last.hyper_h.item(), 1 / 2)


def test_the_full_form_can_be_the_scaled_one() -> None:
    """Of W[k] = diag(D[:, k]) W."""
    weights = some_weights("scaled")
    full = dict(weights)
    scale_h, scale_x = full.pop("scale")
    full["weight_h"] = torch.cat([torch.diag(row) @ weights["weight_h"] for row in scale_h])
    full["weight_x"] = torch.cat([torch.diag(row) @ weights["weight_x"] for row in scale_x])
    x = draw(7, 4, X)

    y, expected = (
        with_weights(make(form=form), w)(x, tuple(STATE))[0]
        for form, w in (("full", full), ("scaled", weights))
    )

    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("form", ["scaled", "full"])
@pytest.mark.parametrize("scale", [0.1, 0.7])
def test_it_starts_as_a_simple_network_of_scaled_weights(form: str, scale: float) -> None:
    cell = make(form=form, initial_scale=scale)
    rnn = RNN(X, H).double()
    share = Z if form == "full" else scale  # of each of the two, which come scaled
    rnn.weight_ih.data = share * cell.weight_x.data[:H]
    rnn.weight_hh.data = share * cell.weight_h.data[:H]
    nn.init.zeros_(rnn.bias_ih)
    nn.init.zeros_(rnn.bias_hh)
    x, state = draw(7, 4, X), tuple(part.detach() for part in STATE)

    torch.testing.assert_close(unroll(cell, x, state)[0], unroll(rnn, x, state[:1])[0])
    radius = torch.linalg.matrix_norm(rnn.weight_hh, ord=2).item()
    assert radius == pytest.approx(scale)


def test_it_starts_with_a_tenth() -> None:
    assert (HyperRNN(3, 5, embedding_size=2).scale == 0.05).all()


@pytest.mark.parametrize("init", ["paper", "asymmetric"])
@pytest.mark.parametrize("form", ["scaled", "full"])
def test_it_starts_as_published(form: str, init: str) -> None:
    torch.manual_seed(0)
    cell = HyperRNN(24, 20, hyper_size=40, embedding_size=64, form=form, init=init)
    both = torch.cat([cell.hyper_weight_x, cell.hyper_weight_h], dim=1)
    factor = 0.1 / 64 if form == "full" else 1
    for weight in (both, cell.hyper_weight_hyper):
        torch.testing.assert_close(weight @ weight.t(), torch.eye(40))
    for weight in (*cell.weight_h.split(20), *cell.weight_x.split(20)):
        torch.testing.assert_close(weight @ weight.t(), torch.eye(20) * factor**2)
    small = [cell.embed_bias] + ([cell.embed_scale] if init == "asymmetric" else [])
    for weight in small:
        assert abs(weight.mean().item()) < 5e-4
        assert weight.std().item() == pytest.approx(0.01, rel=0.03)

    assert len(cell.weight_h) == (64 * 20 if form == "full" else 20)
    assert (cell.embed_scale_bias == 1).all()
    assert not any(p.any() for p in (cell.bias, cell.hyper_bias, cell.scale_bias))
    assert cell.embed_scale.any() == (init == "asymmetric")
    if form == "scaled":
        torch.testing.assert_close(cell.scale, torch.full((2, 64, 20), 0.1 / 64))


@pytest.mark.parametrize("form", ["scaled", "full"])
@pytest.mark.parametrize(("init", "symmetric"), [("paper", True), ("asymmetric", False)])
def test_only_the_asymmetric_start_uses_more_than_one_embedding(
    *, form: str, init: str, symmetric: bool
) -> None:
    torch.manual_seed(0)
    cell = HyperRNN(3, 5, hyper_size=4, embedding_size=3, form=form, init=init)
    x, wanted = torch.randn(6, 8, 3), torch.rand(6, 8, 5) - 0.5
    before = cell.weight_h.detach().clone()
    optimizer = torch.optim.Adam(cell.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        (unroll(cell, x)[0] - wanted).square().mean().backward()
        optimizer.step()
    mixed = cell.scale if form == "scaled" else cell.weight_h.view(1, 3, -1)
    spread = (mixed.amax(1) - mixed.amin(1)).max()

    assert (spread < 1e-6) == symmetric
    assert (spread > 1e-4) != symmetric
    assert (cell.weight_h - before).abs().max() > 1e-2  # it did learn


@pytest.mark.parametrize("form", ["scaled", "full"])
def test_parameter_count(form: str) -> None:
    x, h, hyper, z = 7, 11, 5, 3
    cell = HyperRNN(x, h, hyper_size=hyper, embedding_size=z, form=form)

    main = z * h * (x + h) if form == "full" else h * (x + h) + 2 * h * z
    assert parameter_count(cell) == (
        main + h + hyper * (x + h + hyper) + hyper + 3 * hyper * z + 2 * z + h * z
    )


@pytest.mark.parametrize(("form", "rest"), [("scaled", 11 * (7 + 11) + 11), ("full", 11)])
def test_what_does_not_make_weights_is_a_simple_network(form: str, rest: int) -> None:
    cell = HyperRNN(7, 11, form=form)
    makers = sum(weight.numel() for weight in cell.weight_makers())

    assert parameter_count(cell) - makers == rest


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"hyper_size": 0}, "hyper_size must be a whole number of at least 1"),
        ({"embedding_size": 0}, "embedding_size must be a whole number of at least 1"),
        ({"form": "fully"}, "form must be one of scaled, full"),
        ({"hyper_source": "old"}, "hyper_source must be one of new, prev"),
        ({"init": "papers"}, "init must be one of paper, asymmetric"),
        ({"initial_scale": -0.1}, "initial_scale must be a number of at least 0"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        HyperRNN(3, 5, **option)
