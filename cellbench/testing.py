"""The contract of a cell, as a test class to inherit and as a function to call.

In your own test suite:

    class TestMyCell(CellContract):
        def make(self, input_size, hidden_size):
            return MyCell(input_size, hidden_size)

and without one: `for finding in check_cell(MyCell): ...`, which `cellbench check` prints.
Both run `CHECKS`, in evaluation mode and float64; neither needs pytest.

What the contract cannot see is whether the equations are the paper's: two gates changed for
one another keep every promise here. Work one value out by hand, too.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, final
from unittest import SkipTest  # pytest takes it for a skip of its own

import jaxtyping
import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError, gradcheck
from torch.utils import _pytree as pytree

from cellbench.cells.adapter import LayerCell, StepCell, as_cell
from cellbench.cells.base import Cell, ParallelCell, Projected, State
from cellbench.unroll import Outputs, slices, stepwise

BATCH = 2
TIME = 6

Run = Callable[[Cell, Projected, State], Outputs]


class ContractError(AssertionError):
    """A promise of `Cell` that is not kept: what is wrong, by how much, what to do."""


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: Its name in `CHECKS`.
        outcome: How it ended.
        message: What is wrong and what to do, or why it was skipped; empty if it passed.
    """

    check: str
    outcome: Outcome
    message: str = ""


@final
@dataclass(frozen=True, slots=True)
class Subject:
    """A cell under test, built anew for every purpose.

    Attributes:
        make: `(input_size, hidden_size) -> Cell`; a plain `nn.Module` is adapted.
        input_size: Features of each input vector.
        hidden_size: Features of each output vector.
    """

    make: Callable[[int, int], nn.Module]
    input_size: int
    hidden_size: int

    def plain(self, seed: int = 0) -> Cell:
        """Return the cell as its constructor leaves it, but float64 and in evaluation mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = self.make(self.input_size, self.hidden_size)
        cell = made if isinstance(made, Cell) else as_cell(made, self.input_size)
        return cell.to(torch.float64).eval()

    def cell(self, seed: int = 0) -> Cell:
        """Return it with noise on every parameter, so that none hides behind a zero."""
        cell = self.plain(seed)
        with torch.no_grad():
            for n, parameter in enumerate(cell.parameters()):
                parameter.add_(0.1 * noise(parameter.shape, seed=1000 * seed + n).to(parameter))
        return cell

    def x(self, time: int = TIME, batch: int = BATCH, seed: int = 1) -> Tensor:
        """Return inputs, the same for the same arguments."""
        return noise((time, batch, self.input_size), seed=seed)

    def warm_state(self, cell: Cell, batch: int = BATCH) -> State:
        """Return a state from the middle of a sequence, with parts that no longer agree.

        What depends on the inputs is off by some tenth of itself and asks for a gradient; zeros
        stay zeros, so that an unused part of a tape stays unused. What does not depend on them
        (a counter, a mark, even one written as a float) stays what it is.
        """
        _, state = run(cell, self.x(4, batch, seed=2).requires_grad_())
        tensors = [
            off_by_a_tenth(part, seed=n) if part.requires_grad else part
            for n, part in enumerate(state)
        ]
        return like(state, tensors)


# --- The checks ---------------------------------------------------------------------------


def check_shapes(subject: Subject) -> None:
    """Outputs are `[time, batch, hidden]`, a state is a tuple of `[batch, ...]` tensors."""
    cell = subject.cell()
    for batch in (BATCH, 5):
        start = cell.initial_state(batch)
        y, state = run(cell, subject.x(3, batch))
        promised = (3, batch, cell.hidden_size)
        require(
            tuple(y.shape) == promised,
            f"outputs have shape {list(y.shape)}, not [time, batch, hidden_size] = "
            f"{list(promised)}: let hidden_size be the features of what step returns",
        )
        require(
            type(cell.input_size) is int and cell.input_size == subject.input_size,
            f"input_size is {cell.input_size!r} after being built with {subject.input_size}: keep "
            "what the constructor is given",
        )
        require_state(start, "initial_state", batch)
        require_state(state, "step", batch)
        require(
            type(start) is type(state) and len(start) == len(state),
            f"initial_state returns {shown(start)} and step {shown(state)}: return one kind of "
            "state, with the same parts",
        )


def check_fixed_size(subject: Subject) -> None:
    """The state is as big after many steps as before the first, unless the cell `grows`."""
    cell = subject.cell()
    if cell.grows:
        raise SkipTest("the cell says that its state grows")
    first = [tuple(part.shape) for part in cell.initial_state(BATCH)]
    _, state = run(cell, subject.x())
    last = [tuple(part.shape) for part in state]
    require(
        first == last,
        f"the state's shapes go from {first} to {last} in {TIME} steps: set `grows = True` in the "
        "class, or keep the size",
    )


def check_stop_and_go(subject: Subject) -> None:
    """Going on from the state gives what never stopping would have.

    Also fails for a `project` that lets time steps see each other.
    """
    cell, x = subject.cell(), subject.x(8)
    whole, last = run(cell, x)
    for cut in (1, 4, 7):
        first, state = run(cell, x[:cut])
        rest, end = run(cell, x[cut:], state)
        advice = (
            "carry all that step remembers in the state, and let project treat each time step "
            "by itself"
        )
        require_same(torch.cat([first, rest]), whole, f"outputs, stopped after {cut} of 8", advice)
        require_same_state(end, last, f"stopped after {cut} of 8", advice)


def check_no_look_ahead(subject: Subject) -> None:
    """An output depends on no later input."""
    cell, x = subject.cell(), subject.x()
    state = subject.warm_state(cell)
    for name, form in forms(cell).items():
        before, _ = form(cell, cell.project(x), state)
        for cut in (1, 3, TIME - 1):
            changed = torch.cat([x[:cut], x[cut:] + 1])
            after, _ = form(cell, cell.project(changed), state)
            require_same(
                after[:cut],
                before[:cut],
                f"{name}: outputs before step {cut}, when inputs from there on are changed",
                "project and parallel may use nothing that comes later",
                tolerance=1e-12,
            )


def check_rows(subject: Subject) -> None:
    """The sequences of a batch do not see each other."""
    cell, x = subject.cell(), subject.x(batch=4)
    advice = "reduce, normalise and index over features only, never over the batch"
    state = subject.warm_state(cell, 4)
    together, last = run(cell, x, state)
    for row in range(4):
        mine = slice(row, row + 1)
        alone, end = run(cell, x[:, mine], like(state, [part[mine] for part in state]))
        require_same(
            together[:, mine], alone, f"outputs of row {row}, in a batch and alone", advice
        )
        rows = like(last, [part[mine] for part in last])
        require_same_state(rows, end, f"row {row}, in a batch and alone", advice)
    five, two = cell.initial_state(5), cell.initial_state(2)
    require_same_state(like(five, [part[:2] for part in five]), two, "initial_state(5)[:2]", advice)


def check_nan_stays(subject: Subject) -> None:
    """A sequence that diverged spoils no other."""
    cell, x = subject.cell(), subject.x(batch=3)
    x[2:, 1] = math.nan
    y, state = run(cell, x)
    spoilt = [y[:, [0, 2]], *(part[[0, 2]] for part in state if is_float(part))]
    require(
        all(bool(part.isfinite().all()) for part in spoilt),
        "NaN in one row of the batch reaches the others, though it may only be multiplied by "
        "zero on its way: keep to the rows, and mask with torch.where",
    )


def check_parallel(subject: Subject) -> None:
    """`parallel` is `step`, repeated: in outputs, state and every gradient."""
    cell = subject.cell()
    if not isinstance(cell, ParallelCell):
        raise SkipTest("the cell has no parallel form")
    advice = "step defines what is right: make parallel agree"
    for time in (1, 2, 7, 33):
        x, state = subject.x(time), subject.warm_state(cell)
        p = cell.project(x)
        (fast, end), (slow, last) = cell.parallel(p, state), stepwise(cell, p, state)
        require_same(fast, slow, f"parallel: outputs of {time} steps", advice)
        require_same_state(end, last, f"parallel: after {time} steps", advice)
        fasts, slows = (gradients(cell, x, state, form) for form in forms(cell).values())
        for name, slow_gradient in slows.items():
            what = f"parallel: gradient of {name} over {time} steps"
            require_same(fasts[name], slow_gradient, what, advice, tolerance=1e-8)


def check_gradients(subject: Subject) -> None:
    """Gradients are finite differences: of inputs, of the state, and of every parameter.

    Compared along random directions, for each output and part of the state by itself.
    """
    for seed in range(2):
        cell, x = subject.cell(seed), subject.x(3, seed=seed).requires_grad_()
        require_finite_differences(cell, x, subject.warm_state(cell))


def check_every_parameter(subject: Subject) -> None:
    """No parameter is left without a gradient, whatever its values and the inputs."""
    dead = set(trained(subject.cell()))
    for seed in range(4):  # in one of them, a few rectified units may all be silent
        found = gradients(subject.cell(seed), subject.x(2 * TIME, 8, seed), None, stepwise)
        dead -= {name for name, gradient in found.items() if bool(gradient.any())}
    require(
        not dead,
        f"no gradient reaches {', '.join(sorted(dead))}: use it, take it out, or register it "
        "as a buffer",
    )


def check_deterministic(subject: Subject) -> None:
    """Two runs are equal, and so are two cells built under one seed."""
    cell, twin, x = subject.plain(), subject.plain(), subject.x()
    mine, other = cell.state_dict(), twin.state_dict()
    unlike = [
        name for name in mine if name not in other or not torch.equal(mine[name], other[name])
    ]
    require(
        not unlike,
        f"two cells built under one torch.manual_seed differ in {', '.join(unlike)}: draw all "
        "that is random from torch's global generator, in the constructor",
    )
    advice = "in evaluation mode, nothing may be random or kept between runs"
    require_same(run(cell, x)[0], run(cell, x)[0], "two runs of one cell", advice, tolerance=0.0)


def check_pure(subject: Subject) -> None:
    """A step changes nothing: not its inputs, not the module, not the random numbers."""
    cell, x = subject.cell(), subject.x(3)
    with torch.no_grad():
        state = subject.warm_state(cell)
        p_t = slices(cell.project(x))[0]
        given = [("an input", part) for part in parts(p_t)]
        given += [(f"part {n} of the state", part) for n, part in enumerate(state)]
        copies = [(part.clone(), part._version) for _, part in given]  # noqa: SLF001 -- no other way
        module, numbers = fingerprint(cell), torch.get_rng_state()
        cell.step(p_t, state)
    for (name, part), (copy, version) in zip(given, copies, strict=True):
        require(
            part._version == version and torch.equal(part, copy),  # noqa: SLF001 -- no other way
            f"step changes {name} in place: return a new tensor instead",
        )
    touched = [name for name, value in fingerprint(cell).items() if module.get(name) != value]
    require(
        not touched,
        f"step keeps something on the module ({', '.join(touched)}): carry it in the state",
    )
    require(
        torch.equal(torch.get_rng_state(), numbers),
        "step draws random numbers in evaluation mode: draw only if self.training",
    )


def check_save_and_load(subject: Subject) -> None:
    """A cell that loads the saved parameters of another computes the same."""
    cell, other, file = subject.cell(0), subject.plain(1), io.BytesIO()
    torch.save(cell.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    require_same(
        run(other, subject.x())[0],
        run(cell, subject.x())[0],
        "outputs after saving and loading",
        "register all that is drawn or learned as a parameter or a buffer",
    )


def check_dtypes(subject: Subject) -> None:
    """Outputs and states follow the dtype of the parameters, there and back."""
    cell, x = subject.cell(), subject.x()
    exact, _ = run(cell, x)
    for dtype in (torch.float32, torch.float64):
        cell.to(dtype)
        y, end = run(cell, x.to(dtype))
        tensors = {"the output": y}
        tensors |= named("initial_state", cell.initial_state(BATCH)) | named("the state", end)
        strange = [
            f"{name} is {part.dtype}"
            for name, part in tensors.items()
            if part.is_floating_point() and part.dtype != dtype
        ]
        require(
            not strange,
            f"with {dtype} parameters {', '.join(strange)}: make tensors from a parameter, as in "
            "self.weight.new_zeros(...)",
        )
        advice = "name no dtype in the code"
        require_same(y.to(exact), exact, f"outputs in {dtype}", advice, tolerance=1e-3)


def check_devices(subject: Subject) -> None:
    """It runs where its parameters are: on `meta` everywhere, on CUDA where there is one."""
    cell, x = subject.cell(), subject.x()
    y, _ = run(cell, x)
    advice = "make tensors from a parameter, as in self.weight.new_zeros(...)"
    for device in ("meta", *(["cuda"] if torch.cuda.is_available() else [])):
        cell = subject.cell().to(device)
        with able(cell, f"run on {device}", f"{advice}, and branch on no tensor's value"):
            moved, end = run(cell, x.to(device))
        tensors = {"the output": moved}
        tensors |= named("initial_state", cell.initial_state(BATCH)) | named("the state", end)
        strange = [
            f"{name} is on {part.device.type}"
            for name, part in tensors.items()
            if part.device.type != device
        ]
        require(not strange, f"with parameters on {device} {', '.join(strange)}: {advice}")
        if device == "cuda":
            require_same(moved.cpu(), y, "outputs on cuda", advice, tolerance=1e-8)


def check_vmap(subject: Subject) -> None:
    """Many seeds of it run as one, with the values and gradients of each by itself."""
    models = [_OneStep(subject.cell(seed)) for seed in range(3)]
    xs = [subject.x(1, seed=10 + seed)[0] for seed in range(3)]
    states = [subject.warm_state(model.cell) for model in models]
    alone = [step_gradients(model, x, s) for model, x, s in zip(models, xs, states, strict=True)]
    parameters, buffers = torch.func.stack_module_state(list(models))

    def one(
        p: dict[str, Tensor], b: dict[str, Tensor], x: Tensor, s: State
    ) -> tuple[Tensor, State]:
        y, state = torch.func.functional_call(models[0], (p, b), (x, s))
        return y, state

    advice = (
        "build what step adds to from its inputs, branch on no tensor's value, and keep what "
        "differs between seeds in parameters and buffers"
    )
    with unchecked_shapes(), able(models[0].cell, "run under torch.func.vmap", advice):
        stacked = like(
            states[0], [torch.stack(same).detach() for same in zip(*states, strict=True)]
        )
        y, end = torch.func.vmap(one, randomness="different")(
            parameters, buffers, torch.stack(xs), stacked
        )
        loss = weighed([y, *end], each=len(models))
        given = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    for n, (y_alone, end_alone, gradients_alone) in enumerate(alone):
        require_same(y[n], y_alone, f"vmap: outputs of model {n}", advice)
        end_n = like(end, [part[n] for part in end])
        require_same_state(end_n, end_alone, f"vmap: of model {n}", advice)
        for (name, gradient), stack in zip(gradients_alone.items(), given, strict=True):
            mine = torch.zeros_like(gradient) if stack is None else stack[n]
            require_same(mine, gradient, f"vmap: gradient of {name} of model {n}", advice)


def check_compile(subject: Subject) -> None:
    """`torch.compile(fullgraph=True)` of a step gives the values and gradients of the step."""
    cell = subject.cell()
    model, x, state = _OneStep(cell), subject.x(1)[0], subject.warm_state(cell)
    y, end, expected = step_gradients(model, x, state)
    advice = "write step as tensor operations only"
    torch.compiler.reset()
    try:
        with unchecked_shapes(), able(cell, "compile in one graph", advice):
            compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=False)
            fast, fast_end, found = step_gradients(model, x, state, call=compiled)
    finally:
        torch.compiler.reset()
    require_same(fast, y, "compiled: outputs", advice)
    require_same_state(fast_end, end, "compiled", advice)
    for name, gradient in expected.items():
        require_same(found[name], gradient, f"compiled: gradient of {name}", advice)


CHECKS: Mapping[str, Callable[[Subject], None]] = MappingProxyType(
    {
        "shapes": check_shapes,
        "fixed-size": check_fixed_size,
        "stop-and-go": check_stop_and_go,
        "no-look-ahead": check_no_look_ahead,
        "rows": check_rows,
        "nan-stays": check_nan_stays,
        "parallel": check_parallel,
        "gradients": check_gradients,
        "every-parameter": check_every_parameter,
        "deterministic": check_deterministic,
        "pure": check_pure,
        "save-and-load": check_save_and_load,
        "dtypes": check_dtypes,
        "devices": check_devices,
        "vmap": check_vmap,
        "compile": check_compile,
    }
)
"""Name in `Finding` -> the check: raises ContractError, or SkipTest where it does not apply."""


# --- The two ways to run them -------------------------------------------------------------


def check_cell(
    make: Callable[[int, int], nn.Module], *, input_size: int = 3, hidden_size: int = 4
) -> list[Finding]:
    """Hold a cell to the whole contract; one finding a check, in the order of `CHECKS`.

    Args:
        make: `(input_size, hidden_size) -> Cell`, such as the class itself.
        input_size: Features of each input vector.
        hidden_size: Features of each output vector; small, for speed.
    """
    subject = Subject(make, input_size, hidden_size)
    return [_finding(name, subject) for name in CHECKS]


def _finding(name: str, subject: Subject) -> Finding:
    try:
        CHECKS[name](subject)
    except SkipTest as reason:
        return Finding(name, Outcome.SKIPPED, str(reason))
    except ContractError as broken:
        return Finding(name, Outcome.FAILED, f"{broken}.")
    except Exception as error:  # noqa: BLE001 -- one that raises is a finding; the others go on
        first_line = str(error).strip().partition("\n")[0]
        return Finding(name, Outcome.FAILED, f"raised {type(error).__name__}: {first_line}")
    return Finding(name, Outcome.PASSED)


class CellContract:
    """Subclass this in your own tests, and return your cell from `make`.

    Attributes:
        input_size: The input size it is tested with.
        hidden_size: The hidden size it is tested with; small, for speed.
    """

    input_size = 3
    hidden_size = 4

    def make(self, input_size: int, hidden_size: int) -> nn.Module:
        """Return a new cell; or a module like `nn.LSTM` or `nn.LSTMCell`, to be adapted."""
        raise NotImplementedError

    def hold(self, check: str) -> None:
        """Run one check of `CHECKS`."""
        CHECKS[check](Subject(self.make, self.input_size, self.hidden_size))

    def test_outputs_and_state_have_the_promised_shapes(self) -> None:
        """Outputs `[time, batch, hidden_size]`; a state is a tuple of `[batch, ...]` tensors."""
        self.hold("shapes")

    def test_state_keeps_its_size_unless_it_grows(self) -> None:
        """A state that gets bigger must be announced by `grows = True`."""
        self.hold("fixed-size")

    def test_state_is_all_it_remembers(self) -> None:
        """Stopping and going on from the state gives what going on would have."""
        self.hold("stop-and-go")

    def test_no_output_depends_on_a_later_input(self) -> None:
        """Neither step by step nor in parallel."""
        self.hold("no-look-ahead")

    def test_sequences_of_a_batch_do_not_mix(self) -> None:
        """Each row gives what it gives alone."""
        self.hold("rows")

    def test_a_diverged_sequence_spoils_no_other(self) -> None:
        """NaN in one row stays in that row."""
        self.hold("nan-stays")

    def test_parallel_is_stepwise(self) -> None:
        """In outputs, state and every gradient."""
        self.hold("parallel")

    def test_gradients_are_finite_differences(self) -> None:
        """Of inputs, state and every parameter."""
        self.hold("gradients")

    def test_every_parameter_gets_a_gradient(self) -> None:
        """One that gets none is counted, saved and useless."""
        self.hold("every-parameter")

    def test_the_same_seed_gives_the_same_cell_and_the_same_run(self) -> None:
        """Built twice, equal parameters; run twice, equal outputs, to the last bit."""
        self.hold("deterministic")

    def test_a_step_changes_nothing(self) -> None:
        """Neither its inputs, nor the module, nor the random numbers."""
        self.hold("pure")

    def test_saving_and_loading_keeps_all_of_it(self) -> None:
        """`state_dict` is the whole cell."""
        self.hold("save-and-load")

    def test_it_follows_its_dtype(self) -> None:
        """Float32 and float64, there and back."""
        self.hold("dtypes")

    def test_it_follows_its_device(self) -> None:
        """On `meta` everywhere, on CUDA where there is one."""
        self.hold("devices")

    def test_many_seeds_run_as_one(self) -> None:
        """Under `torch.func.vmap`, in values and gradients."""
        self.hold("vmap")

    def test_a_step_compiles_in_one_graph(self) -> None:
        """Under `torch.compile(fullgraph=True)`, in values and gradients."""
        self.hold("compile")


# --- What the checks share ----------------------------------------------------------------


@final
class _OneStep(nn.Module):
    """`project` and `step` as a forward, which vmap and compile ask for."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self.cell.step(slices(self.cell.project(x.unsqueeze(0)))[0], state)


def run(cell: Cell, x: Tensor, state: State | None = None) -> Outputs:
    """Carry the cell over `x` step by step: what is right by definition."""
    return stepwise(
        cell, cell.project(x), cell.initial_state(x.shape[1]) if state is None else state
    )


def forms(cell: Cell) -> dict[str, Run]:
    """Return the ways to run it: the parallel form first, where there is one."""
    if isinstance(cell, ParallelCell):
        return {"parallel": lambda _, p, state: cell.parallel(p, state), "stepwise": stepwise}
    return {"stepwise": stepwise}


def noise(shape: Sequence[int], seed: int) -> Tensor:
    """Return normal numbers that take nothing from the global generator."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def off_by_a_tenth(part: Tensor, seed: int) -> Tensor:
    """Return a new leaf near `part`."""
    factor = 1 + 0.1 * noise(part.shape, seed=seed).to(part)
    return (part.detach() * factor).requires_grad_()


def is_float(part: Tensor) -> bool:
    """Whether it is made of numbers that can be off by a little."""
    return part.is_floating_point() or part.is_complex()


def like(state: State, tensors: Sequence[Tensor]) -> State:
    """Return `tensors` as the same kind of (named) tuple as `state`."""
    return getattr(type(state), "_make", tuple)(tensors)


def parts(p: Projected) -> tuple[Tensor, ...]:
    """Return the tensors of a projection."""
    return tuple(pytree.tree_leaves(p))


def named(name: str, state: State) -> dict[str, Tensor]:
    """Return the parts of a state by the names that messages give them."""
    return {f"part {n} of {name}": part for n, part in enumerate(state)}


def trained(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that want a gradient."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def gradients(cell: Cell, x: Tensor, state: State | None, form: Run) -> dict[str, Tensor]:
    """Return the gradient of x, the state and every parameter, under random cotangents.

    Those are on all outputs and on every part of the last state.
    """
    x = x.detach().clone().requires_grad_()
    start = cell.initial_state(x.shape[1]) if state is None else state
    y, end = form(cell, cell.project(x), start)
    wanted = {"x": x} | trained(cell)
    if state is not None:
        wanted |= {k: part for k, part in named("the state", state).items() if part.requires_grad}
    return by_name(weighed([y, *end]), wanted)


def step_gradients(
    model: _OneStep, x: Tensor, state: State, call: Callable[..., Any] | None = None
) -> tuple[Tensor, State, dict[str, Tensor]]:
    """Return output, state and the gradient of every parameter, for one step."""
    y, end = (model if call is None else call)(x, state)
    return y, end, by_name(weighed([y, *end]), trained(model))


def by_name(loss: Tensor, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of each tensor, zeros where none arrives."""
    if not wanted or not loss.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in wanted.items()}
    found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    return {
        name: torch.zeros_like(tensor) if gradient is None else gradient
        for (name, tensor), gradient in zip(wanted.items(), found, strict=True)
    }


def weighed(tensors: Sequence[Tensor], each: int = 0) -> Tensor:
    """Return the sum of all numbers, weighed at random.

    Args:
        tensors: Some; those that are not floats do not count.
        each: If not 0, how many models are stacked; all get the weights of a single one.
    """
    total = torch.zeros((), dtype=torch.float64)
    for n, tensor in enumerate(tensors):
        if is_float(tensor):
            real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
            total = (
                total + (noise(real.shape[1:] if each else real.shape, seed=50 + n) * real).sum()
            )
    return total


def fingerprint(cell: nn.Module) -> dict[str, object]:
    """Return what would tell whether anything on a module or its parts was changed."""
    return {
        f"{name or type(cell).__name__}.{attribute}": _trace(value)
        for name, module in cell.named_modules()
        for attribute, value in vars(module).items()
    }


def _trace(value: object) -> object:
    if isinstance(value, Tensor):
        return id(value), value._version  # noqa: SLF001 -- the only sign of a change in place
    if isinstance(value, dict):
        return [(key, _trace(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_trace(item) for item in value]
    if isinstance(value, bool | int | float | str):
        return value
    return id(value)


def require_finite_differences(cell: Cell, x: Tensor, state: State) -> None:
    """Raise ContractError unless every gradient is what small changes say."""
    inputs = {"x": x} | trained(cell)
    inputs |= {k: part for k, part in named("the state", state).items() if part.requires_grad}
    names: list[str] = []

    def outputs(*_: Tensor) -> tuple[Tensor, ...]:  # gradcheck changes the inputs in place
        y, end = run(cell, x, state)
        found = {"the output": y} | named("the next state", end)
        names[:] = [name for name, part in found.items() if part.requires_grad]
        return tuple(found[name] for name in names)

    try:
        gradcheck(outputs, list(inputs.values()), fast_mode=True, nondet_tol=1e-9)
    except GradcheckError as error:
        problem = str(error).partition("\n")[0].rstrip(",.:")
        where = re.search(r"output (\d+) with respect to input (\d+)", problem)
        if where:
            of, to = names[int(where[1])], list(inputs)[int(where[2])]
            problem = f"the gradient of {of} with respect to {to} is not its finite difference"
        advice = "look for detach, no_grad, .data, rounding, or a backward written by hand"
        raise ContractError(f"{problem}: {advice}") from error


@contextmanager
def unchecked_shapes() -> Iterator[None]:
    """Keep jaxtyping's run-time checks, if they are on, out of what torch transforms."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)  # noqa: FBT003 -- its signature
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


@contextmanager
def able(cell: Cell, deed: str, advice: str) -> Iterator[None]:
    """Turn what is raised into a ContractError; for an adapted module, which promised nothing,
    into a skip.
    """
    try:
        yield
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0].rstrip(".")
        problem = f"{deed}: {type(error).__name__}: {first_line}"
        if isinstance(cell, LayerCell | StepCell):
            raise SkipTest(f"the adapted module cannot {problem}") from error
        raise ContractError(f"step cannot {problem}: {advice}") from error


def require(condition: bool, message: str) -> None:  # noqa: FBT001 -- an assertion is one
    """Raise ContractError unless the condition holds."""
    if not condition:
        raise ContractError(message)


def require_state(state: object, origin: str, batch: int) -> None:
    """Raise ContractError unless it is a tuple of tensors, the batch first."""
    require(
        isinstance(state, tuple) and all(isinstance(part, Tensor) for part in state),
        f"{origin} returns {shown(state)} as the state: return a (named) tuple of tensors",
    )
    assert isinstance(state, tuple)
    require(
        all(part.shape[:1] == (batch,) for part in state),
        f"{origin} returns a state with shapes {[list(part.shape) for part in state]} for a batch "
        f"of {batch}: the first dimension of each part is the batch",
    )


def require_same(
    found: Tensor, expected: Tensor, what: str, advice: str, tolerance: float = 1e-10
) -> None:
    """Raise ContractError if they differ by more than `tolerance`, absolute and relative."""
    require(
        found.shape == expected.shape and found.dtype == expected.dtype,
        f"{what}: {found.dtype} {list(found.shape)} in place of {expected.dtype} "
        f"{list(expected.shape)}: {advice}",
    )
    if not is_float(found):
        require(torch.equal(found, expected), f"{what}: not equal: {advice}")
    elif not torch.allclose(found, expected, rtol=tolerance, atol=tolerance):
        worst = float((found - expected).detach().abs().max())
        raise ContractError(f"{what}: off by up to {worst:.2g}: {advice}")


def require_same_state(found: State, expected: State, what: str, advice: str) -> None:
    """Raise ContractError unless each part is the same."""
    require(
        len(found) == len(expected), f"{what}: {len(found)} parts of state, not {len(expected)}"
    )
    for n, (part, other) in enumerate(zip(found, expected, strict=True)):
        require_same(part, other, f"part {n} of the state, {what}", advice)


def shown(state: object) -> str:
    """Return kind and number of parts, for a message."""
    kind = type(state).__name__
    return f"a {kind} of {len(state)}" if isinstance(state, list | tuple) else f"a {kind}"
