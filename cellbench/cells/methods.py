"""Calling any method of a module with other tensors in place of its own."""

from __future__ import annotations

from typing import Any, final

from torch import nn


@final
class Methods(nn.Module):
    """What `torch.func.functional_call` calls: it knows `forward` alone.

    Args:
        module: Whose methods; its tensors get the prefix `module.`.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, method: str, *args: Any) -> Any:
        """Call a method by its name."""
        return getattr(self.module, method)(*args)
