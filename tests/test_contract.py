"""The contract, held to by every cell of ours, and seen to fail."""

from __future__ import annotations

import inspect
import subprocess
import sys

import broken_cells as broken
import pytest
import torch
from cell_variants import AROUND, VARIANTS
from torch import nn

from cellbench.cells import CELLS
from cellbench.cells.adapter import LayerCell, StepCell, adapt
from cellbench.errors import PluginError
from cellbench.plugins import parse_cell
from cellbench.testing import CHECKS, CellContract, Outcome, Subject, check_cell

MODULES = [
    "torch.nn:GRU",
    "torch.nn:GRUCell",
    "torch.nn:LSTM(num_layers=2)",
    pytest.param(
        "torch.nn:LSTM(proj_size=2)",
        marks=pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
    ),
    "torch.nn:LSTMCell",
    "torch.nn:RNN(nonlinearity=relu)",
]


class TestEveryCell(CellContract):
    @pytest.fixture(params=[*sorted(CELLS), *VARIANTS, *AROUND, *MODULES], autouse=True)
    def _cell(self, request):
        self.spec = parse_cell(request.param)

    def make(self, input_size, hidden_size):
        return self.spec.build(input_size, hidden_size)


class TestSound(CellContract):
    def make(self, input_size, hidden_size):
        return broken.SoundParallel(input_size, hidden_size)


BROKEN = {
    broken.LiesAboutItsSize: {"shapes"},
    broken.ForgetsItsInputSize: {"shapes"},
    broken.ReturnsTwoKindsOfState: {"shapes"},
    broken.GrowsInSecret: {"fixed-size"},
    broken.SumsOverTime: {"stop-and-go"},
    # What looks ahead cannot be stopped without missing what comes next...
    broken.LooksAhead: {"no-look-ahead", "stop-and-go"},
    # ...and in its parallel form alone is not what the steps give, which never can.
    broken.LooksAheadInParallel: {"no-look-ahead", "parallel"},
    broken.CentresTheBatch: {"rows"},
    broken.StartsRowsApart: {"rows"},
    broken.ChecksForNaNByZero: {"nan-stays"},
    broken.ForgetsTheStateInParallel: {"parallel"},
    broken.ReturnsAnOldStateInParallel: {"parallel"},
    broken.DetachesInParallel: {"parallel"},
    broken.HasAWrongBackward: {"gradients"},
    broken.CutsTheGradientOfTime: {"gradients"},
    broken.HasAParameterToSpare: {"every-parameter"},
    broken.CountsItsBuilds: {"deterministic"},
    broken.IsNeverQuiteTheSame: {"deterministic"},
    broken.OverwritesItsState: {"pure"},
    broken.OverwritesItsInput: {"pure"},
    broken.KeepsItsLastOutput: {"pure"},
    broken.CountsItsSteps: {"pure"},
    broken.DrawsAndThrowsAway: {"pure"},
    # What is not saved with the parameters is not stacked with them.
    broken.KeepsANumberToItself: {"save-and-load", "vmap"},
    broken.StartsInFloat32: {"dtypes"},
    broken.CountsInFloat64: {"dtypes"},
    broken.StartsOnTheCPU: {"devices"},
    broken.AddsIntoZeros: {"vmap"},
    broken.LeavesTheGraph: {"compile"},
    # No value of a tensor is known while a step is traced, whatever traces it.
    broken.BranchesOnAValue: {"devices", "vmap", "compile"},
}


@pytest.mark.parametrize("cell", BROKEN, ids=lambda cell: cell.__name__)
def test_a_broken_promise_fails_the_check_meant_for_it(cell) -> None:
    failed = {f.check: f.message for f in check_cell(cell) if f.outcome is Outcome.FAILED}

    assert set(failed) == BROKEN[cell]
    assert not any(message.startswith("raised") for message in failed.values())


def test_every_check_has_been_seen_to_fail() -> None:
    assert set.union(*BROKEN.values()) == set(CHECKS)


def test_the_class_runs_every_check_once() -> None:
    held = []

    class Listening(CellContract):
        def hold(self, check):
            held.append(check)

    tests = [name for name in vars(CellContract) if name.startswith("test_")]
    for name in tests:
        getattr(Listening(), name)()

    assert held == list(CHECKS)
    assert all(inspect.getdoc(getattr(CellContract, name)) for name in tests)


def test_a_failure_says_what_is_wrong_by_how_much_and_what_to_do() -> None:
    messages = {f.check: f.message for f in check_cell(broken.LooksAhead)}

    assert messages["no-look-ahead"].startswith(
        "stepwise: outputs before step 1, when inputs from there on are changed: off by up to 0."
    )
    assert messages["no-look-ahead"].endswith("may use nothing that comes later.")
    assert all("\n" not in message for message in messages.values())


def test_a_wrong_gradient_is_told_by_name() -> None:
    messages = {f.check: f.message for f in check_cell(broken.HasAWrongBackward)}

    assert "gradient of the output with respect to x is not its fin" in messages["gradients"]


def test_a_cell_that_raises_fails_and_the_other_checks_go_on() -> None:
    found = {f.check: f for f in check_cell(broken.Raises)}

    assert list(found) == list(CHECKS)
    assert found["rows"].outcome is Outcome.FAILED
    assert found["rows"].message == "raised ZeroDivisionError: no reason"
    assert found["parallel"].outcome is Outcome.SKIPPED
    assert found["parallel"].message == "the cell has no parallel form"


def test_the_contract_takes_no_random_numbers() -> None:
    before = torch.get_rng_state()

    check_cell(broken.SoundParallel)

    assert torch.equal(torch.get_rng_state(), before)


def test_a_cell_can_be_checked_without_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from cellbench.testing import CellContract, check_cell\n"
        "from torch import nn\n"
        "assert 'failed' not in [f.outcome for f in check_cell(nn.GRUCell)]\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_warm_state_leaves_marks_as_they_are() -> None:
    subject = Subject(parse_cell("lstmn(tape=9)").build, 3, 4)
    state = subject.warm_state(subject.cell())

    assert state.filled.unique().tolist() == [0, 1]
    assert not state.filled.requires_grad
    assert state.h.requires_grad


# --- Adapted modules ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "kind", "parts"),
    [
        (nn.LSTM, LayerCell, 2),
        (nn.GRU, LayerCell, 1),
        (nn.LSTMCell, StepCell, 2),
        (nn.GRUCell, StepCell, 1),
    ],
)
def test_a_module_becomes_the_cell_that_it_looks_like(module, kind, parts) -> None:
    cell = adapt(module)(3, 5)

    assert type(cell) is kind
    assert (cell.input_size, cell.hidden_size) == (3, 5)
    assert len(cell.initial_state(2)) == parts
    assert {name.removeprefix("module.") for name, _ in cell.named_parameters()} == {
        name for name, _ in module(3, 5).named_parameters()
    }


def test_an_adapted_layer_gives_what_the_module_gives() -> None:
    cell = adapt(nn.LSTM)(3, 5, num_layers=2)
    x = torch.linspace(-1, 1, 24).reshape(4, 2, 3)

    y, (h, c) = cell.parallel(cell.project(x), cell.initial_state(2))
    expected, (h_n, c_n) = cell.module(x)

    assert torch.equal(y, expected)
    assert torch.equal(h.transpose(0, 1), h_n)
    assert torch.equal(c.transpose(0, 1), c_n)


def test_an_adapted_layer_tells_the_real_size_of_its_outputs() -> None:
    assert adapt(nn.LSTM)(3, 5, proj_size=2).hidden_size == 2


def test_a_cell_is_not_adapted() -> None:
    assert type(adapt(broken.Sound)(3, 5)) is broken.Sound


def test_adapting_leaves_mode_random_numbers_and_buffers_alone() -> None:
    class Counts(nn.GRUCell):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x, h=None):
            self.calls += 1
            torch.rand(())
            return super().forward(x, h)

    torch.manual_seed(0)
    Counts(3, 5)
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    cell = adapt(Counts)(3, 5)

    assert torch.equal(torch.get_rng_state(), expected)
    assert cell.training
    assert cell.module.training
    assert cell.module.calls == 0


class LearnsItsStart(nn.GRUCell):
    def forward(self, x, h=None):
        return super().forward(x, torch.ones_like(x[:, :1]).expand(-1, 5) if h is None else h)


class KeepsItsState(nn.GRUCell):
    """Gives back an output that is not its state, and so cannot be told from an LSTMCell."""

    def forward(self, x, h=None):
        h = super().forward(x, h)
        return h.cos(), h


class ReadsBackwards(nn.LSTM):
    def forward(self, x, state=None):
        y, state = super().forward(x.flip(0), state)
        return y.flip(0), state


class HandsTimeThrough(nn.Module):
    """Made for `[batch, input]`, but its operations take `[time, batch, input]` as well."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.w = nn.Linear(input_size, hidden_size)

    def forward(self, x, state=None):
        h, c = (0, 0) if state is None else state
        c = c + self.w(x)
        return torch.tanh(c) + 0 * h, c


@pytest.mark.parametrize(
    ("module", "options", "says"),
    [
        (nn.LSTM, {"batch_first": True}, "takes the batch for time"),
        (nn.LSTM, {"bidirectional": True}, "looks ahead"),
        (ReadsBackwards, {}, "looks ahead"),
        (LearnsItsStart, {}, "does not start from zeros: .* off by up to 0"),
        (KeepsItsState, {}, "make forward.* take its own state back"),
        (nn.Linear, {}, "make forward.* take its own state back"),
        (
            lambda *_: nn.Bilinear(3, 3, 5),
            {},
            r"cannot be used as a cell. For x \[time=3, batch=2, input=3\] it raised",
        ),
    ],
)
def test_a_module_that_cannot_be_carried_is_refused_with_the_reason(module, options, says) -> None:
    with pytest.raises(PluginError, match=says):
        adapt(module)(3, 5, **options)


def test_a_module_for_one_step_is_no_layer_though_it_takes_time() -> None:
    assert type(adapt(HandsTimeThrough)(3, 5)) is StepCell
