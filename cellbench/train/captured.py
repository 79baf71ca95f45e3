"""Whole training steps as one CUDA graph: the host asks for a step, and does none of its work.

Three pieces of work are recorded: turning a page of training batches, a training step (take the
batch, forward, backward, clip, optimiser, add up the loss), and a look at validation. What the
host has to know, the losses and scores of a look, is copied while training goes on, and read when
it has arrived. By then some more steps may have been taken; so a look keeps the parameters of its
step, and it is those that are tested and left as what was learned. That is as exact as waiting,
and the device is never idle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from cellbench.record import Rung
from cellbench.train.course import Crew, Glance, Seen
from cellbench.train.crew import PlainCrew
from cellbench.train.draws import split_batches
from cellbench.train.evaluation import streams, tally
from cellbench.train.graphs import CudaGraphs, Fetched, Graphs
from cellbench.train.learned import How
from cellbench.train.pages import Pages
from cellbench.train.reasons import first_line
from cellbench.train.scores import Scores, Tally

LEAST_STEPS = 10
"""Of a training that is worth recording: recording costs some steps itself."""

Recorder = Callable[[torch.device], Graphs | None]
"""Returns what records training steps on a device; None if nothing does."""


def recorder(device: torch.device) -> Graphs | None:
    """Return CUDA graphs on CUDA, and None elsewhere."""
    return CudaGraphs() if device.type == "cuda" else None


def fastest(plain: PlainCrew, recorder: Recorder) -> Crew:
    """Return a crew that replays the training steps of `plain`, or `plain` itself."""
    graphs = recorder(plain.device) if plain.steps >= LEAST_STEPS else None
    if graphs and plain.trainer.model.cell.has_population:
        plain.note("not captured: its statistics are gathered anew before each look")
        return plain
    return plain if graphs is None else CapturedCrew(plain, graphs)


@dataclass(frozen=True, slots=True)
class _Replays:
    """What was recorded."""

    turn: Callable[[], None]
    step: Callable[[], None]
    look: Callable[[], None]


class CapturedCrew(Crew):
    """A crew whose steps are replayed.

    Where they cannot be recorded, they are taken as before, and `how` says why.

    Args:
        plain: The crew, before its first step.
        graphs: What records.
    """

    def __init__(self, plain: PlainCrew, graphs: Graphs) -> None:
        self.plain = plain
        self._graphs = graphs
        self._replays: _Replays | None = None
        self._start: int | None = None  # before it nothing is asked; None: not yet looked for
        plain.dear = True
        self.record()

    def how(self) -> How:
        return self.plain.how()

    def step(self) -> None:
        if self._replays and self._left == 0:
            self._turn_page()
        if self._replays is None:
            self.plain.step()
            return
        self._replays.step()
        self.plain.taken += 1
        self._left -= 1
        self._graphs.pace()

    def look(self) -> Glance:
        if self._replays is None:
            return self.plain.look()
        self._replays.look()
        return _CapturedGlance(
            self, self._graphs.fetch(self._found), self._tally, self.plain.steps_since_look()
        )

    def record(self) -> None:
        """Record everything, from the step that is next; or find that this cannot be done."""
        plain = self.plain
        began, self._replays = plain.clock(), None
        try:
            self._set_up()
            with _undone(self._state, plain.device):
                self._replays = _Replays(
                    turn=self._graphs.record(self._pages.turn),
                    step=self._graphs.record(self._train),
                    look=self._graphs.record(self._validate),
                )
        except Exception as error:  # noqa: BLE001 -- whatever the reason, training goes on without
            plain.begin()
            plain.note(f"not captured: {first_line(error.__context__ or error)}")
        took_s = plain.clock() - began
        plain.went(captured=self._replays is not None, compile_s=plain.how().compile_s + took_s)

    @contextmanager
    def as_seen(self) -> Iterator[None]:
        """Let the models be what they were at the last look."""
        now = [parameter.clone() for parameter in self._parameters]
        self.stay_as_seen()
        try:
            yield
        finally:
            torch._foreach_copy_(self._parameters, now)

    def stay_as_seen(self) -> None:
        """Make the models what they were at the last look."""
        torch._foreach_copy_(self._parameters, self._seen)

    def _set_up(self) -> None:
        """Put everything that is recorded work reads or writes in its place."""
        plain, task, device = self.plain, self.plain.task, self.plain.device
        batch, generator = task.budget.batch, task.generator
        self._pages = Pages(
            generator,
            streams(plain.seeds, "train"),
            batch,
            device,
            first=plain.taken,
            start=self._start,
        )
        self._start = self._pages.start
        self._left = 0
        self._early: Fetched | None = None
        questions = split_batches(
            generator, streams(plain.seeds, "validation"), task.budget.validation, batch, device
        )
        self._validation = list(questions)
        self._parameters = [p.detach() for p in plain.trainer.model.parameters()]
        self._seen = [parameter.clone() for parameter in self._parameters]
        self._found = plain.lost.new_zeros(5, plain.lost.numel())

    def _state(self) -> list[Tensor]:
        """Return all that recorded work changes, but for what each replay makes anew."""
        trainer = self.plain.trainer
        buffers = trainer.model.buffers()
        kept = [*self._parameters, *buffers, *trainer.state_tensors()]
        return [*kept, self.plain.lost, *self._pages.state()]

    def _turn_page(self) -> None:
        if self._early and bool(self._early.read()):
            self._start = 0  # it asks for more than it did: from now on, all is answered
            self.record()
        if self._replays:
            self._replays.turn()
            self._early = self._graphs.fetch(self._pages.early)
            self._left = self._pages.steps

    def _train(self) -> None:
        self.plain.lost += self.plain.trainer.step(self._pages.take())

    def _validate(self) -> None:
        """Answer all of validation; put losses and scores, and the parameters, where they stay."""
        plain = self.plain
        self._tally = tally(plain.trainer.model, self._validation, plain.seeds, plain.device)
        rows = (plain.lost.view(1, -1), self._tally.sums.view(4, -1))
        self._found.copy_(torch.cat(rows))
        plain.lost.zero_()
        torch._foreach_copy_(self._seen, self._parameters)


class _CapturedGlance(Glance):
    def __init__(self, crew: CapturedCrew, found: Fetched, tally: Tally, steps: int) -> None:
        self._crew = crew
        self._found = found
        self._tally = tally
        self._steps = steps

    def ready(self) -> bool:
        return self._found.ready()

    def read(self) -> list[Seen]:
        found = self._found.read()
        scores = self._tally.each(found[1:])
        return self._crew.plain.seen(self._steps, found[0].tolist(), scores)

    def test(self) -> list[Scores]:
        with self._crew.as_seen():
            return self._crew.plain.test()

    def climb(self) -> list[tuple[Rung, ...]]:
        with self._crew.as_seen():
            return self._crew.plain.climb()

    def leave(self, rows: Sequence[int]) -> None:
        plain = self._crew.plain
        with self._crew.as_seen():
            plain.hand_out(rows)
        if plain.drop(rows):
            self._crew.record()
        elif plain.over:
            self._crew.stay_as_seen()


@contextmanager
def _undone(state: Callable[[], list[Tensor]], device: torch.device) -> Iterator[None]:
    """Put everything back that is changed: tensors, and torch's random numbers."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    before = {id(tensor): (tensor, tensor.clone()) for tensor in state()}
    with torch.no_grad(), torch.random.fork_rng(devices):
        try:
            with torch.enable_grad():
                yield
        finally:
            for tensor, value in before.values():
                tensor.copy_(value)
            for tensor in state():
                if id(tensor) not in before:
                    tensor.zero_()  # an optimiser's, which it makes in its first step
