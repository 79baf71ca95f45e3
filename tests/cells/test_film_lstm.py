import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from torch import Tensor, nn

from cellbench.cells.film_lstm import FiLMLSTM
from cellbench.cells.hyperlstm import HyperLSTM
from cellbench.cells.ln_lstm import LNLSTM
from cellbench.errors import OptionError
from cellbench.unroll import unroll

X, H, HYPER, MLP = 3, 5, 4, 6
CONDITIONS = ("input", "state", "hyper")


def make(condition: str = "input", **names: object) -> FiLMLSTM:
    sizes = {"mlp_size": MLP, "hyper_size": HYPER}
    return FiLMLSTM(X, H, condition=condition, **sizes | names).double()


def start(condition: str) -> list[Tensor]:
    sizes = (H, H, HYPER, HYPER) if condition == "hyper" else (H, H)
    return [draw(4, size, seed=seed) for seed, size in enumerate(sizes, start=1)]


def some_weights(condition: str) -> dict[str, Tensor]:
    """Every weight drawn, also those that start at 0 or 1."""
    shapes = {name: value.shape for name, value in make(condition).named_parameters()}
    return {
        name: (0.6 * draw(*shape, seed=10 + n)).requires_grad_()
        for n, (name, shape) in enumerate(shapes.items())
    }


def normal(v: Tensor, eps: float = 1e-5) -> Tensor:
    """Layer normalisation of one vector."""
    away = v - v.sum() / len(v)
    return away / (away.dot(away) / len(v) + eps) ** 0.5


class Formulas:
    """The equations for one sequence, one gate at a time.

    The hyper cell is that of HyperLSTM, equation 10.
    """

    def __init__(self, condition: str, weights: dict[str, Tensor]) -> None:
        self.condition, self.w = condition, weights

    def hyper(self, x: Tensor, h: Tensor, h2: Tensor, c2: Tensor) -> tuple[Tensor, Tensor]:
        w = {name.removeprefix("conditioner.hyper."): value for name, value in self.w.items()}
        gates = []
        for k in range(4):
            rows = slice(k * HYPER, (k + 1) * HYPER)
            y = w["weight_x"][rows] @ torch.cat([x, h]) + w["weight_h"][rows] @ h2 + w["bias"][rows]
            gates.append(normal(y) * w["norm.gain"][k, 0] + w["norm.shift"][k, 0])
        i, f, o, g = gates
        c2 = f.sigmoid() * c2 + i.sigmoid() * g.tanh()
        return o.sigmoid() * (normal(c2) * w["norm_c.weight"] + w["norm_c.bias"]).tanh(), c2

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        w, (h, c, *rest) = self.w, state
        if self.condition == "hyper":
            rest = self.hyper(x, h, *rest)
        e = {"input": x, "state": h}.get(self.condition, rest[0] if rest else None)
        first, last = ({p: w[f"conditioner.{n}.{p}"] for p in ("weight", "bias")} for n in PAIR)
        hidden = (first["weight"] @ e + first["bias"]).clamp(min=0)
        gates = []
        for k in range(4):
            rows = slice(k * H, (k + 1) * H)
            d_h, d_x, d_b = (
                (last["weight"] @ hidden + last["bias"])[part * 4 * H :][rows] for part in range(3)
            )
            of_h, of_x = normal(w["weight_h"][rows] @ h), normal(w["weight_x"][rows] @ x)
            gates.append(of_h + d_h * of_h + of_x + d_x * of_x + w["bias"][rows] + d_b)
        i, f, o, g = gates
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * (normal(c) * w["norm_c.weight"] + w["norm_c.bias"]).tanh()
        return h, c, *rest

    def run(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        rows = []
        for row in range(x.shape[1]):
            now, outputs = tuple(part[row] for part in state), []
            for x_t in x[:, row]:
                now = self.step(x_t, now)
                outputs.append(now[0])
            rows.append((torch.stack(outputs), *now))
        y, *last = zip(*rows, strict=True)
        return torch.stack(y, dim=1), tuple(torch.stack(part) for part in last)


PAIR = ("first", "last")


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_what_the_formulas_say(condition: str, time: int) -> None:
    weights = some_weights(condition)

    assert_same(
        with_weights(make(condition), weights),
        Formulas(condition, weights).run,
        draw(time, 4, X),
        start(condition),
        weights.values(),
        cell="film_lstm",
        against=FORMULAS,
    )


def by_gate(*values: float) -> Tensor:
    """One value for each gate, the same for its two features."""
    return torch.tensor(values).repeat_interleave(2)


CONDITIONED = {
    "input": {"conditioner.first.weight": [2], "conditioner.first.bias": [-1]},
    "state": {"conditioner.first.weight": [3, -1], "conditioner.first.bias": [-1]},
    "hyper": {
        "conditioner.first.weight": [16],
        "conditioner.first.bias": [-1],
        "conditioner.hyper.norm.shift": [LN_3, 0, -LN_3, LN_3 / 2],
        "conditioner.hyper.norm_c.bias": [LN_3 / 2],
    },
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_one_step_by_hand(condition: str) -> None:
    """Two features, of which LN makes (1, -1) or (-1, 1), whatever they are, gate by gate.

    x = 1 and h = (1, 1). The hidden layer has one feature, which is 1 in each case:
    2x - 1, and 3 h_1 - h_2 - 1; and of a hyper cell of one feature, of which LN leaves but
    the shift, so that h' = sigmoid(-ln 3) tanh(ln 3 / 2) = 1/4 * 1/2: 16 h' - 1.

    So B + k is what changes are. In units of ln 3, with k = -1 that 1 + d takes away:

       LN(W_h h)  1 + d_h   LN(W_x x)  1 + d_x   sum of both      b + B + k
    i:  ( 1, -1)    2        ( 1, -1)   -1       ( 1,   -1)     1 + 1 - 2   =  0    ( 1,  -1)
    f:  ( 1, -1)   1/2       (-1,  1)    1       (-1/2, 1/2)    0 - 1 + 3/2 = 1/2   ( 0,   1)
    o:  (-1,  1)    1        ( 1, -1)   1/2      (-1/2, 1/2)    1/2 + 1 - 2 = -1/2  (-1,   0)
    g:  ( 1, -1)    1        ( 1, -1)  -1/2      (1/2, -1/2)    -2 + 1 + 1  =  0    (1/2, -1/2)

    sigmoids (3/4, 1/4), (1/2, 3/4), (1/4, 1/2) and tanh (1/2, -1/2), so from c = (1, 2)
    c = (1/2 + 3/8, 3/2 - 1/8) = (7/8, 11/8), normalised (-1, 1); gain ln 3 and shift
    (ln 3 / 2, -ln 3 / 2) make it (-1/2, 1/2) ln 3, tanh (-1/2, 1/2), and h = (-1/8, 1/4).
    """
    cell = FiLMLSTM(1, 2, condition=condition, mlp_size=1, hyper_size=1, ln_eps=1e-12).double()
    gains = torch.cat([by_gate(2, 1 / 2, 1, 1), by_gate(-1, 1, 1 / 2, -1 / 2)])
    for name, value in {
        "weight_h": [5, 0, 3, 1, -2, 4, 1, -1, -1, -2, -5, 3, 0, 1, -3, 2],
        "weight_x": [4, 1, -3, -1, 2, -6, 9, 7],
        "bias": by_gate(1, 0, 1 / 2, -2) * LN_3,
        "norm_c.weight": [LN_3, LN_3],
        "norm_c.bias": [LN_3 / 2, -LN_3 / 2],
        "conditioner.last.weight": torch.cat([gains, by_gate(1, -1, 1, 1)]) * LN_3,
        "conditioner.last.bias": torch.cat(
            [-torch.ones(16), by_gate(-2, 3 / 2, -2, 1) * LN_3],
        ),
        **CONDITIONED[condition],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.as_tensor(value).double().view(parameter.shape)
    state = cell.initial_state(1)
    state = state._replace(h=torch.ones(1, 2).double(), c=torch.tensor([[1.0, 2.0]]).double())

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), state)

    torch.testing.assert_close(y[0, 0].tolist(), [-1 / 8, 1 / 4])
    torch.testing.assert_close(last.h[0].tolist(), [-1 / 8, 1 / 4])
    torch.testing.assert_close(last.c[0].tolist(), [7 / 8, 11 / 8])


@pytest.mark.parametrize("condition", CONDITIONS)
def test_it_starts_as_the_cell_that_nothing_conditions(condition: str) -> None:
    """LN(W_h h) + LN(W_x x) + b, written with torch's layer normalisation."""
    cell = make(condition, forget_bias=1.0)
    x, state = draw(7, 4, X), tuple(part.detach() for part in start(condition))
    (h, c, *_), outputs = state, []
    for x_t in x:
        of_h, of_x = (
            torch.stack([nn.functional.layer_norm(v @ row.T, [H]) for row in weight.split(H)])
            for v, weight in ((h, cell.weight_h), (x_t, cell.weight_x))
        )
        i, f, o, g = of_h + of_x
        c = (f + 1).sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * nn.functional.layer_norm(c, [H]).tanh()
        outputs.append(h)

    torch.testing.assert_close(unroll(cell, x, state)[0], torch.stack(outputs))


def test_its_hyper_cell_is_the_one_of_hyperlstm() -> None:
    film = make("hyper")
    hyperlstm = HyperLSTM(X, H, hyper_size=HYPER).double()
    weights = some_weights("hyper")
    film.load_state_dict(weights)
    hyper = film.conditioner.hyper
    for name, value in {
        "hyper_weight_x": hyper.weight_x[:, :X],
        "hyper_weight_h": hyper.weight_x[:, X:],
        "hyper_weight_hyper": hyper.weight_h,
        "hyper_bias": hyper.bias,
        "hyper_norm.gain": hyper.norm.gain,
        "hyper_norm.shift": hyper.norm.shift,
        "hyper_norm_c.weight": hyper.norm_c.weight,
        "hyper_norm_c.bias": hyper.norm_c.bias,
    }.items():
        hyperlstm.get_parameter(name).data = value.detach()
    x, state = draw(1, 4, X), tuple(part.detach() for part in start("hyper"))

    _, found = unroll(film, x, state)
    _, expected = unroll(hyperlstm, x, state)

    torch.testing.assert_close(found[2:], expected[2:])


@pytest.mark.parametrize("condition", CONDITIONS)
def test_ln_eps_is_added_to_every_variance(condition: str) -> None:
    """Of 1e6, it leaves nothing of what is normalised."""
    cell = make(condition, ln_eps=1e6)
    cell.load_state_dict(some_weights(condition))
    nn.init.zeros_(cell.conditioner.last.weight)
    x, state = draw(1, 4, X), tuple(part.detach() for part in start(condition))

    _, last = unroll(cell, x, state)

    i, f, o, g = (cell.bias + cell.conditioner.last.bias[8 * H :]).chunk(4)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    h = (o.sigmoid() * cell.norm_c.bias.tanh()).expand(4, H)
    torch.testing.assert_close((last.h, last.c), (h, c), rtol=0, atol=0.02)
    if condition == "hyper":
        norm = cell.conditioner.hyper
        o = norm.norm.shift[2, 0].sigmoid() * norm.norm_c.bias.tanh()
        torch.testing.assert_close(last.hyper_h, o.expand(4, HYPER), rtol=0, atol=0.02)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_its_start(condition: str) -> None:
    cell = FiLMLSTM(4, 6, condition=condition, forget_bias=1.5)
    for block_h, block_x in zip(cell.weight_h.chunk(4), cell.weight_x.chunk(4), strict=True):
        torch.testing.assert_close(block_h @ block_h.t(), torch.eye(6))
        torch.testing.assert_close(block_x.t() @ block_x, torch.eye(4))

    assert cell.bias.view(4, 6).tolist() == [[0] * 6, [1.5] * 6, [0] * 6, [0] * 6]
    assert not FiLMLSTM(4, 6).bias.any()
    assert not cell.conditioner.last.weight.any()
    assert not cell.conditioner.last.bias.any()
    assert cell.conditioner.first.weight.any()


@pytest.mark.parametrize(
    ("condition", "reads", "hyper"),
    [("input", 7, 0), ("state", 11, 0), ("hyper", 5, 4 * 5 * (7 + 11 + 5) + 4 * 5 + 10 * 5)],
)
def test_parameter_count(condition: str, reads: int, hyper: int) -> None:
    x, h = 7, 11
    cell = FiLMLSTM(x, h, condition=condition, mlp_size=13, hyper_size=5)
    makers = (13 * reads + 13) + (12 * h * 13 + 12 * h) + hyper

    assert parameter_count(cell) == 4 * h * (x + h) + 4 * h + 2 * h + makers
    assert sum(weight.numel() for weight in cell.weight_makers()) == makers
    if hyper:
        assert parameter_count(cell.conditioner.hyper) == parameter_count(LNLSTM(x + h, 5))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"condition": "inputs"}, "condition must be one of input, state, hyper"),
        ({"mlp_size": 0}, "mlp_size must be a whole number of at least 1"),
        ({"hyper_size": 0}, "hyper_size must be a whole number of at least 1"),
        ({"ln_eps": 0.0}, "ln_eps must be a number of at least 1e-12"),
        ({"forget_bias": -1.0}, "forget_bias must be a number of at least 0"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        FiLMLSTM(3, 5, **option)
