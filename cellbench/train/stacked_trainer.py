"""A training step of a stack."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor, nn

from cellbench.train.stacked_model import StackedModel
from cellbench.train.trainer import Trainer


class StackedTrainer(Trainer):
    """A stack with its optimiser, in which no seed has to do with another.

    Adam goes by each number for itself, and counts the steps of all: so its state for a stack is
    the states for each model.

    Args:
        model: On its device.
        learning_rate: For Adam.
        clip: Greatest norm of each seed's gradient.
    """

    def __init__(self, model: StackedModel, *, learning_rate: float, clip: float) -> None:
        super().__init__(model, learning_rate=learning_rate, clip=clip)
        self.stack = model

    @staticmethod
    def clip(parameters: list[nn.Parameter], norm: float) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        seeds = len(gradients[0])
        norms = torch.cat([g.reshape(seeds, -1) for g in gradients], dim=1).norm(dim=1)
        scale = (norm / (norms + 1e-6)).clamp(max=1.0)  # as nn.utils.clip_grad_norm_ has it
        scales = [scale.view(-1, *(1 for _ in g.shape[1:])) for g in gradients]
        torch._foreach_mul_(gradients, scales)

    def keep(self, rows: Int[Tensor, "rows"]) -> None:
        """Go on with the seeds in these places alone: with what the optimiser knows of them."""
        before = self.parameters, self.optimiser.state
        self.stack.keep(rows)
        self.begin()
        for old, new in zip(before[0], self.parameters, strict=True):
            self.optimiser.state[new] = {
                name: value if name == "step" else value[rows]  # steps are counted for all
                for name, value in before[1][old].items()
            }
