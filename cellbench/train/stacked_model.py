"""Models of several seeds as one model."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor

from cellbench.train.model import CarriedModel, SequenceModel
from cellbench.train.stacked_module import StackedModule
from cellbench.train.stacking import stack_cells


class StackedModel(CarriedModel):
    """S models that answer at once, each its own questions, as it would alone.

    Args:
        models: Of one job, on their device; they are left as they are.

    Attributes:
        fallback: Why the stack does not carry its cell as one cell alone would be; "" if it does.

    Raises:
        StackingError: Their cell cannot be stacked.
    """

    def __init__(self, models: Sequence[SequenceModel]) -> None:
        super().__init__()
        self.carrier = models[0].carrier
        cell, self.fallback = stack_cells([model.cell for model in models], self.carrier.way)
        self.embedding = StackedModule([model.embedding for model in models])
        self.cell = cell
        self.readout = StackedModule([model.readout for model in models])
        self._parts = (self.embedding, cell.stack, self.readout)

    def keep(self, rows: Int[Tensor, "rows"]) -> None:
        """Go on with the seeds in these places alone."""
        for part in self._parts:
            part.keep(rows)

    def copy_to(self, model: SequenceModel, row: int) -> None:
        """Give one model what its seed has learned."""
        for part, single in zip(
            self._parts, (model.embedding, model.cell, model.readout), strict=True
        ):
            part.copy_to(single, row)
