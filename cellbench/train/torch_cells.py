"""PyTorch's own steps in plain operations: theirs have no batching rule for `vmap`.

Equations and order of gates are those of `torch.nn.LSTMCell`, `GRUCell` and `RNNCell`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode


def plainly(module: nn.Module) -> AbstractContextManager[object]:
    """Return within what `module` is to be called: plain operations for PyTorch's own steps.

    Elsewhere it costs nothing.
    """
    has_own = any(isinstance(part, nn.RNNCellBase) for part in module.modules())
    return _PlainSteps() if has_own else nullcontext()


class _PlainSteps(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _PLAIN.get(func, func)(*args, **(kwargs or {}))


Weights = Tensor | None
"""Of inputs, of the state, and the biases of both, in this order; biases may be None."""


def _lstm(x: Tensor, state: Sequence[Tensor], *weights: Weights) -> tuple[Tensor, Tensor]:
    h, c = state
    of_x, of_h = _products(x, h, weights)
    i, f, g, o = (of_x + of_h).chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru(x: Tensor, h: Tensor, *weights: Weights) -> Tensor:
    of_x, of_h = _products(x, h, weights)
    r_x, z_x, n_x = of_x.chunk(3, dim=-1)
    r_h, z_h, n_h = of_h.chunk(3, dim=-1)
    n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
    z = torch.sigmoid(z_x + z_h)
    return (1 - z) * n + z * h


def _rnn(squash: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def step(x: Tensor, h: Tensor, *weights: Weights) -> Tensor:
        of_x, of_h = _products(x, h, weights)
        return squash(of_x + of_h)

    return step


def _products(x: Tensor, h: Tensor, weights: Sequence[Weights]) -> tuple[Tensor, Tensor]:
    w_ih, w_hh, b_ih, b_hh = weights
    assert w_ih is not None  # noqa: S101 -- only biases may be missing
    assert w_hh is not None  # noqa: S101 -- only biases may be missing
    return linear(x, w_ih, b_ih), linear(h, w_hh, b_hh)


_PLAIN: Mapping[Any, Callable[..., Any]] = {
    torch.lstm_cell: _lstm,
    torch.gru_cell: _gru,
    torch.rnn_tanh_cell: _rnn(torch.tanh),
    torch.rnn_relu_cell: _rnn(torch.relu),
}
