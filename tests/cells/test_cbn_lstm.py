import pytest
import torch
from batch_norm_formulas import Formulas, at, cell_at, some_weights, with_statistics
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count
from torch import Tensor

from cellbench.cells.batch_norm import BatchNormState
from cellbench.cells.bn_lstm import BNLSTM
from cellbench.cells.cbn_lstm import CBNLSTM
from cellbench.cells.ln_lstm import LNLSTM
from cellbench.errors import OptionError
from cellbench.train.stacked_module import StackedModule
from cellbench.unroll import unroll

X, H, HYPER, MLP = 3, 5, 4, 6
CONDITIONS = ("input", "state", "hyper")


def make(condition: str = "input", **names: object) -> CBNLSTM:
    sizes = {"mlp_size": MLP, "hyper_size": HYPER}
    return CBNLSTM(X, H, condition=condition, **sizes | names).double()


def ready(condition: str, **names: object) -> CBNLSTM:
    """A cell with every weight drawn."""
    cell = make(condition, **names)
    for name, value in some_weights(cell).items():
        cell.get_parameter(name).data = value.detach()
    return cell


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_what_the_formulas_say(condition: str, *, training: bool, time: int) -> None:
    cell = with_statistics(make(condition, max_steps=5)).train(training)
    weights, t = some_weights(cell), torch.tensor([0, 1, 2, 9])
    sizes = (H, H, HYPER, HYPER) if condition == "hyper" else (H, H)

    assert_same(
        cell_at(cell, weights, t),
        at(Formulas(cell, weights, condition).run, t),
        draw(time, 4, X),
        [draw(4, size, seed=seed) for seed, size in enumerate(sizes, start=1)],
        weights.values(),
        cell="cbn_lstm",
        against=FORMULAS,
    )


def column(*values: float) -> Tensor:
    return torch.tensor(values).double().unsqueeze(1)


@pytest.mark.parametrize(
    ("condition", "first"), [("input", (1.0, 1.0)), ("state", (1.0, 0.0))], ids=str
)
def test_one_training_step_by_hand(condition: str, first: tuple[float, float]) -> None:
    """A batch of two, of which BN makes (1, -1) or (-1, 1), whatever they are.

    x = (2, 0) and h = (3, 1); the hidden layer has one feature, r = (3, 1), since it is x + 1
    or h. Own value, B and k, in units of ln 3, with what B r + k adds to it:

       gamma_h          BN(W_h h)  gamma_x             BN(W_x x)  b                  together
    i: 1 +  r/2 - 1/2    (1, -1)    0  - r/2 + 1/2      (1, -1)   1 - r/2 + 1/2
       (2, 1)                      (-1, 0)                        (0, 1)             (1, 0)
    f: 1/2               (1, -1)   1/2 + r/2 - 1        (-1, 1)   1 - 1/2
       (1/2, 1/2)                  (1, 0)                         (1/2, 1/2)         (0, 0)
    o: 1                 (-1, 1)   1/2 + r/2 - 1/2      (1, -1)   1/2 - r + 1
       (1, 1)                      (3/2, 1/2)                     (-3/2, 1/2)        (-1, 1)
    g: 1/2 + 1/2         (1, -1)   -1/2                 (1, -1)   -1 + 1
       (1, 1)                      (-1/2, -1/2)                   (0, 0)             (1/2, -1/2)

    sigmoids (3/4, 1/2), (1/2, 1/2), (1/4, 3/4) and tanh (1/2, -1/2), so from c = (1, 2)
    c = (1/2 + 3/8, 1 - 1/4) = (7/8, 3/4), normalised (1, -1). With the gain
    1/4 + r/8 - 1/8 = (1/2, 1/4) and the shift 3/4 - 3r/8 + 3/8 = (0, 3/4) that is (1/2, 1/2),
    whose tanh is 1/2: h = (1/8, 3/8).
    """
    cell = CBNLSTM(1, 1, condition=condition, mlp_size=1, eps=1e-12).double()
    weight, bias = first
    last = torch.tensor(
        [
            *((1 / 2, -1 / 2), (0, 0), (0, 0), (0, 1 / 2)),
            *((-1 / 2, 1 / 2), (1 / 2, -1), (1 / 2, -1 / 2), (0, 0)),
            *((-1 / 2, 1 / 2), (0, -1 / 2), (-1, 1), (0, 1)),
            *((1 / 8, -1 / 8), (-3 / 8, 3 / 8)),
        ]
    ).double()
    for name, value in {
        "weight_x": [4, -3, 2, 1],
        "weight_h": [1, 2, -1, 1 / 2],
        "gamma_h": [LN_3, LN_3 / 2, LN_3, LN_3 / 2],
        "gamma_x": [0, LN_3 / 2, LN_3 / 2, -LN_3 / 2],
        "bias": [LN_3, LN_3, LN_3 / 2, -LN_3],
        "gamma_c": [LN_3 / 4],
        "beta_c": [LN_3 * 3 / 4],
        "conditioner.first.weight": [weight],
        "conditioner.first.bias": [bias],
        "conditioner.last.weight": last[:, 0] * LN_3,
        "conditioner.last.bias": last[:, 1] * LN_3,
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.as_tensor(value).double().view(parameter.shape)
    start = BatchNormState(column(3, 1), column(1, 2), torch.tensor([0, 0]))

    y, end = unroll(cell, column(2, 0).unsqueeze(0), start)

    torch.testing.assert_close(y[0].flatten().tolist(), [1 / 8, 3 / 8])
    torch.testing.assert_close(end.c.flatten().tolist(), [7 / 8, 3 / 4])
    assert end.t.tolist() == [1, 1]


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("training", [True, False])
def test_it_starts_as_a_bn_lstm(condition: str, *, training: bool) -> None:
    torch.manual_seed(0)
    cell = with_statistics(make(condition, max_steps=5)).train(training)
    plain = with_statistics(BNLSTM(X, H, max_steps=5).double()).train(training)
    own = {name: value for name, value in cell.state_dict().items() if "conditioner" not in name}
    plain.load_state_dict(own)
    x = draw(7, 4, X)

    torch.testing.assert_close(unroll(cell, x)[0], unroll(plain, x)[0])
    for gamma in (cell.gamma_h, cell.gamma_x, cell.gamma_c):
        torch.testing.assert_close(gamma, torch.full_like(gamma, 0.1))
    assert cell.bias[H : 2 * H].tolist() == [1.0] * H


@pytest.mark.parametrize("condition", CONDITIONS)
def test_it_is_evaluated_as_it_was_trained(condition: str) -> None:
    """On the batch that the statistics are of."""
    cell, x = ready(condition, max_steps=9), draw(7, 6, X)
    right, _ = unroll(cell, x)
    found = cell.eval().population(x)

    cell.load_state_dict(cell.state_dict() | found)

    assert (unroll(cell, x)[0] - right).abs().max() < 1e-12


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_population_of_many_cells_at_once(condition: str) -> None:
    cells = [ready(condition, max_steps=5) for _ in range(3)]
    for n, cell in enumerate(cells):
        cell.weight_h.data += n
    x = draw(4, 3, 6, X)  # time, cells, batch, input

    found = StackedModule(cells).call("population", x, in_dims=(1,))

    for n, cell in enumerate(cells):
        right = cell.population(x[:, n])
        torch.testing.assert_close({name: found[name][n] for name in found}, right)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("training", [True, False])
def test_sequences_see_each_other_in_training_alone(condition: str, *, training: bool) -> None:
    cell, x = with_statistics(ready(condition)).train(training), draw(4, 6, X)
    changed = torch.cat([x[:, :5], x[:, 5:] + 1], dim=1)

    difference = (unroll(cell, x)[0] - unroll(cell, changed)[0])[:, :5].abs().max()

    assert (difference > 1e-3) == training
    assert training or difference == 0


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("training", [True, False])
def test_inputs_that_are_all_the_same_give_finite_gradients(
    condition: str, *, training: bool
) -> None:
    cell, x = ready(condition), torch.zeros(30, 6, X).double()
    cell.load_state_dict(cell.state_dict() | cell.population(x))
    unroll(cell.train(training), x)[0].sum().backward()

    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())


def test_the_settings_of_a_bn_lstm_reach_it() -> None:
    torch.manual_seed(0)
    names = {"max_steps": 7, "initial_gamma": 0.3, "forget_bias": 2.0, "init": "identity"}
    cell = CBNLSTM(X, H, h0_noise=0.5, eps=1e-3, **names)

    assert cell.mean.shape == cell.var.shape == (7, 9 * H)
    assert cell.eps == 1e-3
    torch.testing.assert_close(cell.gamma_x, torch.full((4 * H,), 0.3))
    assert cell.bias[H : 2 * H].tolist() == [2.0] * H
    assert torch.equal(cell.weight_h[3 * H :], torch.eye(H))
    assert cell.initial_state(500).h.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("condition", "reads", "hyper"),
    [("input", 7, 0), ("state", 11, 0), ("hyper", 5, 4 * 5 * (7 + 11 + 5) + 4 * 5 + 10 * 5)],
)
def test_parameter_count(condition: str, reads: int, hyper: int) -> None:
    """Beside those of a BN-LSTM: A, a; B, k; and the hyper cell."""
    x, h = 7, 11
    cell = CBNLSTM(x, h, condition=condition, mlp_size=13, hyper_size=5)
    makers = (13 * reads + 13) + (14 * h * 13 + 14 * h) + hyper

    assert parameter_count(cell) == 4 * h * (x + h) + 4 * h + 8 * h + 2 * h + 2 * h + makers
    assert sum(weight.numel() for weight in cell.weight_makers()) == makers
    if hyper:
        assert parameter_count(cell.conditioner.hyper) == parameter_count(LNLSTM(x + h, 5))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"condition": "inputs"}, "condition must be one of input, state, hyper"),
        ({"mlp_size": 0}, "mlp_size must be a whole number of at least 1"),
        ({"hyper_size": 0}, "hyper_size must be a whole number of at least 1"),
        ({"max_steps": 0}, "max_steps must be a whole number of at least 1"),
        ({"eps": 0.0}, "eps must be a number of at least 1e-12"),
        ({"initial_gamma": -1.0}, "initial_gamma must be a number of at least 0"),
        ({"forget_bias": -1.0}, "forget_bias must be a number of at least 0"),
        ({"init": "identical"}, "init must be one of orthogonal, identity"),
        ({"h0_noise": -0.1}, "h0_noise must be a number of at least 0"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        CBNLSTM(3, 5, **option)
