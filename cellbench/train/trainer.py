"""A training step."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn, optim

from cellbench.train.draws import Question
from cellbench.train.model import CarriedModel
from cellbench.train.scores import loss


class Trainer:
    """A model with its optimiser: what a training step is, wherever one is taken or timed.

    Args:
        model: On its device: one model, or a stack.
        learning_rate: For Adam.
        clip: Greatest norm of the gradient of all parameters together; in a stack, of each seed's.
    """

    def __init__(self, model: CarriedModel, *, learning_rate: float, clip: float) -> None:
        self.model = model
        self._learning_rate = learning_rate
        self._clip = clip
        self.begin()

    def begin(self) -> None:
        """Make a fresh optimiser of the parameters that the model has now."""
        self.parameters = list(self.model.parameters())
        self.optimiser = optim.Adam(
            self.parameters,
            lr=self._learning_rate,
            fused=True,
            capturable=self.parameters[0].is_cuda,  # its state is on the device, if captured or not
        )

    def step(self, question: Question) -> Float[Tensor, "*seeds"]:
        """Learn from one batch; return its loss, on the device; of a stack, that of each seed."""
        self.optimiser.zero_grad(set_to_none=True)
        answers, state = self.model.answer(question.inputs, start=question.start)
        found = loss(answers, question)
        if self.model.cell.penalised:
            trained = question.trained
            answers_each = trained.sum((0, -1)) / trained.shape[-1]
            found = found + self.model.cell.penalty(state) / answers_each
        found.backward(found.new_ones(found.shape))  # type: ignore[no-untyped-call]  # torch has no type for it
        self.clip(self.parameters, self._clip)
        self.optimiser.step()
        return found.detach()

    @staticmethod
    def clip(parameters: list[nn.Parameter], norm: float) -> None:
        """Shorten the gradient to `norm` where it is longer."""
        nn.utils.clip_grad_norm_(parameters, norm)

    def state_tensors(self) -> list[Tensor]:
        """Return what the optimiser keeps."""
        states = self.optimiser.state.values()
        return [v for state in states for v in state.values() if isinstance(v, Tensor)]
