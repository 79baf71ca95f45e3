"""Modules of one kind as one module, whose parameters have one more axis."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from cellbench.cells.methods import Methods
from cellbench.train.torch_cells import plainly


class StackedModule(nn.Module):
    """S modules of one kind: parameters and buffers `[S, ...]`, and every method under `vmap`.

    Random numbers drawn by a method are others for each of the S, and depend on the stack.

    Args:
        modules: At least one, made with the same settings, in the same mode.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        first = Methods(copy.deepcopy(modules[0]))
        self._skeleton = (first,)  # in a tuple: its parameters are none of ours
        parameters, buffers = stack_module_state([Methods(module) for module in modules])
        for name, value in parameters.items():
            self.register_parameter(_mangled(name), nn.Parameter(value, value.requires_grad))
        for name, value in buffers.items():
            self.register_buffer(_mangled(name), value, persistent=False)
        self._names = _all_names(first)

    def forward(self, x: Tensor) -> Tensor:
        """Apply each module to its part of x `[time, S, ...]`."""
        out: Tensor = self.call("forward", x, in_dims=(1,), out_dims=1)
        return out

    def call(
        self, method: str, *args: Any, in_dims: tuple[int | None, ...], out_dims: Any = 0
    ) -> Any:
        """Call a method of each module.

        Args:
            method: Its name.
            args: Of the method: tensors, or tuples of them.
            in_dims: For each of `args`, which axis stands for the modules; None: it has none.
            out_dims: The same of what it returns.
        """
        (skeleton,) = self._skeleton
        values = {name: getattr(self, mangled) for name, mangled in self._names.items()}

        def one(values: dict[str, Tensor], *args: Any) -> Any:
            return functional_call(skeleton, values, (method, *args), tie_weights=False)

        each = torch.vmap(one, in_dims=(0, *in_dims), out_dims=out_dims, randomness="different")
        with plainly(skeleton):
            return each(values, *args)

    def name_of(self, name: str) -> str:
        """Return what a tensor of each module is called in the stack."""
        return self._names[f"module.{name}"]

    def train(self, mode: bool = True) -> StackedModule:  # noqa: FBT001, FBT002 -- as nn.Module has it
        self._skeleton[0].train(mode)
        super().train(mode)
        return self

    def keep(self, rows: Int[Tensor, "rows"]) -> None:
        """Go on with these of the S alone; every parameter is replaced by another."""
        for name, parameter in list(self.named_parameters()):
            kept = parameter.detach()[rows]
            self.register_parameter(name, nn.Parameter(kept, parameter.requires_grad))
        for name, buffer in list(self.named_buffers()):
            self.register_buffer(name, buffer[rows], persistent=False)

    @torch.no_grad()
    def copy_to(self, module: nn.Module, row: int) -> None:
        """Give a single module the values of one of the S."""
        own = _tensors(Methods(module))
        for name, mangled in self._names.items():
            own[name].copy_(getattr(self, mangled)[row])


def _mangled(name: str) -> str:
    return "/" + name.replace(".", "/")  # a slash: no attribute is called so


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers, those with several names under each of them."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return parameters | dict(module.named_buffers(remove_duplicate=False))


def _all_names(module: nn.Module) -> dict[str, str]:
    """Return every name of every tensor, with what it is called in the stack."""
    first = {id(t): n for n, t in (*module.named_buffers(), *module.named_parameters())}
    return {name: _mangled(first[id(tensor)]) for name, tensor in _tensors(module).items()}
