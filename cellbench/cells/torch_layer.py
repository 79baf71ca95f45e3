"""What the cells share that PyTorch has a kernel for."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import ParallelCell


class TorchLayer(ParallelCell, abc.ABC):
    """A cell whose parameters are those of layer 0 of `torch.nn.RNN`, `LSTM` or `GRU`.

    Names, shapes, order of gates and initial values are PyTorch's: all are drawn from
    U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)), in the same order, so that a seed gives
    the weights that it gives there.

    `project` does nothing, since PyTorch's kernel takes the inputs as they are and multiplies
    them itself. The kernels cannot run under `vmap`; `step` can.

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    gates: ClassVar[int]
    layer: ClassVar[Callable[..., nn.RNNBase]]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        self.input_size = input_size
        self.hidden_size = hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)
        self._lay_out()

    def kernel(
        self, function: Callable[..., tuple[Tensor, ...]], x: Tensor, state: Tensor | list[Tensor]
    ) -> tuple[Tensor, ...]:
        """Run one of PyTorch's recurrent kernels: one layer, one direction, time first."""
        weights = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
        # cuDNN differentiates only what ran in its training mode, which without dropout
        # changes no value: so the mode follows from the gradient, not from `self.training`.
        train = torch.is_grad_enabled()
        return function(x, state, weights, True, 1, 0.0, train, False, False)  # noqa: FBT003 -- takes no keywords

    def _lay_out(self) -> None:
        """Put the parameters where cuDNN wants them: in one buffer, as PyTorch's own layer does.

        Elsewhere they would be copied, with a warning, at every call.
        """
        if not self.weight_ih.is_cuda:
            return
        here, dtype = self.weight_ih.device, self.weight_ih.dtype
        twin = self.layer(self.input_size, self.hidden_size, device="meta", dtype=dtype)
        twin.to_empty(device=here)
        for name, parameter in self.named_parameters():
            place = getattr(twin, f"{name}_l0").detach()
            parameter.data = place.copy_(parameter.detach())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TorchLayer:  # noqa: FBT001, FBT002 -- as nn.Module has it
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch gives it no types
        self._lay_out()
        return self
