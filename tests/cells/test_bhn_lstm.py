from __future__ import annotations

import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from cellbench.cells.bhn_lstm import BHNLSTM, BHNLSTMState
from cellbench.cells.flow import Flow, log_normal
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll


def randomised(module: nn.Module, spread: float = 0.5) -> nn.Module:
    """In float64, each parameter drawn, also those that start at 0."""
    module.double()
    for n, parameter in enumerate(module.parameters()):
        parameter.data = spread * draw(*parameter.shape, seed=100 + n)
    return module


def make(**options: object) -> BHNLSTM:
    given = {"couplings": 2, "flow_size": 7, "prior_precision": 2.5} | options
    return randomised(BHNLSTM(3, 5, **given), spread=0.2)


# --- The cell -----------------------------------------------------------------------------


def test_one_step_by_hand() -> None:
    """x = (1, 1/2), h = 2, c = ln 3 - 3/4. Rows of V_x, of V_h, each over its norm, times x and h:

    i: (3, 4) -> 3/5 + 2/5 = 1       7 -> 2     g 2,  -1/2    y =  2 - 1   + 0   =  1    3/4
    f: (4, -3) -> 4/5 - 3/10 = 1/2  -2 -> -2    g 4,  1/2     y =  2 - 1   - 1   =  0    1/2
    o: (0, 9) -> 1/2                 3 -> 2     g -2, 1       y = -1 + 2   - 2   = -1    1/4
    u: (2, 0) -> 1                  -1 -> -2    g 1/2, 1/4    y = 1/2 - 1/2 + 1/2 = 1/2  tanh 1/2

    g and y in units of ln 3, the third numbers being b. As in an LSTM from here:
    c = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2, and h = 1/4 * 1/2 = 1/8.
    """
    cell = BHNLSTM(2, 1).double()
    cell.weight_x.data = torch.tensor([[3.0, 4], [4, -3], [0, 9], [2, 0]]).double()
    cell.weight_h.data = torch.tensor([[7.0], [-2], [3], [-1]]).double()
    cell.bias.data = LN_3 * torch.tensor([0, -1, -2, 1 / 2]).double()
    g = LN_3 * torch.tensor([[2, 4, -2, 1 / 2, -1 / 2, 1 / 2, 1, 1 / 4]]).double()
    h, c, excess = (torch.tensor([[v]]).double() for v in (2.0, LN_3 - 3 / 4, 9.0))

    y, state = unroll(cell, torch.tensor([[[1.0, 0.5]]]).double(), BHNLSTMState(h, c, g, excess))

    found = [y.item(), state.h.item(), state.c.item()]
    torch.testing.assert_close(found, [1 / 8, 1 / 8, LN_3 / 2])
    assert torch.equal(state.g, g)
    assert torch.equal(state.excess, excess)


def by_formula(cell: BHNLSTM, x, h_0, c_0, eps):
    """Sequence by sequence, gate by gate, with whole weight matrices."""
    sequences = []
    for n in range(len(eps)):
        g = cell.flow.shift + torch.exp(cell.flow.log_scale) * eps[n]
        log_q = Normal(0.0, 1.0).log_prob(eps[n]).sum() - sum(cell.flow.log_scale)
        for part in cell.flow.couplings:
            a = torch.clamp(part.read.weight @ g[:20] + part.read.bias, min=0)
            s = torch.exp(part.log_scale.weight @ a + part.log_scale.bias) + 0.001
            moved = s * g[20:] + part.shift.weight @ a + part.shift.bias
            log_q = log_q - torch.log(torch.prod(s))
            g = torch.stack([*reversed(moved), *reversed(g[:20])])
        log_p = Normal(cell.prior, 2.5**-0.5).log_prob(g).sum()

        def weights(v, scales):
            rows = [s * row / (row @ row) ** 0.5 for s, row in zip(scales, v, strict=True)]
            return torch.stack(rows).split(5)

        w_x, w_h, b = weights(cell.weight_x, g[:20]), weights(cell.weight_h, g[20:]), cell.bias
        h, c, outputs = h_0[n], c_0[n], []
        for x_t in x[:, n]:
            i, f, o, u = (w_x[k] @ x_t + w_h[k] @ h + b[5 * k : 5 * k + 5] for k in range(4))
            c = c / (1 + torch.exp(-f)) + torch.tanh(u) / (1 + torch.exp(-i))
            h = torch.tanh(c) / (1 + torch.exp(-o))
            outputs.append(h)
        sequences.append((torch.stack(outputs), h, c, g, (log_q - log_p).view(1)))
    y, *state = zip(*sequences, strict=True)
    return torch.stack(y, dim=1), tuple(torch.stack(part) for part in state)


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_what_the_formulas_say(time: int) -> None:
    """From eps to the last step, with a draw for each sequence."""
    cell = make()

    def ours(x, state):
        h, c, eps = state
        start = cell.drawn_state(4, eps)._replace(h=h, c=c)
        return stepwise(cell, cell.project(x), start)

    assert_same(
        ours,
        lambda x, state: by_formula(cell, x, *state),
        draw(time, 4, 3),
        [draw(4, 5, seed=1), draw(4, 5, seed=2), draw(4, 40, seed=3)],
        cell.parameters(),
        cell="bhn_lstm",
        against=FORMULAS,
    )


@pytest.mark.parametrize("couplings", [0, 1, 3])
def test_without_noise_it_starts_as_an_lstm_of_orthogonal_weights(couplings: int) -> None:
    """Torch's, with gates in its order."""
    torch.manual_seed(0)
    cell = BHNLSTM(3, 5, couplings=couplings, forget_bias=1.0).double().eval()
    theirs = nn.LSTM(3, 5).double()
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"):
        ours = {"weight_ih_l0": cell.weight_x, "weight_hh_l0": cell.weight_h}.get(name, cell.bias)
        i, f, o, u = ours.detach().chunk(4)
        theirs.get_parameter(name).data = torch.cat([i, f, u, o])
    theirs.bias_hh_l0.data.zero_()
    x = draw(9, 2, 3)

    y, _ = unroll(cell, x)

    # Made in float32.
    torch.testing.assert_close(y, theirs(x)[0], rtol=1e-6, atol=1e-6)
    for weight in (*cell.weight_x.chunk(4), *cell.weight_h.chunk(4)):
        eye = torch.eye(weight.shape[1]).double()
        torch.testing.assert_close(weight.t() @ weight, eye, rtol=0, atol=1e-6)
    assert cell.bias.tolist() == [0] * 5 + [1] * 5 + [0] * 10


def test_the_start_of_the_flow() -> None:
    torch.manual_seed(0)
    cell = BHNLSTM(3, 64, couplings=2)
    norms = torch.cat([cell.weight_x.norm(dim=1), cell.weight_h.norm(dim=1)])
    weights = [p for name, p in cell.flow.named_parameters() if name.endswith(".weight")]

    torch.testing.assert_close(cell.eval().initial_state(1).g, norms.unsqueeze(0))
    torch.testing.assert_close(norms[256:], torch.ones(256))
    assert torch.equal(cell.prior, norms)
    assert cell.flow.log_scale.unique().tolist() == [-7.0]
    assert len(weights) == 6
    for weight in weights:
        torch.testing.assert_close(weight.std().item(), 1e-4, rtol=0.02, atol=0)
    spread = cell.drawn_state(1000, torch.randn(1000, 512)).g.std(0)
    torch.testing.assert_close(spread.mean().item(), math.exp(-7), rtol=0.02, atol=0)


def test_parameter_counts() -> None:
    """Of 3 inputs and 5 features, g has 40 numbers, a coupling reads 20 and moves 20."""
    lstm = 20 * (3 + 5) + 20
    assert parameter_count(BHNLSTM(3, 5, couplings=0)) == lstm + 80
    assert parameter_count(BHNLSTM(3, 5)) == lstm + 80 + (21 * 200 + 2 * 201 * 20)
    cell = BHNLSTM(3, 5, couplings=2, flow_size=7)
    assert parameter_count(cell) == lstm + 80 + 2 * (21 * 7 + 2 * 8 * 20)
    assert sum(p.numel() for p in cell.weight_makers()) == parameter_count(cell) - lstm


# --- Draws --------------------------------------------------------------------------------


def test_one_draw_is_held_for_a_batch_and_for_all_time() -> None:
    cell = make().train()
    torch.manual_seed(1)
    state = cell.initial_state(3)
    _, last = unroll(cell, draw(7, 3, 3), state)
    torch.manual_seed(1)
    right = cell.drawn_state(3, torch.randn(40, dtype=torch.float64))

    torch.testing.assert_close(state, right)
    assert (state.g == state.g[:1]).all()
    assert (state.excess == state.excess[:1]).all()
    assert torch.equal(last.g, state.g)
    assert torch.equal(last.excess, state.excess)
    assert (cell.initial_state(3).g != state.g).all()


def test_in_evaluation_nothing_is_drawn() -> None:
    cell = make().eval()
    before = torch.get_rng_state()
    state = cell.initial_state(2)

    torch.testing.assert_close(state, cell.drawn_state(2, torch.zeros(40).double()))
    assert torch.equal(torch.get_rng_state(), before)


def test_with_scales_of_zero_all_draws_are_one() -> None:
    cell = make().train()
    cell.flow.log_scale.data.fill_(-800)

    first, second = cell.initial_state(2), cell.initial_state(2)

    assert torch.equal(first.g, second.g)


def test_the_excess_is_that_of_two_densities() -> None:
    cell = make(couplings=0, prior_mean="zero")
    eps = draw(6, 40, seed=4)
    state = cell.drawn_state(6, eps)
    log_q = Normal(cell.flow.shift, cell.flow.log_scale.exp()).log_prob(state.g).sum(1)
    log_p = Normal(0.0, 2.5**-0.5).log_prob(state.g).sum(1)

    torch.testing.assert_close(state.excess.squeeze(1), log_q - log_p)


def test_the_penalty_is_the_excess_for_each_training_sequence() -> None:
    cell = make(sequences=50, kl_weight=0.5).train()
    _, state = unroll(cell, draw(7, 3, 3))

    assert cell.penalised
    torch.testing.assert_close(cell.penalty(state), 0.5 / 50 * state.excess[0, 0])
    assert torch.autograd.grad(cell.penalty(state), cell.flow.log_scale)[0].all()
    assert not BHNLSTM(3, 5, kl_weight=0).penalised


def test_of_a_linear_gaussian_model_every_draw_gives_the_evidence() -> None:
    """y = g_x * (R_x x) + noise of deviation 0.3, at 3 inputs x, with p(g) = N(mu_0, 1 / 2.5).

    Where q is the posterior, log p(y | g) - excess is log p(y), whatever was drawn. It is known:
    each of the 20 rows y is Gaussian, of mean mu_0 a and covariance a a^T / 2.5 + 0.09 I, where a
    is R_x x of that row at the 3 inputs. Of g_h the posterior is the prior.
    """
    cell = make(couplings=0)
    a = cell.project(draw(3, 1, 3)).x.squeeze(1).t().detach()
    y, mean = draw(20, 3, seed=5), cell.prior
    precision = torch.cat([2.5 + a.square().sum(1) / 0.09, torch.full((20,), 2.5)])
    moved = torch.cat([(a * (y - mean[:20, None] * a)).sum(1) / 0.09, torch.zeros(20)]) / precision
    cell.flow.shift.data = mean + moved
    cell.flow.log_scale.data = -precision.log() / 2

    state = cell.drawn_state(8, draw(8, 40, seed=6))
    likelihood = Normal(state.g[:, :20, None] * a, 0.3).log_prob(y).sum((1, 2))

    covariance = a[:, :, None] * a[:, None] / 2.5 + 0.09 * torch.eye(3)
    evidence = MultivariateNormal(mean[:20, None] * a, covariance).log_prob(y).sum()
    torch.testing.assert_close(likelihood - state.excess[:, 0], evidence.expand(8))


# --- The flow -----------------------------------------------------------------------------


def test_a_flow_by_hand() -> None:
    """b_0 = (1, 2), s_0 = (2, 3), eps = (1/2, -1): x = (2, -1). Of the coupling, a = 2 - 1 = 1,
    s = exp(ln 2) + 0.001, m = 3: x_2 = -2.001 + 3 = 0.999. Then reversed.
    """
    flow = Flow(2, 1, 1).double()
    flow.shift.data = torch.tensor([1.0, 2.0]).double()
    flow.log_scale.data = torch.tensor([2.0, 3.0]).double().log()
    (coupling,) = flow.couplings
    for layer, weight, bias in (
        (coupling.read, 1.0, -1.0),
        (coupling.log_scale, 2 * math.log(2), -math.log(2)),
        (coupling.shift, 2.0, 1.0),
    ):
        layer.weight.data.fill_(weight)
        layer.bias.data.fill_(bias)

    x, log_det = flow(torch.tensor([0.5, -1.0]).double())

    torch.testing.assert_close(x.tolist(), [0.999, 2.0])
    torch.testing.assert_close(log_det.item(), math.log(2) + math.log(3) + math.log(2.001))


@pytest.mark.parametrize("couplings", [0, 1, 3])
@pytest.mark.parametrize("size", [2, 7, 16])
def test_the_log_determinant_is_that_of_the_jacobian(size: int, couplings: int) -> None:
    flow = randomised(Flow(size, couplings, 5))
    eps = draw(size, seed=1)
    jacobian = torch.autograd.functional.jacobian(lambda eps: flow(eps)[0], eps)

    torch.testing.assert_close(
        flow(eps)[1], torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("couplings", [0, 1, 3])
def test_a_flow_can_be_undone(couplings: int) -> None:
    flow = randomised(Flow(7, couplings, 5))
    eps = draw(4, 7, seed=1)

    torch.testing.assert_close(flow.inverse(flow(eps)[0]), eps)
    flow.centre(eps[0])
    torch.testing.assert_close(flow(torch.zeros(7).double())[0], eps[0])


def test_of_an_odd_size_the_smaller_part_is_read() -> None:
    """As in the authors' code."""
    (coupling,) = Flow(7, 1, 5).couplings

    assert (coupling.read.in_features, coupling.shift.out_features) == (3, 4)


def test_draws_of_a_flow_are_apart() -> None:
    flow = randomised(Flow(7, 2, 5))
    eps = draw(2, 3, 7, seed=1)
    x, log_det = flow(eps)

    assert log_det.shape == (2, 3)
    torch.testing.assert_close((x[1, 2], log_det[1, 2]), flow(eps[1, 2]))


def test_normal_densities_are_those_of_torch() -> None:
    value, mean = draw(3, 7), draw(7, seed=1)

    torch.testing.assert_close(
        log_normal(value, mean, 4.0), Normal(mean, 0.5).log_prob(value).sum(-1)
    )


def test_a_flow_that_learns_arrives_at_the_evidence() -> None:
    """y = g * a + noise of deviation 0.5, of five rows a: the bound becomes tight."""
    torch.manual_seed(0)
    flow = Flow(5, 0, 1).double()
    a, y = draw(5, 3), draw(5, 3, seed=1)
    covariance = a[:, :, None] * a[:, None] + 0.25 * torch.eye(3)
    evidence = MultivariateNormal(torch.zeros(5, 3).double(), covariance).log_prob(y).sum()

    def bounds(draws: int):
        eps = torch.randn(draws, 5, dtype=torch.float64)
        g, log_det = flow(eps)
        likelihood = Normal(g.unsqueeze(2) * a, 0.5).log_prob(y).sum((1, 2))
        return likelihood + log_normal(g) - log_normal(eps) + log_det

    flow.log_scale.data.fill_(-1.0)
    start = bounds(2000).mean()
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.1)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 400)
        optimizer.zero_grad()
        (-bounds(64).mean()).backward()
        optimizer.step()
    found = bounds(2000)

    assert start < evidence - 1
    assert abs(found.mean() - evidence) < 4 * found.std() / 2000**0.5 + 1e-3
    assert found.std() < 0.1


# --- Options ------------------------------------------------------------------------------


def test_the_prior_may_stand_at_zero() -> None:
    assert not BHNLSTM(3, 5, prior_mean="zero").prior.any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"couplings": -1}, "couplings must be a whole number of at least 0"),
        ({"flow_size": 0}, "flow_size must be a whole number of at least 1"),
        ({"prior_precision": 0.0}, "prior_precision must be a number of at least 1e-12"),
        ({"prior_mean": "one"}, "prior_mean must be one of start, zero"),
        ({"sequences": 0}, "sequences must be a whole number of at least 1"),
        ({"kl_weight": -0.5}, "kl_weight must be a number of at least 0"),
        ({"forget_bias": -1.0}, "forget_bias must be a number of at least 0"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(given: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        BHNLSTM(3, 5, **given)
