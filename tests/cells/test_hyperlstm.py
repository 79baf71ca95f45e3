import pytest
import torch
from cell_parity import (
    LN_3,
    assert_same,
    draw,
    foreign,
    parameter_count,
    results,
    sigmoids_first,
    with_weights,
)
from torch import Tensor, nn

from cellbench.cells.hyperlstm import HyperLSTM, HyperLSTMState
from cellbench.cells.ln_lstm import LNLSTM
from cellbench.cells.lstm import LSTM
from cellbench.unroll import unroll


class Labml:
    """labml-nn's HyperLSTM, with weights drawn for the test: its own start at 0."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        cells = foreign("labml_nn.hypernetworks.hyper_lstm")
        self.layer = cells.HyperLSTM(3, 5, hyper_size=4, n_z=2, n_layers=1).double()
        for parameter in self.layer.parameters():
            nn.init.normal_(parameter, std=0.6)

    def run(self, x, state):
        y, last = self.layer(x, [part.unsqueeze(0) for part in state])
        return y, tuple(part.squeeze(0) for part in last)

    def weights(self) -> dict[str, Tensor]:
        cell = self.layer.cells[0]
        hyper_input = sigmoids_first(cell.hyper.input_lin.weight)  # reads [h; x]

        def turned(layers: nn.ModuleList) -> Tensor:
            return sigmoids_first(torch.stack([layer.weight.t() for layer in layers]))

        def affine(norms: nn.ModuleList, part: str) -> Tensor:
            rows = torch.stack([getattr(norm, part) for norm in norms])
            return sigmoids_first(rows).unsqueeze(1)

        def pair(first: Tensor, second: Tensor) -> Tensor:
            return torch.cat([sigmoids_first(first), sigmoids_first(second)])

        return {
            "weight_x": sigmoids_first(torch.cat(list(cell.w_x))),
            "weight_h": sigmoids_first(torch.cat(list(cell.w_h))),
            "bias": sigmoids_first(torch.stack([layer.bias for layer in cell.d_b])).unsqueeze(1),
            "hyper_weight_x": hyper_input[:, 5:],
            "hyper_weight_h": hyper_input[:, :5],
            "hyper_weight_hyper": sigmoids_first(cell.hyper.hidden_lin.weight),
            "hyper_bias": sigmoids_first(cell.hyper.hidden_lin.bias),
            "embed_scale": pair(cell.z_h.weight, cell.z_x.weight),
            "embed_scale_bias": pair(cell.z_h.bias, cell.z_x.bias),
            "embed_bias": sigmoids_first(cell.z_b.weight),
            "scale": torch.cat([turned(cell.d_h), turned(cell.d_x)]),
            "scale_bias": turned(cell.d_b),
            "norm.gain": affine(cell.layer_norm, "weight"),
            "norm.shift": affine(cell.layer_norm, "bias"),
            "norm_c.weight": cell.layer_norm_c.weight,
            "norm_c.bias": cell.layer_norm_c.bias,
            "hyper_norm.gain": affine(cell.hyper.layer_norm, "weight"),
            "hyper_norm.shift": affine(cell.hyper.layer_norm, "bias"),
            "hyper_norm_c.weight": cell.hyper.layer_norm_c.weight,
            "hyper_norm_c.bias": cell.hyper.layer_norm_c.bias,
        }


def make(**options: object) -> HyperLSTM:
    return HyperLSTM(3, 5, hyper_size=4, embedding_size=2, **options).double()


STATE = [draw(4, size, seed=seed) for seed, size in enumerate((5, 5, 4, 4), start=1)]


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_labml(time: int) -> None:
    theirs = Labml()
    ours = with_weights(make(), theirs.weights())

    assert_same(
        ours,
        theirs.run,
        draw(time, 4, 3),
        STATE,
        theirs.layer.parameters(),
        cell="hyperlstm",
        against="labml-nn: HyperLSTM",
    )


@pytest.mark.parametrize(
    ("option", "error"),
    [({"ln_eps": 1e-3}, 1e-3), ({"forget_bias": 1.0}, 0.1), ({"hyper_source": "prev"}, 0.1)],
    ids=str,
)
def test_that_parity_sees_a_wrong_option(option: dict[str, object], error: float) -> None:
    theirs = Labml()
    x = draw(7, 4, 3)
    wrong = with_weights(make(**option), theirs.weights())

    y, expected = (results(run, x, STATE, [])[0] for run in (wrong, theirs.run))

    assert (y - expected).abs().max() > error


def by_hand(c: float = LN_3 - 3 / 4, **options: object) -> tuple[float, ...]:
    """Run the step of the test below, from c' = c; return the next y, c, h' and c'."""
    names = {"hyper_size": 1, "embedding_size": 1, "layer_norm": False}
    cell = HyperLSTM(1, 1, **names, **options).double()
    for name, value in {
        "hyper_weight_x": [LN_3, LN_3, -LN_3, LN_3],
        "hyper_weight_h": [LN_3, -LN_3, LN_3, LN_3 / 2],
        "hyper_weight_hyper": [LN_3 / 2, LN_3, LN_3 / 2, -LN_3 / 4],
        "hyper_bias": [-2 * LN_3, -2 * LN_3, -2 * LN_3, -LN_3 / 2],
        "embed_scale": [8, 8, 16, 8, 8, 8, 8, 8],
        "embed_scale_bias": [1, 2, 0, 0, 0, 1, 2, 0],
        "embed_bias": [8, 8, 8, 8],
        "scale": [1, 1, 1, 1, -1, -1 / 2, -1 / 2, 1 / 2],
        "scale_bias": [LN_3 / 2, -LN_3, LN_3, -LN_3 / 2],
        "bias": [LN_3 / 2, 0, -LN_3, -LN_3],
        "weight_h": [LN_3] * 4,
        "weight_x": [2 * LN_3] * 4,
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().view(parameter.shape)
    state = HyperLSTMState(*(torch.tensor([[value]]).double() for value in (1.0, c, 2.0, c)))

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), state)

    return (y.item(), *(part.item() for part in last[1:]))


def test_one_step_by_hand() -> None:
    """x = 1, h = 1, h' = 2, c = c' = ln 3 - 3/4, no LN. In units of ln 3, over x, h, h', 1:

    i': 1 + 1   + 2/2 - 2   =  1     sigmoid 3/4
    f': 1 - 1   + 2   - 2   =  0     sigmoid 1/2
    o': -1 + 1  + 2/2 - 2   = -1     sigmoid 1/4
    g': 1 + 1/2 - 2/4 - 1/2 = 1/2    tanh    1/2

    c' = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2,  h' = 1/4 * 1/2 = 1/8. From it

        z_h = Z_h/8 + e_h    d_h    z_x = Z_x/8 + e_x   d_x        D_b z_b + b_0 (ln 3)
    i:      1 + 1 =  2        2         1 + 0 = 1       -1           1/2 + 1/2 =  1
    f:      1 + 2 =  3        3         1 + 1 = 2       -1            -1 + 0   = -1
    o:      2 + 0 =  2        2         1 + 2 = 3       -3/2           1 - 1   =  0
    g:      1 + 0 =  1        1         1 + 0 = 1       1/2          -1/2 - 1  = -3/2

    and with W_h h = ln 3, W_x x = 2 ln 3, in units of ln 3

    i: 2 - 2 + 1   =  1     f: 3 - 2 - 1 = 0
    o: 2 - 3 + 0   = -1     g: 1 + 1 - 3/2 = 1/2

    which are the hyper cell's again: c = ln 3 / 2, h = 1/8.
    """
    torch.testing.assert_close(by_hand(), (1 / 8, LN_3 / 2, 1 / 8, LN_3 / 2))


def test_one_step_by_hand_with_a_forget_bias() -> None:
    """Of ln 3, which makes f and f' 3/4; c = c' = 2/3 ln 3 - 1/2 then ends where it did:

    3/4 (2/3 ln 3 - 1/2) + 3/4 * 1/2 = ln 3 / 2.
    """
    found = by_hand(c=2 / 3 * LN_3 - 1 / 2, forget_bias=LN_3)

    torch.testing.assert_close(found, (1 / 8, LN_3 / 2, 1 / 8, LN_3 / 2))


def test_one_step_by_hand_from_the_previous_hyper_state() -> None:
    """h' = 2 in place of 1/8 makes z_h = (17, 18, 32, 16), z_x = (16, 17, 18, 16), z_b = 16:

    i: 17 - 2 * 16 + 16/2 + 1/2 = -13/2    f: 18 - 17 - 16      = -15
    o: 32 - 18 + 16 - 1         =  29      g: 16 + 16 - 8 - 1   =  23   in units of ln 3

    so c = 3^-15 / (1 + 3^-15) (ln 3 - 3/4) + tanh(23 ln 3) / (1 + 3^6.5).
    """
    _, c, hyper_h, _ = by_hand(hyper_source="prev")

    torch.testing.assert_close(c, (LN_3 - 3 / 4) / (1 + 3**15) + 1 / (1 + 3**6.5))
    torch.testing.assert_close(hyper_h, 1 / 8)


def test_without_norm_it_starts_as_an_lstm_of_a_tenth_of_its_weights() -> None:
    cell = make(layer_norm=False)
    lstm = LSTM(3, 5).double()
    lstm.weight_ih.data = 0.1 * torch.cat([cell.weight_x.chunk(4)[k] for k in (0, 1, 3, 2)])
    lstm.weight_hh.data = 0.1 * torch.cat([cell.weight_h.chunk(4)[k] for k in (0, 1, 3, 2)])
    nn.init.zeros_(lstm.bias_ih)
    nn.init.zeros_(lstm.bias_hh)
    x = draw(7, 4, 3)

    torch.testing.assert_close(unroll(cell, x, STATE_TUPLE)[0], unroll(lstm, x, STATE_TUPLE[:2])[0])


def test_with_norm_it_starts_as_a_normalised_lstm_of_its_weights() -> None:
    """Whatever the scales: normalisation takes them out."""
    cell = make(ln_eps=1e-12)
    lstm = LNLSTM(3, 5, ln_eps=1e-12).double()
    lstm.weight_x.data = cell.weight_x.data
    lstm.weight_h.data = cell.weight_h.data
    x = draw(7, 4, 3)

    torch.testing.assert_close(unroll(cell, x, STATE_TUPLE)[0], unroll(lstm, x, STATE_TUPLE[:2])[0])


STATE_TUPLE = tuple(part.detach().clone() for part in STATE)


def trained(init: str) -> HyperLSTM:
    torch.manual_seed(0)
    cell = HyperLSTM(3, 5, hyper_size=4, embedding_size=3, init=init)
    x, wanted = torch.randn(6, 8, 3), torch.rand(6, 8, 5) - 0.5
    optimizer = torch.optim.Adam(cell.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        (unroll(cell, x)[0] - wanted).square().mean().backward()
        optimizer.step()
    return cell


@pytest.mark.parametrize(("init", "symmetric"), [("paper", True), ("asymmetric", False)])
def test_only_the_asymmetric_start_uses_more_than_one_embedding(
    *, init: str, symmetric: bool
) -> None:
    cell = trained(init)
    spread = (cell.scale.amax(1) - cell.scale.amin(1)).max()
    paths = torch.bmm(cell.scale.mT, cell.embed_scale.view(8, 3, 4))
    largest, second = torch.linalg.svdvals(paths)[:, :2].unbind(1)

    assert (spread < 1e-6) == symmetric
    assert (spread > 1e-4) != symmetric
    assert bool((second / largest < 1e-5).all()) == symmetric
    assert (cell.scale - 0.1 / 3).abs().max() > 1e-2  # it did learn


@pytest.mark.parametrize("init", ["paper", "asymmetric"])
def test_it_starts_as_published(init: str) -> None:
    torch.manual_seed(0)
    cell = HyperLSTM(24, 20, hyper_size=40, embedding_size=64, init=init)
    both = torch.cat([cell.hyper_weight_x, cell.hyper_weight_h], dim=1)
    for weight, size in ((both, 40), (cell.hyper_weight_hyper, 40), (cell.weight_h, 20)):
        for block in weight.chunk(4):
            torch.testing.assert_close(block @ block.t(), torch.eye(size))
    for block in cell.weight_x.chunk(4):
        torch.testing.assert_close(block @ block.t(), torch.eye(20))
    small = [cell.embed_bias] + ([cell.embed_scale] if init == "asymmetric" else [])
    for weight in small:
        assert abs(weight.mean().item()) < 5e-4
        assert weight.std().item() == pytest.approx(0.01, rel=0.03)
    ones = [cell.embed_scale_bias, cell.norm.gain, cell.hyper_norm.gain]
    zeros = [cell.bias, cell.hyper_bias, cell.scale_bias, cell.norm.shift, cell.hyper_norm.shift]

    assert all((parameter == 1).all() for parameter in ones)
    assert not any(parameter.any() for parameter in zeros)
    assert cell.embed_scale.any() == (init == "asymmetric")
    torch.testing.assert_close(cell.scale, torch.full_like(cell.scale, 0.1 / 64))


@pytest.mark.parametrize("layer_norm", [False, True])
def test_parameter_count(*, layer_norm: bool) -> None:
    x, h, hyper, z = 7, 11, 5, 3
    cell = HyperLSTM(x, h, hyper_size=hyper, embedding_size=z, layer_norm=layer_norm)

    assert parameter_count(cell) == (
        4 * h * (x + h)
        + 4 * h
        + 4 * hyper * (x + h + hyper)
        + 4 * hyper
        + 12 * hyper * z
        + 8 * z
        + 12 * h * z
        + layer_norm * (10 * h + 10 * hyper)
    )


def test_what_does_not_make_weights_is_a_normalised_lstm() -> None:
    cell = HyperLSTM(7, 11)
    makers = sum(weight.numel() for weight in cell.weight_makers())

    assert parameter_count(cell) - makers == parameter_count(LNLSTM(7, 11))


@pytest.mark.parametrize(
    ("sizes", "hyper", "z", "layer_norm", "inputs", "outputs", "millions"),
    [
        ([1000], 128, 4, False, 50, 50, 4.91),
        ([1000], 128, 4, True, 50, 50, 4.92),
        ([1000, 1000], 128, 16, True, 50, 50, 14.41),
        ([1800], 256, 64, False, 205, 205, 18.71),
        ([2048], 512, 64, True, 205, 205, 26.54),
        ([900], 128, 4, False, 3, 121, 3.94),
        ([900], 128, 4, True, 3, 121, 3.95),
    ],
)
def test_parameter_counts_are_published(
    *,
    sizes: list[int],
    hyper: int,
    z: int,
    layer_norm: bool,
    inputs: int,
    outputs: int,
    millions: float,
) -> None:
    """With the output layer; two published counts that no formula gives are left out."""
    with torch.device("meta"):
        layers = [
            HyperLSTM(x, h, hyper_size=hyper, embedding_size=z, layer_norm=layer_norm)
            for x, h in zip([inputs, *sizes], sizes, strict=False)
        ]
        total = parameter_count(nn.ModuleList([*layers, nn.Linear(sizes[-1], outputs)]))

    assert round(total / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("which", "part"), [("recurrent_dropout", "c"), ("hyper_recurrent_dropout", "hyper_c")]
)
def test_dropout_acts_while_training_and_spares_the_memory(which: str, part: str) -> None:
    """What is remembered stays; what is written is dropped, or scaled up."""
    x = draw(1, 200, 3)

    def written(cell: HyperLSTM, memory: float) -> Tensor:
        start = cell.initial_state(200)
        start = start._replace(**{part: torch.full_like(getattr(start, part), memory)})
        return getattr(unroll(cell, x, start)[1], part)

    torch.manual_seed(0)
    never = make()
    drops = make(**{which: 0.25})
    drops.load_state_dict(never.state_dict())
    remembered = written(never, 1.0) - written(never, 0.0)
    ratio = (written(drops, 1.0) - remembered) / written(never, 0.0)
    gone = ratio.abs() < 1e-9

    torch.testing.assert_close(ratio[~gone], torch.full_like(ratio[~gone], 1 / 0.75))
    assert gone.double().mean().item() == pytest.approx(0.25, abs=0.05)
    torch.testing.assert_close(written(drops.eval(), 1.0), written(never, 1.0))
