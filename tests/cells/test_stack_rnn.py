import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from torch import Tensor

from cellbench.cells.stack_rnn import StackRNN, StackRNNState
from cellbench.errors import OptionError
from cellbench.unroll import unroll

SMALL = {"stacks": 2, "width": 3, "depth": 5, "top": 2}
FUNCTIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}


def written_out(weights: dict[str, Tensor], x, state, options: dict[str, object]):
    """Write the paper's formulas out: a sequence, a stack and a cell at a time."""
    k, width = options["stacks"], options["width"]
    depth, top, empty = options["depth"], options["top"], options.get("empty", -1.0)
    names = ["push", "pop", "keep"] if options.get("noop", True) else ["push", "pop"]
    f = FUNCTIONS[options.get("nonlinearity", "sigmoid")]
    w_p, w_r = weights["weight_s"].split(
        [k * top * width, weights["weight_s"].shape[1] - k * top * width], dim=1
    )
    w_a, w_d = weights["weight_heads"].split([k * len(names), k * width])
    zeros = torch.zeros(k * (len(names) + width), dtype=x.dtype)
    b_a, b_d = weights.get("bias_heads", zeros).split([k * len(names), k * width])
    sequences = []
    for b in range(x.shape[1]):
        stacks = [list(state[0][b, n]) for n in range(k)]
        h, outputs = state[1][b], []
        for x_t in x[:, b]:
            tops = torch.cat([cell for stack in stacks for cell in stack[:top]])
            h = weights["weight_x"] @ x_t + w_p @ tops + w_r @ h + weights.get("bias", 0)
            h = f(h)
            for n in range(k):
                logits = w_a[n * len(names) : (n + 1) * len(names)] @ h
                powers = (logits + b_a[n * len(names) : (n + 1) * len(names)]).exp()
                does = dict(zip(names, powers / powers.sum(), strict=True))
                v = w_d[n * width : (n + 1) * width] @ h + b_d[n * width : (n + 1) * width]
                v = torch.sigmoid(v) if options.get("squash", True) else v
                old = [v, *stacks[n], torch.full_like(v, empty)]
                stacks[n] = [
                    does["push"] * old[i - 1]
                    + does["pop"] * old[i + 1]
                    + does.get("keep", 0) * old[i]
                    for i in range(1, depth + 1)
                ]
            outputs.append(h)
            h = h if options.get("recurrent", True) else h[:0]
        stack = torch.stack([torch.stack(stack) for stack in stacks])
        sequences.append((torch.stack(outputs), stack, h))
    y, stack, h = zip(*sequences, strict=True)
    return torch.stack(y, 1), (torch.stack(stack), torch.stack(h))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noop": False, "recurrent": False},
        {"squash": False, "empty": 0.5, "nonlinearity": "tanh", "top": 1},
        {"nonlinearity": "relu", "bias": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(time: int, options: dict[str, object]) -> None:
    cell = StackRNN(3, 4, **SMALL | options).double()
    weights = {
        name: (0.4 * draw(*weight.shape, seed=n)).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }
    ours = with_weights(cell, weights)
    h = draw(2, 4 if cell.recurrent else 0, seed=12)
    assert_same(
        lambda x, state: ours(x, StackRNNState(*state)),
        lambda x, state: written_out(weights, x, state, SMALL | options),
        draw(time, 2, 3),
        [draw(2, 2, 5, 3, seed=11), h],
        weights.values(),
        cell="stack_rnn",
        against=FORMULAS,
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2, stack (1, 2, 4), of which the top two are seen. In units of ln 3:

    1 - 1 * 1 + 1/2 * 2 + 1/2 * 2 - 1 = 1, so h = sigmoid(ln 3) = 3/4. From it

    push:  4/3 * 3/4 + 0 = 1    ->  3/13        pushed: -4/3 * 3/4 + 2 = 1, sigmoid 3/4
    pop:  -4/3 * 3/4 + 1 = 0    ->  1/13
    keep:  4/3 * 3/4 + 1 = 2    ->  9/13

    S[0] = (3 * 3/4 + 1 *  2 + 9 * 1) / 13 = 53/52
    S[1] = (3 * 1   + 1 *  4 + 9 * 2) / 13 = 25/13
    S[2] = (3 * 2   + 1 * -1 + 9 * 4) / 13 = 41/13
    """
    cell = StackRNN(1, 1, stacks=1, depth=3).double()
    for name, value in {
        "weight_x": [1],
        "weight_s": [-1, 1 / 2, 1 / 2],
        "bias": [-1],
        "weight_heads": [4 / 3, -4 / 3, 4 / 3, -4 / 3],
        "bias_heads": [0, 1, 1, 2],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = LN_3 * torch.tensor(value).double().view(parameter.shape)
    start = StackRNNState(
        torch.tensor([1.0, 2.0, 4.0]).double().view(1, 1, 3, 1), torch.full((1, 1), 2.0).double()
    )

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), start)

    torch.testing.assert_close(y.item(), 3 / 4)
    torch.testing.assert_close(last.h.item(), 3 / 4)
    torch.testing.assert_close(last.stack.flatten().tolist(), [53 / 52, 25 / 13, 41 / 13])


# --- What it can do, with weights set by hand ----------------------------------------------

SURE = 1000.0
"""So large a weight makes a sigmoid or a softmax as good as hard."""


def obedient(depth: int) -> StackRNN:
    """Return a cell that does what its inputs say: push, pop, keep, and what to push (2)."""
    cell = StackRNN(
        5, 5, stacks=1, width=2, depth=depth, squash=False, nonlinearity="relu", empty=-1.0
    ).double()
    for parameter in cell.parameters():
        torch.nn.init.zeros_(parameter)
    cell.weight_x.data = torch.eye(5).double()
    cell.weight_heads.data = torch.diag(torch.tensor([SURE, SURE, SURE, 1, 1])).double()
    return cell


@pytest.mark.parametrize("seed", range(3))
def test_with_sure_actions_it_is_a_list(seed: int) -> None:
    """Also of an empty stack, and of one that is full, whose last entry falls off."""
    numbers = torch.rand(60, 3, generator=torch.Generator().manual_seed(seed)).double().tolist()
    cell, steps, entries, stacks = obedient(depth=4), [], [], []
    for number, *value in numbers:
        does = [0, 0, 1, 2][int(4 * number)]
        steps.append([float(does == n) for n in range(3)] + value)
        entries = {0: [value, *entries][:4], 1: entries[1:], 2: entries}[does]
        stacks.append(entries + [[-1.0, -1.0]] * (4 - len(entries)))
    x = torch.tensor(steps).double().unsqueeze(1)
    state, found = cell.initial_state(1), []
    for x_t in cell.project(x):
        _, state = cell.step(x_t, state)
        found.append(state.stack[0, 0].tolist())

    assert found == stacks
    assert {len(stack) for stack in stacks} == {4}


def test_a_pop_undoes_a_push_below_the_limit() -> None:
    cell = obedient(depth=6)
    start = cell.initial_state(1)
    stack = start.stack.clone()
    stack[:, :, :3] = draw(3, 2)
    x = torch.tensor([[1.0, 0, 0, 7, 8], [1, 0, 0, 9, 3], [0, 1, 0, 0, 0], [0, 1, 0, 0, 0]])

    _, last = unroll(cell, x.double().unsqueeze(1), start._replace(stack=stack))

    assert torch.equal(last.stack, stack)


def test_it_reverses_a_string() -> None:
    """Inputs: the bit, whether to write, whether to read. Hidden: output, bit, write, read."""
    cell = StackRNN(3, 4, stacks=1, depth=32, recurrent=False).double()
    for parameter in cell.parameters():
        torch.nn.init.zeros_(parameter)
    cell.weight_s.data[0, 0] = SURE  # the output is the top of the stack
    for n in range(3):
        cell.weight_x.data[1 + n, n] = SURE
    cell.bias.data.fill_(-SURE / 2)
    cell.weight_heads.data[0, 2] = cell.weight_heads.data[1, 3] = SURE  # push, pop
    cell.weight_heads.data[3, 1], cell.bias_heads.data[3] = SURE, -SURE / 2  # the bit
    bits = [float(bit) for bit in "1101000111010110010100011"]
    writes = [[bit, 1.0, 0.0] for bit in bits]
    x = torch.tensor([*writes, *[[0.0, 0.0, 1.0]] * len(bits)]).double().unsqueeze(1)

    y, last = unroll(cell, x)

    torch.testing.assert_close(y[len(bits) :, 0, 0].tolist(), bits[::-1], rtol=0, atol=1e-100)
    torch.testing.assert_close(last.stack, torch.full_like(last.stack, -1.0))


@pytest.mark.parametrize("noop", [False, True])
def test_the_actions_of_each_stack_sum_to_one(*, noop: bool) -> None:
    """What all stacks hold everywhere, and push, and find below, they hold afterwards."""
    torch.manual_seed(0)
    cell = StackRNN(3, 4, stacks=3, depth=4, noop=noop, empty=0.5, squash=True).double()
    torch.nn.init.zeros_(cell.weight_heads.data[-3:])  # sigmoid(0) = 1/2 is pushed
    state = cell.initial_state(2)

    _, last = unroll(cell, draw(9, 2, 3))

    torch.testing.assert_close(last.stack, state.stack)


def test_without_recurrence_an_output_depends_on_the_stacks_alone() -> None:
    cell = StackRNN(3, 4, recurrent=False)

    assert cell.initial_state(2).h.shape == (2, 0)
    assert StackRNN(3, 4).initial_state(2).h.shape == (2, 4)


def test_it_starts_as_published() -> None:
    """A sum of three of U(-0.1, 0.1): at most 0.3, and of variance 3 * 0.2^2 / 12 = 0.01."""
    torch.manual_seed(0)
    cell = StackRNN(60, 80, stacks=10)
    for weight in (cell.weight_x, cell.weight_s, cell.weight_heads):
        assert weight.std().item() == pytest.approx(0.1, rel=0.05)
        assert weight.mean().item() == pytest.approx(0, abs=0.005)
        assert 0.2 < weight.abs().max().item() <= 0.3

    assert not cell.bias.any()
    assert not cell.bias_heads.any()
    assert (cell.initial_state(2).stack == -1).all()
    assert not cell.initial_state(2).h.any()


def test_parameter_count() -> None:
    """U, P and R, b; then A and D with their biases: three actions and two features, 3 times."""
    cell = StackRNN(7, 11, stacks=3, width=2, top=4)
    plain = StackRNN(7, 11, stacks=3, width=2, top=4, noop=False, recurrent=False, bias=False)

    assert parameter_count(cell) == 77 + 11 * 24 + 121 + 11 + 15 * 11 + 15
    assert parameter_count(plain) == 77 + 11 * 24 + 12 * 11


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stacks": 0}, "stacks must be a whole number of at least 1"),
        ({"width": 0}, "width must be a whole number of at least 1"),
        ({"depth": 1}, "depth must be a whole number of at least 2"),
        ({"top": 0}, "top must be a whole number of at least 1"),
        ({"top": 9, "depth": 8}, "top must be a whole number from 1 to depth=8, not 9"),
        ({"empty": float("nan")}, "empty must be a number"),
        ({"nonlinearity": "elu"}, "nonlinearity must be one of sigmoid, tanh, relu"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        StackRNN(3, 4, **options)
