import pytest
import torch
from batch_norm_formulas import Formulas, at, cell_at, some_weights, with_statistics
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count
from torch import Tensor

from cellbench.cells.batch_norm import BatchNormState
from cellbench.cells.bn_lstm import BNLSTM
from cellbench.errors import OptionError
from cellbench.train.stacked_module import StackedModule
from cellbench.unroll import unroll

X, H = 3, 5
EVALUATION = ("mean", "var")


def make(**names: object) -> BNLSTM:
    return BNLSTM(X, H, **names).double()


def ready(**names: object) -> BNLSTM:
    """A cell with every weight drawn."""
    cell = make(**names)
    for name, value in some_weights(cell).items():
        cell.get_parameter(name).data = value.detach()
    return cell


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_what_the_formulas_say(*, training: bool, time: int) -> None:
    """In evaluation with sequences that are at different steps, some of them late."""
    cell = with_statistics(make(max_steps=5)).train(training)
    weights, t = some_weights(cell), torch.tensor([0, 1, 2, 9])

    assert_same(
        cell_at(cell, weights, t),
        at(Formulas(cell, weights).run, t),
        draw(time, 4, X),
        [draw(4, H, seed=1), draw(4, H, seed=2)],
        weights.values(),
        cell="bn_lstm",
        against=FORMULAS,
    )


def by_hand() -> BNLSTM:
    cell = BNLSTM(1, 1, max_steps=2, eps=1e-12).double()
    for name, value in {
        "weight_x": [4, -3, 2, 1],
        "weight_h": [1, 2, -1, 1 / 2],
        "gamma_h": [2 * LN_3, LN_3 / 2, LN_3, LN_3],
        "gamma_x": [-LN_3, LN_3, LN_3 / 2, -LN_3 / 2],
        "bias": [0, LN_3 / 2, -LN_3 / 2, 0],
        "gamma_c": [LN_3 * 3 / 4],
        "beta_c": [LN_3 / 4],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().view(parameter.shape)
    return cell


def column(*values: float) -> Tensor:
    return torch.tensor(values).double().unsqueeze(1)


def test_one_training_step_by_hand() -> None:
    """A batch of two, of which BN makes (1, -1) or (-1, 1), whatever they are.

    x = (2, 0) and h = (3, 1), so each is (1, -1), or (-1, 1) where the weight is negative.
    In units of ln 3:

       BN(W_h h)  gamma_h   BN(W_x x)  gamma_x     b
    i:  ( 1, -1)     2       ( 1, -1)    -1        0      ( 1,   -1)     sigmoid (3/4, 1/4)
    f:  ( 1, -1)    1/2      (-1,  1)     1       1/2     ( 0,    1)     sigmoid (1/2, 3/4)
    o:  (-1,  1)     1       ( 1, -1)    1/2     -1/2     (-1,    0)     sigmoid (1/4, 1/2)
    g:  ( 1, -1)     1       ( 1, -1)   -1/2       0      (1/2, -1/2)    tanh    (1/2, -1/2)

    c = (1, 2)  ->  c = (1/2 + 3/8, 3/2 - 1/8) = (7/8, 11/8), normalised (-1, 1); with gain
    3/4 and shift 1/4, (-1/2, 1), whose tanh is (-1/2, 4/5): h = (-1/8, 2/5).
    """
    start = BatchNormState(column(3, 1), column(1, 2), torch.tensor([0, 0]))

    y, last = unroll(by_hand(), column(2, 0).unsqueeze(0), start)

    torch.testing.assert_close(y[0].flatten().tolist(), [-1 / 8, 2 / 5])
    torch.testing.assert_close(last.c.flatten().tolist(), [7 / 8, 11 / 8])
    assert last.t.tolist() == [1, 1]


@pytest.mark.parametrize("t", [1, 2, 100])
def test_one_step_of_evaluation_by_hand(t: int) -> None:
    """The same, each sequence by itself, with the statistics of that batch at step 1 of 2.

    Where x is 2 or 0 and h is 3 or 1, W_x x has mean W_x and variance W_x^2, W_h h has mean
    2 W_h and variance W_h^2; c is 7/8 or 11/8, with mean 9/8 and variance 1/16.
    """
    cell = by_hand().eval()
    cell.mean[1] = torch.tensor([4, -3, 2, 1, 2, 4, -2, 1, 9 / 8])
    cell.var[1] = torch.tensor([16, 9, 4, 1, 1, 4, 1, 1 / 4, 1 / 16])
    for x, h, c, y in ((2, 3, 1, -1 / 8), (0, 1, 2, 2 / 5)):
        start = BatchNormState(column(h), column(c), torch.tensor([t]))

        found, last = unroll(cell, column(x).unsqueeze(0), start)

        assert found.item() == pytest.approx(y)
        assert last.t.item() == t + 1


def test_the_statistics_of_a_hand_worked_batch() -> None:
    """Those of x as above; of h nothing varies, since all sequences start from h_0 = 3."""
    cell = by_hand()
    cell.h_0.data.fill_(3)
    found = cell.population(column(2, 0).unsqueeze(0))

    torch.testing.assert_close(
        found["mean"][0, :8].tolist(), [4.0, -3.0, 2.0, 1.0, 3.0, 6.0, -3.0, 1.5]
    )
    torch.testing.assert_close(found["var"][0, :8].tolist(), [16.0, 9.0, 4.0, 1.0] + [0.0] * 4)


@pytest.mark.parametrize(("time", "max_steps"), [(7, 7), (7, 20), (1, 3)])
def test_it_is_evaluated_as_it_was_trained(time: int, max_steps: int) -> None:
    """On the batch that the statistics are of: variances are taken over by the same rule."""
    cell = ready(max_steps=max_steps)
    x = draw(time, 6, X)
    right, _ = unroll(cell, x)

    cell.load_state_dict(cell.state_dict() | cell.population(x))

    assert (unroll(cell.eval(), x)[0] - right).abs().max() < 1e-12
    assert (unroll(make().eval(), x)[0] - right).abs().max() > 0.1


def test_later_steps_are_taken_for_the_last_one() -> None:
    cell, x = ready(max_steps=6), draw(4, 6, X)
    short = cell.population(x)
    long = cell.population(draw(9, 6, X))

    assert set(short) == set(long) == set(EVALUATION)
    for name in EVALUATION:
        assert short[name].shape == long[name].shape == (6, 9 * H)
        assert torch.equal(short[name][3:], short[name][3].expand(3, -1))
        assert not torch.equal(short[name][2], short[name][3])
        assert torch.equal(long[name], cell.population(draw(9, 6, X)[:6])[name])
        assert not torch.equal(long[name][4], long[name][5])


def test_the_population_of_many_cells_at_once() -> None:
    cells = [ready(max_steps=5, h0_noise=0.0) for _ in range(3)]
    for n, cell in enumerate(cells):
        cell.weight_h.data += n
    x = draw(4, 3, 6, X)  # time, cells, batch, input

    found = StackedModule(cells).call("population", x, in_dims=(1,))

    for n, cell in enumerate(cells):
        right = cell.population(x[:, n])
        torch.testing.assert_close({name: found[name][n] for name in found}, right)


@pytest.mark.parametrize("training", [True, False])
def test_asking_for_the_population_changes_nothing(*, training: bool) -> None:
    cell = ready().train(training)
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    found = cell.population(draw(4, 6, X).requires_grad_())

    torch.testing.assert_close(cell.state_dict(), before, rtol=0, atol=0)
    assert cell.training == training
    assert not any(value.requires_grad for value in found.values())
    assert cell.has_population
    torch.testing.assert_close(found, ready().population(draw(4, 6, X)))


@pytest.mark.parametrize("training", [True, False])
def test_sequences_see_each_other_in_training_alone(*, training: bool) -> None:
    cell, x = with_statistics(ready()).train(training), draw(4, 6, X)
    changed = torch.cat([x[:, :5], x[:, 5:] + 1], dim=1)

    difference = (unroll(cell, x)[0] - unroll(cell, changed)[0])[:, :5].abs().max()

    assert (difference > 1e-3) == training
    assert training or difference == 0


def gradients(cell: BNLSTM, x: Tensor) -> dict[str, Tensor]:
    cell.zero_grad()
    (unroll(cell, x)[0] * draw(len(x), x.shape[1], H)).sum().backward()
    return {name: value.grad for name, value in cell.named_parameters()}


@pytest.mark.parametrize("h0_noise", [0.0, 0.1])
@pytest.mark.parametrize("training", [True, False])
def test_inputs_that_are_all_the_same_give_finite_gradients(
    *, training: bool, h0_noise: float
) -> None:
    torch.manual_seed(0)
    cell = make(h0_noise=h0_noise)
    x = torch.zeros(30, 6, X).double()
    cell.load_state_dict(cell.state_dict() | cell.population(x))
    found = gradients(cell.train(training), x)

    assert all(gradient.isfinite().all() for gradient in found.values())
    if training:
        assert found["weight_h"].any() == (h0_noise > 0)


@pytest.mark.parametrize("h0_noise", [0.0, 0.1])
def test_training_never_moves_the_state_it_starts_from(h0_noise: float) -> None:
    """The mean over the batch takes out what all sequences share; and c_0 is no product."""
    cell, x = ready(h0_noise=h0_noise), draw(5, 6, X)

    training, evaluation = gradients(cell, x), gradients(cell.eval(), x)

    assert training["h_0"].abs().max() < 1e-12
    assert training["c_0"].abs().max() > 1e-3
    assert evaluation["h_0"].abs().max() > 1e-3


def test_noise_is_on_the_first_state_of_training_alone() -> None:
    torch.manual_seed(0)
    cell = make(h0_noise=0.3)
    cell.h_0.data.fill_(2.0)
    drawn = cell.initial_state(2000).h

    assert drawn.mean().item() == pytest.approx(2, abs=0.01)
    assert drawn.std().item() == pytest.approx(0.3, rel=0.02)
    assert (cell.eval().initial_state(7).h == 2).all()
    assert (cell.initial_state(7).c == 0).all()
    assert (make().initial_state(7).h == 0).all()
    assert cell.population(draw(2, 6, X))["var"][0, 4 * H : 8 * H].min() > 1e-5


@pytest.mark.parametrize("init", ["orthogonal", "identity"])
def test_it_starts_as_published(init: str) -> None:
    cell = BNLSTM(4, 6, init=init)
    gates_h = cell.weight_h.split(6)
    rest = torch.cat(gates_h[:3])
    torch.testing.assert_close(cell.weight_x.t() @ cell.weight_x, torch.eye(4))
    whole = rest if init == "identity" else cell.weight_h
    torch.testing.assert_close(whole.t() @ whole, torch.eye(6))

    assert torch.equal(gates_h[3], torch.eye(6)) == (init == "identity")
    assert cell.bias.view(4, 6).tolist() == [[0] * 6, [1] * 6, [0] * 6, [0] * 6]
    assert all((gamma == 0.1).all() for gamma in (cell.gamma_h, cell.gamma_x, cell.gamma_c))
    assert not any(part.any() for part in (cell.beta_c, cell.h_0, cell.c_0))
    assert cell.mean.shape == cell.var.shape == (256, 9 * 6)
    assert not cell.mean.any()
    assert (cell.var == 1).all()


def test_gains_and_forget_bias_can_start_elsewhere() -> None:
    cell = BNLSTM(4, 6, initial_gamma=0.7, forget_bias=2.0)

    assert cell.bias.tolist() == [0] * 6 + [2] * 6 + [0] * 12
    for gamma in (cell.gamma_h, cell.gamma_x, cell.gamma_c):
        torch.testing.assert_close(gamma, torch.full_like(gamma, 0.7))


@pytest.mark.parametrize("training", [True, False])
def test_eps_is_added_to_every_variance(*, training: bool) -> None:
    """Of 1e8, it leaves nothing of what is normalised."""
    cell, x = ready(eps=1e8).train(training), draw(1, 6, X)

    y, last = unroll(cell, x)

    i, f, o, g = cell.bias.chunk(4)
    c = f.sigmoid() * cell.c_0 + i.sigmoid() * g.tanh()
    torch.testing.assert_close(last.c, c.expand(6, H), rtol=0, atol=1e-2)
    torch.testing.assert_close(
        y[0], (o.sigmoid() * cell.beta_c.tanh()).expand(6, H), rtol=0, atol=1e-2
    )


def test_parameter_count() -> None:
    """W, b; gamma_h and gamma_x; gamma_c and beta_c; h_0 and c_0."""
    x, h = 7, 11

    assert parameter_count(BNLSTM(x, h)) == 4 * h * (x + h) + 4 * h + 8 * h + 2 * h + 2 * h


@pytest.mark.parametrize(
    ("option", "said"),
    [
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
        BNLSTM(3, 5, **option)
