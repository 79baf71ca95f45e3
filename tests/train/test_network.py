"""Models as people build them: several cells, residual blocks, both directions."""

from __future__ import annotations

import functools

import pytest
import torch
from levels import TOKENS, VECTORS, alone, assert_same, model_of, together
from torch import nn
from toy_cells import Centred, Plain, Rotates, Shrinks

from cellbench.cells import CELLS
from cellbench.errors import OptionError
from cellbench.generators.stream import Stream
from cellbench.testing import CellContract
from cellbench.train.both_ways import BothWays
from cellbench.train.crew import PlainCrew
from cellbench.train.layers import Layers, ResidualLayers
from cellbench.train.network import Network
from cellbench.train.trainer import Trainer
from cellbench.unroll import Carrier, Way, stepwise


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestLayers(CellContract):
    def make(self, input_size, hidden_size):
        make = CELLS["gru"]
        return Layers(make, input_size, hidden_size, depth=2, dropout=0.5)


class TestResidualLayers(CellContract):
    def make(self, input_size, hidden_size):
        make = CELLS["min_gru"]
        return ResidualLayers(make, input_size, hidden_size, depth=2, dropout=0.5)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_layers_are_those_of_torch(name) -> None:
    kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[name]
    theirs = kind(3, 5, num_layers=3).double()
    ours = Network(depth=3).build(CELLS[name], 3, 5).double()
    for layer, cell in enumerate(ours.cells):
        for part, parameter in cell.named_parameters():
            parameter.data = getattr(theirs, f"{part}_l{layer}").data
    x = draw(7, 4, 3)

    y, state = Carrier()(ours, x)
    expected, last = theirs(x)

    torch.testing.assert_close(y, expected)
    parts = last if isinstance(last, tuple) else (last,)
    for layer in range(3):
        for n, part in enumerate(parts):
            torch.testing.assert_close(state[layer * len(parts) + n], part[layer])


def test_two_directions_are_those_of_torch_once_all_is_read() -> None:
    theirs = nn.LSTM(3, 5, bidirectional=True).double()
    ours = Network(bidirectional=True).build(CELLS["lstm"], 3, 5).double()
    for cell, way in ((ours.ahead, ""), (ours.back, "_reverse")):
        for part, parameter in cell.named_parameters():
            parameter.data = getattr(theirs, f"{part}_l0{way}").data
    x = draw(7, 4, 3)

    y, _ = Carrier()(ours, x)
    _, (h, _) = theirs(x)

    assert ours.hidden_size == 10
    torch.testing.assert_close(y[-1], torch.cat([h[0], h[1]], dim=1))


def test_a_residual_block_by_its_formula() -> None:
    torch.manual_seed(0)
    block = Network(block="residual").build(CELLS["rnn"], 3, 5).double()
    for n, parameter in enumerate(block.parameters()):
        parameter.data = 0.4 * draw(*parameter.shape, seed=n)
    x = draw(1, 4, 3)
    (cell,), (norm,), (forward,) = block.cells, block.norms, block.forwards

    def normal(layer, v):
        centred = v - v.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return centred / scale * layer.weight + layer.bias

    y = x[0] @ block.entry.weight.T + block.entry.bias
    h = torch.tanh(normal(norm, y) @ cell.weight_ih.T + cell.bias_ih + cell.bias_hh)
    a = y + h
    inner = normal(forward[0], a) @ forward[1].weight.T + forward[1].bias
    gelu = 0.5 * inner * (1 + torch.erf(inner / 2**0.5))
    expected = normal(block.norm, a + gelu @ forward[3].weight.T + forward[3].bias)

    torch.testing.assert_close(Carrier()(block, x)[0][0], expected)


NETWORKS = [
    Network(depth=2),
    Network(depth=2, block="residual"),
    Network(bidirectional=True),
    Network(depth=2, bidirectional=True),
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("make", [CELLS["gru"], CELLS["min_gru"], CELLS["hyperlstm"], Rotates])
def test_carrying_each_cell_by_itself_gives_what_steps_give(network, make) -> None:
    torch.manual_seed(0)
    cell = network.build(make, 3, 4).double()
    x = draw(6, 2, 3)
    p, start = cell.project(x), cell.initial_state(2)
    state = type(start)(part + 0.3 * draw(*part.shape, seed=n) for n, part in enumerate(start))

    def outcome(y, last):
        loss = (y * draw(*y.shape, seed=9)).sum() + sum(part.square().sum() for part in last)
        return [y, *last, *torch.autograd.grad(loss, list(cell.parameters()))]

    expected = outcome(*stepwise(cell, p, state))
    for way, checkpoint in ((Way.AUTO, False), (Way.STEPWISE, True)):
        found = outcome(*Carrier(way, checkpoint)(cell, x, state))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_every_cell_of_a_network_is_compiled() -> None:
    torch.manual_seed(0)
    cell, x = Network(depth=2, dropout=0.5).build(CELLS["ln_lstm"], 3, 4), torch.randn(6, 2, 3)
    carrier = Carrier(Way.COMPILED)
    carried = carrier.prepare(cell, x, calls=1)

    assert (carried.way, carried.fallback) == (Way.COMPILED, "")
    assert carried.parity_ok
    assert cell.training
    assert all(carrier.programs(layer) for layer in cell.cells)


def test_a_network_says_why_its_cells_are_not_compiled() -> None:
    cell, x = Network(depth=2).build(CELLS["lstmn"], 3, 4), torch.randn(6, 2, 3)
    carried = Carrier(Way.COMPILED).prepare(cell, x, calls=1)

    assert carried.way is Way.STEPWISE
    assert carried.fallback == "not compiled: its state grows with every step"


@pytest.mark.parametrize("network", NETWORKS[:3], ids=str)
def test_a_network_is_stacked_like_a_cell(network) -> None:
    make = functools.partial(network.build, CELLS["min_gru"])

    assert_same(together(make, VECTORS, (0, 1))[1], alone(make, VECTORS, 1))


@pytest.mark.parametrize("block", ["plain", "residual"])
def test_dropout_acts_while_training_alone(block) -> None:
    torch.manual_seed(0)
    never = Network(depth=2, block=block).build(CELLS["gru"], 3, 4)
    drops = Network(depth=2, block=block, dropout=0.5).build(CELLS["gru"], 3, 4)
    drops.load_state_dict(never.state_dict())
    x, carry = torch.randn(6, 2, 3), Carrier()

    assert not torch.equal(carry(drops, x)[0], carry(drops, x)[0])
    assert torch.equal(carry(drops.eval(), x)[0], carry(never.eval(), x)[0])


def test_dropout_keeps_what_is_to_be_expected() -> None:
    drops = Layers(CELLS["gru"], 3, 4, depth=2, dropout=0.25)
    dropped = drops.drop(torch.full((200, 100), 2.0))

    assert dropped.unique().tolist() == pytest.approx([0, 2 / 0.75])
    assert dropped.mean().item() == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 0}, "--depth must be a whole number of at least 1"),
        ({"block": "dense"}, "--block must be one of plain, residual"),
        ({"depth": 2, "dropout": 1.0}, "--dropout must be a number of at least 0 and below 1"),
        ({"dropout": 0.1}, "--dropout drops what one cell gives to the next, and --depth is 1"),
    ],
)
def test_a_network_that_cannot_be_is_refused(options, said) -> None:
    with pytest.raises(OptionError, match=said):
        Network(**options)


def test_a_residual_block_needs_outputs_as_wide_as_it_is() -> None:
    def half(input_size, hidden_size):
        return CELLS["gru"](input_size, hidden_size // 2)

    with pytest.raises(OptionError, match="it must give 4 features, not 2"):
        Network(block="residual").build(half, 3, 4)


# --- What a cell adds to the loss, and what it asks to know -------------------------------


@pytest.mark.parametrize("network", [Network(), *NETWORKS], ids=str)
def test_a_penalty_is_part_of_the_loss(network) -> None:
    """Of every cell that there is; and of no look at validation."""
    shrinks, plain = (
        alone(functools.partial(network.build, make), VECTORS, 0, steps=1)
        for make in (Shrinks, Plain)
    )
    model = model_of(functools.partial(network.build, Shrinks), VECTORS, 0)
    biases = [p for name, p in model.named_parameters() if name.endswith("both.bias")]
    least = 3 * sum(float(bias.detach().square().sum()) for bias in biases)
    added = shrinks.curve[0].train_loss - plain.curve[0].train_loss

    assert added == pytest.approx(least, abs=0.6 * len(biases))
    assert added != pytest.approx(least, rel=1e-9)  # what the state adds
    assert shrinks.test.loss < shrinks.curve[0].train_loss


def test_a_penalty_is_shared_out_among_the_answers_of_a_sequence() -> None:
    """Training goes by the mean over answers: copying/tiny asks for two."""

    class Costs(Plain):
        penalised = True

        def penalty(self, state):
            return state[0].new_zeros(()) + 6.0

    costs, plain = (alone(make, TOKENS, 0, steps=1) for make in (Costs, Plain))

    assert costs.curve[0].train_loss - plain.curve[0].train_loss == pytest.approx(3.0)


def test_a_penalty_of_a_stack_is_each_seeds_own() -> None:
    assert_same(together(Shrinks, VECTORS, (0, 1))[1], alone(Shrinks, VECTORS, 1))


@pytest.mark.parametrize("network", [Network(), *NETWORKS], ids=str)
def test_a_cell_is_told_what_its_inputs_are_like(network) -> None:
    model = model_of(functools.partial(network.build, Centred), VECTORS, 0)
    trainer = Trainer(model, learning_rate=0.01, clip=1.0)
    crew = PlainCrew(trainer, VECTORS, 0, steps=3, clock=lambda: 0.0)
    crew.step()
    crew.read()
    means = {n: b for n, b in model.named_buffers() if n.endswith("mean")}
    inputs = VECTORS.generator.sample(Stream(0, "train"), torch.arange(32)).inputs

    assert means
    assert all(bool(mean.any()) for mean in means.values())
    if network == Network():
        torch.testing.assert_close(means["cell.mean"], inputs.mean((0, 1)))


def test_the_mean_of_a_stack_is_each_seeds_own() -> None:
    assert_same(together(Centred, VECTORS, (0, 1))[1], alone(Centred, VECTORS, 1))
    assert_same(together(Centred, TOKENS, (4, 2))[4], alone(Centred, TOKENS, 4))


def test_both_ways_has_two_networks_of_its_own() -> None:
    cell = Network(depth=2, bidirectional=True).build(CELLS["hyperlstm"], 3, 4)

    assert type(cell) is BothWays
    assert len(cell.weight_makers()) == 4 * len(CELLS["hyperlstm"](3, 4).weight_makers())
