"""Modules of other projects as cells: what `nn.LSTM` and `nn.LSTMCell` look like is enough.

What a module is, is found out by calling it. Only of one that is derived from PyTorch's own
cells, and fails when it is called, its class is believed: it is a cell that fails, and what it
does in a run is for the run to record.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench.cells.base import Cell, ParallelCell, Projected, State
from cellbench.errors import PluginError

TIME, BATCH = 3, 2


def adapt(make: Callable[..., nn.Module]) -> Callable[..., Cell]:
    """Turn a constructor of modules into a constructor of cells.

    Args:
        make: `(input_size, hidden_size, **options) -> nn.Module`, such as `nn.LSTM`.
    """

    def constructor(input_size: int, hidden_size: int, **options: object) -> Cell:
        module = make(input_size, hidden_size, **options)
        return module if isinstance(module, Cell) else as_cell(module, input_size)

    return constructor


def as_cell(module: nn.Module, input_size: int) -> Cell:
    """Return `module` as a cell; what kind of cell is found by calling it.

    Raises:
        PluginError: It takes and gives neither what `nn.LSTM` nor what `nn.LSTMCell` does.
    """
    with _at_rest(module):
        as_layer = _call(module, _ramp(module, TIME, BATCH, input_size))
        if _is_layer(module, input_size, as_layer):
            return LayerCell(module, input_size)
        as_step = _call(module, _ramp(module, BATCH, input_size))
        if _is_step(as_step):
            try:
                return StepCell(module, input_size)
            except _FailsError:
                if not _fails_as_declared(module, as_step):
                    raise
    if isinstance(module, nn.RNNCellBase) and _fails_as_declared(module, as_step):
        return StepCell(module, input_size, _declared(module))
    raise PluginError(
        f"{type(module).__name__} cannot be used as a cell. For x [time={TIME}, batch={BATCH}, "
        f"input={input_size}] it {_shown(as_layer)}; for x [batch={BATCH}, input={input_size}] "
        f"it {_shown(as_step)}. Make forward(x, state=None) return (y, state) as nn.LSTM does, "
        "with state tensors [layers, batch, ...], or h or (h, c) as nn.LSTMCell does; or write "
        "a cellbench.cells.base.Cell."
    )


@final
class LayerCell(ParallelCell):
    """A module that reads whole sequences, as `nn.LSTM` does.

        y, state = module(x, state)      x [time, batch, input], state [layers, batch, ...]

    `parallel` is one call of the module, `step` a call with one time step. Between calls
    the state is carried with the batch first: [batch, layers, ...].

    Differs from the module: a run always starts from zeros that are handed to it, which a
    probe has found to be what the module starts from by itself.

    Args:
        module: The module; its parameters become the cell's.
        input_size: Features of each input vector.
    """

    def __init__(self, module: nn.Module, input_size: int) -> None:
        super().__init__()
        with _at_rest(module):
            y, state = _layer_probe(module, input_size)
        self.module = module
        self.input_size = input_size
        self.hidden_size = y.shape[-1]
        self.state_is_tuple = isinstance(state, tuple)
        self.parts = [_Part.of(tensor.transpose(0, 1)) for tensor in _tensors(state)]
        self.register_buffer(
            "like", torch.empty(0, dtype=y.dtype, device=y.device), persistent=False
        )

    def initial_state(self, batch: int) -> State:
        return tuple(part.zeros(batch, self.get_buffer("like")) for part in self.parts)

    def step(self, p_t: Projected, state: State) -> tuple[Float[Tensor, "batch hidden"], State]:
        y, state = self.parallel(_only_tensor(p_t).unsqueeze(0), state)
        return y.squeeze(0), state

    def parallel(
        self, p: Projected, state: State
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        layers_first = tuple(tensor.transpose(0, 1).contiguous() for tensor in state)
        y, new = self.module(p, layers_first if self.state_is_tuple else layers_first[0])
        return y, tuple(tensor.transpose(0, 1) for tensor in _tensors(new))


@final
class StepCell(Cell):
    """A module that reads one time step, as `nn.LSTMCell` or `nn.GRUCell` does.

        h = module(x, h)   or   (h, c) = module(x, (h, c))      x [batch, input]

    The output is h.

    Differs from the module: a run always starts from zeros that are handed to it, which a
    probe has found to be what the module starts from by itself.

    Args:
        module: The module; its parameters become the cell's.
        input_size: Features of each input vector.
        state: What it carries, for one that cannot be probed.
    """

    def __init__(
        self,
        module: nn.Module,
        input_size: int,
        state: Tensor | tuple[Tensor, ...] | None = None,
    ) -> None:
        super().__init__()
        if state is None:
            with _at_rest(module):
                state = _step_probe(module, input_size)
        h = _tensors(state)[0]
        self.module = module
        self.input_size = input_size
        self.hidden_size = h.shape[-1]
        self.state_is_tuple = isinstance(state, tuple)
        self.parts = [_Part.of(tensor) for tensor in _tensors(state)]
        self.register_buffer(
            "like", torch.empty(0, dtype=h.dtype, device=h.device), persistent=False
        )

    def initial_state(self, batch: int) -> State:
        return tuple(part.zeros(batch, self.get_buffer("like")) for part in self.parts)

    def step(self, p_t: Projected, state: State) -> tuple[Float[Tensor, "batch hidden"], State]:
        new = _tensors(self.module(p_t, state if self.state_is_tuple else state[0]))
        return new[0], new


@dataclass(frozen=True, slots=True)
class _Part:
    """One tensor of a state: its shape without the batch, and its dtype if not the cell's."""

    shape: tuple[int, ...]
    dtype: torch.dtype | None

    @classmethod
    def of(cls, tensor: Tensor) -> _Part:
        return cls(tuple(tensor.shape[1:]), None if tensor.is_floating_point() else tensor.dtype)

    def zeros(self, batch: int, like: Tensor) -> Tensor:
        return like.new_zeros((batch, *self.shape), dtype=self.dtype)


# --- Probing ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Raised:
    """What a module answered when it did not like the question."""

    error: Exception


@contextmanager
def _at_rest(module: nn.Module) -> Iterator[None]:
    """Probe in evaluation mode, without gradients, leaving mode and random numbers alone."""
    modes = {part: part.training for part in module.modules()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        module.eval()
        try:
            yield
        finally:
            for part, training in modes.items():
                part.training = training


def _call(module: nn.Module, *args: object) -> Any:
    """Call a copy of the module, so that one that keeps something does not keep a probe."""
    try:
        return copy.deepcopy(module)(*args)
    except Exception as error:  # noqa: BLE001 -- whatever it raises, the answer is "not like this"
        return _Raised(error)


def _ramp(module: nn.Module, *shape: int) -> Tensor:
    """Return inputs that are all different and need no random numbers."""
    first = next(module.parameters(), torch.empty(0))
    count = torch.Size(shape).numel()
    return torch.linspace(-1, 1, count, dtype=first.dtype, device=first.device).reshape(shape)


def _tensors(state: Any) -> State:
    return (state,) if isinstance(state, Tensor) else tuple(state)


def _only_tensor(p_t: Projected) -> Tensor:
    assert isinstance(p_t, Tensor)  # noqa: S101 -- `project` above gives one
    return p_t


def _is_state(answer: object) -> TypeGuard[Tensor | tuple[Tensor, ...]]:
    """Whether this is a tensor, or a tuple of nothing but tensors."""
    if isinstance(answer, tuple):
        return bool(answer) and all(isinstance(part, Tensor) for part in answer)
    return isinstance(answer, Tensor)


def _is_layer(module: nn.Module, input_size: int, answer: object) -> bool:
    """Whether it is `(y [time, batch, hidden], state)`, with no time in the state's shape.

    A module for single steps may take three dimensions too, and hand them through.
    """
    match answer:
        case (Tensor() as y, state) if y.shape[:-1] == (TIME, BATCH) and _is_state(state):
            longer = _call(module, _ramp(module, TIME + 2, BATCH, input_size))
            if isinstance(longer, _Raised) or not _is_state(longer[1]):
                return False
            pairs = zip(_tensors(state), _tensors(longer[1]), strict=True)
            return all(short.ndim > 1 and short.shape[0] == long.shape[0] for short, long in pairs)
        case _:
            return False


def _is_step(answer: object) -> bool:
    """Whether it is h or (h, c), each `[batch, ...]`."""
    if not _is_state(answer):
        return False
    parts = _tensors(answer)
    return parts[0].shape[:-1] == (BATCH,) and all(part.shape[:1] == (BATCH,) for part in parts)


def _layer_probe(module: nn.Module, input_size: int) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
    """Return what the module gives for a probe, once it is sure that it is a layer of ours."""
    name = type(module).__name__
    x = _ramp(module, TIME, BATCH, input_size)
    y, state = _checked(module, x)
    other_start, other_end = x.clone(), x.clone()
    other_start[0, 0] += 1
    other_end[-1] += 1
    moved = _differ(_checked(module, other_start)[0], y).flatten(2).any(2)
    batch_first = bool(moved[0, 1]) and not bool(moved[1:].any())
    if batch_first or any(tensor.shape[1] != BATCH for tensor in _tensors(state)):
        raise PluginError(
            f"{name} takes the batch for time: its state has shape(s) {_shapes(state)} for x "
            f"[time={TIME}, batch={BATCH}]. Build it with batch_first=False; cellbench hands it "
            "[time, batch, input]."
        )
    if bool(_differ(_checked(module, other_end)[0][0], y[0]).any()):
        raise PluginError(
            f"{name} looks ahead: its first output changes with the last input. Only a layer "
            "that reads in one direction can be carried through time: use bidirectional=False."
        )
    _hold_to_zeros(name, y, _checked(module, x, _zeros(state))[0])
    return y, state


def _step_probe(module: nn.Module, input_size: int) -> Tensor | tuple[Tensor, ...]:
    """Return the state that the module gives for a probe, once it is known to take it back."""
    x = _ramp(module, BATCH, input_size)
    state: Tensor | tuple[Tensor, ...] = _checked(module, x)
    again = _checked(module, x, _zeros(state))
    if not _is_step(again) or _shapes(again) != _shapes(state):
        raise _FailsError(
            f"{type(module).__name__} returns {_shapes(state)}, but {_shown(again)} when "
            "that is handed back as its state: return h or (h, c) as nn.LSTMCell does, each as it "
            "is to be handed back."
        )
    _hold_to_zeros(type(module).__name__, _tensors(state)[0], _tensors(again)[0])
    return state


def _fails_as_declared(module: nn.Module, answer: object) -> bool:
    """Whether a module that fails is one of PyTorch's cells: not one that gives an output besides
    its state, which would be taken for a part of it.
    """  # noqa: D205 -- one sentence, too long for a line
    if not isinstance(module, nn.RNNCellBase):
        return False
    return isinstance(_declared(module), tuple) or not isinstance(answer, tuple)


def _declared(module: nn.RNNCellBase) -> Tensor | tuple[Tensor, ...]:
    """Return a state as the class of `module` declares it."""
    h = module.weight_hh.new_zeros(BATCH, module.hidden_size)
    return (h, h) if isinstance(module, nn.LSTMCell) else h


class _FailsError(PluginError):
    """It cannot be called as it must be: no cell, or one that fails."""


def _checked(module: nn.Module, *args: object) -> Any:
    answer = _call(module, *args)
    if isinstance(answer, _Raised):
        with_state = " and the state that it returned" if len(args) > 1 else ""
        raise _FailsError(
            f"{type(module).__name__} {_shown(answer)} when called with x{with_state}: make "
            "forward(x, state=None) take its own state back."
        ) from answer.error
    return answer


def _differ(a: Tensor, b: Tensor) -> Tensor:
    """Return where two tensors differ; NaN is like NaN, since it is a run that diverges."""
    return (a != b) & ~(a.isnan() & b.isnan())


def _zeros(state: Any) -> Any:
    if isinstance(state, Tensor):
        return torch.zeros_like(state)
    return tuple(torch.zeros_like(tensor) for tensor in state)


def _hold_to_zeros(name: str, alone: Tensor, from_zeros: Tensor) -> None:
    """Raise unless starting from zeros is what the module does by itself."""
    if not torch.allclose(alone, from_zeros, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise PluginError(
            f"{name} does not start from zeros: its outputs without a state are off by up to "
            f"{(alone - from_zeros).abs().max():.2g} from those for a state of zeros. A start "
            "that is learned or kept cannot be adapted: write a cellbench.cells.base.Cell."
        )


# --- Saying what came ---------------------------------------------------------------------


def _shapes(state: Any) -> str:
    return ", ".join(str(list(tensor.shape)) for tensor in _tensors(state))


def _shown(answer: object) -> str:
    if isinstance(answer, _Raised):
        first_line = str(answer.error).partition("\n")[0]
        return f"raised {type(answer.error).__name__}: {first_line}"
    return f"returned {_form(answer)}"


def _form(answer: object) -> str:
    if isinstance(answer, Tensor):
        return str(list(answer.shape))
    if isinstance(answer, tuple | list):
        inner = ", ".join(_form(part) for part in answer)
        return f"({inner})" if isinstance(answer, tuple) else f"a list of {inner}"
    return f"a {type(answer).__name__}"
